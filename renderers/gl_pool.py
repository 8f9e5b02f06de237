"""Backend `gl_pool`: several OpenGL renderer processes that share one batch.

Each process is started fresh (spawn), makes its own context and stays. A batch is cut into chunks; every process
draws one after the other into shared memory, so no picture is ever sent. Where a picture lands depends on its place in
the batch alone: the result does not depend on the number of processes, or on which of them drew what.

A process that dies or makes no progress for `timeout_s` is killed and replaced, and its chunk drawn again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections import deque
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.shared_memory import SharedMemory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.gl_worker import Content, Job, block_arrays, block_bytes, serve
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import Frames, RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.child_processes import NAME, check_can_start, interrupts_later, obituary
from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError

# About 10 ms of drawing: small enough to balance, large enough to hide the messages.
_CHUNK_PIXELS = 64 * 64 * 64
_RESTARTS = 3
_START_TIMEOUT_S = 60.0


class _Worker(NamedTuple):
    process: SpawnProcess
    pipe: Connection


class _LostError(Exception):
    """Says that a process died or hangs."""


class GlPoolRenderer(Closing):
    """OpenGL renderer over several processes.

    Args:
        config: the configuration that every process renders.
        workers: the number of processes; default: the number of usable cores.
        timeout_s: the seconds for a chunk (about 64 images of 64x64) after which a process is taken to hang.

    Raises:
        InputError: if no OpenGL context can be made, or a process cannot be started.
    """

    name = "gl_pool"

    def __init__(self, config: RenderConfig, workers: int | None = None, timeout_s: float = 4.0) -> None:
        if workers is not None and not 1 <= workers <= 256:
            raise InputError(f"renderer gl_pool: workers is {workers}; use 1 to 256")
        check_can_start()
        probe = probe_gl()
        if probe.platform is None:
            raise InputError(f"no OpenGL context can be made here ({probe.error}); run 'air3d doctor'")
        self.config = config
        self.timeout_s = timeout_s
        self._size = workers or len(os.sched_getaffinity(0))
        self._chunk = max(1, _CHUNK_PIXELS // (config.height * config.width))
        self._blocks: list[SharedMemory] = []  # at most one, of `capacity` images
        self._capacity = 0
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()
        self._release = weakref.finalize(self, _release, self._workers, self._blocks)
        try:
            # All are started before the first is waited for.
            self._workers += [self._spawn() for _ in range(self._size)]
            for worker in self._workers:
                self._receive(worker, _START_TIMEOUT_S)
        except _LostError as lost:
            self.close()
            raise InputError(f"a renderer process did not start ({lost}); run 'air3d doctor'") from None
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> int:
        """The number of processes."""
        return self._size

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        with self._lock:
            return self._draw(scenes, "rgb").rgb[: len(scenes)].copy()

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation, (B, H, W) uint8."""
        with self._lock:
            return self._draw(scenes, "segmentation").segmentation[: len(scenes)].copy()

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and segmentation; see `Frames`."""
        b = len(scenes)
        with self._lock:
            rgb, depth_m, segmentation = self._draw(scenes, "frames")
            return Frames(rgb[:b].copy(), depth_m[:b].copy(), segmentation[:b].copy())

    def _draw(self, scenes: SceneBatch, content: Content) -> Frames:
        if not self._release.alive:
            raise RuntimeError("this renderer is closed")
        block = self._room_for(max(len(scenes), 1))
        waiting = deque(
            Job(block.name, self._capacity, start, content, scenes[start : start + self._chunk])
            for start in range(0, len(scenes), self._chunk)
        )
        busy: dict[int, tuple[Job, float]] = {}
        restarts, refusal = 0, None
        while waiting or busy:
            for slot in range(self._size):
                if slot not in busy and waiting and refusal is None:
                    busy[slot] = (waiting[0], time.monotonic() + self.timeout_s)
                    job = waiting.popleft()
                    # A dead process shows below, where its pipe is read.
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        self._workers[slot].pipe.send(job)
            if not busy:
                break
            deadline = min(until for _, until in busy.values())
            ready = wait([self._workers[slot].pipe for slot in busy], max(deadline - time.monotonic(), 0.0))
            now = time.monotonic()
            for slot, (job, until) in list(busy.items()):
                worker = self._workers[slot]
                if worker.pipe not in ready and now < until:
                    continue
                try:
                    self._receive(worker, 0.0)
                    del busy[slot]
                except InputError as error:
                    refusal = error
                    del busy[slot]
                except _LostError as lost:
                    restarts += 1
                    del busy[slot]
                    waiting.appendleft(job)
                    self._replace(slot)
                    if restarts > _RESTARTS:
                        raise InputError(
                            f"renderer processes failed {restarts} times in one batch (last: {lost}); "
                            "run 'air3d doctor', or use --renderer gl"
                        ) from None
        if refusal is not None:
            raise refusal
        return block_arrays(block, self.config, self._capacity)

    def _room_for(self, images: int) -> SharedMemory:
        if self._capacity < images:
            _free(self._blocks)
            self._blocks.append(SharedMemory(create=True, size=block_bytes(self.config, images)))
            self._capacity = images
        return self._blocks[0]

    def _spawn(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self.config), name=f"{NAME}gl", daemon=True)
        with interrupts_later(signal.SIGINT):
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _receive(self, worker: _Worker, timeout_s: float) -> None:
        """Take one answer.

        Raises:
            _LostError: if the process has died, or does not answer in time.
            InputError: if the process refused the scenes.
        """
        try:
            if not worker.pipe.poll(timeout_s):
                raise _LostError("it hangs")
            verdict, text = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join(1.0)
            raise _LostError(f"it {obituary(worker.process.exitcode)}") from None
        if verdict == "error":
            raise InputError(text)

    def _replace(self, slot: int) -> None:
        _kill(self._workers[slot])
        self._workers[slot] = self._spawn()
        try:
            self._receive(self._workers[slot], _START_TIMEOUT_S)
        except _LostError as lost:
            raise InputError(f"a renderer process could not be replaced ({lost}); run 'air3d doctor'") from None

    def close(self) -> None:
        """End the processes and free the shared memory."""
        with self._lock:
            self._release()


def _release(workers: list[_Worker], blocks: list[SharedMemory]) -> None:
    for worker in workers:
        _kill(worker)
    workers.clear()
    _free(blocks)


def _free(blocks: list[SharedMemory]) -> None:
    while blocks:
        block = blocks.pop()
        block.close()
        block.unlink()


def _kill(worker: _Worker) -> None:
    # SIGKILL: a stopped or hung process ignores everything else, and there is nothing in it to save.
    worker.pipe.close()
    worker.process.kill()
    worker.process.join(5.0)
