"""Training of the 2D track from images alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from air3d.digits.inference import to_pixels
from air3d.digits.learner import AirLearner, Step, make_learner
from air3d.digits.models import Model, make_model
from air3d.digits_store import save_digits_model
from air3d.networks.plain_torch import plain_torch
from air3d.scene3d.errors import InputError
from air3d.training.digits_config import DigitsRunConfig, DigitsTrainConfig
from air3d.training.processes import ALONE, Processes
from air3d.training.run_folder import RunFolder
from air3d.training.shares import RunningMeans, Shares
from air3d.training.step_graph import Gradients, can_record

LOG_EVERY = 50
CHECKPOINT_EVERY = 1000
# Nothing is said of a collapse before this share of the run, in which the count is still sought.
_QUIET_UNTIL = 0.2
_NEARLY_ALL = 0.98


@plain_torch()
def new_model(config: DigitsRunConfig, images: Tensor) -> Model:
    """An untrained model, seeded.

    Args:
        images: (N, S, S) uint8 that it is to be trained on.

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
        model: changed in place; it and the images stay on the device where they are.
        images: (N, S, S) uint8; no labels.
        run: of the first process; None for the others.
        provenance: stored with the exported model.
        report: called after every iteration with the latest log record (empty before the first).
        processes: that train together.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 1)
        learner = make_learner(model, config.estimator, config.precision, config.explore).to(images.device)
    optimiser = make_optimiser(learner, config)
    rates = [group["lr"] for group in optimiser.param_groups]
    generator = torch.Generator(images.device).manual_seed(config.seed)
    shares = Shares(config.shares, config.seed, generator, processes)
    start = processes.start_alike(0 if run is None else run.resume(learner, optimiser, generator), learner, optimiser)
    learner.train()
    alone = shares.count == 1 and not learner.running
    gradients = Gradients(learner, shares.count, record=alone and can_record(images.device))
    record: dict[str, Any] = {}
    for iteration in range(start, config.iterations):
        progress = iteration / config.iterations
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * learning_rate_factor(progress)
        optimiser.zero_grad()
        steps, means = [], RunningMeans(shares, learner.running)
        for share in shares.own:
            own, size = shares.generator(share, iteration), config.batch // shares.count
            index = torch.randint(len(images), (size,), generator=own, device=images.device)
            steps.append(gradients.add(to_pixels(images[index]), *learner.draw(size, progress, own)))
            means.keep()
        means.finish()
        shares.sum_gradients(learner.parameters())
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
        done = iteration + 1
        if done % LOG_EVERY == 0 or done == config.iterations:
            record = _record(done, progress, steps, norm, shares)
            if run is not None:
                run.log(record)
        if run is not None and (done % CHECKPOINT_EVERY == 0 or done == config.iterations):
            run.save_checkpoint(done, learner, optimiser, generator)
        report(record)
    model.eval()
    if run is not None:
        save_digits_model(run.model_folder, model, {**provenance, "iterations": config.iterations, "seed": config.seed})


def make_optimiser(learner: torch.nn.Module, config: DigitsTrainConfig) -> torch.optim.Adam:
    """Adam; the baseline of `nvil` has a learning rate of its own."""
    groups = [{"params": list(learner.get_submodule("model").parameters()), "lr": config.learning_rate}]
    if isinstance(learner, AirLearner) and learner.estimator == "nvil":
        groups.append({"params": list(learner.baseline.parameters()), "lr": config.baseline_learning_rate})
    return torch.optim.Adam(groups, fused=True)


def learning_rate_factor(progress: float) -> float:
    """1 for the first 60 %, then down a cosine to 0.05."""
    if progress < 0.6:
        return 1.0
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * (progress - 0.6) / 0.4))


def _record(iteration: int, progress: float, steps: list[Step], norm: Tensor, shares: Shares) -> dict[str, Any]:
    numbers = [
        {"loss": float(step.loss)} | {name: float(value) for name, value in step.watch.items()} for step in steps
    ]
    means = shares.mean_record(numbers)
    record: dict[str, Any] = {"iteration": iteration, "loss": means.pop("loss"), "gradient_norm": float(norm), **means}
    if not all(math.isfinite(value) for value in record.values()):
        raise InputError(f"train: the loss is no number any more at iteration {iteration}; use a lower learning_rate")
    counts = [step.count_share for step in steps if step.count_share is not None]
    if counts:
        share = shares.mean(counts).tolist()
        record["count_share"] = share
        if progress >= _QUIET_UNTIL and len(share) > 1 and max(share) > _NEARLY_ALL:
            count = share.index(max(share))
            record["warning"] = f"collapse: nearly every image is explained by {count} objects; try another seed"
    return record
