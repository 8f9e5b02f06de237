"""The mixture of wrapped normals: against brute-force sums, quadrature and histograms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special, stats

from air3d.distributions.circle import MAX_SCALE, WrappedNormalMixture, flat_scale, sample_categorical, spread, wrap

Fits = Callable[[float, str], None]


def random_mixture(seed: int, batch: int, components: int) -> WrappedNormalMixture:
    rng = np.random.default_rng(seed)
    return WrappedNormalMixture(
        torch.from_numpy(rng.normal(0.0, 1.5, (batch, components))),
        torch.from_numpy(rng.uniform(-9.0, 9.0, (batch, components))),
        torch.from_numpy(rng.uniform(0.05, MAX_SCALE, (batch, components))),
    )


def brute_force(q: WrappedNormalMixture, angle: NDArray[Any]) -> NDArray[np.float64]:
    """Log-densities (batch, angles) by summing 81 wraps in float64."""
    turns = 2.0 * math.pi * np.arange(-40, 41)
    each = special.logsumexp(
        stats.norm.logpdf(
            angle[:, None, None] + turns, q.loc.numpy()[:, None, :, None], q.scale.numpy()[:, None, :, None]
        ),
        axis=-1,
    )
    return np.asarray(special.logsumexp(special.log_softmax(q.logits.numpy(), -1)[:, None] + each, axis=-1))


def at(q: WrappedNormalMixture, angle: NDArray[Any]) -> NDArray[np.float64]:
    """log_prob of every mixture (batch) at every angle."""
    wide = WrappedNormalMixture(*(part[:, None].expand(-1, len(angle), -1) for part in q))
    return wide.log_prob(torch.from_numpy(angle).expand(len(q.logits), -1)).numpy()


def test_the_density_integrates_to_one() -> None:
    # Equidistant points integrate smooth periodic functions with an exponentially small error.
    grid = np.arange(2000) * (2.0 * math.pi / 2000) - math.pi
    total = np.exp(at(random_mixture(0, 50, 5), grid)).sum(-1) * 2.0 * math.pi / 2000
    assert total == pytest.approx(np.ones(50), abs=1e-7)


def test_the_density_is_the_sum_over_all_wraps() -> None:
    q = random_mixture(1, 30, 4)
    angle = np.random.default_rng(2).uniform(-12.0, 12.0, 40)
    # The neglected wraps are at least 3 pi away.
    assert at(q, angle) == pytest.approx(brute_force(q, angle), abs=1e-5)
    single = WrappedNormalMixture(*(part.float() for part in q))
    in_single = WrappedNormalMixture(*(part[:, None].expand(-1, 40, -1) for part in single)).log_prob(
        torch.from_numpy(angle).float().expand(30, -1)
    )
    assert in_single.numpy() == pytest.approx(brute_force(q, angle), rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("components", [1, 6])
def test_samples_follow_the_density(components: int, fits: Fits) -> None:
    q, count, bins = random_mixture(3 + components, 1, components), 30_000, 40
    wide = WrappedNormalMixture(*(part.expand(count, -1) for part in q))
    sample = wide.sample(torch.Generator().manual_seed(0)).numpy()
    assert ((sample >= -math.pi) & (sample < math.pi)).all()
    found, _ = np.histogram(sample, bins, (-math.pi, math.pi))
    fine = (np.arange(bins * 50) + 0.5) * (2.0 * math.pi / (bins * 50)) - math.pi
    share = np.exp(at(q, fine))[0].reshape(bins, 50).sum(1)
    keep = share / share.sum() * count > 8.0
    cells = np.append(found[keep], found[~keep].sum())
    shares = np.append(share[keep], max(share[~keep].sum(), 1e-6 * share.sum()))
    fits(stats.chisquare(cells, shares / shares.sum() * count).pvalue, f"mixture of {components}")


def test_the_mode_is_close_to_the_peak() -> None:
    grid = np.arange(1000) * (2.0 * math.pi / 1000) - math.pi
    q = random_mixture(5, 300, 6)
    mode = q.mode()
    assert ((mode >= -math.pi) & (mode < math.pi)).all()
    ratio = np.exp(q.log_prob(mode).numpy() - at(q, grid).max(-1))
    # A centre is not quite the peak where components overlap; it is never far below.
    assert ratio.max() <= 1.0 + 3e-3, "the grid misses a peak by a little"
    assert ratio.min() > 0.75
    assert np.median(ratio) > 0.97
    lone = random_mixture(6, 50, 1)
    assert wrap(lone.mode() - lone.loc[:, 0]).numpy() == pytest.approx(np.zeros(50), abs=1e-12)


def test_the_mode_is_of_the_highest_density_not_the_highest_weight() -> None:
    q = WrappedNormalMixture(torch.tensor([0.3, 0.0]), torch.tensor([1.0, -2.0]), torch.tensor([0.7, 0.05]))
    assert float(q.mode()) == pytest.approx(-2.0)


def test_the_mean_direction_is_that_of_the_density() -> None:
    """By quadrature, as above."""
    q, grid = random_mixture(4, 20, 5), np.arange(2000) * (2.0 * math.pi / 2000) - math.pi
    density = np.exp(at(q, grid)) * 2.0 * math.pi / 2000
    expected = np.stack([density @ np.cos(grid), density @ np.sin(grid)], -1)
    assert q.mean_direction().numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("components", [1, 4, 8, 16])
def test_a_spread_mixture_is_flat(components: int) -> None:
    """Components no wider than their spacing: to a hundredth from 8 on; scales are bounded whatever comes out."""
    raw = torch.zeros(components)
    flat = WrappedNormalMixture(torch.zeros(components), spread(components), flat_scale(raw, 0.01))
    if components >= 8:
        density = at(WrappedNormalMixture(*(part[None] for part in flat)), np.linspace(-3.0, 3.0, 50))
        assert np.exp(density) * 2.0 * math.pi == pytest.approx(np.ones((1, 50)), abs=0.01)
    for far, bound in ((-100.0, 0.01), (100.0, MAX_SCALE)):
        assert flat_scale(raw + far, 0.01).numpy() == pytest.approx(np.full(components, bound), abs=1e-5)


def test_no_gradient_through_samples_but_through_the_density() -> None:
    parts = [part.clone().requires_grad_() for part in random_mixture(7, 3, 4)]
    q = WrappedNormalMixture(*parts)
    sample = q.sample(torch.Generator().manual_seed(0))
    assert not sample.requires_grad
    q.log_prob(sample).sum().backward()
    assert all(part.grad is not None and part.grad.abs().min() > 0 for part in parts)


def test_the_density_is_differentiated_rightly() -> None:
    q = random_mixture(8, 3, 4)
    angle = torch.tensor([0.3, -3.1, 3.0], dtype=torch.float64)
    parts = tuple(part.clone().requires_grad_() for part in q)
    assert torch.autograd.gradcheck(lambda *p: WrappedNormalMixture(*p).log_prob(angle), parts)


def test_sample_categorical(fits: Fits) -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 3.0, -200.0])
    sample = sample_categorical(logits.expand(50_000, 5), torch.Generator().manual_seed(0))
    assert sample.shape == (50_000,)
    assert sample.dtype == torch.int64
    found = torch.bincount(sample, minlength=5).numpy()
    assert found[4] == 0
    share = special.softmax([0.0, 1.0, -1.0, 3.0])
    fits(stats.chisquare(found[:4], share * 50_000).pvalue, "categorical samples")
    again = sample_categorical(logits.expand(50_000, 5), torch.Generator().manual_seed(0))
    assert torch.equal(sample, again)


def test_wrap() -> None:
    angle = torch.tensor([0.0, math.pi, -math.pi, 3.5, -3.5, 100.0], dtype=torch.float64)
    wrapped = wrap(angle).numpy()
    assert ((wrapped >= -math.pi) & (wrapped < math.pi)).all()
    assert np.exp(1j * wrapped) == pytest.approx(np.exp(1j * angle.numpy()), abs=1e-12)
    assert wrapped[3] == pytest.approx(3.5 - 2.0 * math.pi)
