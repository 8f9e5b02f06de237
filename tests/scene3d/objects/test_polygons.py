"""Polygons into triangles: areas by the shoelace formula, and the same cuts for a polygon and its back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air3d.scene3d.errors import InputError
from air3d.scene3d.objects import polygons
from air3d.scene3d.objects.polygons import cut


def shoelace(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return 0.5 * float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def triangles_of(polygon: np.ndarray) -> np.ndarray:
    """(F, 3, 2), of a polygon (N, 2) that lies askew in space: what is found there, back in the plane."""
    first, second = np.array([0.6, 0.0, 0.8]), np.array([0.48, 0.8, -0.36])
    points = polygon[:, :1] * first + polygon[:, 1:] * second + [3.0, 1.0, 2.0]
    rows, owner = cut(points, np.array([len(polygon)]), np.arange(len(polygon)), "file")
    assert (owner == 0).all() and rows.shape == (len(polygon) - 2, 3)
    return polygon[rows]


def areas(triangles: np.ndarray) -> np.ndarray:
    a, b, c = triangles.transpose(1, 0, 2)
    return 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])


NOTCHED = [[0, 0], [4, 0], [4, 4], [2, 1.5], [0, 4]]
ARROW = [[0, 0], [2, 1], [0, 2], [0.5, 1]]
SPIRAL = [[0, 0], [5, 0], [5, 5], [1, 5], [1, 2], [3, 2], [3, 3], [2, 3], [2, 4], [4, 4], [4, 1], [0, 1]]
# A square with a square hole, joined by a slit; and one with corners that lie straight on its sides.
KEYHOLE = [[0, 0], [6, 0], [6, 6], [0, 6], [0, 0], [2, 2], [2, 4], [4, 4], [4, 2], [2, 2]]
STRAIGHT = [[0, 0], [1, 0], [2, 0], [2, 2], [1, 2], [1, 1], [0, 1]]


@pytest.mark.parametrize(
    "polygon, area", [(NOTCHED, 11.0), (ARROW, 1.5), (SPIRAL, 15.0), (KEYHOLE, 32.0), (STRAIGHT, 3.0)]
)
def test_concave_polygons_keep_their_area(polygon, area):
    for turn in range(len(polygon)):
        outline = np.roll(np.array(polygon, dtype=float), turn, axis=0)
        assert shoelace(outline) == pytest.approx(area)
        found = areas(triangles_of(outline))
        assert found.min() >= -1e-12 and found.sum() == pytest.approx(area)
        assert areas(triangles_of(outline[::-1])).sum() == pytest.approx(-area)


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 40), st.integers(0, 2**32 - 1))
def test_stars_of_any_shape_keep_their_area(corners, seed):
    rng = np.random.default_rng(seed)
    angle = (np.arange(corners) + rng.uniform(0.1, 0.9, corners)) * 2 * np.pi / corners
    outline = rng.uniform(0.1, 1.0, corners)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if np.diff(angle, append=angle[0] + 2 * np.pi).max() > 3.1:
        return  # then its middle may be outside
    found = areas(triangles_of(outline))
    assert found.min() > -1e-9 and found.sum() == pytest.approx(shoelace(outline), rel=1e-6)


@pytest.mark.parametrize("polygon", [NOTCHED, ARROW, SPIRAL, [[0, 0], [1, 0], [1, 1], [0, 1]]])
def test_a_polygon_and_its_back_have_the_same_triangles(polygon):
    """Whatever corner each of them begins with, and also if each has corners of its own."""
    count = len(polygon)
    flat = np.concatenate([np.array(polygon, dtype=float), np.zeros((count, 1))], axis=1)
    points = np.concatenate([flat, flat])
    for turn in range(count):
        back = count + np.roll(np.arange(count)[::-1], turn)
        rows, owner = cut(points, np.array([count, count]), np.concatenate([np.arange(count), back]), "file")
        corners = np.concatenate([np.arange(count), back % count])[rows]
        front, behind = ({frozenset(triangle) for triangle in corners[owner == k].tolist()} for k in (0, 1))
        assert front == behind and len(front) == count - 2
        normals = np.cross(flat[corners[:, 1]] - flat[corners[:, 0]], flat[corners[:, 2]] - flat[corners[:, 0]])
        np.testing.assert_array_equal(np.sign(normals[:, 2]), np.where(owner == 0, 1.0, -1.0))


def test_polygons_that_are_no_polygons_come_to_an_end(monkeypatch):
    star = np.array([[0, 1], [1, -1], [-1, 0.3], [1, 0.3], [-1, -1]])
    for outline in (star, np.zeros((7, 2)), np.array([[0, 0], [1, 0], [2, 0], [3, 0], [1, 0]])):
        assert triangles_of(outline.astype(float)).shape == (len(outline) - 2, 3, 2)
    monkeypatch.setattr(polygons, "_MAX_CONCAVE", 11)
    with pytest.raises(InputError, match="face of 12 corners that is not convex"):
        triangles_of(np.array(SPIRAL, dtype=float))
