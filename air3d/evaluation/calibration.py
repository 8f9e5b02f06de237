"""Is a posterior as sure as it should be? Plain arrays: probabilities or weighted draws of B images, and the truth.

If draws come from the true posterior, the truth is one draw more among them, and every rank is equally likely (Talts
et al., "Validating Bayesian Inference Algorithms with Simulation-Based Calibration", arXiv 1804.06788). K draws leave
the truth's probability integral transform (PIT) undecided within 1 / (K + 1), so it is an interval, over which the
image's mass is spread evenly (Czado, Gneiting, Held, "Predictive Model Assessment for Count Data", Biometrics 2009,
section 3.1). Coverage and histogram are then exact for every number of equally weighted draws; weighted draws count
as 1 / sum of squared weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene3d.errors import InputError

Floats = NDArray[np.float64]

LEVELS = (0.5, 0.9)


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
        right: (B,) whether it is.
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
    draws: Floats, weights: Floats, truth: Floats, period: float | None = None, bins: int = 10
) -> dict[str, Any]:
    """Coverage of central credible intervals, and the histogram of the PIT: JSON values.

    Args:
        draws, weights: (B, K); truth: (B,).
        period: of a quantity on a circle; the circle is cut opposite to the mean of draws and truth.
    """
    interval = pit(draws, weights, truth, period)
    return _summary(interval, {level: (0.5 - level / 2.0, 0.5 + level / 2.0) for level in LEVELS}, bins)


def disc_calibration(draws: Floats, weights: Floats, truth: Floats, bins: int = 10) -> dict[str, Any]:
    """Coverage of credible discs about the posterior mean, and the histogram of the PIT of the distance from it.

    Args:
        draws: (B, K, 2); weights: (B, K); truth: (B, 2).
    """
    mass = _with_truth(_normalised(weights, draws.shape[:2]))
    every = np.concatenate([draws, truth[:, None]], axis=1)
    distance = np.linalg.norm(every - (mass[..., None] * every).sum(axis=1, keepdims=True), axis=-1)
    return _summary(pit(distance[:, :-1], weights, distance[:, -1]), {level: (0.0, level) for level in LEVELS}, bins)


def pit(draws: Floats, weights: Floats, truth: Floats, period: float | None = None) -> Floats:
    """Lower and upper end (B, 2) of the truth's place among the draws, in [0, 1]. Arguments: `scalar_calibration`.

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
    """Share of the images' mass that lies in [low, high], each image's being spread over its interval (B, 2)."""
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
    """(B, K + 1) weights of K draws and of the truth as one draw more, from normalised weights (B, K)."""
    effective = 1.0 / np.square(weights).sum(axis=1, keepdims=True)
    return np.concatenate([effective * weights, np.ones_like(effective)], axis=1) / (effective + 1.0)


def _normalised(weights: Floats, shape: tuple[int, ...]) -> Floats:
    if weights.shape != shape:
        raise InputError(f"calibration: weights have shape {weights.shape}; it must be {shape}")
    total = weights.sum(axis=1, keepdims=True)
    if not (np.isfinite(weights).all() and (weights >= 0.0).all() and (total > 0.0).all()):
        raise InputError("calibration: weights must be finite, not negative, and not all zero for an image")
    return np.asarray(weights / total)
