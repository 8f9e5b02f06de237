"""The Gaussian on a disc: its density against quadrature, its samples against its density."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from air3d.distributions.place import PlaceNormal
from air3d.scene3d.support import Disc, Rectangle

Fits = Callable[[float, str], None]

RADIUS_M = 0.15
DISC = Disc(RADIUS_M)
CASES = [((0.0, 0.0), (0.74, 0.74)), ((0.6, -0.4), (0.3, 0.9)), ((-1.5, 0.8), (0.5, 0.2)), ((0.0, 0.0), (2.0, 2.0))]


def double(values: object) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def disc_normal(loc: tuple[float, float], scale: tuple[float, float]) -> PlaceNormal:
    return PlaceNormal(double(loc), double(scale), DISC)


def integral(
    q: PlaceNormal, radius: tuple[float, float], angle: tuple[float, float], nodes: int
) -> tuple[float, NDArray[np.float64]]:
    """Gauss-Legendre quadrature of the density over a sector of a ring, and the mean position there."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    r = (radius[1] - radius[0]) / 2 * x + (radius[0] + radius[1]) / 2
    a = (angle[1] - angle[0]) / 2 * x + (angle[0] + angle[1]) / 2
    weight = np.outer(w * r, w) * (radius[1] - radius[0]) * (angle[1] - angle[0]) / 4
    position = np.stack([np.outer(r, np.cos(a)), np.outer(r, np.sin(a))], axis=-1)
    density = np.exp(q.log_prob(torch.from_numpy(position)).numpy())
    return float((weight * density).sum()), (weight[..., None] * density[..., None] * position).sum((0, 1))


@pytest.mark.parametrize("loc, scale", CASES)
def test_the_density_integrates_to_one(loc: tuple[float, float], scale: tuple[float, float]) -> None:
    total, _ = integral(disc_normal(loc, scale), (0.0, RADIUS_M), (-math.pi, math.pi), 160)
    assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("loc, scale", CASES[:3])
def test_samples_follow_the_density(loc: tuple[float, float], scale: tuple[float, float], fits: Fits) -> None:
    q, count = disc_normal(loc, scale), 20_000
    wide = PlaceNormal(q.loc.expand(count, 2), q.scale.expand(count, 2), DISC)
    sample = wide.sample(torch.Generator().manual_seed(3)).numpy()
    rings, sectors = RADIUS_M * np.array([0.0, 0.3, 0.5, 0.7, 0.85, 1.0]), np.linspace(-math.pi, math.pi, 9)
    found, *_ = np.histogram2d(np.hypot(*sample.T), np.arctan2(sample[:, 1], sample[:, 0]), bins=(rings, sectors))
    expected = np.array(
        [[integral(q, (r, s), (a, b), 40)[0] for a, b in pairwise(sectors)] for r, s in pairwise(rings)]
    )
    assert found.sum() == count, "every sample lies on the disc"
    assert expected.sum() == pytest.approx(1.0, abs=1e-5)
    large = count * expected.ravel() > 10.0
    cells = np.append(found.ravel()[large], found.ravel()[~large].sum())
    shares = np.append(expected.ravel()[large], max(1.0 - expected.ravel()[large].sum(), 1e-4))
    fits(stats.chisquare(cells, shares / shares.sum() * count).pvalue, f"samples on the disc, loc {loc}")


def test_the_density_is_the_gaussians_times_the_jacobian_of_the_inverse() -> None:
    q = disc_normal((0.6, -0.4), (0.3, 0.9))
    for position in double([[0.01, 0.02], [-0.1, 0.05], [0.08, -0.11]]):
        jacobian = torch.autograd.functional.jacobian(DISC.unsquash, position)
        gaussian = stats.norm.logpdf(DISC.unsquash(position).numpy(), q.loc.numpy(), q.scale.numpy()).sum()
        expected = gaussian + math.log(abs(float(torch.linalg.det(jacobian))))
        assert float(q.log_prob(position)) == pytest.approx(expected, abs=1e-4)


def test_the_maps_invert_each_other() -> None:
    u = torch.randn((500, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(DISC.unsquash(DISC.squash(u)), u, atol=1e-9)
    single = u.float()
    assert torch.allclose(DISC.unsquash(DISC.squash(single)), single, rtol=1e-4, atol=1e-5)
    assert Disc(1.0).squash(double([1.0, 0.0])).numpy() == pytest.approx([math.sqrt(0.5), 0.0], abs=2e-6)


def test_samples_stay_inside_however_far_the_mean() -> None:
    loc = torch.tensor([[1e4, 0.0], [-3e3, 5e3], [0.0, 0.0]])
    q = PlaceNormal(loc, torch.full_like(loc, 2.0), DISC)
    sample = q.sample(torch.Generator().manual_seed(1))
    assert (sample.double().norm(dim=-1) < RADIUS_M).all()
    assert q.log_prob(sample).isfinite().all()
    assert not sample.requires_grad


def test_outside_the_disc_there_is_no_density_and_no_broken_gradient() -> None:
    loc = torch.zeros(4, 2, requires_grad=True)
    q = PlaceNormal(loc, torch.ones(4, 2), DISC)
    value = q.log_prob(torch.tensor([[0.15, 0.0], [0.2, 0.0], [-0.11, -0.11], [0.01, 0.0]]))
    assert value[:3].tolist() == [-math.inf] * 3
    value[3].backward()
    assert loc.grad is not None
    assert loc.grad.isfinite().all()


def test_a_bivariate_t_becomes_uniform(fits: Fits) -> None:
    """With density (1 / pi) (1 + |u|^2)^-2, a bivariate t of 2 degrees of freedom, u maps to the uniform disc."""
    t = stats.multivariate_t(shape=0.5 * np.eye(2), df=2, seed=4)
    assert t.pdf([0.7, -0.2]) == pytest.approx((1.53) ** -2 / math.pi)
    position = double([[0.01, 0.02], [-0.1, 0.05], [0.08, -0.11]])
    u = DISC.unsquash(position)
    q = disc_normal((0.0, 0.0), (1.0, 1.0))
    log_jacobian = stats.norm.logpdf(u.numpy()).sum(-1) - q.log_prob(position).numpy()
    uniform = -math.log(math.pi * RADIUS_M**2)
    assert np.log(t.pdf(u.numpy())) - log_jacobian == pytest.approx([uniform] * 3, abs=1e-4)
    x, y = DISC.squash(double(t.rvs(20_000))).numpy().T / RADIUS_M
    fits(stats.kstest(x**2 + y**2, "uniform").pvalue, "radius squared of the mapped t")
    fits(stats.kstest(np.arctan2(y, x) / (2 * math.pi) + 0.5, "uniform").pvalue, "angle of the mapped t")


def test_the_mode_of_a_narrow_posterior_is_its_peak() -> None:
    q = disc_normal((0.6, -0.4), (0.01, 0.02))
    peak = q.mode()
    around = peak + 1e-3 * RADIUS_M * double([[np.cos(a), np.sin(a)] for a in np.linspace(0, 6, 12)])
    _, mean = integral(q, (0.55 * RADIUS_M, 0.61 * RADIUS_M), (-0.7, -0.4), 200)
    assert peak.numpy() == pytest.approx(mean, abs=2e-4)
    assert float(q.log_prob(peak)) > float(q.log_prob(around + 3e-3 * RADIUS_M).max())


@pytest.mark.parametrize("loc, scale", CASES[:3])
def test_on_a_rectangle_the_density_integrates_to_one(loc: tuple[float, float], scale: tuple[float, float]) -> None:
    q = PlaceNormal(double(loc), double(scale), Rectangle(0.3, 0.1))
    x, w = np.polynomial.legendre.leggauss(200)
    position = np.stack(np.meshgrid(0.3 * x, 0.1 * x, indexing="ij"), -1)
    density = np.exp(q.log_prob(torch.from_numpy(position)).numpy())
    assert (np.outer(w, w) * density).sum() * 0.3 * 0.1 == pytest.approx(1.0, abs=1e-5)
    assert float(q.log_prob(double([0.29, 0.101]))) == -math.inf
