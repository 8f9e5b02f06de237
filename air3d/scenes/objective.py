"""The objective of learning from images alone, and one draw from it: sample scenes, render them, compare.

    maximise  E_{q(z|x)} [ -beta * |blur(x) - blur(render(z))|^2 + log p(z) - log q(z|x) ]

With no blur and beta = 1 / (2 sigma^2) this is the ELBO up to a constant. No gradient flows through the renderer:
how the expectation is differentiated all the same is the estimator's business (air3d.estimators; air3d.scenes.learner).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from air3d.scene3d.prior import ScenePrior
from air3d.scenes.latents import Objects
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.one_look import GuideState, SingleObjectGuide
from air3d.scenes.painter import Painter
from air3d.scenes.schedule import CoarseToFine


class Problem(NamedTuple):
    """The problem that a step of learning works on.

    Attributes:
        painter: draws latents; a black box.
        images: (B, 3, H, W) in [0, 1].
        likelihood: defines the error of a render; its temperature is the schedule's.
        schedule: gives blur and temperature.
        progress: the place in the schedule, in [0, 1].
        generator: draws every random number of the step.
    """

    painter: Painter
    images: Tensor
    likelihood: Likelihood
    schedule: CoarseToFine
    progress: float
    generator: torch.Generator

    @property
    def blur_px(self) -> float:
        """The blur of this step, pixels."""
        return self.schedule.blur(self.progress, self.images.shape[-1])

    def render(self, latents: Objects) -> Tensor:
        """Draw scenes of one object (...) as pictures (..., 3, H, W) float32 in [0, 1]."""
        return self.painter.draw(self.painter.world.of_one(latents))

    def error(self, renders: Tensor) -> Tensor:
        """The errors (B, K) of the blurred pictures (B, K, 3, H, W)."""
        return self.likelihood.error(self.images, renders, self.blur_px)

    def plain_error(self, renders: Tensor, error: Tensor) -> Tensor:
        """The errors (B, K) without blur: once nothing is blurred, `error` itself, which is not computed again."""
        return error if self.blur_px == 0.0 else self.likelihood.error(self.images, renders)

    def log_prior(self, latents: Objects) -> Tensor:
        """Compute log p(z) of latents, in their shape."""
        world = self.painter.world
        value = ScenePrior(world.prior).log_prob(world.to_batch(world.of_one(latents)))
        return torch.from_numpy(value).to(self.images).reshape(latents.kind.shape)


class Rollout(NamedTuple):
    """K samples of q for each of B images, with their errors and densities.

    Attributes:
        latents: the samples, (B, K).
        log_q: (B, K), differentiable in the guide.
        renders: (B, K, 3, H, W).
        error: (B, K), the squared error of the blurred pictures.
        beta: the inverse temperature, a scalar.
        log_prior: (B, K).
    """

    latents: Objects
    log_q: Tensor
    renders: Tensor
    error: Tensor
    beta: Tensor
    log_prior: Tensor

    @property
    def log_weight(self) -> Tensor:
        """The reward and log importance weight (B, K): -beta * error + log p(z) - log q(z | x), a constant."""
        return -self.beta * self.error + self.log_prior - self.log_q.detach()


def roll_out(guide: SingleObjectGuide, state: GuideState, samples: int, problem: Problem) -> Rollout:
    """Draw `samples` scenes for each image from the guide, and render them."""
    latents = guide.sample(state, samples, problem.generator)
    log_q = guide.log_prob(state, latents)
    with torch.no_grad():
        renders = problem.render(latents)
        error = problem.error(renders)
        beta = problem.schedule.inverse_temperature(error, problem.progress)
        return Rollout(latents, log_q, renders, error, beta, problem.log_prior(latents))
