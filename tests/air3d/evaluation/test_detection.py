"""Average precision of detections: by hand, and against what bop_toolkit and pycocotools computed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from air3d.evaluation.detection import assign, average_precision, detection_metrics
from air3d.evaluation.pose_metrics import (
    MSPD_THRESHOLDS_PX,
    MSSD_FRACTIONS,
    PoseErrors,
    diameter_m,
    distances,
    pose_errors,
)
from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene, SceneObject

KINDS = ("mug", "plate", "bowl")
CUBE = diameter_m("cube")


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """Of bop_toolkit and pycocotools; see reference/make_bop.py."""
    return json.loads((Path(__file__).parent / "reference" / "bop.json").read_text())


def cubes(*shifts: float) -> SceneBatch:
    """Scenes of one cube each, this many diameters off; nan: of none."""
    items = [() if np.isnan(s) else (SceneObject.upright("cube", s * CUBE, 0.0),) for s in shifts]
    return SceneBatch.from_scenes([Scene(item) for item in items], ("cube",), 1)


def measure(truth: SceneBatch, found: SceneBatch, *more: Any) -> dict[str, Any]:
    return detection_metrics(truth, found, pose_errors(truth, found, 64), 64, *more)


def test_pose_errors_are_those_of_bop_toolkit(reference: dict[str, Any]) -> None:
    names = dict.fromkeys(row["kind"] for row in reference["poses"])
    meshes = b"".join(asset_path("meshes", f"{name}.inference.obj").read_bytes() for name in names)
    assert hashlib.sha256(meshes).hexdigest() == reference["meshes_sha256"], "meshes changed: run make_bop.py again"
    assert len(reference["poses"]) == 24
    for row in reference["poses"]:
        kind, poses = get_kind(row["kind"]), (np.array(row["pose"]), np.array(row["true_pose"]))
        mssd, mspd = distances(kind, *poses, 1.0, 1.0, row["focal_px"])
        if not kind.symmetry.continuous_yaw:
            assert (mssd, mspd) == pytest.approx((row["mssd_m"], row["mspd_px"]), rel=1e-9)
        else:
            # One turn more than the toolkit's: the errors may be smaller, by half a step of the discretisation.
            half_step = 0.005 * diameter_m(kind.name)
            assert row["mssd_m"] - half_step <= mssd <= row["mssd_m"] * (1.0 + 1e-9)
            assert row["mspd_px"] - half_step * row["focal_px"] / 0.6 <= mspd <= row["mspd_px"] * (1.0 + 1e-9)


def _drawn(reference: dict[str, Any]) -> tuple[SceneBatch, SceneBatch, PoseErrors, dict[str, Any]]:
    """The fixture's kinds as scenes, and its errors where kinds agree."""
    drawn = {name: np.array(values) for name, values in reference["detections"].items()}
    truth, found = (_scenes(drawn[name]) for name in ("kind", "found"))
    alike = drawn["kind"][:, :, None] == drawn["found"][:, None, :]
    pairs = alike & (drawn["kind"] >= 0)[:, :, None]
    # Errors in diameters become metres with diameters that differ from kind to kind.
    diameter = np.where(drawn["kind"] < 0, 0.0, 0.1 + 0.07 * drawn["kind"])
    metres = np.where(pairs, drawn["fraction"] * diameter[:, :, None], np.inf)
    return truth, found, PoseErrors(metres, np.where(pairs, drawn["pixels"], np.inf), diameter), drawn


def _scenes(kind: np.ndarray) -> SceneBatch:
    empty = SceneBatch.from_scenes([Scene()] * len(kind), KINDS, kind.shape[1])
    return SceneBatch(**{**vars(empty), "kind": kind})


def test_average_precision_is_that_of_bop_toolkit(reference: dict[str, Any]) -> None:
    truth, found, errors, drawn = _drawn(reference)
    metrics = detection_metrics(
        truth, found, errors, reference["width"], drawn["confidence"], drawn["visible_fraction"]
    )
    for name in ("mssd_ap", "mspd_ap"):
        expected = np.array(reference[f"bop_{name}"])
        assert expected.shape == (10, 3) and expected.std() > 0.05, "the fixture tells right from wrong"
        assert [metrics["ap_per_kind"][kind][name] for kind in KINDS] == pytest.approx(expected.mean(axis=0), abs=1e-12)
        assert metrics[name] == pytest.approx(expected.mean(), abs=1e-12)


def test_every_threshold_is_that_of_bop_toolkit_and_of_coco(reference: dict[str, Any]) -> None:
    truth, found, errors, drawn = _drawn(reference)
    ones = np.ones(truth.kind.shape)
    fractions = errors.mssd_m / np.where(errors.diameter_m > 0.0, errors.diameter_m, 1.0)[..., None]
    pixels = errors.mspd_px * 640.0 / reference["width"]
    for values, thresholds, visible, name in (
        (fractions, MSSD_FRACTIONS, drawn["visible_fraction"], "bop_mssd_ap"),
        (pixels, MSPD_THRESHOLDS_PX, drawn["visible_fraction"], "bop_mspd_ap"),
        (fractions, MSSD_FRACTIONS, ones, "coco_mssd_ap"),
    ):
        hidden = visible < 0.1
        given = assign(values, np.array(thresholds), drawn["confidence"], hidden)
        for k in range(len(KINDS)):
            order = np.argsort(-drawn["confidence"][found.kind == k], kind="stable")
            for t in range(len(thresholds)):
                right, ignored = (a[t][found.kind == k][order] for a in given)
                ap = average_precision(right[~ignored], int(((truth.kind == k) & ~hidden).sum()))
                assert ap == pytest.approx(reference[name][t][k], abs=1e-12), (name, k, t)


@pytest.mark.parametrize(
    "right, targets, expected",
    [
        ([1, 1], 2, 1.0),
        ([1], 2, 51 / 101),  # recalls 0 to 0.50
        ([0, 1], 1, 0.5),
        ([1, 0, 1], 2, (51 * 1.0 + 50 * 2 / 3) / 101),
        ([0, 1, 1], 2, 2 / 3),  # precision 1/2, then 2/3: made falling
        ([1, 1, 0, 0], 2, 1.0),  # wrong ones after the last right one cost nothing
        ([0, 0], 3, 0.0),
        ([], 3, 0.0),
        ([1, 0, 0, 1], 4, (26 * 1.0 + 25 * 0.5) / 101),  # recalls to 0.25 and to 0.50
    ],
)
def test_average_precision_by_hand(right: list[int], targets: int, expected: float) -> None:
    assert average_precision(np.array(right, dtype=bool), targets) == pytest.approx(expected)


def test_thresholds_are_tenths_and_all_must_hold() -> None:
    assert measure(cubes(0.0), cubes(0.02))["mssd_ap"] == 1.0
    assert measure(cubes(0.0), cubes(0.27))["mssd_ap"] == pytest.approx(0.5), "wrong at 5 to 25 %, right at 30 to 50 %"
    assert measure(cubes(0.0), cubes(0.6))["mssd_ap"] == 0.0
    pixels = pose_errors(cubes(0.0), cubes(0.1), 64).mspd_px.item()
    good = np.mean([pixels * 10.0 < t for t in range(5, 51, 5)])
    assert 0.0 < good < 1.0
    assert measure(cubes(0.0), cubes(0.1))["mspd_ap"] == pytest.approx(good)
    wide = detection_metrics(cubes(0.0), cubes(0.1), pose_errors(cubes(0.0), cubes(0.1), 64), 1280)
    assert wide["mspd_ap"] == 1.0, "the same pixels count less in a wider image"


def test_confidence_sorts_all_images_together() -> None:
    truth, found = cubes(0.0, 0.0, 0.0), cubes(0.0, 3.0, 0.0)
    for confidence, expected in (
        ([0.9, 0.1, 0.8], 67 / 101),  # the wrong one last: recalls to 2/3 at precision 1
        ([0.5, 0.9, 0.4], 67 / 101 * 2 / 3),  # first: precision 1/2, then 2/3
        ([0.9, 0.8, 0.1], (34 + 33 * 2 / 3) / 101),
    ):
        metrics = measure(truth, found, np.array(confidence)[:, None])
        assert metrics["mssd_ap"] == metrics["mspd_ap"] == pytest.approx(expected)


def test_the_more_confident_detection_takes_the_object() -> None:
    near, far = SceneObject.upright("cube", 0.01 * CUBE, 0.0), SceneObject.upright("cube", 0.12 * CUBE, 0.0)
    truth = cubes(0.0).with_slots(2)
    found = SceneBatch.from_scenes([Scene((far, near))], ("cube",))
    errors = pose_errors(truth, found, 64)
    thresholds, hidden = np.array([0.05 * CUBE, 0.5 * CUBE]), np.zeros((1, 2), dtype=bool)
    assert assign(errors.mssd_m, thresholds, np.array([[0.9, 0.1]]), hidden).right[:, 0].tolist() == [
        [False, True],  # too far at 5 %, so it is left for the other
        [True, False],
    ]
    assert assign(errors.mssd_m, thresholds, np.array([[0.1, 0.9]]), hidden).right[:, 0].tolist() == [[False, True]] * 2


def test_each_object_is_found_once_by_the_nearest() -> None:
    a, b = SceneObject.upright("cube", 0.0, 0.0), SceneObject.upright("cube", 0.2 * CUBE, 0.0)
    truth = SceneBatch.from_scenes([Scene((a, b))], ("cube",), 2)
    middle = SceneObject.upright("cube", 0.12 * CUBE, 0.0)
    found = SceneBatch.from_scenes([Scene((middle, b, b))], ("cube",))
    errors = pose_errors(truth, found, 64)
    confidence = np.array([[0.9, 0.8, 0.7]])
    right = assign(errors.mssd_m, np.array([0.5 * CUBE]), confidence, np.zeros((1, 2), dtype=bool)).right
    assert right.ravel().tolist() == [True, True, False], "b is nearest to the first; the second gets a; none is left"


def test_hidden_objects_need_not_be_found_and_finding_them_is_no_mistake() -> None:
    truth, found = cubes(0.0, 0.0), cubes(0.0, 0.0)
    visible = np.array([[1.0], [0.05]])
    assert measure(truth, found, None, visible)["mssd_ap"] == 1.0
    assert measure(truth, cubes(0.0, np.nan), None, visible)["mssd_ap"] == 1.0, "missed, but hidden"
    assert measure(truth, cubes(0.0, np.nan))["mssd_ap"] == pytest.approx(51 / 101)
    assert measure(truth, cubes(np.nan, 0.0), None, visible)["mssd_ap"] == 0.0
    confidence = np.array([[0.1], [0.9]])
    assert measure(truth, found, confidence, visible)["mssd_ap"] == 1.0, "the hidden one found first is no mistake"
    assert measure(truth, cubes(0.0, 2.0), confidence, visible)["mssd_ap"] == 0.5, "one found elsewhere is"
    assert measure(truth, found, None, np.array([[1.0], [0.1]]))["mssd_ap"] == 1.0
    assert measure(truth, cubes(0.0, np.nan), None, np.array([[1.0], [0.1]]))["mssd_ap"] < 1.0, "a tenth is visible"


def test_kinds_are_averaged_and_only_those_that_occur() -> None:
    mug, plate = SceneObject.upright("mug", 0.1, 0.0), SceneObject.upright("plate", -0.1, 0.0)
    truth = SceneBatch.from_scenes([Scene((mug, plate)), Scene((mug,))], KINDS, 2)
    found = SceneBatch.from_scenes([Scene((mug,)), Scene((mug, SceneObject.upright("bowl", 0.0, 0.1)))], KINDS[::-1], 2)
    metrics = measure(truth, found)
    assert metrics["ap_per_kind"] == {
        "mug": {"mssd_ap": 1.0, "mspd_ap": 1.0},
        "plate": {"mssd_ap": 0.0, "mspd_ap": 0.0},
    }
    assert metrics["mssd_ap"] == metrics["mspd_ap"] == 0.5, "a bowl that was made up costs nothing: no bowl occurs"
    nothing = measure(truth[:0], found[:0])
    assert nothing == {"mssd_ap": None, "mspd_ap": None, "ap_per_kind": {}}


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"confidence has shape \(1, 2\); it must be \(1, 1\)"):
        measure(cubes(0.0), cubes(0.0), np.ones((1, 2)))
    with pytest.raises(InputError, match="visible_fraction has shape"):
        measure(cubes(0.0), cubes(0.0), None, np.ones(1))
