"""`mixture`: descends the inclusive KL with candidates shared across the batch; each render serves every image.

Candidates z_1..z_C are drawn from a mixture m (equally many from each image's q, and some from the prior), rendered
once and compared with every image b:

    loss  -mean_b sum_c w_bc log q(z_c | x_b),     w_bc = softmax_c [log target_b(z_c) - log m(z_c)]

It estimates, by self-normalised weights, the gradient of KL(p(z | x_b) || q(z | x_b)), as the wake phase of reweighted
wake-sleep (Bornschein & Bengio 2015), with the balance heuristic of multiple importance sampling (Veach & Guibas 1995;
Owen & Zhou 2000: the density of the mixture, not of the component that a candidate came from). Bias falls as 1/C.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from air3d.estimators.common import Surrogate, diagnose, need_samples, need_shape, normalised_weights


def mixture_log_density(log_q: Tensor, log_prior: Tensor | None = None, prior_share: float = 0.0) -> Tensor:
    """log m(z_c) of m = prior_share * p(z) + (1 - prior_share) * mean_b q(z | x_b): (C,), detached.

    It must say how the candidates were really drawn: with K from each of B images and M from the prior, prior_share
    is M / (B K + M).

    Args:
        log_q: (B, C) log q(z_c | x_b) of every image and candidate.
        log_prior: (C,) log p(z_c), normalised; may be None where the share is 0.
        prior_share: the share of the prior in m, from 0 to 1.

    Raises:
        ValueError: for a share outside [0, 1], or one above 0 without log_prior.
    """
    if not 0.0 <= prior_share <= 1.0:
        raise ValueError(f"prior_share is {prior_share}; it must be 0 to 1")
    if log_prior is None and prior_share > 0.0:
        raise ValueError(f"prior_share is {prior_share}; above 0 it needs log_prior")
    mixture = torch.logsumexp(log_q.detach(), dim=0) - math.log(log_q.shape[0])
    if log_prior is None:
        return mixture
    need_shape("log_prior", log_prior, tuple(mixture.shape))
    log_shares = mixture.new_tensor([1.0 - prior_share, prior_share]).log()
    return torch.logaddexp(mixture + log_shares[0], log_prior.detach() + log_shares[1])


def surrogate(log_q: Tensor, log_target: Tensor, log_mixture: Tensor, centred: bool = False) -> Surrogate:
    """Apply the estimator to one batch.

    Args:
        log_q: (B, C) log q(z_c | x_b) of every image and candidate, differentiable in the guide's parameters.
        log_target: (B, C) log p(x_b, z_c) up to a constant for each image, such as -beta * squared error + log prior;
            treated as constant.
        log_mixture: (C,) log m(z_c), `mixture_log_density`; treated as constant.
        centred: subtracts the control variate mean_c q(z_c | x_b) / m(z_c) d log q(z_c | x_b), whose expectation is
            zero under m: the expectation stays, and the noise of an already correct guide goes. Its factors stay
            below 1 / (K (1 - prior_share)) with K candidates from each image.

    Raises:
        ValueError: for fewer than 2 candidates, or shapes that do not fit.
    """
    candidates = need_samples(log_q, "shared candidates need")
    need_shape("log_target", log_target, tuple(log_q.shape))
    need_shape("log_mixture", log_mixture, (candidates,))
    log_weight = (log_target - log_mixture).detach()
    factors = normalised_weights(log_weight)
    if centred:
        factors = factors - (log_q - log_mixture).detach().exp() / candidates
    return Surrogate(-(factors * log_q).sum(-1).mean(), diagnose(log_weight, factors * candidates))
