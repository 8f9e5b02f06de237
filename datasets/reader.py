"""Reads a dataset of scenes: random access to samples as numpy arrays, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from air3d.datasets.config import GenerateConfig
from air3d.datasets.manifest import Manifest, read_manifest
from air3d.datasets.samples import MEMBERS, Sample, decode_document, decode_sample
from air3d.datasets.shard_reader import ShardReader
from air3d.scene3d.arguments import as_path
from air3d.scene3d.errors import InputError


class SceneDataset:
    """The samples of a generated dataset, `len(dataset)` and `dataset[i]`."""

    def __init__(self, folder: Path | str) -> None:
        """Read the manifest; shards are opened when a sample of theirs is asked for.

        Raises:
            InputError: if the folder holds no complete dataset.
        """
        self.folder = as_path("the dataset's folder", folder)
        self.manifest: Manifest[GenerateConfig] = read_manifest(self.folder, GenerateConfig)
        self._shards = ShardReader(self.folder, self.manifest, MEMBERS)

    @property
    def config(self) -> GenerateConfig:
        """The configuration that the dataset was generated from."""
        return self.manifest.config

    @property
    def shard_paths(self) -> list[Path]:
        """The tar files, in order."""
        return self._shards.paths

    def __len__(self) -> int:
        return self.config.num

    def __getitem__(self, index: int) -> Sample:
        """Read sample `index`; negative ones count from the end.

        Raises:
            IndexError: if there is no such sample.
            InputError: if its shard is missing or damaged; the message names the file.
        """
        index = self._shards.position(index)
        return self.decode(index, self.members(index))

    def members(self, index: int) -> dict[str, bytes]:
        """Read the files of sample `index`, by name; `decode` checks them. Raises like `__getitem__`."""
        return self._shards.read(self._shards.position(index), MEMBERS)

    def decode(self, index: int, members: Mapping[str, bytes]) -> Sample:
        """Decode sample `index` from the bytes of its members, which are checked against the shard's index.

        Raises:
            InputError: if a member is missing or damaged.
        """
        try:
            self._shards.check(index, members, MEMBERS)
            sample = decode_sample(members, self.config.size)
            if sample["index"] != index:
                raise InputError(f"it is sample {sample['index']}")
        except InputError as error:
            raise self._shards.damaged(index, error) from None
        return sample

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def document(self, index: int) -> dict[str, Any]:
        """Parse the `scene.json` of one sample, without decoding images. Raises like `__getitem__`."""
        index, names = self._shards.position(index), ("scene.json",)
        members = self._shards.read(index, names)
        try:
            self._shards.check(index, members, names)
            return decode_document(members["scene.json"])
        except InputError as error:
            raise self._shards.damaged(index, error) from None

    def check_sizes(self) -> None:
        """Check quickly that every shard is there and has the right size.

        Raises:
            InputError: if not; the message names the first.
        """
        self._shards.check_sizes()

    def verify(self) -> list[str]:
        """Check the sha256 of every shard.

        Returns:
            One line for each damaged shard, naming the file.
        """
        return self._shards.verify()
