"""Sceneries are simplified body by body: what touches stays apart, boxes stay boxes, what is seen large gets more."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from air3d.scene3d.objects.indexed import Indexed, bodies, welded
from air3d.scene3d.objects.shares import set_apart, set_back, shared


def mesh(*parts: trimesh.Trimesh) -> Indexed:
    return welded(np.concatenate([np.zeros((0, 3, 3)), *(np.asarray(part.triangles) for part in parts)]))


def test_bodies_are_set_apart_and_back():
    first = mesh(trimesh.creation.box([1, 1, 1]), trimesh.creation.icosphere(2, 0.2).apply_translation([3, 0, 0]))
    second = mesh(trimesh.creation.box([9, 9, 1]))
    apart = set_apart([first, second])
    lows = [part.corners.reshape(-1, 3)[:, 0].min() for part in apart]
    assert np.ptp(apart[0].vertices[:, 0]) > 32.0 and lows[1] > apart[0].vertices[:, 0].max() + 10.0
    for before, after in zip((first, second), apart, strict=True):
        assert set_back(after.vertices) == pytest.approx(before.vertices, abs=1e-9)
        assert (bodies(after.faces) == bodies(before.faces)).all()


def test_a_box_stays_and_balls_share_the_rest_by_the_angle_under_which_they_are_seen():
    box = trimesh.creation.box([2, 2, 0.02])
    near = trimesh.creation.icosphere(4, 0.2).apply_translation([1, 0, 0.3])
    far = trimesh.creation.icosphere(4, 0.2).apply_translation([6.0, 0, 0.3])
    (thin, nothing) = shared(set_apart([mesh(box, near, far), mesh()]), [1, 2], 1000)
    assert len(thin.faces) <= 1000 and not len(nothing.faces)
    label = bodies(thin.faces)
    found = {}
    for k in range(label.max() + 1):
        points = set_back(thin.corners[label == k].reshape(-1, 3))
        found[round(float(points[:, 0].mean()))] = (label == k).sum(), points
    count_far, far_points = found[6]
    assert found[0][0] == 12 <= count_far < found[1][0] / 2
    # Each keeps its own shape, here that of a ball of radius 20 cm.
    assert np.linalg.norm(far_points - [6.0, 0.0, 0.3], axis=1) == pytest.approx(0.2, abs=0.04)
    flat = set_back(thin.corners.reshape(-1, 3))
    corners = np.abs(np.abs(flat) - [1.0, 1.0, 0.01]).max(axis=1) < 1e-6
    assert corners.sum() == 36  # the box's twelve triangles


def test_the_smallest_go_where_there_are_too_many():
    balls = [trimesh.creation.icosphere(1, 0.01 * k).apply_translation([0.4 * k, 0, 0]) for k in range(1, 9)]
    (kept,) = shared(set_apart([mesh(*balls)]), [1], 40)
    assert len(kept.faces) <= 40
    points = set_back(kept.corners.reshape(-1, 3))
    assert bodies(kept.faces).max() + 1 == 3 and points[:, 0].min() > 0.3
