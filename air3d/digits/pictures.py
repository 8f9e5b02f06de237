"""Reads picture files for the 2D track, and refuses clearly those of another kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.pictures import as_picture
from air3d.scene3d.errors import InputError
from air3d.scene3d.picture_file import read_rgb

_COLOUR = 8  # levels between channels, more than what compression does to grey
_DARK = 127


def read_digits_picture(path: Path, size: int, notes: list[str] | None = None) -> NDArray[np.uint8]:
    """Read a square grey picture, bright digits on dark, scaled to (size, size) uint8.

    Args:
        notes: collects the notes of `read_rgb`.

    Raises:
        InputError: if it cannot be read, or is of another kind: not square, in colour, dark on bright.
    """
    whole = read_rgb(path, notes=notes)
    height, width = whole.shape[:2]
    if width != height:
        raise InputError(f"{path}: is {width}x{height} pixels; this model explains square images, {size}x{size}")
    pixels = as_picture(whole, size)
    spread = pixels.max(axis=2).astype(np.int64) - pixels.min(axis=2)
    if spread.mean() > _COLOUR:
        raise InputError(f"{path}: is in colour; this model explains grey images of bright digits on dark")
    grey = np.rint(pixels.mean(axis=2)).astype(np.uint8)
    if np.median(grey) > _DARK:
        raise InputError(f"{path}: is bright; this model explains bright digits on dark, so invert it first")
    return grey
