"""Measures images per second of every backend, as ratios to the loop over `mujoco.Renderer` that users would write."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl, probe_warp
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.compiler import compile_model
from air3d.scene3d.prior import PriorConfig, ScenePrior

Draw = Callable[[SceneBatch], Any]


class Row(NamedTuple):
    """One measurement; `ratio` is to the row `default` of the same size and objects (None if it was not measured).

    `images_per_cpu_second` counts the time of all cores, which other work disturbs less; None where other
    processes draw.
    """

    backend: str
    size: int
    objects: int
    workers: int
    images_per_second: float
    ratio: float | None
    images_per_cpu_second: float | None = None


class DocumentedLoop:
    """`mujoco.Renderer` as its documentation shows it: update the data, update the scene, render; one by one.

    Args:
        tuned: switches off shadows, reflections, sky and multisampling, as a careful user would.
    """

    def __init__(self, config: RenderConfig, tuned: bool) -> None:
        import mujoco

        # `mujoco.Renderer` takes its context from MUJOCO_GL when mujoco is first imported; here that may be past.
        module = importlib.import_module("mujoco.rendering.classic.renderer")
        platform = importlib.import_module(f"mujoco.{probe_gl().platform}")
        vars(module)["GLContext"] = vars(module.gl_context)["GLContext"] = platform.GLContext
        self._size = config.width, config.height
        self._compiled = compile_model(config.kinds, config.max_objects, config.table, config.detail)
        model = self._compiled.model
        model.vis.global_.offwidth, model.vis.global_.offheight = config.width, config.height
        if not tuned:
            defaults = mujoco.MjSpec().visual.quality
            model.vis.quality.shadowsize, model.vis.quality.offsamples = defaults.shadowsize, defaults.offsamples
            model.light_castshadow[:] = True
        self._data = mujoco.MjData(model)
        self._renderer = module.Renderer(model, config.height, config.width)
        if tuned:
            self._renderer.scene.flags[:] = 0

    def __call__(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Render the images one by one, (B, H, W, 3) uint8."""
        images = []
        for b in range(len(scenes)):
            self._compiled.apply(self._data, scenes, b, *self._size)
            self._renderer.update_scene(self._data, camera="camera")
            images.append(self._renderer.render())
        return np.stack(images)

    def close(self) -> None:
        """Free the context."""
        self._renderer.close()


def measure(
    sizes: tuple[int, ...],
    objects: tuple[int, ...],
    backends: tuple[str, ...],
    seconds: float,
    seed: int,
    kinds: tuple[str, ...] = (),
) -> Iterator[Row]:
    """Measure every combination for about `seconds`: the median over batches, each of new scenes.

    Args:
        backends: some of `default`, `tuned`, `gl`, `gl_pool`, `layers`, `raster`, `warp`; any that cannot work here is
            left out.
        kinds: the kinds of the objects; without any, crockery.
    """
    for size in sizes:
        for count in objects:
            # Six plates do not fit on the table; the work is the same with mugs.
            chosen = kinds or (("mug", "plate", "bowl") if count <= 3 else ("mug",))
            prior = PriorConfig(kinds=chosen, min_objects=count, max_objects=count, max_tries=1_000_000)
            config = RenderConfig(prior.kinds, prior.table, count, size, size)
            scenes = ScenePrior(prior).sample_batch(np.random.default_rng(seed), 1024)
            baseline: float | None = None
            for name, workers in _variants(backends):
                with ExitStack() as stack:
                    draw, batch = _prepare(name, workers, config, stack)
                    rate, cpu_rate = _rates(draw, scenes, batch, seconds)
                if name == "default":
                    baseline = rate
                ratio = rate / baseline if baseline else None
                yield Row(name, size, count, workers, rate, ratio, None if name == "gl_pool" else cpu_rate)


def _variants(backends: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    has_gl, has_warp = probe_gl().platform is not None, bool(probe_warp().devices)
    for name in backends:
        if name == "raster" or (name == "gl_pool" and has_gl):
            yield from ((name, 1), (name, 2))
        elif has_warp if name == "warp" else has_gl and name != "gl_pool":
            yield name, 1


def _prepare(name: str, workers: int, config: RenderConfig, stack: ExitStack) -> tuple[Draw, int]:
    if name in ("default", "tuned"):
        loop = DocumentedLoop(config, tuned=name == "tuned")
        stack.callback(loop.close)
        return loop, 16
    return stack.enter_context(make_renderer(config, name, workers)).render, 512


def _rates(draw: Draw, scenes: SceneBatch, batch: int, seconds: float) -> tuple[float, float]:
    """Measure images per second, and per second of all cores: medians over batches, after one that is not counted."""
    draw(scenes[:batch])
    rates: list[tuple[float, float]] = []
    start, until = 0, time.perf_counter() + seconds
    while len(rates) < 3 or time.perf_counter() < until:
        start = (start + batch) % (len(scenes) - batch + 1)
        begin, begin_cpu = time.perf_counter(), time.process_time()
        draw(scenes[start : start + batch])
        used = max(time.process_time() - begin_cpu, 1e-9)
        rates.append((batch / (time.perf_counter() - begin), batch / used))
    rate, cpu_rate = np.median(rates, axis=0).tolist()
    return rate, cpu_rate
