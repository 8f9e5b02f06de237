"""Camera geometry from first principles."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera import Camera
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit, orbit_frames
from air3d.scene3d.poses import Quaternion, frames_of
from air3d.scene3d.scene import Scene
from tests.quaternions import rotations

orbits = st.builds(
    Orbit,
    azimuth_rad=st.floats(-10.0, 10.0),
    elevation_rad=st.floats(-math.pi / 2, math.pi / 2),
    distance_m=st.floats(0.1, 5.0),
    look_at_m=st.tuples(*[st.floats(-1.0, 1.0)] * 3),
    fovy_rad=st.floats(math.radians(5.0), math.radians(120.0)),
)
shifted = st.builds(
    replace,
    orbits,
    roll_rad=st.floats(-4.0, 4.0),
    shift=st.tuples(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0)),
    fx_over_fy=st.floats(0.2, 5.0),
)
sizes = st.tuples(st.integers(1, 200), st.integers(1, 200))


@given(orbits)
def test_extrinsics_are_rigid_and_inverse(orbit: Orbit) -> None:
    camera = orbit.sized(8, 6)
    frame = camera.frame
    np.testing.assert_allclose(frame[:3, :3].T @ frame[:3, :3], np.eye(3), atol=1e-12)
    assert np.linalg.det(frame[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_array_equal(frame[3], [0.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(camera.eye_pose("opengl") @ frame, np.eye(4), atol=1e-12)
    assert np.linalg.det(camera.eye_pose("opencv")[:3, :3]) == pytest.approx(1.0)


@given(orbits)
def test_the_camera_stands_where_it_says_and_is_upright(orbit: Orbit) -> None:
    frame = orbit.sized(8, 6).frame
    offset = frame[:3, 3] - np.array(orbit.look_at_m)
    assert np.linalg.norm(offset) == pytest.approx(orbit.distance_m)
    assert math.asin(np.clip(offset[2] / orbit.distance_m, -1, 1)) == pytest.approx(orbit.elevation_rad, abs=1e-6)
    around = orbit.distance_m * math.cos(orbit.elevation_rad)
    place = [around * math.cos(orbit.azimuth_rad), around * math.sin(orbit.azimuth_rad)]
    np.testing.assert_allclose(offset[:2], place, atol=1e-12)
    # OpenGL looks along -z; upright: the image's right is level and its up has a part along world +z.
    np.testing.assert_allclose(frame[:3, 2] * orbit.distance_m, offset, atol=1e-12)
    assert abs(frame[2, 0]) < 1e-12 and frame[2, 1] >= 0.0


def test_a_camera_by_hand() -> None:
    # From the south (-y) at eye level: right is +x, up is +z, and it looks along +y.
    frame = Orbit(azimuth_rad=-math.pi / 2, elevation_rad=0.0, distance_m=2.0, look_at_m=(1, 2, 3)).sized(8, 6).frame
    expected = np.array([[1, 0, 0, 1], [0, 0, -1, 0], [0, 1, 0, 3], [0, 0, 0, 1]])
    np.testing.assert_allclose(frame, expected, atol=1e-12)
    to_cv = Orbit(azimuth_rad=-math.pi / 2, elevation_rad=0.0, distance_m=2.0).sized(8, 6).eye_pose("opencv")
    # The origin is 2 m ahead; world +z is up, which is -y in OpenCV.
    np.testing.assert_allclose(to_cv @ [0, 0, 0, 1], [0, 0, 2, 1], atol=1e-12)
    np.testing.assert_allclose(to_cv[:3, :3] @ [0, 0, 1], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(to_cv[:3, :3] @ [1, 0, 0], [1, 0, 0], atol=1e-12)


@given(orbits)
def test_opencv_is_opengl_turned_half_about_x(orbit: Orbit) -> None:
    camera, half_turn = orbit.sized(8, 6), np.eye(4)
    half_turn[:3, :3] = Rotation.from_euler("x", math.pi).as_matrix()
    expected = half_turn @ camera.eye_pose("opengl")
    np.testing.assert_allclose(camera.eye_pose("opencv"), expected, atol=1e-12)


@given(orbits, sizes)
def test_look_at_is_the_image_centre(orbit: Orbit, size: tuple[int, int]) -> None:
    height, width = size
    pixel, depth = orbit.sized(width, height).project([orbit.look_at_m])
    # The centre of the top-left pixel is (0, 0), so the image spans -0.5 to W - 0.5.
    np.testing.assert_allclose(pixel[0], [(width - 1) / 2, (height - 1) / 2], atol=1e-6)
    assert depth[0] == pytest.approx(orbit.distance_m)


@given(orbits, sizes, st.floats(0.05, 3.0))
def test_the_field_of_view_ends_at_the_image_border(orbit: Orbit, size: tuple[int, int], depth: float) -> None:
    height, width = size
    camera = orbit.sized(width, height)
    frame = camera.frame
    right, up, forward, eye = frame[:3, 0], frame[:3, 1], -frame[:3, 2], frame[:3, 3]
    rise = depth * math.tan(orbit.fovy_rad / 2)
    top, bottom = eye + depth * forward + rise * up, eye + depth * forward - rise * up
    side = eye + depth * forward + rise * width / height * right
    pixels, depths = camera.project(np.stack([top, bottom, side]))
    middle = ((width - 1) / 2, (height - 1) / 2)
    expected = [[middle[0], -0.5], [middle[0], height - 0.5], [width - 0.5, middle[1]]]
    np.testing.assert_allclose(pixels, expected, atol=1e-6)
    np.testing.assert_allclose(depths, depth, rtol=1e-9)
    assert camera.fovy_rad == pytest.approx(orbit.fovy_rad)


@given(orbits, st.floats(-7.0, 7.0))
def test_a_rolled_camera_is_the_level_one_turned_about_its_axis(orbit: Orbit, roll: float) -> None:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec([0.0, 0.0, roll]).as_matrix()
    rolled = replace(orbit, roll_rad=roll)
    np.testing.assert_allclose(rolled.sized(8, 6).frame, orbit.sized(8, 6).frame @ turn, atol=1e-12)
    by_quaternion = Rotation.from_quat(np.roll(rolled.rotation_wxyz, -1)).as_matrix()
    np.testing.assert_allclose(rolled.sized(8, 6).frame[:3, :3], by_quaternion, atol=1e-9)


def test_roll_and_shift_by_hand() -> None:
    """A camera that lies on its left side sees the world's up at its right; a shift moves the look-at point alone."""
    orbit = Orbit(elevation_rad=0.0, azimuth_rad=-math.pi / 2, fovy_rad=math.pi / 2, roll_rad=math.pi / 2)
    np.testing.assert_allclose(orbit.sized(8, 8).frame[:3, 0], [0.0, 0.0, 1.0], atol=1e-12)
    pixels, _ = orbit.sized(80, 40).project([[0.0, 0.0, 0.5]])
    np.testing.assert_allclose(pixels, [[39.5 + 10.0, 19.5]], atol=1e-9)
    moved = replace(orbit, shift=(0.25, -0.5), fx_over_fy=2.0).sized(80, 40)
    assert moved.principal_px == (50.0, 0.0) and moved.focal_px == pytest.approx((40.0, 20.0))
    pixels, _ = moved.project([[0.0, 0.0, 0.0]])
    np.testing.assert_allclose(pixels, [[49.5, -0.5]], atol=1e-9)


def test_straight_down_the_azimuth_says_what_is_up() -> None:
    frame = Orbit(azimuth_rad=-math.pi / 2, elevation_rad=math.pi / 2).sized(8, 8).frame
    np.testing.assert_allclose(frame, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], atol=1e-12)


@given(rotations(), st.tuples(*[st.floats(-3.0, 3.0)] * 3), st.tuples(*[st.floats(5.0, 2000.0)] * 2), sizes)
def test_every_camera_is_an_orbit(
    turn: Quaternion, eye: tuple[float, float, float], focal: tuple[float, float], size: tuple[int, int]
) -> None:
    """Any pose and any matrix without skew come back, to rounding; so does the distance that is asked for."""
    (width, height), (fx, fy) = size, focal
    assume(0.1 < fx / fy < 10.0 and height / fy < 20.0 and height > 0.002 * fy)
    matrix = np.array([[fx, 0.0, 0.9 * width], [0.0, fy, -0.2 * height], [0.0, 0.0, 1.0]])
    camera = Camera(frames_of(eye, turn), matrix, width, height)
    for distance_m in (None, 0.7):
        orbit = Orbit.of(camera, distance_m)
        back = orbit.sized(width, height)
        np.testing.assert_allclose(back.frame, camera.frame, atol=1e-11)
        np.testing.assert_allclose(back.matrix, matrix, rtol=1e-11, atol=1e-11)
        assert distance_m is None or orbit.distance_m == distance_m


@given(orbits)
def test_an_upright_camera_comes_back_upright(orbit: Orbit) -> None:
    back = Orbit.of(orbit.sized(64, 48), orbit.distance_m)
    assert (back.roll_rad, back.shift, back.fx_over_fy) == (0.0, (0.0, 0.0), 1.0)
    np.testing.assert_allclose(back.look_at_m, orbit.look_at_m, atol=1e-12)
    assert math.cos(back.azimuth_rad - orbit.azimuth_rad) == pytest.approx(1.0, abs=1e-12)


def test_skewed_and_mirrored_matrices_are_no_orbits() -> None:
    for matrix in ([[50, 1, 20], [0, 50, 20], [0, 0, 1]], [[-50, 0, 20], [0, 50, 20], [0, 0, 1]]):
        with pytest.raises(InputError, match=r"must be \[\[fx, 0, cx\]"):
            Orbit.of(Camera(np.eye(4), np.array(matrix, dtype=float), 64, 48))


def test_depth_is_negative_behind() -> None:
    camera = Orbit(elevation_rad=0.0, azimuth_rad=0.0, distance_m=1.0).sized(8, 8)
    assert camera.project([[3.0, 0.0, 0.0]])[1][0] == pytest.approx(-2.0)


def test_intrinsics_have_square_pixels() -> None:
    camera = Orbit(fovy_rad=math.pi / 2).sized(64, 48)
    # 90 degrees: the half image height is the focal length.
    np.testing.assert_allclose(camera.matrix, [[24, 0, 31.5], [0, 24, 23.5], [0, 0, 1]])
    assert camera.focal_px == pytest.approx((24, 24)) and camera.principal_px == (32, 24)


def test_points_project_through_any_matrix() -> None:
    """By hand: an eye at the origin with OpenGL's axes sees (x, y, -z) at (cx + fx x / z, cy - fy y / z)."""
    camera = Camera(np.eye(4), np.array([[50.0, 0, 20], [0, 40, 7], [0, 0, 1]]), 64, 48)
    pixels, depth = camera.project([[0.4, 0.1, -2.0], [0.0, 0.0, -1.0]])
    np.testing.assert_allclose(pixels, [[30.0, 5.0], [20.0, 7.0]])
    np.testing.assert_allclose(depth, [2.0, 1.0])


def test_frames_of_many_are_the_frames_of_each() -> None:
    rng = np.random.default_rng(0)
    az, el, distance = rng.uniform(-3, 3, 5), rng.uniform(-1, 1, 5), rng.uniform(0.5, 2, 5)
    look = rng.normal(size=(5, 3))
    roll = rng.uniform(-3, 3, 5)
    frames = orbit_frames(az, el, distance, look, roll)
    assert frames.shape == (5, 4, 4)
    for b in range(5):
        one = Orbit(az[b], el[b], distance[b], tuple(float(v) for v in look[b]), roll_rad=roll[b])
        np.testing.assert_array_equal(frames[b], one.sized(8, 6).frame)


@given(st.lists(shifted, max_size=3), sizes)
def test_a_batch_has_the_cameras_of_its_scenes(many: list[Orbit], size: tuple[int, int]) -> None:
    batch = SceneBatch.from_scenes([Scene(camera=orbit) for orbit in many]).cameras(*size)
    assert batch.frame.shape == batch.eye_pose().shape == (len(many), 4, 4)
    assert batch.matrix.shape == (len(many), 3, 3) and (batch.width, batch.height) == size
    for b, orbit in enumerate(many):
        camera = orbit.sized(*size)
        np.testing.assert_allclose(batch.frame[b], camera.frame, atol=1e-12)
        np.testing.assert_allclose(batch.eye_pose()[b], np.linalg.inv(camera.frame) * [[1], [-1], [-1], [1]], atol=1e-9)
        np.testing.assert_allclose(batch.matrix[b], camera.matrix, rtol=1e-12)


@given(shifted, sizes, st.integers(0, 100))
def test_widened_cameras_see_the_same_pixels_and_more(orbit: Orbit, size: tuple[int, int], margin: int) -> None:
    width, height = size
    scenes = SceneBatch.from_scenes([Scene(camera=orbit)])
    wide = scenes.widened(height, margin).cameras(width + 2 * margin, height + 2 * margin)
    narrow = scenes.cameras(width, height)
    np.testing.assert_allclose(wide.matrix[0, :2, 2] - narrow.matrix[0, :2, 2], margin, atol=1e-9)
    np.testing.assert_allclose(wide.focal_px, narrow.focal_px)
    np.testing.assert_array_equal(wide.frame, narrow.frame)


def test_unknown_convention() -> None:
    with pytest.raises(ValueError, match="unknown camera convention 'vulkan': use 'opengl' or 'opencv'"):
        Orbit().sized(8, 6).eye_pose("vulkan")  # type: ignore[arg-type]
