"""The evidence lower bound of AIR, term by term for every count, and its two estimators.

For n = 0 .. N objects, the first n steps of one trace make a scene. Its terms are

    R_n = log p(x | canvas_n) + log p(n) - sum_{i <= n} [KL(q(z_where_i) || p) + KL(q(z_what_i) || p)]

and the bound is ELBO = E_z [ sum_n q(n | z) (R_n - log q(n | z)) ]: the steps after the n-th integrate to one, so all N
may be drawn whatever n is. The continuous latents are reparameterised.

- `exact` sums over n: no estimate of it, no baseline. The N + 1 canvases are nested, so they cost one pass.
- `nvil` draws n, as the paper does: the score function with a learned baseline (Mnih & Gregor 2014). Mnih & Gregor
  also divide the signal by its running deviation; here the reparameterised latents' part of the gradient stands beside
  it, so it is not divided. The expectation is the gradient of the bound, as that of `exact` is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from air3d.digits.latents import AirConfig, Trace, prior_what, prior_where
from air3d.distributions.circle import gumbel_max
from air3d.distributions.pixel_noise import PixelNoise
from air3d.distributions.z_pres import count_log_probs
from air3d.estimators.nvil import RunningMoments
from air3d.estimators.nvil import surrogate as nvil_surrogate


class Terms(NamedTuple):
    """The bound's parts for each count.

    Attributes:
        log_q_count: (B, N + 1), log q(n | z).
        log_likelihood: (B, N + 1), log p(x | canvas_n), nats.
        log_prior_count: (N + 1,), log p(n).
        kl: (B, N + 1), summed over the continuous latents of the first n objects, nats.
    """

    log_q_count: Tensor
    log_likelihood: Tensor
    log_prior_count: Tensor
    kl: Tensor

    @property
    def reward(self) -> Tensor:
        """R_n, (B, N + 1)."""
        return self.log_likelihood + self.log_prior_count - self.kl

    @property
    def elbo(self) -> Tensor:
        """The bound (B,), exact in the count, from one draw of the continuous latents."""
        return (self.log_q_count.exp() * (self.reward - self.log_q_count)).sum(-1)


def terms(images: Tensor, trace: Trace, config: AirConfig, log_prior_count: Tensor | None = None) -> Terms:
    """Compute all parts of the bound for images (B, S, S).

    Args:
        log_prior_count: (N + 1,), log p(n), if it is not the configuration's own, as while that is annealed.
    """
    error = nested_squared_errors(images, trace.objects)
    steps = trace.q_where.kl(prior_where(config, images)) + trace.q_what.kl(prior_what(images))
    kl = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], 1)
    log_likelihood = PixelNoise(config.sigma).log_prob(error, images.shape[1:].numel())
    if log_prior_count is None:
        log_prior_count = config.count.log_prob(config.steps).to(images)
    return Terms(count_log_probs(trace.presence.to(images)), log_likelihood, log_prior_count, kl)


def nested_squared_errors(images: Tensor, objects: Tensor) -> Tensor:
    """Squared errors (B, N + 1) of images (B, S, S) against the sums of the first 0 .. N objects (B, N, S, S)."""
    rest = images.flatten(1)
    errors = [torch.linalg.vecdot(rest, rest)]
    for drawn in objects.flatten(2).unbind(1):
        rest = rest - drawn
        errors.append(torch.linalg.vecdot(rest, rest))
    return torch.stack(errors, 1)


def exact_loss(parts: Terms, explore: float | Tensor = 0.0) -> Tensor:
    """A loss whose gradient is that of minus the bound, exact in the count.

    Args:
        explore: the share of the continuous latents' learning weight that is spread evenly over the counts.
            Without it a step that did not pay at first is hardly used again and never learns.
    """
    q, reward = parts.log_q_count.exp(), parts.reward
    count = q * (reward.detach() - parts.log_q_count)
    weight = (1.0 - explore) * q.detach() + explore / q.shape[1]
    path = weight * (reward - reward.detach())
    return -(count + path).sum(-1).mean()


def nvil_loss(
    parts: Terms, baseline: Tensor, running: RunningMoments, uniform: Tensor
) -> tuple[Tensor, RunningMoments]:
    """A loss whose gradient estimates that of minus the bound from one drawn count for each image, without bias.

    Before any batch was seen there is no baseline: the first loss only measures, and its gradient is zero.

    Args:
        baseline: (B,), C(x), differentiable in its own parameters only.
        running: the moments from before this batch; those after it are returned.
        uniform: (B, N + 1), uniform on [0, 1), the numbers that draw the count.
    """
    count = gumbel_max(parts.log_q_count.detach(), uniform)[:, None]
    log_q = parts.log_q_count.gather(1, count)
    path = parts.reward.gather(1, count)
    score, after = nvil_surrogate(log_q, path - log_q, baseline, running, normalise=False)
    return score.loss - (running.batches > 0) * path.mean(), after
