"""Real cameras: a camera matrix with OpenCV's model of lens distortion, and the view of a pinhole camera in its place.

Scenes, renderers and models know ideal pinhole cameras alone. A point of the world whose ray meets the plane z = 1
before the camera at (x, y), x right, y down, lands at the pixel (fx x" + cx, fy y" + cy), where r^2 = x^2 + y^2 and

    x" = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)
    y" = y (1 + k1 r^2 + k2 r^4 + k3 r^6) + p1 (r^2 + 2 y^2) + 2 p2 x y

Source: OpenCV's documentation, module calib3d, whose `calibrateCamera` finds these numbers in this order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from air3d.scene3d.arguments import check_number, check_vector, tidy
from air3d.scene3d.arrays import Floats
from air3d.scene3d.camera import Camera
from air3d.scene3d.errors import InputError

Distortion = tuple[float, float, float, float, float]

# Rays a pixel, along each axis; pictures that are larger still are first averaged over whole blocks of pixels.
_MOST_RAYS = 4


@dataclass(frozen=True)
class Lens:
    """A real camera's matrix and distortion.

    Attributes:
        fx, fy, cx, cy: the camera matrix, in pixels of the pictures that it took; the centre of the top-left pixel is
            (0, 0).
        distortion: k1, k2, p1, p2, k3; all 0 for an ideal lens.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: Distortion = (0.0, 0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        tidy(self)
        for name, low in (("fx", 1e-3), ("fy", 1e-3), ("cx", -1e6), ("cy", -1e6)):
            check_number("lens", name, getattr(self, name), low, 1e6)
        check_vector("lens", "distortion", self.distortion, -1e6, 1e6, length=5)

    @property
    def matrix(self) -> Floats:
        """The camera matrix, (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def distort(self, points: ArrayLike) -> Floats:
        """Convert points (..., 2) of the plane z = 1, where rays meet it, to those where the lens puts them."""
        x, y = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return np.stack(
            [
                x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
                y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
            ],
            axis=-1,
        )

    @property
    def reach(self) -> float:
        """The radius in the plane z = 1 up to which rays farther out land farther out; the model is invalid beyond."""
        k1, k2, _, _, k3 = self.distortion
        turning = np.roots([7.0 * k3, 5.0 * k2, 3.0 * k1, 1.0])
        squares = turning.real[(abs(turning.imag) < 1e-12) & (turning.real > 0.0)]
        return math.sqrt(squares.min()) if len(squares) else math.inf

    def undistort(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Convert a picture (H, W, 3) to that of the pinhole camera with this matrix; black where nothing was seen."""
        height, width = picture.shape[:2]
        return self.view(picture, Camera(np.eye(4), self.matrix, width, height))

    def view(self, picture: NDArray[np.uint8], camera: Camera, name: str = "the picture") -> NDArray[np.uint8]:
        """Convert a picture to the one that a pinhole camera takes in this camera's place, looking the same way.

        Args:
            picture: (H, W, 3) uint8, taken by this camera.
            camera: the pinhole camera; only its matrix and size are used, its pose is this camera's.
            name: names the picture in errors.

        Returns:
            (camera.height, camera.width, 3) uint8, black where the picture shows nothing. Many pixels that fall on one
            are averaged.

        Raises:
            InputError: if the optical axis lies outside the picture: then the matrix belongs to another size.
        """
        height, width = picture.shape[:2]
        if not (0.0 <= self.cx < width and 0.0 <= self.cy < height):
            raise InputError(
                f"{name}: has {width}x{height} pixels, but the lens's cx {self.cx:g}, cy {self.cy:g} lie outside; give "
                "the camera matrix of pictures of this size"
            )
        block, rays = self._sampling(camera)
        if block > 1:
            picture = np.asarray(Image.fromarray(picture).reduce(block))
        seen, inside = self.trace(camera, (width, height), rays)
        at = seen[..., 1] / block - 0.5, seen[..., 0] / block - 0.5
        parts = [map_coordinates(picture[..., c].astype(np.float32), at, order=1, mode="nearest") for c in range(3)]
        found = np.where(inside[..., None], np.stack(parts, axis=-1), 0.0)
        found = found.reshape(camera.height, rays, camera.width, rays, 3)
        return np.rint(found.mean(axis=(1, 3))).astype(np.uint8)

    def trace(self, camera: Camera, size: tuple[int, int], rays: int = 1) -> tuple[Floats, NDArray[np.bool_]]:
        """Find where this lens sees what a camera in its place sees along `rays` x `rays` rays through each pixel.

        Args:
            size: the width and height of this lens's pictures, pixels.

        Returns:
            Columns and rows (H * rays, W * rays, 2), the picture's corner being (0, 0), and whether they are in it.
        """
        (fx, fy), (left, top) = camera.focal_px, camera.principal_px
        rows, columns = ((np.arange(rays * side) + 0.5) / rays for side in (camera.height, camera.width))
        x, y = np.meshgrid((columns - left) / fx, (rows - top) / fy)
        seen = self.distort(np.stack([x, y], axis=-1)) * (self.fx, self.fy) + (self.cx + 0.5, self.cy + 0.5)
        return seen, (np.hypot(x, y) < self.reach) & ((seen >= 0.0) & (seen < size)).all(axis=-1)

    def _sampling(self, camera: Camera) -> tuple[int, int]:
        """The side of blocks that are averaged first, and the rays along each side of a pixel afterwards."""
        (fx, fy) = (float(focal) for focal in camera.focal_px)
        smaller = max(self.fx / fx, self.fy / fy)
        block = max(int(smaller / _MOST_RAYS), 1)
        return block, min(max(math.ceil(smaller / block), 1), _MOST_RAYS)
