"""Errors of inferred scenes, computed by hand, and the assignment against all permutations."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from air3d.evaluation.metrics import camera_errors, count_confusion, match, scene_metrics
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject

KINDS = ("mug", "plate", "cube", "cylinder", "sphere")

Item = tuple[str, float, float, float]


def batch(*scenes: tuple[Item, ...]) -> SceneBatch:
    """Scenes of (kind, x, y, yaw)."""
    return SceneBatch.from_scenes(
        [Scene(tuple(SceneObject.upright(*item) for item in scene)) for scene in scenes], KINDS, 4
    )


MUG: Item = ("mug", 0.10, 0.00, 0.5)
PLATE: Item = ("plate", -0.10, 0.05, 1.0)


def test_a_scene_inferred_exactly() -> None:
    truth = batch((MUG, PLATE))
    found = scene_metrics(truth, truth)
    assert found["num_images"] == 1
    assert found["count_accuracy"] == found["kinds_accuracy"] == 1.0
    assert found["position_error_m"] == {"median": 0.0, "p90": 0.0}
    assert found["yaw_error_rad"] == {"median": 0.0, "p90": 0.0}
    assert found["per_kind"].keys() == {"mug", "plate"}
    assert found["per_kind"]["plate"]["yaw_error_rad"] == {"median": None, "p90": None}, "a plate has no yaw"


def test_permuted_objects_are_matched() -> None:
    inferred = batch((("plate", -0.10, 0.02, -2.0), ("mug", 0.10, 0.04, 0.8)))
    matches = match(batch((MUG, PLATE)), inferred)
    assert matches.kind == ("mug", "plate")
    assert matches.true_slot.tolist() == [0, 1]
    assert matches.inferred_slot.tolist() == [1, 0]
    assert matches.position_error_m == pytest.approx([0.04, 0.03])
    assert matches.yaw_error_rad[0] == pytest.approx(0.3)
    assert math.isnan(matches.yaw_error_rad[1])
    found = scene_metrics(batch((MUG, PLATE)), inferred)
    assert found["kinds_accuracy"] == 1.0, "a multiset"
    assert found["position_error_m"]["median"] == pytest.approx(0.035)
    assert found["position_error_m"]["p90"] == pytest.approx(0.039), "linear between 3 and 4 cm"


def test_tilted_objects_have_a_distance_in_space_and_no_yaw_error() -> None:
    standing, lying = SceneObject.upright("mug", *MUG[1:]), SceneObject("mug", (0.1, 0.03, 0.04), (0.6, 0.8, 0.0, 0.0))
    truth, inferred = (
        SceneBatch.from_scenes([Scene((a,)), Scene((b,))], KINDS, 1) for a, b in ((standing, lying),) * 2
    )
    inferred = inferred[::-1]
    matches = match(truth, inferred)
    assert matches.position_error_m == pytest.approx([0.05, 0.05]) and np.isnan(matches.yaw_error_rad).all()
    assert scene_metrics(truth, inferred)["yaw_error_rad"] == {"median": None, "p90": None}
    # The quaternion (0.5 rad about z) and (0.6, 0.8, 0, 0): the angle of their quotient, by its scalar part.
    angle = 2.0 * math.acos(0.6 * math.cos(0.25))
    assert matches.rotation_error_rad == pytest.approx([angle, angle])
    assert scene_metrics(truth, inferred)["rotation_error_rad"]["median"] == pytest.approx(angle)
    assert match(truth, truth).yaw_error_rad.tolist() == pytest.approx([0.0, math.nan], nan_ok=True)


def test_a_wrong_kind_counts_in_position_but_not_in_yaw() -> None:
    truth, inferred = batch((MUG, PLATE)), batch((("cube", 0.10, 0.03, 0.5), PLATE))
    matches = match(truth, inferred)
    assert matches.same_kind.tolist() == [False, True]
    assert matches.position_error_m == pytest.approx([0.03, 0.0])
    assert np.isnan(matches.yaw_error_rad).all()
    found = scene_metrics(truth, inferred)
    assert (found["count_accuracy"], found["kinds_accuracy"]) == (1.0, 0.0)
    assert found["per_kind"]["mug"] == {
        "true_objects": 1,
        "missed": 0,
        "objects": 1,
        "kind_right": 0,
        "recall": 0.0,
        "kind_accuracy": 0.0,
        "position_error_m": {"median": pytest.approx(0.03), "p90": pytest.approx(0.03)},
        "yaw_error_rad": {"median": None, "p90": None},
        "rotation_error_rad": {"median": None, "p90": None},
    }
    assert "cube" not in found["per_kind"], "kinds of the truth"


@pytest.mark.parametrize(
    "kind, turn, error",
    [
        ("cube", math.pi / 2, 0.0),
        ("cube", -math.pi, 0.0),
        ("cube", math.radians(50.0), math.radians(40.0)),
        ("cube", math.radians(-44.0), math.radians(44.0)),
        ("cylinder", math.pi, 0.0),
        ("cylinder", math.pi / 2, math.pi / 2),
        ("cylinder", math.radians(170.0), math.radians(10.0)),
        ("mug", math.pi, math.pi),
        ("mug", math.radians(350.0), math.radians(10.0)),
        ("sphere", 1.234, None),
        ("plate", 1.234, None),
    ],
)
def test_yaw_modulo_symmetry(kind: str, turn: float, error: float | None) -> None:
    truth, inferred = batch(((kind, 0.0, 0.0, 0.4),)), batch(((kind, 0.0, 0.0, 0.4 + turn),))
    median = scene_metrics(truth, inferred)["yaw_error_rad"]["median"]
    assert median == (None if error is None else pytest.approx(error, abs=1e-9))


def test_missing_and_extra_objects() -> None:
    truth = batch((MUG, PLATE), (MUG,), (), (MUG,))
    inferred = batch((("plate", -0.10, 0.06, 0.0),), (PLATE, MUG), (), ())
    matches = match(truth, inferred)
    assert matches.scene.tolist() == [0, 1]
    assert matches.kind == ("plate", "mug")
    assert matches.position_error_m == pytest.approx([0.01, 0.0])
    found = scene_metrics(truth, inferred)
    assert found["count_accuracy"] == 0.25, "only the empty scene"
    assert found["kinds_accuracy"] == 0.25
    assert found["per_kind"]["mug"]["objects"] == 1
    mug = found["per_kind"]["mug"]
    assert (mug["true_objects"], mug["missed"], mug["kind_right"], mug["kind_accuracy"]) == (3, 2, 1, 1.0)
    assert mug["recall"] == pytest.approx(1 / 3), "what is missed is not right"
    assert (found["true_objects"], found["missed_objects"], found["extra_objects"]) == (4, 2, 1)
    assert (found["count_right"], found["kinds_right"], found["num_images"]) == (1, 1, 4)
    unseen = scene_metrics(batch((MUG, PLATE)), batch((PLATE,)))["per_kind"]["mug"]
    assert (unseen["true_objects"], unseen["missed"], unseen["recall"]) == (1, 1, 0.0), "a kind that is never found"
    assert unseen["kind_accuracy"] is None


def test_p90_stands_beside_every_median() -> None:
    """Nine good answers and one that is far off: the median does not see it."""
    rng = np.random.default_rng(0)
    truth = [Scene((SceneObject.upright("mug", 0.0, 0.0),), camera=Orbit(0.5, 0.6, 1.0)) for _ in range(11)]
    off = np.r_[rng.uniform(0.0, 0.01, 9), 1.0, 2.0]
    found = [
        Scene(
            (SceneObject.upright("mug", 0.01 * e, 0.0, yaw_rad=e),), camera=Orbit(0.5 + e, 0.6 + 0.1 * e, 1.0 + 0.1 * e)
        )
        for e in off
    ]
    kinds = ("mug",)
    got = scene_metrics(SceneBatch.from_scenes(truth, kinds, 1), SceneBatch.from_scenes(found, kinds, 1))
    median, p90 = np.quantile(off, [0.5, 0.9])
    assert got["yaw_error_rad"] == {"median": pytest.approx(median), "p90": pytest.approx(p90)}
    assert got["per_kind"]["mug"]["yaw_error_rad"] == got["yaw_error_rad"]
    assert got["camera_error_p90_rad"] == {"azimuth": pytest.approx(p90), "elevation": pytest.approx(0.1 * p90)}
    assert got["camera_distance_error_p90_m"] == pytest.approx(0.1 * p90)
    assert got["camera_error_rad"]["azimuth"] == pytest.approx(median)


def test_nothing_to_measure_is_none_and_not_nan() -> None:
    found = scene_metrics(batch((), ()), batch((), (MUG,)))
    assert found["position_error_m"] == {"median": None, "p90": None}
    assert found["yaw_error_rad"] == {"median": None, "p90": None}
    assert found["per_kind"] == {}
    assert found["count_accuracy"] == 0.5


def test_the_kinds_may_be_indexed_differently() -> None:
    other = SceneBatch.from_scenes(batch((MUG, PLATE)).to_scenes(), KINDS[::-1], 2)
    assert scene_metrics(batch((MUG, PLATE)), other)["kinds_accuracy"] == 1.0


def test_repeated_kinds_are_counted() -> None:
    truth, inferred = batch((MUG, MUG, PLATE)), batch((MUG, PLATE, PLATE))
    assert scene_metrics(truth, inferred)["kinds_accuracy"] == 0.0


def test_the_assignment_is_the_best_of_all_permutations() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        counts = rng.integers(0, 5, size=2)
        true, found = (
            tuple((str(rng.choice(KINDS)), *rng.uniform(-0.2, 0.2, 2).tolist(), 0.0) for _ in range(n)) for n in counts
        )
        matches = match(batch(true), batch(found))
        few, many = sorted((true, found), key=len)
        expected = min(
            (
                sum(math.dist(a[1:3], b[1:3]) for a, b in zip(few, order, strict=True))
                for order in permutations(many, len(few))
            ),
            default=0.0,
        )
        assert len(matches.scene) == len(few)
        assert matches.position_error_m.sum() == pytest.approx(expected)
        assert len(set(matches.true_slot)) == len(set(matches.inferred_slot)) == len(few)


def seen_from(*cameras: tuple[float, float, float]) -> SceneBatch:
    """Empty scenes under cameras of (azimuth, elevation, distance)."""
    return SceneBatch.from_scenes([Scene(camera=Orbit(a, e, d)) for a, e, d in cameras], KINDS, 1)


def test_camera_errors_are_medians_and_azimuth_lies_on_the_circle() -> None:
    turn = 2.0 * math.pi
    truth = seen_from((3.1, 0.5, 1.0), (0.0, 0.5, 1.0), (1.0, 0.5, 1.0), (-3.0, 0.5, 1.0))
    found = seen_from((-3.1, 0.6, 1.1), (math.pi, 0.4, 0.8), (1.0 + turn, 0.5, 1.0), (-3.2, 0.8, 1.5))
    errors = camera_errors(truth, found)
    assert errors.azimuth_rad == pytest.approx([turn - 6.2, math.pi, 0.0, 0.2])
    assert errors.elevation_rad == pytest.approx([0.1, 0.1, 0.0, 0.3])
    assert errors.distance_m == pytest.approx([0.1, 0.2, 0.0, 0.5])
    metrics = scene_metrics(truth, found)
    azimuth = (turn - 6.2 + 0.2) / 2.0
    assert metrics["camera_error_rad"] == {"azimuth": pytest.approx(azimuth), "elevation": pytest.approx(0.1)}
    assert metrics["camera_distance_error_m"] == pytest.approx(0.15)


def test_a_camera_that_both_sides_know_has_no_error() -> None:
    metrics = scene_metrics(batch((MUG,)), batch((PLATE,)))
    assert metrics["camera_error_rad"] == {"azimuth": 0.0, "elevation": 0.0}
    assert metrics["camera_distance_error_m"] == 0.0
    nothing = scene_metrics(batch((MUG,))[:0], batch((MUG,))[:0])
    assert nothing["camera_error_rad"] == {"azimuth": None, "elevation": None}
    assert nothing["camera_distance_error_m"] is None


def test_the_confusion_of_counts_has_the_truth_in_rows() -> None:
    truth = batch((), (MUG,), (MUG,), (MUG, PLATE), (MUG, PLATE, MUG))
    found = batch((), (MUG,), (MUG, PLATE, MUG), (MUG, PLATE), ())
    confusion = count_confusion(truth, found.with_slots(5))
    assert (confusion["true"], confusion["inferred"]) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5])
    expected = np.zeros((5, 6), dtype=int)
    expected[0, 0] = expected[1, 1] = expected[1, 3] = expected[2, 2] = expected[3, 0] = 1
    assert confusion["images"] == expected.tolist()
    metrics = scene_metrics(truth, found)
    assert np.trace(metrics["count_confusion"]["images"]) / 5 == metrics["count_accuracy"] == 0.6


def test_batches_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="2 true scenes but 1 inferred"):
        camera_errors(seen_from((0, 0, 1), (0, 0, 1)), seen_from((0, 0, 1)))
    with pytest.raises(InputError, match="2 true scenes but 1 inferred"):
        match(batch((MUG,), (MUG,)), batch((MUG,)))
