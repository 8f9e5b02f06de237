"""Backdrops: what is seen behind table and objects, where the renderer saw nothing.

Colour alone: a backdrop is infinitely far away, so depth and segmentation know nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arguments import check_number, tidy
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.patterns import PATTERNS, pattern

# What a backdrop is without pictures, each as likely as any other.
FORMULAS = ("plain", "gradient", *PATTERNS)
# Periods of a pattern across the height of the image.
_FEWEST, _MOST = 0.5, 8.0


@dataclass(frozen=True)
class Backdrop:
    """The backdrops of a dataset.

    Attributes:
        strength: the probability that a scene has one; the others keep what the renderer draws.
        pictures: sha256 of the pictures that half of the backdrops are cut from; empty for none.
    """

    strength: float = 0.0
    pictures: str = ""

    def __post_init__(self) -> None:
        tidy(self)
        check_number("backdrop", "strength", self.strength, 0.0, 1.0)
        if len(str(self.pictures)) not in (0, 64):
            raise InputError(f"backdrop: pictures is {shown(self.pictures)}; give a sha256 in hex, or an empty text")


def draw_backdrop(
    rng: np.random.Generator, height: int, width: int, pictures: Sequence[NDArray[np.uint8]] = ()
) -> tuple[str, NDArray[np.uint8]]:
    """Draw a backdrop: one colour, or two in a gradient or a pattern, or a piece of a picture.

    Args:
        pictures: (h, w, 3) uint8 each, of any size; if there are some, half of the backdrops are pieces of them.

    Returns:
        Its name, one of `FORMULAS` or "picture", and (height, width, 3) uint8.
    """
    if pictures and rng.random() < 0.5:
        return "picture", _piece(rng, pictures[int(rng.integers(len(pictures)))], height, width)
    name = FORMULAS[int(rng.integers(len(FORMULAS)))]
    first, second = rng.random((2, 3))
    share = _share(rng, name, height, width)[..., None]
    return name, np.rint(255.0 * (first + share * (second - first))).astype(np.uint8)


def _share(rng: np.random.Generator, name: str, height: int, width: int) -> NDArray[np.float64]:
    """Draw the share of the second colour in every pixel, (height, width), under a random direction and size."""
    angle = 2.0 * math.pi * rng.random()
    rows, columns = np.mgrid[:height, :width]
    down, right = (rows + 0.5) / height - 0.5, (columns + 0.5 - width / 2.0) / height
    x, y = math.cos(angle) * right + math.sin(angle) * down, math.cos(angle) * down - math.sin(angle) * right
    if name == "plain":
        return np.zeros((height, width))
    if name == "gradient":
        return np.asarray((x - x.min()) / max(float(np.ptp(x)), 1e-12))
    periods = _FEWEST * (_MOST / _FEWEST) ** rng.random()
    shift_x, shift_y = rng.random(2)
    return pattern(name, periods * x + shift_x, periods * y + shift_y, rng)


def _piece(rng: np.random.Generator, picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cut a piece of the image's aspect, between half of and all that fits, at a random place; mirror every other."""
    from PIL import Image

    share = 0.5 + 0.5 * rng.random()
    fits = share * min(picture.shape[0] / height, picture.shape[1] / width)
    high, wide = (max(1, round(fits * side)) for side in (height, width))
    top, left = (int(rng.integers(whole - part + 1)) for whole, part in zip(picture.shape, (high, wide), strict=False))
    piece = picture[top : top + high, left : left + wide]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    how = Image.Resampling.BOX if high > height else Image.Resampling.BICUBIC
    return np.array(Image.fromarray(np.ascontiguousarray(piece)).resize((width, height), how))
