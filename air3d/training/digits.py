"""Trains the models of the 2D track from images alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from air3d.digits.inference import to_pixels
from air3d.digits.learner import AirLearner, make_learner
from air3d.digits.models import Model, make_model
from air3d.digits_store import save_digits_model
from air3d.networks.plain_torch import plain_torch
from air3d.scene3d.errors import InputError
from air3d.training.collapse import CountWatch
from air3d.training.digits_config import DigitsRunConfig, DigitsTrainConfig
from air3d.training.loop import Share, Step, falling, fit
from air3d.training.processes import ALONE, Processes
from air3d.training.run_folder import RunFolder
from air3d.training.shares import Shares
from air3d.training.step_graph import Gradients, can_record

LOG_EVERY = 50
CHECKPOINT_EVERY = 1000


@plain_torch()
def new_model(config: DigitsRunConfig, images: Tensor) -> Model:
    """Make an untrained model, seeded.

    Args:
        images: (N, S, S) uint8, the images that it will be trained on.

    Raises:
        InputError: if they have another size than the model reads.
    """
    size = config.network.canvas
    if images.shape[1:] != (size, size):
        raise InputError(f"the images are {images.shape[2]}x{images.shape[1]} pixels; the model reads {size}x{size}")
    return make_model(config.model, config.network, config.train.seed)


@plain_torch()
def train(
    model: Model,
    images: Tensor,
    config: DigitsTrainConfig,
    run: RunFolder | None,
    provenance: dict[str, Any],
    report: Callable[[dict[str, Any]], None],
    processes: Processes = ALONE,
) -> None:
    """Train until `config.iterations`, resuming from the run's checkpoint if there is one.

    Args:
        model: the model, changed in place; it and the images stay on the device where they are.
        images: (N, S, S) uint8; no labels.
        run: the run folder, in the first process; None in the others.
        provenance: is stored with the exported model.
        report: is called after every iteration with the latest log record (empty before the first).
        processes: the processes that train together.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 1)
        learner = make_learner(model, config.estimator, config.precision, config.explore).to(images.device)
    shares = Shares(config.shares, config.seed, torch.Generator(images.device).manual_seed(config.seed), processes)
    alone = shares.count == 1 and not learner.running
    gradients = Gradients(learner, shares.count, record=alone and can_record(images.device))

    def step(share: Share) -> Step:
        size = share.of(config.batch)
        index = torch.randint(len(images), (size,), generator=share.generator, device=images.device)
        found = gradients.add(to_pixels(images[index]), *learner.draw(size, share.progress, share.generator))
        return Step(found.loss, found.watch, found.count_share, differentiated=True)

    fit(
        learner,
        make_optimiser(learner, config),
        step,
        shares,
        config.iterations,
        rate=lambda iteration: learning_rate_factor(iteration / config.iterations),
        clip=config.clip,
        running=learner.running,
        watch=CountWatch(),
        log_every=LOG_EVERY,
        checkpoint_every=CHECKPOINT_EVERY,
        run=run,
        export=lambda folder, facts: save_digits_model(folder, model, provenance | facts),
        report=report,
    )


def make_optimiser(learner: torch.nn.Module, config: DigitsTrainConfig) -> torch.optim.Adam:
    """Make Adam; the baseline of `nvil` has a learning rate of its own."""
    groups = [{"params": list(learner.get_submodule("model").parameters()), "lr": config.learning_rate}]
    if isinstance(learner, AirLearner) and learner.estimator == "nvil":
        groups.append({"params": list(learner.baseline.parameters()), "lr": config.baseline_learning_rate})
    return torch.optim.Adam(groups, fused=True)


def learning_rate_factor(progress: float) -> float:
    """The factor is 1 for the first 60 %, then falls along a cosine to 0.05."""
    return falling(math.pi * (progress - 0.6) / 0.4, last=0.05)
