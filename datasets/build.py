"""Makes a dataset on disk from its config: what is there and whole is kept, the rest is made.

The order of events: lock the shards of this part, claim the folder (`config.json`), verify, make what is missing or
damaged, and when all shards of the dataset are whole, write the manifest. Every step is atomic, so a run may be
killed at any moment and repeated; the bytes do not depend on how often or by whom.
"""

from __future__ import annotations

import contextlib
import os
import platform
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from air3d.datasets.card import CARD_FILE, write_card
from air3d.datasets.config import Sharding, config_sha256
from air3d.datasets.files import RangeLock, make_folder, remove_stale, reported
from air3d.datasets.manifest import (
    CONFIG_FILE,
    LOCK_FILE,
    MANIFEST_FILE,
    claim_folder,
    make_manifest,
    write_manifest,
)
from air3d.datasets.recipe import Recipe
from air3d.datasets.shards import Sidecar, shard_name, sidecar_name, verify_shard
from air3d.datasets.workers import Progress, ShardJob, make_shards
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import PICTURES_VERSION
from air3d.scene3d.child_processes import check_main_guard
from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import carry

# Makes the given shards of a job, in whatever order, telling of progress.
Engine = Callable[[ShardJob, Sequence[int], Progress], None]

_FOLDER_LOCK = 1 << 32  # far above any shard


@dataclass(frozen=True)
class Part:
    """A share of the shards: those whose number leaves the remainder `index` when divided by `count`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.index < self.count:
            raise InputError(f"--shard {self.index}/{self.count}: i/n needs i from 0 to n-1, for instance 0/4 to 3/4")

    @staticmethod
    def parse(text: str) -> Part:
        """Parse "i/n" with i from 0 to n-1.

        Raises:
            InputError: if it is something else.
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
            raise InputError(f"--shard '{text}': write i/n with i from 0 to n-1, for instance 0/4 to 3/4")
        return Part(int(index), int(count))

    def shards(self, config: Sharding) -> range:
        """The numbers of its shards."""
        return range(self.index, config.shards, self.count)


class Plan(NamedTuple):
    """Counts what a run found: the scenes in its part, and those of them that were there already."""

    scenes: int
    kept: int


class Outcome(NamedTuple):
    """Counts what a run did.

    Attributes:
        made, kept: how many scenes of this part were made now, and how many found whole.
        made_shards: how many shards were made now.
        missing: how many shards of the whole dataset other parts have yet to make.
    """

    made: int
    kept: int
    made_shards: int
    missing: int


class Build(Closing):
    """One run over one part of a dataset. Use as a context manager: it holds the locks of the part's shards."""

    def __init__(self, config: Sharding, folder: Path, part: Part | None = None) -> None:
        """Lock the part and look at what is there.

        Raises:
            InputError: if the folder cannot be used, belongs to another dataset, or another process works in it.
        """
        check_main_guard()
        self.config, self.folder = config, folder
        self.part = Part() if part is None else part
        self._fingerprint = config_sha256(config)
        with contextlib.ExitStack() as stack:
            with reported(folder):
                make_folder(folder, CONFIG_FILE, f"without a {CONFIG_FILE}")
                self._lock = stack.enter_context(RangeLock(folder / LOCK_FILE))
                self._claim()
            shards = self.part.shards(config)
            whole = self._whole(shards, deep=True)
            self._todo = [shard for shard in shards if shard not in whole]
            self._held = stack.pop_all()
        kept = sum(len(config.shard_indices(shard)) for shard in whole)
        self.plan = Plan(kept + sum(len(config.shard_indices(shard)) for shard in self._todo), kept)

    def _claim(self) -> None:
        for shard in self.part.shards(self.config):
            if not self._lock.acquire(shard):
                raise InputError(
                    f"{self.folder}: another 'air3d generate' is making shard {shard}; wait for it, or give each "
                    "process its own part with --shard 0/2, --shard 1/2"
                )
        with self._whole_folder():
            remove_stale(self.folder, (CONFIG_FILE, MANIFEST_FILE, CARD_FILE))
            claim_folder(self.folder, self.config)
            carry(self.config.shown_kinds, self.folder)
        self._remove_stale()

    @contextlib.contextmanager
    def _whole_folder(self) -> Iterator[None]:
        self._lock.acquire(_FOLDER_LOCK, wait=True)
        try:
            yield
        finally:
            self._lock.release(_FOLDER_LOCK)

    def _remove_stale(self) -> None:
        shards = self.part.shards(self.config)
        remove_stale(self.folder, [name(shard) for shard in shards for name in (shard_name, sidecar_name)])

    def _whole(self, shards: Sequence[int], deep: bool) -> dict[int, Sidecar]:
        """Return the shards among these that verify, without their indices, which would add up to gigabytes."""
        found = {}
        for shard in shards:
            indices = self.config.shard_indices(shard)
            with contextlib.suppress(InputError):
                sidecar = verify_shard(self.folder, shard, self._fingerprint, indices.start, len(indices), deep=deep)
                found[shard] = replace(sidecar, members={})
        return found

    def run(
        self,
        recipe: Recipe,
        made_with: Mapping[str, str],
        workers: int,
        progress: Progress,
        engine: Engine | None = None,
    ) -> Outcome:
        """Make what is missing, and the manifest if nothing is.

        Args:
            recipe: makes the samples; picklable if `workers` is above 1.
            made_with: the versions, as `versions` gives them.
            workers: how many processes work; 1 means this one.
            progress: is called with the number of samples finished since its last call.
            engine: makes the shards instead of processes on this machine.

        Raises:
            InputError: if a sample cannot be made, the disk is full, or a worker dies.
        """
        if workers < 1:
            raise InputError(f"--workers {workers}: use 1 or more")
        job = ShardJob(self.folder, self.config, recipe, made_with)
        try:
            if self._todo:
                with reported(self.folder), contextlib.suppress(FileNotFoundError):
                    (self.folder / MANIFEST_FILE).unlink()
            if engine is None:
                make_shards(job, self._todo, workers, progress)
            else:
                engine(job, self._todo, progress)
        finally:
            with contextlib.suppress(OSError):
                self._remove_stale()
        with reported(self.folder):
            missing = self._finish()
        return Outcome(self.plan.scenes - self.plan.kept, self.plan.kept, len(self._todo), missing)

    def _finish(self) -> int:
        """Write the manifest if all shards are whole; return the number of those that are not."""
        with self._whole_folder():
            own = self.part.shards(self.config)
            others = [shard for shard in range(self.config.shards) if shard not in own]
            # Only the part that ends last reads the others' shards: were it every part, n parts would read the dataset
            # n times.
            names = {entry.name for entry in os.scandir(self.folder)}
            missing = sum(sidecar_name(shard) not in names or shard_name(shard) not in names for shard in others)
            if missing:
                return missing
            # This part's shards were verified or written by this very run; the other parts' are read once, here.
            whole = self._whole(own, deep=False) | self._whole(others, deep=True)
            missing = self.config.shards - len(whole)
            if not missing:
                write_card(self.folder, self.config.MEMBERS)
                write_manifest(self.folder, make_manifest(self.config, [whole[k] for k in range(self.config.shards)]))
            return missing

    def close(self) -> None:
        """Give the locks back."""
        self._held.close()


def versions(air3d: str, renderer: str) -> dict[str, str]:
    """The versions that the bytes of a shard may depend on.

    Args:
        air3d: the version of this project.
        renderer: the name of the backend; for those on OpenGL the renderer string is added.
    """
    on_gl = renderer in ("gl", "gl_pool", "layers")
    device = probe_gl().renderer if on_gl else ""
    packages = package_versions(air3d, "mujoco", "numpy", "numba")
    return {**packages, "renderer": renderer, "device": device, "pictures": str(PICTURES_VERSION)}


def package_versions(air3d: str, *names: str) -> dict[str, str]:
    """Versions of this project, of these packages, of zlib and of Python."""
    packages = {name: version(name) for name in names}
    return {"air3d": air3d, **packages, "zlib": zlib.ZLIB_RUNTIME_VERSION, "python": platform.python_version()}
