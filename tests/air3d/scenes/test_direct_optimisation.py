"""Search by direct ascent: it finds scenes that explain the picture, within its budget, repeatably."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from air3d.evaluation.metrics import match
from air3d.evaluation.pose_metrics import mssd_recall, pose_errors
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scenes.direct_optimisation import SearchConfig, search
from air3d.scenes.latents import World
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.one_look import known_camera, single_world

SIZE, COUNT, SIGMA = 32, 8, 0.3


class Counting:
    """Counts the scenes that a renderer is asked for; otherwise the renderer itself."""

    def __init__(self, renderer: Renderer) -> None:
        self.inner, self.scenes = renderer, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        self.scenes += len(scenes)
        return self.inner.render(scenes)


@pytest.fixture(scope="module")
def world() -> World:
    return single_world(single_prior())


@pytest.fixture(scope="module")
def inner(world: World) -> Iterator[Renderer]:
    with make_renderer(RenderConfig(world.prior.kinds, world.prior.table, 1, SIZE, SIZE), "raster") as made:
        yield made


@pytest.fixture
def renderer(inner: Renderer) -> Any:
    return Counting(inner)


@pytest.fixture(scope="module")
def truth(world: World) -> SceneBatch:
    return ScenePrior(world.prior).sample_batch(np.random.default_rng(7), COUNT)


def log_likelihood(images: NDArray[np.uint8], renders: NDArray[np.uint8]) -> NDArray[np.float64]:
    """By SciPy, in float64."""
    density = stats.norm.logpdf(images / 255.0, renders / 255.0, SIGMA)
    return np.asarray(density.sum((1, 2, 3)))


@pytest.mark.parametrize("method", ["fd", "cma"])
@pytest.mark.parametrize("blur_px", [0.0, 4.0])
def test_the_scene_is_found_within_the_budget(
    world: World, renderer: Any, truth: SceneBatch, method: Any, blur_px: float
) -> None:
    images = renderer.inner.render(truth)
    config = SearchConfig(method, renders=600, blur_px=blur_px)
    found = search(images, world, renderer, config, Likelihood(SIGMA))
    assert renderer.scenes == COUNT * found.renders_per_image, "every render is counted"
    assert 600 - 12 * 9 < found.renders_per_image <= 600, "the budget is used up to one step, and kept"
    assert found.seconds_per_image > 0.0
    assert len(found.scenes) == COUNT
    assert np.isfinite(ScenePrior(world.prior).log_prob(found.scenes)).all(), "on the placement disc"
    assert (np.abs(found.scenes.yaw_rad) <= np.pi).all()
    best, reached = log_likelihood(images, images), log_likelihood(images, renderer.inner.render(found.scenes))
    assert found.log_likelihood == pytest.approx(reached, abs=2e-3), "what is reported is the answer's"
    # At 32 pixels the object covers some 60: an error of 1 nat is a quarter of a pixel's full contrast.
    assert np.sort(best - reached)[-2] < 3.0, "all but one are explained at least nearly as well as by the truth"
    errors = pose_errors(truth, found.scenes, SIZE)
    assert (mssd_recall(errors, match(truth, found.scenes)) or 0.0) >= (COUNT - 1) / COUNT


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_it_repeats_and_images_do_not_depend_on_each_other(
    world: World, renderer: Any, truth: SceneBatch, method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = renderer.inner.render(truth)[:5]
    config = SearchConfig(method, renders=150, candidates=8, starts=2, seed=3)
    np.random.seed(0)  # noqa: NPY002 -- the package cma would use it
    state = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    first = search(images, world, renderer, config)
    assert np.array_equal(state, np.random.get_state()[1]), "no module-level state is touched"  # type: ignore[index]  # noqa: NPY002
    again = search(images, world, renderer, config)
    assert np.array_equal(first.scenes.position_m, again.scenes.position_m)
    assert np.array_equal(first.scenes.yaw_rad, again.scenes.yaw_rad)
    alone = search(images[:2], world, renderer, config)
    assert alone.scenes.position_m == pytest.approx(first.scenes.position_m[:2], abs=1e-4)
    monkeypatch.setattr("air3d.scenes.refine._NUMBERS_AT_ONCE", 200_000)
    chunked = search(images, world, renderer, config)
    assert chunked.scenes.position_m == pytest.approx(first.scenes.position_m, abs=1e-4)
    assert chunked.renders_per_image == first.renders_per_image
    other = search(images, world, renderer, SearchConfig(method, renders=150, candidates=8, starts=2, seed=4))
    assert not np.array_equal(first.scenes.yaw_rad, other.scenes.yaw_rad)


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_an_object_at_the_rim_is_found_on_the_disc(world: World, renderer: Any, method: Any) -> None:
    radius, angles = world.prior.table.place_radius_m, (0.3, 2.0, 4.0)
    items = [SceneObject.upright("sphere", radius * np.cos(a), radius * np.sin(a)) for a in angles]
    base = known_camera(world)
    truth = SceneBatch.from_scenes(
        [Scene((item,), base, world.prior.table, world.prior.light) for item in items], world.prior.kinds
    )
    found = search(renderer.inner.render(truth), world, renderer, SearchConfig(method, renders=400))
    assert np.linalg.norm(found.scenes.position_m[:, 0], axis=-1).max() <= radius
    assert np.linalg.norm(found.scenes.position_m - truth.position_m, axis=-1).max() < 0.01


def test_an_unknown_camera_is_found_with_the_object() -> None:
    prior = tabletop_prior(("mug", "bowl"), 1, 1)
    truth = ScenePrior(prior).sample_batch(np.random.default_rng(1), COUNT)
    with make_renderer(RenderConfig(prior.kinds, prior.table, 1, 64, 64), "raster") as renderer:
        config = SearchConfig(renders=1000, candidates=100)
        found = search(renderer.render(truth), World(prior), renderer, config).scenes
    assert (found.kind == truth.kind).mean() >= (COUNT - 1) / COUNT
    assert np.median(np.linalg.norm(found.position_m - truth.position_m, axis=-1)) < 0.003
    turned = np.angle(np.exp(1j * (found.camera_azimuth_rad - truth.camera_azimuth_rad)))
    assert np.degrees(np.median(np.abs(turned))) < 0.5


def test_bad_input_is_refused(world: World, renderer: Any, truth: SceneBatch) -> None:
    images = renderer.inner.render(truth)
    with pytest.raises(InputError, match=r"83 renders are too few.*at least 84"):
        search(images, world, renderer, SearchConfig(renders=83))
    assert search(images, world, renderer, SearchConfig(renders=84)).renders_per_image == 84
    with pytest.raises(InputError, match="looks for one object"):
        search(images, World(tabletop_prior(("mug", "bowl"), 2)), renderer, SearchConfig())
    with pytest.raises(InputError, match="no images"):
        search(images[:0], world, renderer, SearchConfig())
    with pytest.raises(InputError, match="float64 of shape"):
        search(images / 255.0, world, renderer, SearchConfig())
    with pytest.raises(InputError, match=r"\(8, 16, 32, 3\)"):
        search(images[:, :16], world, renderer, SearchConfig())


@pytest.mark.parametrize(
    "values,message",
    [
        ({"method": "newton"}, "use 'fd' or 'cma'"),
        ({"renders": 0}, "renders is 0"),
        ({"starts": 0}, "starts 0"),
        ({"starts": 30}, "starts 30 must be 1 to candidates 24"),
        ({"reach": 0.0}, "reach is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"blur_px": -1.0}, "blur_px"),
        ({"anneal": 0.0}, "anneal"),
    ],
)
def test_a_bad_config_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchConfig(**values)
