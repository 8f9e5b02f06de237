"""Camera geometry: where an eye stands and how it maps the world into an image.

A camera is known by two things: its eye pose, a rigid motion from the world to the camera (`Camera.eye_pose`,
`SceneBatch.eye_poses`), and its intrinsics (`intrinsics` of both). Its frame (`Camera.frame`,
`SceneBatch.camera_frames`) is the inverse motion, with OpenGL's axes, as MuJoCo and glTF want it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from air3d.scene3d.scene import Camera

Floats = NDArray[np.float64]
Convention = Literal["opencv", "opengl"]

# OpenGL looks along -z with y up; OpenCV along +z with y down.
_GL_TO_CV = np.diag([1.0, -1.0, -1.0, 1.0])


def orbit_frames(
    azimuth_rad: ArrayLike, elevation_rad: ArrayLike, distance_m: ArrayLike, look_at_m: ArrayLike
) -> Floats:
    """The frames of upright cameras on spheres around the points that they look at.

    Args:
        azimuth_rad, elevation_rad, distance_m: (B,).
        look_at_m: (B, 3).

    Returns:
        (B, 4, 4) camera to world, OpenGL convention (x right, y up, looking along -z); the last column is the eye in
        world metres.
    """
    az, el = np.asarray(azimuth_rad, dtype=np.float64), np.asarray(elevation_rad, dtype=np.float64)
    ca, sa, ce, se = np.cos(az), np.sin(az), np.cos(el), np.sin(el)
    frames = np.zeros((*az.shape, 4, 4))
    # Columns: right, up, backward, eye.
    frames[..., 0, 0], frames[..., 1, 0] = -sa, ca
    frames[..., 0, 1], frames[..., 1, 1], frames[..., 2, 1] = -se * ca, -se * sa, ce
    frames[..., 0, 2], frames[..., 1, 2], frames[..., 2, 2] = ce * ca, ce * sa, se
    frames[..., :3, 3] = np.asarray(look_at_m) + np.asarray(distance_m)[..., None] * frames[..., :3, 2]
    frames[..., 3, 3] = 1.0
    return frames


def eye_pose(frame: Floats, convention: Convention = "opencv") -> Floats:
    """The extrinsics (4, 4), world to camera, of a camera's frame (4, 4).

    Raises:
        ValueError: for another convention.
    """
    if convention not in get_args(Convention):
        raise ValueError(f"unknown camera convention '{convention}': use 'opengl' or 'opencv'")
    inverse = np.eye(4)
    inverse[:3, :3] = frame[:3, :3].T
    inverse[:3, 3] = -frame[:3, :3].T @ frame[:3, 3]
    return inverse if convention == "opengl" else _GL_TO_CV @ inverse


def pinhole(focal_px: ArrayLike, width: int, height: int) -> Floats:
    """The OpenCV camera matrices (..., 3, 3) of focal lengths (...) in pixels, looking through the middle of the image.

    The centre of the top-left pixel is (0, 0); pixels are square.
    """
    focal = np.asarray(focal_px)
    matrices = np.zeros((*focal.shape, 3, 3))
    matrices[..., 0, 0] = matrices[..., 1, 1] = focal
    matrices[..., 0, 2], matrices[..., 1, 2], matrices[..., 2, 2] = (width - 1) / 2.0, (height - 1) / 2.0, 1.0
    return matrices


def project(points_m: Floats, camera: Camera, height: int, width: int) -> tuple[Floats, Floats]:
    """Project world points into the image.

    Args:
        points_m: (P, 3), world metres.

    Returns:
        (P, 2) pixel coordinates (column, row) in the convention of `pinhole`, and (P,) depth in metres
        along the optical axis (negative behind the camera).
    """
    extrinsics = camera.eye_pose()
    local = np.asarray(points_m) @ extrinsics[:3, :3].T + extrinsics[:3, 3]
    image = local @ camera.intrinsics(width, height).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return image[:, :2] / local[:, 2:], local[:, 2]
