"""Summarises a multi-digit dataset in numbers and in one picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from air3d.datasets.contact_sheet import in_rows
from air3d.datasets.digits.reader import DigitsDataset
from air3d.datasets.digits.samples import DigitsSample, PlacedDigit

_ENLARGED, _BOX = 4, "#ffe14d"


@dataclass(frozen=True)
class DigitsSummary:
    """The numbers that describe one dataset.

    Attributes:
        folder, content, preset, source, split, seed, image_size: are taken from the manifest.
        samples, shards, size_bytes: are totals.
        counts: the number of images by their number of digits.
        digits: the number of digits of each class.
        digit_px: the least and greatest side of a digit's square, pixels; None without digits.
        ink_px: the mean width and height of the box around a digit's ink, pixels; None without digits.
        made_with: the versions that made the dataset.
    """

    folder: str
    content: str
    preset: str
    source: str
    split: str
    seed: int
    image_size: int
    samples: int
    shards: int
    size_bytes: int
    counts: dict[str, int]
    digits: dict[str, int]
    digit_px: tuple[int, int] | None
    ink_px: tuple[float, float] | None
    made_with: tuple[dict[str, str], ...]


def summarise(dataset: DigitsDataset) -> DigitsSummary:
    """Read every sample and count. Raises InputError if one is damaged."""
    counts: Counter[int] = Counter()
    placed: list[PlacedDigit] = []
    for sample in dataset:
        counts[len(sample.digits)] += 1
        placed += sample.digits
    classes = Counter(item.digit for item in placed)
    sides = [item.size_px for item in placed]
    boxes = np.array([item.box for item in placed], dtype=np.float64).reshape(-1, 4)
    width, height = (boxes[:, 2:] - boxes[:, :2]).mean(axis=0) if placed else (0.0, 0.0)
    config, manifest = dataset.config, dataset.manifest
    return DigitsSummary(
        folder=str(dataset.folder),
        content=config.content,
        preset=config.preset,
        source=config.source,
        split=config.split,
        seed=config.seed,
        image_size=config.canvas,
        samples=len(dataset),
        shards=config.shards,
        size_bytes=sum(entry.size_bytes for entry in manifest.shards),
        counts={str(n): counts[n] for n in sorted(config.counts)},
        digits={str(k): classes[k] for k in range(10)},
        digit_px=(min(sides), max(sides)) if placed else None,
        ink_px=(float(width), float(height)) if placed else None,
        made_with=manifest.made_with,
    )


def digits_sheet(samples: Sequence[DigitsSample]) -> NDArray[np.uint8]:
    """Draw enlarged images with a yellow box and the class at each digit: (H, W, 3) uint8."""
    return in_rows([_tile(sample) for sample in samples])


def _tile(sample: DigitsSample) -> Image.Image:
    size = len(sample.image) * _ENLARGED
    tile = Image.fromarray(sample.image).resize((size, size), Image.Resampling.NEAREST).convert("RGB")
    draw = ImageDraw.Draw(tile)
    for item in sample.digits:
        x0, y0, x1, y1 = (value * _ENLARGED for value in item.box)
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=_BOX)
        draw.text((x0 + 3, y0 + 1), str(item.digit), fill=_BOX)
    draw.text((3, size - 13), f"#{sample.index}", fill="white")
    return tile
