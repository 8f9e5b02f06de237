"""Mugs: a wall that may widen or bulge, and a C-shaped handle along +x whose ends are buried in the wall."""

from __future__ import annotations

from dataclasses import dataclass

from air3d.scene3d.families.vessel import Vessel, Wall, bar, ranged, turned, underside
from air3d.scene3d.meshes.profile import Corner, fillet
from air3d.scene3d.meshes.surface import Part, Resolution

# How deep in the wall the handle's ends lie, as a share of its thickness.
_BURIED = 21.0 / 44.0


@dataclass(frozen=True)
class Mug(Vessel):
    """A mug.

    Attributes:
        height_m: its height.
        radius_m: the outer radius at the rim.
        foot: the radius at the foot, as a share of that at the rim.
        belly: how far the wall bulges outwards, as a share of the radius; below 0 it has a waist.
        wall_m, floor_m: the thickness of wall and floor.
        handle_m: how far the handle's control points stand off the wall; the handle itself three quarters of it.
        handle_radius_m: half the handle's thickness.
        handle_top, handle_bottom: where the handle meets the wall, as shares of the height.
        handle_taper: how far its lower half stands off, as a share of `handle_m`.
    """

    height_m: float = ranged(0.100, 0.075, 0.125)
    radius_m: float = ranged(0.0444, 0.035, 0.050)
    foot: float = ranged(1.0, 0.74, 1.04)
    belly: float = ranged(0.0, -0.05, 0.14)
    wall_m: float = ranged(0.0044, 0.0036, 0.0058)
    floor_m: float = ranged(0.0055, 0.0050, 0.0080)
    handle_m: float = ranged(0.0479, 0.038, 0.056)
    handle_radius_m: float = ranged(0.0070, 0.0045, 0.0080)
    handle_top: float = ranged(0.795, 0.72, 0.84)
    handle_bottom: float = ranged(0.245, 0.20, 0.36)
    handle_taper: float = ranged(1.0, 0.55, 1.05)

    def parts(self, detail: Resolution) -> tuple[Part, ...]:
        """List body and handle."""
        body = self._body(detail)
        wall = Wall(body)
        ends = []
        for share, reach_m in (
            (self.handle_top, self.handle_m),
            (self.handle_bottom, self.handle_m * self.handle_taper),
        ):
            height_m = share * self.height_m
            start = (wall.radius_m(height_m) - _BURIED * self.wall_m, height_m)
            x, z = (reach_m * wall.normal(height_m)).tolist()
            ends.append((start, (start[0] + x, start[1] + z)))
        (first, second), (last, third) = ends
        handle = bar(detail, self.handle_radius_m, (first, second, third, last))
        return turned(body, detail.tolerance_m, detail.sides), handle

    def _body(self, detail: Resolution) -> list[Corner]:
        foot_m, rim_m = self.foot * self.radius_m, self.wall_m / 2.0
        middle_m = self.height_m / 2.0
        outer, inner = [], []
        if self.belly:
            bulge_m = (foot_m + self.radius_m) / 2.0 + self.belly * self.radius_m
            outer = [fillet(bulge_m, middle_m, 0.27 * self.height_m)]
            inner = [fillet(bulge_m - self.wall_m, middle_m, 0.27 * self.height_m)]
        return [
            *underside(foot_m - 0.0104, 0.0010, detail),
            fillet(foot_m, 0.0, 0.0080),
            *outer,
            fillet(self.radius_m, self.height_m, rim_m),
            fillet(self.radius_m - self.wall_m, self.height_m, rim_m),
            *inner,
            fillet(foot_m - self.wall_m, self.floor_m, 0.0080),
            Corner(0.0, self.floor_m),
        ]
