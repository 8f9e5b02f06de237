"""Stances: the resting poses of a kind with the room that each takes, seen from above, and balls around kinds."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from air3d.scene3d.arrays import Floats
from air3d.scene3d.objects.footprint import smallest_circle
from air3d.scene3d.poses import frames_of
from air3d.scene3d.resting import stable_poses
from air3d.scene3d.solids import solids

_MOST_DISCS = 6
# What a metre of distance from the box's middle weighs beside a metre of radius: next to nothing.
_NEAR = 1e-3


class Stances(NamedTuple):
    """K ways in which a kind of size 1 can rest, but for a turn about the vertical.

    Attributes:
        probability: (K,), how often each comes about.
        rotation_wxyz: (K, 4), object to world.
        height_m: (K,), how high the origin is.
        up: (K, 3), the world's vertical in the object's frame.
        discs: (K, C, 3), discs (x, y, radius) that cover the convex hull seen from above, the origin at (0, 0).
        span_m: (K, 2), how far above the plane the object begins, 0, and ends.
    """

    probability: Floats
    rotation_wxyz: Floats
    height_m: Floats
    up: Floats
    discs: Floats
    span_m: Floats


@lru_cache(maxsize=256)
def stances(kind: str) -> Stances:
    """Find the stances of a kind.

    Raises:
        InputError: if there is no such kind.
    """
    poses = stable_poses(kind)
    rotation = np.array([pose.rotation_wxyz for pose in poses])
    turns = frames_of(np.zeros(3), rotation)[:, :3, :3]
    corners = hull_corners(kind) @ turns.swapaxes(1, 2)
    covers = [_cover(points[:, :2]) for points in corners]
    most = max(map(len, covers))
    # A disc that stands twice changes nothing.
    discs = np.array([np.concatenate([c, np.repeat(c[:1], most - len(c), axis=0)]) for c in covers])
    top = np.array([pose.height_m for pose in poses]) + corners[..., 2].max(axis=1)
    return Stances(
        np.array([pose.probability for pose in poses]),
        rotation,
        np.array([pose.height_m for pose in poses]),
        turns[:, 2],
        discs,
        np.stack([np.zeros_like(top), top], axis=1),
    )


@lru_cache(maxsize=256)
def hull_corners(kind: str) -> Floats:
    """The corners (P, 3) of the convex hull of a kind's bodies, in its own frame, metres."""
    points = solids(kind).points_m()
    return np.asarray(points[ConvexHull(points).vertices])


@lru_cache(maxsize=256)
def ball(kind: str) -> tuple[Floats, float]:
    """The middle (3,) of the box around a kind, and the radius of the ball about it that holds the kind, metres."""
    points = hull_corners(kind)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2.0
    return middle, float(np.linalg.norm(points - middle, axis=1).max())


@lru_cache(maxsize=256)
def core(kind: str) -> Floats:
    """The point (3,) that a kind turns about, in its own frame, metres: half as high as its box, and in the middle of
    the largest circle within its outline from above; of several, that nearest to the box's middle. Handles and spouts
    do not shift it."""
    points, (x, y, z) = hull_corners(kind), ball(kind)[0].tolist()
    flanks = ConvexHull(points[:, :2]).equations  # n . p + b <= 0 inside
    # The middle, the radius, and how far the middle is from the box's, along each axis: a linear programme.
    inside = np.column_stack([flanks[:, :2], np.ones(len(flanks)), np.zeros((len(flanks), 2))])
    apart = np.array([[1, 0, 0, -1, 0], [-1, 0, 0, -1, 0], [0, 1, 0, 0, -1], [0, -1, 0, 0, -1]])
    found = linprog(
        [0.0, 0.0, -1.0, _NEAR, _NEAR],
        np.concatenate([inside, apart]),
        np.concatenate([-flanks[:, 2], [x, -x, y, -y]]),
        bounds=[(None, None)] * 3 + [(0.0, None)] * 2,
    )
    return np.array([found.x[0], found.x[1], z])


def _cover(points: Floats) -> Floats:
    """Cover the convex hull of points (P, 2) by discs (C, 3): those around the strips that it is cut into.

    It is cut across its longest direction, into as many strips as make the discs' areas the least in sum.
    """
    corners = points[ConvexHull(points).vertices]
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    i, j = np.unravel_index(int(apart.argmax()), apart.shape)
    along = (corners[j] - corners[i]) / apart[i, j]
    across = np.array([-along[1], along[0]])
    local = np.stack([corners @ along, corners @ across], axis=1)
    edges = local, np.roll(local, -1, axis=0)
    best: Floats | None = None
    for count in range(1, _MOST_DISCS + 1):
        cuts = np.linspace(local[:, 0].min(), local[:, 0].max(), count + 1)
        found = [smallest_circle(_strip(*edges, *ends)) for ends in pairwise(cuts.tolist())]
        discs = np.array([(*(x * along + y * across), radius) for x, y, radius in found])
        if best is None or (discs[:, 2] ** 2).sum() < 0.9 * (best[:, 2] ** 2).sum():
            best = discs
    assert best is not None
    return best


def _strip(start: Floats, end: Floats, low: float, high: float) -> Floats:
    """The corners of the part of a convex polygon, given by its edges (P, 2) each, whose x is in [low, high]."""
    parts = [start[(start[:, 0] >= low) & (start[:, 0] <= high)]]
    for cut in (low, high):
        crosses = (start[:, 0] - cut) * (end[:, 0] - cut) < 0.0
        share = (cut - start[crosses, 0]) / (end[crosses, 0] - start[crosses, 0])
        y = start[crosses, 1] + share * (end[crosses, 1] - start[crosses, 1])
        parts.append(np.stack([np.full_like(y, cut), y], axis=1))
    return np.concatenate(parts)
