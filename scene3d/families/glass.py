"""Glasses: tumblers with a thick base that widen upward, bulge or narrow."""

from __future__ import annotations

from dataclasses import dataclass

from air3d.scene3d.families.vessel import Vessel, ranged, turned, underside
from air3d.scene3d.meshes.profile import Corner, fillet
from air3d.scene3d.meshes.surface import Part, Resolution


@dataclass(frozen=True)
class Glass(Vessel):
    """A tumbler.

    Attributes:
        height_m: its height.
        radius_m: the outer radius at the rim.
        taper_m: how much narrower the foot is.
        belly_m: how far the wall bulges outwards halfway up; below 0 it has a waist.
        wall_m, floor_m: the thickness of wall and base.
    """

    height_m: float = ranged(0.120, 0.080, 0.165)
    radius_m: float = ranged(0.0355, 0.0290, 0.0430)
    taper_m: float = ranged(0.0070, -0.0020, 0.0110)
    belly_m: float = ranged(0.0, -0.0030, 0.0070)
    wall_m: float = ranged(0.0025, 0.0022, 0.0036)
    floor_m: float = ranged(0.0100, 0.0060, 0.0160)

    def parts(self, detail: Resolution) -> tuple[Part, ...]:
        """List the one part."""
        foot_m, rim_m = self.radius_m - self.taper_m, 0.48 * self.wall_m
        outer, inner, lean_m = [], [], 0.0
        if self.belly_m:
            bulge_m, middle_m = (foot_m + self.radius_m) / 2.0 + self.belly_m, 0.55 * self.height_m
            outer = [fillet(bulge_m, middle_m, 0.25 * self.height_m)]
            inner = [fillet(bulge_m - self.wall_m, middle_m, 0.25 * self.height_m)]
            lean_m = (bulge_m - foot_m) * self.floor_m / middle_m
        outline = [
            *underside(foot_m - 0.0055, 0.0010, detail),
            fillet(foot_m, 0.0, 0.0030),
            *outer,
            fillet(self.radius_m, self.height_m, rim_m),
            fillet(self.radius_m - self.wall_m, self.height_m, rim_m),
            *inner,
            fillet(foot_m + lean_m - self.wall_m + 0.0005, self.floor_m, 0.0070),
            Corner(0.0, self.floor_m),
        ]
        return (turned(outline, detail.tolerance_m, detail.sides),)
