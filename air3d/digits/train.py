"""Trains the models of the 2D track from images alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from air3d.digits.infer import to_pixels
from air3d.digits.latents import AirConfig
from air3d.digits.learner import CountEstimator, Learner, make_learner
from air3d.digits.step_graph import Gradients, can_record
from air3d.digits.store import MODELS, Model, ModelConfig, ModelName, make_model, save_digits_model
from air3d.networks.plain_torch import plain_torch
from air3d.networks.precision import Precision
from air3d.scene3d.errors import InputError
from air3d.training.loop import Share, Step, falling, fit
from air3d.training.processes import ALONE, Processes
from air3d.training.run_folder import RunFolder
from air3d.training.shares import Shares, check_shares

LOG_EVERY = 50
CHECKPOINT_EVERY = 1000
# Counts are sought for long, so nothing is said of them before this share of the run.
_QUIET_UNTIL, _TOO_MUCH = 0.2, 0.98


@dataclass(frozen=True)
class DigitsTrainConfig:
    """Parameters of the training of a model of the 2D track.

    Attributes:
        iterations: the number of gradient steps.
        batch: the number of images in a step.
        learning_rate: the learning rate of Adam; over the last 40 % of the run it falls along a cosine to a twentieth.
        baseline_learning_rate: the learning rate of the baseline of `nvil`.
        clip: the largest norm of the gradient.
        seed: seeds weights, minibatches and noise.
        shares: the number of equal parts of a step's batch, of which a process of torchrun's computes some
            (`air3d.training.shares`). What is learned depends on it, and not on the number of processes.
        estimator: estimates the count's gradient, "exact" or "nvil"; it matters for air and dair alone.
        explore: the share of learning that "exact" spreads evenly over the counts at first; it falls to none by
            the middle of the run.
        precision: the number type of matrix products. "bfloat16" is faster on processors that have it, as new ones do.
    """

    iterations: int = 10_000
    batch: int = 64
    learning_rate: float = 1e-3
    baseline_learning_rate: float = 0.1
    clip: float = 100.0
    seed: int = 0
    shares: int = 1
    estimator: CountEstimator = "exact"
    explore: float = 0.5
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch < 1:
            raise InputError(f"train: iterations {self.iterations} and batch {self.batch} must be at least 1")
        check_shares(self.shares, batch=self.batch)
        for name in ("learning_rate", "baseline_learning_rate"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise InputError(f"train: {name} is {getattr(self, name)}; it must lie between 0 and 1")
        if not 0.0 <= self.explore <= 1.0:
            raise InputError(f"train: explore is {self.explore}; it must be 0 to 1")
        if not self.clip > 0.0:
            raise InputError(f"train: clip is {self.clip}; it must be positive")


@dataclass(frozen=True)
class DigitsRunConfig:
    """The model and the training of a run; saved with it.

    Attributes:
        model: the name of the model.
        network: its sizes and priors, of the class that `MODELS` names for the model.
        train: the parameters of the training.
    """

    model: ModelName = "air"
    network: ModelConfig = field(default_factory=AirConfig)
    train: DigitsTrainConfig = field(default_factory=DigitsTrainConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.network, MODELS[self.model][1]):
            raise InputError(f"train: {type(self.network).__name__} is no configuration of '{self.model}'")


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
        return found._replace(differentiated=True)

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


def make_optimiser(learner: Learner, config: DigitsTrainConfig) -> torch.optim.Adam:
    """Make Adam; the baseline of `nvil` has a learning rate of its own."""
    groups = [{"params": list(learner.model.parameters()), "lr": config.learning_rate}]
    if learner.baseline is not None:
        groups.append({"params": list(learner.baseline.parameters()), "lr": config.baseline_learning_rate})
    return torch.optim.Adam(groups, fused=True)


def learning_rate_factor(progress: float) -> float:
    """The factor is 1 for the first 60 %, then falls along a cosine to 0.05."""
    return falling(math.pi * (progress - 0.6) / 0.4, last=0.05)


class CountWatch:
    """Warns early of a posterior that gives one count to everything; a `Watch` of the training loop."""

    def remember(self, records: list[dict[str, Any]]) -> None:
        """Do nothing: the earlier log has no part in the warning."""

    def record(self, progress: float, answers: Tensor) -> dict[str, Any]:
        """Make the log's entries: the share of each count from 0 (N + 1,), a warning if nearly all are the same."""
        record: dict[str, Any] = {"count_share": answers.tolist()}
        if progress >= _QUIET_UNTIL and len(answers) > 1 and answers.max() > _TOO_MUCH:
            count = int(answers.argmax())
            record["warning"] = f"collapse: nearly every image is explained by {count} objects; try another seed"
        return record
