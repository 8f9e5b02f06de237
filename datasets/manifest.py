"""Writes and reads `config.json`, which is written first, and `manifest.json`, written when all shards are there.

The manifest is what readers ask for: a dataset without one is not complete.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from air3d.datasets.config import Sharding, config_sha256, first_difference
from air3d.datasets.files import read_json, write_json
from air3d.datasets.shards import Sidecar, shard_name
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.own_kinds import adopt

SCHEMA = "air3d-dataset/1"
CONFIG_FILE, MANIFEST_FILE, LOCK_FILE = "config.json", "manifest.json", ".lock"
MAX_BYTES = 256 << 20
_LONGEST = 160

Config = TypeVar("Config", bound=Sharding)


@dataclass(frozen=True)
class ShardEntry:
    """A shard as the manifest lists it."""

    file: str
    samples: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest(Generic[Config]):
    """Describes a complete dataset.

    Attributes:
        schema: the version of this form.
        config: the resolved config.
        config_sha256: its fingerprint.
        samples: the number of samples in all shards.
        made_with: the versions of the packages, backend and GL renderer string. More than one entry if shards were
            made on different machines or with different versions.
        shards: the shards in order.
    """

    schema: str
    config: Config
    config_sha256: str
    samples: int
    made_with: tuple[dict[str, str], ...]
    shards: tuple[ShardEntry, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise InputError(f"schema is {shown(self.schema)}; this version reads '{SCHEMA}'")
        if self.config_sha256 != config_sha256(self.config):
            raise InputError("the config is not the one that the fingerprint was taken of")
        listed = len(self.shards) == self.config.shards and self.samples == self.config.num
        if not listed or any(
            (entry.file, entry.samples) != (shard_name(k), len(self.config.shard_indices(k)))
            for k, entry in enumerate(self.shards)
        ):
            raise InputError("the list of shards does not agree with the config")


@dataclass(frozen=True)
class _Listing:
    """A manifest without its config, whose type the reader knows."""

    schema: str
    config_sha256: str
    samples: int
    made_with: tuple[dict[str, str], ...]
    shards: tuple[ShardEntry, ...]


def make_manifest(config: Config, sidecars: Sequence[Sidecar]) -> Manifest[Config]:
    """Make the manifest of verified shards, in order."""
    made_with: list[dict[str, str]] = []
    for sidecar in sidecars:
        if sidecar.made_with not in made_with:
            made_with.append(sidecar.made_with)
    return Manifest(
        schema=SCHEMA,
        config=config,
        config_sha256=config_sha256(config),
        samples=config.num,
        made_with=tuple(made_with),
        shards=tuple(ShardEntry(shard_name(s.shard), s.samples, s.size_bytes, s.sha256) for s in sidecars),
    )


def write_manifest(folder: Path, manifest: Manifest[Config]) -> None:
    """Write `manifest.json`. Raises OSError if it cannot be written."""
    write_json(folder / MANIFEST_FILE, asdict(manifest) | {"config": config_to_dict(manifest.config)})


def is_dataset(folder: Path) -> bool:
    """Tell whether a folder holds a dataset, perhaps one that is not complete."""
    return (folder / CONFIG_FILE).exists() or (folder / MANIFEST_FILE).exists()


def read_manifest(folder: Path, config_type: type[Config]) -> Manifest[Config]:
    """Read `manifest.json` of a complete dataset.

    Args:
        config_type: the class of its config.

    Raises:
        InputError: if the folder holds none, one of another content, or one that is damaged; the message names the
            folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; make a dataset with 'air3d generate'")
    if not (folder / MANIFEST_FILE).exists():
        if (folder / CONFIG_FILE).exists():
            raise InputError(f"{folder}: not complete yet; run its 'air3d generate' command again to finish it")
        raise InputError(f"{folder}: holds no dataset (no {MANIFEST_FILE}); make one with 'air3d generate'")
    try:
        data = read_json(folder / MANIFEST_FILE, MAX_BYTES)
        config = data.pop("config", None) if isinstance(data, dict) else None
        content = _content(config)
        if content == config_type.CONTENT:
            adopt(folder)
            listing = config_from_dict(_Listing, data, MANIFEST_FILE)
            return _put_together(listing, config_from_dict(config_type, config, f"{MANIFEST_FILE}: config"))
    except InputError as error:
        raise InputError(f"{folder}: {error}; run its 'air3d generate' command again to repair it") from None
    raise InputError(f"{folder}: holds {shown(content)}, not {config_type.CONTENT}; name another dataset")


def _put_together(listing: _Listing, config: Config) -> Manifest[Config]:
    try:
        return Manifest(**vars(listing), config=config)
    except InputError as error:
        raise InputError(f"{MANIFEST_FILE}: {error}") from None


def content_of(folder: Path) -> str:
    """Read from `config.json` whether a dataset holds "scenes" or "digits"; "scenes" too if that cannot be told."""
    try:
        return _content(read_json(folder / CONFIG_FILE, MAX_BYTES))
    except InputError:
        return "scenes"


def _content(config: object) -> str:
    return str(config.get("content", "scenes")) if isinstance(config, dict) else "scenes"


def claim_folder(folder: Path, config: Sharding) -> None:
    """Write `config.json` into a new or empty folder, or check that the one there is the same.

    Raises:
        InputError: if the folder holds something else; the message names a field that differs.
        OSError: if it cannot be written.
    """
    path = folder / CONFIG_FILE
    if path.exists():
        try:
            there = read_json(path, MAX_BYTES)
        except InputError as error:
            raise InputError(f"{folder}: {error}; remove that file, or choose another folder") from None
        difference = first_difference(there, config_to_dict(config))
        if difference is not None:
            name, old, new = difference
            raise InputError(
                f"{folder}: holds a dataset with {name} = {_cut(old)}, not {_cut(new)}; "
                "use the same settings or another folder"
            )
        return
    write_json(path, config_to_dict(config))


def _cut(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
