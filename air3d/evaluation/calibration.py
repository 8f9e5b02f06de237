"""Tells whether a posterior is as sure as it should be, from arrays: probabilities or draws of B images, and the truth.

If draws come from the true posterior, the truth is one draw more among them, and every rank is equally likely (Talts
et al., "Validating Bayesian Inference Algorithms with Simulation-Based Calibration", arXiv 1804.06788). K draws leave
the truth's probability integral transform (PIT) undecided within 1 / (K + 1), so it is an interval, over which the
image's mass is spread evenly (Czado, Gneiting, Held, "Predictive Model Assessment for Count Data", Biometrics 2009,
section 3.1). Coverage and histogram are then exact for every number of equally weighted draws.

Weighted draws count as 1 / sum of squared weights, their effective number (Kong 1992). Where that is near 1, the truth
is one of two draws, and every posterior covers it about as often as it should, a wrong one too. So coverage is refused
where weighted draws are worth less than `LEAST_EFFECTIVE`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.errors import InputError

Floats = NDArray[np.float64]

Bools = NDArray[np.bool_]

LEVELS = (0.5, 0.8, 0.9)
# Weighted draws that are worth fewer (median over images) are not asked what they cover.
LEAST_EFFECTIVE = 20.0


def effective_draws(weights: Floats) -> Floats:
    """(B,): how many equally weighted draws the weighted ones are worth, (sum w)^2 / sum w^2: from 1 to K.

    Args:
        weights: (B, K), not negative, not all zero for an image; rows need not sum to 1.
    """
    return np.asarray(1.0 / np.square(_normalised(weights, weights.shape)).sum(axis=1))


def refusal(weights: Floats | None) -> str | None:
    """Say in a sentence why coverage cannot be measured by draws of these weights (B, K); None if it can.

    Equal weights (and None, which stands for them) are always good: coverage is exact then for every K.
    """
    if weights is None or not len(weights) or not np.ptp(weights, axis=1).any():
        return None
    worth = float(np.median(effective_draws(weights)))
    if worth >= LEAST_EFFECTIVE:
        return None
    return (
        f"{weights.shape[1]} weighted draws are worth {worth:.1f} equally weighted ones (median over images); below "
        f"{LEAST_EFFECTIVE:g} their coverage is near its nominal value whatever the posterior, so it is not measured."
    )


def least_coverage(draws: int, level: float) -> float:
    """The share that the central interval of a posterior which is always wrong still seems to cover.

    The truth then lies beyond all draws, yet counts as one of draws + 1 equally likely ranks.
    """
    return max((draws + 1) * (0.5 + level / 2.0) - draws, 0.0)


def refused_region(images: int, reason: str, bins: int = 10) -> dict[str, Any]:
    """Make the entry for a coverage that was refused: its keys with None, and the reason under "refused"."""
    nothing = {f"{level:g}": None for level in LEVELS}
    return {"images": images, "coverage": nothing, "pit_histogram": [None] * bins, "refused": reason}


def label_probabilities(labels: NDArray[np.int64], weights: Floats, size: int) -> Floats:
    """Posterior probabilities (B, size) of labels 0 to size - 1, such as counts, from draws.

    Args:
        labels: (B, K), each below `size`.
        weights: (B, K), not negative; rows need not sum to 1.
    """
    probability = np.zeros((len(labels), size))
    np.add.at(probability, (np.arange(len(labels))[:, None], labels), _normalised(weights, labels.shape))
    return probability


def label_calibration(probability: Floats, truth: NDArray[np.int64], bins: int = 10) -> dict[str, Any]:
    """Reliability of the most probable label.

    Args:
        probability: (B, L), rows sum to 1.
        truth: (B,) labels.
    """
    return reliability(probability.max(axis=1), probability.argmax(axis=1) == truth, bins)


def reliability(confidence: Floats, right: NDArray[np.bool_], bins: int = 10) -> dict[str, Any]:
    """Expected calibration error, and the table behind it: JSON values, empty bins left out.

    The error is the mean over images of the gap between confidence and accuracy of the image's bin; bins are equally
    wide (Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599).

    Args:
        confidence: (B,) in [0, 1], the probability that an answer is right.
        right: (B,), whether it is.
    """
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    table = [
        {
            "from": i / bins,
            "to": (i + 1) / bins,
            "images": int((index == i).sum()),
            "confidence": float(confidence[index == i].mean()),
            "accuracy": float(right[index == i].mean()),
        }
        for i in np.unique(index).tolist()
    ]
    gaps = [row["images"] * abs(row["confidence"] - row["accuracy"]) for row in table]
    return {"expected_calibration_error": sum(gaps) / len(index) if len(index) else None, "bins": table}


def scalar_calibration(
    draws: Floats, weights: Floats | None, truth: Floats, period: float | None = None, bins: int = 10
) -> dict[str, Any]:
    """Coverage of central credible intervals, and the histogram of the PIT: JSON values.

    Both are None, and "refused" says why, where `refusal` refuses the weights.

    Args:
        draws: (B, K); truth: (B,).
        weights: (B, K), for weighted draws; None for draws of the posterior itself.
        period: the period of a quantity on a circle, which is cut opposite to the mean of draws and truth.
    """
    if (reason := refusal(weights)) is not None:
        return refused_region(len(truth), reason, bins)
    interval = pit(draws, np.ones(draws.shape) if weights is None else weights, truth, period)
    return _summary(interval, {level: (0.5 - level / 2.0, 0.5 + level / 2.0) for level in LEVELS}, bins)


def disc_calibration(
    draws: Floats, weights: Floats | None, truth: Floats, bins: int = 10, held: Bools | None = None
) -> dict[str, Any]:
    """Coverage of credible discs about the posterior mean, and the histogram of the PIT of the distance from it.

    Refused as in `scalar_calibration`.

    Args:
        draws: (B, K, 2) or (B, K, 3); weights: (B, K) or None; truth: (B, 2) or (B, 3).
        held: (B, K), whether a draw has a place at all, as one of each image must; default: all have. The others do not
            count.
    """
    if (reason := refusal(weights)) is not None:
        return refused_region(len(truth), reason, bins)
    weights = np.ones(draws.shape[:2]) if weights is None else weights
    weights = weights if held is None else weights * held
    mass = _with_truth(_normalised(weights, draws.shape[:2]))
    every = np.concatenate([draws, truth[:, None]], axis=1)
    distance = np.linalg.norm(every - (mass[..., None] * every).sum(axis=1, keepdims=True), axis=-1)
    return _summary(pit(distance[:, :-1], weights, distance[:, -1]), {level: (0.0, level) for level in LEVELS}, bins)


def nearness_calibration(
    distance: Floats, weights: Floats, truth: Floats, held: Bools, bins: int = 10
) -> dict[str, Any]:
    """Coverage of the regions nearest to what the draws have in common, and the histogram of the PIT of the distance.

    The distance is from something that depends on neither the draws that count nor the truth more than on the others:
    then the truth's is one more among theirs.

    Args:
        distance: (M, K) of draws; weights: (M, K); truth: (M,) of the truth.
        held: (M, K), which draws count, at least one of each row.
    """
    interval = pit(distance, weights * held, truth)
    return _summary(interval, {level: (0.0, level) for level in LEVELS}, bins)


def pit(draws: Floats, weights: Floats, truth: Floats, period: float | None = None) -> Floats:
    """Lower and upper end (B, 2) of the truth's place among the draws, in [0, 1]; arguments as in `scalar_calibration`.

    Draws equal to the truth widen it.
    """
    mass = _with_truth(_normalised(weights, draws.shape))
    if truth.shape != draws.shape[:1]:
        raise InputError(f"calibration: truth has shape {truth.shape}; it must be {draws.shape[:1]}")
    if period is not None:
        every = np.concatenate([draws, truth[:, None]], axis=1)
        # The truth takes part in the mean as one draw more, or it would be farther from it than they are.
        mean = np.angle((mass * np.exp(2j * math.pi / period * every)).sum(axis=1)) * period / (2.0 * math.pi)
        every = (every - mean[:, None] + period / 2.0) % period
        draws, truth = every[:, :-1], every[:, -1]
    below = (mass[:, :-1] * (draws < truth[:, None])).sum(axis=1)
    beside = (mass[:, :-1] * (draws == truth[:, None])).sum(axis=1)
    return np.stack([below, below + beside + mass[:, -1]], axis=1)


def share_within(interval: Floats, low: float, high: float) -> float:
    """Share of the images' mass that lies in [low, high]; each image's mass is spread over its interval (B, 2)."""
    overlap = np.minimum(interval[:, 1], high) - np.maximum(interval[:, 0], low)
    return float(np.mean(np.maximum(overlap, 0.0) / (interval[:, 1] - interval[:, 0])))


def _summary(interval: Floats, regions: dict[float, tuple[float, float]], bins: int) -> dict[str, Any]:
    if not len(interval):
        return {"images": 0, "coverage": {f"{level:g}": None for level in regions}, "pit_histogram": [None] * bins}
    return {
        "images": len(interval),
        "coverage": {f"{level:g}": share_within(interval, *region) for level, region in regions.items()},
        "pit_histogram": [share_within(interval, i / bins, (i + 1) / bins) for i in range(bins)],
    }


def _with_truth(weights: Floats) -> Floats:
    """Add the truth as one draw more: (B, K + 1) weights from normalised weights (B, K)."""
    effective = 1.0 / np.square(weights).sum(axis=1, keepdims=True)
    return np.concatenate([effective * weights, np.ones_like(effective)], axis=1) / (effective + 1.0)


def _normalised(weights: Floats, shape: tuple[int, ...]) -> Floats:
    if weights.shape != shape:
        raise InputError(f"calibration: weights have shape {weights.shape}; it must be {shape}")
    total = weights.sum(axis=1, keepdims=True)
    if not (np.isfinite(weights).all() and (weights >= 0.0).all() and (total > 0.0).all()):
        raise InputError("calibration: weights must be finite, not negative, and not all zero for an image")
    return np.asarray(weights / total)
