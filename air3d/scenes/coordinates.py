"""The numbers of a scene that can be varied, as a vector in units that change a picture about equally.

Objects have their poses as the camera sees them (`pose_space`). A camera that is unknown can then turn
without them, and what little it changes (the table's planks) is not drowned by what moving objects would.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.distributions.circle import wrap
from air3d.scene3d.batch import ABSENT
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World

# Radians of azimuth, shares of the ranges of light, sizes and colours.
_AZIMUTH, _SHARE = 0.04, 0.4
# Radians and metres.
_CAMERA = {"camera_elevation_rad": 0.024, "camera_distance_m": 0.02}


@dataclass(frozen=True)
class Coordinates:
    """Converts scenes of N slots to vectors of P numbers, and back.

    Attributes:
        world: says what is known of the scenes; what it says of the camera and the light is no number of the vector.
        size: the size of the image.
        slots: N.
    """

    world: World
    size: ImageSize
    slots: int

    def pack(self, latents: SceneLatents) -> Tensor:
        """Pack latents (...) and (..., N) into (..., P)."""
        viewpoint, objects = latents
        pose = self.world.poses.pack(self.world.view(viewpoint, self.size).each(), objects)
        each = torch.cat([pose, objects.appearance], -1).flatten(-2)
        azimuth = viewpoint.azimuth_rad[..., None][..., self._known :]
        return torch.cat([azimuth, viewpoint.shares, each], -1) / self._unit()

    def unpack(self, vector: Tensor, kind: Tensor) -> SceneLatents:
        """Unpack vectors (..., P) of objects of the kinds (..., N) into latents on the support, inside the ranges.

        The azimuth is left as it is; see `wrapped`.
        """
        free, shares, each = (vector * self._unit()).split(self._sizes, -1)
        azimuth = each.new_full(each.shape[:-1], self.world.camera.azimuth_rad[0]) if self._known else free[..., 0]
        each = each.unflatten(-1, (self.slots, -1))
        viewpoint = Viewpoint(azimuth, shares.clamp(0.0, 1.0))
        pose, looks = each.split([self._pose, each.shape[-1] - self._pose], -1)
        placed = self.world.poses.unpack(self.world.view(viewpoint, self.size).each(), kind, pose)
        return SceneLatents(viewpoint, Objects(kind, *placed, looks.clamp(0.0, 1.0)))

    def inside(self, vector: Tensor, kind: Tensor) -> Tensor:
        """Pull vectors (..., P) onto the support and into the ranges."""
        return self.pack(self.unpack(vector, kind))

    def visible(self, kind: Tensor) -> Tensor:
        """(..., P) bool: whether a number can be seen in the picture: not that of an empty slot, nor a round yaw."""
        pose = self.world.poses.seen(kind)
        looks = torch.ones_like(pose[..., :1]).expand(*kind.shape, len(self.world.appearance))
        each = (torch.cat([pose, looks], -1) & (kind != ABSENT)[..., None]).flatten(-2)
        return torch.cat([each.new_ones(*kind.shape[:-1], sum(self._sizes[:2])), each], -1)

    @property
    def _known(self) -> int:
        return int(self.world.azimuth_known)

    @property
    def _pose(self) -> int:
        return len(self.world.poses.units(self.size.height))

    @property
    def _sizes(self) -> list[int]:
        return [1 - self._known, len(self.world.shared), self.slots * (self._pose + len(self.world.appearance))]

    def _unit(self) -> Tensor:
        shared = [_CAMERA.get(name, _SHARE * (high - low)) / (high - low) for name, (low, high) in self.world.shared]
        each = [*self.world.poses.units(self.size.height), *[_SHARE] * len(self.world.appearance)]
        return torch.tensor([*[_AZIMUTH] * (1 - self._known), *shared, *each * self.slots], dtype=torch.float64)


def wrapped(latents: SceneLatents) -> SceneLatents:
    """Wrap the camera's azimuth to [-pi, pi)."""
    (azimuth, shares), objects = latents
    return SceneLatents(Viewpoint(wrap(azimuth), shares), objects)
