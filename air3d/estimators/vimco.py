"""`vimco`: the score function for the K-sample bound log 1/K sum_k w_k, w = p(x, z) / q(z | x).

    gradient  sum_k (L - L_{-k}) d log q(z_k)  +  sum_k softmax(log w)_k d log w_k

L is the bound; L_{-k} is the bound with w_k replaced by the geometric mean of the other weights, which does not
depend on z_k: unbiased for the gradient of E[L] (Mnih & Rezende 2016). Without parameters in p,
d log w_k = -d log q(z_k); this second term does *not* have expectation zero, unlike that of the ELBO.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from air3d.estimators.common import Surrogate, diagnose, need_samples, need_shape, normalised_weights


def bound(log_weight: Tensor) -> Tensor:
    """The bound log 1/K sum_k w_k from log weights (..., K): shape (...), nats (Burda, Grosse & Salakhutdinov 2016)."""
    return torch.logsumexp(log_weight, dim=-1) - math.log(log_weight.shape[-1])


def leave_one_out_bound(log_weight: Tensor) -> Tensor:
    """Compute L_{-k}, the bound with w_k replaced by the geometric mean of the others; (..., K) to (..., K).

    Raises:
        ValueError: for fewer than 2 samples.
    """
    samples = need_samples(log_weight, "vimco needs")
    others = (log_weight.sum(-1, keepdim=True) - log_weight) / (samples - 1)
    eye = torch.eye(samples, dtype=torch.bool, device=log_weight.device)
    return bound(torch.where(eye, others[..., None], log_weight[..., None, :]))


def surrogate(log_q: Tensor, log_weight: Tensor) -> Surrogate:
    """Apply the estimator to one batch.

    Args:
        log_q: (B, K), log q(z_k | x_b) of the samples, differentiable in the guide's parameters.
        log_weight: (B, K), log p(x, z_k) - log q(z_k | x) of the same samples; treated as constant.

    Raises:
        ValueError: for fewer than 2 samples, or unequal shapes.
    """
    need_shape("log_weight", log_weight, tuple(log_q.shape))
    log_weight = log_weight.detach()
    # Centred for the sake of float32: only differences of log weights matter below.
    centred = log_weight - log_weight.mean(-1, keepdim=True)
    signal = bound(centred)[..., None] - leave_one_out_bound(centred) - normalised_weights(centred)
    return Surrogate(-(signal * log_q).sum(-1).mean(), diagnose(log_weight, signal * log_q.shape[-1]))
