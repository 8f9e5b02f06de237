"""Reads a dataset of scenes: random access to samples as numpy arrays, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from air3d.datasets.config import GenerateConfig
from air3d.datasets.samples import MEMBERS, Sample, decode_document, decode_sample
from air3d.datasets.shard_reader import ShardReader
from air3d.scene3d.errors import InputError


class SceneDataset(ShardReader[GenerateConfig]):
    """The samples of a generated dataset, `len(dataset)` and `dataset[i]`."""

    def __init__(self, folder: Path | str) -> None:
        """Open a dataset. Raises InputError if the folder holds no complete one."""
        super().__init__(folder, GenerateConfig)

    def __getitem__(self, index: int) -> Sample:
        """Read sample `index`; negative ones count from the end.

        Raises:
            IndexError: if there is no such sample.
            InputError: if its shard is missing or damaged; the message names the file.
        """
        index = self.position(index)
        return self.decode(index, self.members(index))

    def members(self, index: int) -> dict[str, bytes]:
        """Read the files of sample `index`, by name; `decode` checks them. Raises like `__getitem__`."""
        return self.read(self.position(index), MEMBERS)

    def decode(self, index: int, members: Mapping[str, bytes]) -> Sample:
        """Decode sample `index` from the bytes of its members, which are checked against the shard's index.

        Raises:
            InputError: if a member is missing or damaged.
        """
        with self.naming(index):
            self.check(index, members, MEMBERS)
            sample = decode_sample(members, self.config.image_size)
            if sample["index"] != index:
                raise InputError(f"it is sample {sample['index']}")
        return sample

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def document(self, index: int) -> dict[str, Any]:
        """Parse the `scene.json` of one sample, without decoding images. Raises like `__getitem__`."""
        index, names = self.position(index), ("scene.json",)
        members = self.read(index, names)
        with self.naming(index):
            self.check(index, members, names)
            document = decode_document(members["scene.json"])
        return document
