"""The likelihood-ratio estimator on toy models whose gradients are known exactly."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from air3d.estimators.common import leave_one_out_advantage
from air3d.estimators.lr import surrogate, tamed

Fits = Callable[[float, str], None]
Estimator = Callable[[Tensor, Tensor], Tensor]

LOGITS = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64)
VALUES = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)


def loo(log_q: Tensor, reward: Tensor) -> Tensor:
    return surrogate(log_q, reward).loss


def plain(log_q: Tensor, reward: Tensor) -> Tensor:
    return -(reward.detach() * log_q).mean()


def moments(
    estimator: Estimator, samples: int, values: Tensor, with_entropy: bool = False
) -> tuple[NDArray[np.float64], float]:
    """Exact mean and total variance of the ascent direction, by enumeration of all tuples of K samples."""
    mean, square = np.zeros(len(LOGITS)), 0.0
    for outcome in product(range(len(LOGITS)), repeat=samples):
        logits = LOGITS.clone().requires_grad_()
        log_q = torch.log_softmax(logits, -1)[list(outcome)][None]
        reward = values[list(outcome)][None] - (log_q if with_entropy else 0.0)
        estimator(log_q, reward).backward()
        assert logits.grad is not None
        direction, probability = -logits.grad.numpy(), float(log_q.detach().sum().exp())
        mean += probability * direction
        square += probability * float(direction @ direction)
    return mean, square - float(mean @ mean)


def true_gradient(values: Tensor, with_entropy: bool = False) -> NDArray[np.float64]:
    logits = LOGITS.clone().requires_grad_()
    log_q = torch.log_softmax(logits, -1)
    (log_q.exp() * (values - (log_q if with_entropy else 0.0))).sum().backward()
    assert logits.grad is not None
    return logits.grad.numpy()


@pytest.mark.parametrize("samples", [2, 3, 4])
@pytest.mark.parametrize("with_entropy", [False, True])
def test_unbiased_by_enumeration(samples: int, with_entropy: bool) -> None:
    mean, _ = moments(loo, samples, VALUES, with_entropy)
    assert mean == pytest.approx(true_gradient(VALUES, with_entropy), abs=1e-10)


def test_the_enumeration_notices_a_biased_baseline() -> None:
    def biased(log_q: Tensor, reward: Tensor) -> Tensor:
        return -((reward - reward.mean(-1, keepdim=True)).detach() * log_q).mean()

    mean, _ = moments(biased, 3, VALUES)
    assert abs(mean - true_gradient(VALUES)).max() > 0.01


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_less_variance_than_the_plain_score_function(samples: int) -> None:
    far = VALUES + 1000.0
    (mean, ours), (_, plains) = moments(loo, samples, far), moments(plain, samples, far)
    assert mean == pytest.approx(true_gradient(VALUES), abs=1e-9)
    assert ours < 1e-4 * plains
    assert ours == pytest.approx(moments(loo, samples, VALUES)[1], rel=1e-9), "an offset changes nothing"


def test_more_samples_less_variance() -> None:
    variances = [moments(loo, samples, VALUES)[1] for samples in (2, 3, 4)]
    assert variances[0] > variances[1] > variances[2] > 0.0


def test_invariant_to_a_constant_for_each_image() -> None:
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    constant = 100.0 * torch.randn(5, 1, generator=generator, dtype=torch.float64)
    assert torch.allclose(leave_one_out_advantage(reward), leave_one_out_advantage(reward + constant), atol=1e-10)
    by_hand = [[row[k] - np.delete(row, k).mean() for k in range(4)] for row in reward.numpy()]
    assert leave_one_out_advantage(reward).numpy() == pytest.approx(np.array(by_hand))


def test_no_gradient_into_the_reward() -> None:
    log_q = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.ones((), requires_grad=True)
    reward = weight * torch.arange(12.0).reshape(3, 4) - log_q
    surrogate(log_q, reward).loss.backward()
    assert weight.grad is None
    assert log_q.grad is not None
    expected = -leave_one_out_advantage(reward.detach()) / 12.0
    assert torch.allclose(log_q.grad, expected), "log q within the reward is a constant"


def test_a_gaussian_toy(fits: Fits) -> None:
    """q = N(m, s^2), R = -(z - a)^2: dE[R]/dm = -2 (m - a), dE[R]/dlog s = -2 s^2."""
    rows, samples, m, s, a = 20_000, 4, 0.7, 0.6, -0.3
    # A parameter for each row: its gradient times the number of rows is one draw of the estimate.
    mean = torch.full((rows, 1), m, dtype=torch.float64, requires_grad=True)
    log_s = torch.full((rows, 1), float(np.log(s)), dtype=torch.float64, requires_grad=True)
    noise = torch.randn(rows, samples, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = (mean + log_s.exp() * noise).detach()
    log_q = -0.5 * ((z - mean) / log_s.exp()).square() - log_s
    surrogate(log_q, -((z - a) ** 2)).loss.backward()
    for parameter, exact in ((mean, -2 * (m - a)), (log_s, -2 * s**2)):
        assert parameter.grad is not None
        draws = -rows * parameter.grad.numpy().ravel()
        error = draws.std(ddof=1) / np.sqrt(rows)
        assert error < 0.03 * abs(exact) + 0.01, "the bound is worth something"
        fits(2.0 * stats.norm.sf(abs(draws.mean() - exact) / error), f"Gaussian toy, gradient {exact:.2f}")


@pytest.mark.parametrize("samples", [0, 1])
def test_too_few_samples_are_refused(samples: int) -> None:
    with pytest.raises(ValueError, match=f"at least 2 samples, not {samples}"):
        surrogate(torch.zeros(3, samples), torch.zeros(3, samples))


def test_diagnostics() -> None:
    generator = torch.Generator().manual_seed(2)
    reward = 5.0 * torch.randn(6, 8, generator=generator, dtype=torch.float64)
    found = surrogate(torch.zeros_like(reward), reward).diagnostics
    assert float(found.reward) == pytest.approx(float(reward.numpy().mean()))
    assert float(found.reward_spread) == pytest.approx(float(reward.numpy().std(axis=1, ddof=1).mean()))
    weight = np.exp(reward.numpy()) / np.exp(reward.numpy()).sum(1, keepdims=True)
    assert float(found.effective_samples) == pytest.approx(float((1.0 / (weight**2).sum(1)).mean()))
    advantage = leave_one_out_advantage(reward).numpy()
    assert float(found.advantage_scale) == pytest.approx(float(np.sqrt((advantage**2).mean())))
    even = surrogate(torch.zeros(2, 8), torch.full((2, 8), -3.0)).diagnostics
    assert float(even.effective_samples) == pytest.approx(8.0)
    assert float(even.reward_spread) == 0.0
    lone = surrogate(torch.zeros(2, 8), torch.eye(8)[:2] * 1e4).diagnostics
    assert float(lone.effective_samples) == pytest.approx(1.0)


def test_tamed_advantages_by_hand() -> None:
    advantage = np.array([[30.0, -10.0], [-25.0, 5.0]])
    found = tamed(torch.from_numpy(advantage), 1.0).numpy()
    assert found == pytest.approx(advantage / (advantage.std() + 1.0))
    assert tamed(torch.from_numpy(advantage), 1.0, 0.5).numpy() == pytest.approx(found.clip(-0.5, 0.5))
    weak = tamed(torch.from_numpy(1e-6 * advantage), 1.0).numpy()
    assert weak == pytest.approx(1e-6 * advantage, rel=1e-4), "next to nothing stays next to nothing"


def test_taming_is_biased_and_clipping_turns_the_gradient() -> None:
    def cosine(scale_floor: float, clip: float) -> float:
        def tame(log_q: Tensor, reward: Tensor) -> Tensor:
            return surrogate(log_q, reward, scale_floor, clip).loss

        mean, _ = moments(tame, 3, VALUES)
        truth = true_gradient(VALUES)
        assert abs(mean - truth).max() > 0.05
        return float(mean @ truth / np.linalg.norm(mean) / np.linalg.norm(truth))

    assert 0.99 < cosine(1.0, float("inf")) < 1.0 - 1e-6
    assert cosine(0.1, 0.1) < cosine(1.0, float("inf"))


def test_taming_is_refused_where_it_cannot_be() -> None:
    two = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="needs a scale_floor"):
        surrogate(two, two, None, 1.0)
    for floor, clip in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="must be positive"):
            surrogate(two, two, floor, clip)
    with pytest.raises(ValueError, match=r"reward has shape \(2,\); it must be \(3, 2\)"):
        surrogate(two, torch.zeros(2))
