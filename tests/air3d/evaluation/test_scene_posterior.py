"""The posterior of one picture: samples, densities of sets, and a summary against hand-made samples."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import air3d
from air3d.evaluation import scene_posterior
from air3d.evaluation.scene_posterior import ScenePosterior
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject

MUG, BOWL = SceneObject.upright("mug", 0.05, 0.02, 0.4), SceneObject.upright("bowl", -0.08, -0.05)
TRUTH = Scene((MUG, BOWL))


@pytest.fixture(scope="module")
def belief() -> Iterator[ScenePosterior]:
    (picture,) = air3d.render(TRUTH, size=64, renderer="raster")
    with air3d.posterior("tabletop", picture, samples=32, moves=2, seed=1, renderer="raster") as found:
        yield found


def test_the_shipped_model_believes_in_the_scene_that_it_sees(belief: ScenePosterior) -> None:
    summary = belief.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["count"] == {"2": 1.0} and summary["kinds"] == [{"kinds": ["bowl", "mug"], "probability": 1.0}]
    assert abs(summary["camera"]["azimuth_rad"]["median"] + math.pi / 2.0) < 0.02
    for item in summary["objects"]:
        true = MUG if item["kind"] == "mug" else BOWL
        assert item["position_m"] == pytest.approx(true.position_m, abs=0.01)
        assert 0.0 < item["region_m"]["0.5"] <= item["region_m"]["0.9"] < 0.02 and item["region_rad"]["0.9"] < 0.5
    assert 1.0 <= belief.effective_samples <= 32.0 and 0.0 < belief.accepted < 1.0


def test_samples_are_drawn_from_those_and_repeat_by_the_seed(belief: ScenePosterior) -> None:
    drawn = belief.sample(5)
    assert len(drawn) == 5 and set(map(id, drawn)) <= set(map(id, belief.samples)) and belief.sample(0) == []
    (picture,) = air3d.render(TRUTH, size=64, renderer="raster")
    with air3d.posterior("tabletop", [picture], 32, 2, seed=1, renderer="raster") as again:
        assert again.samples == belief.samples
    with pytest.raises(InputError, match="count is -1"):
        belief.sample(-1)


def test_the_density_is_that_of_a_set(belief: ScenePosterior, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the objects means nothing; what the picture shows is likelier; drawn orders agree with all."""
    scene = belief.samples[0]
    turned = replace(scene, objects=scene.objects[::-1])
    density = belief.log_prob(scene)
    assert belief.log_prob(turned) == pytest.approx(density, abs=1e-3)
    worse = replace(scene, objects=tuple(replace(o, position_m=(-o.x_m, -o.y_m, 0.0)) for o in scene.objects))
    assert belief.log_prob(worse) < density - 20.0 and belief.log_prob(Scene((), scene.camera)) < density
    monkeypatch.setattr(scene_posterior, "_ALL_ORDERS", 1)
    several = [belief._orders(2) for _ in range(40)]
    assert {orders[0] for orders in several} == {(0, 1), (1, 0)} and {len(orders) for orders in several} == {1}
    one = np.array([belief.log_prob(scene) for _ in range(30)])
    # An order drawn at random, times their number: its expectation is the sum.
    assert np.log(np.exp(one - one.max()).mean()) + one.max() == pytest.approx(density, abs=0.7)


def test_a_summary_of_samples_made_by_hand() -> None:
    """Four mugs in a row of places and turns, and one sample of nothing."""
    rng = np.random.default_rng(0)
    belief = object.__new__(ScenePosterior)
    turns = [0.0, 0.1, 0.2, 0.3]
    cameras = [Orbit(azimuth_rad=a) for a in (3.1, -3.1, 3.12, 3.14)]
    scenes = [
        Scene(
            (
                SceneObject.upright("mug", 0.01 * k, 0.0, turns[k]),
                SceneObject.upright("plate", -0.1, 0.0, rng.random()),
            ),
            c,
        )
        for k, c in enumerate(cameras)
    ]
    scenes = [replace(s, objects=s.objects[::-1]) if k % 2 else s for k, s in enumerate(scenes)] + [Scene()]
    belief.samples, belief._batch = tuple(scenes), SceneBatch.from_scenes(scenes, ("mug", "plate"))
    belief.effective_samples, belief.accepted = 3.0, 0.5
    found = belief.summary()
    assert found["count"] == {"0": 0.2, "2": 0.8}
    assert found["kinds"] == [{"kinds": ["mug", "plate"], "probability": 0.8}, {"kinds": [], "probability": 0.2}]
    by_kind = {item["kind"]: item for item in found["objects"]}
    assert by_kind["mug"]["position_m"] == pytest.approx([0.015, 0.0, 0.0])
    assert by_kind["mug"]["region_m"] == pytest.approx(
        {f"{q:g}": float(np.quantile([0.005, 0.005, 0.015, 0.015], q)) for q in (0.5, 0.8, 0.9)}
    )
    # The nearest to all others is turned by .1 or .2.
    assert by_kind["mug"]["region_rad"]["0.5"] == pytest.approx(0.1) and by_kind["mug"]["region_rad"]["0.9"] < 0.2
    assert by_kind["plate"]["region_rad"] == pytest.approx({"0.5": 0.0, "0.8": 0.0, "0.9": 0.0}, abs=1e-6)
    low, high = found["camera"]["azimuth_rad"]["intervals"]["0.9"]
    assert high - low < 2.0 * math.pi and low < found["camera"]["azimuth_rad"]["median"] < high


def test_all_orders_are_summed() -> None:
    belief = object.__new__(ScenePosterior)
    assert belief._orders(3) == list(itertools.permutations(range(3))) and belief._orders(0) == [()]
    belief._rng = np.random.default_rng(0)
    drawn = belief._orders(6)
    assert len(drawn) == 24 and all(sorted(order) == list(range(6)) for order in drawn) and len(set(drawn)) > 12


def test_one_picture_and_one_model() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="2 pictures given; give one"):
        air3d.posterior("tabletop", [picture, picture])
    with pytest.raises(InputError, match="posterior: model is 3"):
        air3d.posterior(3, picture)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="samples"):
        air3d.posterior("tabletop", picture, samples=1)
