"""Measures the calibration of a posterior over scenes, from scenes drawn for each image."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.evaluation.calibration import (
    disc_calibration,
    label_calibration,
    label_probabilities,
    nearness_calibration,
    refusal,
    refused_region,
    scalar_calibration,
)
from air3d.evaluation.metrics import match
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError

Floats = NDArray[np.float64]
# So many draws of an object are what the others' rotations are compared with.
_REFERENCES = 8
_CAMERA = ("camera_azimuth_rad", "camera_elevation_rad", "camera_distance_m")


def posterior_metrics(truth: SceneBatch, draws: SceneBatch, weights: Floats | None = None) -> dict[str, Any]:
    """Measure how well draws are calibrated, as JSON values: count and kinds (reliability); camera_azimuth_rad,
    camera_elevation_rad, camera_distance_m, position_m and rotation_rad (coverage and PIT). What is known of the
    camera, the same in all scenes and draws, is left out.

    - kinds: the most probable multiset of kinds.
    - position_m: for each true object, from those draws in which an object of its kind is matched to it; objects that
      no draw of positive weight holds are left out (`images` counts those that are not).
    - rotation_rad: the same, modulo symmetry, where a rotation can be seen and two draws or more hold the object.

    Where weighted draws are worth too few (`calibration.refusal`), every number is None, and "refused" says why.

    Args:
        truth: the B scenes.
        draws: B * K scenes, the K draws of an image in succession.
        weights: (B, K), not negative, for weighted draws; None for draws of the posterior itself, which count equally.

    Raises:
        InputError: if the sizes do not fit or weights are unusable.
    """
    shape = (len(truth), len(draws) // max(len(truth), 1)) if weights is None else weights.shape
    if (len(truth), len(draws)) != (shape[0], math.prod(shape)):
        raise InputError(
            f"calibration: {len(truth)} true scenes, {len(draws)} draws and weights of shape {shape}; "
            "there must be as many draws as weights"
        )
    camera = [name for name in _CAMERA if not len(truth) or _varies(getattr(truth, name), getattr(draws, name))]
    reason = refusal(weights) if len(truth) else "There is no image to measure it on."
    if reason is not None:
        nothing: dict[str, Any] = {"expected_calibration_error": None, "bins": [], "refused": reason}
        regions = {name: refused_region(len(truth), reason) for name in (*camera, "position_m", "rotation_rad")}
        return {"count": nothing, "kinds": nothing, **regions}
    even = np.ones(shape) if weights is None else weights
    most, held = max(truth.slots, draws.slots), _held(truth, draws, even)
    counts = label_probabilities(draws.present.sum(axis=1).reshape(shape), even, most + 1)

    def scalar(name: str) -> dict[str, Any]:
        period = 2.0 * math.pi if name == "camera_azimuth_rad" else None
        return scalar_calibration(getattr(draws, name).reshape(shape), weights, getattr(truth, name), period)

    return {
        "count": label_calibration(counts, truth.present.sum(axis=1)),
        "kinds": _kinds(truth, draws, even),
        **{name: scalar(name) for name in camera},
        "position_m": _positions(truth, draws, held),
        "rotation_rad": _rotations(truth, draws, held),
    }


def _varies(*values: Floats) -> bool:
    return bool(np.ptp(np.concatenate(values)) > 0.0)


def _kinds(truth: SceneBatch, draws: SceneBatch, weights: Floats) -> dict[str, Any]:
    names = sorted({*truth.kinds, *draws.kinds})

    def multisets(batch: SceneBatch) -> NDArray[np.int64]:
        """Count the objects of each kind, (B, number of names)."""
        index = np.array([names.index(name) for name in batch.kinds], dtype=np.int64)
        found = np.zeros((len(batch), len(names)), dtype=np.int64)
        rows, slots = np.nonzero(batch.present)
        np.add.at(found, (rows, index[batch.kind[rows, slots]]), 1)
        return found

    both = np.concatenate([multisets(truth), multisets(draws)])
    different, label = np.unique(both, axis=0, return_inverse=True)
    label = label.reshape(-1)
    scenes = len(truth)
    probability = label_probabilities(label[scenes:].reshape(weights.shape), weights, max(len(different), 1))
    return label_calibration(probability, label[:scenes])


class _Held(NamedTuple):
    """Tells which draws hold the true objects, and where.

    Attributes:
        scene, slot: (M,), the true objects that a draw of positive weight holds.
        row, found: (M, K), the draw, and the slot in it, that is matched to the object and of its kind.
        held: (M, K), whether there is one.
        weight: (M, K), the draws' weights.
    """

    scene: NDArray[np.int64]
    slot: NDArray[np.int64]
    row: NDArray[np.int64]
    found: NDArray[np.int64]
    held: NDArray[np.bool_]
    weight: Floats


def _held(truth: SceneBatch, draws: SceneBatch, weights: Floats) -> _Held:
    scenes, each = weights.shape
    image = np.repeat(np.arange(scenes), each)
    pairs = match(truth[image], draws)
    row, slot = pairs.scene[pairs.same_kind], pairs.true_slot[pairs.same_kind]
    found = np.zeros((scenes, truth.slots, each), dtype=np.int64)
    held = np.zeros((scenes, truth.slots, each), dtype=bool)
    place = image[row], slot, row % each
    found[place] = pairs.inferred_slot[pairs.same_kind]
    held[place] = weights.reshape(-1)[row] > 0.0
    scene, slot = np.nonzero(held.any(axis=-1))
    rows = scene[:, None] * each + np.arange(each)
    return _Held(scene, slot, rows, found[scene, slot], held[scene, slot], weights[scene])


def _positions(truth: SceneBatch, draws: SceneBatch, held: _Held) -> dict[str, Any]:
    position, there = draws.position_m[held.row, held.found], truth.position_m[held.scene, held.slot]
    return disc_calibration(position, held.weight, there, held=held.held)


def _rotations(truth: SceneBatch, draws: SceneBatch, held: _Held) -> dict[str, Any]:
    """How far the truth is turned from some of an object's draws, on average, among the others that it is one more of.

    Those some do not count: what they are compared with does not depend on which of the rest is the truth.
    """
    turns, true = draws.frames()[..., :3, :3], truth.frames()[..., :3, :3]
    count = held.held.cumsum(axis=1)
    references = np.minimum(count[:, -1] // 2, _REFERENCES)
    kept = held.held & (count > references[:, None])
    distance, truths = np.zeros(held.held.shape), np.zeros(len(held.scene))
    measured = np.zeros(len(held.scene), dtype=bool)
    for m, (scene, slot) in enumerate(zip(held.scene, held.slot, strict=True)):
        symmetry = get_kind(truth.kinds[truth.kind[scene, slot]]).symmetry
        if symmetry.spherical or not references[m]:
            continue
        own = turns[held.row[m], held.found[m]]
        some = own[held.held[m] & ~kept[m]]
        every = np.concatenate([own, true[scene, slot][None]])
        apart = symmetry.rotation_error_rad(every[:, None], some[None]).mean(axis=1)
        distance[m], truths[m], measured[m] = apart[:-1], apart[-1], True
    return nearness_calibration(distance[measured], held.weight[measured], truths[measured], kept[measured])
