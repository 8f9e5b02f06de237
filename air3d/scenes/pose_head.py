"""The part of a guide that names an object's pose, given its features, its kind and the pixel where it is seen."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from air3d.distributions.axes import FisherMixture
from air3d.distributions.circle import WrappedNormalMixture, flat_scale, spread, wrap
from air3d.distributions.gaussian import NormalMixture
from air3d.distributions.so3 import RotationMixture, about_z, axis_of, multiply, shortest_to, upper
from air3d.networks.encoder import mlp
from air3d.scene3d.catalog import get_kind
from air3d.scenes.latents import Objects, World
from air3d.scenes.pose_space import AnyPose, Pose, standing, up_of
from air3d.scenes.view import View
from air3d.scenes.viewpoint import MIN_ANGLE

_LOG_2PI, _GOLDEN = math.log(2.0 * math.pi), (1.0 + math.sqrt(5.0)) / 2.0
# The components of the lift, as an untrained network has them: what rests, what is on top of something, anything else.
_LIFTS, _LIFT_SCALES = (0.0, -0.02, -0.05, 0.0), (0.004, 0.015, 0.03, 0.1)
# Standard deviations: the least and the most of the lift; the least, an untrained network's and the most of the axis's
# direction, radians.
_LIFT, _AXIS = (0.0003, 0.4), (0.005, 0.6, 1.2)
# The most probable is the place of most mass within about so much: a sharp peak of little mass does not count. Radians,
# and of the lift.
_BLUR, _LIFT_BLUR = 0.3, 0.002
_CORNERS = [(a, b * _GOLDEN) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
_ICOSAHEDRON = np.array(
    [corner for a, b in _CORNERS for corner in ((0.0, a, b), (a, b, 0.0), (b, 0.0, a))]
) / math.hypot(1.0, _GOLDEN)


class Turning(NamedTuple):
    """The belief about the turns of objects (..., 1) on their spots.

    Attributes:
        posterior: the belief about the turn, (..., 1).
        pose: gives the poses (..., K) of the objects turned to (..., K), where all else that is believed stays.
    """

    posterior: WrappedNormalMixture
    pose: Callable[[Tensor], Pose]


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
            What is missing from log q(pixel) to the log-density of the position, in the prior's units, and of where
            the axis points; and log q of the turn about the axis; both (...).
        """

    @abstractmethod
    def turning(self, view: View, features: Tensor, objects: Objects, pixel: Tensor) -> Turning:
        """Say what is believed of how objects (..., 1), of which `pixel` is told, are turned about their axes."""


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

    def turning(self, view: View, features: Tensor, objects: Objects, pixel: Tensor) -> Turning:
        def pose(turn: Tensor) -> Pose:
            return standing(objects.place_m.expand(*turn.shape, 2), wrap(turn + view.azimuth_rad))

        return Turning(self.yaw(features), pose)


class AnyPoseHead(PoseHead):
    """Names the rotation to a camera turned towards the pixel, and then how far from resting the depth is (the lift).

    Two components of the rotation's axis start at the vertical, up and down: most objects rest standing.
    """

    def __init__(self, world: World, features: int, hidden: int, components: int) -> None:
        super().__init__()
        self.space, count = AnyPose(world), len(_ICOSAHEDRON) + 2
        self.layers = mlp(features, hidden, 5 * count)
        self.spin_layers = mlp(features + 3, hidden, 3 * components)
        self.lift_layers = mlp(features + 3, hidden, 3 * len(_LIFTS))
        symmetries = [get_kind(name).symmetry for name in world.prior.kinds]
        self.lifts: Tensor
        self.lift_scales: Tensor
        self.axes: Tensor
        self.spins: Tensor
        self.round: Tensor
        self.spherical: Tensor
        self.register_buffer("lifts", torch.tensor(_LIFTS), persistent=False)
        self.register_buffer("lift_scales", torch.tensor(_LIFT_SCALES), persistent=False)
        self.register_buffer("axes", torch.from_numpy(_ICOSAHEDRON).float(), persistent=False)
        self.register_buffer("spins", spread(components), persistent=False)
        self.register_buffer("round", torch.tensor([s.continuous_yaw for s in symmetries]), persistent=False)
        self.register_buffer("spherical", torch.tensor([s.spherical for s in symmetries]), persistent=False)

    def name(
        self, view: View, features: Tensor, kind: Tensor, pixel: Tensor, generator: torch.Generator | None
    ) -> Pose:
        turns = self._turns(view, features, kind, pixel)
        relative = turns.mode(_BLUR) if generator is None else turns.sample(generator)
        rotation = upper(self.space.rotation(view, pixel, relative))
        lifts = self._lifts(features, rotation)
        lift = lifts.mode(_LIFT_BLUR) if generator is None else lifts.sample(generator)
        return self.space.lifted(view, kind, pixel, lift, rotation)

    def log_prob(self, view: View, features: Tensor, objects: Objects, pixel: Tensor) -> tuple[Tensor, Tensor]:
        turns = self._turns(view, features, objects.kind, pixel)
        axis, turn = turns.log_prob_parts(self.space.relative(view, pixel, objects.rotation_wxyz))
        depth = self.space.depth(view, pixel, objects)
        lift = self.space.lift(view, pixel, depth, objects)
        along = self._lifts(features, objects.rotation_wxyz).log_prob(lift) - depth.log()
        return along + self.space.log_density(view, pixel, depth, objects) + axis, turn

    def turning(self, view: View, features: Tensor, objects: Objects, pixel: Tensor) -> Turning:
        axis = axis_of(self.space.relative(view, pixel, objects.rotation_wxyz))
        lift = self.space.lift(view, pixel, self.space.depth(view, pixel, objects), objects)

        def pose(turn: Tensor) -> Pose:
            relative = multiply(shortest_to(axis), about_z(turn))
            rotation = upper(self.space.rotation(view, pixel, relative))
            return self.space.lifted(view, objects.kind, pixel, lift, rotation)

        return Turning(self._spin(features, axis), pose)

    def _lifts(self, features: Tensor, rotation_wxyz: Tensor) -> NormalMixture:
        """q(lift | rotation, .), (...)."""
        logits, shift, raw = self.lift_layers(torch.cat([features, up_of(rotation_wxyz)], -1)).chunk(3, -1)
        scale = _between(raw, _LIFT[0], self.lift_scales, _LIFT[1])
        return NormalMixture(logits, self.lifts + self.lift_scales * shift, scale)

    def _turns(self, view: View, features: Tensor, kind: Tensor, pixel: Tensor) -> RotationMixture:
        """q(relative rotation | .), (...)."""
        logits, raw, shift = self.layers(features).split([n := len(self.axes) + 2, n, 3 * n], -1)
        up = view.ray_axes(pixel)[..., 2, :]  # the world's z, as the turned camera sees it
        fixed = self.axes.expand(*up.shape[:-1], *self.axes.shape)
        start = torch.cat([fixed, up[..., None, :], -up[..., None, :]], -2)
        centres = nn.functional.normalize(start + shift.unflatten(-1, (n, 3)), dim=-1)
        axes = FisherMixture(logits, centres, _between(raw, *_AXIS).pow(-2))
        return RotationMixture(axes, partial(self._spin, features), self.round[kind], self.spherical[kind])

    def _spin(self, features: Tensor, axis: Tensor) -> WrappedNormalMixture:
        """q(turn | axis, .), (...), of the turn about the axis after the shortest rotation from z to it."""
        logits, shift, raw = self.spin_layers(torch.cat([features, axis], -1)).chunk(3, -1)
        return WrappedNormalMixture(logits, self.spins + shift, flat_scale(raw, MIN_ANGLE))


def _between(raw: Tensor, least: float, first: Tensor | float, most: float) -> Tensor:
    """Numbers between two bounds, `first` where the network's output is 0."""
    share = (torch.as_tensor(first, device=raw.device) - least) / (most - least)
    return least + (most - least) * torch.sigmoid(raw + torch.logit(share))


def make_pose_head(world: World, features: int, hidden: int, yaw_components: int) -> PoseHead:
    """Make the head for the poses that the objects of a world may have."""
    return (
        UprightHead(world, features, hidden, yaw_components)
        if world.upright
        else AnyPoseHead(world, features, hidden, yaw_components)
    )
