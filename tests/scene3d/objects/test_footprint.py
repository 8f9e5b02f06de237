"""Footprints: circles against brute force, discs against points of the surface, and the symmetry that they keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from air3d.scene3d.objects.footprint import MOST_DISCS, cover, smallest_circle
from air3d.scene3d.symmetry import Symmetry

_flat = st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))


@settings(max_examples=80)
@given(st.lists(_flat, min_size=1, max_size=12))
def test_the_smallest_circle_holds_all_and_is_the_smallest(points):
    points = np.array(points)
    x, y, radius = smallest_circle(points)
    assert np.hypot(points[:, 0] - x, points[:, 1] - y).max() <= radius + 1e-6
    # The greatest distance is a convex function of the centre: no step away from its minimum makes it less.
    for angle in np.linspace(0.0, 2.0 * np.pi, 24):
        moved = points - [x + 0.01 * math.cos(angle), y + 0.01 * math.sin(angle)]
        assert np.hypot(moved[:, 0], moved[:, 1]).max() >= radius - 1e-6


def _hammer() -> np.ndarray:
    parts = [trimesh.creation.box([0.2, 0.02, 0.02]), trimesh.creation.box([0.03, 0.1, 0.03])]
    return trimesh.util.concatenate([parts[0], parts[1].apply_translation([0.09, 0, 0])]).triangles


SHAPES = {
    "hammer": (_hammer(), Symmetry(), 0.35),
    "cross": (
        trimesh.util.concatenate(
            [trimesh.creation.box([0.2, 0.03, 0.02]), trimesh.creation.box([0.03, 0.2, 0.02])]
        ).triangles,
        Symmetry(yaw_order=4),
        0.75,
    ),
    "ruler": (trimesh.creation.box([0.3, 0.03, 0.005]).triangles, Symmetry(yaw_order=2), 0.4),
    "cup": (trimesh.creation.cylinder(0.04, 0.1, sections=48).triangles, Symmetry(yaw_order=0), 1.01),
    "wall": (trimesh.creation.box([0.2, 0.002, 0.1]).triangles, Symmetry(), 0.5),
}


@pytest.mark.parametrize("name", SHAPES)
def test_discs_cover_what_is_seen_from_above_and_not_much_more(name):
    corners, symmetry, share = SHAPES[name]
    discs = cover(corners, symmetry)
    assert 1 <= len(discs) <= MOST_DISCS
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(3), size=(len(corners), 400))
    points = np.concatenate([np.einsum("fwk,fkd->fwd", weights, corners).reshape(-1, 3), corners.reshape(-1, 3)])
    away = [np.hypot(points[:, 0] - c.x_m, points[:, 1] - c.y_m) - c.radius_m for c in discs]
    assert np.min(away, axis=0).max() <= 0.0
    # Against the one disc that would do, by points thrown at it.
    reach = float(np.linalg.norm(corners[..., :2], axis=-1).max())
    thrown = rng.uniform(-reach, reach, (20_000, 2)) * 1.2
    union = np.any([np.hypot(*(thrown - [c.x_m, c.y_m]).T) <= c.radius_m for c in discs], axis=0).mean()
    assert union / (np.hypot(*thrown.T) <= reach).mean() <= share


@pytest.mark.parametrize("name", ["cross", "ruler"])
def test_discs_have_the_declared_symmetry(name):
    corners, symmetry, _ = SHAPES[name]
    discs = np.array([(c.x_m, c.y_m, c.radius_m) for c in cover(corners, symmetry)])
    angle = 2.0 * math.pi / symmetry.yaw_order
    turned = discs.copy()
    turned[:, 0] = math.cos(angle) * discs[:, 0] - math.sin(angle) * discs[:, 1]
    turned[:, 1] = math.sin(angle) * discs[:, 0] + math.cos(angle) * discs[:, 1]
    gaps = np.abs(turned[:, None] - discs[None]).max(axis=2).min(axis=1)
    assert gaps.max() < 5e-6
