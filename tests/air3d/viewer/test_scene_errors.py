"""Errors scene by scene, against poses whose differences are known."""

from __future__ import annotations

import math

import pytest
from scipy.spatial.transform import Rotation

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject
from air3d.viewer.scene_errors import SceneErrors, scene_errors


def errors_of(truth: Scene, inferred: Scene) -> SceneErrors:
    return scene_errors(SceneBatch.from_scenes([truth]), SceneBatch.from_scenes([inferred]))[0]


def test_distances_turns_and_cameras() -> None:
    truth = Scene(
        (SceneObject.upright("mug", 0.0, 0.0, yaw_rad=0.1), SceneObject.upright("plate", 0.1, 0.1)),
        Orbit(azimuth_rad=math.pi - 0.1, elevation_rad=0.5, distance_m=1.0),
    )
    inferred = Scene(
        (SceneObject.upright("plate", 0.1, 0.14, yaw_rad=2.0), SceneObject.upright("mug", 0.03, 0.0, yaw_rad=-0.2)),
        Orbit(azimuth_rad=-math.pi + 0.1, elevation_rad=0.6, distance_m=0.98),
    )
    found = errors_of(truth, inferred)
    assert (found.miscounted, found.wrong_kinds) == (0, 0)
    by_true = {pair.true: pair for pair in found.pairs}
    assert (by_true[0].inferred, by_true[1].inferred) == (1, 0)
    assert by_true[0].position_m == pytest.approx(0.03)
    assert by_true[0].rotation_rad == pytest.approx(0.3)
    assert by_true[1].rotation_rad is None, "a plate looks the same from everywhere"
    assert found.position_m == pytest.approx(0.04)
    assert found.rotation_rad == pytest.approx(0.3)
    assert found.azimuth_rad == pytest.approx(0.2), "the short way round"
    assert (found.elevation_rad, found.distance_m) == pytest.approx((0.1, 0.02))


def test_places_are_those_of_the_scene_and_not_those_of_slots() -> None:
    mug, bowl = SceneObject.upright("mug", 0.1, 0.0), SceneObject.upright("bowl", -0.1, 0.0)
    batch = SceneBatch.from_scenes([Scene((mug, mug, bowl)), Scene((mug, bowl))])
    batch.kind[0, 0] = -1  # an empty slot before the others, as the guide may leave one
    (found, _) = scene_errors(batch, batch)
    assert sorted((pair.true, pair.inferred) for pair in found.pairs) == [(0, 0), (1, 1)]
    assert [o.kind for o in batch.to_scenes()[0].objects] == ["mug", "bowl"]


def test_tilted_objects_are_off_by_an_angle_in_space_modulo_symmetry() -> None:
    """A plate on its rim: turning it about its own axis changes nothing, tipping it by 0.2 does."""
    tipped, spun = Rotation.from_rotvec([0.2, 0.0, 0.0]), Rotation.from_rotvec([0.0, 0.0, 1.3])
    rim = Rotation.from_rotvec([math.pi / 2, 0.0, 0.0])

    def plate(turn: Rotation) -> Scene:
        w, x, y, z = turn.as_quat(scalar_first=True, canonical=True).tolist()
        return Scene((SceneObject("plate", (0.0, 0.0, 0.12), (w, x, y, z)),))

    (pair,) = errors_of(plate(rim), plate(tipped * rim * spun)).pairs
    assert pair.rotation_rad == pytest.approx(0.2)
    assert errors_of(plate(rim), plate(rim * spun)).rotation_rad == pytest.approx(0.0, abs=1e-6)


def test_nothing_to_measure() -> None:
    found = errors_of(Scene(), Scene((SceneObject.upright("mug", 0.0, 0.0),)))
    assert (found.miscounted, found.pairs, found.position_m, found.rotation_rad) == (1, (), None, None)


def test_batches_of_another_length_are_refused() -> None:
    one, two = SceneBatch.from_scenes([Scene()]), SceneBatch.from_scenes([Scene(), Scene()])
    with pytest.raises(InputError, match="1 true scenes but 2"):
        scene_errors(one, two)
