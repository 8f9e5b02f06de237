"""Two numbers that tell whether a property of the objects decides the order in which a guide names them.

- The mutual information of the step and the property's label (a kind, a cell of a grid), by the plug-in estimate from
  counts, in bits. All steps are equally frequent, so its most is log2 of their number. A plug-in estimate is
  above zero by chance; what chance gives is found by shuffling the steps within each scene.
- Who comes first: of two objects of one scene, the one with the higher score, a linear function of the property
  (Bradley & Terry, "Rank analysis of incomplete block designs", Biometrika 1952). The function is fitted to one half
  of the scenes, the share of right predictions is measured on the other; 1/2 is chance.

The first sees any dependence on the step, the second only preferences, but through several properties at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHUFFLES = 200
_RIDGE = 1e-3
FEWEST_SCENES = 10


def step_information(labels: Ints, rng: np.random.Generator) -> dict[str, Any]:
    """Estimate the mutual information of step and label, and the value that chance gives.

    Args:
        labels: (M, N), for the objects of M scenes, in the order of the N steps that named them.

    Returns:
        JSON values: bits, chance_bits (mean over shuffles), chance_95_bits, most_bits (log2 N).
    """
    chance = [_mutual_information(rng.permuted(labels, axis=1)) for _ in range(_SHUFFLES)]
    return {
        "bits": _mutual_information(labels),
        "chance_bits": float(np.mean(chance)),
        "chance_95_bits": float(np.quantile(chance, 0.95)),
        "most_bits": float(np.log2(labels.shape[1])),
    }


def grid_labels(place: Floats, cells: int) -> Ints:
    """Number the cells of a grid of `cells` x `cells` with about equally many objects in each row and column.

    Args:
        place: (M, N, 2).

    Returns:
        (M, N).
    """
    flat = place.reshape(-1, 2)
    inner = np.linspace(0.0, 1.0, cells + 1)[1:-1]
    columns = [np.searchsorted(np.quantile(flat[:, d], inner), flat[:, d]) for d in (0, 1)]
    return np.asarray(columns[0] * cells + columns[1], dtype=np.int64).reshape(place.shape[:2])


def first_of_pairs(features: Floats, chosen: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Measure how well a score tells which of two objects is named first.

    Args:
        features: (M, N, F), for the objects of M scenes, in the order of the steps that named them.
        chosen: (M, N, N), True for the pairs to be told apart; default: all.

    Returns:
        JSON values: pairs (of the second half), accuracy (a tie is half right), standard_error; None where a half has
        no pair.
    """
    half = len(features) // 2
    train = _differences(features[:half], None if chosen is None else chosen[:half])
    test = _differences(features[half:], None if chosen is None else chosen[half:])
    if not len(train) or not len(test):
        return {"pairs": len(test), "accuracy": None, "standard_error": None}
    scale = train.std(axis=0) + 1e-12
    weight = _fit(train / scale)
    score = test / scale @ weight
    right = np.where(np.abs(score) < 1e-9, 0.5, score > 0.0)
    return {
        "pairs": len(test),
        "accuracy": float(right.mean()),
        "standard_error": float(right.std() / len(right) ** 0.5),
    }


def _differences(features: Floats, chosen: NDArray[np.bool_] | None) -> Floats:
    """The features (P, F) of the earlier minus those of the later object, for every chosen pair."""
    early, late = np.triu_indices(features.shape[1], k=1)
    difference = features[:, early] - features[:, late]
    if chosen is None:
        return difference.reshape(-1, features.shape[2])
    return np.asarray(difference[chosen[:, early, late]])


def _fit(differences: Floats) -> Floats:
    """Fit the weights of the score by logistic regression without intercept; every pair is in the right order."""

    def loss(weight: Floats) -> tuple[float, Floats]:
        margin = differences @ weight
        value = np.logaddexp(0.0, -margin).mean() + 0.5 * _RIDGE * weight @ weight
        slope = -(differences * (1.0 / (1.0 + np.exp(np.clip(margin, -50.0, 50.0))))[:, None]).mean(axis=0)
        return float(value), slope + _RIDGE * weight

    return np.asarray(minimize(loss, np.zeros(differences.shape[1]), jac=True, method="L-BFGS-B").x)


def _mutual_information(labels: Ints) -> float:
    """Compute the mutual information in bits from counts."""
    steps = labels.shape[1]
    joint = np.zeros((steps, int(labels.max()) + 1))
    np.add.at(joint, (np.broadcast_to(np.arange(steps), labels.shape), labels), 1.0)
    joint /= joint.sum()
    outer = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    here = joint > 0.0
    return float((joint[here] * np.log2(joint[here] / outer[here])).sum())
