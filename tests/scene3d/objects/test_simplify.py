"""Fewer triangles: flat things stay exact, borders stay, and no body is eaten because another cannot be reduced."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from air3d.scene3d.objects.indexed import Indexed
from air3d.scene3d.objects.mend import mended
from air3d.scene3d.objects.nearest import Surface, face_areas, spread_points
from air3d.scene3d.objects.simplify import simplified, thinned


def indexed(*meshes: trimesh.Trimesh) -> Indexed:
    whole = trimesh.util.concatenate(list(meshes))
    whole.merge_vertices()
    return Indexed(np.asarray(whole.vertices), np.asarray(whole.faces))


def apart(a: Indexed, b: Indexed) -> float:
    """Hausdorff distance between two surfaces, about."""
    there = Surface(a.corners).nearest(spread_points(b.corners, 2000)[0]).distance_m.max()
    return max(there, Surface(b.corners).nearest(spread_points(a.corners, 2000)[0]).distance_m.max())


def box(sides, at) -> trimesh.Trimesh:
    return trimesh.creation.box(sides).apply_translation(at)


def test_what_is_flat_is_not_changed():
    """A square in 800 triangles is one in two; a box in 3,072 is one in twelve."""
    x, y = np.meshgrid(np.linspace(0.0, 0.1, 21), np.linspace(0.0, 0.1, 21), indexing="ij")
    corner = np.arange(441).reshape(21, 21)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    square = Indexed(np.stack([x, y, 0.0 * x], -1).reshape(-1, 3), np.concatenate([np.c_[a, b, c], np.c_[a, c, d]]))
    (found,) = simplified([square], [1], 2)
    assert len(found.faces) == 2 and face_areas(found.corners).sum() == pytest.approx(0.01, rel=1e-6)
    cube = trimesh.creation.box([0.04, 0.05, 0.06])
    for _ in range(4):
        cube = cube.subdivide()
    (found,) = simplified([indexed(cube)], [1], 12)
    assert len(found.faces) == 12 and apart(found, indexed(cube)) < 1e-6
    assert trimesh.Trimesh(found.vertices, found.faces).volume == pytest.approx(0.04 * 0.05 * 0.06, rel=1e-6)


def test_a_pot_keeps_its_wall_beside_handles_of_many_triangles():
    """The wall has 96 triangles, each handle 2,000; a triangle of the open wall costs two."""
    wall = trimesh.creation.cylinder(0.06, 0.08, sections=48)
    wall = wall.submesh([np.flatnonzero(np.abs(wall.face_normals[:, 2]) < 0.5)], append=True)
    handles = [trimesh.creation.torus(0.015, 0.003, 50, 20).apply_translation([x, 0, 0]) for x in (-0.08, 0.08)]
    bodies, sheets = indexed(*handles), indexed(wall)
    few, sheet = simplified([bodies, sheets], [1, 2], 360)
    assert len(few.faces) + 2 * len(sheet.faces) <= 360
    assert apart(sheet, sheets) < 0.001
    assert apart(few, bodies) < 0.002
    assert len(trimesh.Trimesh(few.vertices, few.faces).split()) == 2


def test_the_smallest_go_first_where_all_cannot_stay():
    crumbs = [box([0.001] * 3, [0.01 * i, 0.01 * j, 0.1]) for i in range(10) for j in range(10)]
    whole = indexed(box([0.06] * 3, [0, 0, 0]), box([0.03] * 3, [0.2, 0, 0]), *crumbs)
    (found,) = simplified([whole], [1], 60)
    assert 24 <= len(found.faces) <= 60
    volumes = sorted(part.volume for part in trimesh.Trimesh(found.vertices, found.faces).split())[-2:]
    assert volumes == pytest.approx([0.03**3, 0.06**3], rel=1e-6)


def test_what_is_small_enough_is_left_alone():
    mesh = indexed(trimesh.creation.icosphere(1, 0.03))
    assert simplified([mesh], [1], 80)[0] is mesh
    assert simplified([mesh, Indexed(np.zeros((0, 3)), np.zeros((0, 3), int))], [1, 2], 80)[0] is mesh


def test_a_sphere_is_evenly_coarse():
    (found,) = simplified([indexed(trimesh.creation.icosphere(4, 0.03))], [1], 200)
    body = trimesh.Trimesh(found.vertices, found.faces)
    assert len(found.faces) == 200 and body.is_watertight
    # A regular polyhedron of 200 equal triangles with the sphere's volume: each face reaches about 1.2 % inwards.
    assert body.volume == pytest.approx(4.0 / 3.0 * np.pi * 0.03**3, rel=0.03)
    assert np.abs(np.linalg.norm(spread_points(found.corners, 2000)[0], axis=1) / 0.03 - 1.0).max() < 0.05


def plate_with_holes(rows: int, columns: int) -> Indexed:
    """A plate 5 mm thick with square holes, and more triangles than it needs: closed, of genus rows * columns."""
    solid = np.ones((2 * rows + 1, 2 * columns + 1), dtype=bool)
    solid[1::2, 1::2] = False
    solid = np.pad(solid, 1)[:, :, None] * np.array([False, True, False])
    corners = []
    for axis in range(3):
        for way in (0, 1):
            at = np.argwhere(solid & ~np.roll(solid, 1 - 2 * way, axis=axis)).astype(float)
            at[:, axis] += way
            u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            corners += [np.stack([at, at + u, at + u + v], axis=1), np.stack([at, at + u + v, at + v], axis=1)]
    mesh = trimesh.Trimesh(**trimesh.triangles.to_kwargs(0.005 * np.concatenate(corners)))
    return mended(mesh.subdivide().triangles, None)[0]


def test_a_plate_full_of_holes_stays_within_a_small_part_of_its_size():
    """48 holes of four walls: too many for 360 triangles, so some close, and none of the plate is bent for them."""
    plate = plate_with_holes(6, 8)
    assert trimesh.Trimesh(plate.vertices, plate.faces).euler_number == 2 - 2 * 48 and len(plate.faces) > 2000
    (found,) = simplified([plate], [1], 360)
    assert 0 < len(found.faces) <= 360
    # In the middle of a closed hole the file's surface is half a hole's side away.
    assert apart(found, plate) < 0.0045


@pytest.mark.parametrize("count", [300, 800])
def test_more_bodies_than_triangles(count):
    rng = np.random.default_rng(1)
    tetra = trimesh.creation.icosphere(0, 0.002)
    crumbs = [tetra.copy().apply_translation(at) for at in rng.uniform(0.0, 0.1, (count, 3))]
    (found,) = simplified(thinned([indexed(*crumbs, box([0.04] * 3, [0.05] * 3))], [1], 8000), [1], 360)
    assert 12 <= len(found.faces) <= 360
    assert np.ptp(found.vertices, axis=0).min() > 0.03, "the large one stays"


def test_nothing_is_left_of_no_body_alone():
    """Where one body has to be cut to less than it bears, it stays, however coarse."""
    for mesh in (trimesh.creation.torus(0.03, 0.01), trimesh.creation.icosphere(3, 0.03)):
        (found,) = simplified([indexed(mesh)], [1], 8)
        assert 4 <= len(found.faces) <= 8 and face_areas(found.corners).sum() > 0.0


def test_loose_triangles_are_kept_as_far_as_they_go():
    """Each without thickness, so that it counts twice: 100 of 150 fit into 200, the largest."""
    rng = np.random.default_rng(2)
    corners = rng.uniform(0.0, 0.1, (150, 1, 3)) + rng.uniform(0.001, 0.01, (150, 1, 1)) * np.eye(3)
    (found,) = simplified([indexed(*(trimesh.Trimesh(t, [[0, 1, 2]]) for t in corners))], [2], 200)
    largest = np.sort(face_areas(corners))[50:]
    np.testing.assert_allclose(np.sort(face_areas(found.corners)), largest, rtol=0.01)
