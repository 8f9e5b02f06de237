"""Maps between the image and the table: tells where a point of a plane above the table is seen, and the way back.

The plane is parallel to the table, `height_m` above it. In camera-aligned table coordinates, a to the right and b away
from the camera, with s = sin(elevation), c = cos(elevation), d the distance and h the plane's height above the point
looked at, a point has the depth Z = d + c b - s h and is seen at

    column = f a / Z,      row = -f (s b + c h) / Z

from the image's centre; the determinant of that map's Jacobian is f^2 (s d - h) / Z^3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.scene3d.arguments import Vec3


class View(NamedTuple):
    """Cameras of any batch shape (...), and the plane they look at.

    Attributes:
        azimuth_rad, elevation_rad, distance_m: (...).
        fovy_rad, look_at_m: the same for all.
        height_m: the height of the plane above the table.
        size: the side of the square image, pixels.
    """

    azimuth_rad: Tensor
    elevation_rad: Tensor
    distance_m: Tensor
    fovy_rad: float
    look_at_m: Vec3
    height_m: float
    size: int

    @property
    def focal_px(self) -> float:
        """The focal length, pixels."""
        return self.size / 2.0 / math.tan(self.fovy_rad / 2.0)

    def each(self) -> View:
        """Add an axis to the cameras, so that each goes with several points: (...) to (..., 1)."""
        azimuth, elevation, distance = (
            self.azimuth_rad[..., None],
            self.elevation_rad[..., None],
            self.distance_m[..., None],
        )
        return self._replace(azimuth_rad=azimuth, elevation_rad=elevation, distance_m=distance)

    def project(self, position_m: Tensor) -> Tensor:
        """Map world x, y (..., 2) to pixels (column, row) (..., 2); the centre of the top-left pixel is (0, 0)."""
        right, ahead = self._aligned(position_m)
        depth = self._depth(ahead)
        row = -(torch.sin(self.elevation_rad) * ahead + torch.cos(self.elevation_rad) * self._height) / depth
        return torch.stack([right / depth, row], dim=-1) * self.focal_px + (self.size - 1) / 2.0

    def unproject(self, pixel: Tensor) -> Tensor:
        """Map pixels (..., 2) to world x, y (..., 2); above the horizon some point far away."""
        centred = (pixel - (self.size - 1) / 2.0) / self.focal_px
        sine, cosine = torch.sin(self.elevation_rad), torch.cos(self.elevation_rad)
        up = -centred[..., 1]
        ahead = (up * (self.distance_m - sine * self._height) - cosine * self._height) / (sine - up * cosine).clamp_min(
            1e-3
        )
        right = centred[..., 0] * self._depth(ahead)
        ca, sa = torch.cos(self.azimuth_rad), torch.sin(self.azimuth_rad)
        x = -sa * right - ca * ahead + self.look_at_m[0]
        y = ca * right - sa * ahead + self.look_at_m[1]
        return torch.stack([x, y], dim=-1)

    def log_pixels_per_area(self, position_m: Tensor) -> Tensor:
        """Compute log |d pixel / d position|, (...), in square pixels for each square metre."""
        _, ahead = self._aligned(position_m)
        lean = (torch.sin(self.elevation_rad) * self.distance_m - self._height).clamp_min(1e-6)
        return 2.0 * math.log(self.focal_px) + lean.log() - 3.0 * self._depth(ahead).log()

    @property
    def _height(self) -> float:
        return self.height_m - self.look_at_m[2]

    def _aligned(self, position_m: Tensor) -> tuple[Tensor, Tensor]:
        x, y = position_m[..., 0] - self.look_at_m[0], position_m[..., 1] - self.look_at_m[1]
        ca, sa = torch.cos(self.azimuth_rad), torch.sin(self.azimuth_rad)
        return -sa * x + ca * y, -ca * x - sa * y

    def _depth(self, ahead: Tensor) -> Tensor:
        depth = self.distance_m + torch.cos(self.elevation_rad) * ahead - torch.sin(self.elevation_rad) * self._height
        return depth.clamp_min(1e-3)
