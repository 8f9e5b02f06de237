"""Profiles: smooth outlines in a half plane, which revolved or swept give a closed surface.

A profile runs in (radius, height) coordinates with the solid on its left, so that the outward
normal is on its right. It starts and ends on the axis (radius 0): what it encloses is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TINY_M = 1e-9

REST = float("inf")


class Corner(NamedTuple):
    """A corner of the outline before rounding.

    `before_m` and `after_m` say how far from the corner, along the edge that arrives and the edge
    that leaves, the rounding starts and ends; both zero means a hard edge, `REST` takes what the
    other corner of the edge leaves. Equal lengths give a circular arc, unequal ones an arc of an ellipse.
    """

    radius_m: float
    height_m: float
    before_m: float = 0.0
    after_m: float = 0.0


class Profile(NamedTuple):
    """Sampled outline: `points_m` (P, 2) and unit outward `normals` (P, 2), both (radius, height).

    A hard edge is two consecutive equal points with different normals.
    """

    points_m: Array
    normals: Array


def fillet(radius_m: float, height_m: float, cut_m: float) -> Corner:
    """Round a corner by a circular arc that starts and ends `cut_m` away from it."""
    return Corner(radius_m, height_m, cut_m, cut_m)


def rounded_profile(corners: Sequence[Corner], tolerance_m: float) -> Profile:
    """Sample the outline through `corners`, so finely that it is nowhere wrong by more than about `tolerance_m`.

    A rounding that removes less than `tolerance_m` of its corner is left out: the edge stays hard.

    Raises:
        ValueError: if the outline leaves the half plane or does not start and end on the axis, or
            if two roundings overlap on the edge between them.
    """
    vertices = np.array([corner[:2] for corner in corners], dtype=np.float64)
    if vertices[0, 0] != 0.0 or vertices[-1, 0] != 0.0 or (vertices[1:-1, 0] <= 0.0).any():
        raise ValueError("profile: must start and end on the axis and stay at positive radius between")
    edges = np.diff(vertices, axis=0)
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    directions = edges / lengths[:, None]
    corners = _without_rest(corners, lengths)
    points, tangents = [vertices[0]], [directions[0]]
    for i in range(1, len(corners) - 1):
        if corners[i - 1].after_m + corners[i].before_m > lengths[i - 1] + _TINY_M:
            raise ValueError(f"profile: the roundings of corners {i - 1} and {i} overlap on their common edge")
        for point, tangent in _corner_samples(corners[i], directions[i - 1], directions[i], tolerance_m):
            points.append(point)
            tangents.append(tangent)
    points.append(vertices[-1])
    tangents.append(directions[-1])
    return _without_repeats(np.array(points), np.array(tangents))


def _without_rest(corners: Sequence[Corner], lengths_m: Array) -> list[Corner]:
    """Replace every `REST` by the length that the neighbour leaves of the common edge."""
    before = [0.0] + [
        lengths_m[i] - corners[i].after_m if corner.before_m == REST else corner.before_m
        for i, corner in enumerate(corners[1:])
    ]
    after = [
        lengths_m[i] - before[i + 1] if corner.after_m == REST else corner.after_m
        for i, corner in enumerate(corners[:-1])
    ] + [0.0]
    return [Corner(corner.radius_m, corner.height_m, b, a) for corner, b, a in zip(corners, before, after, strict=True)]


def _corner_samples(corner: Corner, incoming: Array, outgoing: Array, tolerance_m: float) -> list[tuple[Array, Array]]:
    """Sample points and unit tangents of one rounding, from its start to its end."""
    apex = np.array(corner[:2])
    start, end = apex - corner.before_m * incoming, apex + corner.after_m * outgoing
    turn_rad = float(np.arccos(np.clip(incoming @ outgoing, -1.0, 1.0)))
    # A conic with this weight is a circle when both cuts are equal (Farin, Curves and Surfaces, 12.5).
    weight = float(np.cos(turn_rad / 2.0))
    shoulder = (start + 2.0 * weight * apex + end) / (2.0 + 2.0 * weight)
    if np.linalg.norm(shoulder - apex) < tolerance_m:
        return [(apex, incoming), (apex, outgoing)]
    # A chord of an arc of length l that turns by a has a sagitta of about l a / 8.
    length_m = float(np.linalg.norm(shoulder - start) + np.linalg.norm(end - shoulder))
    steps = max(1, int(np.ceil(np.sqrt(length_m * turn_rad / (8.0 * tolerance_m)) - 1e-6)))
    samples = []
    for t in np.linspace(0.0, 1.0, steps + 1):
        a, b, c = (1.0 - t) ** 2, 2.0 * weight * t * (1.0 - t), t**2
        point = (a * start + b * apex + c * end) / (a + b + c)
        # The tangent of a conic at t points along this blend of its two control edges.
        toward = (1.0 - t) * (weight * (apex - start) * (1.0 - t) + (end - start) * t) + t * weight * (end - apex) * t
        samples.append((point, toward / np.linalg.norm(toward)))
    return samples


def _without_repeats(points: Array, tangents: Array) -> Profile:
    normals = np.stack([tangents[:, 1], -tangents[:, 0]], axis=1)
    same_place = np.hypot(*np.diff(points, axis=0).T) < _TINY_M
    same_normal = np.abs(np.diff(normals, axis=0)).max(axis=1) < 1e-6
    keep = np.concatenate([[True], ~(same_place & same_normal)])
    # A hard edge is at one place to the last bit, or there would be a ring of faces without width.
    for i in np.flatnonzero(same_place).tolist():
        points[i + 1] = points[i]
    # A rounding that ends exactly on the axis leaves the last point behind the one that matters.
    points = np.where(np.abs(points) < _TINY_M, 0.0, points)
    return Profile(points[keep], normals[keep])


def subdivided(profile: Profile, step_m: float) -> Profile:
    """Add points to the outline, such that no step is longer than `step_m` (so that it can be bent along a path)."""
    points, normals = [profile.points_m[:1]], [profile.normals[:1]]
    for i in range(len(profile.points_m) - 1):
        length_m = float(np.linalg.norm(profile.points_m[i + 1] - profile.points_m[i]))
        # Only what runs along the axis bends with it; end faces stay as they are.
        along_m = abs(float(profile.points_m[i + 1, 1] - profile.points_m[i, 1]))
        pieces = max(1, int(np.ceil(along_m / step_m - 1e-6))) if length_m > 0.0 else 1
        weights = np.arange(1, pieces + 1)[:, None] / pieces
        points.append(profile.points_m[i] * (1.0 - weights) + profile.points_m[i + 1] * weights)
        blend = profile.normals[i] * (1.0 - weights) + profile.normals[i + 1] * weights
        normals.append(blend / np.linalg.norm(blend, axis=1, keepdims=True))
    return Profile(np.concatenate(points), np.concatenate(normals))
