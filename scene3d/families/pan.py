"""Pans, from frying pans to saucepans: a long flat handle along +x, narrow where it enters the wall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from air3d.scene3d.families.vessel import Vessel, ranged, turned
from air3d.scene3d.meshes.profile import Corner, fillet, rounded_profile, subdivided
from air3d.scene3d.meshes.surface import Part, Path, Resolution


@dataclass(frozen=True)
class Pan(Vessel):
    """A pan.

    Attributes:
        height_m: the height of the wall.
        radius_m: the outer radius at the rim.
        flare_m: how much wider it is there than at the bottom.
        wall_m, floor_m: the thickness of wall and bottom.
        handle_m: the length of the handle.
        handle_rise_m: how far it rises.
        handle_at: where it enters the wall, as a share of the height.
        handle_size: its thickness, as a share of the usual.
    """

    height_m: float = ranged(0.050, 0.040, 0.085)
    radius_m: float = ranged(0.0887, 0.070, 0.115)
    flare_m: float = ranged(0.0107, 0.0020, 0.0120)
    wall_m: float = ranged(0.0038, 0.0034, 0.0050)
    floor_m: float = ranged(0.0045, 0.0040, 0.0060)
    handle_m: float = ranged(0.1137, 0.090, 0.150)
    handle_rise_m: float = ranged(0.0100, 0.0, 0.0300)
    handle_at: float = ranged(0.64, 0.60, 0.72)
    handle_size: float = ranged(1.0, 0.85, 1.15)

    def parts(self, detail: Resolution) -> tuple[Part, ...]:
        """List body and handle."""
        bottom_m, rim_m = self.radius_m - self.flare_m, 0.0018 * self.wall_m / 0.0038
        body = [
            Corner(0.0, 0.0),
            fillet(bottom_m, 0.0, 0.0080),
            fillet(self.radius_m, self.height_m, rim_m),
            fillet(self.radius_m - self.wall_m, self.height_m, rim_m),
            fillet(bottom_m - self.wall_m + 0.0005, self.floor_m, 0.0080),
            Corner(0.0, self.floor_m),
        ]
        return turned(body, detail.tolerance_m, detail.sides), self._handle(detail, bottom_m)

    def _handle(self, detail: Resolution, bottom_m: float) -> Part:
        from_m, long = self.handle_at * self.height_m, self.handle_m / 0.1137
        start_m = bottom_m + self.handle_at * self.flare_m - 0.001548 * self.wall_m / 0.0038
        to_m = from_m + self.handle_rise_m
        ways_m = (0.0, 0.0417 * long, 0.0767 * long, self.handle_m)
        path = Path(np.array([(start_m + x, z) for x, z in zip(ways_m, (from_m, from_m, to_m, to_m), strict=True)]))
        end_m, size = path.length_m() + 0.0060, self.handle_size
        handle = [
            Corner(0.0, 0.0),
            Corner(0.0035 * size, 0.0),
            fillet(0.0035 * size, 0.0140, 0.0080),
            fillet(0.0058 * size, 0.0380, 0.0120),
            Corner(0.0068 * size, end_m, 0.0080, 0.0045 * size),
            Corner(0.0, end_m),
        ]
        profile = subdivided(rounded_profile(handle, detail.tolerance_m), detail.tube_step_m * 2.0)
        return Part(profile, detail.tube_sides, path, widen=1.7)
