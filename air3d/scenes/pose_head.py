"""The part of a guide that names an object's pose, given its features, its kind and the pixel where it is seen."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from air3d.distributions.axes import FisherMixture
from air3d.distributions.circle import WrappedNormalMixture, flat_scale, spread
from air3d.distributions.so3 import RotationMixture, upper
from air3d.networks.encoder import mlp
from air3d.scene3d.catalog import get_kind
from air3d.scenes.latents import Objects, World
from air3d.scenes.pose_space import AnyPose, Pose, standing
from air3d.scenes.view import View
from air3d.scenes.viewpoint import MIN_ANGLE

_LOG_2PI, _GOLDEN = math.log(2.0 * math.pi), (1.0 + math.sqrt(5.0)) / 2.0
# Standard deviations of the logarithm of the depth: the least, an untrained network's, and the most.
_DEPTH = 0.001, 0.1, 0.4
# The same of the axis's direction, radians.
_AXIS = 0.005, 0.6, 1.2
# The most probable is the place of most mass within about so much: a sharp peak of little mass does not count, radians.
_BLUR = 0.1
_CORNERS = [(a, b * _GOLDEN) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
_ICOSAHEDRON = np.array(
    [corner for a, b in _CORNERS for corner in ((0.0, a, b), (a, b, 0.0), (b, 0.0, a))]
) / math.hypot(1.0, _GOLDEN)


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

    Two components of the rotation's axis start at the vertical, up and down: most objects rest standing.
    """

    def __init__(self, world: World, features: int, hidden: int, components: int) -> None:
        super().__init__()
        self.space, count = AnyPose(world), len(_ICOSAHEDRON) + 2
        self.layers = mlp(features, hidden, 2 + 5 * count)
        self.spin_layers = mlp(features + 3, hidden, 3 * components)
        symmetries = [get_kind(name).symmetry for name in world.prior.kinds]
        self.axes: Tensor
        self.spins: Tensor
        self.round: Tensor
        self.spherical: Tensor
        self.register_buffer("axes", torch.from_numpy(_ICOSAHEDRON).float(), persistent=False)
        self.register_buffer("spins", spread(components), persistent=False)
        self.register_buffer("round", torch.tensor([s.continuous_yaw for s in symmetries]), persistent=False)
        self.register_buffer("spherical", torch.tensor([s.spherical for s in symmetries]), persistent=False)

    def name(
        self, view: View, features: Tensor, kind: Tensor, pixel: Tensor, generator: torch.Generator | None
    ) -> Pose:
        loc, scale, turns = self._posteriors(view, features, kind, pixel)
        depth, relative = loc, turns.mode(_BLUR) if generator is None else turns.sample(generator)
        if generator is not None:
            noise = torch.randn(loc.shape, generator=generator, device=loc.device, dtype=loc.dtype)
            depth = loc + scale * noise
        pose = self.space.pose(view, kind, pixel, depth.exp(), relative)
        return pose._replace(rotation_wxyz=upper(pose.rotation_wxyz))

    def log_prob(self, view: View, features: Tensor, objects: Objects, pixel: Tensor) -> tuple[Tensor, Tensor]:
        loc, scale, turns = self._posteriors(view, features, objects.kind, pixel)
        _, depth = view.see(self.space.middle(objects))
        along = -0.5 * ((depth.log() - loc) / scale).square() - scale.log() - 0.5 * _LOG_2PI - depth.log()
        rotation = turns.log_prob(self.space.relative(view, pixel, objects.rotation_wxyz))
        return along + view.log_pixels_per_volume(depth), rotation

    def _posteriors(
        self, view: View, features: Tensor, kind: Tensor, pixel: Tensor
    ) -> tuple[Tensor, Tensor, RotationMixture]:
        """The mean and the deviation of the logarithm of the depth, and the mixture of the relative rotation."""
        out, (least, first, most) = self.layers(features), _DEPTH
        loc = view.plane_depth(pixel).log() + first * out[..., 0]
        scale = _between(out[..., 1], least, first, most)
        logits, raw, shift = out[..., 2:].split([n := len(self.axes) + 2, n, 3 * n], -1)
        up = view.ray_axes(pixel)[..., 2, :]  # the world's z, as the turned camera sees it
        fixed = self.axes.expand(*up.shape[:-1], *self.axes.shape)
        start = torch.cat([fixed, up[..., None, :], -up[..., None, :]], -2)
        centres = nn.functional.normalize(start + shift.unflatten(-1, (n, 3)), dim=-1)
        axes = FisherMixture(logits, centres, _between(raw, *_AXIS).pow(-2))
        return loc, scale, RotationMixture(axes, partial(self._spin, features), self.round[kind], self.spherical[kind])

    def _spin(self, features: Tensor, axis: Tensor) -> WrappedNormalMixture:
        """q(turn | axis, .), (...), of the turn about the axis after the shortest rotation from z to it."""
        logits, shift, raw = self.spin_layers(torch.cat([features, axis], -1)).chunk(3, -1)
        return WrappedNormalMixture(logits, self.spins + shift, flat_scale(raw, MIN_ANGLE))


def _between(raw: Tensor, least: float, first: float, most: float) -> Tensor:
    """Numbers between two bounds, `first` where the network's output is 0."""
    share = (first - least) / (most - least)
    return least + (most - least) * torch.sigmoid(raw + math.log(share / (1.0 - share)))


def make_pose_head(world: World, features: int, hidden: int, yaw_components: int) -> PoseHead:
    """Make the head for the poses that the objects of a world may have."""
    return (
        UprightHead(world, features, hidden, yaw_components)
        if world.upright
        else AnyPoseHead(world, features, hidden, yaw_components)
    )
