"""The three primitives of the paper's first 3D experiment: cube, sphere, textured cylinder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.meshes.profile import Array, Corner, rounded_profile
from air3d.scene3d.meshes.surface import Mesh, Resolution, polygon_stretch, revolve
from air3d.scene3d.meshes.textures import CAP_V, SIDE_V

CUBE_HALF_M = 0.050
_CUBE_EDGE_RADIUS_M = 0.002
SPHERE_RADIUS_M = 0.060
CYLINDER_HEIGHT_M = 0.120
CYLINDER_RADIUS_M = 0.050 / polygon_stretch(16)


def cube(detail: Resolution) -> Mesh:
    """A cube with sharp edges for inference; for display the edges are slightly rounded."""
    flat = CUBE_HALF_M - _CUBE_EDGE_RADIUS_M
    if detail.tolerance_m > _CUBE_EDGE_RADIUS_M:
        line, radius_m = np.array([-CUBE_HALF_M, CUBE_HALF_M]), 0.0
    else:
        bend = _CUBE_EDGE_RADIUS_M * np.tan(np.linspace(0.0, np.pi / 4.0, 9))
        line, radius_m = np.concatenate([-(flat + bend[::-1]), flat + bend]), _CUBE_EDGE_RADIUS_M
    n = len(line)
    u, v = (grid.reshape(-1) for grid in np.meshgrid(line, line, indexing="ij"))
    cell = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).reshape(-1)
    quads = np.concatenate(
        [np.stack([cell, cell + n, cell + n + 1], axis=1), np.stack([cell, cell + n + 1, cell + 1], axis=1)]
    )
    positions: list[Array] = []
    normals: list[Array] = []
    faces: list[NDArray[np.int64]] = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            # u, v and the face's own axis form a right-handed frame; a negative face swaps u and v.
            first, second = ((axis + 1) % 3, (axis + 2) % 3) if sign > 0.0 else ((axis + 2) % 3, (axis + 1) % 3)
            outer = np.empty((n * n, 3))
            outer[:, axis], outer[:, first], outer[:, second] = sign * CUBE_HALF_M, u, v
            normal = np.zeros((n * n, 3))
            normal[:, axis] = sign
            if radius_m > 0.0:
                # A rounded box: every point of the box's surface pulled to within the radius of the inner box.
                inner = np.clip(outer, -flat, flat)
                normal = (outer - inner) / np.linalg.norm(outer - inner, axis=1, keepdims=True)
                outer = inner + radius_m * normal
            faces.append(quads + len(positions) * n * n)
            positions.append(outer + np.array([0.0, 0.0, CUBE_HALF_M]))
            normals.append(normal)
    return Mesh(np.concatenate(positions), np.concatenate(normals), np.concatenate(faces))


def sphere(detail: Resolution) -> Mesh:
    """A subdivided icosahedron.

    Its corners lie on the sphere: to circumscribe would break the catalog's height.
    """
    points, faces = _icosahedron()
    # The middle of a face with edges of angle a lies about r a^2 / 6 below the sphere.
    edge_rad = np.arctan(2.0)
    while SPHERE_RADIUS_M * edge_rad**2 / 6.0 > detail.tolerance_m:
        points, faces = _subdivided(points, faces)
        edge_rad /= 2.0
    return Mesh(SPHERE_RADIUS_M * (points + np.array([0.0, 0.0, 1.0])), points, faces)


def cylinder(detail: Resolution) -> Mesh:
    """A cylinder with a checkerboard round its side (`textures.cylinder_texture`) and plain caps.

    Rings at half height and a multiple of four sides: no face crosses a colour's border.
    """
    half, top, r = CYLINDER_HEIGHT_M / 2.0, CYLINDER_HEIGHT_M, CYLINDER_RADIUS_M
    corners = [Corner(0.0, 0.0), Corner(r, 0.0), Corner(r, half), Corner(r, top), Corner(0.0, top)]
    profile = rounded_profile(corners, detail.tolerance_m)
    mesh = revolve(profile, detail.sides)
    around = np.tile(np.arange(detail.sides + 1) / detail.sides, len(profile.points_m))
    height = mesh.positions_m[:, 2] / CYLINDER_HEIGHT_M
    on_side = np.abs(mesh.normals[:, 2]) < 0.5
    v = np.where(on_side, SIDE_V[0] + (SIDE_V[1] - SIDE_V[0]) * height, CAP_V)
    return Mesh(mesh.positions_m, mesh.normals, mesh.faces, np.stack([around, v], axis=1))


def _icosahedron() -> tuple[Array, NDArray[np.int64]]:
    """Unit icosahedron: corners (12, 3), faces (20, 3). The axes x, y, z pass through middles of edges."""
    golden = (1.0 + np.sqrt(5.0)) / 2.0
    flat = [(s, t * golden) for s in (1.0, -1.0) for t in (1.0, -1.0)]
    corners = np.array([np.roll([0.0, a, b], k) for k in range(3) for a, b in flat])
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    near = corners @ corners.T > 0.4
    faces = []
    for i in range(12):
        for j in range(i + 1, 12):
            for k in range(j + 1, 12):
                if near[i, j] and near[j, k] and near[i, k]:
                    outward = np.linalg.det(corners[[i, j, k]]) > 0.0
                    faces.append((i, j, k) if outward else (i, k, j))
    return corners, np.array(faces)


def _subdivided(points: Array, faces: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Split every triangle of a unit sphere's mesh in four."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges, index = np.unique(edges, axis=0, return_inverse=True)
    middles = points[edges[:, 0]] + points[edges[:, 1]]
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    ab, bc, ca = index.reshape(3, -1) + len(points)
    a, b, c = faces.T
    split = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([points, middles]), np.concatenate([np.stack(corners, axis=1) for corners in split])


PRIMITIVE_BUILDERS: dict[str, Callable[[Resolution], Mesh]] = {"cube": cube, "sphere": sphere, "cylinder": cylinder}
