"""The footprint of a mesh: the smallest circle around it seen from above, and a few discs that cover it."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import ConvexHull, QhullError

from air3d.scene3d.arrays import Floats
from air3d.scene3d.kind import Circle
from air3d.scene3d.symmetry import Symmetry

_Disc = tuple[float, float, float]

MOST_DISCS = 8
# Discs are added until they cover at most this much more than the object does.
_ENOUGH = 1.35
_ROUNDS = 25
_GRID = 100
_MARGIN_M = 2e-6  # of rounding


def smallest_circle(points: Floats) -> _Disc:
    """Find the smallest circle around points (P, 2): its centre x, y and radius.

    Welzl's algorithm over the convex hull's corners (E. Welzl, "Smallest enclosing disks", 1991).
    """
    hull = _hull(points)
    # Any order gives the same circle; a shuffled one gives it in linear time, the hull's own does not.
    hull = hull[np.random.default_rng(0).permutation(len(hull))]
    circle = (float(hull[0, 0]), float(hull[0, 1]), 0.0)
    for i in range(1, len(hull)):
        if _outside(hull[i], circle):
            circle = (float(hull[i, 0]), float(hull[i, 1]), 0.0)
            for j in range(i):
                if _outside(hull[j], circle):
                    circle = _through(hull[i], hull[j])
                    for k in range(j):
                        if _outside(hull[k], circle):
                            circle = _around(hull[i], hull[j], hull[k])
    # Corners so close to one line that the circle through them is a matter of rounding may have been missed.
    return circle[0], circle[1], float(np.linalg.norm(hull - circle[:2], axis=1).max())


def cover(corners: Floats, symmetry: Symmetry) -> tuple[Circle, ...]:
    """Cover triangles (F, 3, 3), seen from above, by as few discs as fit well; they have the declared symmetry.

    Triangles are cut small and dealt out to groups; the smallest circle around the corners of a group covers its
    triangles whole. With an n-fold symmetry one sector is covered, and the discs are repeated.
    """
    flat = _distinct(corners[..., :2])
    reach = float(np.linalg.norm(flat, axis=-1).max())
    one: tuple[Circle, ...] = (Circle(0.0, 0.0, _up(reach)),)
    if symmetry.continuous_yaw or symmetry.yaw_order > MOST_DISCS // 2:
        return one
    pieces = _cut(flat, reach / 12.0)
    turns = symmetry.yaw_order
    if turns > 1:
        pieces = _sector(pieces, turns)
    covered = _area(pieces, turns, reach)
    best, least = one, math.pi * one[0].radius_m ** 2
    for count in range(1 if turns > 1 else 2, MOST_DISCS // turns + 1):
        if least <= _ENOUGH * covered:
            break
        for circles in (_groups(pieces, count), _body_and_rest(pieces, count, reach)):
            discs = _turned(circles, turns)
            area = _union(discs)
            if area < 0.97 * least:
                best, least = discs, area
    return best


def _body_and_rest(pieces: Floats, count: int, reach: float) -> list[_Disc]:
    """Split triangles: the circle around those in the largest circle inside, and groups of those that stick out."""
    side = 2.0 * reach / _GRID
    cells = np.floor(_samples(pieces, side) / side).astype(np.int64) + _GRID
    inside = np.zeros((2 * _GRID, 2 * _GRID), dtype=bool)
    inside[tuple(np.clip(cells, 0, 2 * _GRID - 1).T)] = True
    depth = distance_transform_edt(inside)
    centre = (np.array(np.unravel_index(int(depth.argmax()), depth.shape)) - _GRID + 0.5) * side
    held = np.linalg.norm(pieces - centre, axis=2).max(axis=1) <= depth.max() * side + 0.05 * reach
    rest = [] if held.all() or count == 1 else _groups(pieces[~held], count - 1)
    return [smallest_circle(pieces[held].reshape(-1, 2)), *rest] if held.any() and count > 1 else _groups(pieces, count)


def _groups(pieces: Floats, count: int) -> list[_Disc]:
    """Fit circles around at most `count` groups of triangles (T, 3, 2), in turn with the groups, as in k-means."""
    centres = pieces.mean(axis=1)
    seeds = [centres[np.linalg.norm(centres, axis=1).argmax()]]
    while len(seeds) < count:
        seeds.append(centres[np.min([np.linalg.norm(centres - seed, axis=1) for seed in seeds], axis=0).argmax()])
    circles = [(float(x), float(y), 0.0) for x, y in seeds]
    for _ in range(_ROUNDS):
        # Far from a circle's rim rather than from its centre: large circles keep what they hold.
        away = np.stack([np.linalg.norm(pieces - c[:2], axis=2).max(axis=1) - 0.5 * c[2] for c in circles])
        group = away.argmin(axis=0)
        fitted = [smallest_circle(pieces[group == g].reshape(-1, 2)) for g in range(len(circles)) if (group == g).any()]
        if np.allclose(fitted, circles if len(fitted) == len(circles) else 0.0, atol=1e-6):
            break
        circles = fitted
    return circles


def _turned(circles: list[_Disc], turns: int) -> tuple[Circle, ...]:
    angles = 2.0 * np.pi * np.arange(turns) / turns
    return tuple(
        Circle(
            round(x * math.cos(a) - y * math.sin(a), 6),
            round(x * math.sin(a) + y * math.cos(a), 6),
            _up(radius + _MARGIN_M),
        )
        for a in angles.tolist()
        for x, y, radius in circles
    )


def _up(radius_m: float) -> float:
    return math.ceil(radius_m * 1e6) / 1e6


def _distinct(flat: Floats) -> Floats:
    """Project triangles from above (F, 3, 2); upright ones, which have no area there, stay for their edges."""
    return np.unique(flat.round(7).reshape(-1, 6), axis=0).reshape(-1, 3, 2)


def _cut(triangles: Floats, longest: float) -> Floats:
    """Halve triangles at their longest edges until none is longer than `longest`."""
    done = []
    while len(triangles):
        lengths = np.linalg.norm(triangles - np.roll(triangles, -1, axis=1), axis=2)
        small = lengths.max(axis=1) <= longest
        done.append(triangles[small])
        long, edge = triangles[~small], lengths[~small].argmax(axis=1)
        row = np.arange(len(long))
        a, b, c = (long[row, (edge + k) % 3] for k in range(3))
        middle = (a + b) / 2.0
        triangles = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
    return np.concatenate(done)


def _sector(pieces: Floats, turns: int) -> Floats:
    """Turn every triangle by a multiple of 1 / `turns` into one sector, in whose middle the farthest lies."""
    centre = pieces.mean(axis=1)
    step, angle = 2.0 * np.pi / turns, np.arctan2(centre[:, 1], centre[:, 0])
    middle = angle[np.linalg.norm(centre, axis=1).argmax()]
    back = -np.rint((angle - middle) / step) * step
    c, s = np.cos(back)[:, None], np.sin(back)[:, None]
    return np.stack([c * pieces[..., 0] - s * pieces[..., 1], s * pieces[..., 0] + c * pieces[..., 1]], axis=-1)


def _area(pieces: Floats, turns: int, reach: float) -> float:
    """Measure the area seen from above by the grid's cells that hold a piece's corner or middle; a little too large."""
    side = 2.0 * reach / _GRID
    return len(np.unique(np.floor(_samples(pieces, side) / side).astype(np.int64), axis=0)) * side**2 * turns


def _samples(pieces: Floats, side: float) -> Floats:
    """Sample points (P, 2) of triangles, about as dense as the cells of a grid."""
    fine = _cut(pieces, 1.4 * side)
    return np.concatenate([fine.reshape(-1, 2), fine.mean(axis=1)])


def _union(discs: tuple[Circle, ...]) -> float:
    reach = max(math.hypot(c.x_m, c.y_m) + c.radius_m for c in discs)
    line = (np.arange(_GRID) + 0.5) / _GRID * 2.0 * reach - reach
    x, y = np.meshgrid(line, line)
    inside = np.zeros(x.shape, dtype=bool)
    for c in discs:
        inside |= (x - c.x_m) ** 2 + (y - c.y_m) ** 2 <= c.radius_m**2
    return float(inside.mean()) * 4.0 * reach**2


def _hull(points: Floats) -> Floats:
    try:
        return points[ConvexHull(points).vertices]
    except (QhullError, ValueError):  # fewer than three points, or all on one line: its ends
        from_first = points - points[0]
        along = from_first @ from_first[np.linalg.norm(from_first, axis=1).argmax()]
        return points[[along.argmin(), along.argmax()]]


def _outside(point: Floats, circle: _Disc) -> bool:
    return math.hypot(point[0] - circle[0], point[1] - circle[1]) > circle[2] * (1.0 + 1e-10) + 1e-12


def _through(a: Floats, b: Floats) -> _Disc:
    return float(a[0] + b[0]) / 2.0, float(a[1] + b[1]) / 2.0, math.dist(a, b) / 2.0


def _around(a: Floats, b: Floats, c: Floats) -> _Disc:
    """The circle through three points; for three on one line, that around the outer two."""
    (bx, by), (cx, cy) = (b - a).tolist(), (c - a).tolist()
    d = 2.0 * (bx * cy - by * cx)
    if abs(d) < 1e-18:
        return max((_through(a, b), _through(b, c), _through(a, c)), key=lambda circle: circle[2])
    x = (cy * (bx * bx + by * by) - by * (cx * cx + cy * cy)) / d
    y = (bx * (cx * cx + cy * cy) - cx * (bx * bx + by * by)) / d
    return float(a[0] + x), float(a[1] + y), math.hypot(x, y)
