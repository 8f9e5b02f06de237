"""The measurements of `scale.py`: CPU seconds of one core by part of the work."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from air3d.datasets.config import GenerateConfig, config_sha256
from air3d.datasets.generation import batch_size, generate_scenes, scene_rng
from air3d.datasets.png import encode_png
from air3d.datasets.samples import encode_sample, quantise_depth
from air3d.datasets.shards import verify_shard, write_shard
from air3d.digits.latents import AirConfig
from air3d.digits.learner import make_learner
from air3d.digits.store import make_model
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Frames, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.painter import to_pixels
from air3d.scenes.sleep import dream, sleep_loss
from air3d.scenes.wake import Wake
from air3d.training.config import recommended_for
from air3d.training.scenes import new_model

PRIOR = tabletop_prior(("mug", "plate", "bowl"), 0, 3, True, False)


def measure(scenes: int, steps: int) -> dict[str, Any]:
    """All measurements, as JSON values; `scenes` of generation, `steps` of each training (medians)."""
    torch.set_num_threads(1)
    machine = {
        "cpu": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
    }
    training = [sleep_costs(32, steps), sleep_costs(128, steps), wake_costs(32, steps), digits_costs(64, steps)]
    generation = scene_costs(scenes) | {"workers": [worker_costs(n, scenes) for n in (1, 2)]}
    return {"machine": machine, "generation": generation, "training": training}


def cpu_s(work: Callable[[], Any]) -> float:
    """CPU seconds of this process for a piece of work."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def scene_costs(scenes: int) -> dict[str, Any]:
    """A scene by part: drawn from the prior, rendered, compressed, described, written; in batches as generation's."""
    config = GenerateConfig("tabletop", scenes, 0, PRIOR, renderer="raster", scenes_per_shard=scenes)
    prior, step = ScenePrior(PRIOR), batch_size(64 * 64)
    parts: dict[str, list[float]] = {
        name: [] for name in ("drawing", "rendering", "PNG", "annotation, JSON", "writing")
    }
    with make_renderer(config.render_config, "raster", 1) as renderer:
        list(generate_scenes(config, range(2), renderer))  # compiled by then
        samples, made = [], []
        for start in range(0, scenes, step):
            indices = range(start, min(start + step, scenes))
            drawing = cpu_s(lambda rows=indices: [prior.sample(scene_rng(0, i)) for i in rows])
            whole = cpu_s(lambda rows=indices: made.extend(generate_scenes(config, rows, renderer)))
            items = made[-len(indices) :]
            drawn = drawing * (1.0 + sum(item.redraws for item in items) / len(items))
            pictures = cpu_s(lambda rows=items: [_pngs(item) for item in rows])
            described = cpu_s(lambda rows=items: samples.extend(encode_sample(item) for item in rows)) - pictures
            for name, value in zip(parts, (drawn, whole - drawn, pictures, described), strict=False):
                parts[name].append(value / len(items))
            made.clear()
    with tempfile.TemporaryDirectory() as name:
        folder, digest = Path(name), config_sha256(config)
        parts["writing"] = [cpu_s(lambda: write_shard(folder, 0, 0, samples, digest, {})) / scenes]
        size = sum(path.stat().st_size for path in folder.iterdir()) / scenes
        check = cpu_s(lambda: verify_shard(folder, 0, digest, 0, scenes)) / scenes
    seconds = {name: statistics.median(values) for name, values in parts.items()}
    return {"seconds": seconds, "bytes": size, "check": check, "scenes": scenes}


def _pngs(item: Any) -> list[bytes]:
    return [encode_png(item.image), encode_png(quantise_depth(item.depth_m)), encode_png(item.segmentation)]


def worker_costs(workers: int, scenes: int) -> dict[str, Any]:
    """Seconds a scene of the whole command, CPU and wall, without what starting it costs."""

    def run(count: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as name:
            settings = f"--num {count} --seed 0 --renderer raster --scenes-per-shard 64 --workers {workers} --quiet"
            command = [sys.executable, "-m", "air3d", "generate", "tabletop", f"{name}/d", *settings.split()]
            before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - begin

    few = 64 * workers  # a shard for each, so that all have started
    little, much = run(few), run(few + 2 * scenes)
    cpu, wall = ((b - a) / (2 * scenes) for a, b in zip(little, much, strict=True))
    return {"workers": str(workers), "cpu": cpu, "wall": wall}


class TimedRenderer:
    """A renderer that adds up the CPU seconds and the pictures of another."""

    def __init__(self, inner: Renderer) -> None:
        self.inner, self.config, self.name = inner, inner.config, inner.name
        self.seconds, self.pictures = 0.0, 0

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        return self._timed(self.inner.render, scenes)

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        return self._timed(self.inner.render_segmentation, scenes)

    def render_frames(self, scenes: SceneBatch) -> Frames:
        return self._timed(self.inner.render_frames, scenes)

    def _timed(self, draw: Callable[[SceneBatch], Any], scenes: SceneBatch) -> Any:
        begin = time.process_time()
        made = draw(scenes)
        self.seconds += time.process_time() - begin
        self.pictures += len(scenes)
        return made


class CountOperations(TorchDispatchMode):
    """Counts the operations that torch runs, each of which is a kernel on a GPU, or a few."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def step_costs(
    name: str, images: int, steps: int, parameters: list[torch.nn.Parameter],
    scenes: Callable[[int], Any], loss: Callable[[int, Any], torch.Tensor], renderer: TimedRenderer | None,
) -> dict[str, Any]:  # fmt: skip
    """Seconds an image of the parts of a step: `scenes(i)`, then `loss(i, scenes)`, backward and Adam."""
    adam = torch.optim.Adam(parameters)
    rows = []
    for i in range(steps + 1):  # the first warms up
        before = renderer.seconds if renderer else 0.0
        found: list[Any] = []
        dreamt = cpu_s(lambda k=i, into=found: into.append(scenes(k)))
        within = (renderer.seconds if renderer else 0.0) - before

        def learn(k: int = i, given: list[Any] = found) -> None:
            adam.zero_grad()
            loss(k, given[0]).backward()
            adam.step()

        learnt = cpu_s(learn)
        render = (renderer.seconds if renderer else 0.0) - before
        rows.append((dreamt - within, render, learnt - (render - within)))
    medians = [statistics.median(values) / images for values in zip(*rows[1:], strict=True)]
    adam.zero_grad()
    given = scenes(0)
    with FlopCounterMode(display=False) as flops, CountOperations() as operations:
        loss(0, given).backward()
    size = sum(p.numel() * p.element_size() for p in parameters)
    pictures = renderer.pictures / (images * (steps + 2)) if renderer else 0.0
    return {"name": name, "batch": images, "scenes": medians[0], "render": medians[1], "network": medians[2]} | {
        "flops": flops.get_total_flops() / images, "operations": operations.count, "gradient_bytes": size,
        "renders": pictures,
    }  # fmt: skip


def sleep_costs(batch: int, steps: int) -> dict[str, Any]:
    """The sleep phase of tabletops, as `air3d train tabletop` has it."""
    config = replace(recommended_for("sleep"), batch=batch)
    model = new_model(config, PRIOR)
    generator = torch.Generator().manual_seed(0)
    with make_renderer(model.render_config, "raster", 1) as inner:
        timed = TimedRenderer(inner)
        painter = model.painter(timed)
        model.guide.to(memory_format=torch.channels_last)

        def scenes(i: int) -> Any:
            return dream(painter, batch, np.random.default_rng((0, i)), config.min_visible)

        def loss(i: int, dreamt: Any) -> torch.Tensor:
            return sleep_loss(model.guide, painter, *dreamt, config.slips, generator).total

        return step_costs("tabletop sleep", batch, steps, list(model.guide.parameters()), scenes, loss, timed)


def wake_costs(batch: int, steps: int) -> dict[str, Any]:
    """The wake phase of tabletops, half way through; images of its camera alone are counted as images."""
    config = replace(recommended_for("wake"), batch=batch)
    model = new_model(config, PRIOR)
    generator, size = torch.Generator().manual_seed(0), batch + config.wake.camera_only
    with make_renderer(model.render_config, "raster", 1) as inner:
        seen = to_pixels(inner.render(ScenePrior(PRIOR).sample_batch(np.random.default_rng(0), 4 * size)))
        timed = TimedRenderer(inner)
        model.guide.to(memory_format=torch.channels_last)
        wake = Wake(model.guide, model.painter(timed), config.wake, model.likelihood, generator)

        def scenes(i: int) -> Any:
            return seen[np.random.default_rng((0, i)).integers(len(seen), size=size)]

        def loss(i: int, images: Any) -> torch.Tensor:
            return wake.step(images, 0.5).loss

        return step_costs("tabletop wake", size, steps, list(model.guide.parameters()), scenes, loss, timed)


def digits_costs(batch: int, steps: int) -> dict[str, Any]:
    """AIR on images of digits; images of noise cost the same."""
    learner = make_learner(make_model("air", AirConfig(), 0), "exact", "float32")
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.rand, batch, 50, 50, generator=generator)

    def loss(i: int, images: Any) -> torch.Tensor:
        return learner.step(images, *learner.draw(batch, 1.0, generator)).loss

    return step_costs("digits air", batch, steps, list(learner.parameters()), lambda i: draw(), loss, None)
