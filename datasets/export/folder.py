"""The folder that an export goes into: it is claimed for one export, and its parts appear whole or not at all.

A shard of the dataset becomes one folder, `<split>/<shard in six digits>`. It is filled under a hidden name
(`.<name>.<process id>.tmp`), flushed to the disk and renamed; so a folder that is there is whole, and an interrupted
export goes on after the last one. `dataset_info.json` in the root says what the export was made of; several splits,
each of a dataset of its own, may share a root.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from air3d.datasets.config import first_difference
from air3d.datasets.files import RangeLock, make_folder, read_json, remove_stale, reported, sync_folder, write_json
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError

INFO_FILE = "dataset_info.json"
LOCK_FILE = ".lock"
_MAX_BYTES = 1 << 20
_SPLIT = re.compile(r"(train|val|test)(_[a-z0-9]+)?")
_STALE = re.compile(r"\.\d+\.\d+\.tmp")


class Outcome(NamedTuple):
    """Counts the images exported now and those found exported."""

    made: int
    kept: int


class ExportFolder(Closing):
    """An export in the making; a context manager that holds its lock.

    Attributes:
        root: the folder.
        split: the name of the folder in it that this dataset goes into.
        todo: the shards that are still to be made.
        kept: how many images the finished shards hold.
    """

    def __init__(self, root: Path, split: str, dataset: SceneDataset, info: Mapping[str, Any], own: Mapping[str, Any]):
        """Claim the folder, or check that it is claimed for the same export.

        Args:
            info: the part of `dataset_info.json` that all splits have in common.
            own: the part that belongs to this split.

        Raises:
            InputError: if the folder cannot be used, holds something else, or another process works in it.
        """
        check_split(split)
        self.root, self.split = root, split
        entry = {"images": len(dataset), "size": dataset.config.size, "shards_sha256": fingerprint(dataset), **own}
        with contextlib.ExitStack() as stack:
            with reported(root):
                make_folder(root, INFO_FILE, "not made by 'air3d export'")
                self._lock = stack.enter_context(RangeLock(root / LOCK_FILE))
                if not self._lock.acquire(0):
                    raise InputError(f"{root}: another 'air3d export' is writing it; wait for it")
                self._claim(dict(info), entry)
            self._held = stack.pop_all()
        config = dataset.config
        whole = [shard for shard in range(config.shards) if self.part(shard).is_dir()]
        self.todo = sorted(set(range(config.shards)) - set(whole))
        self.kept = sum(len(config.shard_indices(shard)) for shard in whole)

    def _claim(self, info: dict[str, Any], entry: dict[str, Any]) -> None:
        path, splits = self.root / INFO_FILE, {}
        remove_stale(self.root, (INFO_FILE,))
        if path.exists():
            there = _read_info(self.root)
            splits = there.pop("splits")
            for name, old, new in ((None, there, info), (self.split, splits.get(self.split, entry), entry)):
                difference = first_difference(old, json.loads(json.dumps(new)))
                if difference is not None:
                    key, before, now = difference
                    what = f"split '{name}'" if name else "an export"
                    raise InputError(
                        f"{self.root}: holds {what} with {key} = {json.dumps(before)}, not {json.dumps(now)}; "
                        "use the same dataset and settings, or another folder"
                    )
        splits[self.split] = entry
        write_json(path, info | {"splits": dict(sorted(splits.items()))})
        folder = self.root / self.split
        folder.mkdir(exist_ok=True)
        for left in folder.iterdir():
            if _STALE.fullmatch(left.name):
                shutil.rmtree(left)

    def part(self, shard: int) -> Path:
        """The folder that a shard becomes."""
        return self.root / self.split / f"{shard:06d}"

    @contextlib.contextmanager
    def staged(self, shard: int) -> Iterator[Path]:
        """Make an empty folder that becomes `part(shard)` when the block ends well, and vanishes when it does not."""
        part = self.part(shard)
        staging = part.with_name(f".{part.name}.{os.getpid()}.tmp")
        staging.mkdir()
        try:
            yield staging
            _sync_tree(staging)
            os.rename(staging, part)
            sync_folder(part.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise

    def close(self) -> None:
        """Give the lock back."""
        self._held.close()


def check_split(split: str) -> None:
    """Raise InputError for a name that is not a split's."""
    if not _SPLIT.fullmatch(split):
        raise InputError(f"--split '{split}': use train, val or test, or one of these with an ending such as train_a")


def fingerprint(dataset: SceneDataset) -> str:
    """Hash the hashes of all shards: the sha256, hex, changes with any byte of the dataset."""
    return hashlib.sha256("".join(entry.sha256 for entry in dataset.manifest.shards).encode()).hexdigest()


def _read_info(root: Path) -> dict[str, Any]:
    try:
        data = read_json(root / INFO_FILE, _MAX_BYTES)
    except InputError as error:
        raise InputError(f"{root}: {error}; choose another folder") from None
    if not isinstance(data, dict) or not isinstance(data.get("splits"), dict):
        raise InputError(f"{root}: its {INFO_FILE} was not written by 'air3d export'; choose another folder")
    return data


def _sync_tree(folder: Path) -> None:
    for path, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(path, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(path))
