"""Errors of inferred scenes against the truth: matching by position, yaw modulo symmetry, kinds as multisets."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from scene3d.batch import SceneBatch
from scene3d.catalog import get_kind
from scene3d.errors import InputError

Floats = NDArray[np.float64]


class Matches(NamedTuple):
    """Pairs of true and inferred objects, over all scenes (P pairs).

    Attributes:
        scene: (P,) index of the scene.
        true_slot, inferred_slot: (P,).
        kind: P names of the true kinds.
        same_kind: (P,) whether the inferred kind is the true one.
        position_error_m: (P,) distance on the table.
        yaw_error_rad: (P,) modulo the true kind's symmetry; nan where the kinds differ or every yaw looks the same.
    """

    scene: NDArray[np.int64]
    true_slot: NDArray[np.int64]
    inferred_slot: NDArray[np.int64]
    kind: tuple[str, ...]
    same_kind: NDArray[np.bool_]
    position_error_m: Floats
    yaw_error_rad: Floats


def match(truth: SceneBatch, inferred: SceneBatch) -> Matches:
    """Match objects scene by scene: the assignment of least total distance (Hungarian method).

    Raises:
        InputError: if the batches differ in length.
    """
    if len(truth) != len(inferred):
        raise InputError(f"evaluate: {len(truth)} true scenes but {len(inferred)} inferred ones")
    rows: list[tuple[int, int, int, str, bool, float, float]] = []
    for b in range(len(truth)):
        true, found = np.flatnonzero(truth.present[b]), np.flatnonzero(inferred.present[b])
        offset = truth.position_m[b][true][:, None] - inferred.position_m[b][found][None]
        distance = np.linalg.norm(offset, axis=-1)
        for i, j in zip(*linear_sum_assignment(distance), strict=True):
            t, f = int(true[i]), int(found[j])
            kind = get_kind(truth.kinds[truth.kind[b, t]])
            same = kind.name == inferred.kinds[inferred.kind[b, f]]
            yaw = float("nan")
            if same and not kind.symmetry.continuous_yaw:
                yaw = float(kind.symmetry.yaw_error_rad(truth.yaw_rad[b, t], inferred.yaw_rad[b, f]))
            rows.append((b, t, f, kind.name, same, float(distance[i, j]), yaw))
    scene, t_slot, f_slot, kinds, same_kind, position, yaws = zip(*rows, strict=True) if rows else ((),) * 7
    return Matches(
        np.array(scene, dtype=np.int64),
        np.array(t_slot, dtype=np.int64),
        np.array(f_slot, dtype=np.int64),
        tuple(kinds),
        np.array(same_kind, dtype=bool),
        np.array(position, dtype=np.float64),
        np.array(yaws, dtype=np.float64),
    )


def scene_metrics(truth: SceneBatch, inferred: SceneBatch) -> dict[str, Any]:
    """Metrics of `air3d evaluate` that compare scenes, with JSON values; None where nothing could be measured.

    Keys: num_images, count_accuracy, kinds_accuracy (the multiset of kinds is right), position_error_m
    {median, p90}, yaw_error_rad {median} (right kinds only, modulo symmetry), and per_kind with the same errors.
    """
    matches = match(truth, inferred)
    counts = truth.present.sum(axis=1) == inferred.present.sum(axis=1)
    kinds = [_multiset(truth, b) == _multiset(inferred, b) for b in range(len(truth))]
    names = np.array(matches.kind)
    return {
        "num_images": len(truth),
        "count_accuracy": _mean(counts),
        "kinds_accuracy": _mean(np.array(kinds)),
        **_errors(matches, np.ones(len(names), dtype=bool)),
        "per_kind": {
            name: {
                "objects": int((names == name).sum()),
                "kind_accuracy": _mean(matches.same_kind[names == name]),
                **_errors(matches, names == name),
            }
            for name in truth.kinds
            if (names == name).any()
        },
    }


def _errors(matches: Matches, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    yaw = matches.yaw_error_rad[chosen]
    return {
        "position_error_m": {
            "median": _quantile(matches.position_error_m[chosen], 0.5),
            "p90": _quantile(matches.position_error_m[chosen], 0.9),
        },
        "yaw_error_rad": {"median": _quantile(yaw[~np.isnan(yaw)], 0.5)},
    }


def _multiset(batch: SceneBatch, b: int) -> Counter[str]:
    return Counter(batch.kinds[k] for k in batch.kind[b] if k >= 0)


def _mean(values: NDArray[Any]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _quantile(values: Floats, q: float) -> float | None:
    return float(np.quantile(values, q)) if len(values) else None
