"""The errors of one scene, scene by scene, as `air3d.evaluation.metrics` measures them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from air3d.evaluation.metrics import camera_errors, match
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.poses import UPRIGHT


@dataclass(frozen=True)
class Pair:
    """A true object and the inferred one matched to it.

    Attributes:
        true, inferred: the places of both in `Scene.objects`.
        same_kind: says whether the inferred kind is the true one.
        position_m: the distance of the origins, metres.
        rotation_rad: the angle between both rotations modulo the kind's symmetry; None where the kinds differ, and for
            upright ones that look the same from all sides.
    """

    true: int
    inferred: int
    same_kind: bool
    position_m: float
    rotation_rad: float | None


@dataclass(frozen=True)
class SceneErrors:
    """The errors of an inferred scene.

    Attributes:
        true_count, inferred_count: the numbers of objects.
        pairs: the matched objects; as many as the smaller count.
        azimuth_rad, elevation_rad, distance_m: the absolute errors of the camera.
    """

    true_count: int
    inferred_count: int
    pairs: tuple[Pair, ...]
    azimuth_rad: float
    elevation_rad: float
    distance_m: float

    @property
    def miscounted(self) -> int:
        """How many objects there are too many or too few."""
        return abs(self.true_count - self.inferred_count)

    @property
    def wrong_kinds(self) -> int:
        """How many matched objects have another kind than the true one."""
        return sum(not pair.same_kind for pair in self.pairs)

    @property
    def position_m(self) -> float | None:
        """The largest distance of a matched object; None without any."""
        return max((pair.position_m for pair in self.pairs), default=None)

    @property
    def rotation_rad(self) -> float | None:
        """The largest rotation error; None where none could be measured."""
        return max((pair.rotation_rad for pair in self.pairs if pair.rotation_rad is not None), default=None)


def scene_errors(truth: SceneBatch, inferred: SceneBatch) -> tuple[SceneErrors, ...]:
    """Compute the errors of each of B scenes.

    Raises:
        InputError: if the batches differ in length.
    """
    matches, camera = match(truth, inferred), camera_errors(truth, inferred)
    true_place, inferred_place = _places(truth.present), _places(inferred.present)
    pairs: list[list[Pair]] = [[] for _ in range(len(truth))]
    tilt = np.maximum(
        truth.tilt_rad[matches.scene, matches.true_slot], inferred.tilt_rad[matches.scene, matches.inferred_slot]
    )
    round_ones = np.isnan(matches.yaw_error_rad) & (tilt <= UPRIGHT)
    rotation_rad = np.where(round_ones, np.nan, matches.rotation_error_rad)
    for b, t, f, same, position, rotation in zip(
        matches.scene.tolist(),
        matches.true_slot.tolist(),
        matches.inferred_slot.tolist(),
        matches.same_kind.tolist(),
        matches.position_error_m.tolist(),
        rotation_rad.tolist(),
        strict=True,
    ):
        known = None if math.isnan(rotation) else rotation
        pairs[b].append(Pair(int(true_place[b, t]), int(inferred_place[b, f]), same, position, known))
    return tuple(
        SceneErrors(
            int(truth.present[b].sum()),
            int(inferred.present[b].sum()),
            tuple(pairs[b]),
            float(camera.azimuth_rad[b]),
            float(camera.elevation_rad[b]),
            float(camera.distance_m[b]),
        )
        for b in range(len(truth))
    )


def _places(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place (B, N) of each slot's object in `Scene.objects`, which skips empty slots."""
    return np.cumsum(present, axis=1) - 1
