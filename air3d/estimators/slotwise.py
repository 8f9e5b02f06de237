"""`slotwise`: the score function with a counterfactual baseline for every object slot.

    gradient  mean_k sum_n (R_k - c_kn) d log q(z_kn | earlier latents of sample k)

c_kn asks what the reward would have been without, or with another, slot n (difference rewards: Wolpert & Tumer 2001;
COMA: Foerster et al. 2018; averaging over replacements: local expectation, Titsias & Lazaro-Gredilla 2015). A slot is
then praised for its own object, not for its neighbours'.

Unbiased if, given everything that q(z_n | ...) conditions on, c_kn is independent of z_kn. So
- where slots are independent given the image, c_kn may use all other slots of sample k;
- where a recurrent guide draws later slots *given* slot n, it may use only earlier slots of sample k, since the later
  ones carry news of z_kn: the reward of the partial scene z_k1 .. z_k,n-1 qualifies, the scene without slot n does not;
- other samples' latents may always be used, unless c_kn is built from them together with z_kn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from air3d.estimators.common import Surrogate, diagnose, leave_one_out_advantage, need_samples, need_shape


def replacement_baseline(rewards: Tensor) -> Tensor:
    """The counterfactual (B, K, N): the mean reward with slot n taken from the other samples.

    Args:
        rewards: (B, K, N, K): entry [b, k, n, j] is the reward of sample k with slot n replaced by sample j's slot n;
            entries with j = k are not used. From layers composited by depth these are no further renders.

    Raises:
        ValueError: for fewer than 2 samples, or another shape.
    """
    samples = need_samples(rewards, "replacement baselines need")
    need_shape("rewards", rewards, (rewards.shape[0], samples, rewards.shape[2], samples))
    own = torch.eye(samples, dtype=torch.bool, device=rewards.device)[:, None, :]
    return rewards.detach().masked_fill(own, 0.0).sum(-1) / (samples - 1)


def removal_baseline(reward: Tensor, removed: Tensor) -> Tensor:
    """The counterfactual (B, K, N): the reward without slot n, plus the mean gain by slot n in the *other* samples.

    A removed object costs on average; the second part takes that mean out again. The advantage becomes the
    leave-one-out advantage of the slot's contribution R - removed, and stays unbiased wherever `removed` itself is a
    valid counterfactual.

    Args:
        reward: (B, K).
        removed: (B, K, N), the reward of sample k without slot n (or of the slots before n alone).

    Raises:
        ValueError: for fewer than 2 samples, or shapes that do not fit.
    """
    need_shape("removed", removed, (*reward.shape, removed.shape[-1]))
    contribution = (reward[..., None] - removed).detach()
    advantage = leave_one_out_advantage(contribution.transpose(1, 2)).transpose(1, 2)
    return reward.detach()[..., None] - advantage


def surrogate(log_q_slots: Tensor, reward: Tensor, counterfactual: Tensor) -> Surrogate:
    """Apply the estimator to one batch.

    Args:
        log_q_slots: (B, K, N), log q of the latents of each slot given what the guide draws before it, differentiable
            in the guide's parameters; 0 for a slot that is not there.
        reward: (B, K), for the whole scene, -log q of all slots included; treated as constant.
        counterfactual: (B, K, N), a baseline as described above; treated as constant.

    Raises:
        ValueError: for shapes that do not fit.
    """
    need_shape("reward", reward, tuple(log_q_slots.shape[:2]))
    need_shape("counterfactual", counterfactual, tuple(log_q_slots.shape))
    advantage = (reward[..., None] - counterfactual).detach()
    return Surrogate(-(advantage * log_q_slots).sum(-1).mean(), diagnose(reward, advantage))


def nested_surrogate(
    log_q_rest: Tensor, log_q_slots: Tensor, reward: Tensor, before: Tensor, present: Tensor
) -> Surrogate:
    """Apply the estimator to scenes of a recurrent guide, each slot against the partial scene before it.

    What is no slot, as the camera and the count, has the leave-one-out advantage of the whole scene.

    Args:
        log_q_rest: (B, K), log q of that rest, differentiable.
        log_q_slots: (B, K, N), see `surrogate`.
        reward: (B, K), for the whole scene.
        before: (B, K, N), the reward of the partial scene before each slot; unused for a slot that is not there.
        present: (B, K, N) bool, whether the slot is there.

    Raises:
        ValueError: for fewer than 2 samples, or shapes that do not fit.
    """
    need_shape("log_q_rest", log_q_rest, tuple(reward.shape))
    need_shape("present", present, tuple(log_q_slots.shape))
    slots = torch.where(present, log_q_slots, torch.zeros_like(log_q_slots))
    baseline = removal_baseline(reward, torch.where(present, before, reward[..., None]))
    estimate = surrogate(slots, reward, baseline)
    rest = -(leave_one_out_advantage(reward.detach()) * log_q_rest).mean()
    return estimate._replace(loss=estimate.loss + rest)
