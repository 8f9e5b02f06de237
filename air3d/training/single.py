"""Trains single-object inference from images alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import Renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.elbo import Problem
from air3d.scenes.learner import Learner
from air3d.scenes.likelihood import Gaussian
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import SingleObjectGuide
from air3d.scenes.painter import to_pixels
from air3d.scenes.store import save_model
from air3d.training.collapse import CollapseWatch
from air3d.training.config import TrainConfig
from air3d.training.loop import Share, Step, falling, fit
from air3d.training.mean_image import mean_image
from air3d.training.processes import ALONE, Processes
from air3d.training.run_folder import RunFolder
from air3d.training.shares import Shares

LOG_EVERY = 10
CHECKPOINT_EVERY = 50
GRADIENT_NORM = 10.0


@plain_torch()
def new_model(config: TrainConfig, prior: PriorConfig, images: Tensor) -> SceneModel[SingleObjectGuide]:
    """Make an untrained model, seeded; the mean of the training images is stored in its encoder.

    Args:
        images: (N, S, S, 3) uint8.

    Raises:
        InputError: if the images have another size than the guide reads.
    """
    size = config.guide.encoder.image_size
    if images.shape[1:] != (size, size, 3):
        raise InputError(f"the images are {images.shape[2]}x{images.shape[1]} pixels; the guide reads {size}x{size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = SceneModel.of(prior, config.guide, config.sigma)
    model.guide.encoder.mean_image.copy_((mean_image(images.split(1024)) / 255.0).permute(2, 0, 1))
    return model


@plain_torch()
def train(
    model: SceneModel[SingleObjectGuide],
    images: Tensor,
    renderer: Renderer,
    config: TrainConfig,
    run: RunFolder | None,
    provenance: dict[str, Any],
    report: Callable[[dict[str, Any]], None],
    processes: Processes = ALONE,
) -> None:
    """Train until `config.iterations`, resuming from the run's checkpoint if there is one.

    Args:
        model: the model, changed in place.
        images: (N, S, S, 3) uint8; no labels.
        run: the run folder, in the first process; None in the others.
        provenance: is stored with the exported model.
        report: is called after every iteration with the latest log record (empty before the first).
        processes: the processes that train together.
    """
    learner = new_learner(model, config)
    shares = Shares(config.shares, config.seed, torch.Generator().manual_seed(config.seed), processes)
    order = easiest_first(images, model.guide.encoder.mean_image) if config.curriculum < 1.0 else None

    def step(share: Share) -> Step:
        used = max(round(len(images) * curriculum_share(config.curriculum, share.progress)), 1)
        index = torch.randint(used, (share.of(config.batch),), generator=share.generator)
        batch = to_pixels(images[index if order is None else order[index]].numpy())
        problem = Problem(
            model.painter(renderer), batch, Gaussian(config.sigma), config.schedule, share.progress, share.generator
        )
        found = learner.step(problem)
        return Step(found.loss, {**found.record(), "blur_px": problem.blur_px}, found.kind_share)

    fit(
        learner,
        torch.optim.Adam(learner.parameters(), lr=config.learning_rate, betas=(0.9, 0.99)),
        step,
        shares,
        config.iterations,
        rate=lambda iteration: learning_rate_factor(iteration / config.iterations),
        clip=GRADIENT_NORM,
        running=learner.running,
        watch=CollapseWatch(model.world.prior.kinds),
        log_every=LOG_EVERY,
        checkpoint_every=CHECKPOINT_EVERY,
        run=run,
        export=lambda folder, facts: save_model(folder, model, provenance | facts),
        report=report,
    )


def new_learner(model: SceneModel[SingleObjectGuide], config: TrainConfig) -> Learner:
    """Make the learner of the model's guide with the estimator of the configuration, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 1)
        learner = Learner(model, config.estimator)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return learner


def easiest_first(images: Tensor, mean_image: Tensor) -> Tensor:
    """Sort images (N, S, S, 3) uint8, those with least in them first, nearest to the mean (3, S, S): indices (N,)."""
    mean = 255.0 * mean_image.permute(1, 2, 0)
    return torch.cat([(chunk - mean).square().sum(dim=(1, 2, 3)) for chunk in images.split(1024)]).argsort(stable=True)


def curriculum_share(start: float, progress: float) -> float:
    """The share of the images in use: from `start` to 1 over the first half of the run."""
    return start + (1.0 - start) * min(2.0 * progress, 1.0)


def learning_rate_factor(progress: float) -> float:
    """The factor is 1 for the first 70 %, then falls along a cosine to 0.05."""
    return falling(math.pi * (progress - 0.7) / 0.3, last=0.05)
