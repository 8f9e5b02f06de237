"""Reweighted wake-sleep: its exact expectation by enumeration, its bias against the inclusive KL, its two phases."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from air3d.estimators.rws import sleep, surrogate, wake, wake_factors

LOGITS = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64)
LOG_JOINT = torch.tensor([-1.0, 0.7, -2.5], dtype=torch.float64)


def moments(
    samples: int, log_joint: torch.Tensor = LOG_JOINT, centred: bool = False
) -> tuple[NDArray[np.float64], float]:
    """Exact mean and variance of the ascent direction; every tuple of K samples is an image of its own."""
    outcome = torch.tensor(list(product(range(3), repeat=samples)))
    logits = LOGITS.expand(len(outcome), 3).clone().requires_grad_()
    log_q = torch.log_softmax(logits, -1).gather(-1, outcome)
    surrogate(log_q, log_joint[outcome] - log_q, centred=centred).loss.backward()
    assert logits.grad is not None
    direction, probability = -len(outcome) * logits.grad.numpy(), log_q.detach().sum(-1).exp().numpy()
    mean = probability @ direction
    return mean, float(probability @ (direction**2).sum(1) - mean @ mean)


def inclusive_gradient() -> NDArray[np.float64]:
    """Of -KL(p(z | x) || q) = sum_z p(z | x) log q(z) + constant, in the logits: p - q."""
    return (torch.softmax(LOG_JOINT, -1) - torch.softmax(LOGITS, -1)).numpy()


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("centred", [False, True])
def test_the_self_normalised_expectation(samples: int, centred: bool) -> None:
    """Written out in numpy: E[sum_k w_k / (sum_j w_j) (onehot(z_k) - q)]."""
    q, joint = torch.softmax(LOGITS, -1).numpy(), LOG_JOINT.exp().numpy()
    expected = np.zeros(3)
    for z in product(range(3), repeat=samples):
        weight = np.array([joint[i] / q[i] for i in z])
        score = np.array([np.eye(3)[i] - q for i in z])
        expected += np.prod([q[i] for i in z]) * (weight / weight.sum()) @ score
    assert moments(samples, centred=centred)[0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("centred", [False, True])
def test_the_bias_falls_with_more_samples(centred: bool) -> None:
    counts = (2, 3, 4, 6, 8)
    bias = [np.linalg.norm(moments(k, centred=centred)[0] - inclusive_gradient()) for k in counts]
    assert all(more < fewer for fewer, more in pairwise(bias))
    assert bias[-1] < 0.45 * bias[0]


def test_the_bias_falls_as_one_over_k() -> None:
    """Seen at moderate weights; with uneven ones it takes more samples than can be enumerated."""
    log_joint = torch.log_softmax(LOGITS, -1) + 0.2 * LOG_JOINT
    truth = (torch.softmax(log_joint, -1) - torch.softmax(LOGITS, -1)).numpy()
    four, eight = (np.linalg.norm(moments(k, log_joint)[0] - truth) for k in (4, 8))
    assert eight / four == pytest.approx(0.5, abs=0.02)
    assert eight < 0.2 * np.linalg.norm(truth)


def test_centring_takes_the_noise_of_equal_weights_away() -> None:
    at_optimum = torch.log_softmax(LOGITS, -1) - 3.0
    assert moments(3, at_optimum)[1] > 0.05
    mean, variance = moments(3, at_optimum, centred=True)
    assert mean == pytest.approx(np.zeros(3), abs=1e-12)
    assert variance == pytest.approx(0.0, abs=1e-20)
    warm = torch.log_softmax(LOGITS, -1) + 0.3 * LOG_JOINT
    assert moments(3, warm, centred=True)[1] < 0.2 * moments(3, warm)[1]


def test_sleep_is_the_gradient_of_the_priors_inclusive_kl() -> None:
    """Prior samples in their exact proportions (1/2, 1/3, 1/6) make sleep an exact expectation."""
    logits = LOGITS.clone().requires_grad_()
    dreams = torch.tensor([0, 0, 0, 1, 1, 2])
    sleep(torch.log_softmax(logits, -1)[dreams]).backward()
    assert logits.grad is not None
    expected = np.array([3, 2, 1]) / 6 - torch.softmax(LOGITS, -1).numpy()
    assert -logits.grad.numpy() == pytest.approx(expected, abs=1e-12)


def test_the_mixture_of_the_phases() -> None:
    generator = torch.Generator().manual_seed(0)
    log_q, log_weight = torch.randn(2, 4, 3, generator=generator)
    dreams = torch.randn(7, generator=generator)
    for share in (0.0, 0.25, 1.0):
        loss = float(surrogate(log_q, log_weight, dreams, share).loss)
        assert loss == pytest.approx((1 - share) * float(wake(log_q, log_weight)) + share * float(sleep(dreams)))


def test_invariant_to_a_constant_and_no_gradient_into_the_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    log_q = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    parameter = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    loss = wake(log_q, parameter - log_q)
    loss.backward()
    assert parameter.grad is None
    assert log_q.grad is not None
    assert torch.allclose(log_q.grad, -torch.softmax((parameter - log_q).detach(), -1) / 4.0)
    moved = wake(log_q, parameter - log_q + 1000.0)
    assert float(moved.detach()) == pytest.approx(float(loss.detach()), abs=1e-10)


def test_diagnostics() -> None:
    log_weight = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    even = surrogate(torch.zeros(1, 4), log_weight).diagnostics
    assert float(even.effective_samples) == pytest.approx(4.0)
    assert float(even.advantage_scale) == pytest.approx(1.0)
    centred = surrogate(torch.zeros(1, 4), log_weight, centred=True).diagnostics
    assert float(centred.advantage_scale) == 0.0


def test_refused() -> None:
    one, two = torch.zeros(3, 1), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="wake-sleep needs at least 2 samples, not 1"):
        wake_factors(one)
    with pytest.raises(ValueError, match="wake-sleep needs at least 2 samples, not 1"):
        surrogate(one, one)
    with pytest.raises(ValueError, match=r"log_weight has shape \(3, 1\)"):
        surrogate(two, one)
    with pytest.raises(ValueError, match="above 0 it needs sleep_log_q"):
        surrogate(two, two, None, 0.1)
    with pytest.raises(ValueError, match=r"sleep_share is 1\.5"):
        surrogate(two, two, torch.zeros(2), 1.5)
