"""Finite differences for continuous latents, the score function for discrete ones, against closed forms.

A kind d ~ softmax(logits) and, given it, c ~ N(m_d, s_d^2); f(d, c) = a_d + b_d c + g_d c^2. The normal is integrated
by five Gauss-Hermite nodes, exact for polynomials up to degree 9: all that occurs here, variances included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.estimators.fd import central_differences, surrogate

# Rows: logits, m, log s, one column a kind.
THETA = torch.tensor([[0.4, -0.3], [0.6, -0.2], [-0.5, 0.3]], dtype=torch.float64)
A, B, G = (torch.tensor(row, dtype=torch.float64) for row in ([1.0, -0.5], [0.7, 0.2], [-0.8, -0.3]))
NODES, MASS = np.polynomial.hermite_e.hermegauss(5)
MASS = MASS / MASS.sum()
LOG_2PI = math.log(2.0 * math.pi)


def f(kind: Tensor, c: Tensor) -> Tensor:
    return A[kind] + B[kind] * c + G[kind] * c**2


class Draw(NamedTuple):
    """K samples in each row, everything differentiable in the row's parameters."""

    kind: Tensor
    log_kind: Tensor
    c: Tensor
    log_density: Tensor
    """log q(c | kind) at the reparameterised c."""
    score: Tensor
    """log q(c | kind) at the same c held constant."""


Loss = Callable[[Draw, float], Tensor]


def moments(loss: Loss, samples: int = 2, offset: float = 0.0) -> tuple[NDArray[np.float64], float]:
    """Exact mean and variance of the ascent direction; every outcome of the K samples is a row."""
    cell = list(product(range(2), range(5)))
    outcome = torch.tensor(list(product(cell, repeat=samples)))  # (T, K, 2)
    kind, noise = outcome[..., 0], torch.from_numpy(NODES)[outcome[..., 1]]
    theta = THETA.expand(len(outcome), 3, 2).clone().requires_grad_()
    logits, m, log_s = (row.gather(-1, kind) for row in theta.unbind(1))
    log_kind = torch.log_softmax(theta[:, 0], -1).gather(-1, kind)
    c = m + log_s.exp() * noise

    def log_normal(value: Tensor) -> Tensor:
        return -0.5 * ((value - m) / log_s.exp()) ** 2 - log_s - 0.5 * LOG_2PI

    draw = Draw(kind, log_kind, c, log_normal(c), log_normal(c.detach()))
    loss(draw, offset).backward()
    assert theta.grad is not None and logits.requires_grad
    direction = -len(outcome) * theta.grad.reshape(len(outcome), 6).numpy()
    probability = log_kind.detach().sum(-1).exp().numpy() * MASS[outcome[..., 1].numpy()].prod(1)
    mean = probability @ direction
    return mean, float(probability @ (direction**2).sum(1) - mean @ mean)


def true_gradient() -> NDArray[np.float64]:
    """Of sum_d q_d (E[f | d] - log q_d + log s_d + 1/2 log 2 pi e)."""
    theta = THETA.clone().requires_grad_()
    logits, m, log_s = theta.unbind(0)
    log_q = torch.log_softmax(logits, -1)
    value = A + B * m + G * (m**2 + (2 * log_s).exp())
    (log_q.exp() * (value - log_q + log_s + 0.5 * (LOG_2PI + 1.0))).sum().backward()
    assert theta.grad is not None
    return theta.grad.numpy().ravel()


def differences(draw: Draw) -> Tensor:
    """df/dc as a caller gets it: through `central_differences`, with the discrete latents repeated."""
    kind = draw.kind.repeat_interleave(2, dim=1)
    return central_differences(lambda shifted: f(kind, shifted[..., 0]), draw.c[..., None], 0.3)


def ours(draw: Draw, offset: float) -> Tensor:
    reward = f(draw.kind, draw.c) + offset - draw.log_kind - draw.log_density
    estimate = surrogate(draw.log_kind, reward, draw.c[..., None], differences(draw))
    return estimate.loss + draw.log_density.mean()


def without_the_entropy_in_the_reward(draw: Draw, offset: float) -> Tensor:
    reward = f(draw.kind, draw.c) + offset - draw.log_kind
    estimate = surrogate(draw.log_kind, reward, draw.c[..., None], differences(draw))
    return estimate.loss + draw.log_density.mean()


def without_the_entropy_term(draw: Draw, offset: float) -> Tensor:
    reward = f(draw.kind, draw.c) + offset - draw.log_kind - draw.log_density
    return surrogate(draw.log_kind, reward, draw.c[..., None], differences(draw)).loss


def plain(draw: Draw, offset: float) -> Tensor:
    """The score function for everything."""
    reward = (f(draw.kind, draw.c) + offset - draw.log_kind - draw.log_density).detach()
    return -(reward * (draw.log_kind + draw.score)).mean()


@pytest.mark.parametrize("samples", [2, 3])
def test_unbiased_for_quadratic_rewards(samples: int) -> None:
    assert moments(ours, samples)[0] == pytest.approx(true_gradient(), abs=1e-10)


@pytest.mark.parametrize("broken", [without_the_entropy_in_the_reward, without_the_entropy_term])
def test_what_must_be_included(broken: Loss) -> None:
    assert abs(moments(broken)[0] - true_gradient()).max() > 0.05


def test_less_variance_than_the_plain_score_function() -> None:
    assert moments(plain)[0] == pytest.approx(true_gradient(), abs=1e-10)
    assert moments(ours)[1] < 0.5 * moments(plain)[1]
    assert moments(ours, offset=100.0)[1] < 1e-3 * moments(plain, offset=100.0)[1]


def test_invariant_to_a_constant() -> None:
    (mean, variance), (far, far_variance) = moments(ours), moments(ours, offset=100.0)
    assert far == pytest.approx(mean, abs=1e-9)
    assert far_variance == pytest.approx(variance, rel=1e-9)


def test_a_discrete_latent_after_a_continuous_one() -> None:
    """c = m + s noise, then d ~ Bernoulli(sigmoid(w c)): log q(d | c) is differentiated through c too."""
    m0, s, w = 0.4, 0.7, 1.3
    nodes, mass = np.polynomial.hermite_e.hermegauss(40)
    mass = mass / mass.sum()
    m = torch.tensor(m0, dtype=torch.float64, requires_grad=True)
    every = m + s * torch.from_numpy(nodes)
    present = torch.sigmoid(w * every)
    (torch.from_numpy(mass) * (present * (2.0 * every - every**2) + (1 - present) * every)).sum().backward()
    assert m.grad is not None
    truth = float(m.grad)

    outcome = np.array(list(product(range(2), range(40), range(2), range(40)))).reshape(-1, 2, 2)
    d, noise = torch.from_numpy(outcome[..., 0]).double(), torch.from_numpy(nodes[outcome[..., 1]])
    rows = torch.full((len(outcome), 1), m0, dtype=torch.float64, requires_grad=True)
    c = rows + s * noise
    log_q = torch.nn.functional.logsigmoid((2.0 * d - 1.0) * w * c)

    def reward_of(c: Tensor, d: Tensor) -> Tensor:
        return torch.where(d > 0.5, 2.0 * c - c**2, c)

    repeated = d.repeat_interleave(2, dim=1)
    gradient = central_differences(lambda shifted: reward_of(shifted[..., 0], repeated), c[..., None], 0.1)
    surrogate(log_q, reward_of(c, d), c[..., None], gradient).loss.backward()
    assert rows.grad is not None
    probability = log_q.detach().sum(-1).exp().numpy() * mass[outcome[..., 1]].prod(1)
    assert float(probability @ -rows.grad.numpy()[:, 0] * len(outcome)) == pytest.approx(truth, abs=1e-8)


def test_central_differences_order_and_steps() -> None:
    """Samples, latents and steps that all differ; each sample has a constant of its own beside its latents."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    scale = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    power = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    seen: list[Tensor] = []

    def reward_of(shifted: Tensor) -> Tensor:
        seen.append(shifted)
        return scale.repeat_interleave(8, dim=1) * (power * shifted**2).sum(-1)

    step = torch.tensor([0.1, 0.2, 0.3, 0.4])
    found = central_differences(reward_of, z.clone().requires_grad_(), step)
    assert not found.requires_grad
    assert torch.allclose(found, scale[..., None] * 2.0 * power * z)
    moved = (seen[0].reshape(2, 3, 2, 4, 4) - z[:, :, None, None]).numpy()
    assert moved[1, 2, 0] == pytest.approx(np.diag(step.numpy()), abs=1e-7)
    assert moved[1, 2, 1] == pytest.approx(-np.diag(step.numpy()), abs=1e-7)


def test_the_error_is_of_second_order() -> None:
    z = torch.full((1, 1, 1), 0.8, dtype=torch.float64)
    error = [
        abs(float(central_differences(lambda v: v[..., 0].sin(), z, step)) - math.cos(0.8)) for step in (0.2, 0.1, 0.05)
    ]
    assert error[0] / error[1] == pytest.approx(4.0, rel=0.01)
    assert error[1] / error[2] == pytest.approx(4.0, rel=0.01)


def test_no_gradient_leaks() -> None:
    generator = torch.Generator().manual_seed(0)
    log_q, reward = (torch.randn(2, 3, generator=generator).requires_grad_() for _ in range(2))
    z, gradient = (torch.randn(2, 3, 4, generator=generator).requires_grad_() for _ in range(2))
    surrogate(log_q, reward, z, gradient).loss.backward()
    assert reward.grad is None and gradient.grad is None
    assert z.grad is not None and torch.allclose(z.grad, -gradient.detach() / 6.0)


def test_refused() -> None:
    two, z = torch.zeros(3, 2), torch.zeros(3, 2, 4)
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        surrogate(two[:, :1], two[:, :1], z[:, :1], z[:, :1])
    with pytest.raises(ValueError, match="gradient has shape"):
        surrogate(two, two, z, z[..., :1])
    with pytest.raises(ValueError, match="z has shape"):
        surrogate(two, two, z[:, :1], z[:, :1])
    with pytest.raises(ValueError, match="must be positive"):
        central_differences(lambda v: v.sum(-1), z, torch.tensor([0.1, 0.1, 0.0, 0.1]))
    with pytest.raises(ValueError, match=r"the result of reward_of has shape \(3, 16, 4\); it must be \(3, 16\)"):
        central_differences(lambda v: v, z, 0.1)
