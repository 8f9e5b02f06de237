"""Calibration: exact where the truth is one draw among others, by hand, and for posteriors known in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from air3d.evaluation.calibration import (
    disc_calibration,
    effective_draws,
    label_calibration,
    label_probabilities,
    least_coverage,
    pit,
    refusal,
    reliability,
    scalar_calibration,
    share_within,
)
from air3d.scene3d.errors import InputError

Fits = Any
Floats = NDArray[np.float64]


def each_in_turn(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Every one of (R, K + 1, ...) values is the truth once: draws (R (K + 1), K, ...), weights, truth."""
    count = values.shape[1]
    draws = np.concatenate([np.delete(values, i, axis=1) for i in range(count)])
    truth = np.concatenate([values[:, i] for i in range(count)])
    return draws, np.ones(draws.shape[:2]), truth


@pytest.mark.parametrize("draws", [1, 3, 16])
@pytest.mark.parametrize("period", [None, 2.0 * math.pi, 1.0])
def test_exchangeable_scalars_are_calibrated_exactly(draws: int, period: float | None) -> None:
    values = np.random.default_rng(draws).normal(scale=2.0, size=(5, draws + 1))
    found = scalar_calibration(*each_in_turn(values), period)
    assert found["images"] == 5 * (draws + 1)
    assert found["coverage"] == {level: pytest.approx(float(level)) for level in ("0.5", "0.8", "0.9")}
    assert found["pit_histogram"] == pytest.approx([0.1] * 10)


@pytest.mark.parametrize("draws", [1, 3, 16])
def test_exchangeable_places_are_calibrated_exactly(draws: int) -> None:
    values = np.random.default_rng(draws).normal(size=(5, draws + 1, 2)) * [1.0, 4.0] + [7.0, -3.0]
    found = disc_calibration(*each_in_turn(values))
    assert found["coverage"] == {level: pytest.approx(float(level)) for level in ("0.5", "0.8", "0.9")}
    assert found["pit_histogram"] == pytest.approx([0.1] * 10)


def test_pit_by_hand() -> None:
    draws, even = np.array([[4.0, 1.0, 3.0, 2.0]]), np.ones((1, 4))
    assert pit(draws, even, np.array([2.5])) == pytest.approx(np.array([[0.4, 0.6]]))
    assert pit(draws, even, np.array([0.0])) == pytest.approx(np.array([[0.0, 0.2]]))
    assert pit(draws, 7.0 * even, np.array([9.0])) == pytest.approx(np.array([[0.8, 1.0]])), "weights need no norm"
    assert pit(draws, even, np.array([3.0])) == pytest.approx(np.array([[0.4, 0.8]])), "a tie widens it"
    assert pit(0.0 * draws, even, np.array([0.0])) == pytest.approx(np.array([[0.0, 1.0]])), "a constant tells nothing"
    weights = np.array([[0.5, 0.0, 0.5, 0.0]])
    assert pit(draws, weights, np.array([3.5])) == pytest.approx(np.array([[1 / 3, 2 / 3]])), "two draws count"
    weights = np.array([[0.0, 0.6, 0.0, 0.2]])  # 3/4 and 1/4: worth 1 / (10 / 16) = 1.6 draws
    assert pit(draws, weights, np.array([1.5])) == pytest.approx(np.array([[1.2 / 2.6, 2.2 / 2.6]]))


def test_share_within_by_hand() -> None:
    intervals = np.array([[0.0, 0.2], [0.5, 1.0]])
    assert share_within(intervals, 0.1, 0.6) == pytest.approx((0.5 + 0.2) / 2)
    assert share_within(intervals, 0.2, 0.5) == 0.0
    assert share_within(intervals, 0.0, 1.0) == 1.0


@given(st.floats(-100.0, 100.0), st.floats(0.5, 10.0), st.integers(0, 5))
def test_a_circle_has_no_origin(shift: float, period: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws, weights, truth = rng.normal(0.0, 0.1 * period, (3, 8)), rng.random((3, 8)), rng.normal(0.0, 0.1 * period, 3)
    turned = pit((draws + shift) % period, weights, (truth + shift) % period, period)
    assert turned == pytest.approx(pit(draws, weights, truth, period))
    assert turned == pytest.approx(pit(draws, weights, truth)), "half of the circle suffices: nothing wraps"


def test_a_posterior_known_in_closed_form(fits: Fits) -> None:
    """x ~ N(z, 1), z ~ N(0, 1): the posterior is N(x / 2, 1 / 2); importance draws come from the prior."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=3000)
    seen = truth + rng.normal(size=3000)
    draws = rng.normal(size=(3000, 400))
    weights = stats.norm.pdf(seen[:, None], draws, 1.0)
    interval = pit(draws, weights, truth)
    within = rng.uniform(interval[:, 0], interval[:, 1])
    fits(stats.kstest(within, "uniform").pvalue, "PIT of an exact posterior")
    covered = scalar_calibration(draws, weights, truth)["coverage"]
    for level in ("0.5", "0.9"):
        fits(stats.binomtest(round(3000 * covered[level]), 3000, float(level)).pvalue, f"coverage at {level}")


def test_weighted_draws_worth_two_would_cover_whatever_the_posterior_and_are_refused(fits: Fits) -> None:
    """x ~ N(z, 1), z ~ N(0, 1): the exact posterior N(x / 2, 1 / 2), and one that is off by three of its widths.

    Its own draws tell them apart. Under weights that leave two of sixteen draws both seem nearly calibrated.
    """
    rng, count, wide = np.random.default_rng(3), 3000, math.sqrt(0.5)
    truth = rng.normal(size=count)
    seen = truth + rng.normal(size=count)
    exact = 0.5 * seen[:, None] + wide * rng.normal(size=(count, 16))
    wrong = exact + 3.0 * wide
    for level in (0.5, 0.9):
        covered = scalar_calibration(exact, None, truth)["coverage"][f"{level:g}"]
        fits(stats.binomtest(round(count * covered), count, level).pvalue, f"the exact posterior at {level}")
        # 16 draws resolve 17 ranks: beyond all of them, the 90 % region still holds 17 (0.95 - 16 / 17) of the mass.
        least = 17.0 * max(0.5 + level / 2.0 - 16.0 / 17.0, 0.0)
        assert least_coverage(16, level) == pytest.approx(least)
        region = stats.norm.ppf(0.5 + level / 2.0)
        expected = stats.norm.cdf(region - 3.0) - stats.norm.cdf(-region - 3.0)
        covered = scalar_calibration(wrong, None, truth)["coverage"][f"{level:g}"]
        assert least <= covered < least + expected + 0.05
    weights = np.exp(3.0 * rng.normal(size=exact.shape))
    assert 1.5 < np.median(effective_draws(weights)) < 2.5
    for draws in (exact, wrong):
        interval = pit(draws, weights, truth)
        assert 0.2 < share_within(interval, 0.25, 0.75) < 0.6, "a wrong posterior too: 1 % of it would be right"
        assert 0.7 < share_within(interval, 0.05, 0.95) < 0.95
        places = np.stack([draws, draws], axis=-1)
        for found in (
            scalar_calibration(draws, weights, truth),
            disc_calibration(places, weights, np.stack([truth, truth], axis=-1)),
        ):
            assert found["images"] == count
            assert found["coverage"] == dict.fromkeys(("0.5", "0.8", "0.9"))
            assert found["pit_histogram"] == [None] * 10
            assert f"worth {np.median(effective_draws(weights)):.1f} " in found["refused"]


def test_one_draw_with_all_the_weight_is_not_taken_for_an_equal_one() -> None:
    weights = np.zeros((5, 8))
    weights[np.arange(5), [0, 1, 2, 3, 3]] = 1.0
    assert "worth 1.0" in (refusal(weights) or "")
    assert refusal(np.ones((5, 8))) is None, "equal ones are exact, however few"
    assert refusal(None) is None


@given(st.integers(1, 60), st.integers(0, 10), st.floats(0.0, 3.0))
def test_weights_are_refused_below_twenty_effective_draws(draws: int, seed: int, spread: float) -> None:
    weights = np.exp(spread * np.random.default_rng(seed).normal(size=(7, draws)))
    worth = weights.sum(1) ** 2 / (weights**2).sum(1)
    assert effective_draws(weights) == pytest.approx(worth)
    assert (refusal(weights) is None) == bool(np.ptp(weights, axis=1).max() == 0.0 or np.median(worth) >= 20.0)


def test_places_that_only_some_draws_hold() -> None:
    """Of four draws two hold the object; the others say nothing of its place."""
    draws = np.array([[[0.0, 0.0], [9.0, 9.0], [0.001, 0.0], [9.0, 9.0]]])
    found = disc_calibration(draws, None, np.array([[5.0, 0.0]]), held=np.array([[True, False, True, False]]))
    assert found == disc_calibration(draws[:, ::2], None, np.array([[5.0, 0.0]]))
    assert found["coverage"]["0.5"] == 0.0, "the truth is the farthest of three from their mean: PIT in [2/3, 1]"


@pytest.mark.parametrize("sure", [0.5, 2.0])
def test_a_posterior_too_narrow_or_too_wide_is_told(sure: float, fits: Fits) -> None:
    """The truth is N(0, 1), the posterior N(0, sure^2): coverage is P(|z| < sure * quantile)."""
    rng = np.random.default_rng(1)
    truth, draws = rng.normal(size=4000), sure * rng.normal(size=(4000, 500))
    covered = scalar_calibration(draws, np.ones_like(draws), truth)["coverage"]
    place, places = rng.normal(size=(4000, 2)), sure * rng.normal(size=(4000, 500, 2))
    discs = disc_calibration(places, np.ones_like(draws), place)["coverage"]
    for level in (0.5, 0.9):
        expected = 2.0 * stats.norm.cdf(sure * stats.norm.ppf(0.5 + level / 2.0)) - 1.0
        fits(stats.binomtest(round(4000 * covered[f"{level:g}"]), 4000, expected).pvalue, f"intervals at {level}")
        expected = stats.rayleigh.cdf(sure * stats.rayleigh.ppf(level))
        fits(stats.binomtest(round(4000 * discs[f"{level:g}"]), 4000, expected).pvalue, f"discs at {level}")


def test_bias_leans_the_histogram() -> None:
    draws = np.random.default_rng(2).normal(size=(50, 99))
    low = scalar_calibration(draws, np.ones_like(draws), np.full(50, -10.0))
    assert low["pit_histogram"] == pytest.approx([1.0] + [0.0] * 9)
    assert low["coverage"] == dict.fromkeys(("0.5", "0.8", "0.9"), 0.0)
    few = scalar_calibration(draws[:, :3], None, np.full(50, -10.0))["coverage"]
    assert few == {f"{level:g}": pytest.approx(least_coverage(3, level)) for level in (0.5, 0.8, 0.9)}
    high = scalar_calibration(draws, np.ones_like(draws), np.full(50, 10.0))
    assert high["pit_histogram"] == pytest.approx([0.0] * 9 + [1.0])


def test_label_probabilities_by_hand() -> None:
    labels, weights = np.array([[0, 2, 2, 1], [3, 3, 3, 3]]), np.array([[1.0, 2.0, 3.0, 2.0], [0.0, 0.0, 5.0, 0.0]])
    expected = np.array([[1 / 8, 2 / 8, 5 / 8, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert label_probabilities(labels, weights, 4) == pytest.approx(expected)


def test_expected_calibration_error_by_hand() -> None:
    confidence = np.array([0.55, 0.59, 0.95, 1.0, 0.93, 0.98])
    right = np.array([True, False, True, True, True, False])
    found = reliability(confidence, right)
    first, second = found["bins"]
    assert (first["from"], first["to"], first["images"], first["accuracy"]) == (0.5, 0.6, 2, 0.5)
    assert first["confidence"] == pytest.approx(0.57)
    assert (second["from"], second["to"], second["images"], second["accuracy"]) == (0.9, 1.0, 4, 0.75)
    assert second["confidence"] == pytest.approx(0.965)
    assert found["expected_calibration_error"] == pytest.approx((2 * 0.07 + 4 * 0.215) / 6)
    coarse = reliability(confidence, right, 1)
    assert coarse["expected_calibration_error"] == pytest.approx(abs(confidence.mean() - right.mean()))


def test_the_most_probable_label_is_judged() -> None:
    probability = np.array([[0.2, 0.8, 0.0], [0.6, 0.3, 0.1], [0.0, 0.1, 0.9]])
    found = label_calibration(probability, np.array([1, 2, 2]))
    assert [(row["images"], row["confidence"], row["accuracy"]) for row in found["bins"]] == [
        (1, 0.6, 0.0),
        (1, 0.8, 1.0),
        (1, 0.9, 1.0),
    ]
    assert found["expected_calibration_error"] == pytest.approx((0.6 + 0.2 + 0.1) / 3)


def test_nothing_to_measure_is_none() -> None:
    nothing = np.zeros((0, 4))
    assert reliability(nothing[:, 0], nothing[:, 0] > 0) == {"expected_calibration_error": None, "bins": []}
    found = scalar_calibration(nothing, nothing, nothing[:, 0])
    assert found == {"images": 0, "coverage": dict.fromkeys(("0.5", "0.8", "0.9")), "pit_histogram": [None] * 10}


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -0.1], [1.0, math.nan], [math.inf, 1.0]])
def test_unusable_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(InputError, match="finite, not negative, and not all zero"):
        pit(np.zeros((1, 2)), np.array([weights]), np.zeros(1))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"weights have shape \(1, 3\)"):
        pit(np.zeros((1, 2)), np.ones((1, 3)), np.zeros(1))
    with pytest.raises(InputError, match=r"truth has shape \(2,\)"):
        pit(np.zeros((1, 2)), np.ones((1, 2)), np.zeros(2))
