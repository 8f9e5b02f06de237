"""The learned baseline with variance normalisation, on a toy whose gradient is known by enumeration."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.estimators.nvil import RunningMoments, surrogate

LOGITS = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64)
VALUES = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)


def moments_of(mean: float, variance: float, batches: float = 5.0) -> RunningMoments:
    return RunningMoments(*(torch.tensor(value, dtype=torch.float64) for value in (mean, variance, batches)))


def enumerated(
    samples: int, values: Tensor, baseline: float, running: RunningMoments
) -> tuple[NDArray[np.float64], float]:
    """Exact mean and variance of the ascent direction; every tuple of K samples is an image of its own."""
    outcome = torch.tensor(list(product(range(3), repeat=samples)))
    logits = LOGITS.expand(len(outcome), 3).clone().requires_grad_()
    log_q = torch.log_softmax(logits, -1).gather(-1, outcome)
    estimate, _ = surrogate(log_q, values[outcome], torch.full((len(outcome),), baseline), running)
    estimate.loss.backward()
    assert logits.grad is not None
    direction, probability = -len(outcome) * logits.grad.numpy(), log_q.detach().sum(-1).exp().numpy()
    mean = probability @ direction
    return mean, float(probability @ (direction**2).sum(1) - mean @ mean)


def true_gradient() -> NDArray[np.float64]:
    q = torch.softmax(LOGITS, -1)
    return (q * (VALUES - (q * VALUES).sum())).numpy()


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("baseline", [0.0, 0.7, -40.0])
@pytest.mark.parametrize("mean, variance", [(0.0, 0.2), (3.0, 0.0), (-2.0, 9.0)])
def test_unbiased_up_to_the_scale_with_any_baseline(
    samples: int, baseline: float, mean: float, variance: float
) -> None:
    found, _ = enumerated(samples, VALUES, baseline, moments_of(mean, variance))
    assert found == pytest.approx(true_gradient() / max(1.0, variance**0.5), abs=1e-10)


@pytest.mark.parametrize("variance", [0.2, 1.0, 25.0, 400.0])
def test_beside_another_part_of_the_gradient_it_is_unbiased(variance: float) -> None:
    """E_q[R], R with a parameter of its own: in nats the sum is the gradient; divided, its direction is off."""
    slope = torch.tensor([0.4, -1.2, 2.0], dtype=torch.float64)  # dR / dw for each outcome, at w = 0
    outcome = torch.tensor(list(product(range(3), repeat=2)))
    directions = {}
    for normalise in (False, True):
        logits, w = (
            LOGITS.expand(9, 3).clone().requires_grad_(),
            torch.zeros(9, dtype=torch.float64, requires_grad=True),
        )
        log_q = torch.log_softmax(logits, -1).gather(-1, outcome)
        running, baseline = moments_of(0.3, variance), torch.full((9,), 1.7)
        estimate, _ = surrogate(log_q, VALUES[outcome], baseline, running, normalise=normalise)
        (estimate.loss - (w[:, None] * slope[outcome]).mean()).backward()
        assert logits.grad is not None and w.grad is not None
        probability = log_q.detach().sum(-1).exp().numpy()
        gradient = np.concatenate([logits.grad.numpy(), w.grad[:, None].numpy()], 1)
        directions[normalise] = -9.0 * probability @ gradient
    q = torch.softmax(LOGITS, -1)
    true = np.append(true_gradient(), float(q @ slope))
    assert directions[False] == pytest.approx(true, abs=1e-12)
    cosine = directions[True] @ true / np.linalg.norm(directions[True]) / np.linalg.norm(true)
    assert (cosine < 0.999) == (variance > 1.0)


def test_a_good_baseline_has_less_variance_than_the_plain_score_function() -> None:
    far = VALUES + 100.0
    best = float((torch.softmax(LOGITS, -1) * far).sum())
    _, plain = enumerated(2, far, 0.0, moments_of(0.0, 0.0))
    _, learned = enumerated(2, far, best, moments_of(0.0, 0.0))
    _, centred = enumerated(2, far, 0.0, moments_of(best, 0.0))
    assert learned < 1e-3 * plain
    assert centred == pytest.approx(learned), "the running mean serves as well where images do not differ"


def test_a_constant_in_the_reward_moves_the_mean_and_then_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    log_q = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    baseline = torch.zeros(4, dtype=torch.float64)
    one, running = surrogate(log_q, reward, baseline, moments_of(0.4, 2.0))
    other, shifted = surrogate(log_q, reward + 7.0, baseline, moments_of(7.4, 2.0))
    assert float(one.loss) == pytest.approx(float(other.loss), abs=1e-12)
    assert float(shifted.mean - running.mean) == pytest.approx(7.0)
    assert float(shifted.variance) == pytest.approx(float(running.variance))


def test_no_gradient_from_one_part_into_the_other() -> None:
    generator = torch.Generator().manual_seed(1)
    log_q = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    baseline = torch.randn(4, generator=generator, dtype=torch.float64).requires_grad_()
    reward = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    running = moments_of(0.5, 4.0)
    estimate, after = surrogate(log_q, reward, baseline, running)
    estimate.loss.backward()
    assert reward.grad is None
    assert not any(moment.requires_grad for moment in after)
    assert log_q.grad is not None and baseline.grad is not None
    signal = (reward.detach() - baseline.detach()[:, None] - 0.5) / 2.0
    assert torch.allclose(log_q.grad, -signal / 12.0)
    assert torch.allclose(baseline.grad, -signal.sum(1) / 12.0), "the paper's update: along the signal"


def test_the_baseline_learns_the_mean_reward_of_each_image() -> None:
    weight = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([[10.0, 12.0], [-3.0, -5.0]], dtype=torch.float64)
    running = RunningMoments.initial(reward)
    for _ in range(400):
        estimate, running = surrogate(torch.zeros_like(reward), reward, weight, running)
        (gradient,) = torch.autograd.grad(estimate.loss, weight)
        with torch.no_grad():
            weight -= 0.2 * gradient
    assert (weight.detach() + running.mean).numpy() == pytest.approx([11.0, -4.0], abs=1e-3)
    assert float(running.variance) == pytest.approx(1.0, abs=1e-3)


def test_running_moments() -> None:
    first = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    running = RunningMoments.initial()
    assert float(running.scale) == 0.0, "the first step only measures"
    running = running.update(first, 0.75)
    assert [float(moment) for moment in running] == [4.0, 5.0, 1.0]
    assert float(running.scale) == pytest.approx(5.0**-0.5)
    running = running.update(torch.zeros(2, 2), 0.75)
    assert [float(moment) for moment in running] == [2.0, 2.5, 2.0], "plain averages at first"
    for _ in range(8):
        running = running.update(torch.zeros(2, 2), 0.75)
    last = running.update(torch.full((2, 2), 8.0), 0.75)
    assert float(last.mean) == pytest.approx(0.75 * float(running.mean) + 0.25 * 8.0), "then exponential"
    assert float(last.scale) == 1.0, "never enlarges"


def test_the_first_step_moves_nothing() -> None:
    log_q = torch.zeros(2, 3, requires_grad=True)
    baseline = torch.zeros(2, requires_grad=True)
    estimate, running = surrogate(log_q, torch.arange(6.0).reshape(2, 3) - 500.0, baseline, RunningMoments.initial())
    estimate.loss.backward()
    assert log_q.grad is not None and not log_q.grad.any()
    assert baseline.grad is not None and not baseline.grad.any()
    assert float(running.mean) == -497.5


def test_moments_survive_a_checkpoint(tmp_path: Path) -> None:
    running = RunningMoments.initial().update(torch.tensor([1.0, 4.0]), 0.9)
    safetensors.torch.save_file(running._asdict(), tmp_path / "moments.safetensors")
    assert RunningMoments(**safetensors.torch.load_file(tmp_path / "moments.safetensors")) == running


@pytest.mark.parametrize(
    "reward, baseline, decay, message",
    [
        ((2, 4), (2,), 0.9, r"reward has shape \(2, 4\); it must be \(2, 3\)"),
        ((2, 3), (2, 1), 0.9, r"baseline has shape \(2, 1\); it must be \(2,\)"),
        ((2, 3), (2,), 1.0, "decay is 1.0"),
    ],
)
def test_refused(reward: tuple[int, ...], baseline: tuple[int, ...], decay: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surrogate(torch.zeros(2, 3), torch.zeros(reward), torch.zeros(baseline), RunningMoments.initial(), decay)
