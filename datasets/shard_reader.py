"""Reads the shards of a complete dataset: checked members by index, or whole shards at once; and verifies shards.

A sample is read with one `pread` a member at the place that the shard's index gives; the tar header before it is
checked, so a wrong index is noticed. Files are opened for each read and nothing is held, so a reader may be pickled,
forked and used by threads.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Generic

from air3d.datasets.manifest import Config, Manifest, read_manifest
from air3d.datasets.shards import (
    Sidecar,
    check_header,
    check_member,
    member_name,
    read_sidecar,
    shard_name,
    verify_shard,
)
from air3d.scene3d.arguments import as_path, whole
from air3d.scene3d.errors import InputError

_BLOCK = 512
_REPAIR = "run its 'air3d generate' command again to repair it"


class ShardReader(Generic[Config]):
    """The bytes of the samples of a dataset; a base of datasets, which decode them.

    Attributes:
        folder: the folder of the dataset.
        manifest: the manifest that was read there.
    """

    def __init__(self, folder: Path | str, config_type: type[Config]) -> None:
        """Read the manifest; shards are opened when a sample of theirs is asked for.

        Args:
            config_type: the class of its config, which names the members that every sample has.

        Raises:
            InputError: if the folder holds no complete dataset of that kind.
        """
        self.folder = as_path("the dataset's folder", folder)
        self.manifest: Manifest[Config] = read_manifest(self.folder, config_type)
        self._members = config_type.MEMBERS
        self._sidecars: dict[int, Sidecar] = {}

    def __len__(self) -> int:
        return self.config.num

    @property
    def config(self) -> Config:
        """The configuration that the dataset was generated from."""
        return self.manifest.config

    @property
    def shard_paths(self) -> list[Path]:
        """The tar files, in order."""
        return [self.folder / shard_name(shard) for shard in range(self.config.shards)]

    def position(self, index: int) -> int:
        """Return a sample's number from an index that may be negative. Raises IndexError if there is no such sample.

        Raises:
            InputError: if the index is no whole number.
        """
        index, total = whole(f"{self.folder}", "the sample", index), self.config.num
        if not -total <= index < total:
            raise IndexError(f"sample {index} of {total}")
        return index % total

    @contextlib.contextmanager
    def naming(self, index: int) -> Iterator[None]:
        """Name the sample, and what repairs it, in errors within the block."""
        try:
            yield
        except InputError as error:
            raise InputError(f"{self.folder}: sample {index}: {error}; {_REPAIR}") from None

    def read(self, index: int, names: tuple[str, ...]) -> dict[str, bytes]:
        """Read these members of one sample; their contents are not checked yet (`check`).

        Raises:
            InputError: if the shard is missing or damaged.
        """
        shard, row = divmod(index, self.config.scenes_per_shard)
        members = {}
        with self.naming(index), self._opened(shard) as (sidecar, file):
            for name in names:
                offset, length = sidecar.members[name].offsets[row], sidecar.members[name].lengths[row]
                block = os.pread(file.fileno(), _BLOCK + length, offset - _BLOCK)
                if len(block) != _BLOCK + length:
                    raise InputError(f"{shard_name(shard)}: is too short")
                check_header(block[:_BLOCK], member_name(index, name), length)
                members[name] = block[_BLOCK:]
        return members

    def check(self, index: int, members: Mapping[str, bytes], names: tuple[str, ...]) -> None:
        """Compare members of a sample with the checksums of its shard's index.

        Raises:
            InputError: if one is missing or damaged; the message does not name the sample (`naming` does).
        """
        sidecar = self._sidecar(index // self.config.scenes_per_shard)
        for name in names:
            check_member(sidecar, index, name, members.get(name, b""))

    def read_all(self, count: int) -> Iterator[dict[str, bytes]]:
        """Read and check all members of the samples 0 .. count - 1; each shard is read at once.

        Raises:
            InputError: if a shard is missing or damaged.
        """
        for shard in range(self.config.shards):
            indices = self.config.shard_indices(shard)
            if indices.start >= count:
                return
            with self.naming(indices.start), self._opened(shard) as (sidecar, file):
                data = file.read()
                if len(data) != sidecar.size_bytes:
                    raise InputError(f"{shard_name(shard)}: has {len(data)} bytes instead of {sidecar.size_bytes}")
            for row, index in enumerate(indices[: count - indices.start]):
                places = {name: (own.offsets[row], own.lengths[row]) for name, own in sidecar.members.items()}
                members = {name: data[offset : offset + length] for name, (offset, length) in places.items()}
                with self.naming(index):
                    for name in self._members:
                        check_member(sidecar, index, name, members[name])
                yield members

    def check_sizes(self) -> None:
        """Check quickly that every shard is there and has the right size.

        Raises:
            InputError: if not; the message names the first.
        """
        for entry in self.manifest.shards:
            path = self.folder / entry.file
            size = path.stat().st_size if path.is_file() else None
            if size != entry.size_bytes:
                problem = "is missing" if size is None else f"has {size} bytes instead of {entry.size_bytes}"
                raise InputError(f"{self.folder}: {entry.file} {problem}; {_REPAIR}")

    def verify(self) -> list[str]:
        """Check the sha256 of every shard.

        Returns:
            One line for each damaged shard, naming the file.
        """
        problems, config = [], self.config
        for shard in range(config.shards):
            indices = config.shard_indices(shard)
            try:
                sidecar = verify_shard(
                    self.folder, shard, self.manifest.config_sha256, indices.start, len(indices), deep=True
                )
                self._check_listed(shard, sidecar)
            except InputError as error:
                problems.append(str(error))
        return problems

    @contextlib.contextmanager
    def _opened(self, shard: int) -> Iterator[tuple[Sidecar, BinaryIO]]:
        """Open a shard. Raises InputError if that, or reading it, is impossible."""
        sidecar = self._sidecar(shard)
        try:
            with open(self.folder / shard_name(shard), "rb", buffering=0) as file:
                yield sidecar, file
        except OSError as error:
            raise InputError(f"{shard_name(shard)}: {error.strerror or error}") from None

    def _sidecar(self, shard: int) -> Sidecar:
        if shard not in self._sidecars:
            sidecar = read_sidecar(self.folder, shard)
            self._check_listed(shard, sidecar)
            self._sidecars[shard] = sidecar
        return self._sidecars[shard]

    def _check_listed(self, shard: int, sidecar: Sidecar) -> None:
        entry, name = self.manifest.shards[shard], shard_name(shard)
        listed = (entry.samples, entry.size_bytes, entry.sha256)
        if (sidecar.samples, sidecar.size_bytes, sidecar.sha256) != listed:
            raise InputError(f"{name}: is not the shard that the manifest lists")
        if sidecar.members.keys() != set(self._members):
            raise InputError(f"{name}: its index does not have the members {', '.join(self._members)}")
