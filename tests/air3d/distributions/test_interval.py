"""The Gaussian on an interval: its density against quadrature and the change of variables, its samples against both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special, stats

from air3d.distributions.interval import LogitNormal

Fits = Callable[[float, str], None]

CASES = [(0.0, 1.7), (0.0, 0.002), (2.5, 0.4), (-4.0, 1.0), (6.0, 0.3)]


def double(values: object) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("loc, scale", CASES)
def test_the_density_integrates_to_one(loc: float, scale: float) -> None:
    """Gauss-Legendre over the part of the interval that holds all but 1e-15 of the Gaussian, or all of it."""
    x, weight = np.polynomial.legendre.leggauss(200)
    low, high = (float(special.expit(loc + side * 8.0 * scale)) for side in (-1.0, 1.0))
    value = low + (high - low) * (x + 1.0) / 2.0
    density = LogitNormal(double(loc), double(scale)).log_prob(torch.from_numpy(value)).exp().numpy()
    assert (weight * density).sum() * (high - low) / 2.0 == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("loc, scale", CASES)
def test_the_density_is_the_change_of_variables_from_scipys_normal(loc: float, scale: float) -> None:
    """p(v) = N(logit v) / (v (1 - v))."""
    value = special.expit(loc + scale * np.linspace(-2.5, 2.5, 11))
    expected = stats.norm.logpdf(special.logit(value), loc, scale) - np.log(value * (1.0 - value))
    found = LogitNormal(double(loc), double(scale)).log_prob(torch.from_numpy(value)).numpy()
    assert found == pytest.approx(expected, abs=1e-8)
    single = LogitNormal(torch.tensor(loc), torch.tensor(scale)).log_prob(torch.from_numpy(value).float()).numpy()
    assert single == pytest.approx(expected, abs=0.02)


def test_samples_follow_the_density(fits: Fits) -> None:
    """Samples of all cases, through the distribution function of the logit-normal, are uniform."""
    count = 4000
    loc, scale = (torch.tensor(column).repeat_interleave(count) for column in zip(*CASES, strict=True))
    sample = LogitNormal(loc, scale).sample(torch.Generator().manual_seed(3))
    assert ((sample > 0.0) & (sample < 1.0)).all()
    assert not sample.requires_grad
    keep = (scale > 0.1).numpy()  # float32 has too few values within the narrowest for a test of uniformity
    logit = special.logit(sample.double().numpy())
    uniform = stats.norm.cdf(logit, loc.numpy(), scale.numpy())[keep]
    fits(stats.kstest(uniform, "uniform").pvalue, "samples of the logit-normal")
    narrow = logit[~keep]
    assert narrow.std() == pytest.approx(0.002, rel=0.06), "five standard errors of a standard deviation"


def test_a_gaussian_of_1_7_is_nearly_uniform() -> None:
    """The logistic distribution maps to the uniform; a normal of scale 1.7 differs from it by less than 0.01."""
    value = np.linspace(0.001, 0.999, 999)
    share = stats.norm.cdf(special.logit(value), 0.0, 1.7)
    assert np.abs(share - value).max() < 0.012
    density = LogitNormal(double(0.0), double(1.7)).log_prob(torch.from_numpy(value[100:-100])).exp().numpy()
    assert density == pytest.approx(np.ones_like(density), abs=0.2)


def test_the_mode_of_a_narrow_posterior_is_its_peak() -> None:
    q = LogitNormal(double([1.3, -2.0]), double([0.01, 0.02]))
    grid = torch.linspace(0.0, 1.0, 200_001, dtype=torch.float64)[:, None]
    assert q.mode().numpy() == pytest.approx(grid[q.log_prob(grid).argmax(0), 0].numpy(), abs=2e-4)


def test_the_ends_have_a_finite_density_and_gradient() -> None:
    loc, scale = torch.zeros(4, requires_grad=True), torch.full((4,), 0.5, requires_grad=True)
    q = LogitNormal(loc, scale)
    value = q.log_prob(torch.tensor([0.0, 1.0, 1e-9, 0.3]))
    value.sum().backward()
    assert value.isfinite().all()
    assert loc.grad is not None and loc.grad.isfinite().all()
    assert float(loc.grad[0]) == pytest.approx(float(-loc.grad[1]), rel=0.01)
    far = LogitNormal(torch.tensor([1e4, -1e4]), torch.ones(2)).sample(torch.Generator().manual_seed(0))
    assert ((far > 0.0) & (far < 1.0)).all()


def test_no_properties_at_all() -> None:
    """A prior that leaves nothing open has an empty posterior, whose log-density is 0."""
    q = LogitNormal(torch.zeros(3, 0), torch.ones(3, 0))
    sample = q.sample(torch.Generator().manual_seed(0))
    assert sample.shape == (3, 0)
    assert q.log_prob(sample).sum(-1).tolist() == [0.0] * 3


def test_the_density_is_differentiated_rightly() -> None:
    loc, scale = double([0.5, -1.0]).requires_grad_(), double([0.3, 1.2]).requires_grad_()
    value = double([0.7, 0.1])
    assert torch.autograd.gradcheck(lambda m, s: LogitNormal(m, s).log_prob(value), (loc, scale))
