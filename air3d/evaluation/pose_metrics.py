"""Pose errors of the BOP challenge: MSSD in metres and MSPD in pixels, both blind to an object's symmetries.

    MSSD = min_{S in symmetries} max_{v in vertices} | P' v - P S v |
    MSPD = min_{S in symmetries} max_{v in vertices} | proj(P' v) - proj(P S v) |

with P' the inferred and P the true object-to-camera pose (Hodan et al., "BOP Challenge 2020 on 6D Object
Localization", arXiv 2009.07378, section 2.2; used by the challenges from 2019 on).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from air3d.evaluation.metrics import Matches, check_lengths
from air3d.evaluation.outline import vertices_m
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import Kind, get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Detail
from air3d.scene3d.poses import about_z

Floats = NDArray[np.float64]

# Pose errors below which a pose counts, as the challenge averages over them: shares of the diameter, and pixels
# of an image 640 wide.
MSSD_FRACTIONS = tuple(0.05 * i for i in range(1, 11))
MSPD_THRESHOLDS_PX = tuple(5.0 * i for i in range(1, 11))
REFERENCE_WIDTH_PX = 640
# Between two turns of a discretised continuous symmetry no vertex moves by more than this share of the diameter.
SYMMETRY_STEP = 0.01
_NEAREST_M = 1e-6
_BLOCK = 4096


class PoseErrors(NamedTuple):
    """Errors of all pairs of a true and an inferred object of one kind in one scene; inf for every other pair.

    Attributes:
        mssd_m: (B, N, M), maximum symmetry-aware surface distance, metres, of N true and M inferred slots.
        mspd_px: (B, N, M), maximum symmetry-aware projection distance, pixels of the image's own size.
        diameter_m: (B, N), the diameters of the true objects at their size; 0 in empty slots.
    """

    mssd_m: Floats
    mspd_px: Floats
    diameter_m: Floats


def pose_errors(truth: SceneBatch, inferred: SceneBatch, height: int, detail: Detail = "inference") -> PoseErrors:
    """Measure poses against each other, each under its own scene's camera.

    Args:
        height: the height of the images, pixels; pixels are square, so the width does not matter.
        detail: the level of detail of the meshes; display meshes take some twenty times as long and differ by less
            than 1 %.

    Raises:
        InputError: if the batches differ in length.
    """
    check_lengths(truth, inferred)
    shape = (len(truth), truth.slots, inferred.slots)
    mssd, mspd, diameters = np.full(shape, np.inf), np.full(shape, np.inf), np.zeros(shape[:2])
    camera, found_view = truth.cameras(height, height), inferred.cameras(height, height).eye_pose()
    true_view, (_, focal) = camera.eye_pose(), camera.focal_px
    true_frames, found_frames = truth.frames(), inferred.frames()
    for b, t in np.argwhere(truth.present).tolist():
        kind = get_kind(truth.kinds[truth.kind[b, t]])
        diameters[b, t] = diameter_m(kind.name, detail) * truth.scale[b, t]
        true_pose = true_view[b] @ true_frames[b, t]
        for f in np.flatnonzero(inferred.present[b]).tolist():
            if inferred.kinds[inferred.kind[b, f]] == kind.name:
                pose = found_view[b] @ found_frames[b, f]
                scales = float(inferred.scale[b, f]), float(truth.scale[b, t])
                mssd[b, t, f], mspd[b, t, f] = distances(kind, pose, true_pose, *scales, float(focal[b]), detail)
    return PoseErrors(mssd, mspd, diameters)


def mssd_recall(errors: PoseErrors, matches: Matches, fraction: float = 0.1) -> float | None:
    """Share of the true objects whose match has an MSSD below `fraction` of the diameter; None without objects."""
    return _recall(errors, matches, errors.mssd_m < fraction * errors.diameter_m[..., None])


def mspd_recall(errors: PoseErrors, matches: Matches, threshold_px: float, width: int) -> float | None:
    """Share of the true objects whose match has an MSPD below `threshold_px` * width / 640; None without objects."""
    return _recall(errors, matches, errors.mspd_px < threshold_px * width / REFERENCE_WIDTH_PX)


def _recall(errors: PoseErrors, matches: Matches, near: NDArray[np.bool_]) -> float | None:
    objects = int((errors.diameter_m > 0.0).sum())
    return float(near[matches.scene, matches.true_slot, matches.inferred_slot].sum()) / objects if objects else None


def distances(
    kind: Kind,
    pose: Floats,
    true_pose: Floats,
    scale: float,
    true_scale: float,
    focal_px: float,
    detail: Detail = "inference",
) -> tuple[float, float]:
    """Compute MSSD in metres and MSPD in pixels of one object.

    Args:
        pose, true_pose: (4, 4) rigid object-to-camera, OpenCV convention; sizes are given apart from them, as factors.
        focal_px: the focal length in pixels; the principal point cancels.

    A continuous symmetry counts by its discretised turns and by the turn that fits the two poses best, so
    that poses which differ by a symmetry have error zero.
    """
    points = vertices_m(kind.name, detail).T
    blocks = list(_turned_vertices(kind.name, detail))
    if kind.symmetry.continuous_yaw:
        fit = _transform(_best_turn(kind, true_pose[:3, :3].T @ pose[:3, :3]), kind.height_m / 2.0)
        blocks.append((fit[:3, :3] @ points + fit[:3, 3:])[:, None])
    found = (scale * pose[:3, :3] @ points + pose[:3, 3:])[:, None]
    surface, projection = math.inf, math.inf
    for turned in blocks:
        flat = true_scale * true_pose[:3, :3] @ turned.reshape(3, -1) + true_pose[:3, 3:]
        true = flat.reshape(turned.shape)
        surface = min(surface, _least_of_largest(found - true))
        # A vertex beside or behind the camera has no projection.
        if min(found[2].min(), true[2].min()) >= _NEAREST_M:
            projection = min(projection, focal_px * _least_of_largest(found[:2] / found[2] - true[:2] / true[2]))
    return surface, projection


def _least_of_largest(shift: Floats) -> float:
    """Take for each of G turns the largest of the shifts (D, G, V) of V vertices in D dimensions; return the least."""
    return math.sqrt(np.square(shift).sum(axis=0).max(axis=-1).min())


@cache
def diameter_m(kind: str, detail: Detail = "inference") -> float:
    """Largest distance between two vertices of a kind at size 1, metres."""
    return float(pdist(vertices_m(kind, detail)).max())


def symmetry_transforms(kind: Kind, step: float = SYMMETRY_STEP) -> Floats:
    """The rigid motions of its own frame that leave a kind's look unchanged, (G, 4, 4), identity first.

    The kind's discrete group about the body's centre (0, 0, height / 2), combined with its turns about z; a
    continuous symmetry about z becomes ceil(pi / step) turns, as in the challenge.

    Raises:
        InputError: if `step` is not in (0, 1].
    """
    if not 0.0 < step <= 1.0:
        raise InputError(f"symmetry: step is {step}; it must lie above 0 and be at most 1")
    symmetry = kind.symmetry
    turns = math.ceil(math.pi / step) if symmetry.continuous_yaw else symmetry.yaw_order
    found: dict[tuple[int, ...], Floats] = {}
    for k in range(turns):
        for rotation in symmetry.rotations():
            product = about_z(2.0 * math.pi * k / turns) @ rotation
            found.setdefault(tuple(np.rint(1e6 * product).astype(int).ravel().tolist()), product)
    return np.stack([_transform(rotation, kind.height_m / 2.0) for rotation in found.values()])


@cache
def _turned_vertices(kind: str, detail: Detail) -> tuple[Floats, ...]:
    """Turn the vertices in blocks (3, G, V), coordinates first, that are small enough for the processor's cache."""
    motions, points = symmetry_transforms(get_kind(kind)), vertices_m(kind, detail)
    turned = np.einsum("gij,vj->igv", motions[:, :3, :3], points) + motions[:, :3, 3].T[..., None]
    turns = max(_BLOCK // len(points), 1)
    blocks = [np.ascontiguousarray(turned[:, i : i + turns]) for i in range(0, len(motions), turns)]
    for block in blocks:
        block.setflags(write=False)
    return tuple(blocks)


def _best_turn(kind: Kind, rotation: Floats) -> Floats:
    """The rotation of a continuous symmetry nearest to `rotation` (3, 3)."""
    if kind.symmetry.spherical:
        return rotation
    return about_z(math.atan2(rotation[1, 0] - rotation[0, 1], rotation[0, 0] + rotation[1, 1]))


def _transform(rotation: Floats, height_m: float) -> Floats:
    """The rotation (4, 4) about the point (0, 0, height)."""
    motion, centre = np.eye(4), np.array([0.0, 0.0, height_m])
    motion[:3, :3], motion[:3, 3] = rotation, centre - rotation @ centre
    return motion
