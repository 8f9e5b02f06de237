"""Patterns: shares in [0, 1], of period 1, of known means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from air3d.scene3d.patterns import PATTERNS, pattern

N = 400
Y, X = (np.mgrid[:N, :N] + 0.5) / N


@pytest.mark.parametrize("name", PATTERNS)
def test_a_share_of_period_one(name: str) -> None:
    here = pattern(name, X, Y, np.random.default_rng(1))
    there = pattern(name, X - 2.0, Y + 3.0, np.random.default_rng(1))
    assert here.shape == (N, N)
    assert here.min() >= 0.0 and here.max() <= 1.0
    assert np.allclose(here, there, atol=1e-9)


def test_means_are_those_of_geometry() -> None:
    means = {name: pattern(name, X, Y, np.random.default_rng(0)).mean() for name in PATTERNS}
    assert means["checker"] == means["stripes"] == 0.5
    assert means["waves"] == pytest.approx(0.5, abs=1e-3)
    assert means["dots"] == pytest.approx(math.pi * 0.3**2, abs=2e-3)


def test_noise_is_smooth_and_of_its_stream() -> None:
    first, same, other = (pattern("noise", X, Y, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.allclose(first, other)
    # The steepest value noise: a step of 1 over a lattice of 4, 8, 16 cells, weights 4/7, 2/7, 1/7, slope 3/2 in each.
    steepest = 1.5 * (4 * 4 + 8 * 2 + 16 * 1) / 7 / N
    assert np.abs(np.diff(first, axis=1)).max() <= steepest
    assert first.std() > 0.05
