"""The ground that objects fall onto: level tops, and walls around them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from air3d.scene3d.arguments import Vec3
from air3d.scene3d.arrays import Bools, Floats
from air3d.scene3d.surface import Surface

# An origin may be this far below the top that carries its object: that of one that hangs over an edge.
_BELOW_M = 0.05


class Wall(NamedTuple):
    """A box with sides along the axes: half of them, and its centre, metres."""

    half_m: Vec3
    position_m: Vec3


class Ground(NamedTuple):
    """Tops that objects may touch, and what is in their way.

    Attributes:
        tops: the tops.
        walls: boxes.
        scenery: the full name of a scenery, whose bodies for collisions stand at the world's origin; None without one.
    """

    tops: tuple[Surface, ...]
    walls: tuple[Wall, ...] = ()
    scenery: str | None = None

    def __str__(self) -> str:
        one = self.tops[0]
        return str(one.region) if len(self.tops) == 1 else f"on {len(self.tops)} surfaces"

    @property
    def level_m(self) -> float | None:
        """The height of the one top, which then counts as endless; None if there are several."""
        return self.tops[0].position_m[2] if len(self.tops) == 1 else None

    def holds(self, points_m: Floats) -> Bools:
        """Tell which points (..., 3) are above a top, or a little below it: (...)."""
        return np.asarray(
            np.any([t.contains(points_m) & (points_m[..., 2] > t.position_m[2] - _BELOW_M) for t in self.tops], axis=0)
        )
