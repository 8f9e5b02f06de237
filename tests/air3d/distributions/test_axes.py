"""The mixture over directions: against SciPy's von Mises-Fisher distribution, quadrature and moments of draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from air3d.distributions.axes import FisherMixture, basis

Fits = Callable[[float, str], None]


def directions(seed: int, count: int) -> Tensor:
    return torch.from_numpy(stats.uniform_direction(3, np.random.default_rng(seed)).rvs(count))


def random_mixture(seed: int, components: int) -> FisherMixture:
    rng = np.random.default_rng(seed)
    k = torch.from_numpy(np.exp(rng.uniform(-2.0, 4.0, components)))
    return FisherMixture(torch.from_numpy(rng.normal(0.0, 1.0, components)), directions(seed, components), k)


def quadrature(turns: int = 96) -> tuple[Tensor, Tensor]:
    cosine, weight = special.roots_legendre(turns // 2)
    turn = 2.0 * math.pi * np.arange(turns) / turns
    c, t = np.meshgrid(cosine, turn, indexing="ij")
    sine = np.sqrt(1.0 - c**2)
    points = np.stack([sine * np.cos(t), sine * np.sin(t), c], -1).reshape(-1, 3)
    return torch.from_numpy(points), torch.from_numpy(np.repeat(weight * 2.0 * math.pi / turns, turns))


@pytest.mark.parametrize("seed", range(3))
def test_the_density_is_scipys_and_integrates_to_one(seed: int) -> None:
    q, at = random_mixture(seed, 5), directions(9, 30)
    weights = special.softmax(q.logits.numpy())
    parts = [
        w * stats.vonmises_fisher(mu / np.linalg.norm(mu), float(k)).pdf(at.numpy())
        for w, mu, k in zip(weights, q.loc.numpy(), q.concentration, strict=True)
    ]
    assert q.log_prob(at).numpy() == pytest.approx(np.log(np.sum(parts, axis=0)), abs=1e-9)
    points, weight = quadrature()
    assert float((q.log_prob(points).exp() * weight).sum()) == pytest.approx(1.0, abs=1e-6)


def test_it_is_uniform_without_concentration_and_finite_when_sharp() -> None:
    loc = directions(4, 2)
    flat = FisherMixture(torch.zeros(2).double(), loc, torch.full((2,), 1e-4).double())
    assert flat.log_prob(directions(5, 20)).numpy() == pytest.approx(np.full(20, -math.log(4.0 * math.pi)), abs=1e-3)
    sharp = FisherMixture(torch.zeros(1), loc[:1].float(), torch.tensor([1e6]))
    assert float(sharp.log_prob(loc[0].float())) == pytest.approx(math.log(1e6 / (2.0 * math.pi)), abs=1e-2)
    drawn = FisherMixture(*(part.expand(100, *part.shape) for part in sharp)).sample(torch.Generator().manual_seed(0))
    assert ((drawn - loc[0].float()).norm(dim=-1) < 0.01).all()


def test_draws_have_the_moments_of_the_density(fits: Fits) -> None:
    """Hotelling's test of the means of all products of two of (1, x, y, z)."""
    q, count = random_mixture(7, 4), 40_000

    def features(direction: Tensor) -> np.ndarray:
        x, y, z = direction.numpy().T
        return np.column_stack([x, y, z, x * x, y * y, x * y, x * z, y * z])

    points, weight = quadrature()
    expected = ((q.log_prob(points).exp() * weight).numpy()[:, None] * features(points)).sum(0)
    drawn = features(
        FisherMixture(*(part.expand(count, *part.shape) for part in q)).sample(torch.Generator().manual_seed(0))
    )
    off = drawn.mean(0) - expected
    statistic = count * off @ np.linalg.solve(np.cov(drawn.T), off)
    fits(float(stats.chi2.sf(statistic, len(off))), "moments of drawn directions")


def test_the_mode_is_the_highest_of_all_centres() -> None:
    q = random_mixture(9, 8)
    heights = [float(q.log_prob(centre)) for centre in q.loc]
    both = FisherMixture(*(torch.stack([part, part.flip(0)]) for part in q))
    assert both.mode().numpy() == pytest.approx(np.stack([q.loc[int(np.argmax(heights))].numpy()] * 2))


def test_a_basis_is_a_rotation_with_the_axis_as_its_third_column() -> None:
    axes = torch.cat([directions(11, 50), torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]).double()])
    turns = basis(axes)
    assert (turns.mT @ turns).numpy() == pytest.approx(np.broadcast_to(np.eye(3), (52, 3, 3)), abs=1e-9)
    assert torch.linalg.det(turns).numpy() == pytest.approx(np.ones(52))
    assert torch.equal(turns[..., 2], axes)
