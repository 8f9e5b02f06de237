"""Maps between the image and the table: tells where a point of a plane above the table is seen, and the way back.

The plane is parallel to the table, `height_m` above it. In camera-aligned table coordinates, a to the right and b away
from the camera, with s = sin(elevation), c = cos(elevation), d the distance and h the plane's height above the point
looked at, a point has the depth Z = d + c b - s h and is seen at

    column = fx a / Z,      row = -fy (s b + c h) / Z

from the principal point; the determinant of that map's Jacobian is fx fy (s d - h) / Z^3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from air3d.distributions.axes import basis
from air3d.scene3d.arguments import Vec3
from air3d.scene3d.camera import Camera


class Pinhole(NamedTuple):
    """The numbers of a camera matrix, the same for all cameras of a world.

    Attributes:
        focal_px: fx and fy.
        principal_px: where the optical axis is seen; the centre of the top-left pixel is (0, 0).
    """

    focal_px: tuple[float, float]
    principal_px: tuple[float, float]

    @staticmethod
    def of(camera: Camera) -> Pinhole:
        """Take that of one camera."""
        (fx, _, cx), (_, fy, cy), _ = camera.matrix.tolist()
        return Pinhole((fx, fy), (cx, cy))

    def rays(self, pixel: Tensor) -> Tensor:
        """Map pixels (..., 2) to x / depth and y / depth, to the right and down, (..., 2)."""
        return (pixel - pixel.new_tensor(self.principal_px)) / pixel.new_tensor(self.focal_px)

    def pixels(self, rays: Tensor) -> Tensor:
        """Invert `rays`."""
        return rays * rays.new_tensor(self.focal_px) + rays.new_tensor(self.principal_px)

    @property
    def log_area(self) -> float:
        """The logarithm of fx times fy."""
        return math.log(self.focal_px[0]) + math.log(self.focal_px[1])


class View(NamedTuple):
    """Cameras of any batch shape (...), and the plane they look at.

    Attributes:
        azimuth_rad, elevation_rad, distance_m: (...).
        pinhole, look_at_m: the same for all.
        height_m: the height of the plane above the table.
    """

    azimuth_rad: Tensor
    elevation_rad: Tensor
    distance_m: Tensor
    pinhole: Pinhole
    look_at_m: Vec3
    height_m: float

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
        return self.pinhole.pixels(torch.stack([right / depth, row], dim=-1))

    def unproject(self, pixel: Tensor) -> Tensor:
        """Map pixels (..., 2) to world x, y (..., 2); above the horizon some point far away."""
        centred = self.pinhole.rays(pixel)
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
        return self.pinhole.log_area + lean.log() - 3.0 * self._depth(ahead).log()

    def axes(self) -> Tensor:
        """The cameras' rotations (..., 3, 3), camera to world; columns right, up, backward."""
        (ca, sa), (ce, se) = ((torch.cos(a), torch.sin(a)) for a in (self.azimuth_rad, self.elevation_rad))
        zero = torch.zeros_like(ca * ce)
        columns = [(-sa + zero, ca + zero, zero), (-se * ca, -se * sa, ce + zero), (ce * ca, ce * sa, se + zero)]
        return torch.stack([torch.stack(column, -1) for column in columns], -1)

    def see(self, point_m: Tensor) -> tuple[Tensor, Tensor]:
        """Map world points (..., 3) to pixels (..., 2) and depths (...) along the optical axis, metres."""
        axes = self.axes()
        local = (axes.mT @ (point_m - self._eye(axes))[..., None])[..., 0]
        depth = (-local[..., 2]).clamp_min(1e-3)
        flat = torch.stack([local[..., 0], -local[..., 1]], -1) / depth[..., None]
        return self.pinhole.pixels(flat), depth

    def point(self, pixel: Tensor, depth_m: Tensor) -> Tensor:
        """Invert `see`: the world points (..., 3) of pixels (..., 2) at depths (...)."""
        axes = self.axes()
        right, down = (self.pinhole.rays(pixel) * depth_m[..., None]).unbind(-1)
        local = torch.stack([right, -down, -depth_m.expand_as(right)], -1)
        return (axes @ local[..., None])[..., 0] + self._eye(axes)

    def ray_axes(self, pixel: Tensor) -> Tensor:
        """The rotations (..., 3, 3) of cameras turned the shortest way so that they look along the rays of pixels
        (..., 2): what looks alike in the middle of the image and beside it is turned alike, seen from them."""
        flat = self.pinhole.rays(pixel)
        backward = torch.stack([-flat[..., 0], flat[..., 1], torch.ones_like(flat[..., 0])], -1)
        return self.axes() @ basis(nn.functional.normalize(backward, dim=-1))

    def plane_depth(self, pixel: Tensor, height_m: Tensor) -> Tensor:
        """The depths (...) at which the rays of pixels (..., 2) meet planes so high (...) above the table, kept between
        a half and twice the distance: above the horizon there is none."""
        up = -self.pinhole.rays(pixel)[..., 1]
        sine, cosine = torch.sin(self.elevation_rad), torch.cos(self.elevation_rad)
        above = sine * self.distance_m + self.look_at_m[2] - height_m
        depth = above / (sine - up * cosine).clamp_min(1e-3)
        return torch.minimum(torch.maximum(depth, 0.5 * self.distance_m), 2.0 * self.distance_m)

    def _eye(self, axes: Tensor) -> Tensor:
        return self.distance_m[..., None] * axes[..., 2] + axes.new_tensor(self.look_at_m)

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
