"""Cuts polygons into triangles: convex ones as a fan, concave ones by cutting off ears (Meisters 1975).

A polygon that lies on another, as its back or a second time, is cut along the same diagonals, so that its triangles
can be seen to be the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.errors import InputError

# Cutting ears takes time that grows with the square of this.
_MAX_CONCAVE = 5000
_STRAIGHT = 1e-12


def cut(points: Floats, sizes: Ints, corners: Ints, where: str) -> tuple[Ints, Ints]:
    """Cut polygons into triangles.

    Args:
        points: (V, 3), the points.
        sizes: (P,), the numbers of corners, at least 3.
        corners: (sizes.sum(),), rows of `points`, polygon by polygon.
        where: names the file in errors.

    Returns:
        Triangles (F, 3) as rows of `corners`, and the polygon (F,) of each, in the order of the polygons.

    Raises:
        InputError: for a concave polygon of thousands of corners.
    """
    starts = np.cumsum(sizes) - sizes
    triangles, owners = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    place = np.unique(points, axis=0, return_inverse=True)[1].reshape(-1)[corners] if (sizes > 3).any() else corners
    for n in np.unique(sizes).tolist():
        mine = np.flatnonzero(sizes == n)
        rows = starts[mine, None] + np.arange(n)
        rows, back = _alike(rows, place) if n > 3 else (rows, np.zeros(len(rows), dtype=bool))
        local = _cut_alike(points[corners[rows]], where)
        local[back] = local[back, :, ::-1]
        triangles.append(np.take_along_axis(rows, local.reshape(len(mine), -1), 1).reshape(-1, 3))
        owners.append(np.repeat(mine, n - 2))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(triangles)[order], owner[order]


def _alike(rows: Ints, place: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Align polygons (P, N), rows of corners: those with the same corners start at the same one and run the same way.

    Return, too, which of them (P,) ran the other way.
    """
    at = place[rows]
    _, group, count = np.unique(np.sort(at, axis=1), axis=0, return_inverse=True, return_counts=True)
    several = np.flatnonzero(count[group.reshape(-1)] > 1)
    turn = (at[several].argmin(axis=1)[:, None] + np.arange(rows.shape[1])) % rows.shape[1]
    turned = np.take_along_axis(rows[several], turn, axis=1)
    back = place[turned[:, 1]] > place[turned[:, -1]]
    turned[back, 1:] = turned[back, :0:-1]
    found, backs = rows.copy(), np.zeros(len(rows), dtype=bool)
    found[several], backs[several] = turned, back
    return found, backs


def _cut_alike(polygons: Floats, where: str) -> Ints:
    """Cut polygons (P, N, 3) into triangles (P, N - 2, 3), as numbers of their corners."""
    count, n = polygons.shape[:2]
    fan = np.stack([np.zeros(n - 2, np.int64), np.arange(1, n - 1), np.arange(2, n)], axis=1)
    found = np.tile(fan, (count, 1, 1))
    if n == 3:
        return found
    concave = np.flatnonzero(~_convex(polygons))
    if n == 4:  # its ear is at neither end of the diagonal from the corner that points inwards
        some = polygons[concave]
        halves = np.stack([_normals(some[:, [0, 1, 2]]), _normals(some[:, [0, 2, 3]])])
        folded = (np.einsum("hpk,pk->hp", halves, _normals(some)) <= 0.0).any(axis=0)
        found[concave[folded]] = [[1, 2, 3], [1, 3, 0]]
        return found
    if len(concave) and n > _MAX_CONCAVE:
        raise InputError(f"{where} has a face of {n} corners that is not convex; cut it into smaller ones")
    for k in concave:
        found[k] = _ears(_flat(polygons[k]))
    return found


def _normals(polygons: Floats) -> Floats:
    """Newell's normals (P, 3) of polygons (P, N, 3); their length is twice the area."""
    centred = polygons - polygons.mean(axis=1, keepdims=True)
    return np.cross(centred, np.roll(centred, -1, axis=1)).sum(axis=1)


def _convex(polygons: Floats) -> NDArray[np.bool_]:
    """Tell whether all corners of polygons (P, N, 3) turn the same way, none of them straight on."""
    ahead = np.roll(polygons, -1, axis=1) - polygons
    turns = np.cross(np.roll(ahead, 1, axis=1), ahead)
    normals = _normals(polygons)
    along = np.einsum("pnk,pk->pn", turns, normals)
    found: NDArray[np.bool_] = (along > 1e-9 * (normals**2).sum(axis=1, keepdims=True)).all(axis=1)
    return found


def _flat(polygon: Floats) -> Floats:
    """Lay a polygon (N, 3) into its own plane, (N, 2), counter-clockwise, of size 1."""
    normal = _normals(polygon[None])[0]
    keep = int(np.abs(normal).argmax())
    first, second = (keep + 1) % 3, (keep + 2) % 3
    plane = polygon[:, [first, second]] if normal[keep] >= 0.0 else polygon[:, [second, first]]
    plane = plane - plane.mean(axis=0)
    return plane / max(float(np.abs(plane).max()), 1e-300)


def _ears(polygon: Floats) -> Ints:
    """Cut a polygon (N, 2), counter-clockwise, into triangles (N - 2, 3); if it crosses itself, the rest is a fan."""
    left = np.arange(len(polygon))
    found = []
    at = 0
    while len(left) > 3:
        points = polygon[left]
        before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
        turns = _cross(points - before, after - points)
        order = np.roll(np.arange(len(left)), -at)
        ear = next((k for k in order[turns[order] > _STRAIGHT] if _is_ear(points, int(k))), None)
        if ear is None:
            ear = np.abs(turns).argmin()  # a corner that lies straight between its neighbours
            if abs(turns[ear]) > _STRAIGHT:
                break
        found.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        left = np.delete(left, ear)
        at = int(ear) % len(left)  # go round instead of making a fan of slivers
    fan = [(left[0], left[k], left[k + 1]) for k in range(1, len(left) - 1)]
    return np.array([*found, *fan], dtype=np.int64)


def _is_ear(points: Floats, k: int) -> bool:
    """Tell whether no other corner lies in the triangle of corner k; one at the place of its corners may."""
    a, b, c = points[k - 1], points[k], points[(k + 1) % len(points)]
    inside = np.ones(len(points), dtype=bool)
    for p, q in ((a, b), (b, c), (c, a)):
        inside &= _cross(q - p, points - p) >= -_STRAIGHT
    inside &= (points != a).any(axis=1) & (points != b).any(axis=1) & (points != c).any(axis=1)
    return not inside.any()


def _cross(first: Floats, second: Floats) -> Floats:
    """The z of the cross products of vectors (..., 2)."""
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])
