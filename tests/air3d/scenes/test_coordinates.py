"""The numbers of a scene: there and back, and which of them a picture shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from air3d.datasets.image_size import ImageSize
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.coordinates import Coordinates, wrapped
from air3d.scenes.latents import World
from air3d.scenes.pose_space import AnyPose

PRIORS = {
    "one": single_prior(),
    "table": tabletop_prior(("mug", "bowl"), 2),
    "perturbed": tabletop_prior(("mug", "bowl"), 2, perturb=True),
}


ANY_POSE = {
    "free": replace(tabletop_prior(("mug", "bowl"), 2), pose="free"),
    "resting": replace(tabletop_prior(("mug", "sphere"), 2, perturb=True), pose="resting"),
}


@pytest.fixture(params=list(PRIORS))
def prior(request: pytest.FixtureRequest) -> PriorConfig:
    return PRIORS[request.param]


def test_there_and_back(prior: PriorConfig) -> None:
    world = World(prior)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(0), 40)
    coordinates = Coordinates(world, ImageSize(48, 48), scenes.slots)
    latents = world.from_batch(scenes, dtype=torch.float64)
    vector = coordinates.pack(latents)
    back = world.to_batch(wrapped(coordinates.unpack(vector, latents.objects.kind)))
    here = scenes.present
    for name in ("position_m", "scale", "colour"):
        assert getattr(back, name)[here] == pytest.approx(getattr(scenes, name)[here], abs=1e-9), name
    assert np.exp(1j * back.yaw_rad[here]) == pytest.approx(np.exp(1j * scenes.yaw_rad[here]), abs=1e-9)
    for name in ("camera_azimuth_rad", "camera_elevation_rad", "camera_distance_m", "light_diffuse"):
        assert getattr(back, name) == pytest.approx(getattr(scenes, name), abs=1e-9), name
    assert coordinates.inside(vector, latents.objects.kind) == pytest.approx(vector, abs=1e-9)


def test_far_away_is_pulled_inside(prior: PriorConfig) -> None:
    world = World(prior)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(0), 40)
    coordinates, kind = Coordinates(world, ImageSize(48, 48), scenes.slots), torch.from_numpy(scenes.kind)
    noise = 30.0 * torch.randn(40, 7, 100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    far = coordinates.pack(world.from_batch(scenes, dtype=torch.float64))[:, None]
    far, kinds = far + noise[..., : far.shape[-1]], kind[:, None].expand(-1, 7, -1)
    inside = world.to_batch(coordinates.unpack(far, kinds))
    assert np.linalg.norm(inside.position_m, axis=-1).max() <= prior.table.place_radius_m + 1e-9
    for name in ("elevation_rad", "distance_m"):
        low, high = getattr(prior.camera, name)
        values = getattr(inside, f"camera_{name}")
        assert low <= values.min() and values.max() <= high
    if prior.perturb.scale:
        assert (
            inside.scale.min() >= 2.0 - prior.largest_scale - 1e-9 and inside.scale.max() <= prior.largest_scale + 1e-9
        )
    pulled = coordinates.inside(far, kinds)
    assert coordinates.inside(pulled, kinds) == pytest.approx(pulled, abs=1e-6), "once is enough"


def test_a_picture_shows_what_is_visible_and_nothing_else(prior: PriorConfig) -> None:
    world = World(prior)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(5), 30)
    coordinates = Coordinates(world, ImageSize(64, 64), scenes.slots)
    latents = world.from_batch(scenes, dtype=torch.float64)
    kind, vector = latents.objects.kind, coordinates.pack(latents)
    visible = coordinates.visible(kind).numpy()
    assert visible.shape == vector.shape and (~visible).any()
    with make_renderer(RenderConfig(prior.kinds, prior.table, scenes.slots, 64, 64), "raster") as renderer:
        shown = []
        for step in torch.eye(vector.shape[1], dtype=torch.float64):
            there, back = (
                renderer.render(world.to_batch(coordinates.unpack(vector + way * step, kind))).astype(float)
                for way in (-1.0, 1.0)
            )
            shown.append(np.abs(there - back).sum((1, 2, 3)))
    # Turning what is round moves its facets: hundreds of levels where moving it changes tens of thousands.
    changed = np.stack(shown, 1)
    assert np.median(changed[visible]) > 30.0 * max(np.median(changed[~visible]), 1.0)
    absent = np.repeat(~scenes.present, 3 + len(world.appearance), axis=1)
    assert (changed[:, -absent.shape[1] :][absent] == 0.0).all()


@pytest.mark.parametrize("name", ANY_POSE)
def test_any_pose_there_and_back(name: str) -> None:
    prior = ANY_POSE[name]
    world, scenes = World(prior), ScenePrior(prior).sample_batch(np.random.default_rng(0), 40)
    coordinates, latents = (
        Coordinates(world, ImageSize(48, 48), scenes.slots),
        world.from_batch(scenes, dtype=torch.float64),
    )
    vector = coordinates.pack(latents)
    assert vector.shape[-1] == 1 + len(world.shared) + scenes.slots * (7 + len(world.appearance))
    # The length of a rotation's four numbers means nothing.
    longer = vector.clone()
    each = longer[:, 1 + len(world.shared) :].unflatten(-1, (scenes.slots, -1))
    each[..., 3:7] *= -1.7
    for numbers in (vector, longer):
        back = world.to_batch(wrapped(coordinates.unpack(numbers, latents.objects.kind)))
        here = scenes.present
        for field in ("position_m", "scale", "colour"):
            assert getattr(back, field)[here] == pytest.approx(getattr(scenes, field)[here], abs=1e-9), field
        assert back.frames()[here] == pytest.approx(scenes.frames()[here], abs=1e-9)


def test_of_a_ball_no_rotation_is_seen_and_of_a_mug_all() -> None:
    prior = ANY_POSE["resting"]
    world = World(prior)
    visible = Coordinates(world, ImageSize(48, 48), 3).visible(torch.tensor([0, 1, ABSENT]))
    each = visible[1 + len(world.shared) :].unflatten(-1, (3, -1))
    assert each[0].all() and each[1].tolist() == [True] * 3 + [False] * 4 + [True] * 4 and not each[2].any()


def test_a_lift_moves_an_object_along_its_ray() -> None:
    prior = ANY_POSE["free"]
    world, scenes = World(prior), ScenePrior(prior).sample_batch(np.random.default_rng(4), 20)
    coordinates, latents = (
        Coordinates(world, ImageSize(64, 64), scenes.slots),
        world.from_batch(scenes, dtype=torch.float64),
    )
    vector = coordinates.pack(latents)
    vector[:, 1 + len(world.shared) :].unflatten(-1, (scenes.slots, -1))[..., 2] += np.log(1.1) / 0.02
    moved = world.to_batch(coordinates.unpack(vector, latents.objects.kind))
    far = world.from_batch(moved, dtype=torch.float64)
    view, space, here = world.view(latents.viewpoint, ImageSize(64, 64)).each(), world.poses, latents.objects.kind >= 0
    assert isinstance(space, AnyPose)
    pixels = [space.pixel(view, scene.objects) for scene in (latents, far)]
    depths = [space.depth(view, at, scene.objects)[here] for at, scene in zip(pixels, (latents, far), strict=True)]
    assert pixels[1][here].numpy() == pytest.approx(pixels[0][here].numpy(), abs=1e-6)
    assert (depths[1] / depths[0]).numpy() == pytest.approx(np.full(int(here.sum()), 1.1))
