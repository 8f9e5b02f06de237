"""Cameras: where an eye stands, and how it maps the world into an image. Whoever reads a camera reads this form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from air3d.scene3d.arrays import Floats

Convention = Literal["opencv", "opengl"]

# OpenGL looks along -z with y up; OpenCV along +z with y down.
_GL_TO_CV = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Camera:
    """A perspective camera, or many of them with images of one size.

    Attributes:
        frame: (..., 4, 4), the eye's pose: the rigid motion from the camera to the world, metres. The camera's axes are
            OpenGL's: x right, y up, looking along -z.
        matrix: (..., 3, 3), the OpenCV camera matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], pixels; the centre of the
            top-left pixel is (0, 0).
        width, height: the size of the images, pixels.
    """

    frame: Floats
    matrix: Floats
    width: int
    height: int

    @staticmethod
    def pinhole(
        frame: Floats,
        fy_px: ArrayLike,
        width: int,
        height: int,
        shift: ArrayLike = (0.0, 0.0),
        fx_over_fy: ArrayLike = 1.0,
    ) -> Camera:
        """Make cameras without skew.

        Args:
            frame: (..., 4, 4), the eyes' poses.
            fy_px: (...), the vertical focal lengths, pixels.
            width, height: the size of the images, pixels.
            shift: (..., 2), how far to the right of the image's middle, and below it, the optical axis lies, in shares
                of the image's height.
            fx_over_fy: (...), the horizontal focal length over the vertical one; 1 for square pixels.
        """
        fy, shift = np.asarray(fy_px), np.asarray(shift)
        matrix = np.zeros((*fy.shape, 3, 3))
        matrix[..., 0, 0], matrix[..., 1, 1] = fy * np.asarray(fx_over_fy), fy
        matrix[..., 0, 2] = (width - 1) / 2.0 + height * shift[..., 0]
        matrix[..., 1, 2] = (height - 1) / 2.0 + height * shift[..., 1]
        matrix[..., 2, 2] = 1.0
        return Camera(frame, matrix, width, height)

    @property
    def focal_px(self) -> tuple[Floats, Floats]:
        """The focal lengths fx, fy, each (...), pixels."""
        return self.matrix[..., 0, 0], self.matrix[..., 1, 1]

    @property
    def principal_px(self) -> tuple[Floats, Floats]:
        """How far the optical axis lies from the image's left and from its upper edge, each (...), pixels."""
        return self.matrix[..., 0, 2] + 0.5, self.matrix[..., 1, 2] + 0.5

    @property
    def fovy_rad(self) -> Floats:
        """The vertical field of view (...) of images whose optical axis is in the middle."""
        return np.asarray(2.0 * np.arctan(self.height / 2.0 / self.focal_px[1]))

    def eye_pose(self, convention: Convention = "opencv") -> Floats:
        """The extrinsics (..., 4, 4), world to camera.

        Raises:
            ValueError: for another convention.
        """
        if convention not in get_args(Convention):
            raise ValueError(f"unknown camera convention '{convention}': use 'opengl' or 'opencv'")
        inverse = np.zeros_like(self.frame)
        inverse[..., :3, :3] = turn = self.frame[..., :3, :3].swapaxes(-1, -2)
        inverse[..., :3, 3] = (-turn @ self.frame[..., :3, 3:])[..., 0]
        inverse[..., 3, 3] = 1.0
        return inverse if convention == "opengl" else _GL_TO_CV @ inverse

    def project(self, points_m: ArrayLike) -> tuple[Floats, Floats]:
        """Project world points into the image of one camera.

        Args:
            points_m: (P, 3), world metres.

        Returns:
            (P, 2) pixel coordinates (column, row) in the convention of `matrix`, and (P,) depth in metres along the
            optical axis (negative behind the camera).
        """
        extrinsics = self.eye_pose()
        local = np.asarray(points_m) @ extrinsics[:3, :3].T + extrinsics[:3, 3]
        image = local @ self.matrix.T
        with np.errstate(divide="ignore", invalid="ignore"):
            return image[:, :2] / local[:, 2:], local[:, 2]
