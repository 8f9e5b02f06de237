"""`lr`: the likelihood-ratio (score-function) estimator with leave-one-out baselines, also called RLOO.

For z_1..z_K ~ q the gradient of E_q[R] is estimated by 1/K sum_k (R_k - mean_{j != k} R_j) d log q(z_k).
The baseline of sample k does not depend on z_k, so the estimate is unbiased (Kool, van Hoof & Welling 2019;
Mnih & Rezende 2016 for the idea). When R itself holds -log q, as in the ELBO, the derivative of that term has
expectation zero and is left out (Ranganath, Gerrish & Blei 2014).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Diagnostics(NamedTuple):
    """What to watch, averaged over the batch.

    Attributes:
        reward: mean reward.
        reward_spread: standard deviation of the reward over the K samples of an image.
        advantage_scale: root mean square of the advantages.
        effective_samples: 1 / sum of squared softmax(reward) weights, from 1 to K.
    """

    reward: Tensor
    reward_spread: Tensor
    advantage_scale: Tensor
    effective_samples: Tensor


class Surrogate(NamedTuple):
    """A loss whose gradient is the estimate (to be minimised), and diagnostics."""

    loss: Tensor
    diagnostics: Diagnostics


def leave_one_out_advantage(reward: Tensor) -> Tensor:
    """R_k minus the mean of the other samples' rewards, (B, K); K must be at least 2.

    Raises:
        ValueError: for fewer than 2 samples.
    """
    samples = reward.shape[-1]
    if samples < 2:
        raise ValueError(f"leave-one-out baselines need at least 2 samples, not {samples}")
    return (reward - reward.mean(-1, keepdim=True)) * (samples / (samples - 1))


def surrogate(log_q: Tensor, reward: Tensor) -> Surrogate:
    """The estimator for one batch.

    Args:
        log_q: (B, K) log q(z_k | x_b) of the samples, differentiable in the guide's parameters.
        reward: (B, K) of the same samples; treated as constant.
    """
    reward = reward.detach()
    advantage = leave_one_out_advantage(reward)
    weights = torch.softmax(reward, dim=-1)
    diagnostics = Diagnostics(
        reward=reward.mean(),
        reward_spread=reward.std(-1).mean(),
        advantage_scale=advantage.square().mean().sqrt(),
        effective_samples=(1.0 / weights.square().sum(-1)).mean(),
    )
    return Surrogate(-(advantage * log_q).mean(), diagnostics)
