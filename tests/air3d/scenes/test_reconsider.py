"""Reconsidering answers: what is drawn anew, what is kept, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from air3d.evaluation.answers import answer
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.poses import yawed
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.latents import Objects, World
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import to_pixels
from air3d.scenes.reconsider import reconsider
from air3d.scenes.refine import RefineConfig
from air3d.scenes.store import load_model


class Counting:
    """A renderer that counts the scenes that it draws."""

    def __init__(self, inner: Renderer) -> None:
        self.inner, self.drawn = inner, 0

    def render(self, scenes: SceneBatch) -> np.ndarray:
        self.drawn += len(scenes)
        return self.inner.render(scenes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture(scope="module", params=["tabletop", "single-object"])
def known(request: pytest.FixtureRequest) -> Iterator[tuple[SceneModel[Any], Counting, SceneBatch, np.ndarray]]:
    model = load_model(request.param).model
    with make_renderer(model.render_config, "raster") as renderer:
        truth = ScenePrior(model.prior).sample_batch(np.random.default_rng(4), 40)
        yield model, Counting(renderer), truth, renderer.render(truth)


def error(model: SceneModel[Any], renderer: Any, images: np.ndarray, scenes: SceneBatch) -> np.ndarray:
    return model.likelihood.error(to_pixels(images), to_pixels(renderer.render(scenes))[:, None])[:, 0].numpy()


def turned(scenes: SceneBatch, angle_rad: float) -> SceneBatch:
    """All objects turned on the spot, as far as they stand."""
    yaw = scenes.yaw_rad + angle_rad
    return replace(scenes, rotation_wxyz=yawed(yaw))


def test_objects_turned_the_wrong_way_are_put_right(known: Any) -> None:
    model, renderer, truth, images = known
    wrong = turned(truth, 1.0)
    kept = wrong.kind.copy(), wrong.rotation_wxyz.copy()
    before = error(model, renderer, images, wrong)
    found = reconsider(model, renderer, images, wrong, 12, 120, torch.Generator().manual_seed(0)).scenes
    after = error(model, renderer, images, found)
    assert (after <= before + 1e-4).all(), "no answer gets worse"
    assert np.array_equal(kept[0], wrong.kind) and np.array_equal(kept[1], wrong.rotation_wxyz), "what is given stays"
    differ = before > 0.3
    assert differ.sum() > 10 and np.median(after[differ] / before[differ]) < 0.35


def test_it_takes_the_renders_that_it_says_and_no_more_than_it_may(known: Any) -> None:
    model, renderer, _, images = known
    for budget, candidates in ((30, 8), (9, 8), (60, 3)):
        answer_ = model.infer(images, renderer).scenes
        renderer.drawn = 0
        found = reconsider(model, renderer, images, answer_, candidates, budget, torch.Generator().manual_seed(0))
        assert found.renders.max() <= budget
        # A guide that is shown nothing costs less than is said.
        shown = found.renders.sum() if model.guide.renders else None
        assert renderer.drawn == shown if model.guide.renders else renderer.drawn <= found.renders.sum()
        # The first round is one of draws: whole, or none at all.
        first = 1 + np.maximum(answer_.present.sum(1), 1) * (candidates + 1)
        assert (
            np.array_equal(found.renders == 0, first > budget) and (found.renders[first <= budget] >= first.min()).all()
        )
        # One picture's renders do not depend on the others beside it.
        for row in range(6):
            alone = reconsider(
                model, renderer, images[[row]], answer_[[row]], candidates, budget, torch.Generator().manual_seed(0)
            )
            assert alone.renders[0] == found.renders[row] or not np.array_equal(
                alone.scenes.present, found.scenes[[row]].present
            )


def test_an_object_that_was_missed_is_added_and_none_that_explains_nothing(known: Any) -> None:
    model, renderer, truth, images = known
    if model.world.one_object:
        pytest.skip("there is one object")
    rows = np.flatnonzero(truth.present.sum(1) >= 1)
    last = truth.present.sum(1)[rows] - 1
    kind = truth.kind[rows].copy()
    kind[np.arange(len(rows)), last] = ABSENT
    found = reconsider(
        model, renderer, images[rows], replace(truth[rows], kind=kind), 8, 60, torch.Generator().manual_seed(0)
    ).scenes
    assert (found.present.sum(1) == last + 1).mean() > 0.9
    # Objects may have changed slots.
    assert (np.sort(found.kind) == np.sort(truth.kind[rows])).all(1).mean() > 0.9
    whole = reconsider(model, renderer, images, truth, 8, 60, torch.Generator().manual_seed(0)).scenes
    assert np.array_equal(whole.present, truth.present)


def test_where_draws_are_no_better_turns_on_the_spot_are(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, renderer, truth, images = known
    wrong = turned(truth, 1.0)
    latents = model.world.from_batch(wrong)

    def same(self: Any, rows: torch.Tensor, now: Any, slot: int, samples: int, generator: Any) -> Objects:
        """What is there already; nothing where a further one is asked for."""
        return Objects(*(part[rows, slot, None].expand(-1, samples, *part.shape[2:]) for part in latents.objects))

    posterior = type(model.guide.look(model.pixels(images[:1]), model.painter(renderer)))
    monkeypatch.setattr(posterior, "redraw", same)
    before = error(model, renderer, images, wrong)
    found = reconsider(model, renderer, images, wrong, 12, 120, torch.Generator().manual_seed(0)).scenes
    after = error(model, renderer, images, found)
    mugs = (model.world.turns().numpy()[wrong.kind] & wrong.present).any(1) & (before > 0.3)
    assert mugs.sum() > 5 and np.median(after[mugs] / before[mugs]) < 0.7
    assert found.position_m == pytest.approx(wrong.position_m, abs=1e-6) and np.array_equal(found.kind, wrong.kind)


def test_without_renders_or_objects_nothing_changes(known: Any) -> None:
    model, renderer, truth, images = known
    few = reconsider(model, renderer, images, truth, 8, 5, torch.Generator().manual_seed(0))
    assert not few.renders.any() and np.array_equal(few.scenes.kind, truth.kind)
    none = reconsider(model, renderer, images[:0], truth[:0], 8, 50, torch.Generator().manual_seed(0))
    assert len(none.scenes) == len(none.renders) == 0


def test_the_same_seed_gives_the_same(known: Any) -> None:
    model, renderer, truth, images = known
    one, two, other = (
        reconsider(model, renderer, images, turned(truth, 1.0), 8, 40, torch.Generator().manual_seed(seed)).scenes
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one.rotation_wxyz, two.rotation_wxyz)
    assert not np.array_equal(one.rotation_wxyz, other.rotation_wxyz)


def test_refinement_begins_with_it_and_keeps_to_its_budget(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, renderer, truth, images = known
    wrong = turned(truth, 1.0), truth.present * 1.0
    monkeypatch.setattr(SceneModel, "infer", lambda self, images, renderer: wrong)
    left = []
    for candidates in (0, 8):
        renderer.drawn = 0
        found = answer(model, renderer, images, RefineConfig(100, candidates=candidates))
        assert found.renders_per_image - model.guide.renders <= 100
        assert 20 * len(images) < renderer.drawn <= 100 * len(images)
        left.append(np.median(error(model, renderer, images, found.scenes)))
    assert left[1] < 0.7 * left[0]


def test_no_kind_is_named_twice_where_the_prior_allows_none(known: Any) -> None:
    """All alike, two mugs would explain half of the pictures better than a mug and what was wrongly named a bowl."""
    model, renderer, _, _ = known
    if model.world.one_object:
        pytest.skip("there is one object")
    once = replace(model, world=World(replace(model.prior, repeat=False)))
    mugs = ScenePrior(replace(model.prior, kinds=("mug",), min_objects=2, max_objects=2)).sample_batch(
        np.random.default_rng(0), 20
    )
    truth = SceneBatch.from_scenes(list(mugs), model.prior.kinds, 3)
    images, wrong = renderer.render(truth), truth.kind.copy()
    wrong[:, 1] = model.prior.kinds.index("bowl")
    start = replace(truth, kind=wrong)
    for which, twice in ((model, True), (once, False)):
        found = reconsider(which, renderer, images, start, 8, 60, torch.Generator().manual_seed(0)).scenes
        assert (found.kind[:, 0] == found.kind[:, 1]).any() == twice


def test_a_smaller_share_of_the_budget_is_left_to_those_that_took_more(known: Any) -> None:
    """One picture's renders do not depend on how many objects another has."""
    model, renderer, truth, images = known
    whole = answer(model, renderer, images, RefineConfig(50))
    few = np.flatnonzero(truth.present.sum(1) == truth.present.sum(1).max())[:4]
    renderer.drawn = 0
    answer(model, renderer, images[few], RefineConfig(50))
    assert renderer.drawn > 35 * len(few) and whole.renders_per_image <= 50 + model.guide.renders
