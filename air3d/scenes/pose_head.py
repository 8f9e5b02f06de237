"""The part of a guide that names an object's pose, given its features, its kind and the pixel where it is seen."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from air3d.distributions import so3
from air3d.distributions.axes import FisherMixture, basis
from air3d.distributions.circle import WrappedNormalMixture, flat_scale, spread
from air3d.distributions.so3 import RotationMixture, about_z, exponential, from_matrix, multiply, rotate, upper
from air3d.networks.encoder import mlp
from air3d.scene3d.catalog import get_kind
from air3d.scenes.latents import Objects, World
from air3d.scenes.pose_space import AnyPose, Pose, standing
from air3d.scenes.view import View
from air3d.scenes.viewpoint import MIN_ANGLE

_LOG_2PI = math.log(2.0 * math.pi)
# Standard deviations of the logarithm of the depth: the least, an untrained network's, and the most.
_DEPTH = 0.001, 0.1, 0.4
_MIN_TURN = 0.01


class PoseHead(nn.Module, ABC):
    """q(pose | pixel, z_what, .) of an object.

    Features (..., F) are those of the guide at the object's pixel and its kind; views are of shape (..., 1) or (...).
    """

    @abstractmethod
    def name(
        self, view: View, features: Tensor, kind: Tensor, pixel: Tensor, generator: torch.Generator | None
    ) -> Pose:
        """Draw poses of objects of kinds (...) seen at pixels (..., 2); without a generator, the most probable."""

    @abstractmethod
    def log_prob(self, view: View, features: Tensor, objects: Objects, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """Score objects (...) seen at pixels (..., 2).

        Returns:
            What is missing from log q(pixel) to the log-density of the position, in the prior's units, and log q of the
            rotation; both (...).
        """


class UprightHead(PoseHead):
    """Names the yaw, by a mixture on the circle; kinds without a visible yaw have it uniform."""

    def __init__(self, world: World, features: int, hidden: int, components: int) -> None:
        super().__init__()
        self.layers = mlp(features, hidden, 3 * components)
        self.start: Tensor
        self.turns: Tensor
        self.register_buffer("start", spread(components), persistent=False)
        self.register_buffer("turns", world.turns(), persistent=False)

    def yaw(self, features: Tensor) -> WrappedNormalMixture:
        """q(yaw - azimuth | .), (...); meant for kinds whose yaw can be seen."""
        logits, shift, raw = self.layers(features).chunk(3, -1)
        return WrappedNormalMixture(logits, self.start + shift, flat_scale(raw, MIN_ANGLE))

    def name(
        self, view: View, features: Tensor, kind: Tensor, pixel: Tensor, generator: torch.Generator | None
    ) -> Pose:
        posterior = self.yaw(features)
        angle = posterior.mode() if generator is None else posterior.sample(generator)
        if generator is not None:
            anything = 2.0 * math.pi * torch.rand(angle.shape, generator=generator, device=angle.device)
            angle = torch.where(self.turns[kind], angle, anything)
        return standing(view.unproject(pixel), angle + view.azimuth_rad)

    def log_prob(self, view: View, features: Tensor, objects: Objects, pixel: Tensor) -> tuple[Tensor, Tensor]:
        angle = self.yaw(features).log_prob(objects.yaw_rad - view.azimuth_rad)
        turn = torch.where(self.turns[objects.kind], angle, torch.full_like(angle, -_LOG_2PI))
        return view.log_pixels_per_area(objects.place_m), turn


class AnyPoseHead(PoseHead):
    """Names the depth along the pixel's ray, and the rotation to a camera turned towards it.

    Of a kind that is round about its axis it names the axis, and the turn about it is uniform; of a ball, nothing.
    """

    def __init__(self, world: World, features: int, hidden: int) -> None:
        super().__init__()
        self.space = AnyPose(world)
        start = so3.spread("O")
        self.layers = mlp(features, hidden, 2 + 7 * len(start))
        symmetries = [get_kind(name).symmetry for name in world.prior.kinds]
        self.start: Tensor
        self.round: Tensor
        self.spherical: Tensor
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("round", torch.tensor([s.continuous_yaw for s in symmetries]), persistent=False)
        self.register_buffer("spherical", torch.tensor([s.spherical for s in symmetries]), persistent=False)

    def name(
        self, view: View, features: Tensor, kind: Tensor, pixel: Tensor, generator: torch.Generator | None
    ) -> Pose:
        loc, scale, turns = self._posteriors(view, features, pixel)
        axes = _axes(turns)
        if generator is None:
            depth, turn, axis = loc, turns.mode(), axes.mode()
            spin = torch.zeros_like(depth)
        else:
            noise = torch.randn(loc.shape, generator=generator, device=loc.device, dtype=loc.dtype)
            depth, turn, axis = loc + scale * noise, turns.sample(generator), axes.sample(generator)
            spin = 2.0 * math.pi * torch.rand(loc.shape, generator=generator, device=loc.device, dtype=loc.dtype)
        turn = torch.where(self.round[kind][..., None], multiply(from_matrix(basis(axis)), about_z(spin)), turn)
        if generator is not None and bool(self.spherical.any()):
            gaussian = torch.randn(turn.shape, generator=generator, device=turn.device, dtype=turn.dtype)
            anything = nn.functional.normalize(gaussian, dim=-1)
            turn = torch.where(self.spherical[kind][..., None], anything, turn)
        pose = self.space.pose(view, kind, pixel, depth.exp(), turn)
        return pose._replace(rotation_wxyz=upper(pose.rotation_wxyz))

    def log_prob(self, view: View, features: Tensor, objects: Objects, pixel: Tensor) -> tuple[Tensor, Tensor]:
        loc, scale, turns = self._posteriors(view, features, pixel)
        _, depth = view.see(self.space.middle(objects))
        along = -0.5 * ((depth.log() - loc) / scale).square() - scale.log() - 0.5 * _LOG_2PI - depth.log()
        relative = self.space.relative(view, pixel, objects.rotation_wxyz)
        up = torch.zeros_like(relative[..., 1:])
        up[..., 2] = 1.0
        axis = _axes(turns).log_prob(rotate(relative, up)) - _LOG_2PI
        turn = torch.where(self.round[objects.kind], axis, turns.log_prob(relative))
        turn = torch.where(self.spherical[objects.kind], torch.full_like(turn, -so3.LOG_VOLUME), turn)
        return along + view.log_pixels_per_volume(depth), turn

    def _posteriors(self, view: View, features: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor, RotationMixture]:
        """The mean and the deviation of the logarithm of the depth, and the mixture of the relative rotation."""
        out, (least, first, most) = self.layers(features), _DEPTH
        share = (first - least) / (most - least)
        loc = view.plane_depth(pixel).log() + first * out[..., 0]
        scale = least + (most - least) * torch.sigmoid(out[..., 1] + math.log(share / (1.0 - share)))
        count = len(self.start)
        logits = out[..., 2 : 2 + count]
        shift, raw = out[..., 2 + count :].unflatten(-1, (2, count, 3)).unbind(-3)
        return (
            loc,
            scale,
            RotationMixture(logits, multiply(self.start, exponential(shift)), so3.flat_scale(raw, _MIN_TURN, count)),
        )


def _axes(turns: RotationMixture) -> FisherMixture:
    """Where the z axes of the components point, as concentrated as they are about x and y."""
    up = torch.zeros_like(turns.loc[..., 1:])
    up[..., 2] = 1.0
    return FisherMixture(turns.logits, rotate(turns.loc, up), 1.0 / turns.scale[..., :2].prod(-1))


def make_pose_head(world: World, features: int, hidden: int, yaw_components: int) -> PoseHead:
    """Make the head for the poses that the objects of a world may have."""
    return (
        UprightHead(world, features, hidden, yaw_components) if world.upright else AnyPoseHead(world, features, hidden)
    )
