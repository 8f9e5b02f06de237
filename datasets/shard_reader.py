"""Reads the shards of a complete dataset: checked members by index, or whole shards at once; and verifies shards.

A sample is read with one `pread` a member at the place that the shard's index gives; the tar header before it is
checked, so a wrong index is noticed. Files are opened for each read and nothing is held, so a reader may be pickled,
forked and used by threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic

from air3d.datasets.manifest import Config, Manifest
from air3d.datasets.shards import (
    Sidecar,
    check_header,
    check_member,
    member_name,
    read_sidecar,
    shard_name,
    verify_shard,
)
from air3d.scene3d.arguments import whole
from air3d.scene3d.errors import InputError

_BLOCK = 512
_REPAIR = "run its 'air3d generate' command again to repair it"


class ShardReader(Generic[Config]):
    """The bytes of the samples of a dataset.

    Args:
        folder: the folder of the dataset.
        manifest: the manifest that was read there.
        members: the names of the members that every sample has.
    """

    def __init__(self, folder: Path, manifest: Manifest[Config], members: tuple[str, ...]) -> None:
        self._folder, self._manifest, self._members = folder, manifest, members
        self._sidecars: dict[int, Sidecar] = {}

    @property
    def paths(self) -> list[Path]:
        """The tar files, in order."""
        return [self._folder / shard_name(shard) for shard in range(self._manifest.config.shards)]

    def position(self, index: int) -> int:
        """Return a sample's number from an index that may be negative. Raises IndexError if there is no such sample.

        Raises:
            InputError: if the index is no whole number.
        """
        index, total = whole(f"{self._folder}", "the sample", index), self._manifest.config.num
        if not -total <= index < total:
            raise IndexError(f"sample {index} of {total}")
        return index % total

    def damaged(self, index: int, problem: object) -> InputError:
        """Make the error that is raised for a damaged sample."""
        return InputError(f"{self._folder}: sample {index}: {problem}; {_REPAIR}")

    def read(self, index: int, names: tuple[str, ...]) -> dict[str, bytes]:
        """Read these members of one sample; their contents are not checked yet (`check`).

        Raises:
            InputError: if the shard is missing or damaged.
        """
        shard, row = divmod(index, self._manifest.config.scenes_per_shard)
        members = {}
        try:
            sidecar = self._sidecar(shard)
            descriptor = os.open(self._folder / shard_name(shard), os.O_RDONLY)
            try:
                for name in names:
                    offset, length = sidecar.members[name].offsets[row], sidecar.members[name].lengths[row]
                    block = os.pread(descriptor, _BLOCK + length, offset - _BLOCK)
                    if len(block) != _BLOCK + length:
                        raise InputError(f"{shard_name(shard)}: is too short")
                    check_header(block[:_BLOCK], member_name(index, name), length)
                    members[name] = block[_BLOCK:]
            finally:
                os.close(descriptor)
        except InputError as error:
            raise self.damaged(index, error) from None
        except OSError as error:
            raise self.damaged(index, f"{shard_name(shard)}: {error.strerror or error}") from None
        return members

    def check(self, index: int, members: Mapping[str, bytes], names: tuple[str, ...]) -> None:
        """Compare members of a sample with the checksums of its shard's index.

        Raises:
            InputError: if one is missing or damaged; the message does not name the sample (`damaged` does).
        """
        sidecar = self._sidecar(index // self._manifest.config.scenes_per_shard)
        for name in names:
            check_member(sidecar, index, name, members.get(name, b""))

    def read_all(self, count: int) -> Iterator[dict[str, bytes]]:
        """Read and check all members of the samples 0 .. count - 1; each shard is read at once.

        Raises:
            InputError: if a shard is missing or damaged.
        """
        for shard in range(self._manifest.config.shards):
            indices = self._manifest.config.shard_indices(shard)
            if indices.start >= count:
                return
            try:
                sidecar, data = self._sidecar(shard), (self._folder / shard_name(shard)).read_bytes()
                if len(data) != sidecar.size_bytes:
                    raise InputError(f"has {len(data)} bytes instead of {sidecar.size_bytes}")
            except (InputError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise self.damaged(indices.start, f"{shard_name(shard)}: {reason}") from None
            for row, index in enumerate(indices[: count - indices.start]):
                places = {name: (own.offsets[row], own.lengths[row]) for name, own in sidecar.members.items()}
                members = {name: data[offset : offset + length] for name, (offset, length) in places.items()}
                try:
                    for name in self._members:
                        check_member(sidecar, index, name, members[name])
                except InputError as error:
                    raise self.damaged(index, error) from None
                yield members

    def check_sizes(self) -> None:
        """Check quickly that every shard is there and has the right size.

        Raises:
            InputError: if not; the message names the first.
        """
        for entry in self._manifest.shards:
            path = self._folder / entry.file
            size = path.stat().st_size if path.is_file() else None
            if size != entry.size_bytes:
                problem = "is missing" if size is None else f"has {size} bytes instead of {entry.size_bytes}"
                raise InputError(f"{self._folder}: {entry.file} {problem}; {_REPAIR}")

    def verify(self) -> list[str]:
        """Check the sha256 of every shard.

        Returns:
            One line for each damaged shard, naming the file.
        """
        problems, config = [], self._manifest.config
        for shard in range(config.shards):
            indices = config.shard_indices(shard)
            try:
                sidecar = verify_shard(
                    self._folder, shard, self._manifest.config_sha256, indices.start, len(indices), deep=True
                )
                self._check_listed(shard, sidecar)
            except InputError as error:
                problems.append(str(error))
        return problems

    def _sidecar(self, shard: int) -> Sidecar:
        if shard not in self._sidecars:
            sidecar = read_sidecar(self._folder, shard)
            self._check_listed(shard, sidecar)
            self._sidecars[shard] = sidecar
        return self._sidecars[shard]

    def _check_listed(self, shard: int, sidecar: Sidecar) -> None:
        entry, name = self._manifest.shards[shard], shard_name(shard)
        listed = (entry.samples, entry.size_bytes, entry.sha256)
        if (sidecar.samples, sidecar.size_bytes, sidecar.sha256) != listed:
            raise InputError(f"{name}: is not the shard that the manifest lists")
        if sidecar.members.keys() != set(self._members):
            raise InputError(f"{name}: its index does not have the members {', '.join(self._members)}")
