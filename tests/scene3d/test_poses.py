"""Poses of objects, one by one and of batches, against SciPy's rotations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.poses import (
    Quaternion,
    about_z,
    frames_of,
    product,
    tilt_of,
    turned,
    unit,
    unit_quaternion,
    yaw_of,
    yawed,
)
from air3d.scene3d.scene import Scene, SceneObject
from tests.quaternions import rotations

place = st.floats(-1.0, 1.0)


def scipys(rotation: Quaternion) -> Rotation:
    return Rotation.from_quat(np.roll(rotation, -1))


@given(place, place, st.floats(-10, 10))
def test_an_upright_object_turns_about_z_then_moves(x: float, y: float, yaw: float) -> None:
    expected = np.eye(4)
    expected[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
    expected[:3, 3] = x, y, 0.0
    np.testing.assert_allclose(about_z(yaw), expected[:3, :3], atol=1e-12)
    item = SceneObject.upright("mug", x, y, yaw, scale=0.7)
    np.testing.assert_allclose(item.frame(), expected, atol=1e-15)
    assert (item.x_m, item.y_m, item.position_m[2], item.tilt_rad) == (x, y, 0.0, 0.0)


@given(st.tuples(place, place, place), rotations())
def test_frames_are_scipys(position: tuple[float, float, float], rotation: Quaternion) -> None:
    item = SceneObject("mug", position, rotation, scale=0.7)
    turn = scipys(rotation).as_matrix()
    np.testing.assert_allclose(item.frame()[:3, :3], turn, atol=1e-15)
    np.testing.assert_array_equal(item.frame()[:, 3], [*position, 1.0])
    batch = SceneBatch.from_scenes([Scene(), Scene((SceneObject.upright("bowl", 0.0, 0.1), item))])
    np.testing.assert_array_equal(batch.frames()[1, 1], item.frame())
    assert batch.tilt_rad[1, 1] == item.tilt_rad == pytest.approx(math.acos(np.clip(turn[2, 2], -1, 1)), abs=1e-7)
    assert batch.yaw_rad[1, 1] == item.yaw_rad


@given(st.floats(-math.pi, math.pi) | st.sampled_from([math.pi, -math.pi, 0.0, -0.0, 1e-300]))
def test_a_yaw_comes_back(yaw: float) -> None:
    rotation = yawed(yaw)
    assert float(yaw_of(rotation)) == pytest.approx(yaw, abs=1e-15)
    assert float(yaw_of(-rotation)) == pytest.approx(yaw, abs=1e-15) and rotation[0] >= 0.0
    turns = yawed(yaw + 2.0 * math.pi * np.arange(-2, 3))
    np.testing.assert_allclose(np.exp(1j * yaw_of(turns)), np.exp(1j * yaw), atol=1e-14)
    assert turns.shape == (5, 4) and (turns[:, 0] >= 0.0).all()


@given(rotations(), st.floats(-3.0, 3.0))
def test_the_yaw_of_a_tilted_object_is_that_of_the_nearest_upright_one(rotation: Quaternion, other: float) -> None:
    def away(yaw: float) -> float:
        return float((scipys(rotation) * Rotation.from_euler("z", -yaw)).magnitude())

    assert away(float(yaw_of(np.array(rotation)))) <= away(other) + 1e-7


def test_tilts_are_exact_where_they_are_small() -> None:
    for tilt in (1e-9, 1e-7, 0.3, math.pi):
        assert float(tilt_of(np.array([math.cos(tilt / 2), 0.0, math.sin(tilt / 2), 0.0]))) == pytest.approx(tilt)


@given(rotations(), st.floats(-9e-7, 9e-7))
def test_a_rotation_is_normalised_once(rotation: Quaternion, off: float) -> None:
    given_ = tuple(part * (1.0 + off) for part in rotation)
    found = unit_quaternion("object", given_)
    assert math.hypot(*found) == pytest.approx(1.0, abs=1e-15) and found[0] >= 0.0
    assert np.abs(scipys(found).as_matrix() - scipys(rotation).as_matrix()).max() < 1e-14
    again = unit_quaternion("object", found)
    assert [part.hex() for part in again] == [part.hex() for part in found]
    np.testing.assert_allclose(frames_of((0, 0, 0), given_), frames_of((0, 0, 0), found), atol=4e-6)


@pytest.mark.parametrize(
    "bad, words",
    [
        ((1.0, 0.0, 0.0), "object 'mug': rotation_wxyz must hold 4 numbers"),
        ((1.0, 0.0, 0.0, 0.01), r"object 'mug': rotation_wxyz is .*, of length 1.00005; give a unit quaternion"),
        ((0.0, 0.0, 0.0, 0.0), "of length 0; give a unit quaternion"),
        ((1.0, 0.0, 0.0, math.nan), "rotation_wxyz is nan"),
        ((1.0, 0.0, 0.0, "0"), "rotation_wxyz must be a number"),
        ("mug", "rotation_wxyz must hold 4 numbers"),
    ],
)
def test_what_is_no_rotation(bad: Quaternion, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        SceneObject("mug", (0.0, 0.0, 0.0), bad)
    assert "\n" not in str(caught.value)


@given(st.floats(-100, 100), st.floats(-1.55, 1.55))
def test_the_rotation_of_an_orbit_is_that_of_its_frame(azimuth: float, elevation: float) -> None:
    orbit = Orbit(azimuth, elevation, 1.3, (0.1, 0.2, 0.3))
    rotation = orbit.rotation_wxyz
    assert rotation[0] >= 0.0
    np.testing.assert_allclose(scipys(rotation).as_matrix(), orbit.sized(8, 8).frame[:3, :3], atol=1e-13)


def test_frames_of_nothing_have_the_shape_all_the_same() -> None:
    assert SceneBatch.from_scenes([], kinds=("mug",), slots=3).frames().shape == (0, 3, 4, 4)
    assert SceneBatch.from_scenes([Scene()], slots=0).frames().shape == (1, 0, 4, 4)


def test_unit_divides_by_the_length_and_turns_the_sign() -> None:
    found = unit(np.array([[-2.0, 0.0, 0.0, 2.0], [0.0, 0.0, 3.0, 0.0]]))
    assert found == pytest.approx(np.array([[0.5**0.5, 0.0, 0.0, -(0.5**0.5)], [0.0, 0.0, 1.0, 0.0]]))


@given(rotations(), rotations(), st.floats(-10, 10))
def test_products_and_turns_are_scipys(a: Quaternion, b: Quaternion, angle: float) -> None:
    both = scipys(a) * scipys(b)
    found = Rotation.from_quat(product(np.array(a), np.array(b)), scalar_first=True)
    assert (found.inv() * both).magnitude() == pytest.approx(0.0, abs=1e-7)
    about = Rotation.from_euler("z", angle)
    position, rotation = turned(np.array([0.3, -0.2, 0.1]), np.array(a), np.array(angle))
    assert position == pytest.approx(about.apply([0.3, -0.2, 0.1]), abs=1e-12)
    off = Rotation.from_quat(rotation, scalar_first=True).inv() * about * scipys(a)
    assert off.magnitude() == pytest.approx(0.0, abs=1e-7)
