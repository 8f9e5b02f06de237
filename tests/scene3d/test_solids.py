"""Bodies for collisions: convex, as large as the meshes, and hollow where the meshes are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from air3d.scene3d.catalog import CATALOG, CROCKERY
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.solids import convex_pieces, solids

Floats = NDArray[np.float64]


def hulls(kind: str) -> list[ConvexHull]:
    return [ConvexHull(b.points @ b.frame[:3, :3].T + b.frame[:3, 3]) for b in solids(kind).bodies]


def within(kind: str, points: Floats) -> NDArray[np.bool_]:
    found = np.zeros(len(points), dtype=bool)
    for hull in hulls(kind):
        found |= (points @ hull.equations[:, :3].T + hull.equations[:, 3] <= 0.0).all(axis=1)
    return found


def area(outline: Floats) -> float:
    (x, y), (u, v) = outline.T, np.roll(outline, -1, axis=0).T
    return abs(float((x * v - u * y).sum())) / 2.0


@pytest.mark.parametrize("kind", CATALOG)
def test_they_are_as_large_as_the_mesh(kind: str) -> None:
    points, mesh = solids(kind).points_m(), load_mesh(kind, "display").positions_m
    assert abs(points.min(axis=0) - mesh.min(axis=0)).max() < 0.003
    assert abs(points.max(axis=0) - mesh.max(axis=0)).max() < 0.003
    assert abs(points[:, 2].min()) < 1e-6  # it stands on the plane


@pytest.mark.parametrize("kind", CROCKERY)
def test_they_fill_what_the_mesh_fills(kind: str) -> None:
    """A little below the surface, inner walls included, there is a body; a little above it, in the cavity too, none."""
    mesh = trimesh.Trimesh(load_mesh(kind, "display").positions_m, load_mesh(kind, "display").faces, process=False)
    points, face = trimesh.sample.sample_surface(mesh, 3000, seed=3)
    normals = mesh.face_normals[face]
    # Parts are joined by burying one in the other: what is buried is no surface.
    shown = ~within(kind, points + 0.006 * normals)
    assert shown.mean() > 0.9
    below, above = within(kind, points - 0.0015 * normals)[shown], within(kind, points + 0.0025 * normals)[shown]
    assert below.mean() > 0.92 and above.mean() < 0.02, (below.mean(), above.mean())


def test_a_bowl_is_hollow_and_a_teapot_is_not() -> None:
    assert not within("bowl", np.array([[0.0, 0.0, 0.02], [0.03, 0.02, 0.05]])).any()
    assert within("bowl", np.array([[0.0, 0.0, 0.005], [0.0710, 0.009, 0.06]])).all()
    assert not within("mug", np.array([[0.0, 0.0, 0.05], [0.06, 0.0, 0.05]])).any()  # nor is the handle's eye filled
    assert within("teapot", np.array([[0.0, 0.0, 0.05]])).all()


def test_a_polygon_is_cut_into_convex_ones_of_its_area() -> None:
    """An L, and a U whose inner corners are rounded."""
    corner = np.array([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)], dtype=float)
    pieces = convex_pieces(corner, 1e-9)
    assert len(pieces) == 2 and sum(map(area, pieces)) == pytest.approx(3.0)
    turn = np.linspace(math.pi, 2.0 * math.pi, 9)
    arch = np.stack([1.5 + np.cos(turn), 1.5 + np.sin(turn)], axis=1)[::-1]
    cup = np.concatenate([[(0, 0), (3, 0), (3, 3), (2.5, 3)], arch, [(0.5, 3), (0, 3)]])
    pieces = convex_pieces(cup, 1e-9)
    assert sum(map(area, pieces)) == pytest.approx(area(cup))
    for piece in pieces:
        assert ConvexHull(piece).volume == pytest.approx(area(piece))
    assert len(convex_pieces(cup, 0.2)) < len(pieces)


def test_primitives_and_centres_of_mass() -> None:
    assert [(b.kind, b.size) for b in solids("cube").bodies] == [("box", (0.05, 0.05, 0.05))]
    assert [(b.kind, b.size) for b in solids("sphere").bodies] == [("sphere", (0.06,))]
    assert solids("cylinder").bodies[0].kind == "cylinder" and solids("cylinder").source == "primitive"
    for kind, height in (("cube", 0.05), ("sphere", 0.06), ("cylinder", 0.06)):
        assert solids(kind).centre_of_mass_m() == pytest.approx([0.0, 0.0, height])
    x, y, z = solids("mug").centre_of_mass_m()
    assert 0.002 < x < 0.02 and abs(y) < 1e-6 and 0.03 < z < 0.05  # the handle draws it to +x
