"""Composes an image from (config, index): draws how many digits, which, their sizes and places, until none overlap.

Image i is drawn from a stream of its own (`air3d.datasets.generation.scene_rng`), which depends on (config, seed, i)
alone.
Places are drawn independently and uniformly among those that leave all ink on the canvas ("apart") or the digit's
whole square ("sum"), and redrawn together while the rule refuses them. If digits cannot be placed in 1,000 attempts,
other digits are drawn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.annotation import Box, mask_boxes
from air3d.datasets.digits.config import DigitsConfig
from air3d.datasets.digits.samples import PlacedDigit, encode_sample
from air3d.datasets.digits.sources import SIDE_PX, DigitSet, load_digits, resized
from air3d.datasets.generation import scene_rng
from air3d.datasets.recipe import Samples
from air3d.scene3d.errors import InputError

_PLACES, _AT_ONCE = 1000, 50
_REDRAWS = 100
_SMALLEST_PX = 4


class Composite(NamedTuple):
    """An image and its digits.

    Attributes:
        image: (canvas, canvas) uint8.
        digits: its digits in the order in which they were drawn, which means nothing.
    """

    image: NDArray[np.uint8]
    digits: tuple[PlacedDigit, ...]


def compose(config: DigitsConfig, source: DigitSet, index: int) -> Composite:
    """Compose image `index` of a dataset.

    Args:
        source: the digits that the config names.

    Raises:
        InputError: if so many digits cannot be placed.
    """
    rng = scene_rng(config.seed, index)
    count = config.counts[rng.integers(len(config.counts))]
    for _ in range(_REDRAWS):
        chosen = rng.integers(len(source), size=count)
        sizes = [_draw_size(config, rng) for _ in chosen]
        patches = [
            source.images[k] if size == SIDE_PX else resized(source.images[k], size)
            for k, size in zip(chosen, sizes, strict=True)
        ]
        boxes = [_ink(patch) for patch in patches]
        corners = _place(config, patches, boxes, rng)
        if corners is None:
            continue
        image = np.zeros((config.canvas, config.canvas), dtype=np.uint8)
        digits = []
        for k, patch, box, corner in zip(chosen, patches, boxes, corners, strict=True):
            left, top = corner
            x0, y0, x1, y1 = box
            # Pixels without ink may stick out of the canvas, so only the box is written.
            image[top + y0 : top + y1, left + x0 : left + x1] += patch[y0:y1, x0:x1]
            digits.append(
                PlacedDigit(
                    digit=int(source.labels[k]),
                    source_index=int(k),
                    size_px=len(patch),
                    left=left,
                    top=top,
                    box=(left + x0, top + y0, left + x1, top + y1),
                )
            )
        return Composite(image, tuple(digits))
    raise InputError(
        f"image {index}: {count} digits do not fit onto {config.canvas}x{config.canvas} pixels; use fewer --counts or "
        "a larger --canvas"
    )


def _draw_size(config: DigitsConfig, rng: np.random.Generator) -> int:
    """Draw the side of a digit, pixels; a size that the canvas or the eye cannot take is drawn again."""
    while True:
        shrink = config.shrink_mean + config.shrink_std * rng.standard_normal()
        size = int(SIDE_PX / shrink) if shrink > 0.0 else 0
        if _SMALLEST_PX <= size <= config.canvas:
            return size


def _ink(patch: NDArray[np.uint8]) -> Box:
    """The box around the pixels that are not black; the whole patch if all are."""
    return mask_boxes(patch[None] > 0)[0] or (0, 0, *patch.shape[::-1])


def _place(
    config: DigitsConfig, patches: list[NDArray[np.uint8]], boxes: list[Box], rng: np.random.Generator
) -> list[tuple[int, int]] | None:
    """Draw left and top of every patch such that the rule holds; None after many attempts."""
    if not patches:
        return []
    inside = boxes if config.rule == "apart" else [(0, 0, len(patch), len(patch)) for patch in patches]
    low, high = -np.array(inside)[:, :2], config.canvas - np.array(inside)[:, 2:]
    for _ in range(_PLACES // _AT_ONCE):
        corners = rng.integers(low, high, size=(_AT_ONCE, len(patches), 2), endpoint=True)
        if config.rule == "apart":
            allowed = _apart(corners, np.array(boxes))
        else:
            allowed = np.array([_adds_up(config.canvas, patches, drawn) for drawn in corners])
        if allowed.any():
            return [(int(left), int(top)) for left, top in corners[allowed.argmax()]]
    return None


def _apart(corners: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(T,) bool: whether no two boxes (N, 4) overlap when moved to the corners (T, N, 2)."""
    low, high = corners + boxes[:, :2], corners + boxes[:, 2:]
    meet = (low[:, :, None] < high[:, None]) & (low[:, None] < high[:, :, None])  # (T, N, N, 2)
    pairs = np.triu(np.ones((len(boxes), len(boxes)), dtype=bool), k=1)
    return np.asarray(~(meet.all(-1) & pairs).any(axis=(1, 2)))


def _adds_up(canvas: int, patches: list[NDArray[np.uint8]], corners: NDArray[np.int64]) -> bool:
    total = np.zeros((canvas, canvas), dtype=np.int64)
    for patch, (left, top) in zip(patches, corners, strict=True):
        total[top : top + len(patch), left : left + len(patch)] += patch
    return bool(total.max() <= 255)


@dataclass(frozen=True)
class DigitsRecipe:
    """Makes the samples of a multi-digit dataset; see `air3d.datasets.recipe.Recipe`.

    Attributes:
        config: describes the dataset.
        mnist_dir: the folder with MNIST's files; None for the cache.
    """

    config: DigitsConfig
    mnist_dir: Path | None

    @contextlib.contextmanager
    def open(self) -> Iterator[Samples]:
        """Load the digits; raises InputError if they are not those that the config names."""
        source = load_digits(self.config.source, self.config.split, self.mnist_dir)
        if source.sha256 != self.config.source_sha256:
            raise InputError("the digits are not those that the dataset was begun with; name their folder again")

        def samples(indices: range) -> Iterator[Mapping[str, bytes]]:
            return (encode_sample(index, *compose(self.config, source, index)) for index in indices)

        yield samples
