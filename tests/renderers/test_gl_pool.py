"""The process pool: same pixels as one process, whatever happens to its processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene, SceneObject, Table

pytestmark = pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL context can be made here")

PRIOR = tabletop_prior()
CONFIG = RenderConfig(PRIOR.kinds, height=32, width=32)


def _scenes(count: int, seed: int = 0) -> SceneBatch:
    return ScenePrior(PRIOR).sample_batch(np.random.default_rng(seed), count)


@pytest.fixture(scope="module")
def pool() -> Iterator[object]:
    from air3d.renderers.gl_pool import GlPoolRenderer

    with GlPoolRenderer(CONFIG, workers=2, timeout_s=2.0) as made:
        made._chunk = 16  # many chunks from small batches
        yield made


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    from air3d.renderers.gl import GlRenderer

    with GlRenderer(CONFIG) as one:
        return one.render(_scenes(200))


def test_same_pixels_as_one_process(pool, expected) -> None:  # type: ignore[no-untyped-def]
    assert np.array_equal(pool.render(_scenes(200)), expected)
    assert np.array_equal(pool.render(_scenes(200)[:5]), expected[:5]), "fewer scenes than a chunk"
    assert np.array_equal(pool.render(_scenes(200)), expected), "after a smaller batch"


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_lost_process_is_replaced_and_its_part_redrawn(pool, expected, sign) -> None:  # type: ignore[no-untyped-def]
    victim = pool._workers[1].process.pid
    os.kill(victim, sign)
    begin = time.monotonic()
    assert np.array_equal(pool.render(_scenes(200)), expected)
    assert time.monotonic() - begin < 10.0 + 5.0, "10 s, and some for a busy machine"
    assert not psutil.pid_exists(victim) or psutil.Process(victim).status() == psutil.STATUS_ZOMBIE
    assert np.array_equal(pool.render(_scenes(200)), expected)


def test_killed_while_it_draws(pool, expected) -> None:  # type: ignore[no-untyped-def]
    for delay in (0.001, 0.004, 0.01):
        timer = threading.Timer(delay, os.kill, (pool._workers[0].process.pid, signal.SIGKILL))
        timer.start()
        assert np.array_equal(pool.render(_scenes(200)), expected)
        timer.join()


def test_refused_scenes_leave_the_pool_usable(pool, expected) -> None:  # type: ignore[no-untyped-def]
    foreign = SceneBatch.from_scenes(
        [Scene((SceneObject.upright("mug", 0.0, 0.0),), table=Table(0.5, 0.3))], PRIOR.kinds, 3
    )
    with pytest.raises(InputError):
        pool.render(foreign)
    assert np.array_equal(pool.render(_scenes(200)), expected)


def test_a_process_that_always_dies_is_one_clear_error() -> None:
    from air3d.renderers.gl_pool import GlPoolRenderer

    with GlPoolRenderer(CONFIG, workers=1) as fragile:
        stop = threading.Event()

        def slaughter() -> None:
            while not stop.is_set():
                for child in psutil.Process().children():
                    if child.pid == fragile._workers[0].process.pid:
                        child.send_signal(signal.SIGKILL)
                time.sleep(0.005)

        thread = threading.Thread(target=slaughter)
        thread.start()
        try:
            with pytest.raises(InputError, match="renderer process"):
                fragile.render(_scenes(200))
        finally:
            stop.set()
            thread.join()


def test_closing_leaves_nothing_behind() -> None:
    from air3d.renderers.gl_pool import GlPoolRenderer

    renderer = GlPoolRenderer(CONFIG, workers=2)
    renderer.render(_scenes(20))
    pids = [worker.process.pid for worker in renderer._workers]
    shared = Path("/dev/shm") / renderer._blocks[0].name.lstrip("/")
    assert shared.exists()
    renderer.close()
    renderer.close()
    assert not shared.exists()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="closed"):
        renderer.render(_scenes(1))


def test_bad_number_of_workers() -> None:
    from air3d.renderers.gl_pool import GlPoolRenderer

    with pytest.raises(InputError, match="workers is 0"):
        GlPoolRenderer(CONFIG, workers=0)
