"""Textures that objects and tablecloths may wear: patterns in two colours, and pictures, which multiply their colour.

`TEXTURES` are drawn by formula. A picture is known as the user's own kinds are, by a full name (NAME@DIGEST), and
carried with them: any of those kinds that has a texture lends it. A texture covers a square of `TILE_M`, laid onto a
mesh from the six sides of a box, except where the mesh has texture coordinates of its own.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from air3d.scene3d.arrays import Floats
from air3d.scene3d.kind import Circle, Kind
from air3d.scene3d.own_kinds import install, is_own, own_kind, own_path
from air3d.scene3d.patterns import PATTERNS, pattern
from air3d.scene3d.symmetry import Symmetry

PLAIN = "plain"
# Of each pattern one in few and one in many periods.
_PERIODS = {"checker": (2, 4), "stripes": (2, 5), "waves": (1, 3), "dots": (2, 5), "noise": (1, 2)}
TEXTURES = (PLAIN, *(f"{name}-{periods}" for name in PATTERNS for periods in _PERIODS[name]))

SIDE_PX = 128
# How the names of textures that anything may wear begin in compiled models.
WORN = "worn"
TILE_M = 0.10
_SEED = 20251130


def is_texture(name: object) -> bool:
    """Tell whether it is the name of a texture: one of `TEXTURES`, or an own kind's that has one and is known here."""
    return name in TEXTURES or (isinstance(name, str) and is_own(name) and own_kind(name).texture is not None)


@lru_cache(maxsize=256)
def texture_pixels(name: str) -> NDArray[np.uint8]:
    """The texels of a texture, sRGB, white where the wearer's colour shows as it is.

    Returns:
        (side, side, 3); the side is a power of two, of those by formula SIDE_PX.
    """
    if name not in TEXTURES:
        with Image.open(own_path(name, "textures", str(own_kind(name).texture))) as opened:
            return np.array(opened.convert("RGB"))
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


def picture_texture(pixels: NDArray[np.uint8]) -> str:
    """Keep a picture, (SIDE_PX, SIDE_PX, 3), as a texture in the user's cache of own kinds; return its full name.

    The kind is a tile that shows it.

    Raises:
        InputError: if no cache can be written.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    half = TILE_M / 2.0
    tile = Kind("picture", (1.0, 1.0, 1.0), half, (Circle(0.0, 0.0, 1.5 * half),), Symmetry())
    return install(tile, {"inference.obj": _TILE, "display.obj": _TILE, "texture.png": file.getvalue()})


_TILE = b"""o picture
v -0.05 -0.05 0.0
v 0.05 -0.05 0.0
v 0.05 0.05 0.0
v -0.05 0.05 0.0
vt 0.0 0.0
vt 1.0 0.0
vt 1.0 1.0
vt 0.0 1.0
vn 0.0 0.0 1.0
f 1/1/1 2/2/1 3/3/1
f 1/1/1 3/3/1 4/4/1
"""


def box_coordinates(corners_m: Floats) -> Floats:
    """Texture coordinates (F, 3, 2) of triangles (F, 3, 3): the two axes across the one that they face most."""
    normals = np.cross(corners_m[:, 1] - corners_m[:, 0], corners_m[:, 2] - corners_m[:, 0])
    across = np.array([(1, 2), (0, 2), (0, 1)])[np.abs(normals).argmax(axis=1)]
    return np.take_along_axis(corners_m, across[:, None, :], axis=2) / TILE_M
