"""Bowls: round ones on a low foot, from deep to wide, from rounded to angular."""

from __future__ import annotations

from dataclasses import dataclass

from air3d.scene3d.families.vessel import Vessel, ranged, turned, underside
from air3d.scene3d.meshes.profile import Corner, fillet
from air3d.scene3d.meshes.surface import Part, Resolution


@dataclass(frozen=True)
class Bowl(Vessel):
    """A bowl.

    Attributes:
        height_m: its height.
        radius_m: the outer radius at the rim.
        flare_m: how far the rim stands out beyond the bend of the wall.
        foot_m, foot_height_m: the radius and the height of the foot.
        wall_m: the thickness of the wall.
        roundness: the size of the bend, as a share of the largest that fits.
    """

    decorated = ("outside", "inside")

    height_m: float = ranged(0.065, 0.045, 0.085)
    radius_m: float = ranged(0.0737, 0.058, 0.100)
    flare_m: float = ranged(0.0077, 0.0020, 0.0150)
    foot_m: float = ranged(0.0320, 0.0240, 0.0340)
    foot_height_m: float = ranged(0.0040, 0.0030, 0.0090)
    wall_m: float = ranged(0.0046, 0.0036, 0.0060)
    roundness: float = ranged(1.0, 0.45, 1.0)

    def parts(self, detail: Resolution) -> tuple[Part, ...]:
        """List the one part."""
        rim_m = 0.0022 * self.wall_m / 0.0046
        bend_m, low_m, floor_m = self.radius_m - self.flare_m, self.foot_height_m + 0.0020, self.foot_height_m + 0.0060
        run_m = bend_m - self.foot_m - 0.0005
        outer_m, inner_m = (
            self.roundness * min(run_m + more_m, 0.85 * (self.height_m - from_m))
            for more_m, from_m in ((0.0, low_m), (0.0010, floor_m))
        )
        outline = [
            *underside(self.foot_m - 0.0050, 0.0012, detail),
            fillet(self.foot_m, 0.0, 0.0010),
            Corner(self.foot_m, self.foot_height_m),
            fillet(bend_m, low_m, outer_m),
            fillet(self.radius_m, self.height_m, rim_m),
            fillet(self.radius_m - self.wall_m, self.height_m, rim_m),
            fillet(bend_m - self.wall_m + 0.0001, floor_m, inner_m),
            Corner(0.0, floor_m),
        ]
        return (turned(outline, detail.tolerance_m * 1.25, detail.sides * 7 // 8),)
