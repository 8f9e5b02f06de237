"""Diagonal Gaussians against torch's and scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch.distributions import Independent, Normal, kl_divergence

from air3d.distributions.gaussian import DiagonalNormal, NormalMixture

GENERATOR = torch.Generator().manual_seed(1)


def pair(batch=(4, 3), size=5):
    draw = [torch.randn(*batch, size, generator=GENERATOR, dtype=torch.float64) for _ in range(4)]
    return DiagonalNormal(draw[0], draw[1].exp()), DiagonalNormal(draw[2], draw[3].exp())


def test_kl_is_the_closed_form():
    q, p = pair()
    expected = kl_divergence(Independent(Normal(*q), 1), Independent(Normal(*p), 1))
    assert torch.allclose(q.kl(p), expected)
    assert torch.allclose(q.kl(q), torch.zeros(4, 3, dtype=torch.float64))
    # N(1, 1) against N(0, 2): log 2 + (1 + 1) / 8 - 1/2.
    q, p = (DiagonalNormal(torch.tensor([m]), torch.tensor([s])) for m, s in ((1.0, 1.0), (0.0, 2.0)))
    assert abs(float(q.kl(p)) - (math.log(2) + 0.25 - 0.5)) < 1e-6


def test_a_prior_may_be_shorter():
    q, _ = pair()
    standard = DiagonalNormal(torch.zeros(1).double(), torch.ones(1).double())
    whole = DiagonalNormal(torch.zeros(5).double(), torch.ones(5).double())
    assert torch.allclose(q.kl(standard), q.kl(whole))


def test_log_prob_is_scipys():
    q, _ = pair(batch=(6,))
    value = torch.randn(6, 5, generator=GENERATOR, dtype=torch.float64)
    expected = stats.norm.logpdf(value, *(part.numpy() for part in q)).sum(-1)
    assert np.allclose(q.log_prob(value), expected)


def test_samples_follow_and_carry_gradients(fits):
    loc, scale = torch.tensor([1.0, -2.0]).requires_grad_(), torch.tensor([0.5, 3.0]).requires_grad_()
    drawn = DiagonalNormal(loc.expand(5000, 2), scale.expand(5000, 2)).rsample(torch.Generator().manual_seed(4))
    for d, (m, s) in enumerate(((1.0, 0.5), (-2.0, 3.0))):
        fits(stats.kstest(drawn[:, d].detach().double(), stats.norm(m, s).cdf).pvalue, f"component {d}")
    drawn.sum().backward()
    assert torch.equal(loc.grad, torch.full((2,), 5000.0))
    expected = ((drawn.detach() - loc.detach()) / scale.detach()).sum(0)
    assert torch.allclose(scale.grad, expected, rtol=1e-3)


def test_the_entropy_term_agrees_with_sampling():
    """KL(q || p) = E_q[log q - log p], by a million draws."""
    q, p = pair(batch=(1,), size=2)
    many = DiagonalNormal(q.loc.expand(10**6, 2), q.scale.expand(10**6, 2))
    z = many.rsample(torch.Generator().manual_seed(3))
    difference = many.log_prob(z) - p.log_prob(z)
    error = float(difference.std()) / 1000
    assert abs(float(difference.mean() - q.kl(p)[0])) < 6 * error


def test_a_mixture_on_the_line_has_the_density_that_it_is_drawn_from(fits):
    mixture = NormalMixture(
        torch.tensor([[0.3, -1.0, 0.5]]).double(),
        torch.tensor([[0.0, 2.0, -1.5]]).double(),
        torch.tensor([[0.5, 0.1, 1.0]]).double(),
    )
    weight = special.softmax([0.3, -1.0, 0.5])
    at = np.linspace(-4.0, 3.0, 41)
    parts = zip(weight, (0.0, 2.0, -1.5), (0.5, 0.1, 1.0), strict=True)
    expected = sum(w * stats.norm(m, s).pdf(at) for w, m, s in parts)
    assert mixture.log_prob(torch.from_numpy(at)[:, None])[:, 0].exp().numpy() == pytest.approx(expected, rel=1e-6)
    many = NormalMixture(*(part.expand(20_000, 3) for part in mixture))
    drawn = many.sample(torch.Generator().manual_seed(0)).numpy()

    def cumulative(x):
        parts = zip(weight, (0.0, 2.0, -1.5), (0.5, 0.1, 1.0), strict=True)
        return sum(w * stats.norm(m, s).cdf(x) for w, m, s in parts)

    fits(stats.kstest(drawn, cumulative).pvalue, "draws of a mixture on the line")


def test_the_mode_of_a_mixture_is_its_highest_mean_and_a_blur_forgets_what_is_sharp_and_rare():
    mixture = NormalMixture(torch.tensor([0.9, 0.1]).log(), torch.tensor([0.0, 1.0]), torch.tensor([0.3, 0.01]))
    assert float(mixture.mode()) == 1.0 and float(mixture.mode(0.2)) == 0.0
