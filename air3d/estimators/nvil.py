"""`lr-nvil`: the score function with a learned, input-dependent baseline and variance normalisation.

    signal_k = (R_k - C(x) - c) / max(1, sqrt(v)),     gradient  1/K sum_k signal_k d log q(z_k)

C is a network's output, c and v running mean and variance of R - C (Mnih & Gregor 2014, algorithm 1). C is learned by
regression on R - c. Nothing in the baseline depends on the sample, so the estimate is unbiased up to the scale
1 / max(1, sqrt(v)), for K = 1 too. For that, c and v are those from *before* this batch (the paper's include it).

The scale is one positive number for the whole batch: it changes no direction where this is all that the guide learns
from. Where it is added to another part of the same gradient, such as that of reparameterised latents, it would shrink
the one part and not the other; there the signal stays in nats (`normalise=False`), and the estimate is unbiased.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from air3d.estimators.common import Surrogate, diagnose, need_shape


class RunningMoments(NamedTuple):
    """Running moments of R - C(x): tensors, so that they can be stored with the weights.

    Attributes:
        mean: a scalar, nats.
        variance: a scalar, nats^2.
        batches: a scalar, how many batches were seen.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    @classmethod
    def initial(cls, like: Tensor | None = None) -> RunningMoments:
        """Make the moments before any batch, of the type and on the device of `like`; else float32 on the CPU."""
        zero = torch.zeros(()) if like is None else torch.zeros((), dtype=like.dtype, device=like.device)
        return cls(zero, zero.clone(), zero.clone())

    @property
    def scale(self) -> Tensor:
        """1 / max(1, standard deviation); 0 while no batch was seen, so that the first step only measures."""
        return (self.batches > 0) / self.variance.sqrt().clamp_min(1.0)

    def update(self, value: Tensor, decay: float) -> RunningMoments:
        """Return the moments after one more batch: plain averages at first, exponential with `decay` later."""
        share = (1.0 / (self.batches + 1.0)).clamp_min(1.0 - decay)
        value = value.detach()
        return RunningMoments(
            mean=self.mean + share * (value.mean() - self.mean),
            variance=self.variance + share * (value.var(correction=0) - self.variance),
            batches=self.batches + 1.0,
        )


def surrogate(
    log_q: Tensor,
    reward: Tensor,
    baseline: Tensor,
    running: RunningMoments,
    decay: float = 0.9,
    normalise: bool = True,
) -> tuple[Surrogate, RunningMoments]:
    """Apply the estimator to one batch; return the moments for the next, too.

    The loss is -mean signal log q + mean (R - c - C)^2 / (2 max(1, sqrt(v))): its gradient in C is the paper's, and
    no gradient flows from one part into the other. A baseline network that reads features shared with the guide must
    read them detached. With `RunningMoments.initial` the first call's gradient is zero: it only measures.

    Args:
        log_q: (B, K), log q(z_k | x_b), differentiable in the guide's parameters.
        reward: (B, K); treated as constant.
        baseline: (B,), C(x_b) in nats, differentiable in the baseline's parameters.
        running: the moments from before this batch.
        decay: the decay of the moments, at least 0 and below 1.
        normalise: divides the signal by max(1, sqrt(v)); else it is in nats, from the second batch on. The baseline's
            own loss is divided either way.

    Raises:
        ValueError: for unequal shapes, or a decay outside [0, 1).
    """
    need_shape("reward", reward, tuple(log_q.shape))
    need_shape("baseline", baseline, tuple(log_q.shape[:1]))
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"decay is {decay}; it must be at least 0 and below 1")
    residual = reward.detach() - baseline[:, None]
    scale = running.scale.detach()
    centred = residual - running.mean.detach()
    signal = ((scale if normalise else scale.sign()) * centred).detach()
    regression = 0.5 * scale * centred.square()
    loss = (regression - signal * log_q).mean()
    return Surrogate(loss, diagnose(reward, signal)), running.update(residual, decay)
