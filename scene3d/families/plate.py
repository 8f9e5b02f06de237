"""Plates: a foot, a flat well, and a rim that rises outward; deep ones are soup plates."""

from __future__ import annotations

from dataclasses import dataclass

from air3d.scene3d.families.vessel import Vessel, ranged, turned, underside
from air3d.scene3d.meshes.profile import Corner, fillet
from air3d.scene3d.meshes.surface import Part, Resolution


@dataclass(frozen=True)
class Plate(Vessel):
    """A plate.

    Attributes:
        radius_m: its outer radius.
        rim_m: the width of the rim.
        rise_m: how far the rim rises outward.
        depth_m: how deep the well lies below the rim's inner edge.
        wall_m, floor_m: the thickness of the rim and the height of the well's floor above the table.
    """

    decorated = ("inside",)

    radius_m: float = ranged(0.099, 0.080, 0.135)
    rim_m: float = ranged(0.030, 0.014, 0.036)
    rise_m: float = ranged(0.0095, 0.0040, 0.0120)
    depth_m: float = ranged(0.0075, 0.0050, 0.0200)
    wall_m: float = ranged(0.0040, 0.0034, 0.0052)
    floor_m: float = ranged(0.0050, 0.0045, 0.0065)

    @property
    def height_m(self) -> float:
        """Its height."""
        return self.floor_m + self.depth_m + self.rise_m

    def parts(self, detail: Resolution) -> tuple[Part, ...]:
        """List the one part."""
        detail = detail._replace(sides=detail.sides * 5 // 4)
        well_m = self.radius_m - self.rim_m
        # The deeper, the gentler the well's wall.
        run_m = 0.0030 + 0.8 * self.depth_m
        soft, thick = min(1.0, run_m / 0.0090), self.wall_m / 0.0040
        flat_m, bend_m, top_m = well_m - run_m, self.floor_m + self.depth_m, self.height_m
        outline = [
            *underside(flat_m - 0.0060, 0.0015, detail),
            fillet(flat_m - 0.0020, 0.0, 0.0010),
            fillet(well_m + 0.0010, bend_m - self.wall_m, 0.0050 * soft),
            fillet(self.radius_m, top_m - self.wall_m + 0.0004, 0.0014 * thick),
            fillet(self.radius_m, top_m, 0.0014 * thick),
            fillet(self.radius_m - 0.0022 * thick, top_m, 0.0006),
            fillet(well_m, bend_m, 0.0050 * soft),
            fillet(flat_m, self.floor_m, 0.0060 * soft),
            Corner(0.0, self.floor_m),
        ]
        return (turned(outline, detail.tolerance_m, detail.sides),)
