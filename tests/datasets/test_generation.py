"""Scene i depends on (config, seed, i) alone; hidden objects make it be redrawn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from air3d.datasets import generation
from air3d.datasets.generation import generate_scenes, render_alone, scene_rng
from air3d.renderers.analytic import AnalyticRenderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene, SceneObject


@pytest.fixture(scope="module")
def low_config(config):
    """A camera so low that objects hide each other often."""
    camera = CameraPrior(elevation_rad=(math.radians(5), math.radians(10)))
    return replace(config, prior=replace(config.prior, min_objects=3, camera=camera), min_visible=0.0, num=40)


@pytest.fixture
def renderer(config):
    return AnalyticRenderer(config.render_config)


def same(a, b):
    return (
        a.scene == b.scene
        and a.redraws == b.redraws
        and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("image", "depth_m", "segmentation", "alone"))
    )


def test_the_stream_is_the_documented_child_of_the_seed():
    children = np.random.SeedSequence(7).spawn(5)
    for index in (0, 4):
        expected = np.random.Generator(np.random.PCG64(children[index])).random(8)
        np.testing.assert_array_equal(scene_rng(7, index).random(8), expected)


def test_streams_of_neighbouring_seeds_and_indices_differ():
    first = {scene_rng(seed, index).random() for seed in range(40) for index in range(40)}
    assert len(first) == 1600
    # A seed of several words is not mistaken for a seed and an index.
    assert scene_rng(3 + (5 << 32), 0).random() != scene_rng(3, 5).random()


def test_a_batch_gives_what_single_scenes_give(low_config, renderer, monkeypatch):
    tight = replace(low_config, min_visible=0.4)
    together = list(generate_scenes(tight, range(20), renderer))
    assert any(scene.redraws for scene in together)
    alone = [next(generate_scenes(tight, [index], renderer)) for index in (3, 17, 8)]
    assert all(same(together[scene.index], scene) for scene in alone)
    monkeypatch.setattr(generation, "_BATCH", 7)
    assert all(same(a, b) for a, b in zip(together, generate_scenes(tight, range(20), renderer), strict=True))


def test_num_and_shard_size_do_not_change_a_scene(config, renderer):
    other = replace(config, num=1000, scenes_per_shard=3)
    assert same(*(next(generate_scenes(c, [5], renderer)) for c in (config, other)))


def test_hidden_objects_make_a_scene_be_redrawn(low_config, renderer):
    def least(item):
        visible = [(item.segmentation == n + 1).sum() / max(mask.sum(), 1) for n, mask in enumerate(item.alone)]
        return min(visible)

    free = list(generate_scenes(low_config, range(40), renderer))
    strict = list(generate_scenes(replace(low_config, min_visible=0.5), range(40), renderer))
    hidden = [least(item) < 0.5 for item in free]
    assert 5 <= sum(hidden) <= 35
    assert not any(item.redraws for item in free)
    for before, after, bad in zip(free, strict, hidden, strict=True):
        assert least(after) >= 0.5
        assert (after.redraws > 0) == bad
        assert (before.scene == after.scene) == (not bad)


def test_a_redraw_goes_on_with_the_same_stream(low_config, renderer):
    item = next(s for s in generate_scenes(replace(low_config, min_visible=0.5), range(40), renderer) if s.redraws == 2)
    rng = scene_rng(low_config.seed, item.index)
    prior = ScenePrior(low_config.prior)
    assert [prior.sample(rng) for _ in range(3)][2] == item.scene


def test_impossible_visibility_ends_with_a_remedy(low_config, renderer):
    with pytest.raises(InputError, match=r"^scene \d+: 2 draws in a row .*--min-visible 1; lower it"):
        list(generate_scenes(replace(low_config, min_visible=1.0, max_redraws=1), range(40), renderer))


def test_alone_masks_know_nothing_of_the_others(config, renderer):
    """A plate straight behind a teapot, seen from low: hidden in the image, whole in its own mask."""
    camera = Orbit(azimuth_rad=0.0, elevation_rad=math.radians(2))
    pot, plate = SceneObject.upright("teapot", 0.15, 0.0), SceneObject.upright("plate", -0.15, 0.0)
    scenes = [Scene((pot, plate), camera), Scene((plate,), camera), Scene((), camera), Scene((plate, pot), camera)]
    batch = SceneBatch.from_scenes(scenes, config.prior.kinds, 3)
    segmentation = renderer.render_segmentation(batch)
    masks, owner = render_alone(renderer, batch, segmentation)
    assert owner.tolist() == [0, 0, 1, 3, 3]
    assert (segmentation[0] == 2).sum() < masks[1].sum()
    np.testing.assert_array_equal(masks[1], segmentation[1] == 1)
    np.testing.assert_array_equal(masks[1], masks[2])
    np.testing.assert_array_equal(masks[[0, 1]], masks[[4, 3]])
