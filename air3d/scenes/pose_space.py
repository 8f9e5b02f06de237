"""The poses that objects of a world may have, as a camera sees them in numbers: for guides and for refinement.

`Upright`  objects stand on the table: a place and a yaw. They are seen at the pixel of their axis, at the plane of
           `World.height_m`; the yaw is relative to the camera.
`AnyPose`  objects are anywhere, turned in any way. They are seen at the pixel of their middle, at its depth; the
           rotation is relative to a camera turned towards them, so that what looks alike is turned alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from air3d.distributions.so3 import about_z, conjugate, from_matrix, multiply, rotate
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.stances import ball
from air3d.scene3d.support import Support
from air3d.scenes.view import View

if TYPE_CHECKING:
    from air3d.scenes.latents import Objects, World


# From five centimetres to twenty metres.
_LOG_DEPTH = -3.0, 3.0


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

    def units(self, height: int) -> list[float]:
        return [height / 64.0, height / 64.0, 0.3]

    def seen(self, kind: Tensor) -> Tensor:
        turns = self._turns.to(kind.device)[kind.clamp_min(0)]
        return torch.stack([torch.ones_like(turns), torch.ones_like(turns), turns], -1)


class AnyPose(PoseSpace):
    """Anywhere: pixel of the middle (2), logarithm of its depth (1), rotation to a camera turned towards it (4).

    The rotation's four numbers are those of a quaternion of any length: nowhere do they jump.
    """

    def __init__(self, world: World) -> None:
        self.region = world.prior.table.top
        self._middle = torch.tensor(np.array([ball(name)[0] for name in world.prior.kinds]), dtype=torch.float64)
        self._turns = torch.tensor([not get_kind(name).symmetry.spherical for name in world.prior.kinds])

    def middle(self, objects: Objects) -> Tensor:
        """The middles (..., 3) of the objects' boxes, at their nominal sizes, metres in the world."""
        return objects.position_m + self._from_origin(objects.kind, objects.rotation_wxyz)

    def pixel(self, view: View, objects: Objects) -> Tensor:
        return view.see(self.middle(objects))[0]

    def pack(self, view: View, objects: Objects) -> Tensor:
        pixel, depth = view.see(self.middle(objects))
        return torch.cat([pixel, depth.log()[..., None], self.relative(view, pixel, objects.rotation_wxyz)], -1)

    def unpack(self, view: View, kind: Tensor, numbers: Tensor) -> Pose:
        depth = numbers[..., 2].clamp(*_LOG_DEPTH).exp()
        return self.pose(view, kind, numbers[..., :2], depth, nn.functional.normalize(numbers[..., 3:], dim=-1))

    def pose(self, view: View, kind: Tensor, pixel: Tensor, depth_m: Tensor, relative_wxyz: Tensor) -> Pose:
        """Place objects whose middles are seen at pixels (..., 2) and depths (...), turned as `relative` says."""
        rotation = multiply(from_matrix(view.ray_axes(pixel)), relative_wxyz)
        return Pose(view.point(pixel, depth_m) - self._from_origin(kind, rotation), rotation)

    def relative(self, view: View, pixel: Tensor, rotation_wxyz: Tensor) -> Tensor:
        """The rotations (..., 4) of objects seen at pixels (..., 2), to cameras turned towards them."""
        return multiply(conjugate(from_matrix(view.ray_axes(pixel))), rotation_wxyz)

    def units(self, height: int) -> list[float]:
        return [height / 64.0, height / 64.0, 0.02, *[0.12] * 4]

    def seen(self, kind: Tensor) -> Tensor:
        turns = self._turns.to(kind.device)[kind.clamp_min(0)][..., None].expand(*kind.shape, 4)
        return torch.cat([torch.ones_like(turns[..., :3]), turns], -1)

    def _from_origin(self, kind: Tensor, rotation_wxyz: Tensor) -> Tensor:
        return rotate(rotation_wxyz, self._middle.to(rotation_wxyz)[kind.clamp_min(0)])


def standing(place_m: Tensor, yaw_rad: Tensor) -> Pose:
    """The poses of objects that stand on the table at places (..., 2), turned about the vertical."""
    return Pose(torch.cat([place_m, torch.zeros_like(place_m[..., :1])], -1), about_z(yaw_rad))
