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

from air3d.evaluation.metrics import match
from scene3d.assets import asset_path
from scene3d.batch import SceneBatch
from scene3d.cameras import camera_frames, object_to_world
from scene3d.catalog import Kind, get_kind
from scene3d.compiler import Detail
from scene3d.errors import InputError

Floats = NDArray[np.float64]

# Pose errors below which a pose counts, as the challenge averages over them: shares of the diameter, and pixels
# of an image 640 wide.
MSSD_FRACTIONS = tuple(0.05 * i for i in range(1, 11))
MSPD_THRESHOLDS_PX = tuple(5.0 * i for i in range(1, 11))
REFERENCE_WIDTH_PX = 640
# Between two turns of a discretised continuous symmetry no vertex moves by more than this share of the diameter.
SYMMETRY_STEP = 0.01
_NEAREST_M = 1e-6


class PoseErrors(NamedTuple):
    """One row for each true object of all scenes (T objects); inf where none of its kind was matched to it.

    Attributes:
        scene, slot: (T,) where the object is in the true batch.
        kind: T names.
        mssd_m: (T,) maximum symmetry-aware surface distance, metres.
        mspd_px: (T,) maximum symmetry-aware projection distance, pixels of the image's own size.
        diameter_m: (T,) of the true object at its size.
    """

    scene: NDArray[np.int64]
    slot: NDArray[np.int64]
    kind: tuple[str, ...]
    mssd_m: Floats
    mspd_px: Floats
    diameter_m: Floats


def pose_errors(truth: SceneBatch, inferred: SceneBatch, height: int, detail: Detail = "inference") -> PoseErrors:
    """Match the objects of every scene (`metrics.match`) and measure their poses, each under its own scene's camera.

    Args:
        height: of the images, pixels; pixels are square, so the width does not matter.
        detail: whose mesh the vertices are; display meshes are some twenty times as slow and differ by less than 1 %.

    Raises:
        InputError: if the batches differ in length.
    """
    matches = match(truth, inferred)
    scene, slot = np.nonzero(truth.present)
    row = {key: index for index, key in enumerate(zip(scene.tolist(), slot.tolist(), strict=True))}
    names = tuple(truth.kinds[k] for k in truth.kind[scene, slot])
    scale = truth.scale[scene, slot]
    diameters = np.array([diameter_m(name, detail) for name in names], dtype=np.float64) * scale
    mssd, mspd = np.full((2, len(scene)), np.inf)
    true_view, found_view = _world_to_camera(truth), _world_to_camera(inferred)
    focal = height / 2.0 / np.tan(truth.camera_fovy_rad / 2.0)
    for p in np.flatnonzero(matches.same_kind):
        b, t, f = int(matches.scene[p]), int(matches.true_slot[p]), int(matches.inferred_slot[p])
        true_pose = true_view[b] @ _object_to_world(truth, b, t)
        pose = found_view[b] @ _object_to_world(inferred, b, f)
        index = row[b, t]
        mssd[index], mspd[index] = distances(
            get_kind(names[index]), pose, true_pose, inferred.scale[b, f], truth.scale[b, t], float(focal[b]), detail
        )
    return PoseErrors(scene, slot, names, mssd, mspd, diameters)


def mssd_recall(errors: PoseErrors, fraction: float = 0.1) -> float | None:
    """Share of the true objects whose MSSD is below `fraction` of their diameter; None without objects."""
    return float(np.mean(errors.mssd_m < fraction * errors.diameter_m)) if len(errors.kind) else None


def mspd_recall(errors: PoseErrors, threshold_px: float, width: int) -> float | None:
    """Share of the true objects whose MSPD is below `threshold_px` * width / 640; None without objects."""
    limit = threshold_px * width / REFERENCE_WIDTH_PX
    return float(np.mean(errors.mspd_px < limit)) if len(errors.kind) else None


def distances(
    kind: Kind,
    pose: Floats,
    true_pose: Floats,
    scale: float,
    true_scale: float,
    focal_px: float,
    detail: Detail = "inference",
) -> tuple[float, float]:
    """MSSD in metres and MSPD in pixels of one object.

    Args:
        pose, true_pose: (4, 4) rigid object-to-camera, OpenCV convention; sizes come apart from them, as factors.
        focal_px: focal length in pixels; the principal point cancels.

    Of a continuous symmetry the discretised turns count, and besides them the one that fits the two poses best, so
    that poses which differ by a symmetry have error zero.
    """
    points = vertices_m(kind.name, detail)
    turned = _turned_vertices(kind.name, detail)
    if kind.symmetry.continuous_yaw:
        fit = _transform(_best_turn(kind, true_pose[:3, :3].T @ pose[:3, :3]), kind.height_m / 2.0)
        turned = np.concatenate([turned, (points @ fit[:3, :3].T + fit[:3, 3])[None]])
    found = scale * points @ pose[:3, :3].T + pose[:3, 3]
    true = true_scale * turned @ true_pose[:3, :3].T + true_pose[:3, 3]
    surface = np.linalg.norm(found - true, axis=-1).max(-1).min()
    if min(found[:, 2].min(), true[..., 2].min()) < _NEAREST_M:
        return float(surface), math.inf  # a vertex beside or behind the camera has no projection
    shift = focal_px * (found[:, :2] / found[:, 2:] - true[..., :2] / true[..., 2:])
    return float(surface), float(np.linalg.norm(shift, axis=-1).max(-1).min())


@cache
def vertices_m(kind: str, detail: Detail) -> Floats:
    """Vertices (V, 3) of a kind's mesh in the object's frame, metres, at size 1.

    Raises:
        InputError: if the mesh file is missing or has no vertices.
    """
    path = asset_path("meshes", f"{get_kind(kind).name}.{detail}.obj")
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    points = np.array([[float(v) for v in words[1:4]] for words in lines if words[:1] == ["v"]])
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{path}: holds no vertices; run 'python -m scene3d.meshes.build'")
    points.setflags(write=False)
    return points


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
            product = _about_z(2.0 * math.pi * k / turns) @ rotation
            found.setdefault(tuple(np.rint(1e6 * product).astype(int).ravel().tolist()), product)
    return np.stack([_transform(rotation, kind.height_m / 2.0) for rotation in found.values()])


@cache
def _turned_vertices(kind: str, detail: Detail) -> Floats:
    """(G, V, 3)."""
    motions = symmetry_transforms(get_kind(kind))
    turned = vertices_m(kind, detail) @ motions[:, :3, :3].transpose(0, 2, 1) + motions[:, None, :3, 3]
    turned.setflags(write=False)
    return turned


def _best_turn(kind: Kind, rotation: Floats) -> Floats:
    """The rotation of a continuous symmetry nearest to `rotation` (3, 3)."""
    if kind.symmetry.spherical:
        return rotation
    return _about_z(math.atan2(rotation[1, 0] - rotation[0, 1], rotation[0, 0] + rotation[1, 1]))


def _about_z(angle_rad: float) -> Floats:
    return object_to_world(0.0, 0.0, angle_rad)[:3, :3]


def _transform(rotation: Floats, height_m: float) -> Floats:
    """(4, 4) rotation about the point (0, 0, height)."""
    motion, centre = np.eye(4), np.array([0.0, 0.0, height_m])
    motion[:3, :3], motion[:3, 3] = rotation, centre - rotation @ centre
    return motion


def _object_to_world(batch: SceneBatch, b: int, n: int) -> Floats:
    x, y = batch.position_m[b, n]
    return object_to_world(float(x), float(y), float(batch.yaw_rad[b, n]))


def _world_to_camera(batch: SceneBatch) -> Floats:
    """(B, 4, 4), OpenCV convention."""
    frames = camera_frames(
        batch.camera_azimuth_rad, batch.camera_elevation_rad, batch.camera_distance_m, batch.camera_look_at_m
    )
    return np.diag([1.0, -1.0, -1.0, 1.0]) @ np.linalg.inv(frames)
