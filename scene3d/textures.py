"""The bank of textures that objects and tablecloths may wear: patterns in two colours, which multiply the wearer's own.

A texture covers a square of `TILE_M`, laid onto a mesh from the six sides of a box, except where the mesh has texture
coordinates of its own.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats
from air3d.scene3d.patterns import PATTERNS, pattern

PLAIN = "plain"
# Of each pattern one in few and one in many periods.
_PERIODS = {"checker": (2, 4), "stripes": (2, 5), "waves": (1, 3), "dots": (2, 5), "noise": (1, 2)}
TEXTURES = (PLAIN, *(f"{name}-{periods}" for name in PATTERNS for periods in _PERIODS[name]))

SIDE_PX = 128
TILE_M = 0.10
_SEED = 20251130


@lru_cache(maxsize=len(TEXTURES))
def texture_pixels(name: str) -> NDArray[np.uint8]:
    """The texels of a texture, (SIDE_PX, SIDE_PX, 3) sRGB, periodic; white where the wearer's colour shows as it is."""
    number = TEXTURES.index(name)
    if name == PLAIN:
        return np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    kind, _, periods = name.partition("-")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(_SEED, spawn_key=(number,))))
    # A strong tone, so that the pattern shows on any colour.
    tone = rng.permutation([0.05, 0.35, 0.75])
    y, x = (np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5) / SIDE_PX * float(periods)
    share = pattern(kind, x, y, rng)[..., None]
    return np.rint(255.0 * (1.0 + share * (tone - 1.0))).astype(np.uint8)


def box_coordinates(corners_m: Floats) -> Floats:
    """Texture coordinates (F, 3, 2) of triangles (F, 3, 3): the two axes across the one that they face most."""
    normals = np.cross(corners_m[:, 1] - corners_m[:, 0], corners_m[:, 2] - corners_m[:, 0])
    across = np.array([(1, 2), (0, 2), (0, 1)])[np.abs(normals).argmax(axis=1)]
    return np.take_along_axis(corners_m, across[:, None, :], axis=2) / TILE_M
