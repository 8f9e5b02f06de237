"""`lr`: the likelihood-ratio (score-function) estimator with leave-one-out baselines, also called RLOO.

For z_1..z_K ~ q the gradient of E_q[R] is estimated by 1/K sum_k (R_k - mean_{j != k} R_j) d log q(z_k).
The baseline of sample k does not depend on z_k, so the estimate is unbiased (Kool, van Hoof & Welling 2019;
Mnih & Rezende 2016 for the idea). When R itself holds -log q, as in the ELBO, the derivative of that term has
expectation zero and is left out (Ranganath, Gerrish & Blei 2014).
"""

from __future__ import annotations

import math

from torch import Tensor

from air3d.estimators.common import Surrogate, diagnose, leave_one_out_advantage, need_shape


def tamed(advantage: Tensor, scale_floor: float, clip: float = math.inf) -> Tensor:
    """Divide advantages by (their batch's standard deviation + scale_floor), then clip them to [-clip, clip].

    This is biased twice. The divisor depends on the samples and changes from step to step; it is the same for the
    whole batch, so that images keep their relative weight, and with scale_floor above 0 it never enlarges noise
    without end. Clipping forgets how good a rare good sample is: the estimate leans towards what q does most of the
    time. Neither changes the sign of an advantage.

    Args:
        advantage: the advantages, of any shape.
        scale_floor: is added to the divisor, nats, positive.
        clip: the bound after division, positive.

    Raises:
        ValueError: if scale_floor or clip is not positive.
    """
    if not (scale_floor > 0.0 and clip > 0.0):
        raise ValueError(f"scale_floor {scale_floor} and clip {clip} must be positive")
    return (advantage / (advantage.std(correction=0) + scale_floor)).clamp(-clip, clip)


def surrogate(log_q: Tensor, reward: Tensor, scale_floor: float | None = None, clip: float = math.inf) -> Surrogate:
    """Apply the estimator to one batch.

    Args:
        log_q: (B, K), log q(z_k | x_b) of the samples, differentiable in the guide's parameters.
        reward: (B, K), for the same samples; treated as constant.
        scale_floor: makes advantages `tamed` with it and `clip`, at a bias; None for the unbiased estimate.
        clip: see `tamed`; without a scale_floor it must stay infinite.

    Raises:
        ValueError: for fewer than 2 samples, unequal shapes, or a clip without a scale_floor.
    """
    need_shape("reward", reward, tuple(log_q.shape))
    advantage = leave_one_out_advantage(reward.detach())
    if scale_floor is not None:
        advantage = tamed(advantage, scale_floor, clip)
    elif clip != math.inf:
        raise ValueError(f"clip {clip} needs a scale_floor")
    return Surrogate(-(advantage * log_q).mean(), diagnose(reward, advantage))
