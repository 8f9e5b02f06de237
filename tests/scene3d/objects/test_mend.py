"""Which triangles are closed bodies, and which way they look: counted and integrated by closed form."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from air3d.scene3d.objects.indexed import Indexed
from air3d.scene3d.objects.mend import mended


def box(at=(0.0, 0.0, 0.0), sides=(1.0, 1.0, 1.0)) -> np.ndarray:
    return np.asarray(trimesh.creation.box(sides).apply_translation(at).triangles)


def volume(mesh: Indexed) -> float:
    """By the divergence theorem: positive where faces look outwards."""
    a, b, c = mesh.corners.transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6.0)


def moebius() -> np.ndarray:
    turn = np.linspace(0.0, 2.0 * np.pi, 41)
    edge = [
        [np.cos(t) * (1.0 + w * np.cos(t / 2)), np.sin(t) * (1.0 + w * np.cos(t / 2)), w * np.sin(t / 2)]
        for w in (-0.3, 0.3)
        for t in turn
    ]
    p = np.array(edge).reshape(2, 41, 3)
    return np.concatenate([np.stack([p[0, :-1], p[1, :-1], p[1, 1:]], 1), np.stack([p[0, :-1], p[1, 1:], p[0, 1:]], 1)])


BALL = np.asarray(trimesh.creation.icosphere(2, 0.5).triangles)
OTHER_DIAGONALS = np.asarray(
    trimesh.creation.box().apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])).triangles
)
WALL = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]], dtype=float) - [0.5, 0.5, 0.0]
NOISE = np.random.default_rng(3).uniform(-1e-7, 1e-7, (12, 3, 3)) + 0.5e-6
FIN = np.array([[[0.5, 0.5, -0.5], [0.5, 0.5, 0.5], [2.0, 0.5, 0.0]]])
GRID = [box((i, j, k)) for i in range(3) for j in range(2) for k in range(2)]


@pytest.mark.parametrize(
    "parts, cubic, sheets",
    [
        ([box()], 1.0, 0),
        ([box()[:, ::-1]], 1.0, 0),
        ([box(), box((1, 0, 0))], 2.0, 0),  # touch in a face, cut alike or not
        ([box(), OTHER_DIAGONALS + [1, 0, 0]], 2.0, 0),
        ([box(), box((1, 1, 0))], 2.0, 0),  # in an edge
        ([box(), box((1, 1, 1))], 2.0, 0),  # in a corner
        ([box(), box((0, 0, 1), (0.5, 0.5, 1.0))], 1.25, 0),  # in part of a face
        (GRID, 12.0, 0),
        ([box(), FIN], 1.0, 1),  # only the fin is open
        ([box(), BALL[:, ::-1] + [3, 0, 0]], None, 0),  # each body for itself
        ([box(), box()[:5], box()[3:9, ::-1]], 1.0, 0),  # triangles that are there twice
        ([box() + NOISE], 1.0, 0),  # corners equal to a tenth of a micrometre
        ([WALL], 0.0, 2),
        ([WALL, WALL[:, ::-1]], 0.0, 2),  # a leaf, drawn from both sides anyway
        ([moebius()], 0.0, 80),  # has one side only
        ([np.zeros((4, 3, 3))], 0.0, 0),
        ([np.zeros((0, 3, 3))], 0.0, 0),
    ],
)
def test_what_is_closed_is_closed_and_looks_outwards(parts, cubic, sheets):
    closed, rest = mended(np.concatenate(parts), None)
    if cubic is None:
        cubic = sum(
            abs(volume(Indexed(part.reshape(-1, 3), np.arange(3 * len(part)).reshape(-1, 3)))) for part in parts
        )
    assert volume(closed) == pytest.approx(cubic, rel=1e-5) and len(rest.faces) == sheets
    edges = np.sort(closed.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0).all()


def test_a_wall_inside_is_a_sheet_and_the_rest_is_closed():
    """Two boxes that share a wall which is there once: the file's own volume is that of both."""
    low, high = box(), box((0, 0, 1))
    outside = [low[~(low[..., 2] > 0.4).all(axis=1)], high[~(high[..., 2] < 0.6).all(axis=1)]]
    closed, wall = mended(np.concatenate([*outside, WALL + [0, 0, 0.5]]), None)
    assert volume(closed) == pytest.approx(2.0) and len(closed.faces) == 20
    assert len(wall.faces) == 2 and np.allclose(wall.corners[..., 2], 0.5)


def test_triangles_keep_their_coordinates_whichever_way_they_are_turned():
    """Coordinates that are a function of the corner's place stay so."""
    rng = np.random.default_rng(0)
    corners = BALL.copy()
    back = rng.random(len(corners)) < 0.5
    corners[back] = corners[back, ::-1]
    closed, _ = mended(corners, corners[..., :2] * [2.0, 3.0])
    assert volume(closed) == pytest.approx(volume(mended(BALL, None)[0]))
    np.testing.assert_allclose(closed.values, closed.corners[..., :2] * [2.0, 3.0], atol=1e-5)
