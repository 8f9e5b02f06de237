"""Compares inferred scenes with the truth: objects matched by position, yaw modulo symmetry, counts, camera."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.poses import UPRIGHT

Floats = NDArray[np.float64]


class Matches(NamedTuple):
    """Pairs of true and inferred objects, over all scenes (P pairs).

    Attributes:
        scene: (P,), the index of the scene.
        true_slot, inferred_slot: (P,), the slots of the two objects.
        kind: the P names of the true kinds.
        same_kind: (P,), whether the inferred kind is the true one.
        position_error_m: (P,), the distance of the origins, metres.
        yaw_error_rad: (P,), modulo the true kind's symmetry; nan where the kinds differ, every yaw looks the same, or
            one of the two is tilted.
        rotation_error_rad: (P,), the angle in SO(3) modulo the true kind's symmetry, tilted or not; nan where the kinds
            differ, or every rotation looks the same.
    """

    scene: NDArray[np.int64]
    true_slot: NDArray[np.int64]
    inferred_slot: NDArray[np.int64]
    kind: tuple[str, ...]
    same_kind: NDArray[np.bool_]
    position_error_m: Floats
    yaw_error_rad: Floats
    rotation_error_rad: Floats


def match(truth: SceneBatch, inferred: SceneBatch) -> Matches:
    """Match objects scene by scene by the assignment of least total distance (Hungarian method).

    Raises:
        InputError: if the batches differ in length.
    """
    check_lengths(truth, inferred)
    rows: list[tuple[int, int, int, str, bool, float, float, float]] = []
    true_turn, found_turn = truth.frames()[..., :3, :3], inferred.frames()[..., :3, :3]
    true_yaw, found_yaw = truth.yaw_rad, inferred.yaw_rad
    true_tilt, found_tilt = truth.tilt_rad, inferred.tilt_rad
    for b in range(len(truth)):
        true, found = np.flatnonzero(truth.present[b]), np.flatnonzero(inferred.present[b])
        offset = truth.position_m[b][true][:, None] - inferred.position_m[b][found][None]
        distance = np.linalg.norm(offset, axis=-1)
        for i, j in zip(*linear_sum_assignment(distance), strict=True):
            t, f = int(true[i]), int(found[j])
            kind = get_kind(truth.kinds[truth.kind[b, t]])
            same = kind.name == inferred.kinds[inferred.kind[b, f]]
            yaw = turn = float("nan")
            upright = max(true_tilt[b, t], found_tilt[b, f]) <= UPRIGHT
            if same and upright and not kind.symmetry.continuous_yaw:
                yaw = float(kind.symmetry.yaw_error_rad(true_yaw[b, t], found_yaw[b, f]))
            if same and not kind.symmetry.spherical:
                turn = float(kind.symmetry.rotation_error_rad(true_turn[b, t], found_turn[b, f]))
            rows.append((b, t, f, kind.name, same, float(distance[i, j]), yaw, turn))
    scene, t_slot, f_slot, kinds, same_kind, position, yaws, turns = zip(*rows, strict=True) if rows else ((),) * 8
    return Matches(
        np.array(scene, dtype=np.int64),
        np.array(t_slot, dtype=np.int64),
        np.array(f_slot, dtype=np.int64),
        tuple(kinds),
        np.array(same_kind, dtype=bool),
        np.array(position, dtype=np.float64),
        np.array(yaws, dtype=np.float64),
        np.array(turns, dtype=np.float64),
    )


def check_lengths(truth: SceneBatch, inferred: SceneBatch) -> None:
    """Raise InputError unless both batches hold as many scenes."""
    if len(truth) != len(inferred):
        raise InputError(f"evaluate: {len(truth)} true scenes but {len(inferred)} inferred ones")


class CameraErrors(NamedTuple):
    """Absolute errors of the cameras of B scenes, in world coordinates, without any alignment.

    Attributes:
        azimuth_rad: (B,), on the circle, at most pi.
        elevation_rad: (B,).
        distance_m: (B,).
    """

    azimuth_rad: Floats
    elevation_rad: Floats
    distance_m: Floats


def camera_errors(truth: SceneBatch, inferred: SceneBatch) -> CameraErrors:
    """Compare the cameras; where a prior fixes one of the three, both sides hold that constant and its error is 0.

    Raises:
        InputError: if the batches differ in length.
    """
    check_lengths(truth, inferred)
    turn = inferred.camera_azimuth_rad - truth.camera_azimuth_rad
    return CameraErrors(
        np.abs((turn + np.pi) % (2.0 * np.pi) - np.pi),
        np.abs(inferred.camera_elevation_rad - truth.camera_elevation_rad),
        np.abs(inferred.camera_distance_m - truth.camera_distance_m),
    )


def scene_metrics(truth: SceneBatch, inferred: SceneBatch, matches: Matches | None = None) -> dict[str, Any]:
    """Compute the metrics of `air3d evaluate` that compare scenes, as JSON values; None where nothing is measured.

    Keys: num_images; count_accuracy and count_right, kinds_accuracy (the multiset of kinds is right) and kinds_right:
    shares of all images, and their numbers; count_confusion (see `count_confusion`); true_objects, and of these
    missed_objects (no inferred object is matched to them); extra_objects (inferred, matched to none). Errors are of
    matched objects: position_error_m, yaw_error_rad (upright ones of the right kind only, modulo symmetry) and
    rotation_error_rad (those of the right kind, upright or not), each {median, p90}. per_kind has for each kind that
    occurs true_objects, missed, objects (matched), kind_right, recall (kind_right of all true objects), kind_accuracy
    (of the matched ones), and the same errors. Of all images, matched or not: camera_error_rad {azimuth, elevation}
    and camera_distance_error_m (medians), camera_error_p90_rad and camera_distance_error_p90_m.

    Args:
        matches: the result of `match(truth, inferred)`, if it is known already.
    """
    matches = match(truth, inferred) if matches is None else matches
    counts = truth.present.sum(axis=1) == inferred.present.sum(axis=1)
    kinds = [_multiset(truth, b) == _multiset(inferred, b) for b in range(len(truth))]
    names = np.array(matches.kind)
    camera = camera_errors(truth, inferred)
    objects = {name: int((truth.kind == k).sum()) for k, name in enumerate(truth.kinds)}
    return {
        "num_images": len(truth),
        "count_accuracy": _mean(counts),
        "count_right": int(counts.sum()),
        "count_confusion": count_confusion(truth, inferred),
        "kinds_accuracy": _mean(np.array(kinds)),
        "kinds_right": int(np.sum(kinds)),
        "true_objects": int(truth.present.sum()),
        "missed_objects": int(truth.present.sum()) - len(names),
        "extra_objects": int(inferred.present.sum()) - len(names),
        **_errors(matches, np.ones(len(names), dtype=bool)),
        "camera_error_rad": {
            "azimuth": _quantile(camera.azimuth_rad, 0.5),
            "elevation": _quantile(camera.elevation_rad, 0.5),
        },
        "camera_distance_error_m": _quantile(camera.distance_m, 0.5),
        "camera_error_p90_rad": {
            "azimuth": _quantile(camera.azimuth_rad, 0.9),
            "elevation": _quantile(camera.elevation_rad, 0.9),
        },
        "camera_distance_error_p90_m": _quantile(camera.distance_m, 0.9),
        "per_kind": {name: _of_kind(matches, names == name, number) for name, number in objects.items() if number},
    }


def count_confusion(truth: SceneBatch, inferred: SceneBatch) -> dict[str, Any]:
    """Count the images by their true and inferred numbers of objects, which label the rows and columns of `images`.

    Rows go up to the largest number that the true batch has room for, columns to that of the inferred batch.
    """
    images = np.zeros((truth.slots + 1, inferred.slots + 1), dtype=np.int64)
    np.add.at(images, (truth.present.sum(axis=1), inferred.present.sum(axis=1)), 1)
    return {
        "true": list(range(truth.slots + 1)),
        "inferred": list(range(inferred.slots + 1)),
        "images": images.tolist(),
    }


def _of_kind(matches: Matches, chosen: NDArray[np.bool_], objects: int) -> dict[str, Any]:
    """Measure the pairs whose true object is of one kind, which has `objects` objects in all."""
    matched, right = int(chosen.sum()), int(matches.same_kind[chosen].sum())
    return {
        "true_objects": objects,
        "missed": objects - matched,
        "objects": matched,
        "kind_right": right,
        "recall": right / objects,
        "kind_accuracy": _mean(matches.same_kind[chosen]),
        **_errors(matches, chosen),
    }


def _errors(matches: Matches, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    yaw, turn = matches.yaw_error_rad[chosen], matches.rotation_error_rad[chosen]
    return {
        "position_error_m": _median_and_p90(matches.position_error_m[chosen]),
        "yaw_error_rad": _median_and_p90(yaw[~np.isnan(yaw)]),
        "rotation_error_rad": _median_and_p90(turn[~np.isnan(turn)]),
    }


def _median_and_p90(values: Floats) -> dict[str, float | None]:
    return {"median": _quantile(values, 0.5), "p90": _quantile(values, 0.9)}


def _multiset(batch: SceneBatch, b: int) -> Counter[str]:
    return Counter(batch.kinds[k] for k in batch.kind[b] if k >= 0)


def _mean(values: NDArray[Any]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _quantile(values: Floats, q: float) -> float | None:
    return float(np.quantile(values, q)) if len(values) else None
