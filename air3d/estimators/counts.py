"""`counts`: the exact expectation over the number of objects, from nested scenes z_1, z_1:2, .. z_1:N.

The guide draws all N steps, z_i ~ q(z_i | z_<i), whatever the count, and says with which probability it would have
stopped after each: q(n | z_1:n). The objective is J = E_{z_1:N} [ sum_n q(n | z_1:n) R_n(z_1:n) ], which equals that of
drawing n too: the steps after n integrate to one. Its gradient, estimated from K draws of z_1:N:

    sum_n R_n d q(n)  +  sum_i A_i d log q(z_i | z_<i),     A_i = P_i sum_{n >= i} q(n | n >= i) (R_n - R_{i-1}) - ...

- Scenes of fewer than i objects do not contain z_i; their terms have expectation zero and are left out.
- P_i = q(n >= i) depends on z_<i alone, as the guide decides on step i's presence before it draws z_i. So within the
  factor P_i any function of z_<i may be subtracted: here R_{i-1}, the scene before step i (a step is paid for what it
  adds), and then the leave-one-out mean over the other samples of the same conditional advantage. Hence unbiased.
- R_n may contain -log q(n) and -log q(z_i): their derivatives have expectation zero (exactly zero for the count, as
  sum_n d q(n) = 0), and R_n is a constant here.
Conditional expectation over the count: Rao-Blackwellised as in Titsias & Lazaro-Gredilla 2015; Liu et al. 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor

from air3d.estimators.common import Surrogate, diagnose, leave_one_out_advantage, need_shape


def step_advantages(log_q_count: Tensor, reward: Tensor) -> Tensor:
    """The factors A_i of log q(z_i | z_<i) above: (B, K, N) from (B, K, N + 1) twice; detached.

    Raises:
        ValueError: for fewer than 2 samples.
    """
    log_q_count, reward = log_q_count.detach(), reward.detach()
    log_reach = torch.logcumsumexp(log_q_count.flip(-1), -1).flip(-1)  # log q(n >= i), (B, K, N + 1)
    share = (log_q_count[..., None, :] - log_reach[..., :, None]).exp().triu()  # q(n | n >= i) at [i, n]
    after = (share @ reward[..., None])[..., 1:, 0]
    added = after - reward[..., :-1]
    return leave_one_out_advantage(added.transpose(-1, -2)).transpose(-1, -2) * log_reach[..., 1:].exp()


def surrogate(
    log_q_count: Tensor, log_q_steps: Tensor, reward: Tensor, log_q_shared: Tensor | None = None
) -> Surrogate:
    """Apply the estimator to one batch.

    Args:
        log_q_count: (B, K, N + 1), log q(n | z_1:n, x_b), finite and normalised over n (`z_pres.count_log_probs`),
            differentiable in the guide's parameters; whether step i is present may depend on z_<i, not on z_i.
        log_q_steps: (B, K, N), log q(z_i | z_<i, x_b) of all N steps, differentiable.
        reward: (B, K, N + 1), for the scene of the first n objects, -log q(n) - log q(z_1:n) included; treated as
            constant.
        log_q_shared: (B, K), log q of latents that are drawn before the first step and matter for every count, such as
            the camera; None where there are none.

    Raises:
        ValueError: for fewer than 2 samples, or shapes that do not fit.
    """
    b, k, n = log_q_steps.shape
    need_shape("log_q_count", log_q_count, (b, k, n + 1))
    need_shape("reward", reward, (b, k, n + 1))
    q_count, reward = log_q_count.exp(), reward.detach()
    expected = (q_count.detach() * reward).sum(-1)
    advantage = step_advantages(log_q_count, reward)
    # Subtracting the expectation changes nothing (sum_n d q(n) = 0) and spares float32.
    loss = -(q_count * (reward - expected[..., None])).sum(-1).mean() - (advantage * log_q_steps).sum(-1).mean()
    if log_q_shared is not None:
        need_shape("log_q_shared", log_q_shared, (b, k))
        loss = loss - (leave_one_out_advantage(expected) * log_q_shared).mean()
    return Surrogate(loss, diagnose(expected, advantage))
