"""Camera geometry from first principles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.cameras import orbit_frames, project
from air3d.scene3d.scene import Camera, Scene

cameras = st.builds(
    Camera,
    azimuth_rad=st.floats(-10.0, 10.0),
    elevation_rad=st.floats(math.radians(-89.0), math.radians(89.0)),
    distance_m=st.floats(0.1, 5.0),
    look_at_m=st.tuples(*[st.floats(-1.0, 1.0)] * 3),
    fovy_rad=st.floats(math.radians(5.0), math.radians(120.0)),
)
sizes = st.tuples(st.integers(1, 200), st.integers(1, 200))


@given(cameras)
def test_extrinsics_are_rigid_and_inverse(camera: Camera) -> None:
    frame = camera.frame()
    np.testing.assert_allclose(frame[:3, :3].T @ frame[:3, :3], np.eye(3), atol=1e-12)
    assert np.linalg.det(frame[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_array_equal(frame[3], [0.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(camera.eye_pose("opengl") @ frame, np.eye(4), atol=1e-12)
    assert np.linalg.det(camera.eye_pose("opencv")[:3, :3]) == pytest.approx(1.0)


@given(cameras)
def test_the_camera_stands_where_it_says_and_is_upright(camera: Camera) -> None:
    frame = camera.frame()
    offset = frame[:3, 3] - np.array(camera.look_at_m)
    assert np.linalg.norm(offset) == pytest.approx(camera.distance_m)
    assert math.asin(np.clip(offset[2] / camera.distance_m, -1, 1)) == pytest.approx(camera.elevation_rad, abs=1e-6)
    turned = math.atan2(offset[1], offset[0]) - camera.azimuth_rad
    assert math.cos(turned) == pytest.approx(1.0)
    # OpenGL looks along -z; upright: the image's right is level and its up has a part along world +z.
    np.testing.assert_allclose(frame[:3, 2] * camera.distance_m, offset, atol=1e-12)
    assert abs(frame[2, 0]) < 1e-12 and frame[2, 1] > 0.0


def test_a_camera_by_hand() -> None:
    # From the south (-y) at eye level: right is +x, up is +z, and it looks along +y.
    frame = Camera(azimuth_rad=-math.pi / 2, elevation_rad=0.0, distance_m=2.0, look_at_m=(1, 2, 3)).frame()
    expected = np.array([[1, 0, 0, 1], [0, 0, -1, 0], [0, 1, 0, 3], [0, 0, 0, 1]])
    np.testing.assert_allclose(frame, expected, atol=1e-12)
    to_cv = Camera(azimuth_rad=-math.pi / 2, elevation_rad=0.0, distance_m=2.0).eye_pose("opencv")
    # The origin is 2 m ahead; world +z is up, which is -y in OpenCV.
    np.testing.assert_allclose(to_cv @ [0, 0, 0, 1], [0, 0, 2, 1], atol=1e-12)
    np.testing.assert_allclose(to_cv[:3, :3] @ [0, 0, 1], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(to_cv[:3, :3] @ [1, 0, 0], [1, 0, 0], atol=1e-12)


@given(cameras)
def test_opencv_is_opengl_turned_half_about_x(camera: Camera) -> None:
    half_turn = np.eye(4)
    half_turn[:3, :3] = Rotation.from_euler("x", math.pi).as_matrix()
    expected = half_turn @ camera.eye_pose("opengl")
    np.testing.assert_allclose(camera.eye_pose("opencv"), expected, atol=1e-12)


@given(cameras, sizes)
def test_look_at_is_the_image_centre(camera: Camera, size: tuple[int, int]) -> None:
    height, width = size
    pixel, depth = project(np.array([camera.look_at_m]), camera, height, width)
    # The centre of the top-left pixel is (0, 0), so the image spans -0.5 to W - 0.5.
    np.testing.assert_allclose(pixel[0], [(width - 1) / 2, (height - 1) / 2], atol=1e-6)
    assert depth[0] == pytest.approx(camera.distance_m)


@given(cameras, sizes, st.floats(0.05, 3.0))
def test_the_field_of_view_ends_at_the_image_border(camera: Camera, size: tuple[int, int], depth: float) -> None:
    height, width = size
    frame = camera.frame()
    right, up, forward, eye = frame[:3, 0], frame[:3, 1], -frame[:3, 2], frame[:3, 3]
    rise = depth * math.tan(camera.fovy_rad / 2)
    top, bottom = eye + depth * forward + rise * up, eye + depth * forward - rise * up
    side = eye + depth * forward + rise * width / height * right
    pixels, depths = project(np.stack([top, bottom, side]), camera, height, width)
    middle = ((width - 1) / 2, (height - 1) / 2)
    expected = [[middle[0], -0.5], [middle[0], height - 0.5], [width - 0.5, middle[1]]]
    np.testing.assert_allclose(pixels, expected, atol=1e-6)
    np.testing.assert_allclose(depths, depth, rtol=1e-9)


def test_depth_is_negative_behind() -> None:
    camera = Camera(elevation_rad=0.0, azimuth_rad=0.0, distance_m=1.0)
    assert project(np.array([[3.0, 0.0, 0.0]]), camera, 8, 8)[1][0] == pytest.approx(-2.0)


def test_intrinsics_have_square_pixels() -> None:
    matrix = Camera(fovy_rad=math.pi / 2).intrinsics(64, 48)
    # 90 degrees: the half image height is the focal length.
    np.testing.assert_allclose(matrix, [[24, 0, 31.5], [0, 24, 23.5], [0, 0, 1]])


def test_frames_of_many_are_the_frames_of_each() -> None:
    rng = np.random.default_rng(0)
    az, el, distance = rng.uniform(-3, 3, 5), rng.uniform(-1, 1, 5), rng.uniform(0.5, 2, 5)
    look = rng.normal(size=(5, 3))
    frames = orbit_frames(az, el, distance, look)
    assert frames.shape == (5, 4, 4)
    for b in range(5):
        one = Camera(az[b], el[b], distance[b], tuple(float(v) for v in look[b]))
        np.testing.assert_array_equal(frames[b], one.frame())


@given(st.lists(cameras, max_size=3), sizes)
def test_a_batch_has_the_cameras_of_its_scenes(many: list[Camera], size: tuple[int, int]) -> None:
    batch = SceneBatch.from_scenes([Scene(camera=camera) for camera in many])
    assert batch.camera_frames().shape == batch.eye_poses().shape == (len(many), 4, 4)
    assert batch.intrinsics(*size).shape == (len(many), 3, 3)
    for b, camera in enumerate(many):
        np.testing.assert_allclose(batch.camera_frames()[b], camera.frame(), atol=1e-12)
        np.testing.assert_allclose(
            batch.eye_poses()[b], np.linalg.inv(camera.frame()) * [[1], [-1], [-1], [1]], atol=1e-9
        )
        np.testing.assert_allclose(batch.intrinsics(*size)[b], camera.intrinsics(*size), rtol=1e-12)


def test_unknown_convention() -> None:
    with pytest.raises(ValueError, match="unknown camera convention 'vulkan': use 'opengl' or 'opencv'"):
        Camera().eye_pose("vulkan")  # type: ignore[arg-type]
