"""The model at work: its answers are those of `answer`, its samples those of the model, whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from air3d.evaluation.answers import answer
from air3d.renderers.choice import make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene
from air3d.scenes.model import SceneModel
from air3d.scenes.store import load_model
from air3d.viewer.explainer import Explainer
from air3d.viewer.gallery import pixel_rmse

K = 6


@pytest.fixture(scope="module")
def tabletop() -> SceneModel:
    return load_model("tabletop").model


@pytest.fixture(scope="module")
def explainer(tabletop: SceneModel) -> Iterator[Explainer]:
    make = partial(make_renderer, tabletop.render_config, "raster")
    with Explainer(tabletop, make, samples=K, seed=4) as made:
        yield made


@pytest.fixture(scope="module")
def scenes(tabletop: SceneModel) -> list[Scene]:
    return ScenePrior(tabletop.prior).sample_batch(np.random.default_rng(2), 4).to_scenes()


def test_entries_are_the_models_answers(explainer: Explainer, tabletop: SceneModel, scenes: list[Scene]) -> None:
    images, done = explainer.draw(scenes), []
    entries = explainer.explain([f"s{i}" for i in range(4)], images, scenes, done.append)
    with make_renderer(tabletop.render_config, "raster") as renderer:
        expected = answer(tabletop, renderer, images)
        renders = renderer.render(expected.scenes)
    assert sum(done) == 4
    for b, (entry, scene) in enumerate(zip(entries, expected.scenes.to_scenes(), strict=True)):
        assert entry.inferred == scene
        assert entry.truth == scenes[b]
        np.testing.assert_array_equal(entry.render, renders[b])
        assert len(entry.presence) == len(scene.objects)
        assert entry.errors is not None
        assert (entry.errors.true_count, entry.errors.inferred_count) == (len(scenes[b].objects), len(scene.objects))


def test_samples_are_the_models_the_heaviest_first(
    explainer: Explainer, tabletop: SceneModel, scenes: list[Scene]
) -> None:
    image = explainer.draw(scenes)[0]
    found = explainer.samples(image)
    assert found is not None
    with make_renderer(tabletop.render_config, "raster") as renderer:
        drawn = tabletop.sample(image[None], renderer, K, torch.Generator().manual_seed(4))
    assert sorted(map(repr, drawn.scenes.to_scenes())) == sorted(map(repr, found.scenes))
    assert (np.diff(found.weight) <= 0).all()
    assert found.weight.sum() == pytest.approx(1.0)
    # log p(x | z) of a Gaussian: the nearer the rendering, the greater.
    by_likelihood = np.argsort(-found.log_likelihood)
    by_error = np.argsort([pixel_rmse(image, render) for render in found.renders])
    np.testing.assert_array_equal(by_likelihood, by_error)


def test_many_threads_get_what_one_gets(explainer: Explainer, scenes: list[Scene]) -> None:
    images = explainer.draw(scenes)
    alone = [explainer.samples(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for one, other in zip(alone, pool.map(explainer.samples, images), strict=True):
                assert one is not None
                assert other is not None
                assert one.scenes == other.scenes


def test_everything_is_drawn_on_the_thread_that_made_the_renderer(tabletop: SceneModel) -> None:
    threads: list[int] = []

    def make() -> Any:
        threads.append(threading.get_ident())
        renderer = make_renderer(tabletop.render_config, "raster")
        render = renderer.render

        def watched(scenes: Any) -> Any:
            threads.append(threading.get_ident())
            return render(scenes)

        renderer.render = watched  # type: ignore[method-assign]
        return renderer

    with Explainer(tabletop, make, samples=2, seed=0) as made:
        image = made.draw([Scene()])[0]
        made.explain(["empty"], image[None])
        made.samples(image)
    assert len(threads) > 3
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_closing_leaves_no_thread(tabletop: SceneModel) -> None:
    before = threading.active_count()
    made = Explainer(tabletop, partial(make_renderer, tabletop.render_config, "analytic"), 2, 0)
    made.close()
    assert threading.active_count() == before
    with pytest.raises(InputError, match="closing"):
        made.draw([Scene()])


def test_a_renderer_that_cannot_be_made_leaves_no_thread(tabletop: SceneModel) -> None:
    before = threading.active_count()

    def make() -> Any:
        raise InputError("no such renderer")

    with pytest.raises(InputError, match="no such renderer"):
        Explainer(tabletop, make, 2, 0)
    assert threading.active_count() == before


def test_single_objects_too_have_samples_where_they_are_wanted(model: SceneModel, pictures: Any) -> None:
    make: Callable[[], Any] = partial(make_renderer, model.render_config, "analytic")
    with Explainer(model, make, samples=3, seed=0) as made:
        found = made.samples(pictures.images[0])
        assert found is not None and len(found.scenes) == 3
    with Explainer(model, make, samples=0, seed=0) as made:
        assert made.samples(pictures.images[0]) is None
        (entry,) = made.explain(["one"], pictures.images[:1])
    assert entry.truth is None
    assert entry.errors is None
    assert entry.inferred is not None
