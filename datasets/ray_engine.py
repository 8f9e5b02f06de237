"""Makes shards on a Ray cluster: any number of machines make them, this process alone writes them.

A task makes one shard in a temporary folder of its machine and sends the bytes of both files back. So the cluster needs
no shared file system, the locks of the dataset's folder hold as ever, and what is on disk appears as whole as always.
A task depends on (job, shard) alone: one whose worker or machine is lost is simply done again elsewhere.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from air3d.datasets.files import atomic_file, reported
from air3d.datasets.shards import shard_name, sidecar_name
from air3d.datasets.workers import ONE_THREAD, Progress, ShardJob
from air3d.scene3d.errors import InputError

LOCAL = "local"
_LOSSES = 5  # of a worker, for one shard, before something must be wrong with the shard
_AHEAD = 2  # tasks given out for each core: results wait in the memory of the cluster, so there is an end to them


class ShardBytes(NamedTuple):
    """A shard on its way: the content of its tar and of its sidecar."""

    tar: bytes
    sidecar: bytes


def make_shards_on_ray(
    job: ShardJob,
    shards: Sequence[int],
    progress: Progress,
    address: str,
    made_with: Callable[[], Mapping[str, str]],
) -> None:
    """Make shards on the cluster at `address`; see the module.

    Args:
        progress: is called with the number of samples of every shard that is written.
        address: "host:port" of a cluster's head, or "local" for one of this machine's cores that ends with this call.
        made_with: is called where a shard is made; its result is recorded with the shard, instead of the job's own.

    Raises:
        InputError: if there is no ray or no cluster, `ShardJob.run` raises it, or a shard loses worker after worker.
    """
    if not shards:
        return
    ray = _connect(address)
    try:
        make = ray.remote(max_retries=_LOSSES)(make_shard)
        there = ray.put(job)
        for shard, made in _results(ray, lambda shard: make.remote(there, shard, made_with), shards):
            keep_shard(job.folder, shard, made)
            progress(len(job.config.shard_indices(shard)))
    finally:
        ray.shutdown()


def make_shard(job: ShardJob, shard: int, made_with: Callable[[], Mapping[str, str]]) -> ShardBytes:
    """Make one shard in a folder that is gone afterwards; the body of a task."""
    os.environ.update(ONE_THREAD)  # a task is given one core
    with tempfile.TemporaryDirectory(prefix="air3d-shard-") as name:
        folder = Path(name)
        with job.recipe.open() as samples:
            replace(job, folder=folder, made_with=made_with()).run(shard, samples, lambda _: None)
        return ShardBytes((folder / shard_name(shard)).read_bytes(), (folder / sidecar_name(shard)).read_bytes())


def keep_shard(folder: Path, shard: int, made: ShardBytes) -> None:
    """Write a shard as `air3d.datasets.shards.write_shard` does: the old sidecar goes, the tar comes, then its sidecar.

    Raises:
        InputError: if it arrived damaged, or cannot be written.
    """
    if hashlib.sha256(made.tar).hexdigest().encode() not in made.sidecar:
        raise InputError(f"{shard_name(shard)}: arrived damaged from its worker; run the same command again")
    with reported(folder):
        (folder / sidecar_name(shard)).unlink(missing_ok=True)
        with atomic_file(folder / shard_name(shard)) as file:
            file.write(made.tar)
        with atomic_file(folder / sidecar_name(shard)) as file:
            file.write(made.sidecar)


def _results(ray: Any, submit: Callable[[int], Any], shards: Sequence[int]) -> Iterator[tuple[int, ShardBytes]]:
    """Yield shards as they are finished; whatever happens, no task is left behind."""
    todo = iter(shards)
    running: dict[Any, int] = {}
    try:
        while True:
            room = _AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1) - len(running)
            running |= {submit(shard): shard for shard in itertools.islice(todo, max(room, 0))}
            if not running:
                return
            done, _ = ray.wait(list(running))
            shard = running.pop(done[0])
            yield shard, _fetch(ray, done[0], shard)
    finally:
        for task in running:
            ray.cancel(task, force=True)


def _fetch(ray: Any, task: Any, shard: int) -> ShardBytes:
    try:
        made: ShardBytes = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise InputError(
            f"shard {shard}: {_LOSSES + 1} workers were lost while making it ({type(error).__name__}); "
            "run the same command again to go on"
        ) from None
    return made


def _connect(address: str) -> Any:
    # Both are read when ray is imported or starts something.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # leave CUDA_VISIBLE_DEVICES as it is
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError("--engine ray needs the package 'ray': pip install 'air3d[ray]'") from None
    dashboard = False if address == LOCAL else None
    try:
        ray.init(address, include_dashboard=dashboard, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"no Ray cluster at '{address}' ({reason}); start one with 'ray start --head'") from None
    return ray
