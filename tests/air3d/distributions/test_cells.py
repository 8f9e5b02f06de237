"""The mixture over the cells of an image: against SciPy, quadrature and histograms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special, stats

from air3d.distributions.cells import CellMixture

Fits = Callable[[float, str], None]


def mixture(seed: int, batch: int, components: int, low: float = 0.3, high: float = 3.0) -> CellMixture:
    rng = np.random.default_rng(seed)
    return CellMixture(
        torch.from_numpy(rng.normal(0.0, 1.5, (batch, components))),
        torch.from_numpy(rng.uniform(2.0, 14.0, (batch, components, 2))),
        torch.from_numpy(rng.uniform(low, high, (batch, components, 2))),
    )


def by_scipy(q: CellMixture, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-densities (B, K) at (B, K, 2)."""
    each = stats.norm.logpdf(pixel[:, :, None], q.loc.numpy()[:, None], q.scale.numpy()[:, None]).sum(-1)
    return np.asarray(special.logsumexp(special.log_softmax(q.logits.numpy(), -1)[:, None] + each, axis=-1))


def test_the_density_is_scipys() -> None:
    q = mixture(0, 3, 7)
    pixel = np.random.default_rng(1).uniform(-5.0, 20.0, (3, 40, 2))
    assert q.log_prob(torch.from_numpy(pixel)).numpy() == pytest.approx(by_scipy(q, pixel), abs=1e-9)
    shifted = q._replace(logits=q.logits + 5.0)
    assert torch.allclose(shifted.log_prob(torch.from_numpy(pixel)), q.log_prob(torch.from_numpy(pixel)))


def test_the_density_integrates_to_one() -> None:
    """The trapezoidal rule on the plane: for Gaussians wider than the step its error is exponentially small."""
    q = mixture(2, 4, 5)
    step = 0.3
    axis = np.arange(-24.0, 40.0, step)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(1, -1, 2).repeat(4, 0)
    total = q.log_prob(torch.from_numpy(grid)).exp().sum(-1).numpy() * step**2
    assert total == pytest.approx(np.ones(4), abs=1e-4)


def test_samples_follow_the_density(fits: Fits) -> None:
    """Chi-square on the squares of a grid, whose shares are differences of normal distribution functions."""
    q, count = mixture(3, 2, 4), 15_000
    sample = q.sample(count, torch.Generator().manual_seed(0))
    assert sample.shape == (2, count, 2) and not sample.requires_grad
    edges = np.concatenate([[-np.inf], np.linspace(0.0, 16.0, 9), [np.inf]])
    p_values = []
    for b in range(2):
        weight = special.softmax(q.logits[b].numpy())
        cdf = stats.norm.cdf(edges[:, None, None], q.loc[b].numpy(), q.scale[b].numpy())  # (edges, M, 2)
        share = np.diff(cdf, axis=0)
        expected = np.einsum("m,cm,rm->cr", weight, share[..., 0], share[..., 1]).ravel()
        found, *_ = np.histogram2d(*sample[b].numpy().T, bins=(edges, edges))
        large = expected * count > 8.0
        cells = np.append(found.ravel()[large], found.ravel()[~large].sum())
        shares = np.append(expected[large], max(expected[~large].sum(), 1e-6))
        p_values.append(stats.chisquare(cells, shares / shares.sum() * count).pvalue)
    fits(2.0 * min(p_values), "samples over the cells")


def test_the_mean_is_that_of_the_density() -> None:
    """By the trapezoidal rule, as above."""
    q, step = mixture(2, 4, 5), 0.3
    axis = np.arange(-24.0, 40.0, step)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    density = q.log_prob(torch.from_numpy(grid)[None].expand(4, -1, -1)).exp().numpy() * step**2
    assert q.mean().numpy() == pytest.approx(density @ grid, abs=1e-3)


def test_no_gradient_through_samples_but_through_the_density() -> None:
    parts = [part.clone().requires_grad_() for part in mixture(4, 2, 3)]
    q = CellMixture(*parts)
    sample = q.sample(5, torch.Generator().manual_seed(0))
    assert not sample.requires_grad
    assert torch.autograd.gradcheck(lambda *p: CellMixture(*p).log_prob(sample), tuple(parts))


def test_the_mode_is_of_the_highest_density_not_the_highest_weight() -> None:
    loc = torch.tensor([[[3.0, 4.0], [10.0, 11.0], [12.0, 2.0]]])
    scale = torch.tensor([[[2.0, 2.0], [0.1, 0.2], [1.0, 1.0]]])
    q = CellMixture(torch.tensor([[1.0, 0.0, 0.5]]), loc, scale)
    assert q.mode().tolist() == [[10.0, 11.0]]
    alike = q._replace(scale=torch.ones_like(scale))
    assert alike.mode().tolist() == [[3.0, 4.0]]


def test_the_mode_is_close_to_the_peak_where_components_stand_apart() -> None:
    q = mixture(5, 20, 4, 0.1, 0.4)
    axis = np.arange(0.0, 16.0, 0.2)
    grid = torch.from_numpy(np.stack(np.meshgrid(axis, axis), -1).reshape(1, -1, 2)).expand(20, -1, -1)
    ratio = (q.log_prob(q.mode()[:, None])[:, 0] - q.log_prob(grid).amax(-1)).exp().numpy()
    assert np.median(ratio) > 0.95, "the mode beats the grid, or nearly"
    assert ratio.min() > 0.7


def test_a_cell_that_is_ruled_out_is_not_drawn() -> None:
    logits = torch.full((1, 16), -30.0)
    logits[0, 5] = 0.0
    loc = 100.0 * torch.arange(16.0)[None, :, None].expand(1, 16, 2)
    sample = CellMixture(logits, loc, torch.ones(1, 16, 2)).sample(2000, torch.Generator().manual_seed(1))
    assert ((sample - 500.0).abs() < 20.0).all()
