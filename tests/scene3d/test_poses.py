"""Poses of objects, one by one and of batches, against SciPy's rotations."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.poses import about_z, upright
from air3d.scene3d.scene import Scene, SceneObject


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-10, 10))
def test_object_pose_turns_about_z_then_moves(x: float, y: float, yaw: float) -> None:
    expected = np.eye(4)
    expected[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
    expected[:3, 3] = x, y, 0.0
    np.testing.assert_allclose(upright(x, y, yaw), expected, atol=1e-12)
    np.testing.assert_allclose(about_z(yaw), expected[:3, :3], atol=1e-12)
    item = SceneObject("mug", x, y, yaw, scale=0.7)
    np.testing.assert_array_equal(item.frame(), upright(x, y, yaw))
    batch = SceneBatch.from_scenes([Scene(), Scene((SceneObject("bowl", 0.0, 0.1), item))])
    np.testing.assert_allclose(batch.frames()[1, 1], expected, atol=1e-12)


def test_frames_of_nothing_have_the_shape_all_the_same() -> None:
    assert SceneBatch.from_scenes([], kinds=("mug",), slots=3).frames().shape == (0, 3, 4, 4)
    assert SceneBatch.from_scenes([Scene()], slots=0).frames().shape == (1, 0, 4, 4)
