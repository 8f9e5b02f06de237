"""Resting poses against geometry that is known in closed form, and against MuJoCo."""

from __future__ import annotations

import itertools
import math

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from air3d.scene3d.catalog import CATALOG, CROCKERY
from air3d.scene3d.ground import Ground
from air3d.scene3d.physics import settle
from air3d.scene3d.resting import resting_poses, stable_poses
from air3d.scene3d.solids import solids
from air3d.scene3d.surface import Surface
from air3d.scene3d.symmetry import Symmetry


def test_a_cube_has_six_faces_of_one_pose() -> None:
    corners = np.array(list(itertools.product((-0.05, 0.05), repeat=3)))
    poses = resting_poses(corners, np.zeros(3), Symmetry())
    assert [pose.probability for pose in poses] == pytest.approx([1 / 6] * 6)
    down = np.array([Rotation.from_quat(p.rotation_wxyz, scalar_first=True).as_matrix()[2] for p in poses])
    assert sorted(map(tuple, down.round(6) + 0.0)) == sorted(map(tuple, [*np.eye(3), *(0.0 - np.eye(3))]))
    (only,) = stable_poses("cube")
    assert only.probability == 1.0 and only.height_m == pytest.approx(0.0)
    assert only.rotation_wxyz == pytest.approx([1.0, 0.0, 0.0, 0.0])


def test_a_brick_rests_by_the_solid_angles_of_its_faces() -> None:
    """A rectangle of half sides a, b, at height c, fills 4 asin(ab / sqrt((a^2 + c^2)(b^2 + c^2)))."""
    half = (0.1, 0.05, 0.02)
    corners = np.array(list(itertools.product(*((-h, h) for h in half))))
    poses = resting_poses(corners, np.zeros(3), Symmetry(2, "dihedral2"))
    assert [pose.height_m for pose in poses] == pytest.approx([0.02, 0.05, 0.1])
    for pose, (a, b, c) in zip(poses, ((0.1, 0.05, 0.02), (0.1, 0.02, 0.05), (0.05, 0.02, 0.1)), strict=True):
        angle = 4.0 * math.asin(a * b / math.sqrt((a * a + c * c) * (b * b + c * c)))
        assert pose.probability == pytest.approx(2.0 * angle / (4.0 * math.pi))


def test_a_leaning_prism_topples_to_the_face_that_holds_it() -> None:
    """A tall oblique box cannot stand on its ends: their share goes to the side that it falls to."""
    base = np.array(list(itertools.product((-1.0, 1.0), repeat=2)))
    corners = np.concatenate([np.column_stack([base + (z * 0.6, 0.0), np.full(4, z)]) for z in (-4.0, 4.0)])
    poses = resting_poses(corners, np.zeros(3), Symmetry())
    turned = [Rotation.from_quat(p.rotation_wxyz, scalar_first=True).as_matrix() for p in poses]
    assert len(poses) == 4 and all(abs(turn[2, 2]) < 0.9 for turn in turned)
    assert sum(pose.probability for pose in poses) == pytest.approx(1.0)


def test_a_coin_like_plate_has_two_poses_and_a_ball_one() -> None:
    upright, over = stable_poses("plate")
    assert upright.height_m == pytest.approx(0.0, abs=1e-6) and over.height_m == pytest.approx(0.022, abs=1e-4)
    assert abs(over.rotation_wxyz[0]) < 1e-6
    (ball,) = stable_poses("sphere")
    assert ball.height_m == pytest.approx(0.0) and ball.probability == 1.0
    # A glass lies on its side, in one pose for all turns about its axis, or stands on either end.
    lying, *standing = stable_poses("glass")
    assert lying.probability > 0.5 and len(standing) == 2


@pytest.mark.parametrize("kind", CROCKERY)
def test_mujoco_lets_them_lie(kind: str) -> None:
    """Put down in its commonest poses, an object moves less than 2 mm: its origin and its top."""
    for pose in stable_poses(kind)[:3]:
        start = np.array([[0.0, 0.0, pose.height_m]])
        end = settle([kind], [1.0], start, pose.rotation_wxyz[None], Ground((Surface((1.0,)),)))
        assert end.still and np.linalg.norm(end.position_m - start) < 0.002
        turn = Rotation.from_quat([pose.rotation_wxyz, end.rotation_wxyz[0]], scalar_first=True)
        assert (turn[0].inv() * turn[1]).magnitude() < 0.03


@pytest.mark.parametrize("kind", CATALOG)
def test_the_centre_of_mass_is_mujocos(kind: str) -> None:
    from air3d.scene3d import physics

    model = physics._compiled((kind,), Ground((Surface((1.0,)),)))
    assert solids(kind).centre_of_mass_m() == pytest.approx(model.body_ipos[1], abs=2e-6)
    assert isinstance(model, mujoco.MjModel)
