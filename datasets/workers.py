"""Makes shards in several processes: each opens the recipe once for its whole life and takes shard after shard.

The parent hands out numbers and listens. A worker that loses its parent ends at once; the parent ends its workers
whatever happens, so an interrupt leaves nothing running and the finished shards in place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from air3d.datasets.config import Sharding, config_sha256
from air3d.datasets.files import reported
from air3d.datasets.recipe import Recipe, Samples
from air3d.datasets.shards import write_shard
from air3d.scene3d.child_processes import INTERRUPTS, NAME, check_can_start, interrupts_later, obituary
from air3d.scene3d.errors import InputError

Progress = Callable[[int], None]

# One thread each: the processes are the parallelism. Read when numpy and Mesa are loaded, so set before the start.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LP_NUM_THREADS": "0",
}


@dataclass(frozen=True)
class ShardJob:
    """Holds all that is needed to make any shard of a dataset; it is sent to the workers.

    Attributes:
        folder: the folder of the dataset.
        config: its configuration.
        recipe: makes its samples.
        made_with: the versions and the renderer, which are recorded with the shard.
    """

    folder: Path
    config: Sharding
    recipe: Recipe
    made_with: Mapping[str, str]

    def run(self, shard: int, samples: Samples, progress: Progress) -> None:
        """Make one shard with the function that the opened recipe gave; `progress` is called for every sample.

        Raises:
            InputError: if a sample cannot be made, or the shard not be written.
        """
        indices = self.config.shard_indices(shard)

        def counted() -> Iterator[Mapping[str, bytes]]:
            for sample in samples(indices):
                yield sample
                progress(1)

        with reported(self.folder):
            write_shard(self.folder, shard, indices.start, counted(), config_sha256(self.config), self.made_with)


def make_shards(job: ShardJob, shards: Sequence[int], workers: int, progress: Progress) -> None:
    """Make shards, in this process if `workers` is 1.

    Args:
        progress: is called with the number of scenes finished since its last call.

    Raises:
        InputError: if `ShardJob.run` raises it, or if a worker dies.
    """
    if not shards:
        return
    if workers == 1:
        with job.recipe.open() as samples:
            for shard in shards:
                job.run(shard, samples, progress)
        return
    check_can_start()
    pool = _Pool()
    try:
        pool.start(job, min(workers, len(shards)))
        pool.run(shards, progress)
    except BaseException:
        pool.kill()
        raise
    pool.join()


class _Worker:
    def __init__(self, job: ShardJob) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_work, args=(theirs, job), name=f"{NAME}shards", daemon=True
        )
        self.process.start()
        theirs.close()
        self.shard: int | None = None


class _Pool:
    def __init__(self) -> None:
        self._workers: list[_Worker] = []

    def start(self, job: ShardJob, count: int) -> None:
        with _environment(ONE_THREAD), interrupts_later(*INTERRUPTS):
            for _ in range(count):
                self._workers.append(_Worker(job))

    def run(self, shards: Sequence[int], progress: Progress) -> None:
        todo = list(reversed(shards))
        for worker in self._workers:
            self._hand_out(worker, todo)
        while any(worker.shard is not None for worker in self._workers):
            busy = {worker.pipe: worker for worker in self._workers if worker.shard is not None}
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                try:
                    kind, value = worker.pipe.recv()
                except (EOFError, OSError):
                    raise InputError(_obituary(worker)) from None
                if kind == "scenes":
                    progress(value)
                elif kind == "done":
                    self._hand_out(worker, todo)
                elif kind == "refused":
                    raise InputError(value)
                else:
                    raise RuntimeError(f"a worker failed:\n{value}")

    def _hand_out(self, worker: _Worker, todo: list[int]) -> None:
        worker.shard = todo.pop() if todo else None
        with contextlib.suppress(OSError):  # a dead worker is noticed when its pipe is read
            worker.pipe.send(worker.shard)

    def join(self) -> None:
        """Wait for workers that have been told to end; they close their renderers first."""
        for worker in self._workers:
            worker.process.join(timeout=5.0)
        self.kill()

    def kill(self) -> None:
        """End all workers now."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


def _obituary(worker: _Worker) -> str:
    worker.process.join(timeout=5.0)
    how = obituary(worker.process.exitcode)
    return (
        f"a worker {how} while making shard {worker.shard}; run the same command again to go on, "
        "with fewer --workers if memory is short"
    )


def _work(pipe: Connection, job: ShardJob) -> None:
    """The body of a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        shard = pipe.recv()
        if shard is None:
            return
        with job.recipe.open() as samples:
            while shard is not None:
                counter = _Counter(pipe)
                job.run(shard, samples, counter.add)
                counter.flush()
                pipe.send(("done", shard))
                shard = pipe.recv()
    except (EOFError, ConnectionError):  # the parent has gone
        return
    except InputError as error:
        pipe.send(("refused", str(error)))
    except Exception:
        pipe.send(("failed", traceback.format_exc()))


class _Counter:
    """Sends progress in steps: one message a scene would cost more than it tells."""

    _STEP = 32

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._count = pipe, 0

    def add(self, scenes: int) -> None:
        self._count += scenes
        if self._count >= self._STEP:
            self.flush()

    def flush(self) -> None:
        if self._count:
            self._pipe.send(("scenes", self._count))
        self._count = 0


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes started within the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
