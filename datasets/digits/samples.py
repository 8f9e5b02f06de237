"""Writes one multi-digit image as the files that a shard holds under one key, and reads them back.

| member | content |
| --- | --- |
| `image.png` | (H, W) uint8 grey |
| `digits.json` | `schema`, `index`, `count`, and `digits`: a list of `PlacedDigit` |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.annotation import Box
from air3d.datasets.digits.config import DigitsConfig
from air3d.datasets.png import decode_png, encode_png
from air3d.scene3d.config_json import config_from_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene_json import MAX_JSON_BYTES, parse_json

SCHEMA = "air3d-digits/1"
MEMBERS = DigitsConfig.MEMBERS


@dataclass(frozen=True)
class PlacedDigit:
    """A digit on the canvas.

    Attributes:
        digit: its class, 0 to 9.
        source_index: its number among the digits of the source.
        size_px: the side of its square.
        left, top: the corner of its square; it may lie outside the canvas.
        box: (x0, y0, x1, y1) around its ink, x0 <= column < x1, y0 <= row < y1.
    """

    digit: int
    source_index: int
    size_px: int
    left: int
    top: int
    box: Box


@dataclass(frozen=True)
class DigitsSample:
    """A sample in memory.

    Attributes:
        index: the number of the image in its dataset.
        image: (H, W) uint8.
        digits: the digits on it.
    """

    index: int
    image: NDArray[np.uint8]
    digits: tuple[PlacedDigit, ...]


@dataclass(frozen=True)
class _Document:
    schema: str
    index: int
    count: int
    digits: tuple[PlacedDigit, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise InputError(f"schema is '{self.schema}'; this version reads '{SCHEMA}'")
        if self.count != len(self.digits) or not all(0 <= item.digit <= 9 for item in self.digits):
            raise InputError(f"count is {self.count} with {len(self.digits)} digits, or one of them is none")


def encode_sample(index: int, image: NDArray[np.uint8], digits: Sequence[PlacedDigit]) -> dict[str, bytes]:
    """The members of one sample, by name."""
    document = {"schema": SCHEMA, "index": index, "count": len(digits), "digits": [asdict(item) for item in digits]}
    return {
        "digits.json": json.dumps(document, separators=(",", ":")).encode(),
        "image.png": encode_png(image),
    }


def decode_sample(members: Mapping[str, bytes], size: int) -> DigitsSample:
    """The inverse of `encode_sample`.

    Args:
        size: the height and width that the image must have, pixels.

    Raises:
        InputError: for a damaged or foreign member.
    """
    data = members["digits.json"]
    if len(data) > MAX_JSON_BYTES:
        raise InputError(f"digits.json: {len(data)} bytes is too large")
    try:
        parsed = parse_json(data.decode(), "digits.json")
    except UnicodeDecodeError:
        raise InputError("digits.json: not a text file") from None
    document = config_from_dict(_Document, parsed, "digits.json")
    image = decode_png(members["image.png"], "L", size, size).astype(np.uint8, copy=False)
    return DigitsSample(document.index, image, document.digits)
