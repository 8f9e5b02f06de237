"""One shard: a WebDataset tar file and its sidecar, which vouches for it.

The tar holds the members of sample i as `{i:08d}.{member}`, samples and members in order, every header field that
could vary fixed, so that its bytes depend on the samples alone. The sidecar `shard-000000.json` is written after the
tar; it holds the tar's sha256, the place of every member for random access, the fingerprint of the config and what
made the shard. A shard counts only if its sidecar is there and agrees with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from air3d.datasets.files import atomic_file, read_json
from air3d.scene3d.config_json import config_from_dict
from air3d.scene3d.errors import InputError, shown

SCHEMA = "air3d-shard/1"
MAX_SIDECAR_BYTES = 256 << 20
MAX_MEMBER_BYTES = 64 << 20
_BLOCK, _RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE


@dataclass(frozen=True)
class Places:
    """The places in a shard of one member of every sample.

    Attributes:
        offsets: the first bytes, counted from the start of the tar.
        lengths: the lengths in bytes.
        crc32: the checksums of the contents, so that damage is noticed when a sample is read.
    """

    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    crc32: tuple[int, ...]


@dataclass(frozen=True)
class Sidecar:
    """Describes one shard.

    Attributes:
        schema: the version of this form.
        shard: its number.
        first: the index of its first sample.
        samples: the number of samples.
        size_bytes, sha256: the size and hash of the tar file.
        config_sha256: the fingerprint of the dataset's config.
        made_with: the versions and the renderer that made it.
        members: the places of each member, by name.
    """

    schema: str
    shard: int
    first: int
    samples: int
    size_bytes: int
    sha256: str
    config_sha256: str
    made_with: dict[str, str]
    members: dict[str, Places]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise InputError(f"schema is {shown(self.schema)}; this version reads '{SCHEMA}'")
        for name, places in self.members.items():
            if not len(places.offsets) == len(places.lengths) == len(places.crc32) == self.samples:
                raise InputError(f"index of {shown(name)} does not have {self.samples} entries")
            for offset, length in zip(places.offsets, places.lengths, strict=True):
                inside = _BLOCK <= offset and 0 <= length <= MAX_MEMBER_BYTES and offset + length <= self.size_bytes
                if not inside or offset % _BLOCK:
                    raise InputError(f"index of {shown(name)} points to {length} bytes at {offset}, outside the shard")


def shard_name(shard: int) -> str:
    """The file name of a shard's tar."""
    return f"shard-{shard:06d}.tar"


def sidecar_name(shard: int) -> str:
    """The file name of a shard's sidecar."""
    return f"shard-{shard:06d}.json"


def member_name(index: int, member: str) -> str:
    """The name of a member in the tar; WebDataset splits it at the first dot into key and extension."""
    return f"{index:08d}.{member}"


def write_shard(
    folder: Path,
    shard: int,
    first: int,
    samples: Iterable[Mapping[str, bytes]],
    config_sha256: str,
    made_with: Mapping[str, str],
) -> Sidecar:
    """Write a shard, then its sidecar, each whole or not at all.

    Args:
        samples: the members of each sample by name; all samples have the same names.

    Raises:
        OSError: if it cannot be written.
    """
    # Without a sidecar the shard does not count, whatever happens between here and the end.
    with contextlib.suppress(FileNotFoundError):
        (folder / sidecar_name(shard)).unlink()
    places: dict[str, list[tuple[int, int, int]]] = {}
    count = 0
    with atomic_file(folder / shard_name(shard)) as file:
        tar = _TarWriter(file)
        for count, sample in enumerate(samples, start=1):
            for member in sorted(sample):
                data = sample[member]
                offset = tar.add(member_name(first + count - 1, member), data)
                places.setdefault(member, []).append((offset, len(data), zlib.crc32(data)))
        tar.finish()
    sidecar = Sidecar(
        schema=SCHEMA,
        shard=shard,
        first=first,
        samples=count,
        size_bytes=tar.position,
        sha256=tar.sha256.hexdigest(),
        config_sha256=config_sha256,
        made_with=dict(made_with),
        members={name: Places(*zip(*rows, strict=True)) for name, rows in places.items()},
    )
    with atomic_file(folder / sidecar_name(shard)) as file:
        file.write(json.dumps(asdict(sidecar), separators=(",", ":"), sort_keys=True).encode() + b"\n")
    return sidecar


class _TarWriter:
    """Writes plain USTAR files one after the other and hashes them; time, owner and mode are constants."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.position = 0

    def add(self, name: str, data: bytes) -> int:
        """Append a file; return the offset of its first byte."""
        header = tarfile.TarInfo(name)
        header.size, header.mode = len(data), 0o644
        start = self.position + _BLOCK
        self._write(header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % _BLOCK))
        return start

    def finish(self) -> None:
        """Write the end mark, and fill up the last record."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self.position % _RECORD))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self.sha256.update(data)
        self.position += len(data)


def read_sidecar(folder: Path, shard: int) -> Sidecar:
    """Read and check a sidecar.

    Raises:
        InputError: if it is missing or not a sidecar of this shard; the message names the file.
    """
    name = sidecar_name(shard)
    sidecar = config_from_dict(Sidecar, read_json(folder / name, MAX_SIDECAR_BYTES), name)
    if sidecar.shard != shard:
        raise InputError(f"{name}: it belongs to shard {sidecar.shard}")
    return sidecar


def verify_shard(folder: Path, shard: int, config_sha256: str, first: int, samples: int, deep: bool = True) -> Sidecar:
    """Check that a shard is whole and belongs to the dataset.

    Args:
        config_sha256, first, samples: the values that the sidecar must have.
        deep: compares the sha256 and the index too, which reads the whole shard.

    Raises:
        InputError: if not; the message names the file.
    """
    sidecar, name = read_sidecar(folder, shard), shard_name(shard)
    if sidecar.config_sha256 != config_sha256:
        raise InputError(f"{name}: made with another config")
    if (sidecar.first, sidecar.samples) != (first, samples):
        raise InputError(f"{name}: holds other samples than the config says")
    try:
        size = (folder / name).stat().st_size
        if size != sidecar.size_bytes:
            raise InputError(f"{name}: has {size} bytes instead of {sidecar.size_bytes}")
        if deep:
            with open(folder / name, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != sidecar.sha256:
                raise InputError(f"{name}: damaged (its sha256 is not the recorded one)")
            _check_index(folder, sidecar)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None
    return sidecar


def _check_index(folder: Path, sidecar: Sidecar) -> None:
    """Check that the index of a whole shard points to its members: the sidecar may be damaged itself.

    Raises:
        InputError: if not; the message names the sidecar.
        OSError: if the shard cannot be read.
    """
    with open(folder / shard_name(sidecar.shard), "rb") as file:
        for member, places in sidecar.members.items():
            for row, (offset, length) in enumerate(zip(places.offsets, places.lengths, strict=True)):
                block = os.pread(file.fileno(), _BLOCK + length, offset - _BLOCK)
                try:
                    if row == 0:
                        check_header(block[:_BLOCK], member_name(sidecar.first, member), length)
                    check_member(sidecar, sidecar.first + row, member, block[_BLOCK:])
                except InputError as error:
                    raise InputError(f"{sidecar_name(sidecar.shard)}: damaged ({error})") from None


def check_header(block: bytes, name: str, length: int) -> None:
    """Check that a tar header is that of the expected member.

    Raises:
        InputError: if it is not.
    """
    try:
        header = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.TarError, UnicodeDecodeError):
        raise InputError(f"no tar header where '{name}' should be") from None
    if (header.name, header.size) != (name, length):
        raise InputError(f"{shown(header.name)} of {header.size} bytes where '{name}' of {length} bytes should be")


def check_member(sidecar: Sidecar, index: int, member: str, data: bytes) -> None:
    """Check the content of a member against the sidecar of its shard.

    Raises:
        InputError: if it is damaged.
    """
    places, row = sidecar.members[member], index - sidecar.first
    if (len(data), zlib.crc32(data)) != (places.lengths[row], places.crc32[row]):
        raise InputError(f"'{member_name(index, member)}' is damaged")
