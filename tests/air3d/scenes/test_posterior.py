"""Calibration of posteriors over scenes: the truth drawn from the draws themselves, and counted by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special, stats
from scipy.spatial.transform import Rotation

from air3d.evaluation.calibration import effective_draws, scalar_calibration
from air3d.evaluation.evaluate import draw_metrics
from air3d.evaluation.posterior import posterior_metrics
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.poses import on_table
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scenes.model import Hypotheses

MUG, PLATE, BOWL = (SceneObject.upright(kind, x, 0.0) for kind, x in (("mug", 0.1), ("plate", -0.1), ("bowl", 0.0)))
KINDS = ("mug", "plate", "bowl")


def pack(*scenes: tuple[SceneObject, ...]) -> SceneBatch:
    return SceneBatch.from_scenes([Scene(items) for items in scenes], KINDS, 3)


def test_cameras_and_places_of_exchangeable_scenes_are_calibrated_exactly() -> None:
    """Six scenes that differ in camera and places; each is the truth once, and the others are its posterior."""
    six = ScenePrior(tabletop_prior(min_objects=1, max_objects=1)).sample_batch(np.random.default_rng(0), 6)
    six = replace(six, kind=np.zeros_like(six.kind))
    draws = SceneBatch.concatenate([six[np.delete(np.arange(6), i)] for i in range(6)])
    found = posterior_metrics(six, draws, np.ones((6, 5)))
    for name in ("camera_azimuth_rad", "camera_elevation_rad", "camera_distance_m", "position_m"):
        assert found[name]["images"] == 6
        assert found[name]["coverage"] == {level: pytest.approx(float(level)) for level in ("0.5", "0.8", "0.9")}, name
        assert found[name]["pit_histogram"] == pytest.approx([0.1] * 10), name
    assert found["count"] == {
        "expected_calibration_error": 0.0,
        "bins": [{"from": 0.9, "to": 1.0, "images": 6, "confidence": 1.0, "accuracy": 1.0}],
    }


def test_each_part_of_the_camera_is_ranked_by_itself() -> None:
    truth = SceneBatch.from_scenes([Scene(camera=Orbit(3.10, 0.5, 1.1))], KINDS, 1)
    three = [Orbit(-3.10, 0.6, 1.0), Orbit(3.00, 0.7, 0.9), Orbit(3.05, 0.8, 1.05)]
    draws = SceneBatch.from_scenes([Scene(camera=camera) for camera in three], KINDS, 1)
    found = posterior_metrics(truth, draws, np.ones((1, 3)))
    for name, (low, high) in {
        "camera_azimuth_rad": (0.5, 0.75),  # -3.10 lies beyond 3.10
        "camera_elevation_rad": (0.0, 0.25),
        "camera_distance_m": (0.75, 1.0),
    }.items():
        bins = [max(min(high, (i + 1) / 10) - max(low, i / 10), 0.0) * 4 for i in range(10)]
        assert found[name]["pit_histogram"] == pytest.approx(bins), name


def test_counts_and_multisets_by_hand() -> None:
    truth = pack((MUG, PLATE), (BOWL,))
    draws = SceneBatch.from_scenes(
        pack((PLATE, MUG), (MUG, MUG), (MUG,), (BOWL,), (BOWL, BOWL, MUG), ()).to_scenes(), KINDS[::-1], 4
    )
    draws = draws[np.tile(np.arange(6).reshape(2, 1, 3), (1, 12, 1)).reshape(-1)]  # worth 32 and 20 equal ones
    found = posterior_metrics(truth, draws, np.tile([[2.0, 1.0, 1.0], [1.0, 1.0, 6.0]], (1, 12)))
    rows = [(r["confidence"], r["accuracy"]) for r in found["count"]["bins"]]
    assert rows == [(0.75, 0.5)], "2 with 3/4, right; 0 with 6/8, wrong"
    assert found["count"]["expected_calibration_error"] == pytest.approx(0.25)
    rows = [(r["confidence"], r["accuracy"]) for r in found["kinds"]["bins"]]
    assert rows == [(0.5, 1.0), (0.75, 0.0)], "mug and plate with 2/4, in any order, right; nothing with 6/8, wrong"


def test_places_are_of_the_matched_objects_of_the_right_kind() -> None:
    """Truth: a mug and a plate. Only draws in which each is held count, so each has two, beside the truth's place."""
    moved = [replace(MUG, position_m=(0.1 + d, 0.0, 0.0)) for d in (0.020, 0.021)]
    truth = pack((MUG, PLATE))
    draws = pack((PLATE, moved[0]), (moved[1],), (replace(BOWL, position_m=(0.1, 0.0, 0.0)), PLATE))
    found = posterior_metrics(truth, draws, np.ones((1, 3)))["position_m"]
    assert found["images"] == 2
    # The mug's two are side by side, so the truth is farthest from the mean: PIT in [2/3, 1]. The plate's are at its
    # place: PIT in [0, 1].
    assert found["coverage"]["0.5"] == pytest.approx((0.0 + 0.5) / 2)
    assert found["coverage"]["0.9"] == pytest.approx(((0.9 - 2 / 3) * 3 + 0.9) / 2)
    nowhere = posterior_metrics(pack((MUG,)), pack((PLATE,), ()), np.ones((1, 2)))["position_m"]
    assert nowhere["images"] == 0
    many = pack((MUG,), ())[np.tile([0, 1], 24)]
    unlikely = posterior_metrics(pack((MUG,)), many, np.tile([0.0, 1.0], (1, 24)))["position_m"]
    assert unlikely["images"] == 0, "only a draw without weight holds it"


@pytest.mark.parametrize("kind", ["mug", "plate", "cube"])
def test_rotations_are_ranked_modulo_symmetry(kind: str, fits: Callable[[float, str], None]) -> None:
    """Truth and draws are turned alike from one rotation a scene, and then by any symmetry; wrong ones are told."""
    rng, each, scenes = np.random.default_rng(3), 16, 400
    near = Rotation.random(scenes, rng=rng)
    symmetry = get_kind(kind).symmetry
    kept = Rotation.from_matrix(symmetry.rotations())

    def turned(base: Rotation, spread: float) -> SceneBatch:
        shaken = base * Rotation.from_rotvec(spread * rng.normal(size=(len(base), 3)))
        group = kept[rng.integers(len(kept), size=len(base))]
        if symmetry.continuous_yaw:
            group = Rotation.from_rotvec(rng.uniform(-3, 3, (len(base), 1)) * [0.0, 0.0, 1.0]) * group
        quaternions = (shaken * group).as_quat(scalar_first=True)
        items = [SceneObject(kind, (0.0, 0.0, 0.3), tuple(q / np.linalg.norm(q))) for q in quaternions]
        return SceneBatch.from_scenes([Scene((item,)) for item in items], (kind,), 1)

    truth, wide = turned(near, 0.1), near[np.repeat(np.arange(scenes), each)]
    found = posterior_metrics(truth, turned(wide, 0.1))["rotation_rad"]
    assert found["images"] == scenes
    # Eight of the sixteen are what is compared with: the truth has one of nine ranks.
    for level, share in found["coverage"].items():
        fits(stats.binomtest(round(share * scenes), scenes, float(level)).pvalue, f"{kind} {level}")
    sure = posterior_metrics(truth, turned(wide, 0.02))["rotation_rad"]["coverage"]
    unsure = posterior_metrics(truth, turned(wide, 0.5))["rotation_rad"]["coverage"]
    assert sure["0.5"] < 0.2 and unsure["0.5"] > 0.6


def test_a_rotation_needs_two_draws_and_a_kind_that_shows_it() -> None:
    ball = SceneObject("sphere", (0.0, 0.0, 0.1))
    truth = SceneBatch.from_scenes([Scene((MUG,)), Scene((ball,))], ("mug", "sphere"), 1)
    one = SceneBatch.from_scenes([Scene(items) for items in ((MUG,), (), (ball,), (ball,))], ("mug", "sphere"), 1)
    assert posterior_metrics(truth, one)["rotation_rad"]["images"] == 0
    two = SceneBatch.from_scenes([Scene(items) for items in ((MUG,), (MUG,), (ball,), (ball,))], ("mug", "sphere"), 1)
    assert posterior_metrics(truth, two)["rotation_rad"]["images"] == 1


def test_heights_count_as_places_do() -> None:
    lifted = [replace(MUG, position_m=(0.1, 0.0, z)) for z in (0.20, 0.21, 0.5)]
    found = posterior_metrics(pack((lifted[2],)), pack((lifted[0],), (lifted[1],)))["position_m"]
    assert found["coverage"]["0.5"] == 0.0


def test_a_camera_that_is_known_is_not_measured() -> None:
    """What is the same in all scenes and draws; not what is the same in all scenes, and open to the guide."""
    truth = pack((MUG,), (BOWL,))
    draws = truth[np.repeat([0, 1], 20)]
    for weights in (None, np.ones((2, 20)), np.eye(2, 20)):
        assert posterior_metrics(truth, draws, weights).keys() == {"count", "kinds", "position_m", "rotation_rad"}
    turned = replace(draws, camera_azimuth_rad=draws.camera_azimuth_rad + np.linspace(0.0, 0.1, 40))
    assert "camera_azimuth_rad" in posterior_metrics(truth, turned)


def test_a_wrong_posterior_is_told_by_its_own_draws_and_not_by_weighted_ones_worth_two() -> None:
    """The camera is off by 30 degrees of a posterior that is 2 degrees wide, the places by five times their width."""
    rng, each = np.random.default_rng(7), 16
    truth = ScenePrior(tabletop_prior(min_objects=1, max_objects=1)).sample_batch(rng, 300)
    right = truth[np.repeat(np.arange(300), each)]
    place, azimuth = on_table(0.004 * rng.normal(size=(*right.kind.shape, 2))), 0.035 * rng.normal(size=len(right))
    centre, turn = on_table(0.004 * rng.normal(size=(*truth.kind.shape, 2))), 0.035 * rng.normal(size=len(truth))
    right = replace(
        right,
        position_m=right.position_m + place + np.repeat(centre, each, axis=0),
        camera_azimuth_rad=right.camera_azimuth_rad + azimuth + np.repeat(turn, each),
    )
    wrong = replace(
        right,
        position_m=right.position_m + (0.02, 0.02, 0.0),
        camera_azimuth_rad=right.camera_azimuth_rad + np.radians(30.0),
    )
    # 16 draws resolve 17 ranks: beyond all of them, the 90 % interval still holds 17 (0.95 - 16 / 17) = 0.15.
    for level, low, high, wrong_at_most in (("0.5", 0.4, 0.6, 0.02), ("0.9", 0.83, 0.96, 0.17)):
        for name in ("camera_azimuth_rad", "position_m"):
            assert low < posterior_metrics(truth, right)[name]["coverage"][level] < high
            assert posterior_metrics(truth, wrong)[name]["coverage"][level] < wrong_at_most
    weights = np.exp(3.0 * rng.normal(size=(300, each)))
    assert 1.0 < np.median(effective_draws(weights)) < 3.0
    for draws in (right, wrong):
        found = posterior_metrics(truth, draws, weights)
        assert found.keys() == posterior_metrics(truth, draws).keys()
        for row in found.values():
            assert "16 weighted draws are worth" in row["refused"]
            assert row.get("coverage", dict.fromkeys(("0.5", "0.8", "0.9"))) == dict.fromkeys(("0.5", "0.8", "0.9"))
            assert row.get("expected_calibration_error") is None
            assert not any(row.get("pit_histogram", []))


def test_draws_are_judged_by_themselves_and_beside_what_weights_leave_of_them() -> None:
    """Of 40 images with 60 draws each, one has no draw that the prior allows."""
    rng = np.random.default_rng(0)
    truth = ScenePrior(tabletop_prior(("mug",), 1, 1)).sample_batch(rng, 40)
    drawn = truth[np.repeat(np.arange(40), 60)]
    drawn = replace(drawn, camera_distance_m=drawn.camera_distance_m + rng.normal(size=len(drawn)))
    log_weight = torch.from_numpy(0.3 * rng.normal(size=(40, 60)))
    log_weight[5] = -math.inf
    found = draw_metrics(truth, Hypotheses(drawn, log_weight, log_weight))
    assert found["calibration"] == posterior_metrics(truth, drawn)
    assert found["calibration"]["camera_distance_m"]["images"] == 40
    keep = np.delete(np.arange(40), 5)
    weight = special.softmax(log_weight.numpy()[keep], axis=1)
    worth = 1.0 / (weight**2).sum(1)
    assert found["effective_samples"] == {
        "median": pytest.approx(np.median(worth)),
        "p10": pytest.approx(np.quantile(worth, 0.1)),
    }
    weighted = found["weighted_calibration"]["camera_distance_m"]
    expected = scalar_calibration(drawn.camera_distance_m.reshape(40, 60)[keep], weight, truth.camera_distance_m[keep])
    assert weighted["images"] == 39 and weighted["coverage"] == pytest.approx(expected["coverage"])
    nothing = draw_metrics(truth, Hypotheses(drawn, torch.full((40, 60), -math.inf), log_weight))
    assert nothing["effective_samples"] == {"median": None, "p10": None}
    assert nothing["weighted_calibration"]["position_m"]["images"] == 0
    json.dumps(nothing, allow_nan=False)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"1 true scenes, 2 draws and weights of shape \(1, 3\)"):
        posterior_metrics(pack(()), pack((), ()), np.ones((1, 3)))
