"""One training step of each model: takes images, gives a loss and numbers to watch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from air3d.digits.air import AirModel
from air3d.digits.cae import Cae
from air3d.digits.draw import Draw
from air3d.digits.latents import AirConfig, draw_noise
from air3d.digits.objective import exact_loss, nvil_loss, terms
from air3d.digits.store import Model
from air3d.estimators.nvil import RunningMoments
from air3d.networks.precision import Precision, reduced
from air3d.training.loop import Step

CountEstimator = Literal["exact", "nvil"]


class Learner(nn.Module, ABC):
    """A model with all that trains it.

    Attributes:
        model: the model, which is trained in place.
        baseline: the learned baseline of `nvil`; None without.
    """

    model: Model
    baseline: Baseline | None

    @property
    def running(self) -> list[Tensor]:
        """The buffers of statistics that every step updates."""
        return [] if self.baseline is None else [self.baseline.running]

    @abstractmethod
    def draw(self, batch: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw the input of `step` besides images: random numbers, and values set by `progress`, the share trained.

        All on the generator's device, and the same shapes in every step.
        """

    @abstractmethod
    def step(self, images: Tensor, *drawn: Tensor) -> Step:
        """Compute the loss for images (B, S, S) in [0, 1]; no number in it comes from the host.

        The answers to watch are (N + 1,), the mean of q(n | x).
        """


class AirLearner(Learner):
    """Trains AIR or DAIR with an estimator for the count, and the baseline of `nvil` with them.

    Args:
        model: the model, which is trained in place.
        estimator: see `air3d.digits.objective`.
        precision: the number type of matrix products.
        explore: see `exact_loss`; it falls to nothing in the first half of a run.
    """

    model: AirModel

    def __init__(self, model: AirModel, estimator: CountEstimator, precision: Precision, explore: float = 0.0) -> None:
        super().__init__()
        self.model, self.precision, self.explore = model, precision, explore
        self.baseline = Baseline(model.config) if estimator == "nvil" else None

    def draw(self, batch: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw noise, log p(n), and the explored share, or with `nvil` the counts' random numbers; see `Learner`."""
        config, device = self.model.config, generator.device
        noise = draw_noise(config, batch, generator)
        log_prior_count = config.count.log_prob(config.steps, progress).float().to(device, non_blocking=True)
        if self.baseline is None:
            # In the second half of a run the loss is the bound itself.
            explore = torch.tensor(self.explore * max(1.0 - 2.0 * progress, 0.0))
            return noise, log_prior_count, explore.to(device, non_blocking=True)
        return noise, log_prior_count, torch.rand((batch, config.steps + 1), generator=generator, device=device)

    def step(self, images: Tensor, *drawn: Tensor) -> Step:
        """See `Learner`."""
        noise, log_prior_count, last = drawn
        with reduced(self.precision, images.device):
            trace = self.model(images, noise)
        parts = terms(images, trace, self.model.config, log_prior_count)
        if self.baseline is None:
            loss = exact_loss(parts, last)
        else:
            loss, running = nvil_loss(parts, self.baseline(images), self.baseline.moments, last)
            self.baseline.remember(running)
        share = parts.log_q_count.detach().exp().mean(0)
        counts = torch.arange(len(share), device=share.device)
        values = {"elbo": parts.elbo.detach().mean(), "objects": (share * counts).sum()}
        return Step(loss, values, share)


class Baseline(nn.Module):
    """Predicts the bound of an image, nats: the learned baseline of `nvil`."""

    def __init__(self, config: AirConfig) -> None:
        super().__init__()
        self.look = nn.Linear(config.canvas**2, config.hidden)
        self.out = nn.Linear(config.hidden, 1)
        self.running: Tensor
        self.register_buffer("running", torch.stack(RunningMoments.initial()))

    def forward(self, images: Tensor) -> Tensor:
        """Predict (B,) from images (B, S, S)."""
        return self.out(relu(self.look(images.flatten(1))))[:, 0]

    @property
    def moments(self) -> RunningMoments:
        """The moments of the bound minus the baseline, from before this batch."""
        return RunningMoments(*self.running)

    def remember(self, moments: RunningMoments) -> None:
        """Keep the moments that include this batch."""
        self.running.copy_(torch.stack(moments))


class RivalLearner(Learner):
    """Trains DRAW on its bound, the autoencoder on its error."""

    model: Draw | Cae

    def __init__(self, model: Draw | Cae, precision: Precision) -> None:
        super().__init__()
        self.model, self.precision, self.baseline = model, precision, None

    def draw(self, batch: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw noise, if the model has any; see `Learner`."""
        return self.model.noise(batch, generator)

    def step(self, images: Tensor, *drawn: Tensor) -> Step:
        """See `Learner`."""
        with reduced(self.precision, images.device):
            found = self.model(images, *drawn)
        return Step(*self.model.loss(images, found))


def make_learner(model: Model, estimator: CountEstimator, precision: Precision, explore: float = 0.0) -> Learner:
    """Make the learner of a model; `estimator` and `explore` matter where there is a count."""
    if isinstance(model, AirModel):
        return AirLearner(model, estimator, precision, explore)
    return RivalLearner(model, precision)
