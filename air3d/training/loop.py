"""The training loop: all models are trained by it.

A step is the mean of the steps on equal shares of a batch, which processes may divide among them (`shares`): their
gradients are added up, the sum is cut to a largest norm, and the optimiser takes one step. A run in a folder goes on
from its checkpoint as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from air3d.scene3d.errors import InputError
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.shares import RunningMeans, Shares


@dataclass(frozen=True)
class Share:
    """One share of a step.

    Attributes:
        shares: the shares of the run.
        number: the number of this one.
        iteration: the step, counted from 0.
        progress: the share of the run that lies behind it, in [0, 1).
        generator: the generator that it draws from.
    """

    shares: Shares
    number: int
    iteration: int
    progress: float
    generator: torch.Generator

    def of(self, size: int) -> int:
        """The number of a step's `size` images that are its own."""
        return size // self.shares.count

    def rng(self) -> np.random.Generator:
        """Make a stream of numpy that depends on (seed, iteration, number) alone."""
        return self.shares.rng(self.number, self.iteration)


class Step(NamedTuple):
    """The result of one share.

    Attributes:
        loss: the loss, a scalar, to be minimised.
        values: numbers for the log by name, perhaps not yet on the CPU. "renders" are added up over the shares, of all
            others the mean is logged.
        answers: (n,), how often each kind, or each count, was the answer; None if there is nothing to watch.
        differentiated: whether the gradient of loss / `shares.count` has already been added to the parameters' `grad`.
    """

    loss: Tensor
    values: Mapping[str, float | Tensor]
    answers: Tensor | None = None
    differentiated: bool = False


class Watch(Protocol):
    """Looks at the answers, and warns when they are always the same."""

    def remember(self, records: list[dict[str, Any]]) -> None:
        """Take in the earlier log of a resumed run."""
        ...

    def record(self, progress: float, answers: Tensor) -> dict[str, Any]:
        """Return the log's entries for the answers (n,) at a share `progress` of the run, with a "warning" if due."""
        ...


def _nothing(*arguments: object) -> None:
    pass


def fit(
    learner: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: Callable[[Share], Step],
    shares: Shares,
    iterations: int,
    *,
    rate: Callable[[int], float],
    clip: float,
    running: Sequence[Tensor] = (),
    watch: Watch | None = None,
    log_every: int = 1,
    checkpoint_every: int = 1,
    run: RunFolder | None = None,
    export: Callable[[Path, dict[str, Any]], None] = _nothing,
    report: Callable[[dict[str, Any]], None] = _nothing,
    look: Callable[[int], None] = _nothing,
) -> None:
    """Train until `iterations`, resuming from the run's checkpoint if there is one.

    Args:
        learner: the learner, changed in place and stored with the checkpoint.
        optimiser: the optimiser of all its parameters, in their order.
        step: computes one share of a step.
        shares: the shares of every step, with their generators.
        iterations: the number of steps.
        rate: gives the factor on the optimiser's learning rates in an iteration.
        clip: the largest norm of the gradient of the optimiser's first group of parameters.
        running: the buffers of the learner with statistics that every step updates.
        watch: looks at the answers that are logged.
        log_every: the iterations between two log records.
        checkpoint_every: the iterations between two checkpoints.
        run: the run folder, in the first process; None in the others, and for trainings that leave nothing on disk.
        export: writes the trained model into a folder, with further facts of its provenance.
        report: is called after every iteration with the latest log record (empty before the first).
        look: is called after every iteration with the number done.

    Raises:
        InputError: if the run cannot be resumed, or if the loss is no longer finite.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    start = 0 if run is None else run.resume(learner, optimiser, shares.stream)
    start = shares.processes.start_alike(start, learner, optimiser)
    if watch is not None and run is not None:
        watch.remember(read_log(run.folder))
    record: dict[str, Any] = {}
    learner.train()
    for iteration in range(start, iterations):
        done, progress = iteration + 1, iteration / iterations
        for group, highest in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = highest * rate(iteration)
        optimiser.zero_grad()
        steps, means = [], RunningMeans(shares, running)
        for number in shares.own:
            taken = step(Share(shares, number, iteration, progress, shares.generator(number, iteration)))
            if not taken.differentiated:
                (taken.loss / shares.count).backward()
            steps.append(taken._replace(loss=taken.loss.detach()))
            means.keep()
        means.finish()
        shares.sum_gradients(learner.parameters())
        norm = nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], clip)
        optimiser.step()
        if done % log_every == 0 or done == iterations:
            record = log_record(done, progress, steps, norm, shares, watch)
            if run is not None:
                run.log(record)
        if run is not None and (done % checkpoint_every == 0 or done == iterations):
            run.save_checkpoint(done, learner, optimiser, shares.stream)
        report(record)
        look(done)
    learner.eval()
    if run is not None:
        export(run.model_folder, {"iterations": iterations, "seed": shares.seed})


def log_record(
    done: int, progress: float, steps: Sequence[Step], norm: Tensor, shares: Shares, watch: Watch | None
) -> dict[str, Any]:
    """Make the log record of a step; `steps` are those of this process's own shares.

    Raises:
        InputError: if a number in it is no longer finite.
    """
    means = shares.mean_record([{"loss": step.loss, "gradient_norm": norm, **step.values} for step in steps])
    if not all(math.isfinite(value) for value in means.values()):
        raise InputError(f"train: the loss is no number any more at iteration {done}; use a lower learning_rate")
    if "renders" in means:
        means["renders"] *= shares.count
    record: dict[str, Any] = {"iteration": done, **means}
    answers = [step.answers for step in steps if step.answers is not None]
    if watch is not None and answers:
        record |= watch.record(progress, shares.mean(answers).cpu())
    return record


def falling(angle: float, last: float) -> float:
    """The factor on the learning rate: 1 before the angle 0, then down a cosine, to `last` at the angle pi."""
    return last + (1.0 - last) * 0.5 * (1.0 + math.cos(max(angle, 0.0)))
