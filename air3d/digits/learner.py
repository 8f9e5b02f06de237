"""One training step of each model: takes images, gives a loss and numbers to watch."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from air3d.digits.air import Air, AirConfig, draw_noise
from air3d.digits.cae import Cae
from air3d.digits.dair import Dair
from air3d.digits.draw import Draw
from air3d.digits.objective import exact_loss, nvil_loss, terms
from air3d.digits.store import Model
from air3d.estimators.nvil import RunningMoments

CountEstimator = Literal["exact", "nvil"]
Precision = Literal["float32", "bfloat16"]


class Step(NamedTuple):
    """The result of one step.

    Attributes:
        loss: the loss, to be minimised.
        watch: the scalars that are logged, by name; not yet on the CPU.
        count_share: (N + 1,), the mean of q(n | x); None for models without objects.
    """

    loss: Tensor
    watch: dict[str, Tensor]
    count_share: Tensor | None


class Learner(Protocol):
    """A model with all that trains it; it is an nn.Module too."""

    @property
    def running(self) -> list[Tensor]:
        """The buffers of statistics that every step updates."""
        ...

    def draw(self, batch: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw the input of `step` besides images: random numbers, and values set by `progress`, the share trained.

        All on the generator's device, and the same shapes in every step.
        """
        ...

    def step(self, images: Tensor, *drawn: Tensor) -> Step:
        """Compute the loss for images (B, S, S) in [0, 1]; no number in it comes from the host."""
        ...


def reduced(precision: Precision, images: Tensor) -> torch.autocast:
    """Give the context in which a model computes: "bfloat16" makes its matrix products use bfloat16.

    Weights, their gradients' sums, samples, windows' places, and the bound stay in float32.
    """
    return torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16")


class AirLearner(nn.Module):
    """Trains AIR or DAIR with an estimator for the count, and the baseline of `nvil` with them.

    Args:
        model: the model, which is trained in place.
        estimator: see `air3d.digits.objective`.
        precision: the number type of matrix products.
        explore: see `exact_loss`; it falls to nothing in the first half of a run.
    """

    def __init__(
        self, model: Air | Dair, estimator: CountEstimator, precision: Precision, explore: float = 0.0
    ) -> None:
        super().__init__()
        self.model, self.estimator, self.precision, self.explore = model, estimator, precision, explore
        if estimator == "nvil":
            self.baseline = Baseline(model.config)

    @property
    def running(self) -> list[Tensor]:
        """See `Learner`."""
        return [self.baseline.running] if self.estimator == "nvil" else []

    def draw(self, batch: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw noise, log p(n), and the explored share, or with `nvil` the counts' random numbers; see `Learner`."""
        config, device = self.model.config, generator.device
        noise = draw_noise(config, batch, generator)
        log_prior_count = config.count.log_prob(config.steps, progress).float().to(device, non_blocking=True)
        if self.estimator == "exact":
            # In the second half of a run the loss is the bound itself.
            explore = torch.tensor(self.explore * max(1.0 - 2.0 * progress, 0.0))
            return noise, log_prior_count, explore.to(device, non_blocking=True)
        return noise, log_prior_count, torch.rand((batch, config.steps + 1), generator=generator, device=device)

    def step(self, images: Tensor, *drawn: Tensor) -> Step:
        """See `Learner`."""
        noise, log_prior_count, last = drawn
        with reduced(self.precision, images):
            trace = self.model(images, noise)
        parts = terms(images, trace, self.model.config, log_prior_count)
        if self.estimator == "exact":
            loss = exact_loss(parts, last)
        else:
            loss, running = nvil_loss(parts, self.baseline(images), self.baseline.moments, last)
            self.baseline.remember(running)
        share = parts.log_q_count.detach().exp().mean(0)
        counts = torch.arange(len(share), device=share.device)
        watch = {"elbo": parts.elbo.detach().mean(), "objects": (share * counts).sum()}
        return Step(loss, watch, share)


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


class DrawLearner(nn.Module):
    """Trains DRAW on its bound."""

    def __init__(self, model: Draw, precision: Precision) -> None:
        super().__init__()
        self.model, self.precision = model, precision
        self.running: list[Tensor] = []

    def draw(self, batch: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw noise; see `Learner`."""
        shape = (batch, self.model.config.steps, self.model.config.code)
        return (torch.randn(shape, generator=generator, device=generator.device),)

    def step(self, images: Tensor, *drawn: Tensor) -> Step:
        """See `Learner`."""
        (noise,) = drawn
        with reduced(self.precision, images):
            painting = self.model(images, noise)
        elbo = self.model.elbo(images, painting).mean()
        return Step(-elbo, {"elbo": elbo.detach(), "kl": painting.kl.detach().mean()}, None)


class CaeLearner(nn.Module):
    """Trains the autoencoder on the squared error of an image."""

    def __init__(self, model: Cae, precision: Precision) -> None:
        super().__init__()
        self.model, self.precision = model, precision
        self.running: list[Tensor] = []

    def draw(self, batch: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw nothing; see `Learner`."""
        return ()

    def step(self, images: Tensor, *drawn: Tensor) -> Step:
        """See `Learner`."""
        with reduced(self.precision, images):
            found = self.model(images)
        error = (images - found).square().sum((1, 2)).mean()
        return Step(error, {"squared_error": error.detach()}, None)


def make_learner(
    model: Model, estimator: CountEstimator, precision: Precision, explore: float = 0.0
) -> AirLearner | DrawLearner | CaeLearner:
    """Make the learner of a model; `estimator` matters where there is a count."""
    if isinstance(model, Draw):
        return DrawLearner(model, precision)
    return CaeLearner(model, precision) if isinstance(model, Cae) else AirLearner(model, estimator, precision, explore)
