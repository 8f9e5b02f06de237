"""Gives the meshes of the catalog as arrays, and their outlines seen from above."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Detail

Floats = NDArray[np.float64]

_RAYS = 360
_ON_RAY_M = 1e-9
_TOLERANCE_M = 0.0002


@cache
def vertices_m(kind: str, detail: Detail) -> Floats:
    """Vertices (V, 3) of a kind's mesh in the object's frame, metres, at size 1.

    Raises:
        InputError: if the mesh file is missing or has no vertices.
    """
    points = np.array([[float(v) for v in words[1:4]] for words in _lines(kind, detail) if words[:1] == ["v"]])
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"mesh of {kind}: holds no vertices; run 'python -m air3d.scene3d.meshes.build'")
    points.setflags(write=False)
    return points


@cache
def outline_m(kind: str) -> Floats:
    """Outline (P, 2) of an object seen from above, counter-clockwise, in its own frame, metres, at size 1.

    It is the farthest point of the mesh in every direction, to a fifth of a millimetre; a dent that the origin does
    not see is filled.
    """
    points = vertices_m(kind, "inference")[:, :2]
    faces = [[int(w.split("/")[0]) - 1 for w in words[1:]] for words in _lines(kind, "inference") if words[:1] == ["f"]]
    edges = np.unique([sorted((face[i - 1], face[i])) for face in faces for i in range(len(face))], axis=0)
    grid, corners = np.arange(_RAYS) * 2.0 * np.pi / _RAYS, np.arctan2(points[:, 1], points[:, 0]) % (2.0 * np.pi)
    angle = np.unique(np.concatenate([grid, corners, [np.pi, 2.0 * np.pi]]))
    ray = np.stack([np.cos(angle), np.sin(angle)])
    along, across = points @ ray, points @ np.stack([-ray[1], ray[0]])
    (a, b), (near, far) = (along[edges[:, i]] for i in (0, 1)), (across[edges[:, i]] for i in (0, 1))
    crosses = near * far < 0.0
    share = near / np.where(crosses, near - far, 1.0)
    reach = np.where(crosses, a + share * (b - a), 0.0).max(axis=0)
    hit = np.where(np.abs(across) < _ON_RAY_M, along, 0.0).max(axis=0)
    around = (np.maximum(reach, hit) * ray).T
    middle = int(np.searchsorted(angle, np.pi))
    outline = np.concatenate([_simplified(half)[:-1] for half in (around[: middle + 1], around[middle:])])
    outline.setflags(write=False)
    return outline


def _simplified(points: Floats) -> Floats:
    """Simplify a polyline (P, 2): leave out points that hardly matter (Ramer, Douglas and Peucker)."""
    chord = points[-1] - points[0]
    away = np.abs((points - points[0]) @ np.array([-chord[1], chord[0]])) / np.linalg.norm(chord)
    farthest = int(away.argmax())
    if away[farthest] <= _TOLERANCE_M:
        return points[[0, -1]]
    return np.concatenate([_simplified(points[: farthest + 1])[:-1], _simplified(points[farthest:])])


def _lines(kind: str, detail: Detail) -> list[list[str]]:
    path = asset_path("meshes", f"{get_kind(kind).name}.{detail}.obj")
    return [line.split() for line in path.read_text(encoding="ascii").splitlines()]
