"""`rws`: reweighted wake-sleep, the wake and the sleep phase of the guide, and their mixture.

    wake   -sum_k softmax(log w)_k log q(z_k | x),   z_k ~ q(z | x),   w = p(x, z) / q(z | x)
    sleep  -mean log q(z | x),                       z, x ~ p

Both descend an inclusive KL, of the posterior of observed images or of the prior's own (Bornschein & Bengio 2015; Le
et al. 2019; sleep: Hinton et al. 1995). Wake is a self-normalised importance estimate: its bias falls as 1/K.
"""

from __future__ import annotations

import torch
from torch import Tensor

from air3d.estimators.common import Surrogate, diagnose, need_samples, need_shape, normalised_weights


def wake_factors(log_weight: Tensor, centred: bool = False) -> Tensor:
    """The factors of log q(z_k) in the wake loss, (B, K), detached: the weights, less 1/K where centred.

    The control variate 1/K sum_k d log q(z_k) has expectation zero, so centring changes no expectation. It takes away
    all noise where the weights are equal (q = p(z | x), or a high temperature).

    Raises:
        ValueError: for fewer than 2 samples, with which the weight is always 1.
    """
    samples = need_samples(log_weight, "reweighted wake-sleep needs")
    return normalised_weights(log_weight) - (1.0 / samples if centred else 0.0)


def wake(log_q: Tensor, log_weight: Tensor, centred: bool = False) -> Tensor:
    """The wake-phase loss of the guide, a scalar.

    Args:
        log_q: (B, K), log q(z_k | x_b) of samples of q itself, differentiable in the guide's parameters.
        log_weight: (B, K), log p(x, z_k) - log q(z_k | x); treated as constant.
        centred: subtracts the control variate of `wake_factors`.

    Raises:
        ValueError: for fewer than 2 samples, or unequal shapes.
    """
    need_shape("log_weight", log_weight, tuple(log_q.shape))
    return -(wake_factors(log_weight, centred) * log_q).sum(-1).mean()


def sleep(log_q: Tensor) -> Tensor:
    """The sleep-phase loss, a scalar: log_q (M,) of true latents of scenes drawn from the prior, given their images."""
    return -log_q.mean()


def surrogate(
    log_q: Tensor,
    log_weight: Tensor,
    sleep_log_q: Tensor | None = None,
    sleep_share: float = 0.0,
    centred: bool = False,
) -> Surrogate:
    """Mix the two losses: (1 - sleep_share) * wake + sleep_share * sleep.

    Args:
        log_q: (B, K), see `wake`.
        log_weight: (B, K), see `wake`.
        sleep_log_q: (M,), see `sleep`; may be None where the share is 0.
        sleep_share: the share of the sleep loss, from 0 to 1.
        centred: see `wake`.

    Raises:
        ValueError: if `wake` raises it; for a share outside [0, 1], or one above 0 without sleep_log_q.
    """
    if not 0.0 <= sleep_share <= 1.0:
        raise ValueError(f"sleep_share is {sleep_share}; it must be 0 to 1")
    if sleep_log_q is None and sleep_share > 0.0:
        raise ValueError(f"sleep_share is {sleep_share}; above 0 it needs sleep_log_q")
    loss = (1.0 - sleep_share) * wake(log_q, log_weight, centred)
    dreamt = torch.zeros_like(loss) if sleep_log_q is None else sleep_share * sleep(sleep_log_q)
    factors = wake_factors(log_weight, centred) * log_q.shape[-1]
    return Surrogate(loss + dreamt, diagnose(log_weight, factors))
