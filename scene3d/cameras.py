"""Camera geometry: extrinsics in the OpenGL and the OpenCV convention, intrinsics, projection."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.scene import Camera

Floats = NDArray[np.float64]

# OpenGL looks along -z with y up; OpenCV along +z with y down.
_GL_TO_CV = np.diag([1.0, -1.0, -1.0, 1.0])


def camera_frames(azimuth_rad: Floats, elevation_rad: Floats, distance_m: Floats, look_at_m: Floats) -> Floats:
    """Compute camera-to-world matrices in the OpenGL convention (x right, y up, looking along -z).

    Args:
        azimuth_rad, elevation_rad, distance_m: (B,).
        look_at_m: (B, 3).

    Returns:
        (B, 4, 4); the last column is the eye in world metres.
    """
    az, el = np.asarray(azimuth_rad, dtype=np.float64), np.asarray(elevation_rad, dtype=np.float64)
    zero = np.zeros_like(az)
    backward = np.stack([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)], axis=-1)
    right = np.stack([-np.sin(az), np.cos(az), zero], axis=-1)
    up = np.stack([-np.sin(el) * np.cos(az), -np.sin(el) * np.sin(az), np.cos(el)], axis=-1)
    eye = np.asarray(look_at_m) + np.asarray(distance_m)[..., None] * backward
    frames = np.zeros((*az.shape, 4, 4))
    for column, vector in enumerate((right, up, backward, eye)):
        frames[..., :3, column] = vector
    frames[..., 3, 3] = 1.0
    return frames


def camera_to_world(camera: Camera) -> Floats:
    """The camera-to-world matrix (4, 4), OpenGL convention."""
    one = np.array([0.0])
    return camera_frames(
        one + camera.azimuth_rad, one + camera.elevation_rad, one + camera.distance_m, np.array([camera.look_at_m])
    )[0]


def world_to_camera(camera: Camera, convention: str) -> Floats:
    """The extrinsics: the world-to-camera matrix (4, 4), `convention` "opengl" or "opencv".

    Raises:
        ValueError: for another convention.
    """
    if convention not in ("opengl", "opencv"):
        raise ValueError(f"unknown camera convention '{convention}': use 'opengl' or 'opencv'")
    frame = camera_to_world(camera)
    inverse = np.eye(4)
    inverse[:3, :3] = frame[:3, :3].T
    inverse[:3, 3] = -frame[:3, :3].T @ frame[:3, 3]
    return inverse if convention == "opengl" else _GL_TO_CV @ inverse


def intrinsics(camera: Camera, height: int, width: int) -> Floats:
    """The OpenCV camera matrix (3, 3) in pixels; the centre of the top-left pixel is (0, 0); pixels are square."""
    focal = height / 2.0 / math.tan(camera.fovy_rad / 2.0)
    return np.array([[focal, 0.0, (width - 1) / 2.0], [0.0, focal, (height - 1) / 2.0], [0.0, 0.0, 1.0]])


def project(points_m: Floats, camera: Camera, height: int, width: int) -> tuple[Floats, Floats]:
    """Project world points into the image.

    Args:
        points_m: (P, 3), world metres.

    Returns:
        (P, 2) pixel coordinates (column, row) in the convention of `intrinsics`, and (P,) depth in metres
        along the optical axis (negative behind the camera).
    """
    extrinsics = world_to_camera(camera, "opencv")
    local = np.asarray(points_m) @ extrinsics[:3, :3].T + extrinsics[:3, 3]
    image = local @ intrinsics(camera, height, width).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return image[:, :2] / local[:, 2:], local[:, 2]
