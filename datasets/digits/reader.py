"""Reads a multi-digit dataset: samples one by one, or all images and counts as arrays; without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.digits.config import DigitsConfig
from air3d.datasets.digits.samples import MEMBERS, DigitsSample, decode_sample
from air3d.datasets.shard_reader import ShardReader
from air3d.scene3d.errors import InputError

_MAX_BYTES = 8 << 30


class DigitsArrays(NamedTuple):
    """A dataset in memory.

    Attributes:
        images: (B, S, S) uint8.
        counts: (B,) int64, the number of digits in each image.
        digits: (B, N) int64, their classes in the order of `PlacedDigit`s, -1 where there is none.
        boxes: (B, N, 4) int64, [x0, y0, x1, y1] of their ink, 0 where there is none.
    """

    images: NDArray[np.uint8]
    counts: NDArray[np.int64]
    digits: NDArray[np.int64]
    boxes: NDArray[np.int64]


class DigitsDataset(ShardReader[DigitsConfig]):
    """The samples of a generated dataset, `len(dataset)` and `dataset[i]`."""

    def __init__(self, folder: Path | str) -> None:
        """Open a dataset. Raises InputError if the folder holds no complete multi-digit one."""
        super().__init__(folder, DigitsConfig)

    def __getitem__(self, index: int) -> DigitsSample:
        """Read sample `index`; negative ones count from the end.

        Raises:
            IndexError: if there is no such sample.
            InputError: if its shard is missing or damaged; the message names the file.
        """
        index = self.position(index)
        members = self.read(index, MEMBERS)
        with self.naming(index):
            self.check(index, members, MEMBERS)
        return self._decode(index, members)

    def __iter__(self) -> Iterator[DigitsSample]:
        return (self._decode(index, members) for index, members in enumerate(self.read_all(len(self))))

    def arrays(self, limit: int | None = None) -> DigitsArrays:
        """Read all samples, or the first `limit`.

        Raises:
            InputError: if a shard is missing or damaged, or the images need over 8 GiB.
        """
        count = len(self) if limit is None else min(limit, len(self))
        size, slots = self.config.canvas, max(self.config.counts)
        if count * size * size > _MAX_BYTES:
            raise InputError(f"{self.folder}: {count} images of {size}x{size} do not fit into {_MAX_BYTES >> 30} GiB")
        images = np.empty((count, size, size), dtype=np.uint8)
        counts = np.zeros(count, dtype=np.int64)
        digits = np.full((count, slots), -1, dtype=np.int64)
        boxes = np.zeros((count, slots, 4), dtype=np.int64)
        for index, members in enumerate(self.read_all(count)):
            sample = self._decode(index, members)
            images[index], counts[index] = sample.image, len(sample.digits)
            for slot, item in enumerate(sample.digits):
                digits[index, slot], boxes[index, slot] = item.digit, item.box
        return DigitsArrays(images, counts, digits, boxes)

    def _decode(self, index: int, members: Mapping[str, bytes]) -> DigitsSample:
        with self.naming(index):
            sample = decode_sample(members, self.config.canvas)
            if sample.index != index or len(sample.digits) not in self.config.counts:
                raise InputError(f"it is sample {sample.index} with {len(sample.digits)} digits")
        return sample
