"""VIMCO against the exact gradient of the K-sample bound, by enumeration of all K-tuples."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.estimators.vimco import bound, leave_one_out_bound, surrogate

LOGITS = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64)
LOG_JOINT = torch.tensor([-1.0, 0.7, -2.5], dtype=torch.float64)

Loss = Callable[[Tensor, Tensor], Tensor]


def ours(log_q: Tensor, log_weight: Tensor) -> Tensor:
    return surrogate(log_q, log_weight).loss


def plain(log_q: Tensor, log_weight: Tensor) -> Tensor:
    """The score function of the bound, without baselines; unbiased too."""
    weight = log_weight.detach()
    return -((bound(weight)[:, None] - torch.softmax(weight, -1)) * log_q).sum(-1).mean()


def without_the_second_term(log_q: Tensor, log_weight: Tensor) -> Tensor:
    weight = log_weight.detach()
    return -((bound(weight)[:, None] - leave_one_out_bound(weight)) * log_q).sum(-1).mean()


def moments(loss: Loss, samples: int, offset: float = 0.0) -> tuple[NDArray[np.float64], float]:
    """Exact mean and variance of the ascent direction; every tuple of K samples is an image of its own."""
    outcome = torch.tensor(list(product(range(3), repeat=samples)))
    logits = LOGITS.expand(len(outcome), 3).clone().requires_grad_()
    log_q = torch.log_softmax(logits, -1).gather(-1, outcome)
    loss(log_q, LOG_JOINT[outcome] + offset - log_q).backward()
    assert logits.grad is not None
    direction, probability = -len(outcome) * logits.grad.numpy(), log_q.detach().sum(-1).exp().numpy()
    mean = probability @ direction
    return mean, float(probability @ (direction**2).sum(1) - mean @ mean)


def true_gradient(samples: int) -> NDArray[np.float64]:
    """Of E[log 1/K sum_k w_k]: the expectation itself is differentiated, weights included."""
    outcome = torch.tensor(list(product(range(3), repeat=samples)))
    logits = LOGITS.clone().requires_grad_()
    log_q = torch.log_softmax(logits, -1)[outcome]
    weight = (LOG_JOINT[outcome] - log_q).exp()
    (log_q.sum(-1).exp() * weight.mean(-1).log()).sum().backward()
    assert logits.grad is not None
    return logits.grad.numpy()


@pytest.mark.parametrize("samples", [2, 3, 4, 5])
def test_unbiased_for_the_bound(samples: int) -> None:
    assert moments(ours, samples)[0] == pytest.approx(true_gradient(samples), abs=1e-10)
    assert moments(plain, samples)[0] == pytest.approx(true_gradient(samples), abs=1e-10)


def test_the_second_term_matters() -> None:
    assert abs(moments(without_the_second_term, 3)[0] - true_gradient(3)).max() > 0.01


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_less_variance_than_the_plain_score_function(samples: int) -> None:
    assert moments(ours, samples)[1] < moments(plain, samples)[1]
    assert moments(ours, samples, -50.0)[1] < 1e-3 * moments(plain, samples, -50.0)[1]


def test_invariant_to_a_constant() -> None:
    (mean, variance), (far, far_variance) = moments(ours, 3), moments(ours, 3, 1000.0)
    assert far == pytest.approx(mean, abs=1e-10)
    assert far_variance == pytest.approx(variance, rel=1e-9)


def test_leave_one_out_bound_by_hand() -> None:
    log_weight = np.log([[1.0, 4.0, 9.0]])
    expected = np.log([(6 + 4 + 9) / 3, (1 + 3 + 9) / 3, (1 + 4 + 2) / 3])
    assert leave_one_out_bound(torch.from_numpy(log_weight)).numpy()[0] == pytest.approx(expected)
    assert float(bound(torch.from_numpy(log_weight))) == pytest.approx(np.log(14 / 3))


def test_no_gradient_into_the_weights() -> None:
    log_q = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.randn(2, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    surrogate(log_q, weight - log_q).loss.backward()
    assert weight.grad is None
    assert log_q.grad is not None
    value = (weight - log_q).detach()
    signal = bound(value)[:, None] - leave_one_out_bound(value) - torch.softmax(value, -1)
    assert torch.allclose(log_q.grad, -signal / 2.0, atol=1e-6)


def test_extreme_weights_stay_finite() -> None:
    log_weight = torch.tensor([[-1e6, 0.0, 1e6], [-1e30, 3.0, 3.0]])
    estimate = surrogate(torch.zeros(2, 3), log_weight)
    assert all(bool(torch.isfinite(value)) for value in (estimate.loss, *estimate.diagnostics[2:]))


def test_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="vimco needs at least 2 samples, not 1"):
        surrogate(torch.zeros(3, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="log_weight has shape"):
        surrogate(torch.zeros(3, 2), torch.zeros(3, 1))
