"""Shared parts of the estimators: their result, and the few quantities that most of them are made of.

B counts images, K samples of one image, N object slots or steps. A surrogate is a loss to be *minimised*; its
gradient is minus the estimate of the gradient of what is maximised. Rewards and weights are constants in it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Diagnostics(NamedTuple):
    """Numbers to watch, averaged over the batch.

    Attributes:
        reward: the mean reward (the mean log weight for importance-weighted estimators).
        reward_spread: the standard deviation of the reward over the K samples of an image; 0 for one sample.
        advantage_scale: the root mean square of the factors a_k in the loss -mean_k a_k log q(z_k).
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


class GradientMoments(NamedTuple):
    """Says how noisy an estimator is, from repeated draws of its gradient.

    Attributes:
        variance: the variance of one draw, summed over the parameters.
        signal: the squared length of the mean gradient, without the part that noise adds; it may fall below 0.
        signal_to_noise: sqrt(signal / variance) for one draw, 0 where the signal is not above the noise.
    """

    variance: Tensor
    signal: Tensor
    signal_to_noise: Tensor


def normalised_weights(log_weight: Tensor) -> Tensor:
    """Take the softmax over the last axis: importance weights that sum to one, (..., K), detached."""
    return torch.softmax(log_weight.detach(), dim=-1)


def effective_sample_size(log_weight: Tensor) -> Tensor:
    """1 / sum_k w_k^2 of the normalised weights (Kong 1992): (..., K) to (...), from 1 to K."""
    return 1.0 / normalised_weights(log_weight).square().sum(-1)


def need_samples(tensor: Tensor, purpose: str) -> int:
    """Return the number of samples K, the last axis.

    Raises:
        ValueError: for fewer than 2 samples.
    """
    samples = tensor.shape[-1]
    if samples < 2:
        raise ValueError(f"{purpose} at least 2 samples, not {samples}")
    return samples


def need_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a tensor that would broadcast into a wrong but finite loss.

    Raises:
        ValueError: if the tensor is not of this shape.
    """
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; it must be {shape}")


def leave_one_out_advantage(reward: Tensor) -> Tensor:
    """R_k minus the mean of the other samples' rewards, (..., K); K must be at least 2.

    Raises:
        ValueError: for fewer than 2 samples.
    """
    samples = need_samples(reward, "leave-one-out baselines need")
    return (reward - reward.mean(-1, keepdim=True)) * (samples / (samples - 1))


def softened(loss: Tensor, beyond: float = 3.0) -> Tensor:
    """Leave `loss` as it is up to `beyond`; from there on let it grow as a logarithm: beyond + log(1 + loss - beyond).

    This serves to fit a density to given points from a cold start: a point far from where a narrow density lies costs
    thousands of nats, and a few such points saturate the network in its first steps. Biased until no point is far.
    """
    excess = (loss - beyond).clamp_min(0.0)
    return loss - excess + torch.log1p(excess)


def diagnose(reward: Tensor, advantage: Tensor) -> Diagnostics:
    """Compute diagnostics from rewards (or log weights) (B, K) and factors of log q of any shape."""
    reward, advantage = reward.detach(), advantage.detach()
    return Diagnostics(
        reward=reward.mean(),
        reward_spread=reward.std(-1, correction=min(1, reward.shape[-1] - 1)).mean(),
        advantage_scale=advantage.square().mean().sqrt(),
        effective_samples=effective_sample_size(reward).mean(),
    )


def gradient_moments(draws: Tensor) -> GradientMoments:
    """Moments of M independent draws (M, P) of a gradient of P parameters; M must be at least 2."""
    need_samples(draws.T, "the variance of a gradient needs")
    variance = draws.var(0).sum()
    signal = draws.mean(0).square().sum() - variance / len(draws)
    ratio = torch.where(signal > 0.0, signal / variance, torch.zeros_like(signal)).sqrt()
    return GradientMoments(variance, signal, ratio)
