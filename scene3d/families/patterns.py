"""Paints glazes: patterns in metres on a vessel's surface, as a texture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from air3d.scene3d.arrays import Floats, Pixels
from air3d.scene3d.families.glaze import Glaze
from air3d.scene3d.families.unwrapped import Canvas, canvas
from air3d.scene3d.families.vessel import Vessel

DISPLAY_PIXELS, INFERENCE_PIXELS = 256, 128
# Half the width of the blend between two colours, metres: about a pixel.
_SOFT_M = 0.0006
_SPECKLE_SEED = 7


def painted(vessel: Vessel, glaze: Glaze) -> tuple[Pixels, Pixels]:
    """Paint the textures (R, R, 3) of sRGB bytes for display and for inference, which is the other's mean."""
    surface = canvas(vessel, DISPLAY_PIXELS)
    base = np.where(surface.inside[:, None], glaze.inside, glaze.colour)
    base = np.where(surface.fittings[:, None], glaze.fittings, base)[:, None]
    picture = np.broadcast_to(base, (DISPLAY_PIXELS, DISPLAY_PIXELS, 3))
    if glaze.pattern != "plain":
        cover = np.broadcast_to(_PATTERNS[glaze.pattern](surface, glaze), picture.shape[:2])
        shown = ~(surface.fittings | surface.plain)
        if glaze.pattern != "rim":
            shown = shown & np.where(surface.inside, "inside" in vessel.decorated, "outside" in vessel.decorated)
        cover = (cover * shown[:, None])[..., None]
        picture = (1.0 - cover) * picture + cover * np.array(glaze.accent)
    step = DISPLAY_PIXELS // INFERENCE_PIXELS
    coarse = picture.reshape(INFERENCE_PIXELS, step, INFERENCE_PIXELS, step, 3).mean(axis=(1, 3))
    return _bytes(picture), _bytes(coarse)


def _bytes(picture: Floats) -> Pixels:
    # Rounding twice: a last bit that differs between platforms does not reach the bytes.
    return np.rint(np.round(255.0 * picture, 6)).astype(np.uint8)


def _within(depth_m: Floats) -> Floats:
    """How much of a pixel is covered whose middle lies so deep inside a shape; below 0 it is outside."""
    return np.clip(0.5 + depth_m / (2.0 * _SOFT_M), 0.0, 1.0)


def _rim(surface: Canvas, glaze: Glaze) -> Floats:
    return _within(0.0015 + 0.0035 * glaze.size - surface.rim_m)[:, None]


def _bands(surface: Canvas, glaze: Glaze) -> Floats:
    half_m, cover = 0.001 + 0.004 * glaze.size, np.zeros(len(surface.rim_m))
    for number in range(glaze.count):
        middle_m = 0.012 + number * (2.0 * half_m + 0.006)
        cover = np.maximum(cover, _within(half_m - abs(surface.rim_m - middle_m)))
    return cover[:, None]


def _stripes(surface: Canvas, glaze: Glaze) -> Floats:
    half_turn = (0.15 + 0.2 * glaze.size) / glaze.around
    ends = _within(np.minimum(surface.rim_m - 0.006, (0.70 - surface.share) * 0.1))
    return ends[:, None] * _within((half_turn - _nearest(surface, glaze.around)) * _around_m(surface))


def _dots(surface: Canvas, glaze: Glaze) -> Floats:
    rows, widest_m = min(glaze.count, 3), surface.radius_m.max()
    room_m = 2.0 * np.pi * widest_m / glaze.around
    dot_m = room_m * (0.16 + 0.14 * glaze.size)
    cover = np.zeros((len(surface.rim_m), len(surface.turn)))
    for row in range(rows):
        middle_m = 0.010 + dot_m + row * max(0.9 * room_m, 2.2 * dot_m)
        across_m = _nearest(surface, glaze.around, 0.5 * (row % 2)) * _around_m(surface)
        along_m = abs(surface.rim_m - middle_m)
        # Where the surface narrows dots would run into each other.
        if surface.radius_m[along_m < dot_m].min() > 0.62 * widest_m or row == 0:
            cover = np.maximum(cover, _within(dot_m - np.hypot(across_m, along_m[:, None])))
    return cover


def _waves(surface: Canvas, glaze: Glaze) -> Floats:
    high_m, half_m = 0.004 + 0.006 * glaze.size, 0.0015 + 0.0015 * glaze.size
    middle_m = 0.016 + high_m + high_m * np.cos(2.0 * np.pi * glaze.around * surface.turn)
    # The wave's slope makes its line thinner than it is measured along the vertical.
    slope = 2.0 * np.pi * glaze.around * high_m * np.sin(2.0 * np.pi * glaze.around * surface.turn) / _around_m(surface)
    away_m = abs(surface.rim_m[:, None] - middle_m) / np.hypot(1.0, slope)
    # Towards the middle of a floor the slope has no bounds.
    return _within(half_m - away_m) * (surface.rim_m < 0.020 + 2.0 * high_m)[:, None]


def _dipped(surface: Canvas, glaze: Glaze) -> Floats:
    return _within((surface.share - 0.25 - 0.35 * glaze.size) * 0.1)[:, None]


def _speckles(surface: Canvas, glaze: Glaze) -> Floats:
    """Spots at random places of a grid's cells, few of them large."""
    columns, rows = 48, 40
    rng = np.random.Generator(np.random.PCG64((_SPECKLE_SEED, glaze.count, round(1e4 * glaze.size))))
    place, spot_m = 0.2 + 0.6 * rng.random((2, 2 * rows, columns)), 0.0015 * rng.random((2 * rows, columns)) ** 3
    row = np.minimum((surface.share * rows).astype(np.int64), rows - 1) + np.where(surface.inside, rows, 0)
    column = (surface.turn * columns).astype(np.int64)
    across = (surface.turn * columns) % 1.0 - place[0][np.ix_(row, column)]
    along = ((surface.share * rows) % 1.0)[:, None] - place[1][np.ix_(row, column)]
    length_m = surface.rim_m.max() / rows
    away_m = np.hypot(across * _around_m(surface) / columns, along * length_m)
    return _within(spot_m[np.ix_(row, column)] + 0.0003 - away_m)


def _around_m(surface: Canvas) -> Floats:
    """The length once around, (R, 1)."""
    return np.maximum(2.0 * np.pi * surface.radius_m[:, None], 1e-6)


def _nearest(surface: Canvas, around: int, offset: float = 0.0) -> Floats:
    """How far, in turns, each column (R,) is from the nearest of so many places around."""
    return np.asarray(abs((surface.turn * around + offset) % 1.0 - 0.5) / around)


_PATTERNS: dict[str, Callable[[Canvas, Glaze], Floats]] = {
    "rim": _rim,
    "bands": _bands,
    "stripes": _stripes,
    "dots": _dots,
    "waves": _waves,
    "dipped": _dipped,
    "speckles": _speckles,
}
