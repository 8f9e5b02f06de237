"""Resting poses: how a kind can lie on a plane, and how often it comes to lie so.

An object rests on a face of its convex hull above which the centre of mass stands. How often, if it is dropped slowly
and turned at random, is the solid angle that the face fills, seen from the centre of mass; a face on which it cannot
rest hands its share on to the face that it topples to (Goldberg, Mirtich, Zhuang, Craig, Carlisle, Canny, "Part pose
statistics: estimators and experiments", 1999). Round surfaces are polygons: a mug on its side has several poses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.solids import solids
from air3d.scene3d.symmetry import Symmetry

_FLAT_RAD = 0.01
_SAME = 0.02
_MARGIN_M = 2e-4
_RARE = 1e-3


class RestingPose(NamedTuple):
    """A way to lie on the plane z = 0, but for a turn about the vertical.

    Attributes:
        rotation_wxyz: (4,), object to world, a unit quaternion with w >= 0.
        height_m: how high the origin is, for size 1.
        probability: how often an object that is dropped comes to lie so.
    """

    rotation_wxyz: Floats
    height_m: float
    probability: float


@lru_cache(maxsize=256)
def stable_poses(kind: str) -> tuple[RestingPose, ...]:
    """Find the resting poses of a kind, the most probable first; poses that its symmetry makes equal are one.

    Raises:
        InputError: if there is no such kind.
    """
    found = solids(kind)
    return resting_poses(found.points_m(), found.centre_of_mass_m(), get_kind(kind).symmetry)


def resting_poses(points_m: Floats, centre_of_mass_m: Floats, symmetry: Symmetry) -> tuple[RestingPose, ...]:
    """Find the resting poses of the convex hull of points (P, 3) with its centre of mass at a point (3,).

    Those rarer than 0.1 % are left out, and the rest share their probability.
    """
    if symmetry.spherical:
        return (RestingPose(np.array([1.0, 0.0, 0.0, 0.0]), float(-points_m[:, 2].min()), 1.0),)
    hull = ConvexHull(points_m)
    face, normals = _faces(hull)
    offsets = np.array([(points_m @ normal).max() for normal in normals])
    heights = offsets - normals @ centre_of_mass_m
    shares = np.bincount(face, _solid_angles(points_m[hull.simplices] - centre_of_mass_m), len(normals)) / (4 * np.pi)
    stable = np.zeros(len(normals), dtype=bool)
    # Toppling lowers the centre of mass, so shares are handed on from high to low.
    for f in np.argsort(-heights):
        beyond, target = _toppling(hull, face, normals, f, centre_of_mass_m)
        stable[f] = beyond < -_MARGIN_M or heights[target] >= heights[f]
        if not stable[f]:
            shares[target] += shares[f]
    turns = _turns(symmetry)
    groups: list[list[int]] = []
    for f in np.flatnonzero(stable).tolist():
        images = turns @ normals[f]
        if symmetry.continuous_yaw:
            images = _spun(images)
        for group in groups:
            other = _spun(normals[group[0]]) if symmetry.continuous_yaw else normals[group[0]]
            if (np.linalg.norm(images - other, axis=1) < _SAME).any():
                group.append(f)
                break
        else:
            groups.append([f])
    poses = []
    for group in groups:
        # The least turned of those that look alike.
        rotation = max((_laid_down(normals[f]) for f in group), key=lambda turn: float(turn[0]))
        at = max(group, key=lambda f: float(_laid_down(normals[f])[0]))
        poses.append(RestingPose(rotation, float(offsets[at]), float(shares[group].sum())))
    kept = [pose for pose in poses if pose.probability >= _RARE] or poses
    total = sum(pose.probability for pose in kept)
    kept = [pose._replace(probability=pose.probability / total) for pose in kept]
    return tuple(sorted(kept, key=lambda pose: -pose.probability))


def _faces(hull: ConvexHull) -> tuple[Ints, Floats]:
    """Join triangles of one plane: the face (T,) of each triangle, and the outward normals (F, 3)."""
    normals = hull.equations[:, :3]
    one = np.repeat(np.arange(len(normals)), 3)
    other = hull.neighbors.ravel()
    flat = (normals[one] * normals[other]).sum(axis=1) > np.cos(_FLAT_RAD)
    graph = coo_matrix((np.ones(flat.sum()), (one[flat], other[flat])), shape=(len(normals),) * 2)
    count, face = connected_components(graph, directed=False)
    corners = hull.points[hull.simplices]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    sums = np.stack([np.bincount(face, areas * normals[:, k], count) for k in range(3)], axis=1)
    return face.astype(np.int64), sums / np.linalg.norm(sums, axis=1, keepdims=True)


def _solid_angles(corners: Floats) -> Floats:
    """The solid angles of triangles (T, 3, 3), seen from the origin (van Oosterom & Strackee 1983, equation 8)."""
    a, b, c = np.moveaxis(corners, 1, 0)
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    triple = abs((a * np.cross(b, c)).sum(axis=1))
    across = la * lb * lc + (a * b).sum(axis=1) * lc + (a * c).sum(axis=1) * lb + (b * c).sum(axis=1) * la
    return np.asarray(2.0 * np.arctan2(triple, across))


def _toppling(hull: ConvexHull, face: Ints, normals: Floats, f: int, centre: Floats) -> tuple[float, int]:
    """How far beyond a face's nearest edge the centre of mass stands (metres; inside: below 0), and what is next."""
    best = -np.inf, f
    for t in np.flatnonzero(face == f).tolist():
        corners = hull.points[hull.simplices[t]]
        for k in range(3):
            following = int(face[hull.neighbors[t, k]])
            if following == f:
                continue
            start, end, inner = corners[(k + 1) % 3], corners[(k + 2) % 3], corners[k]
            outward = np.cross(end - start, normals[f])
            outward *= np.sign((start - inner) @ outward) / np.linalg.norm(outward)
            best = max(best, (float((centre - start) @ outward), following))
    return best


def away_rad(directions: Floats, others: Floats, symmetry: Symmetry) -> Floats:
    """The angles (M, K) between unit vectors (M, 3) and (K, 3) in an object's frame, the least by its symmetry."""
    if symmetry.spherical:
        return np.zeros((len(directions), len(others)))
    images = _turns(symmetry) @ others[:, None, :, None]
    images = images[..., 0]
    if symmetry.continuous_yaw:
        images, directions = _spun(images), _spun(directions)
    apart = np.linalg.norm(directions[:, None, None] - images, axis=-1).min(axis=-1)
    return np.asarray(2.0 * np.arcsin(np.minimum(apart / 2.0, 1.0)))


def _turns(symmetry: Symmetry) -> Floats:
    """The rotations (G, 3, 3) that change nothing, but for those of a continuous symmetry."""
    count = 1 if symmetry.continuous_yaw else symmetry.yaw_order
    yaws = Rotation.from_euler("z", 2.0 * np.pi * np.arange(count)[:, None] / count).as_matrix()
    return np.asarray(np.einsum("aij,bjk->abik", yaws, symmetry.rotations()).reshape(-1, 3, 3))


def _spun(normals: Floats) -> Floats:
    """Normals (..., 3) turned about z into the half plane y = 0, x > 0."""
    radius = np.hypot(normals[..., 0], normals[..., 1])
    return np.stack([radius, np.zeros_like(radius), normals[..., 2]], axis=-1)


def _laid_down(normal: Floats) -> Floats:
    """The quaternion of the smallest turn that points an outward normal (3,) down; about x if it points up."""
    quaternion = np.array([1.0 - normal[2], -normal[1], normal[0], 0.0])
    length = float(np.linalg.norm(quaternion))
    return np.array([0.0, 1.0, 0.0, 0.0]) if length < 1e-6 else quaternion / length
