"""The poses that objects of a world may have, as a camera sees them in numbers: for guides and for refinement.

`Upright`  objects stand on the table: a place and a yaw. They are seen at the pixel of their axis, at the plane of
           `World.height_m`; the yaw is relative to the camera.
`AnyPose`  objects are anywhere, turned in any way. They are seen at the pixel of their middle, that of the box around
           their outline in the image: an outline may be that of a mug with its handle on one side or the other, lying
           or standing, and has one middle. The rotation is relative to a camera turned towards it, so that what looks
           alike is turned alike; the depth is relative to that at which an object that is turned so would rest on the
           table, as most do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from air3d.distributions.circle import wrap
from air3d.distributions.so3 import about_z, axis_of, conjugate, from_matrix, matrix, multiply, rotate
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.stances import core, hull_corners
from air3d.scene3d.support import Support
from air3d.scenes.view import View

if TYPE_CHECKING:
    from air3d.scenes.latents import Objects, World


# A depth is at most so many times that of what rests, and at least a part of as much, in natural logarithms.
_MOST = 2.0
_ROUNDS, _STEP_PX = 6, 0.1


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

    @abstractmethod
    def spun(self, view: View, objects: Objects, angle_rad: Tensor) -> Pose:
        """Turn objects (..., N), as cameras (..., 1) see them, on the spot, by angles (..., N) about their z axes."""

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

    def spun(self, view: View, objects: Objects, angle_rad: Tensor) -> Pose:
        return Pose(objects.position_m, multiply(objects.rotation_wxyz, about_z(angle_rad)))

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
    """Anywhere: pixel of the outline's middle (2), lift (1), rotation to a camera turned towards it (4).

    An outline is that of the convex hull, seen without perspective by a camera turned towards its middle; the middle is
    a point as deep as the object's core. The lift is the logarithm of its depth, over the depth at which the object
    would rest: 0 for what stands or lies on the table, less for what is on top of something. So the camera and the
    rotation say most of the depth. The rotation's four numbers are those of a quaternion of any length: nowhere do they
    jump.
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
        at, corners = self.core(objects), self._turned(objects.kind, objects.rotation_wxyz)
        pixel = view.see(at)[0]
        for _ in range(_ROUNDS):  # each comes nearer by a factor of 30: the middle hardly depends on where it is seen
            pixel = view.see(at + self._middle(view, pixel, corners))[0]
        return pixel

    def depth(self, view: View, pixel: Tensor, objects: Objects) -> Tensor:
        """The depths (...) of the middles of objects, which are seen at pixels (..., 2)."""
        corners = self._turned(objects.kind, objects.rotation_wxyz)
        return view.see(self.core(objects) + self._middle(view, pixel, corners))[1]

    def lift(self, view: View, pixel: Tensor, depth_m: Tensor, objects: Objects) -> Tensor:
        """The lifts (...) of objects whose middles are seen at pixels (..., 2) and depths (...)."""
        return (depth_m / self._resting(view, pixel, self._turned(objects.kind, objects.rotation_wxyz))).log()

    def spun(self, view: View, objects: Objects, angle_rad: Tensor) -> Pose:
        pixel, lift = self._pixel_and_lift(view, objects)
        return self.lifted(view, objects.kind, pixel, lift, multiply(objects.rotation_wxyz, about_z(angle_rad)))

    def carried(self, before: View, after: View, objects: Objects) -> tuple[Pose, Tensor]:
        pixel, lift = self._pixel_and_lift(before, objects)
        rotation = multiply(about_z(after.azimuth_rad - before.azimuth_rad), objects.rotation_wxyz)
        pose = self.lifted(after, objects.kind, pixel, lift, rotation)
        moved = objects._replace(position_m=pose.position_m, rotation_wxyz=pose.rotation_wxyz)
        depth = self.depth(after, pixel, moved)
        return pose, depth.log() - self.log_density(after, pixel, depth, moved)

    def pack(self, view: View, objects: Objects) -> Tensor:
        pixel, lift = self._pixel_and_lift(view, objects)
        return torch.cat([pixel, lift[..., None], self.relative(view, pixel, objects.rotation_wxyz)], -1)

    def unpack(self, view: View, kind: Tensor, numbers: Tensor) -> Pose:
        pixel, lift, relative = numbers.split([2, 1, 4], -1)
        rotation = self.rotation(view, pixel, nn.functional.normalize(relative, dim=-1))
        return self.lifted(view, kind, pixel, lift[..., 0], rotation)

    def lifted(self, view: View, kind: Tensor, pixel: Tensor, lift: Tensor, rotation_wxyz: Tensor) -> Pose:
        """Place objects turned by rotations (..., 4), whose middles are seen at pixels (..., 2), by lifts (...)."""
        corners = self._turned(kind, rotation_wxyz)
        depth = self._resting(view, pixel, corners) * lift.clamp(-_MOST, _MOST).exp()
        at = view.point(pixel, depth) - self._middle(view, pixel, corners)
        return Pose(at - self._from_origin(kind, rotation_wxyz), rotation_wxyz)

    def log_density(self, view: View, pixel: Tensor, depth_m: Tensor, objects: Objects) -> Tensor:
        """Compute log |d (pixel, depth) / d position|, (...), of objects whose middles are seen at pixels (..., 2) and
        depths (...), with their rotations as they are."""
        corners = self._turned(objects.kind, objects.rotation_wxyz)
        columns = [view.point(pixel, depth_m + 0.5) - view.point(pixel, depth_m - 0.5)]
        for axis in ((_STEP_PX, 0.0), (0.0, _STEP_PX)):
            ends = [pixel + sign * pixel.new_tensor(axis) for sign in (0.5, -0.5)]
            after, before = (view.point(end, depth_m) - self._middle(view, end, corners) for end in ends)
            columns.append((after - before) / _STEP_PX)
        return -torch.linalg.det(torch.stack(columns, -1)).abs().log()

    def rotation(self, view: View, pixel: Tensor, relative_wxyz: Tensor) -> Tensor:
        """Invert `relative`."""
        return multiply(from_matrix(view.ray_axes(pixel)), relative_wxyz)

    def relative(self, view: View, pixel: Tensor, rotation_wxyz: Tensor) -> Tensor:
        """The rotations (..., 4) of objects seen at pixels (..., 2), to cameras turned towards them."""
        return multiply(conjugate(from_matrix(view.ray_axes(pixel))), rotation_wxyz)

    def _pixel_and_lift(self, view: View, objects: Objects) -> tuple[Tensor, Tensor]:
        pixel = self.pixel(view, objects)
        return pixel, self.lift(view, pixel, self.depth(view, pixel, objects), objects)

    def _turned(self, kind: Tensor, rotation_wxyz: Tensor) -> Tensor:
        """The corners (..., P, 3) of objects turned so, from their cores."""
        corners = self._corners.to(rotation_wxyz)[kind.clamp_min(0)]
        return corners @ matrix(rotation_wxyz).mT

    def _middle(self, view: View, pixel: Tensor, corners: Tensor) -> Tensor:
        """Where the middles (..., 3) of the outlines of corners (..., P, 3) are from their cores, seen at pixels."""
        across = view.ray_axes(pixel)[..., :2]
        local = corners @ across
        middle = (local.amax(-2) + local.amin(-2)) / 2.0
        return (across @ middle[..., None])[..., 0]

    def _resting(self, view: View, pixel: Tensor, corners: Tensor) -> Tensor:
        """The depths (...) of the middles, seen at pixels (..., 2), of objects with these corners that rest."""
        above = self._middle(view, pixel, corners)[..., 2] - corners[..., 2].amin(-1)
        return view.plane_depth(pixel, above)

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
