"""From triangles to meshes: sizes, volumes and places by closed form, closedness and winding by counting edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.objects.description import UPS
from air3d.scene3d.objects.mesh_file import read_mesh
from air3d.scene3d.objects.nearest import Surface, closest_weights, spread_points
from air3d.scene3d.objects.shape import OBJECT, Shape, make_shape, placement


def shaped(description) -> Shape:
    raw = read_mesh(description.mesh, description.where)
    return make_shape(raw.corners, raw.uvs if description.texture else None, description)


def volume(mesh: Mesh) -> float:
    """By the divergence theorem: positive where faces look outwards."""
    a, b, c = mesh.positions_m[mesh.faces].transpose(1, 0, 2)
    return float(np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6.0)


def open_edges(mesh: Mesh) -> int:
    """Directed edges without exactly one partner that runs the other way."""
    _, index = np.unique(mesh.positions_m.round(6), axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    edges = [tuple(edge) for edge in faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()]
    return sum(edges.count((b, a)) != edges.count((a, b)) for a, b in set(edges))


def test_a_sphere_keeps_its_volume_and_stands_on_the_table(describe):
    shape = shaped(describe(trimesh.creation.icosphere(4, 30.0).apply_translation([7, -9, 100]), longest_m=0.06))
    for mesh, most, tolerance in (
        (shape.display, OBJECT.display_faces, 0.01),
        (shape.inference, OBJECT.inference_faces, 0.04),
    ):
        assert len(mesh.faces) <= most and open_edges(mesh) == 0
        assert volume(mesh) == pytest.approx(4.0 / 3.0 * math.pi * 0.03**3, rel=tolerance)
        assert mesh.positions_m[:, 2].min() == 0.0
        assert np.abs(mesh.positions_m[:, :2]).max() == pytest.approx(0.03, rel=0.02)
        out = mesh.positions_m - [0.0, 0.0, 0.03]
        assert (np.einsum("vi,vi->v", mesh.normals, out) > 0.95 * np.linalg.norm(out, axis=1)).all(), "smooth normals"
    assert len(shape.inference.faces) > OBJECT.inference_faces / 2 and shape.open_faces == 0


@pytest.mark.parametrize("up", UPS)
def test_the_axis_that_points_up_comes_to_stand(describe, up):
    """A box of sides 10, 20, 30 with a mark at the end that is up: its height, and where the mark comes to be."""
    axis, sign = "xyz".index(up[-1]), -1.0 if up[0] == "-" else 1.0
    box = trimesh.creation.box([10, 20, 30])
    mark = trimesh.creation.box([1, 1, 1]).apply_translation(sign * (np.array([10, 20, 30]) / 2 + 3) * np.eye(3)[axis])
    description = describe(trimesh.util.concatenate([box, mark]), up=up, scale=0.001)
    shape = shaped(description)
    side = (10, 20, 30)[axis]
    points = shape.display.positions_m
    assert points[:, 2].max() == pytest.approx((side + 3.5) / 1000, abs=1e-6)
    top = points[points[:, 2] > (side + 1) / 1000]
    assert np.allclose(top[:, :2].mean(axis=0), 0.0, atol=1e-6)
    # Before winding is mended a mirror image would have a negative volume.
    corners = read_mesh(description.mesh, "").corners
    a, b, c = (corners @ placement(corners, description)[0][:3, :3].T).transpose(1, 0, 2)
    assert np.einsum("fi,fi", a, np.cross(b, c)) / 6.0 == pytest.approx((6000 + 1) * 1e-9, rel=1e-4)


def test_a_front_is_turned_to_x(describe):
    arrow = trimesh.util.concatenate(
        [
            trimesh.creation.box([0.02, 0.1, 0.02]),
            trimesh.creation.box([0.05, 0.01, 0.05]).apply_translation([0, 0.04, 0]),
        ]
    )
    points = shaped(describe(arrow, turn_deg=-90)).display.positions_m
    wide = points[np.abs(points[:, 1]) > 0.02]
    assert (wide[:, 0] > 0.03).all()


def test_faces_wound_inwards_or_anyhow_are_mended(describe):
    good = trimesh.creation.box([0.04, 0.05, 0.06])
    faces = good.faces.copy()
    faces[::2] = faces[::2, ::-1]
    for broken in (faces, good.faces[:, ::-1]):
        shape = shaped(describe(trimesh.Trimesh(good.vertices, broken, process=False)))
        assert volume(shape.display) == pytest.approx(0.04 * 0.05 * 0.06, rel=1e-4)
        assert open_edges(shape.display) == 0 and shape.open_faces == 0


def test_useless_triangles_are_left_out(describe):
    good = trimesh.creation.box([0.04, 0.05, 0.06])
    more = np.concatenate([good.faces, good.faces[:3], [[0, 0, 1], [2, 5, 2]]])
    shape = shaped(describe(trimesh.Trimesh(good.vertices, more, process=False), suffix=".ply"))
    assert len(shape.display.faces) == 12 and open_edges(shape.display) == 0


def test_an_open_sheet_has_two_sides(describe):
    cup = trimesh.creation.cylinder(0.04, 0.08, sections=32)
    lidless = cup.submesh([np.flatnonzero(cup.face_normals[:, 2] < 0.5)], append=True)
    shape = shaped(describe(lidless))
    assert shape.open_faces == len(lidless.faces)
    for mesh in (shape.display, shape.inference):
        assert len(mesh.faces) <= 2 * len(lidless.faces) and volume(mesh) == pytest.approx(0.0, abs=1e-12)
        corners = mesh.positions_m[mesh.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (np.einsum("fi,fki->fk", cross, mesh.normals[mesh.faces]) > 0.0).all(), "lit on the side it is seen from"
    assert len(shape.inference.faces) <= OBJECT.inference_faces


def test_a_textured_mesh_keeps_its_picture_in_place(describe):
    """Texture coordinates that are a function of the place are found again at every corner of both meshes."""
    sphere = trimesh.creation.icosphere(5, 0.03)
    uv = 0.5 + sphere.vertices[:, :2] / 0.08
    sphere.visual = trimesh.visual.TextureVisuals(uv=uv)
    shape = shaped(describe(sphere, suffix=".obj", texture="mesh"))
    for mesh, tolerance in ((shape.display, 0.03), (shape.inference, 0.06)):
        assert mesh.uvs is not None
        np.testing.assert_allclose(mesh.uvs, 0.5 + mesh.positions_m[:, :2] / 0.08, atol=tolerance)


@pytest.mark.parametrize(
    "mesh, keys, message",
    [
        (trimesh.creation.box([40, 50, 60]), {}, "scale = 0.001"),
        (trimesh.creation.box([1e-4, 1e-4, 1e-4]), {}, "0.01 to 0.5 m long"),
        (trimesh.creation.box([0.1, 0.1, 1e-5]), {}, "flat"),
        (trimesh.Trimesh([[0, 0, 0], [1, 1, 1], [2, 2, 2]], [[0, 1, 2]], process=False), {}, "no area"),
        (b"solid nothing\nendsolid nothing\n", {}, "triangles|not a mesh"),
        (b"\x00\x01garbage" * 30, {}, "not a mesh|triangles"),
        (b"", {}, "not a mesh|triangles"),
    ],
)
def test_what_cannot_stand_on_the_table_is_one_line(describe, mesh, keys, message):
    with pytest.raises(InputError, match=message) as caught:
        shaped(describe(mesh, **keys))
    assert "[thing]" in str(caught.value) and "\n" not in str(caught.value)


def test_points_that_are_not_finite_or_too_many(describe, monkeypatch):
    with pytest.raises(InputError, match="not finite"):
        shaped(describe(b"v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n", suffix=".obj"))
    monkeypatch.setattr("air3d.scene3d.objects.mesh_file.MAX_FACES", 10)
    with pytest.raises(InputError, match="12 triangles; simplify it to at most 10"):
        shaped(describe(trimesh.creation.box([0.1, 0.1, 0.1])))


_unit = st.floats(-1.0, 1.0)


@settings(max_examples=60)
@given(st.lists(st.tuples(_unit, _unit, _unit), min_size=4, max_size=4))
def test_the_nearest_point_of_a_triangle_is_a_constrained_minimum(points):
    """Against a search over a fine grid of barycentric coordinates."""
    *corners, query = np.array(points)
    corners = np.array(corners)
    weights = closest_weights(corners[None], query[None])[0]
    assert weights.min() >= 0.0 and weights.sum() == pytest.approx(1.0)
    i, j = np.divmod(np.arange(61 * 61), 61)
    grid = np.stack([i, j, 60 - i - j], axis=1)[i + j <= 60] / 60.0
    least = np.linalg.norm(grid @ corners - query, axis=1).min()
    found = np.linalg.norm(weights @ corners - query)
    assert found <= least + 1e-9
    assert found >= least - 2.0 * np.ptp(corners, axis=0).max() / 60.0


def test_distances_to_a_sphere_are_those_of_geometry():
    sphere = trimesh.creation.icosphere(5, 1.0).triangles
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3))
    away = np.abs(np.linalg.norm(points, axis=1) - 1.0)
    np.testing.assert_allclose(Surface(sphere).nearest(points).distance_m, away, atol=2e-3)


def test_spread_points_are_even_by_area():
    corners = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 1], [3, 0, 1], [0, 3, 1]]], dtype=float)
    points, owner = spread_points(corners, 2000)
    counts = np.bincount(owner)
    assert counts[1] / counts[0] == pytest.approx(9.0, rel=0.15)
    for f in (0, 1):
        np.testing.assert_allclose(points[owner == f].mean(axis=0), corners[f].mean(axis=0), atol=1e-9)


def test_a_flat_sheet_is_told_its_size(describe):
    sheet = b"v 0 0 0\nv 0.1 0 0\nv 0.1 0.2 0\nv 0 0.2 0\nf 1 2 3 4\n"
    for keys in ({}, {"height_m": 0.1}, {"longest_m": 0.1}):
        with pytest.raises(InputError, match=r"flat sheet, 0.1 x 0.2 x 0 in the file's units; a sheet has no body"):
            shaped(describe(sheet, suffix=".obj", **keys))
    leaning = sheet.replace(b" 0.2 0", b" 0.2 0.1")
    with pytest.raises(InputError, match=r"flat sheet, 0\.1 x 0\.2 x 0\.1 "):
        shaped(describe(leaning, suffix=".obj"))
    plate = trimesh.creation.box([0.1, 0.1, 0.0001])
    plate.apply_transform(trimesh.transformations.rotation_matrix(0.5, [1, 2, 3]))
    with pytest.raises(InputError, match=r"flat: 0.1 mm thick; it must be 0.2 mm thick"):
        shaped(describe(plate))
