"""The exact expectation over the count, against a small recurrent model of which everything is enumerated.

A camera g of two values, two steps of two values each (each given what came before), and a presence before each step
(given what came before). The count is 0, 1 or 2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.distributions.z_pres import count_log_probs
from air3d.estimators.common import leave_one_out_advantage
from air3d.estimators.counts import step_advantages, surrogate

GENERATOR = torch.Generator().manual_seed(4)
# Parameters: logit of g (1), of z_1 given g (2), of z_2 given g, z_1 (4), presence 1 given g (2), 2 given g, z_1 (4).
THETA = 0.8 * torch.randn(13, generator=GENERATOR, dtype=torch.float64)
BASE = torch.tensor([-9.0, -6.0], dtype=torch.float64)
ONE = BASE[:, None] + 3.0 * torch.randn(2, 2, generator=GENERATOR, dtype=torch.float64)
TWO = ONE[..., None] + 3.0 * torch.randn(2, 2, 2, generator=GENERATOR, dtype=torch.float64)


class Draw(NamedTuple):
    """K trajectories in each of T rows: log q of camera (T, K), steps (T, K, 2), counts and rewards (T, K, 3)."""

    log_shared: Tensor
    log_steps: Tensor
    log_count: Tensor
    reward: Tensor


Loss = Callable[[Draw], Tensor]


def log_bernoulli(logit: Tensor, outcome: Tensor) -> Tensor:
    return torch.nn.functional.logsigmoid(torch.where(outcome > 0, logit, -logit))


def trajectories(theta: Tensor, path: Tensor, offset: float = 0.0, entropy: bool = True) -> Draw:
    """theta (T, 13), path (T, K, 3) of g, z_1, z_2."""
    g, first, second = path.unbind(-1)

    def pick(start: int, index: Tensor) -> Tensor:
        return theta.gather(-1, start + index)

    log_shared = log_bernoulli(pick(0, torch.zeros_like(g)), g)
    log_steps = torch.stack([log_bernoulli(pick(1, g), first), log_bernoulli(pick(3, 2 * g + first), second)], -1)
    log_count = count_log_probs(torch.stack([pick(7, g), pick(9, 2 * g + first)], -1))
    reward = torch.stack([BASE[g], ONE[g, first], TWO[g, first, second]], -1) + offset
    if entropy:
        nested = torch.cat([torch.zeros_like(log_steps[..., :1]), log_steps.cumsum(-1)], -1)
        reward = reward - log_count - nested - log_shared[..., None]
    return Draw(log_shared, log_steps, log_count, reward)


PATHS = list(product(range(2), repeat=3))


def true_gradient(entropy: bool = True) -> NDArray[np.float64]:
    """Of sum over g, n, z_1:n of q(g) q(z_1:n) q(n) R_n: the steps after n never enter."""
    theta = THETA[None].clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for n, paths in enumerate((((g, 0, 0) for g in range(2)), (p for p in PATHS if p[2] == 0), iter(PATHS))):
        draw = trajectories(theta, torch.tensor([list(paths)]), entropy=entropy)
        log_joint = draw.log_shared + draw.log_steps[..., :n].sum(-1) + draw.log_count[..., n]
        total = total + (log_joint.exp() * draw.reward[..., n]).sum()
    total.backward()
    assert theta.grad is not None
    return theta.grad.numpy()[0]


def moments(
    loss: Loss, samples: int = 2, offset: float = 0.0, entropy: bool = True
) -> tuple[NDArray[np.float64], float]:
    """Exact mean and variance of the ascent direction; every outcome of the K trajectories is a row."""
    path = torch.tensor(list(product(PATHS, repeat=samples)))
    theta = THETA.expand(len(path), 13).clone().requires_grad_()
    draw = trajectories(theta, path, offset, entropy)
    loss(draw).backward()
    assert theta.grad is not None
    direction = -len(path) * theta.grad.numpy()
    probability = (draw.log_shared + draw.log_steps.sum(-1)).detach().sum(-1).exp().numpy()
    mean = probability @ direction
    return mean, float(probability @ (direction**2).sum(1) - mean @ mean)


def sampled_counts(samples: int, offset: float = 0.0, loo: bool = False) -> tuple[NDArray[np.float64], float]:
    """The score function with the count sampled too, by enumeration of counts as well."""
    outcomes = [[(*path, n) for path, n in row] for row in product(list(product(PATHS, range(3))), repeat=samples)]
    outcome = torch.tensor(outcomes)
    theta = THETA.expand(len(outcome), 13).clone().requires_grad_()
    draw = trajectories(theta, outcome[..., :3], offset)
    n = outcome[..., 3:]
    nested = torch.cat([torch.zeros_like(draw.log_steps[..., :1]), draw.log_steps.cumsum(-1)], -1)
    log_q = draw.log_shared + (nested + draw.log_count).gather(-1, n)[..., 0]
    reward = draw.reward.gather(-1, n)[..., 0].detach()
    (-((leave_one_out_advantage(reward) if loo else reward) * log_q).mean()).backward()
    assert theta.grad is not None
    direction = -len(outcome) * theta.grad.numpy()
    log_path = draw.log_shared + draw.log_steps.sum(-1) + draw.log_count.gather(-1, n)[..., 0]
    probability = log_path.detach().sum(-1).exp().numpy()
    mean = probability @ direction
    return mean, float(probability @ (direction**2).sum(1) - mean @ mean)


def ours(draw: Draw) -> Tensor:
    return surrogate(draw.log_count, draw.log_steps, draw.reward, draw.log_shared).loss


def no_partial_scene(draw: Draw) -> Tensor:
    """Steps are paid the whole sum_{n >= i} q(n) R_n, with a leave-one-out baseline: unbiased, noisier."""
    q, reward = draw.log_count.exp(), draw.reward.detach()
    after = (q.detach() * reward).flip(-1).cumsum(-1).flip(-1)
    advantage = leave_one_out_advantage(after.transpose(1, 2)).transpose(1, 2)
    steps = (advantage[..., 1:] * draw.log_steps).sum(-1) + advantage[..., 0] * draw.log_shared
    return -(q * reward).sum(-1).mean() - steps.mean()


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("entropy", [False, True])
def test_unbiased_by_enumeration(samples: int, entropy: bool) -> None:
    assert moments(ours, samples, entropy=entropy)[0] == pytest.approx(true_gradient(entropy), abs=1e-10)


def test_the_alternatives_have_the_same_mean() -> None:
    assert moments(no_partial_scene)[0] == pytest.approx(true_gradient(), abs=1e-10)
    assert sampled_counts(2)[0] == pytest.approx(true_gradient(), abs=1e-10)


def test_less_variance_than_sampling_the_count() -> None:
    variance = moments(ours)[1]
    assert variance < 0.5 * sampled_counts(2, loo=True)[1] < sampled_counts(2)[1]
    assert moments(ours, offset=100.0)[1] < 1e-3 * sampled_counts(2, offset=100.0)[1]


def test_paying_a_step_for_what_it_adds_lowers_the_variance() -> None:
    assert moments(ours)[1] < 0.9 * moments(no_partial_scene)[1]


def test_invariant_to_a_constant() -> None:
    (mean, variance), (far, far_variance) = moments(ours), moments(ours, offset=1000.0)
    assert far == pytest.approx(mean, abs=1e-9)
    assert far_variance == pytest.approx(variance, rel=1e-9)


def test_the_gradient_in_the_count_is_exact() -> None:
    """With one possible trajectory nothing is left to chance."""
    logits = torch.tensor([0.3, -0.8, 1.2], dtype=torch.float64, requires_grad=True)
    values = torch.tensor([1.0, -2.0, 4.0, 0.5], dtype=torch.float64)
    log_count = count_log_probs(logits)
    surrogate(log_count.expand(5, 2, 4), torch.zeros(5, 2, 3), values.expand(5, 2, 4)).loss.backward()
    found, logits.grad = logits.grad, None
    (count_log_probs(logits).exp() * values).sum().backward()
    assert found is not None and logits.grad is not None
    assert torch.allclose(-found, logits.grad, atol=1e-12)


def test_count_probabilities_by_hand() -> None:
    p = np.array([0.9, 0.5, 0.2])
    found = count_log_probs(torch.from_numpy(np.log(p / (1 - p)))).exp().numpy()
    assert found == pytest.approx([0.1, 0.9 * 0.5, 0.9 * 0.5 * 0.8, 0.9 * 0.5 * 0.2])
    extreme = count_log_probs(torch.tensor([-200.0, 200.0]))
    assert bool(torch.isfinite(extreme).all())


def test_step_advantages_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    log_count = torch.log_softmax(torch.randn(2, 3, 4, generator=generator, dtype=torch.float64), -1)
    found, q, r = step_advantages(log_count, reward).numpy(), log_count.exp().numpy(), reward.numpy()
    for b, i in product(range(2), range(1, 4)):
        reach = q[b, :, i:].sum(-1)
        added = (q[b, :, i:] * (r[b, :, i:] - r[b, :, i - 1 : i])).sum(-1) / reach
        by_hand = [reach[k] * (added[k] - np.delete(added, k).mean()) for k in range(3)]
        assert found[b, :, i - 1] == pytest.approx(np.array(by_hand))


def test_steps_that_are_never_reached_learn_nothing_and_stay_finite() -> None:
    reward = 100.0 * torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
    log_count = count_log_probs(torch.full((2, 3, 2), -150.0))
    advantage = step_advantages(log_count, reward)
    assert bool(torch.isfinite(advantage).all())
    assert float(advantage.abs().max()) < 1e-30


def test_no_gradient_into_the_reward() -> None:
    generator = torch.Generator().manual_seed(0)
    count = torch.log_softmax(torch.randn(2, 3, 3, generator=generator), -1).requires_grad_()
    steps = torch.randn(2, 3, 2, generator=generator).requires_grad_()
    shared = torch.randn(2, 3, generator=generator).requires_grad_()
    weight = torch.ones((), requires_grad=True)
    reward = weight * torch.randn(2, 3, 3, generator=generator) - count
    surrogate(count, steps, reward, shared).loss.backward()
    assert weight.grad is None
    assert steps.grad is not None and shared.grad is not None and count.grad is not None
    assert torch.allclose(steps.grad, -step_advantages(count, reward) / 6.0)
    expected = (count.exp() * reward).sum(-1).detach()
    assert torch.allclose(shared.grad, -leave_one_out_advantage(expected) / 6.0)


def test_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        surrogate(torch.zeros(2, 1, 3), torch.zeros(2, 1, 2), torch.zeros(2, 1, 3))
    with pytest.raises(ValueError, match=r"log_q_count has shape \(2, 3, 2\); it must be \(2, 3, 3\)"):
        surrogate(torch.zeros(2, 3, 2), torch.zeros(2, 3, 2), torch.zeros(2, 3, 3))
    with pytest.raises(ValueError, match="reward has shape"):
        surrogate(torch.zeros(2, 3, 3), torch.zeros(2, 3, 2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="log_q_shared has shape"):
        surrogate(torch.zeros(2, 3, 3), torch.zeros(2, 3, 2), torch.zeros(2, 3, 3), torch.zeros(2, 3, 1))
