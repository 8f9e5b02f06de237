"""The textures: the cylinder's checkerboard and the table's wood, as arrays of sRGB bytes, row 0 at the top."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.meshes.profile import Array
from air3d.scene3d.meshes.table import PLANK_COLOURS, PLANKS

LIGHT = (235, 230, 215)
DARK = (40, 40, 48)
CAP = (140, 140, 140)

# Where the cylinder's parts lie in v. Between them the colours run on, so that filtering mixes in nothing foreign.
SIDE_V = (0.125, 0.625)
CAP_V = 0.875

_CYLINDER_PIXELS = 256
_TABLE_PIXELS = 512
_GRAIN_SEED = 20160324
_SEAM_PIXELS = 1.5


def cylinder_texture() -> NDArray[np.uint8]:
    """Checkerboard (256, 256, 3): u runs once round the side, v up; light where sin(2 theta) (z - h/2) > 0."""
    n = _CYLINDER_PIXELS
    u = (np.arange(n) + 0.5) / n
    v = 1.0 - (np.arange(n)[:, None] + 0.5) / n
    odd_sector = np.floor(4.0 * u) % 2.0 == 1.0
    upper = v > (SIDE_V[0] + SIDE_V[1]) / 2.0
    side = np.where((upper != odd_sector)[..., None], LIGHT, DARK)
    return np.where((v < (SIDE_V[1] + CAP_V) / 2.0)[..., None], side, CAP).astype(np.uint8)


def table_texture() -> NDArray[np.uint8]:
    """Wood (512, 512, 3) seen from above, +x to the right, +y up: planks along y with grain and dark seams.

    Each plank keeps its colour of `PLANK_COLOURS` on average, but for the seams.
    """
    rng = np.random.Generator(np.random.PCG64(_GRAIN_SEED))
    n = _TABLE_PIXELS
    x = (np.arange(n) + 0.5) / n
    picture = np.empty((n, n, 3))
    for i, colour in enumerate(PLANK_COLOURS):
        columns = (x >= i / PLANKS) & (x < (i + 1) / PLANKS)
        across = x[columns] * PLANKS - i
        grain = _grain(rng, across, x)
        grain -= grain.mean()
        # Distance to the plank's nearer edge in pixels; there is no seam at the rim of the table.
        left, right = across * n / PLANKS + 99.0 * (i == 0), (1.0 - across) * n / PLANKS + 99.0 * (i == PLANKS - 1)
        seam = np.clip(np.minimum(left, right) / _SEAM_PIXELS, 0.45, 1.0)
        picture[:, columns] = np.array(colour) * ((1.0 + 0.22 * grain) * seam)[..., None]
    return np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


def _grain(rng: np.random.Generator, across: Array, along: Array) -> Array:
    """Grain (len(along), len(across)) of one plank, about -1 to 1: wavy year rings, fine fibres, broad shades."""
    # Only sums, products and floors: no library sine whose last bit differs between platforms.
    bend = _noise(rng, along * 2.5, across * 1.5)
    rings = _wave(across * 5.0 + 2.6 * bend + rng.random())
    fibres = _noise(rng, along * 9.0, across * 40.0)
    shade = _noise(rng, along * 2.0, across * 3.0)
    return 0.55 * (rings - 0.5) + 0.8 * (fibres - 0.5) + 0.7 * (shade - 0.5)


def _wave(phase: Array) -> Array:
    """A smooth wave of period 1 between 0 and 1."""
    triangle = np.abs(2.0 * (phase - np.floor(phase)) - 1.0)
    return triangle * triangle * (3.0 - 2.0 * triangle)


def _noise(rng: np.random.Generator, rows: Array, columns: Array) -> Array:
    """Value noise in [0, 1], shape (len(rows), len(columns)): random values at integers, smoothly joined."""
    lattice = rng.random((int(rows.max()) + 2, int(columns.max()) + 2))
    i, j = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    a, b = rows - i, columns - j
    a, b = (a * a * (3.0 - 2.0 * a))[:, None], b * b * (3.0 - 2.0 * b)
    top = lattice[i][:, j] * (1.0 - b) + lattice[i][:, j + 1] * b
    bottom = lattice[i + 1][:, j] * (1.0 - b) + lattice[i + 1][:, j + 1] * b
    return np.asarray(top * (1.0 - a) + bottom * a)
