"""Refinement of tabletops: never worse, never over its budget, exact where the picture is linear in the scene."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.refine import refine_tabletop

SIZE = 64
A_STEP = 2 * (1 + 2 + 2 * 3) + 2  # azimuth, elevation, distance; place and yaw of two objects; two trials


@pytest.fixture(scope="module")
def world(two: PriorConfig) -> World:
    return World(two)


@pytest.fixture(scope="module")
def raster(two: PriorConfig) -> Iterator[Renderer]:
    with make_renderer(RenderConfig(two.kinds, two.table, 2, SIZE, SIZE), "raster") as renderer:
        yield renderer


@pytest.fixture(scope="module")
def truth(two: PriorConfig) -> SceneBatch:
    return ScenePrior(two).sample_batch(np.random.default_rng(3), 12)


def moved(world: World, scenes: SceneBatch, by: float, seed: int = 0) -> SceneBatch:
    """Wrong by normal noise: 4 mm, 9 degrees of yaw, 0.6 of azimuth, 3 % of the camera's ranges, times `by`."""
    (azimuth, shares), (kind, position, yaw, appearance) = world.from_batch(scenes)
    g = torch.Generator().manual_seed(seed)
    place = position + by * 0.004 * torch.randn(position.shape, generator=g)
    place = place * (0.1999 / place.norm(dim=-1, keepdim=True).clamp_min(1e-9)).clamp_max(1.0)
    return world.to_batch(SceneLatents(
        Viewpoint(
            azimuth + by * 0.01 * torch.randn(azimuth.shape, generator=g),
            (shares + by * 0.03 * torch.randn(shares.shape, generator=g)).clamp(0.0, 1.0),
        ),
        Objects(
            kind, place, yaw + by * 0.15 * torch.randn(yaw.shape, generator=g),
            (appearance + by * 0.1 * torch.randn(appearance.shape, generator=g)).clamp(0.0, 1.0),
        ),
    ))  # fmt: skip


def error(images: NDArray[np.uint8], pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(np.square((images.astype(float) - pictures) / 255.0).sum((1, 2, 3)))


def angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs((one - other + np.pi) % (2.0 * np.pi) - np.pi)


@pytest.mark.parametrize("renders", [1, 7, 1 + A_STEP, 2 * A_STEP])
def test_it_never_worsens_and_keeps_the_budget(
    world: World, raster: Renderer, truth: SceneBatch, fake_renderer: Any, renders: int
) -> None:
    images = raster.render(truth)
    anywhere = ScenePrior(world.prior).sample_batch(np.random.default_rng(9), 12)
    for start in (truth, moved(world, truth, 1.0), anywhere):
        counting = fake_renderer(lambda scenes: raster.render(scenes) / 255.0)
        found = refine_tabletop(images, start, world, counting, renders)
        assert counting.scenes == 12 * found.renders_per_image
        assert found.renders_per_image == (1 if renders <= A_STEP else 1 + A_STEP)
        after = error(images, raster.render(found.scenes))
        assert found.squared_error == pytest.approx(after, abs=0.02), "what it says is what was rendered"
        assert (after <= error(images, raster.render(start)) + 0.02).all()
        assert np.array_equal(found.scenes.kind, start.kind)
        if renders < A_STEP or start is truth:
            assert found.scenes.position_m[start.present] == pytest.approx(start.position_m[start.present], abs=1e-5)
            assert angle(found.scenes.yaw_rad, start.yaw_rad)[start.present].max() < 1e-5
            assert angle(found.scenes.camera_azimuth_rad, start.camera_azimuth_rad).max() < 1e-5


def test_a_near_answer_becomes_the_right_one(world: World, raster: Renderer, truth: SceneBatch) -> None:
    """Within a millimetre and less than a tenth of a degree: a fiftieth of a pixel's width on the table."""
    images, start = raster.render(truth), moved(world, truth, 0.4)
    found = refine_tabletop(images, start, world, raster, 400).scenes
    here = truth.present
    before, after = (np.linalg.norm(each.position_m - truth.position_m, axis=-1)[here] for each in (start, found))
    assert np.median(before) > 0.0015 and np.median(after) < 0.001
    mug = here & (truth.kind == 0)
    assert np.degrees(np.median(angle(found.yaw_rad, truth.yaw_rad)[mug])) < 1.5
    azimuth, wrong = (angle(each.camera_azimuth_rad, truth.camera_azimuth_rad) for each in (found, start))
    elevation = np.abs(found.camera_elevation_rad - truth.camera_elevation_rad)
    assert np.degrees(np.median(wrong)) > 0.1
    assert np.degrees(np.median(azimuth)) < 0.08 and np.degrees(np.median(elevation)) < 0.08
    assert np.median(error(images, raster.render(found))) < 0.1 * np.median(error(images, raster.render(start)))


def test_looks_and_light_are_polished_too() -> None:
    prior = tabletop_prior(("mug", "bowl"), 1, 1, perturb=True)
    world = World(prior)
    truth = ScenePrior(prior).sample_batch(np.random.default_rng(1), 8)
    with make_renderer(RenderConfig(prior.kinds, prior.table, 1, SIZE, SIZE), "raster") as renderer:
        images, start = renderer.render(truth), moved(world, truth, 0.6)
        start = replace(start, light_diffuse=np.clip(start.light_diffuse + 0.03, *prior.light_ranges["diffuse"]))
        found = refine_tabletop(images, start, world, renderer, 300)
        assert np.median(found.squared_error) < 0.2 * np.median(error(images, renderer.render(start)))
    for name, least in (("colour", 0.6), ("scale", 0.6)):
        before, after = (np.abs(getattr(each, name) - getattr(truth, name)).mean() for each in (start, found.scenes))
        assert after < least * before, name
    assert np.isfinite(ScenePrior(prior).log_prob(found.scenes)).all(), "inside the prior's ranges"


def numbers(scenes: SceneBatch) -> NDArray[np.float64]:
    """What is polished of scenes of one mug, in units of its probes, by the camera's own geometry: (B, 6)."""
    rows = []
    for b in range(len(scenes)):
        azimuth, elevation, distance = (
            float(getattr(scenes, f"camera_{name}")[b]) for name in ("azimuth_rad", "elevation_rad", "distance_m")
        )
        camera = Orbit(azimuth, elevation, distance, (0.0, 0.0, 0.0), math.radians(40.0))
        (pixel,), _ = camera.sized(SIZE, SIZE).project([[*scenes.position_m[b, 0], 0.05]])
        yaw = (scenes.yaw_rad[b, 0] - azimuth + np.pi) % (2.0 * np.pi) - np.pi
        rows.append([azimuth / 0.01, elevation / 0.006, distance / 0.005, *(pixel / 0.25), yaw / 0.12])
    return np.array(rows)


def test_one_step_solves_a_linear_picture(fake_renderer: Any) -> None:
    """Levenberg-Marquardt is exact there, but for its damping of two hundredths: so much of the way is left."""
    prior = tabletop_prior(("mug",), 1, 1)
    world = World(prior)
    rng = np.random.default_rng(0)
    slope = rng.choice([-3.0, 3.0], (6, SIZE, SIZE, 3))
    middle = world.to_batch(SceneLatents(
        Viewpoint(torch.full((5,), 0.3), torch.full((5, 2), 0.5)),
        Objects(torch.zeros(5, 1, dtype=torch.int64), torch.full((5, 1, 2), 0.03), torch.ones(5, 1),
                torch.zeros(5, 1, 0)),
    ))  # fmt: skip
    zero = numbers(middle)[:1]

    def picture(scenes: SceneBatch) -> NDArray[np.float64]:
        return np.clip(127.0 + np.tensordot(numbers(scenes) - zero, slope, 1), 0.0, 255.0) / 255.0

    linear = fake_renderer(picture)
    start = moved(world, middle, 0.7)
    away = numbers(start) - zero
    assert np.abs(away).max() < 4.0 and np.abs(away).mean() > 0.3
    found = refine_tabletop(linear.render(middle), start, world, linear, 1 + 2 * 6 + 2)
    left = numbers(found.scenes) - zero
    assert left == pytest.approx(0.021 / 1.021 * away, abs=0.1)


def test_an_empty_table_is_polished_by_its_camera_alone(world: World, raster: Renderer, truth: SceneBatch) -> None:
    empty = replace(truth, kind=np.full_like(truth.kind, -1))
    images = raster.render(empty)
    found = refine_tabletop(images, moved(world, empty, 1.0), world, raster, 200)
    assert not found.scenes.present.any()
    assert np.degrees(np.median(angle(found.scenes.camera_azimuth_rad, truth.camera_azimuth_rad))) < 0.1


def test_a_yaw_that_cannot_be_seen_turns_with_the_camera_alone(world: World, raster: Renderer) -> None:
    prior = tabletop_prior(("mug", "bowl"), 2, 2)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(2), 6)
    start = moved(world, scenes, 0.5)
    found = refine_tabletop(raster.render(scenes), start, world, raster, 100).scenes
    relative = [each.yaw_rad - each.camera_azimuth_rad[:, None] for each in (start, found)]
    turned = angle(*relative)
    assert turned[scenes.kind == 1].max() < 1e-4
    assert np.median(turned[scenes.kind == 0]) > 0.01


def test_chunks_do_not_change_the_answer(
    world: World, raster: Renderer, truth: SceneBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, start = raster.render(truth), moved(world, truth, 0.5)
    whole = refine_tabletop(images, start, world, raster, 1 + A_STEP)
    monkeypatch.setattr("air3d.scenes.refine._CHUNK", 5)
    parts = refine_tabletop(images, start, world, raster, 1 + A_STEP)
    assert parts.scenes.position_m[truth.present] == pytest.approx(whole.scenes.position_m[truth.present], abs=2e-4)
    assert parts.squared_error == pytest.approx(whole.squared_error, rel=0.05, abs=0.05)
    assert parts.renders_per_image == whole.renders_per_image


def test_bad_input_is_refused(world: World, raster: Renderer, truth: SceneBatch) -> None:
    images = raster.render(truth)
    with pytest.raises(InputError, match="12 scenes for 5 images"):
        refine_tabletop(images[:5], truth, world, raster, 50)
    with pytest.raises(InputError, match="0 scenes for 0 images"):
        refine_tabletop(images[:0], truth[:0], world, raster, 50)
    with pytest.raises(InputError, match="renders is 0"):
        refine_tabletop(images, truth, world, raster, 0)
    with pytest.raises(InputError, match="the model knows mug, bowl"):
        refine_tabletop(images, replace(truth, kinds=("mug", "plate")), world, raster, 50)
