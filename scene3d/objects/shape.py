"""From a mesh file's triangles to the two meshes of a kind: upright, in metres, on the table, mended and simplified."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import trimesh
from numpy.typing import NDArray

from scene3d.errors import InputError
from scene3d.meshes.surface import Mesh
from scene3d.objects.description import ObjectDescription
from scene3d.objects.footprint import smallest_circle
from scene3d.objects.nearest import Surface, face_areas
from scene3d.objects.raw_mesh import RawMesh
from scene3d.objects.simplify import Indexed, simplified, thinned, welded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

INFERENCE_FACES, DISPLAY_FACES = 360, 8000
MIN_SIDE_M, MAX_SIDE_M = 0.01, 0.5
MIN_THICKNESS_M = 0.001
# MuJoCo's OpenGL lights a corner whose normal is farther than this off its face as flat anyway.
_SMOOTH_RAD = math.acos(0.8)
_UPRIGHT = {
    "z": np.eye(3),
    "-z": np.diag([1.0, -1.0, -1.0]),
    "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "-y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "x": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    "-x": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]),
}


class Shape(NamedTuple):
    """A kind's meshes.

    Attributes:
        inference, display: the two levels of detail, with texture coordinates if the file has them.
        corners: (F, 3, 3) the mended surface, metres, each side once.
        open_faces: number of its triangles that are part of no closed body: drawn from both sides.
    """

    inference: Mesh
    display: Mesh
    corners: Floats
    open_faces: int


def make_shape(raw: RawMesh, description: ObjectDescription) -> Shape:
    """Both meshes of a kind.

    The origin is the centre of the smallest circle around what is seen from above: where there is a symmetry about a
    vertical axis, that is the axis.

    Raises:
        InputError: if the size is absurd, or nothing of a surface is left.
    """
    corners = placed(raw.corners, description)
    closed, sheets = _mended(corners, description.where)
    whole = np.concatenate([closed.corners, sheets.corners])
    source = Surface(corners) if description.texture is not None and raw.uvs is not None else None

    def finished(bodies: list[Indexed], normals: list[Floats]) -> Mesh:
        uvs = [_transferred(source, raw.uvs, body.corners) for body in bodies] if source is not None else None
        return _mesh(bodies, normals, uvs)

    # Sheets count double, since they are drawn from both sides.
    share = DISPLAY_FACES / max(len(closed.faces) + 2 * len(sheets.faces), 1)
    fine = [thinned(closed, share), thinned(sheets, share)]
    coarse = simplified(fine, [1, 2], INFERENCE_FACES)
    smooth = [_smooth_normals(mesh) for mesh in fine]
    # Coarse faces are lit as the fine surface under them.
    lent = [
        _transferred(Surface(f.corners), n, c.corners) if len(f.faces) else np.zeros((0, 3, 3))
        for f, n, c in zip(fine, smooth, coarse, strict=True)
    ]
    return Shape(finished(coarse, lent), finished(fine, smooth), whole, len(sheets.faces))


def placed(corners: Floats, description: ObjectDescription) -> Floats:
    """Triangles (F, 3, 3) upright, in metres, standing on z = 0 about the origin.

    Raises:
        InputError: if they have no extent, or an absurd size.
    """
    where = description.where
    c, s = math.cos(description.turn_rad), math.sin(description.turn_rad)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    upright = corners @ (turn @ _UPRIGHT[description.up]).T
    extent = np.ptp(upright.reshape(-1, 3), axis=0)
    if not np.isfinite(extent).all() or face_areas(upright / max(extent.max(), 1e-300)).sum() < 1e-9:
        raise InputError(f"{where}: the mesh has no surface (its triangles have no area)")
    if extent.min() < 1e-9 * extent.max():
        sides = " x ".join(f"{side:.3g}" for side in extent)
        raise InputError(
            f"{where}: is a flat sheet, {sides} in the file's units; a sheet has no body: make it at least "
            f"{1000 * MIN_THICKNESS_M:g} mm thick"
        )
    key, value = description.size
    unit = value / {"height_m": extent[2], "longest_m": extent.max(), "scale": 1.0}[key]
    size = extent * unit
    shown = " x ".join(f"{side:.3g}" for side in size)
    if size.min() < MIN_THICKNESS_M and size.max() >= MIN_THICKNESS_M:
        raise InputError(f"{where}: is {shown} m, flat; it must be {1000 * MIN_THICKNESS_M:g} mm thick at least")
    if not MIN_SIDE_M <= size.max() <= MAX_SIDE_M:
        raise InputError(
            f"{where}: is {shown} m with {key} = {value:g}; on this table it must be {MIN_SIDE_M:g} to {MAX_SIDE_M:g} "
            "m long (a file in millimetres wants scale = 0.001)"
        )
    upright = upright * unit
    x, y, _ = smallest_circle(upright.reshape(-1, 3)[:, :2])
    return upright - np.array([x, y, upright[..., 2].min()])


def _mended(corners: Floats, where: str) -> tuple[Indexed, Indexed]:
    """Equal corners made one, useless triangles left out, all wound outwards; closed bodies, and the rest."""
    vertices, faces = welded(corners)
    if not len(faces):
        raise InputError(f"{where}: the mesh has no surface (its triangles have no area)")
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    trimesh.repair.fix_normals(mesh, multibody=True)
    faces = np.asarray(mesh.faces)
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, edge, uses = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    whole = (uses[edge.reshape(-1)] == 2).reshape(-1, 3).all(axis=1)
    body = trimesh.graph.connected_component_labels(mesh.face_adjacency, node_count=len(faces))
    closed = np.bincount(body, weights=~whole)[body] == 0
    return Indexed(vertices, faces[closed]), Indexed(vertices, faces[~closed])


def _smooth_normals(mesh: Indexed) -> Floats:
    """Normals (F, 3, 3) of corners: the mean, by area, of the faces around it that are not across a crease."""
    cross = np.cross(*(mesh.corners[:, [1, 2]] - mesh.corners[:, :1]).transpose(1, 0, 2))
    unit = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)
    normals = np.empty((len(mesh.faces), 3, 3))
    order = np.argsort(mesh.faces.ravel(), kind="stable")
    starts = np.flatnonzero(np.diff(mesh.faces.ravel()[order], prepend=-1))
    for corners in np.split(order, starts[1:]) if len(order) else ():
        face, place = np.divmod(corners, 3)
        alike = unit[face] @ unit[face].T > math.cos(_SMOOTH_RAD)
        normals[face, place] = alike @ cross[face] + 1e-12 * unit[face]
    return normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-300)


def _transferred(source: Surface, values: Floats | None, corners: Floats) -> Floats:
    """Values (F, 3, D) at a surface's corners, interpolated at the corners (G, 3, 3) of another near it.

    Each corner is looked up a little inside its own triangle, so that at a crease or a seam it finds its own side.
    """
    assert values is not None
    inside = corners + 0.05 * (corners.mean(axis=1, keepdims=True) - corners)
    hits = source.nearest(inside.reshape(-1, 3))
    found = np.einsum("pk,pkd->pd", hits.weights, values[hits.face])
    return found.reshape(*corners.shape[:2], values.shape[-1])


def _mesh(bodies: list[Indexed], normals: list[Floats], uvs: list[Floats] | None) -> Mesh:
    """Closed bodies, and sheets once for each side: renderers draw a face from its front alone."""
    corners = [bodies[0].corners, bodies[1].corners, bodies[1].corners[:, ::-1]]
    sides = [normals[0], normals[1], -normals[1][:, ::-1]]
    positions = np.concatenate(corners).reshape(-1, 3)
    directions = np.concatenate(sides).reshape(-1, 3)
    length = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = np.where(length > 1e-6, directions / np.maximum(length, 1e-300), [0.0, 0.0, 1.0])
    positions[:, 2] -= positions[:, 2].min()
    faces = np.arange(len(positions)).reshape(-1, 3)
    if uvs is None:
        return Mesh(positions, directions, faces)
    return Mesh(positions, directions, faces, np.concatenate([uvs[0], uvs[1], uvs[1][:, ::-1]]).reshape(-1, 2))
