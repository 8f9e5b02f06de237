"""`fd`: finite differences through the renderer for continuous latents, the score function for discrete ones.

This is what Eslami et al. 2016 did in 3D. With discrete latents d ~ q(d) and continuous ones c = c(noise, d)
reparameterised, write f(d, c) = log p(x | d, c) + log p(d, c); the ELBO is E[f - log q(d) - log q(c | d)], its gradient

    E[ (R - baseline) d log q(d) ]  +  E[ sum_i (df / dc_i) dc_i ]  +  E[ d(-log q(c | d)) along c(noise, d) ]

Who supplies what:
- R, `reward`, is the *whole* integrand, f - log q(d) - log q(c | d): the choice of d decides over the entropy of c too.
  Leaving -log q(c | d) out of it is a bias, unless the scale of c does not depend on d.
- df/dc, `gradient`, is that of f alone: likelihood *and* prior of the continuous latents.
- The third term, the entropy of c, is the caller's to add to the loss: mean of log q(c | d) at the reparameterised
  samples, or minus the entropy in closed form.
- Where q(d) depends on an earlier continuous latent, `log_q_discrete` must be computed from the reparameterised
  samples without detaching them.
Unbiased apart from the finite differences, which are exact for quadratic f and err by O(step^2) for a smooth one. A
picture is smooth only on the scale of a pixel: choose steps that move outlines by about one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from air3d.estimators.common import Surrogate, diagnose, leave_one_out_advantage, need_shape


def central_differences(reward_of: Callable[[Tensor], Tensor], z: Tensor, step: float | Tensor) -> Tensor:
    """(f(z + step e_i) - f(z - step e_i)) / (2 step) for every i: (B, K, D), detached; 2 K D evaluations an image.

    Args:
        reward_of: maps latents (B, K * 2D, D) to f, (B, K * 2D). Row k * 2D + i is sample k with latent i raised,
            row k * 2D + D + i with it lowered: repeat discrete latents by `repeat_interleave(2 * D, dim=1)`.
        z: (B, K, D).
        step: the step, positive; a number, or (D,) in the units of each latent.

    Raises:
        ValueError: for a step that is not positive, or a result of another shape.
    """
    b, k, d = z.shape
    steps = torch.as_tensor(step, dtype=z.dtype, device=z.device).expand(d)
    if not bool((steps > 0.0).all()):
        raise ValueError(f"step is {step}; it must be positive")
    with torch.no_grad():
        shifts = torch.diag(steps)
        shifted = z.detach()[:, :, None] + torch.cat([shifts, -shifts])
        values = reward_of(shifted.reshape(b, k * 2 * d, d))
        need_shape("the result of reward_of", values, (b, k * 2 * d))
        raised, lowered = values.reshape(b, k, 2, d).unbind(2)
        return (raised - lowered) / (2.0 * steps)


def surrogate(log_q_discrete: Tensor, reward: Tensor, z: Tensor, gradient: Tensor) -> Surrogate:
    """Apply the estimator to one batch; add the entropy of the continuous latents to its loss (see above).

    Args:
        log_q_discrete: (B, K), log q(d_k | x_b), differentiable in the guide's parameters.
        reward: (B, K), f - log q(d) - log q(c | d); treated as constant.
        z: (B, K, D), continuous latents, differentiable in the guide's parameters by reparameterisation.
        gradient: (B, K, D), df/dz, from `central_differences`; treated as constant.

    Raises:
        ValueError: for fewer than 2 samples, or shapes that do not fit.
    """
    need_shape("reward", reward, tuple(log_q_discrete.shape))
    need_shape("z", z, (*log_q_discrete.shape, z.shape[-1]))
    need_shape("gradient", gradient, tuple(z.shape))
    advantage = leave_one_out_advantage(reward.detach())
    discrete = -(advantage * log_q_discrete).mean()
    continuous = -(gradient.detach() * z).sum(-1).mean()
    return Surrogate(discrete + continuous, diagnose(reward, advantage))
