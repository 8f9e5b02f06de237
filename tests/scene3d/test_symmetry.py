"""Symmetries are the groups that they are named after."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from air3d.scene3d.errors import InputError
from air3d.scene3d.symmetry import Symmetry

ORDERS = {"trivial": 1, "dihedral2": 4, "octahedral": 24}
angles = st.floats(-100.0, 100.0)


@pytest.mark.parametrize("group", ORDERS)
def test_rotations_form_a_group_of_proper_rotations(group: str) -> None:
    rotations = Symmetry(group=group).rotations()
    assert rotations.shape == (ORDERS[group], 3, 3)
    np.testing.assert_array_equal(rotations[0], np.eye(3))
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3)[None].repeat(len(rotations), 0))
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
    elements = {tuple(np.rint(r).astype(int).ravel()) for r in rotations}
    assert len(elements) == ORDERS[group]
    products = {tuple(np.rint(a @ b).astype(int).ravel()) for a, b in itertools.product(rotations, repeat=2)}
    assert products == elements


@pytest.mark.parametrize("group, name", [("octahedral", "O"), ("dihedral2", "D2")])
def test_groups_agree_with_scipy(group: str, name: str) -> None:
    ours = {tuple(np.rint(r).astype(int).ravel()) for r in Symmetry(group=group).rotations()}
    theirs = {tuple(np.rint(r).astype(int).ravel()) for r in Rotation.create_group(name).as_matrix()}
    assert ours == theirs


def test_rotations_are_a_copy() -> None:
    symmetry = Symmetry(group="octahedral")
    symmetry.rotations()[:] = 0.0
    assert np.linalg.det(symmetry.rotations()).min() == pytest.approx(1.0)


@given(angles, angles, st.integers(1, 6), st.integers(-5, 5))
def test_yaw_error(a: float, b: float, order: int, turns: int) -> None:
    symmetry = Symmetry(yaw_order=order)

    def error(x: float, y: float) -> float:
        return float(symmetry.yaw_error_rad(np.array(x), np.array(y)))

    # Brute force: the nearest of the equivalent angles.
    images = b + 2.0 * math.pi / order * np.arange(-40 * order, 40 * order + 1)
    assert error(a, b) == pytest.approx(np.abs(a - images).min(), abs=1e-9)
    assert 0.0 <= error(a, b) <= math.pi / order + 1e-12
    assert error(a, b) == pytest.approx(error(b, a), abs=1e-9)
    assert error(a, a) == 0.0
    assert error(a + 2.0 * math.pi * turns / order, b) == pytest.approx(error(a, b), abs=1e-9)


def test_yaw_error_by_hand() -> None:
    a = np.array([0.1, math.pi - 0.1, math.pi / 2, 0.0])
    b = np.array([0.3, -math.pi + 0.1, 0.0, math.pi])
    np.testing.assert_allclose(Symmetry().yaw_error_rad(a, b), [0.2, 0.2, math.pi / 2, math.pi])
    np.testing.assert_allclose(Symmetry(yaw_order=2).yaw_error_rad(a, b), [0.2, 0.2, math.pi / 2, 0.0], atol=1e-12)
    np.testing.assert_allclose(Symmetry(yaw_order=4).yaw_error_rad(a, b), [0.2, 0.2, 0.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("symmetry", [Symmetry(yaw_order=0), Symmetry(yaw_order=3, spherical=True)])
def test_continuous_symmetry_has_no_yaw_error(symmetry: Symmetry) -> None:
    assert symmetry.continuous_yaw
    error = symmetry.yaw_error_rad(np.linspace(-9.0, 9.0, 7)[:, None], np.array([0.0, 1.0]))
    np.testing.assert_array_equal(error, np.zeros((7, 2)))
    assert not Symmetry(yaw_order=2).continuous_yaw


def test_unknown_group_and_negative_order() -> None:
    with pytest.raises(InputError, match=r"unknown group 'icosahedral'.*octahedral"):
        Symmetry(group="icosahedral")
    with pytest.raises(InputError, match="yaw_order is -1"):
        Symmetry(yaw_order=-1)


@pytest.mark.parametrize(
    "symmetry",
    [
        Symmetry(),
        Symmetry(yaw_order=3),
        Symmetry(yaw_order=4, group="octahedral"),
        Symmetry(yaw_order=2, group="dihedral2"),
        Symmetry(yaw_order=0),
        Symmetry(yaw_order=0, group="dihedral2"),
    ],
)
def test_rotation_error_is_the_least_angle_that_scipy_finds(symmetry: Symmetry) -> None:
    rng = np.random.default_rng(5)
    a, b = Rotation.random(40, rng=rng), Rotation.random(40, rng=rng)
    turns = symmetry.yaw_order or 3600
    about = Rotation.from_euler("z", 2.0 * np.pi * np.arange(turns)[:, None] / turns)
    group = Rotation.concatenate([about * Rotation.from_matrix(turn) for turn in symmetry.rotations()])
    least = np.array([((x * group).inv() * y).magnitude().min() for x, y in zip(a, b, strict=True)])
    found = symmetry.rotation_error_rad(a.as_matrix(), b.as_matrix())
    # Half a step of a discretised turn by t costs at most t^2 / 2 of the cosine.
    missed = 1e-12 if symmetry.yaw_order else (np.pi / turns) ** 2 / 2.0
    assert (found <= least + 1e-7).all() and (np.cos(found) - np.cos(least)).max() <= missed + 1e-12
    for x, turn in zip(a, group[:: len(group) // 7 + 1], strict=False):
        assert symmetry.rotation_error_rad(x.as_matrix(), (x * turn).as_matrix()) < 1e-7


def test_rotation_error_of_upright_objects_is_that_of_their_yaw() -> None:
    yaws = np.random.default_rng(6).uniform(-np.pi, np.pi, (2, 50))
    a, b = Rotation.from_euler("z", yaws.reshape(-1, 1)).as_matrix().reshape(2, 50, 3, 3)
    for symmetry in (Symmetry(), Symmetry(yaw_order=4, group="octahedral"), Symmetry(yaw_order=0)):
        assert symmetry.rotation_error_rad(a, b) == pytest.approx(symmetry.yaw_error_rad(*yaws), abs=1e-7)
    assert Symmetry(spherical=True).rotation_error_rad(a, b).tolist() == [0.0] * 50
