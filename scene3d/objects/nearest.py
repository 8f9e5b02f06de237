"""Finds nearest points of a triangle surface: by a tree over samples of it, then exactly on the triangles nearby."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from air3d.scene3d.arrays import Floats, Ints

_NEIGHBOURS = 12
_SPREAD = 20_000


class Hits(NamedTuple):
    """The nearest points of P queries.

    Attributes:
        face: (P,), the triangle.
        weights: (P, 3), barycentric coordinates in it.
        distance_m: (P,), the distance.
    """

    face: Ints
    weights: Floats
    distance_m: Floats


class Surface:
    """Triangles (F, 3, 3) that can be asked for their nearest points.

    The distance is exact to a triangle near the query, so it is never too small; it is too large at most by what a
    patch of the samples' spacing hides.
    """

    def __init__(self, corners: Floats) -> None:
        self._corners = corners
        points, self._face = spread_points(corners, _SPREAD)
        self._tree = cKDTree(points)

    def nearest(self, points: Floats) -> Hits:
        """Find the nearest points of the surface to `points` (P, 3)."""
        near = min(_NEIGHBOURS, len(self._face))
        faces = self._face[self._tree.query(points, near)[1].reshape(len(points), near)]
        weights = closest_weights(self._corners[faces].reshape(-1, 3, 3), np.repeat(points, near, axis=0))
        weights = weights.reshape(len(points), near, 3)
        found = np.einsum("pnk,pnkd->pnd", weights, self._corners[faces])
        distance = np.linalg.norm(found - points[:, None], axis=2)
        best, row = distance.argmin(axis=1), np.arange(len(points))
        return Hits(faces[row, best], weights[row, best], distance[row, best])


class Skin:
    """The side of a surface: places of triangles (F, 3, 3) found by position and by where the surface looks.

    Among a thin wall's two sides, or an edge's two faces, it finds the one that looks in the direction asked for.

    Args:
        reach_m: how far off the surface queries are. A direction that is off by 60 degrees counts as much.
    """

    def __init__(self, corners: Floats, reach_m: float) -> None:
        self._corners, self._reach_m = corners, max(reach_m, 1e-6)
        self._points, self._face = spread_points(corners, 3 * _SPREAD)
        self._tree = cKDTree(np.concatenate([self._points, self._reach_m * face_normals(corners)[self._face]], axis=1))

    def match(self, points: Floats, normals: Floats) -> tuple[Ints, Floats]:
        """Find the triangle (P,) and barycentric coordinates (P, 3) for points (P, 3) and unit normals (P, 3)."""
        near = self._tree.query(np.concatenate([points, self._reach_m * normals], axis=1))[1]
        face = self._face[near]
        return face, closest_weights(self._corners[face], points)


def apart_m(first: Floats, second: Floats) -> float:
    """The distance of two surfaces: the larger of both directed Hausdorff distances; infinite if one is empty."""
    if not len(first) or not len(second):
        return float("inf")
    there = Surface(second).nearest(_few(first)).distance_m.max()
    return float(max(there, Surface(first).nearest(_few(second)).distance_m.max()))


def _few(corners: Floats) -> Floats:
    points = spread_points(corners, 4000)[0]
    return points[:: len(points) // 8000 + 1]


def spread_points(corners: Floats, count: int) -> tuple[Floats, Ints]:
    """Spread at least `count` points evenly over triangles (F, 3, 3), at least one on each: points (P, 3), faces (P,).

    Nothing is random: triangle f is cut into k*k equal ones, whose centres are taken.
    """
    areas = face_areas(corners)
    cuts = np.maximum(np.ceil(np.sqrt(count * areas / max(areas.sum(), 1e-300))), 1).astype(np.int64)
    points, owners = [], []
    for k in np.unique(cuts).tolist():
        own = np.flatnonzero(cuts == k)
        weights = _grid_weights(k)
        points.append(np.einsum("wk,fkd->fwd", weights, corners[own]).reshape(-1, 3))
        owners.append(np.repeat(own, len(weights)))
    return np.concatenate(points), np.concatenate(owners)


def face_areas(corners: Floats) -> Floats:
    """The areas (F,) of triangles (F, 3, 3)."""
    return np.linalg.norm(face_crosses(corners), axis=1) / 2.0


def face_normals(corners: Floats) -> Floats:
    """The unit normals (F, 3) of triangles (F, 3, 3); zero where there is no area."""
    cross = face_crosses(corners)
    return cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)


def face_crosses(corners: Floats) -> Floats:
    """The cross products (F, 3) of two sides of triangles (F, 3, 3): normals as long as twice the area."""
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _grid_weights(k: int) -> Floats:
    """The barycentric coordinates (k * k, 3) of the centres of the k * k equal parts of a triangle."""
    i, j = np.divmod(np.arange(k * k), k)
    up = i + j < k
    # The parts that stand upside down fill the other half of the square.
    a, b = np.where(up, i + 1 / 3, k - i - 1 / 3), np.where(up, j + 1 / 3, k - j - 1 / 3)
    return np.stack([a, b, k - a - b], axis=1) / k


def closest_weights(corners: Floats, points: Floats) -> Floats:
    """The barycentric coordinates (P, 3) of the point of triangle p (P, 3, 3) nearest to point p (P, 3).

    It is the foot of the perpendicular, if that is inside, else the nearest point of the three edges.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1.0 / (d00 * d11 - d01 * d01)
        v, w = (d11 * d20 - d01 * d21) * scale, (d00 * d21 - d01 * d20) * scale
        foot = np.stack([1.0 - v - w, v, w], axis=1)
    inside = np.isfinite(foot).all(axis=1) & (foot >= 0.0).all(axis=1)
    best, least = np.zeros((len(points), 3)), np.full(len(points), np.inf)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        p, q = corners[:, first], corners[:, second]
        along = ((points - p) * (q - p)).sum(1) / np.maximum(((q - p) ** 2).sum(1), 1e-300)
        t = np.clip(along, 0.0, 1.0)
        distance = ((p + t[:, None] * (q - p) - points) ** 2).sum(1)
        nearer = distance < least
        least = np.where(nearer, distance, least)
        edge = np.zeros_like(best)
        edge[:, first], edge[:, second] = 1.0 - t, t
        best = np.where(nearer[:, None], edge, best)
    return np.where(inside[:, None], foot, best)
