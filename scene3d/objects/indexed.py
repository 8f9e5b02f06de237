"""Triangles that share corners: finds equal ones, and those that hang together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from air3d.scene3d.arrays import Floats, Ints

_MICROMETRES = 1e6
_SIDE_BY_SIDE = 1.8  # micrometres: neighbours on the grid, also over a corner


class Indexed(NamedTuple):
    """A mesh: vertices (V, 3), metres, faces (F, 3), and values at its corners (F, 3, D), if it has any.

    They are texture coordinates, (D = 2), or also colours that multiply the picture (D = 5). They belong to the file's
    triangles: a mesh with fewer has none.
    """

    vertices: Floats
    faces: Ints
    values: Floats | None = None

    @property
    def corners(self) -> Floats:
        """The triangles (F, 3, 3)."""
        return self.vertices[self.faces]

    def only(self, faces: Ints | NDArray[np.bool_]) -> Indexed:
        """Keep some of its triangles, by number or mask."""
        return Indexed(self.vertices, self.faces[faces], None if self.values is None else self.values[faces])


def joined(meshes: Iterable[Indexed]) -> Indexed:
    """Join meshes without merging any of their vertices."""
    meshes = tuple(meshes)
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)])
    values = [mesh.values for mesh in meshes if mesh.values is not None]
    whole = np.concatenate(values) if len(values) == len(meshes) else None
    return Indexed(np.concatenate([mesh.vertices for mesh in meshes]), faces, whole)


def welded(corners: Floats, values: Floats | None = None) -> Indexed:
    """Make a mesh of triangles (F, 3, 3): corners equal to about a micrometre become one, useless triangles go.

    Useless are those with two corners at one place, and those that are there already, seen from the same side.
    """
    places = np.rint(corners.reshape(-1, 3) * _MICROMETRES).astype(np.int64)
    first, index = distinct(places)
    # Two that rounding has put side by side are one, too.
    pairs = cKDTree(places[first]).query_pairs(_SIDE_BY_SIDE, output_type="ndarray") if len(first) else []
    if len(pairs):
        same = trimesh.graph.connected_component_labels(pairs, node_count=len(first))
        index = np.unique(same, return_index=True)[1][same][index]
    faces = index.reshape(-1, 3)
    rows = np.flatnonzero((faces != np.roll(faces, 1, axis=1)).all(axis=1))
    start = faces[rows].argmin(axis=1)
    turned = np.take_along_axis(faces[rows], (start[:, None] + np.arange(3)) % 3, axis=1)
    mesh = Indexed(places[first] / _MICROMETRES, faces, values)
    return mesh.only(rows[np.sort(distinct(turned)[0])])


def bodies(faces: Ints) -> Ints:
    """Number the bodies: that of each face, (F,); faces that share corners are of one body."""
    if not len(faces):
        return np.zeros(0, dtype=np.int64)
    used, local = np.unique(faces, return_inverse=True)
    local = local.reshape(-1, 3)
    links = np.concatenate([local[:, :2], local[:, 1:]])
    label = trimesh.graph.connected_component_labels(links, node_count=len(used))
    return np.unique(label[local[:, 0]], return_inverse=True)[1]


def distinct(rows: Ints) -> tuple[Ints, Ints]:
    """Find where each different row (R, K) of whole numbers stands first, in their order, and the number of every row.

    It does the same as `numpy.unique` of rows, which is far slower.
    """
    number = np.zeros(len(rows), dtype=np.int64)
    first = np.zeros(min(len(rows), 1), dtype=np.int64)
    for column in rows.T:
        column = np.unique(column, return_inverse=True)[1]
        _, first, number = np.unique(
            number * (column.max(initial=0) + 1) + column, return_index=True, return_inverse=True
        )
    return first, number
