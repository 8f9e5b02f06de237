"""The poses that objects of a world may have, as a camera sees them in numbers: for guides and for refinement.

`Upright`  objects stand on the table: a place and a yaw. They are seen at the pixel of their axis, at the plane of
           `World.height_m`; the yaw is relative to the camera.
`AnyPose`  objects are anywhere, turned in any way. They are seen at the pixel of their core (`stances.core`); the
           rotation is relative to a camera turned towards them, so that what looks alike is turned alike; the depth
           is relative to that at which an object that is turned so would rest on the table, as most do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from air3d.distributions.circle import wrap
from air3d.distributions.so3 import about_z, axis_of, conjugate, from_matrix, multiply, rotate
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.stances import core, hull_corners
from air3d.scene3d.support import Support
from air3d.scenes.view import View

if TYPE_CHECKING:
    from air3d.scenes.latents import Objects, World


# A depth is at most so many times that of what rests, and at least a part of as much, in natural logarithms.
_MOST = 2.0


class Pose(NamedTuple):
    """Positions (..., 3) of origins, metres, and rotations (..., 4), object to world."""

    position_m: Tensor
    rotation_wxyz: Tensor


class PoseSpace(ABC):
    """The poses that the objects of a world may have.

    Attributes:
        region: where on the plane they can be at all.
    """

    region: Support

    @abstractmethod
    def pixel(self, view: View, objects: Objects) -> Tensor:
        """Where objects (..., N) are seen by cameras (..., 1): (..., N, 2) pixels."""

    @abstractmethod
    def pack(self, view: View, objects: Objects) -> Tensor:
        """The numbers (..., N, P) of objects (..., N), as cameras (..., 1) see them."""

    @abstractmethod
    def unpack(self, view: View, kind: Tensor, numbers: Tensor) -> Pose:
        """Invert `pack`, pulling objects to where they can be."""

    def spun(self, objects: Objects, angle_rad: Tensor) -> Pose:
        """Turn objects (...) on the spot, by angles (...) about the axis that their z axes are parallel to."""
        return Pose(objects.position_m, multiply(objects.rotation_wxyz, about_z(angle_rad)))

    @abstractmethod
    def carried(self, before: View, after: View, objects: Objects) -> tuple[Pose, Tensor]:
        """Leave objects (..., N) of cameras `before` (..., 1) where they are in the image, and turned as they are to
        the camera's azimuth, for cameras `after` (..., 1).

        Returns:
            Their poses; and the log of what a square pixel, and a unit of lift, mean in the world there, (..., N).
        """

    @abstractmethod
    def units(self, height: int) -> list[float]:
        """Steps of the P numbers that change an image of this height, pixels, about equally."""

    @abstractmethod
    def seen(self, kind: Tensor) -> Tensor:
        """(..., N, P) bool: which numbers of objects of kinds (..., N) can be seen in a picture."""


class Upright(PoseSpace):
    """Standing on the table: pixel (2) and yaw relative to the camera (1)."""

    def __init__(self, world: World) -> None:
        self.region = world.prior.table.place
        self._turns = world.turns()

    def pixel(self, view: View, objects: Objects) -> Tensor:
        return view.project(objects.place_m)

    def pack(self, view: View, objects: Objects) -> Tensor:
        turn = objects.yaw_rad - view.azimuth_rad
        return torch.cat([self.pixel(view, objects), turn[..., None]], -1)

    def unpack(self, view: View, kind: Tensor, numbers: Tensor) -> Pose:
        place = self.region.clamp(view.unproject(numbers[..., :2]))
        return standing(place, numbers[..., 2] + view.azimuth_rad)

    def carried(self, before: View, after: View, objects: Objects) -> tuple[Pose, Tensor]:
        place = after.unproject(self.pixel(before, objects))
        turned = objects.yaw_rad - before.azimuth_rad + after.azimuth_rad
        return standing(place, wrap(turned)), -after.log_pixels_per_area(place)

    def units(self, height: int) -> list[float]:
        return [height / 64.0, height / 64.0, 0.3]

    def seen(self, kind: Tensor) -> Tensor:
        turns = self._turns.to(kind.device)[kind.clamp_min(0)]
        return torch.stack([torch.ones_like(turns), torch.ones_like(turns), turns], -1)


class AnyPose(PoseSpace):
    """Anywhere: pixel of the core (2), lift (1), rotation to a camera turned towards it (4).

    The lift is the logarithm of the core's depth, over the depth at which the object would rest: 0 for what stands or
    lies on the table, less for what is on top of something. So the camera and the rotation say most of the depth.
    The rotation's four numbers are those of a quaternion of any length: nowhere do they jump.
    """

    def __init__(self, world: World) -> None:
        self.region = world.prior.table.top
        cores, hulls = [core(name) for name in world.prior.kinds], [hull_corners(name) for name in world.prior.kinds]
        most = max(map(len, hulls))
        # A corner that stands twice changes nothing.
        around = [np.concatenate([hull, np.repeat(hull[:1], most - len(hull), axis=0)]) for hull in hulls]
        self._core = torch.tensor(np.array(cores), dtype=torch.float64)
        self._corners = torch.tensor(np.array(around), dtype=torch.float64) - self._core[:, None]
        self._turns = torch.tensor([not get_kind(name).symmetry.spherical for name in world.prior.kinds])

    def core(self, objects: Objects) -> Tensor:
        """The cores (..., 3) of the objects, at their nominal sizes, metres in the world."""
        return objects.position_m + self._from_origin(objects.kind, objects.rotation_wxyz)

    def pixel(self, view: View, objects: Objects) -> Tensor:
        return view.see(self.core(objects))[0]

    def spun(self, objects: Objects, angle_rad: Tensor) -> Pose:
        rotation = super().spun(objects, angle_rad).rotation_wxyz
        return self.at_core(self.core(objects), objects.kind, rotation)

    def carried(self, before: View, after: View, objects: Objects) -> tuple[Pose, Tensor]:
        pixel, depth = before.see(self.core(objects))
        lift = (depth / self.resting(before, pixel, objects.kind, objects.rotation_wxyz)).log()
        rotation = multiply(about_z(after.azimuth_rad - before.azimuth_rad), objects.rotation_wxyz)
        pose = self.lifted(after, objects.kind, pixel, lift, rotation)
        moved = objects._replace(position_m=pose.position_m, rotation_wxyz=pose.rotation_wxyz)
        depth = after.see(self.core(moved))[1]
        return pose, depth.log() - after.log_pixels_per_volume(depth)

    def at_core(self, core_m: Tensor, kind: Tensor, rotation_wxyz: Tensor) -> Pose:
        """Place objects turned by rotations (..., 4) with their cores at points (..., 3) of the world."""
        return Pose(core_m - self._from_origin(kind, rotation_wxyz), rotation_wxyz)

    def pack(self, view: View, objects: Objects) -> Tensor:
        pixel, depth = view.see(self.core(objects))
        lift = (depth / self.resting(view, pixel, objects.kind, objects.rotation_wxyz)).log()
        return torch.cat([pixel, lift[..., None], self.relative(view, pixel, objects.rotation_wxyz)], -1)

    def unpack(self, view: View, kind: Tensor, numbers: Tensor) -> Pose:
        relative = nn.functional.normalize(numbers[..., 3:], dim=-1)
        return self.lifted(
            view, kind, numbers[..., :2], numbers[..., 2], self.rotation(view, numbers[..., :2], relative)
        )

    def lifted(self, view: View, kind: Tensor, pixel: Tensor, lift: Tensor, rotation_wxyz: Tensor) -> Pose:
        """Place objects turned by rotations (..., 4), whose cores are seen at pixels (..., 2), by lifts (...)."""
        depth = self.resting(view, pixel, kind, rotation_wxyz) * lift.clamp(-_MOST, _MOST).exp()
        return self.at_core(view.point(pixel, depth), kind, rotation_wxyz)

    def resting(self, view: View, pixel: Tensor, kind: Tensor, rotation_wxyz: Tensor) -> Tensor:
        """The depths (...) of cores seen at pixels (..., 2) of objects turned so that rest on the table."""
        down = -up_of(rotation_wxyz)
        corners = self._corners.to(rotation_wxyz)[kind.clamp_min(0)]
        return view.plane_depth(pixel, (corners @ down[..., None])[..., 0].amax(-1))

    def rotation(self, view: View, pixel: Tensor, relative_wxyz: Tensor) -> Tensor:
        """Invert `relative`."""
        return multiply(from_matrix(view.ray_axes(pixel)), relative_wxyz)

    def relative(self, view: View, pixel: Tensor, rotation_wxyz: Tensor) -> Tensor:
        """The rotations (..., 4) of objects seen at pixels (..., 2), to cameras turned towards them."""
        return multiply(conjugate(from_matrix(view.ray_axes(pixel))), rotation_wxyz)

    def units(self, height: int) -> list[float]:
        return [height / 64.0, height / 64.0, 0.02, *[0.12] * 4]

    def seen(self, kind: Tensor) -> Tensor:
        turns = self._turns.to(kind.device)[kind.clamp_min(0)][..., None].expand(*kind.shape, 4)
        return torch.cat([torch.ones_like(turns[..., :3]), turns], -1)

    def _from_origin(self, kind: Tensor, rotation_wxyz: Tensor) -> Tensor:
        return rotate(rotation_wxyz, self._core.to(rotation_wxyz)[kind.clamp_min(0)])


def up_of(rotation_wxyz: Tensor) -> Tensor:
    """The world's vertical in the frames of objects turned so (..., 4): unit vectors (..., 3)."""
    return axis_of(conjugate(rotation_wxyz))


def standing(place_m: Tensor, yaw_rad: Tensor) -> Pose:
    """The poses of objects that stand on the table at places (..., 2), turned about the vertical."""
    return Pose(torch.cat([place_m, torch.zeros_like(place_m[..., :1])], -1), about_z(yaw_rad))
