"""Counterfactual baselines for each slot, by enumeration: with independent slots and with a recurrent guide."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.estimators.common import leave_one_out_advantage
from air3d.estimators.slotwise import removal_baseline, replacement_baseline, surrogate

# Two slots of three values. Logits of slot 0, and of slot 1 after each value of slot 0.
FIRST = torch.tensor([0.3, -0.5, 0.9], dtype=torch.float64)
AFTER = torch.tensor([[0.2, 0.1, -0.4], [-1.0, 0.5, 1.5], [1.2, -0.7, 0.0]], dtype=torch.float64)
RECURRENT = torch.cat([FIRST[None], AFTER])
INDEPENDENT = torch.cat([FIRST[None], AFTER[:1].expand(3, 3)])
# R(z_0, z_1) = what each slot explains, and an interaction; and the same without slot 0, 1, and both.
OWN = torch.tensor([[5.0, 2.0, -4.0], [-3.0, 6.0, 1.0]], dtype=torch.float64)
TOGETHER = torch.tensor([[0.3, -0.8, 0.1], [0.5, 0.2, -0.4], [-0.6, 0.0, 0.7]], dtype=torch.float64)


def value(first: Tensor, second: Tensor) -> Tensor:
    return 20.0 + OWN[0][first] + OWN[1][second] + TOGETHER[first, second]


def without_slot(z: Tensor) -> Tensor:
    """(..., 2) to (..., 2): the reward with one slot removed."""
    return torch.stack([20.0 + OWN[1][z[..., 1]], 20.0 + OWN[0][z[..., 0]]], -1)


def before_slot(z: Tensor) -> Tensor:
    """(..., 2) to (..., 2): the reward of the partial scene before each slot."""
    return torch.stack([torch.full_like(z[..., 0], 20.0, dtype=torch.float64), 20.0 + OWN[0][z[..., 0]]], -1)


def replaced(z: Tensor) -> Tensor:
    """(T, K, 2) to (T, K, 2, K): each slot replaced by the other samples'."""
    mine, other = z[:, :, None], z[:, None]
    return torch.stack([value(other[..., 0], mine[..., 1]), value(mine[..., 0], other[..., 1])], 2)


class Draw(NamedTuple):
    """K samples in each row."""

    z: Tensor
    log_q: Tensor
    reward: Tensor


Loss = Callable[[Draw], Tensor]


def moments(loss: Loss, logits: Tensor, samples: int = 2, offset: float = 0.0) -> tuple[NDArray[np.float64], float]:
    """Exact mean and variance of the ascent direction; every outcome of the K samples is a row."""
    z = torch.tensor(list(product(product(range(3), repeat=2), repeat=samples)))  # (T, K, 2)
    rows = logits.expand(len(z), 4, 3).clone().requires_grad_()
    log_p = torch.log_softmax(rows, -1)
    row = torch.arange(len(z))[:, None]
    log_q = torch.stack([log_p[row, 0, z[..., 0]], log_p[row, 1 + z[..., 0], z[..., 1]]], -1)
    loss(Draw(z, log_q, value(z[..., 0], z[..., 1]) + offset)).backward()
    assert rows.grad is not None
    direction = -len(z) * rows.grad.numpy().reshape(len(z), -1)
    probability = log_q.detach().sum((-1, -2)).exp().numpy()
    mean = probability @ direction
    return mean, float(probability @ (direction**2).sum(1) - mean @ mean)


def true_gradient(logits: Tensor) -> NDArray[np.float64]:
    rows = logits.clone().requires_grad_()
    q = torch.softmax(rows, -1)
    grid = torch.arange(3)
    (q[0][:, None] * q[1:] * value(grid[:, None], grid[None])).sum().backward()
    assert rows.grad is not None
    return rows.grad.numpy().ravel()


def plain(draw: Draw) -> Tensor:
    return -(draw.reward * draw.log_q.sum(-1)).mean()


def leave_one_out(draw: Draw) -> Tensor:
    return -(leave_one_out_advantage(draw.reward) * draw.log_q.sum(-1)).mean()


def removal(draw: Draw) -> Tensor:
    return surrogate(draw.log_q, draw.reward, without_slot(draw.z)).loss


def centred_removal(draw: Draw) -> Tensor:
    return surrogate(draw.log_q, draw.reward, removal_baseline(draw.reward, without_slot(draw.z))).loss


def replacement(draw: Draw) -> Tensor:
    return surrogate(draw.log_q, draw.reward, replacement_baseline(replaced(draw.z))).loss


def earlier_only(draw: Draw) -> Tensor:
    return surrogate(draw.log_q, draw.reward, removal_baseline(draw.reward, before_slot(draw.z))).loss


@pytest.mark.parametrize("loss", [removal, centred_removal, replacement, earlier_only, leave_one_out])
@pytest.mark.parametrize("samples", [2, 3])
def test_unbiased_where_slots_are_independent(loss: Loss, samples: int) -> None:
    assert moments(loss, INDEPENDENT, samples)[0] == pytest.approx(true_gradient(INDEPENDENT), abs=1e-10)


@pytest.mark.parametrize("samples", [2, 3])
def test_unbiased_with_a_recurrent_guide_if_only_earlier_slots_are_used(samples: int) -> None:
    assert moments(earlier_only, RECURRENT, samples)[0] == pytest.approx(true_gradient(RECURRENT), abs=1e-10)


@pytest.mark.parametrize("loss", [removal, centred_removal, replacement])
def test_later_slots_that_depend_on_this_one_make_it_biased(loss: Loss) -> None:
    assert abs(moments(loss, RECURRENT)[0] - true_gradient(RECURRENT)).max() > 0.05


def test_less_variance_than_the_plain_score_function_and_than_leave_one_out() -> None:
    plains, one_out = moments(plain, INDEPENDENT)[1], moments(leave_one_out, INDEPENDENT)[1]
    for loss in (centred_removal, replacement):
        assert moments(loss, INDEPENDENT)[1] < 0.7 * one_out < 0.1 * plains
    assert moments(earlier_only, RECURRENT)[1] < 0.9 * moments(leave_one_out, RECURRENT)[1]


def test_invariant_to_a_constant() -> None:
    def far(draw: Draw) -> Tensor:
        return surrogate(draw.log_q, draw.reward, replacement_baseline(replaced(draw.z) + 1000.0)).loss

    (mean, variance), (other, other_variance) = moments(replacement, INDEPENDENT), moments(far, INDEPENDENT, 2, 1000.0)
    assert other == pytest.approx(mean, abs=1e-9)
    assert other_variance == pytest.approx(variance, rel=1e-9)


def test_baselines_by_hand() -> None:
    rewards = torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = replacement_baseline(rewards).numpy()
    for b, k, n in product(range(2), range(3), range(4)):
        assert found[b, k, n] == pytest.approx(np.delete(rewards[b, k, n].numpy(), k).mean())
    unused = rewards.clone()
    unused.diagonal(dim1=1, dim2=3).fill_(torch.nan)
    assert replacement_baseline(unused).numpy() == pytest.approx(found), "a sample's own slot is not looked at"
    reward, removed = rewards[..., 0, 0], rewards[..., 1]
    by_hand = removal_baseline(reward, removed).numpy()
    added = (reward[..., None] - removed).numpy()
    for b, k, n in product(range(2), range(3), range(4)):
        assert by_hand[b, k, n] == pytest.approx(float(removed[b, k, n]) + np.delete(added[b, :, n], k).mean())


def test_no_gradient_into_rewards_and_baselines() -> None:
    generator = torch.Generator().manual_seed(0)
    log_q = torch.randn(2, 3, 4, generator=generator).requires_grad_()
    reward = torch.randn(2, 3, generator=generator).requires_grad_()
    rewards = torch.randn(2, 3, 4, 3, generator=generator).requires_grad_()
    for baseline in (rewards[..., 0], replacement_baseline(rewards), removal_baseline(reward, rewards[..., 0])):
        log_q.grad = None
        surrogate(log_q, reward, baseline).loss.backward()
        assert reward.grad is None and rewards.grad is None
        assert log_q.grad is not None
        assert torch.allclose(log_q.grad, -(reward[..., None] - baseline).detach() / 6.0)


def test_refused() -> None:
    with pytest.raises(ValueError, match="replacement baselines need at least 2 samples, not 1"):
        replacement_baseline(torch.zeros(2, 1, 4, 1))
    with pytest.raises(ValueError, match="rewards has shape"):
        replacement_baseline(torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        removal_baseline(torch.zeros(2, 1), torch.zeros(2, 1, 4))
    with pytest.raises(ValueError, match="removed has shape"):
        removal_baseline(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="counterfactual has shape"):
        surrogate(torch.zeros(2, 3, 4), torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="reward has shape"):
        surrogate(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), torch.zeros(2, 3, 4))
