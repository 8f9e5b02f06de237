"""Poses as a camera sees them: what rests has no lift, and what is carried from camera to camera stays in the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.distributions.parts import each
from air3d.distributions.so3 import axis_of, conjugate, multiply, rotate
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.stances import core, hull_corners
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.pose_head import make_pose_head
from air3d.scenes.pose_space import AnyPose, PoseSpace

KINDS, SIZE = ("mug", "plate", "pan", "teapot"), ImageSize(48, 48)


def scenes(pose: Any) -> tuple[World, SceneLatents]:
    prior = tabletop_prior(KINDS, 1, 3, True, False, "round", pose)
    world = World(prior)
    return world, world.from_batch(ScenePrior(prior).sample_batch(np.random.default_rng(1), 12), dtype=torch.float64)


@pytest.mark.parametrize(
    "kind, xy", [("mug", (0.0, 0.0)), ("pan", (0.0, 0.0)), ("teapot", (0.0, 0.0)), ("bowl", (0, 0))]
)
def test_the_core_is_on_the_axis_of_what_was_turned_on_a_wheel(kind: str, xy: tuple[float, float]) -> None:
    points = hull_corners(kind)
    found = core(kind)
    assert found[:2] == pytest.approx((0.0, 0.0), abs=5e-4)
    assert found[2] == pytest.approx((points[:, 2].min() + points[:, 2].max()) / 2.0)


def test_what_rests_has_no_lift_and_what_is_held_up_a_negative_one() -> None:
    world, (viewpoint, objects) = scenes("resting")
    here = objects.kind >= 0
    view = world.view(viewpoint, SIZE).each()
    lift = world.poses.pack(view, objects)[..., 2]
    assert lift[here].abs().max() < 1e-3
    raised = objects._replace(position_m=objects.position_m + torch.tensor([0.0, 0.0, 0.05]))
    assert (world.poses.pack(view, raised)[..., 2][here] < -0.01).all()


@pytest.mark.parametrize("pose", ["upright", "resting", "free"])
def test_what_is_carried_stays_in_the_image_and_as_tilted_as_it_is(pose: str) -> None:
    world, (viewpoint, objects) = scenes(pose)
    generator = torch.Generator().manual_seed(0)
    other = Viewpoint(
        viewpoint.azimuth_rad + 1.0 + torch.rand(12, generator=generator).double(),
        torch.rand(12, 2, generator=generator).double(),
    )
    before, after = (world.view(at, SIZE).each() for at in (viewpoint, other))
    moved, area = world.poses.carried(before, after, objects)
    carried = objects._replace(position_m=moved.position_m, rotation_wxyz=moved.rotation_wxyz)
    here = objects.kind >= 0
    pixels = [world.poses.pixel(view, what)[here] for view, what in ((before, objects), (after, carried))]
    assert pixels[1].numpy() == pytest.approx(pixels[0].numpy(), abs=1e-6)
    tilt = [axis_of(what.rotation_wxyz)[..., 2][here] for what in (objects, carried)]
    assert tilt[1].numpy() == pytest.approx(tilt[0].numpy(), abs=1e-9)
    assert_area(world.poses, after, carried, area, here)


def assert_area(space: PoseSpace, view: Any, objects: Objects, area: Tensor, here: Tensor) -> None:
    """The log-determinant of d position / d (pixel, lift), by automatic differentiation, at fixed rotations."""
    numbers = space.pack(view, objects).detach()
    for b, n in here.nonzero().tolist()[:12]:
        one = each(objects, lambda part, b=b, n=n: part[b, n])
        at = view._replace(
            azimuth_rad=view.azimuth_rad[b, 0], elevation_rad=view.elevation_rad[b, 0], distance_m=view.distance_m[b, 0]
        )

        def position(free: Tensor, one: Objects = one, at: Any = at) -> Tensor:
            if isinstance(space, AnyPose):
                return space.lifted(at, one.kind, free[:2], free[2], one.rotation_wxyz).position_m
            return at.unproject(free)

        free = numbers[b, n, : 3 if isinstance(space, AnyPose) else 2]
        jacobian = torch.autograd.functional.jacobian(position, free)
        assert float(area[b, n]) == pytest.approx(float(torch.linalg.det(jacobian).abs().log()), abs=2e-3)


def test_the_middle_is_that_of_the_outline_that_a_camera_looking_at_it_would_see() -> None:
    """In plain numpy: the corners of the hull, along the axes of the turned camera."""
    world, (viewpoint, objects) = scenes("free")
    view, space = world.view(viewpoint, SIZE).each(), world.poses
    assert isinstance(space, AnyPose)
    pixel = space.pixel(view, objects)
    frames = world.to_batch(SceneLatents(viewpoint, objects)).frames()
    for b, n in (objects.kind >= 0).nonzero().tolist():
        at = view._replace(
            azimuth_rad=view.azimuth_rad[b, 0], elevation_rad=view.elevation_rad[b, 0], distance_m=view.distance_m[b, 0]
        )
        kind = KINDS[int(objects.kind[b, n])]
        corners = hull_corners(kind) @ frames[b, n, :3, :3].T + frames[b, n, :3, 3]
        heart = core(kind) @ frames[b, n, :3, :3].T + frames[b, n, :3, 3]
        across = at.ray_axes(pixel[b, n])[:, :2].numpy()
        local = (corners - heart) @ across
        middle = heart + across @ (local.max(axis=0) + local.min(axis=0)) / 2.0
        seen, depth = at.see(torch.from_numpy(middle))
        assert seen.numpy() == pytest.approx(pixel[b, n].numpy(), abs=1e-6)
        assert float(space.depth(view, pixel, objects)[b, n]) == pytest.approx(float(depth), abs=1e-9)


@pytest.mark.parametrize("pose", ["upright", "resting"])
def test_a_turn_on_the_spot_moves_neither_middle_nor_axis(pose: str) -> None:
    world, (viewpoint, objects) = scenes(pose)
    world_view = world.view(viewpoint, SIZE)
    view = world_view.each()
    one = each(objects, lambda part: part[:, :1])
    torch.manual_seed(0)
    head = make_pose_head(world, 5, 8, 6).double()
    features, pixel = torch.randn(12, 1, 5).double(), world.poses.pixel(view, one)
    posterior, pose_of = head.turning(view, features, one, pixel)
    angle = torch.linspace(-3.0, 3.0, 7).double().expand(12, 7)
    turned = pose_of(angle)
    wide = each(one, lambda part: part.expand(-1, 7, *part.shape[2:]))
    moved = wide._replace(position_m=turned.position_m, rotation_wxyz=turned.rotation_wxyz)
    assert axis_of(moved.rotation_wxyz).numpy() == pytest.approx(axis_of(wide.rotation_wxyz).numpy(), abs=1e-6)
    seen = world.poses.pixel(view, moved) - pixel
    assert float(seen.abs().max()) < 1e-4
    if world.upright:
        assert torch.equal(moved.position_m[..., :2], wide.position_m[..., :2])
    # The density of the turn is that of the whole pose, where nothing but the turn changes.
    turns = world.turns()[one.kind[:, 0]]
    _, about = head.log_prob(view, features.expand(-1, 7, -1), moved, pixel.expand(-1, 7, -1))
    told = posterior.log_prob(angle)
    assert about[turns].detach().numpy() == pytest.approx(told[turns].detach().numpy(), abs=1e-5)
    # Each is turned by as much as the angles differ, about its own axis.
    across = rotate(moved.rotation_wxyz, torch.tensor([1.0, 0.0, 0.0]).double().expand(12, 7, 3))
    cosine = (across[:, 1:] * across[:, :-1]).sum(-1)
    assert cosine.numpy() == pytest.approx(np.full((12, 6), math.cos(1.0)), abs=1e-6)


@pytest.mark.parametrize("pose", ["upright", "resting"])
def test_what_is_spun_keeps_its_pixel_and_turns_about_its_own_axis(pose: str) -> None:
    world, (viewpoint, objects) = scenes(pose)
    view, here = world.view(viewpoint, SIZE).each(), objects.kind >= 0
    angle = torch.full(objects.kind.shape, 0.7).double()
    spun = world.poses.spun(view, objects, angle)
    moved = objects._replace(position_m=spun.position_m, rotation_wxyz=spun.rotation_wxyz)
    assert world.poses.pixel(view, moved)[here].numpy() == pytest.approx(
        world.poses.pixel(view, objects)[here].numpy(), abs=1e-6
    )
    turn = multiply(conjugate(objects.rotation_wxyz), moved.rotation_wxyz)[here]
    expected = np.tile([math.cos(0.35), 0.0, 0.0, math.sin(0.35)], (len(turn), 1))
    assert turn.abs().numpy() == pytest.approx(expected, abs=1e-6)
    if pose == "resting":
        assert world.poses.pack(view, moved)[..., 2][here].abs().max() < 1e-3, "and rests as it did"
