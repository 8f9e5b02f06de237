"""Calibration of posteriors over scenes: the truth drawn from the draws themselves, and counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from air3d.evaluation.posterior import posterior_metrics
from scene3d.batch import SceneBatch
from scene3d.errors import InputError
from scene3d.presets import tabletop_prior
from scene3d.prior import ScenePrior
from scene3d.scene import Camera, Scene, SceneObject

MUG, PLATE, BOWL = (SceneObject(kind, x, 0.0) for kind, x in (("mug", 0.1), ("plate", -0.1), ("bowl", 0.0)))
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
        assert found[name]["coverage"] == {"0.5": pytest.approx(0.5), "0.9": pytest.approx(0.9)}, name
        assert found[name]["pit_histogram"] == pytest.approx([0.1] * 10), name
    assert found["count"] == {
        "expected_calibration_error": 0.0,
        "bins": [{"from": 0.9, "to": 1.0, "images": 6, "confidence": 1.0, "accuracy": 1.0}],
    }


def test_each_part_of_the_camera_is_ranked_by_itself() -> None:
    truth = SceneBatch.from_scenes([Scene(camera=Camera(3.10, 0.5, 1.1))], KINDS, 1)
    three = [Camera(-3.10, 0.6, 1.0), Camera(3.00, 0.7, 0.9), Camera(3.05, 0.8, 1.05)]
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
    found = posterior_metrics(truth, draws, np.array([[2.0, 1.0, 1.0], [1.0, 1.0, 6.0]]))
    rows = [(r["confidence"], r["accuracy"]) for r in found["count"]["bins"]]
    assert rows == [(0.75, 0.5)], "2 with 3/4, right; 0 with 6/8, wrong"
    assert found["count"]["expected_calibration_error"] == pytest.approx(0.25)
    rows = [(r["confidence"], r["accuracy"]) for r in found["kinds"]["bins"]]
    assert rows == [(0.5, 1.0), (0.75, 0.0)], "mug and plate with 2/4, in any order, right; nothing with 6/8, wrong"


def test_places_are_of_the_matched_objects_of_the_right_kind() -> None:
    """Truth: a mug and a plate. Only draws in which each is held count, so each has two, beside the truth's place."""
    moved = [replace(MUG, x_m=0.1 + d) for d in (0.020, 0.021)]
    truth = pack((MUG, PLATE))
    draws = pack((PLATE, moved[0]), (moved[1],), (replace(BOWL, x_m=0.1), PLATE))
    found = posterior_metrics(truth, draws, np.ones((1, 3)))["position_m"]
    assert found["images"] == 2
    # The mug's two are side by side, so the truth is farthest from the mean: PIT in [2/3, 1]. The plate's are at its
    # place: PIT in [0, 1].
    assert found["coverage"]["0.5"] == pytest.approx((0.0 + 0.5) / 2)
    assert found["coverage"]["0.9"] == pytest.approx(((0.9 - 2 / 3) * 3 + 0.9) / 2)
    nowhere = posterior_metrics(pack((MUG,)), pack((PLATE,), ()), np.ones((1, 2)))["position_m"]
    assert nowhere["images"] == 0
    unlikely = posterior_metrics(pack((MUG,)), pack((MUG,), ()), np.array([[0.0, 1.0]]))["position_m"]
    assert unlikely["images"] == 0, "only a draw without weight holds it"


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"1 true scenes, 2 draws and weights of shape \(1, 3\)"):
        posterior_metrics(pack(()), pack((), ()), np.ones((1, 3)))
