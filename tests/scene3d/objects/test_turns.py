"""Symmetries found and refused: shapes whose symmetry is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh

from air3d.scene3d.objects.turns import DOUBTFUL, HOLDS, Turns
from air3d.scene3d.symmetry import Symmetry


def prism(sides: int, radius: float = 0.05) -> np.ndarray:
    return trimesh.creation.cylinder(radius, 0.06, sections=sides).triangles


def mug() -> np.ndarray:
    body, handle = trimesh.creation.cylinder(0.04, 0.09, sections=48), trimesh.creation.box([0.04, 0.01, 0.05])
    return trimesh.util.concatenate([body, handle.apply_translation([0.045, 0, 0])]).triangles


@pytest.mark.parametrize(
    "corners, order",
    [(prism(3), 3), (prism(4), 4), (prism(5), 5), (prism(6), 6), (prism(64), 0), (mug(), 1)],
    ids=["triangle", "square", "pentagon", "hexagon", "round", "mug"],
)
def test_the_richest_symmetry_is_found(corners, order):
    assert Turns(corners).best() == Symmetry(yaw_order=order)


@pytest.mark.parametrize("corners, order", [(mug(), 0), (mug(), 2), (prism(4), 0), (prism(4), 3), (prism(3), 2)])
def test_what_does_not_hold_is_noticed(corners, order):
    assert Turns(corners).check(Symmetry(yaw_order=order)).share > DOUBTFUL


def test_the_error_is_the_distance_that_geometry_says():
    """A square turned by 45 degrees: its corners come to lie (sqrt 2 - 1) half sides outside the middle of a side."""
    square = trimesh.creation.box([0.1, 0.1, 0.1]).triangles
    found = Turns(square).check(Symmetry(yaw_order=8))
    assert found.turn_rad == pytest.approx(math.pi / 4)
    assert found.error_m == pytest.approx((math.sqrt(2.0) - 1.0) * 0.05, rel=1e-3)
    assert found.share == pytest.approx(found.error_m / 0.1)


def test_a_round_body_of_sixteen_sides_counts_as_round():
    assert Turns(prism(16)).check(Symmetry(yaw_order=0)).share < HOLDS
    assert Turns(prism(64)).check(Symmetry())[:2] == (0.0, 0.0)
