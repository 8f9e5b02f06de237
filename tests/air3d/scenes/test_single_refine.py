"""Refinement: never worse, never over its budget, exact where the picture is linear in the pose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.latents import World
from air3d.scenes.one_look import single_world
from air3d.scenes.single_refine import RefineConfig, refine

SIZE, COUNT = 32, 12


class Counting:
    """Counts the scenes that a renderer is asked for; otherwise the renderer itself."""

    def __init__(self, renderer: Any) -> None:
        self.inner, self.scenes = renderer, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        self.scenes += len(scenes)
        return self.inner.render(scenes)


class LinearRenderer:
    """Pictures whose pixels are linear in x, y and yaw, up to the rounding to bytes: the answer is in closed form."""

    def __init__(self, config: RenderConfig) -> None:
        self.config = config
        self.slope = np.random.default_rng(0).uniform(-1.0, 1.0, (3, config.height, config.width, 3))

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        pose = np.concatenate([scenes.position_m[:, 0] / 0.15, scenes.yaw_rad], axis=1)
        return np.rint(127.0 + 80.0 * np.tensordot(pose, self.slope, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def world() -> World:
    return single_world(single_prior())


@pytest.fixture(scope="module")
def config(world: World) -> RenderConfig:
    return RenderConfig(world.prior.kinds, world.prior.table, 1, SIZE, SIZE)


@pytest.fixture(scope="module")
def inner(config: RenderConfig) -> Iterator[Renderer]:
    with make_renderer(config, "raster") as made:
        yield made


@pytest.fixture
def renderer(inner: Renderer) -> Any:
    return Counting(inner)


@pytest.fixture(scope="module")
def truth(world: World) -> SceneBatch:
    return ScenePrior(world.prior).sample_batch(np.random.default_rng(3), COUNT)


def moved(scenes: SceneBatch, position_m: float, yaw_rad: float, seed: int = 0) -> SceneBatch:
    """Poses changed by normal noise, inside the placement disc."""
    rng = np.random.default_rng(seed)
    position = scenes.position_m + rng.normal(0.0, position_m, scenes.position_m.shape)
    radius = np.linalg.norm(position, axis=-1, keepdims=True)
    position *= np.minimum(1.0, 0.1499 / radius)
    return replace(scenes, position_m=position, yaw_rad=scenes.yaw_rad + rng.normal(0.0, yaw_rad, scenes.yaw_rad.shape))


def error(images: NDArray[np.uint8], renderer: Any, scenes: SceneBatch) -> NDArray[np.float64]:
    return np.asarray(np.square((images.astype(float) - renderer.inner.render(scenes)) / 255.0).sum((1, 2, 3)))


@pytest.mark.parametrize("method", ["fd", "cma"])
@pytest.mark.parametrize("renders", [1, 5, 10, 50, 200])
def test_it_never_worsens_and_keeps_the_budget(
    world: World, renderer: Any, truth: SceneBatch, method: Any, renders: int
) -> None:
    images = renderer.inner.render(truth)
    anywhere = moved(ScenePrior(world.prior).sample_batch(np.random.default_rng(9), COUNT), 0.1, 1.0)
    for start in (truth, moved(truth, 0.005, 0.1), anywhere):
        renderer.scenes = 0
        found = refine(images, start, world, renderer, RefineConfig(renders, method))
        assert renderer.scenes == COUNT * found.renders_per_image
        assert found.renders_per_image <= renders
        assert (error(images, renderer, found.scenes) <= error(images, renderer, start) + 1e-4).all()
        assert np.array_equal(found.scenes.kind, start.kind)
        assert np.isfinite(ScenePrior(world.prior).log_prob(found.scenes)).all()
        if start is truth or renders == 1:
            turned = found.scenes.yaw_rad - start.yaw_rad
            assert found.scenes.position_m == pytest.approx(start.position_m, abs=1e-8)
            assert np.exp(1j * turned) == pytest.approx(np.ones((COUNT, 1)), abs=1e-8)


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_a_near_answer_becomes_a_nearer_one(world: World, renderer: Any, truth: SceneBatch, method: Any) -> None:
    images, start = renderer.inner.render(truth), moved(truth, 0.005, 0.1)
    before = np.linalg.norm(start.position_m - truth.position_m, axis=-1)
    few, many = (refine(images, start, world, renderer, RefineConfig(n, method)).scenes for n in (50, 200))
    after = np.linalg.norm(many.position_m - truth.position_m, axis=-1)
    assert np.median(after) < 0.4 * np.median(before)
    assert np.median(error(images, renderer, few)) < 0.5 * np.median(error(images, renderer, start))
    assert np.median(error(images, renderer, many)) < 0.1 * np.median(error(images, renderer, start))


def test_one_step_solves_a_linear_picture(world: World, config: RenderConfig) -> None:
    """Gauss-Newton is exact there; the damping of 3 % leaves 3 % of the way, rounding to bytes next to nothing."""
    linear: Any = Counting(LinearRenderer(config))
    prior = ScenePrior(world.prior)
    truth = replace(prior.sample_batch(np.random.default_rng(1), COUNT), yaw_rad=np.full((COUNT, 1), 0.3))
    truth = replace(truth, position_m=0.4 * truth.position_m)
    offset = np.random.default_rng(2).uniform(-0.015, 0.015, truth.position_m.shape)
    start = replace(truth, position_m=truth.position_m + offset, yaw_rad=truth.yaw_rad + 0.2)
    found = refine(linear.render(truth), start, world, linear, RefineConfig(10, "fd", reach=1.0))
    assert found.renders_per_image == 10, "the start, seven for the derivative, two steps"
    assert found.scenes.position_m == pytest.approx(truth.position_m + 0.03 * offset, abs=3e-4)
    assert found.scenes.yaw_rad == pytest.approx(truth.yaw_rad + 0.03 * 0.2, abs=3e-3)


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_of_several_starts_the_right_one_wins(world: World, renderer: Any, truth: SceneBatch, method: Any) -> None:
    """Starts are image-major; here the second of each three has the right kind and is near."""
    images = renderer.inner.render(truth)
    near, other = moved(truth, 0.003, 0.05), replace(truth, kind=(truth.kind + 1) % 3)
    far = moved(truth, 0.08, 1.0)
    order = np.arange(3 * COUNT).reshape(3, COUNT).T.ravel()
    starts = SceneBatch.concatenate([catalog_colours(world, other), near, far])[order]
    found = refine(images, starts, world, renderer, RefineConfig(100, method))
    assert renderer.scenes == COUNT * found.renders_per_image <= COUNT * 100
    assert np.array_equal(found.scenes.kind, truth.kind)
    assert (error(images, renderer, found.scenes) <= error(images, renderer, near) + 1e-4).all()


def catalog_colours(world: World, scenes: SceneBatch) -> SceneBatch:
    """The catalog's colours for changed kinds."""
    from air3d.scene3d.catalog import get_kind

    colours = np.array([get_kind(name).colour for name in world.prior.kinds])
    return replace(scenes, colour=colours[scenes.kind])


def test_chunks_do_not_change_the_answer(
    world: World, renderer: Any, truth: SceneBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, start = renderer.inner.render(truth), moved(truth, 0.005, 0.1)
    whole = refine(images, start, world, renderer, RefineConfig(50, "cma"))
    monkeypatch.setattr("air3d.scenes.single_refine._IMAGES_AT_ONCE", 5)
    parts = refine(images, start, world, renderer, RefineConfig(50, "cma"))
    assert parts.scenes.position_m == pytest.approx(whole.scenes.position_m, abs=1e-4)
    assert parts.log_likelihood == pytest.approx(whole.log_likelihood, abs=0.1)


def test_bad_input_is_refused(world: World, renderer: Any, truth: SceneBatch) -> None:
    images = renderer.inner.render(truth)
    with pytest.raises(InputError, match="not a whole number of starts"):
        refine(images[:5], truth, world, renderer, RefineConfig())
    with pytest.raises(InputError, match="3 renders do not reach 12 starts"):
        refine(images[:1], truth, world, renderer, RefineConfig(3))
    with pytest.raises(InputError, match="exactly one object"):
        refine(images, truth.with_slots(2), world, renderer, RefineConfig())
    with pytest.raises(InputError, match="not a whole number of starts for 0 images"):
        refine(images[:0], truth, world, renderer, RefineConfig())
    with pytest.raises(InputError, match="uint8"):
        refine(images[:, :, :16], truth, world, renderer, RefineConfig())
    for values, message in (
        ({"renders": 0}, "renders is 0"),
        ({"method": "x"}, "use 'fd' or 'cma'"),
        ({"reach": -1.0}, "reach is -1"),
        ({"sigma": 0.0}, "sigma is 0"),
        ({"seed": -3}, "seed is -3"),
    ):
        bad: dict[str, Any] = values  # type: ignore[assignment]
        with pytest.raises(InputError, match=message):
            RefineConfig(**bad)
