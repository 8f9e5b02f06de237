"""Training of table-top inference: the sleep phase, the wake phase from images alone, fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.scenes.model import to_pixels
from air3d.store import save_model
from air3d.tabletop.disturb import disturbed
from air3d.tabletop.model import TableTopModel
from air3d.tabletop.sleep import dream, sleep_loss
from air3d.tabletop.tune import TuneStep, tune_step
from air3d.tabletop.wake import Wake, WakeStep
from air3d.training.collapse import CollapseWatch
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.tabletop_config import TableTopTrainConfig
from renderers.protocol import Renderer
from scene3d.errors import InputError
from scene3d.prior import PriorConfig

LOG_EVERY = 20
CHECKPOINT_EVERY = 100
GRADIENT_NORM = 10.0
_MEAN_DREAMS = 2048
_LAST_RATE = 0.02


def new_tabletop_model(config: TableTopTrainConfig, prior: PriorConfig) -> TableTopModel:
    """An untrained model, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return TableTopModel(prior, config.guide, config.sigma)


def check_images(config: TableTopTrainConfig, images: NDArray[np.uint8] | None) -> None:
    """Whether a run can learn from these images (N, S, S, 3).

    Raises:
        InputError: if its phase needs images and there are none, or they are of another size than the guide reads.
    """
    size = config.guide.image_size
    if config.phase != "sleep" and (images is None or not len(images)):
        raise InputError(f"train: phase {config.phase} learns from images; name a dataset with --data")
    if images is not None and images.shape[1:] != (size, size, 3):
        raise InputError(f"the images are {images.shape[2]}x{images.shape[1]} pixels; the guide reads {size}x{size}")


def train_tabletop(
    model: TableTopModel,
    images: NDArray[np.uint8] | None,
    renderer: Renderer,
    config: TableTopTrainConfig,
    run: RunFolder,
    provenance: dict[str, Any],
    report: Callable[[dict[str, Any]], None],
    look: Callable[[int, TableTopModel], None] = lambda iteration, model: None,
) -> None:
    """Train until `config.iterations`, resuming from the run's checkpoint if there is one.

    Args:
        model: changed in place.
        images: (N, S, S, 3) uint8, not of the sleep phase; no labels.
        provenance: stored with the exported model.
        report: called after every iteration with the latest log record (empty before the first).
        look: called after every iteration with the number done; may draw what the model sees by then.

    Raises:
        InputError: as `check_images`.
    """
    check_images(config, images)
    guide, painter = model.guide.train(), model.painter(renderer)
    guide.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(guide.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator(painter.device).manual_seed(config.seed)
    start = run.resume(guide, optimiser, generator)
    if start == 0 and not guide.mean_image.any():  # else it comes with the weights that training starts from
        rng = np.random.default_rng((config.seed, 0, 1))
        seen = (
            dream(painter, _MEAN_DREAMS, rng, config.min_visible)[0]
            if images is None
            else to_pixels(images[:_MEAN_DREAMS])
        )
        guide.mean_image.copy_(seen.mean(0))
    collapse = CollapseWatch(model.prior.kinds)
    collapse.remember(read_log(run.folder))
    wake = Wake(guide, painter, config.wake, config.sigma, generator)
    record: dict[str, Any] = {}
    for iteration in range(start, config.iterations):
        progress = iteration / config.iterations
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * rate_factor(config, iteration)
        # What is dreamt in iteration i depends on (seed, i) alone: nothing of it needs to be in the checkpoint.
        rng = np.random.default_rng((config.seed, iteration))
        values: dict[str, float] = {}
        loss = torch.zeros((), device=painter.device)
        step: WakeStep | TuneStep
        kind_share: Tensor | None = None
        if images is not None and config.phase != "sleep":
            further = config.wake.camera_only if config.phase == "wake" else 0
            chosen = rng.integers(len(images), size=config.batch + further)
            batch = to_pixels(images[chosen]).to(painter.device)
            if config.phase == "wake":
                step = woke = wake.step(batch, progress)
                kind_share = woke.kind_share
            else:
                step = tune_step(guide, painter, batch, config.tune, config.sigma, generator)
            loss, values = loss + step.loss, step.record()
        dreams = config.batch if config.phase == "sleep" else config.dreams
        if dreams:
            pictures, latents = dream(painter, dreams, rng, config.min_visible)
            if config.disturb.share:
                pictures = disturbed(pictures, config.disturb, generator)
            dreamt = sleep_loss(guide, painter, pictures, latents, config.slips, generator)
            loss = loss + dreamt.total
            values |= {f"sleep_{name}": float(getattr(dreamt, name).detach()) for name in dreamt._fields}
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(guide.parameters(), GRADIENT_NORM)
        optimiser.step()
        done = iteration + 1
        if done % LOG_EVERY == 0 or done == config.iterations:
            record = {"iteration": done, "loss": float(loss.detach()), **values}
            if kind_share is not None:
                record["kind_share"] = dict(zip(model.prior.kinds, kind_share.tolist(), strict=True))
                if (warning := collapse.look(progress, kind_share.cpu())) is not None:
                    record["warning"] = warning
            run.log(record)
        if done % CHECKPOINT_EVERY == 0 or done == config.iterations:
            run.save_checkpoint(done, guide, optimiser, generator)
        report(record)
        look(done, model)
    guide.eval()
    save_model(run.model_folder, model, {**provenance, "iterations": config.iterations, "seed": config.seed})


def rate_factor(config: TableTopTrainConfig, iteration: int) -> float:
    """Factor on the learning rate: a linear rise, a constant stretch, a fall along a cosine."""
    rise = min((iteration + 1) / max(config.warm_up, 1), 1.0)
    progress = iteration / config.iterations
    if progress <= config.hold:
        return rise
    fall = (progress - config.hold) / (1.0 - config.hold)
    return rise * (_LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * fall)))
