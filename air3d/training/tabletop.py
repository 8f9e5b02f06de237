"""Trains tabletop inference: the sleep phase, the wake phase from images alone, fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import Renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.disturb import disturbed
from air3d.scenes.elbo import Problem
from air3d.scenes.elbo import Step as Learned
from air3d.scenes.learner import Learner
from air3d.scenes.likelihood import Gaussian
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import Painter, to_pixels
from air3d.scenes.sleep import dream, sleep_loss
from air3d.scenes.step_guide import TableGuide
from air3d.scenes.store import save_model
from air3d.scenes.wake import Wake, WakeStep
from air3d.training.collapse import CollapseWatch
from air3d.training.loop import Share, Step, falling, fit
from air3d.training.mean_image import mean_dream
from air3d.training.processes import ALONE, Processes
from air3d.training.run_folder import RunFolder
from air3d.training.shares import Shares
from air3d.training.tabletop_config import TabletopTrainConfig

LOG_EVERY = 20
CHECKPOINT_EVERY = 100
GRADIENT_NORM = 10.0
_MEAN_DREAMS = 2048
_LAST_RATE = 0.02


@plain_torch()
def new_tabletop_model(config: TabletopTrainConfig, prior: PriorConfig) -> SceneModel[TableGuide]:
    """Make an untrained model, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return SceneModel.of(prior, config.guide, config.sigma)


def check_images(config: TabletopTrainConfig, images: NDArray[np.uint8] | None) -> None:
    """Check that a run can learn from these images (N, S, S, 3).

    Raises:
        InputError: if its phase needs images and there are none, or they are of another size than the guide reads.
    """
    size = config.guide.image_size
    if config.phase != "sleep" and (images is None or not len(images)):
        raise InputError(f"train: phase {config.phase} learns from images; name a dataset with --data")
    if images is not None and images.shape[1:] != (size, size, 3):
        raise InputError(f"the images are {images.shape[2]}x{images.shape[1]} pixels; the guide reads {size}x{size}")


@plain_torch()
def train_tabletop(
    model: SceneModel[TableGuide],
    images: NDArray[np.uint8] | None,
    renderer: Renderer,
    config: TabletopTrainConfig,
    run: RunFolder | None,
    provenance: dict[str, Any],
    report: Callable[[dict[str, Any]], None],
    look: Callable[[int, SceneModel[TableGuide]], None] = lambda iteration, model: None,
    processes: Processes = ALONE,
) -> None:
    """Train until `config.iterations`, resuming from the run's checkpoint if there is one.

    Args:
        model: the model, changed in place.
        images: (N, S, S, 3) uint8; None in the sleep phase; no labels.
        run: the run folder, in the first process; None in the others.
        provenance: is stored with the exported model.
        report: is called after every iteration with the latest log record (empty before the first).
        look: is called after every iteration with the number done; may draw what the model sees by then.
        processes: the processes that train together.

    Raises:
        InputError: if `check_images` raises it.
    """
    check_images(config, images)
    guide, painter = model.guide, model.painter(renderer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 1)
        learner = Learner(model, config.estimator)
    learner.to(painter.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Else the mean image comes from the first process, the checkpoint, or the weights that training starts from.
    if processes.first and (run is None or run.iterations_done() == 0) and not guide.mean_image.any():
        guide.mean_image.copy_(
            mean_dream(painter, _MEAN_DREAMS, config.seed, config.min_visible)
            if images is None
            else to_pixels(images[:_MEAN_DREAMS]).mean(0)
        )
    fit(
        learner,
        torch.optim.Adam(learner.parameters(), lr=config.learning_rate, betas=(0.9, 0.99)),
        lambda share: _step(learner, painter, images, config, share),
        Shares(config.shares, config.seed, torch.Generator(painter.device).manual_seed(config.seed), processes),
        config.iterations,
        rate=lambda iteration: rate_factor(config, iteration),
        clip=GRADIENT_NORM,
        running=learner.running,
        watch=CollapseWatch(model.prior.kinds),
        log_every=LOG_EVERY,
        checkpoint_every=CHECKPOINT_EVERY,
        run=run,
        export=lambda folder, facts: save_model(folder, model, provenance | facts),
        report=report,
        look=lambda done: look(done, model),
    )


def _step(
    learner: Learner, painter: Painter, images: NDArray[np.uint8] | None, config: TabletopTrainConfig, share: Share
) -> Step:
    # What is dreamt in iteration i depends on (seed, i, share) alone, whatever the phase and the images: nothing of it
    # needs to be in the checkpoint, and a run of the sleep phase is the control of one that adds dreams to images.
    rng, generator, guide = share.rng(), share.generator, learner.guide
    loss, values = torch.zeros((), device=painter.device), dict[str, float | Tensor]()
    kind_share: Tensor | None = None
    dreams = share.of(config.batch if config.phase == "sleep" else config.dreams)
    if dreams:
        pictures, latents = dream(painter, dreams, rng, config.min_visible)
        if config.disturb.share:
            pictures = disturbed(pictures, config.disturb, generator)
        dreamt = sleep_loss(guide, painter, pictures, latents, config.slips, generator)
        loss = loss + dreamt.total
        values |= {f"sleep_{name}": value.detach() for name, value in dreamt._asdict().items()}
    if images is not None and config.phase != "sleep":
        wake = replace(config.wake, camera_only=share.of(config.wake.camera_only))
        further = wake.camera_only if config.phase == "wake" else 0
        chosen = rng.integers(len(images), size=share.of(config.batch) + further)
        batch = to_pixels(images[chosen]).to(painter.device)
        likelihood = Gaussian(config.sigma)
        if config.phase == "wake":
            step: WakeStep | Learned = Wake(guide, painter, wake, likelihood, generator).step(batch, share.progress)
        else:
            step = learner.step(Problem(painter, batch, likelihood, None, share.progress, generator))
        loss, values, kind_share = loss + step.loss, {**values, **step.record()}, step.kind_share
    return Step(loss, values, kind_share)


def rate_factor(config: TabletopTrainConfig, iteration: int) -> float:
    """The factor on the learning rate: a linear rise, a constant stretch, a fall along a cosine."""
    rise = min((iteration + 1) / max(config.warm_up, 1), 1.0)
    progress = iteration / config.iterations
    if progress <= config.hold:
        return rise
    return rise * falling(math.pi * ((progress - config.hold) / (1.0 - config.hold)), _LAST_RATE)
