"""Teapots: a round body with a lid and a knob on it, a handle along +x, a spout along -x.

The lid is on and stays on, so the body is solid: a cavity nobody can see would only cost triangles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from air3d.scene3d.families.vessel import Vessel, bar, ranged, turned, underside
from air3d.scene3d.meshes.profile import REST, Corner, fillet, rounded_profile, subdivided
from air3d.scene3d.meshes.surface import Part, Path, Resolution

# The usual radius and height of the body, of which all else is measured in shares.
_RADIUS_M, _HEIGHT_M = 0.0682, 0.124


@dataclass(frozen=True)
class Teapot(Vessel):
    """A teapot.

    Attributes:
        body_m: the height of the body with its lid.
        radius_m: the radius of the body where it is widest.
        lid: the radius of the lid, as a share of the usual for this body.
        knob_m, knob_radius_m: how far the knob stands above the lid, and its radius.
        handle_m: how far the handle's control points stand off the body.
        handle_radius_m: half the handle's thickness.
        spout_m: how far the mouth of the spout stands off the body.
        spout_size: the thickness of the spout, as a share of the usual.
    """

    like_the_body = (3,)

    body_m: float = ranged(_HEIGHT_M, 0.090, 0.150)
    radius_m: float = ranged(_RADIUS_M, 0.054, 0.078)
    lid: float = ranged(1.0, 0.75, 1.30)
    knob_m: float = ranged(0.0160, 0.0100, 0.0220)
    knob_radius_m: float = ranged(0.0108, 0.0075, 0.0140)
    handle_m: float = ranged(0.0598, 0.048, 0.070)
    handle_radius_m: float = ranged(0.0065, 0.0050, 0.0080)
    spout_m: float = ranged(0.0443, 0.036, 0.056)
    spout_size: float = ranged(1.0, 0.85, 1.20)

    @property
    def height_m(self) -> float:
        """Its height with the knob."""
        return self.body_m + self.knob_m

    def parts(self, detail: Resolution) -> tuple[Part, ...]:
        """List body, knob, handle and spout."""
        wide, high = self.radius_m / _RADIUS_M, self.body_m / _HEIGHT_M
        lid = wide * self.lid
        # The edge of the lid is a small step that only the display mesh shows.
        step = [Corner(0.0335 * lid, 0.1105 * high)] if detail.tolerance_m < 0.0015 else []
        body = [
            *underside(0.0370 * wide, 0.0015, detail),
            Corner(0.0410 * wide, 0.0),
            Corner(self.radius_m, 0.0080 * high, REST, 0.0420 * high),
            Corner(self.radius_m, 0.0990 * high, REST, REST),
            Corner(0.0350 * lid, 0.1080 * high),
            *step,
            fillet(0.0200 * lid, 0.1225 * high, 0.0120 * min(lid, 1.0)),
            Corner(0.0, self.body_m),
        ]
        low_m, neck_m = self.body_m - 0.0060, self.body_m + 0.25 * self.knob_m
        knob = [
            Corner(0.0, low_m),
            Corner(0.0040, low_m),
            fillet(self.knob_radius_m, neck_m, 0.0020),
            Corner(self.knob_radius_m, self.height_m, REST, REST),
            Corner(0.0, self.height_m),
        ]
        out_m = self.radius_m + self.handle_m
        # Under a smaller lid, or on a lower body, the shoulder slopes more: there the handle starts deeper.
        deeper_m = 0.0400 * max(1.0 - self.lid, 0.0) + 0.0200 * max(1.0 - high, 0.0)
        handle = (
            (0.0520 * wide, 0.0930 * high - deeper_m),
            (out_m, 0.1080 * high),
            (out_m, 0.0360 * high),
            (0.0580 * wide, 0.0320 * high),
        )
        return (
            turned(body, detail.tolerance_m, detail.sides * 3 // 4),
            turned(knob, detail.tolerance_m, detail.tube_sides),
            bar(detail._replace(tube_step_m=detail.tube_step_m * 1.5), self.handle_radius_m, handle),
            self._spout(detail, wide, high),
        )

    def _spout(self, detail: Resolution, wide: float, high: float) -> Part:
        """Make a tapering tube from inside the body up and out, for display with an open mouth of some depth."""
        far, size = self.spout_m / 0.0443, self.spout_size
        ways_m = (0.0500 * wide, *(self.radius_m + x * far for x in (0.0298, 0.0138, 0.0443)))
        heights_m = (0.0400 * high, 0.0420 * high, 0.0900 * high, 0.1090 * high)
        path = Path(np.array([(-x, z) for x, z in zip(ways_m, heights_m, strict=True)]))
        end_m, wall_m, mouth_m = path.length_m(), 0.0020, 0.0070 * size
        outline = [
            Corner(0.0, 0.0),
            Corner(0.0160 * size, 0.0),
            fillet(0.0090 * size, end_m * 0.5, 0.0150),
            fillet(mouth_m, end_m, 0.0007),
        ]
        if wall_m > detail.tolerance_m:
            outline += [fillet(mouth_m - wall_m, end_m, 0.0007), Corner(mouth_m - 0.0025, end_m - 0.0140)]
        outline.append(Corner(0.0, outline[-1].height_m))
        profile = subdivided(rounded_profile(outline, detail.tolerance_m), detail.tube_step_m * 2.0)
        return Part(profile, detail.tube_sides, path)
