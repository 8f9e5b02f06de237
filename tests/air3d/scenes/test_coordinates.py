"""The numbers of a scene: there and back, and which of them a picture shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.coordinates import Coordinates, wrapped
from air3d.scenes.latents import World

PRIORS = {
    "one": single_prior(),
    "table": tabletop_prior(("mug", "bowl"), 2),
    "perturbed": tabletop_prior(("mug", "bowl"), 2, perturb=True),
}


@pytest.fixture(params=list(PRIORS))
def prior(request: pytest.FixtureRequest) -> PriorConfig:
    return PRIORS[request.param]


def test_there_and_back(prior: PriorConfig) -> None:
    world = World(prior)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(0), 40)
    coordinates = Coordinates(world, 48, scenes.slots)
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
    coordinates, kind = Coordinates(world, 48, scenes.slots), torch.from_numpy(scenes.kind)
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
    coordinates = Coordinates(world, 64, scenes.slots)
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
