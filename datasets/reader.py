"""Reading a dataset: random access to samples as numpy arrays, without torch.

A sample is read with one `pread` a member at the place that the shard's index gives; the tar header before it is
checked, so a wrong index is noticed. Files are opened for each read and nothing is held, so a reader may be pickled,
forked and used by threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets.config import GenerateConfig
from datasets.manifest import Manifest, read_manifest
from datasets.samples import MEMBERS, Sample, decode_document, decode_sample
from datasets.shards import Sidecar, check_header, check_member, member_name, read_sidecar, shard_name, verify_shard
from scene3d.errors import InputError

_BLOCK = 512
_REPAIR = "run its 'air3d generate' command again to repair it"


class SceneDataset:
    """The samples of a generated dataset, `len(dataset)` and `dataset[i]`."""

    def __init__(self, folder: Path | str) -> None:
        """Read the manifest; shards are opened when a sample of theirs is asked for.

        Raises:
            InputError: if the folder holds no complete dataset.
        """
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        self._sidecars: dict[int, Sidecar] = {}

    @property
    def config(self) -> GenerateConfig:
        """What the dataset was generated from."""
        return self.manifest.config

    @property
    def shard_paths(self) -> list[Path]:
        """The tar files, in order."""
        return [self.folder / shard_name(shard) for shard in range(self.config.shards)]

    def __len__(self) -> int:
        return self.config.num

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`; negative ones count from the end.

        Raises:
            IndexError: if there is no such sample.
            InputError: if its shard is missing or damaged; the message names the file.
        """
        index = self._position(index)
        return self.decode(index, self._read(index, MEMBERS))

    def decode(self, index: int, members: Mapping[str, bytes]) -> Sample:
        """The sample `index` from the bytes of its members, checked against the index.

        Raises:
            InputError: if a member is missing or damaged.
        """
        try:
            sidecar = self._sidecar(index // self.config.scenes_per_shard)
            for name in MEMBERS:
                check_member(sidecar, index, name, members.get(name, b""))
            sample = decode_sample(members, self.config.size)
            if sample["index"] != index:
                raise InputError(f"it is sample {sample['index']}")
        except InputError as error:
            raise self._damaged(index, error) from None
        return sample

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def document(self, index: int) -> dict[str, Any]:
        """The parsed `scene.json` of one sample, without decoding images. Raises as `__getitem__`."""
        index = self._position(index)
        data = self._read(index, ("scene.json",))["scene.json"]
        try:
            check_member(self._sidecar(index // self.config.scenes_per_shard), index, "scene.json", data)
            return decode_document(data)
        except InputError as error:
            raise self._damaged(index, error) from None

    def check_sizes(self) -> None:
        """Check quickly that every shard is there and has the right size.

        Raises:
            InputError: that names the first which has not.
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
        problems = []
        for shard in range(self.config.shards):
            indices = self.config.shard_indices(shard)
            try:
                sidecar = verify_shard(
                    self.folder, shard, self.manifest.config_sha256, indices.start, len(indices), deep=True
                )
                self._check(shard, sidecar)
            except InputError as error:
                problems.append(str(error))
        return problems

    def _position(self, index: int) -> int:
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return index % len(self)

    def _damaged(self, index: int, problem: object) -> InputError:
        return InputError(f"{self.folder}: sample {index}: {problem}; {_REPAIR}")

    def _read(self, index: int, names: tuple[str, ...]) -> dict[str, bytes]:
        shard, row = divmod(index, self.config.scenes_per_shard)
        members = {}
        try:
            sidecar = self._sidecar(shard)
            descriptor = os.open(self.folder / shard_name(shard), os.O_RDONLY)
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
            raise self._damaged(index, error) from None
        except OSError as error:
            raise self._damaged(index, f"{shard_name(shard)}: {error.strerror or error}") from None
        return members

    def _sidecar(self, shard: int) -> Sidecar:
        if shard not in self._sidecars:
            sidecar = read_sidecar(self.folder, shard)
            self._check(shard, sidecar)
            self._sidecars[shard] = sidecar
        return self._sidecars[shard]

    def _check(self, shard: int, sidecar: Sidecar) -> None:
        entry, name = self.manifest.shards[shard], shard_name(shard)
        listed = (entry.samples, entry.size_bytes, entry.sha256)
        if (sidecar.samples, sidecar.size_bytes, sidecar.sha256) != listed:
            raise InputError(f"{name}: is not the shard that the manifest lists")
        if sidecar.members.keys() != set(MEMBERS):
            raise InputError(f"{name}: its index does not have the members {', '.join(MEMBERS)}")
