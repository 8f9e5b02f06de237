"""BOP's pose errors: by hand, and against their published definition written out with loops and SciPy's own groups."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from air3d.evaluation.metrics import match
from air3d.evaluation.outline import vertices_m
from air3d.evaluation.pose_metrics import (
    MSPD_THRESHOLDS_PX,
    MSSD_FRACTIONS,
    diameter_m,
    distances,
    mspd_recall,
    mssd_recall,
    pose_errors,
    symmetry_transforms,
)
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CATALOG, get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject

Floats = NDArray[np.float64]
KINDS = tuple(CATALOG)
SIZE = 64


class Motion(NamedTuple):
    rotation: Floats
    shift: Floats


def batch(*scenes: Scene) -> SceneBatch:
    return SceneBatch.from_scenes(scenes, KINDS, 3)


def one(kind: str, x: float = 0.0, y: float = 0.0, yaw: float = 0.0, scale: float = 1.0, **camera: Any) -> SceneBatch:
    return batch(Scene((SceneObject.upright(kind, x, y, yaw, scale),), Orbit(**camera)))


def published_symmetries(name: str, relative: Floats) -> list[Motion]:
    """The symmetries as the challenge lists them, continuous ones in steps of a hundredth of the diameter, and besides
    them the turn that takes one pose to the other, which is one of them."""
    kind, centre = get_kind(name), np.array([0.0, 0.0, get_kind(name).height_m / 2.0])
    if name in ("cube", "cylinder"):
        rotations = Rotation.create_group("O" if name == "cube" else "D2").as_matrix()
    elif kind.symmetry.continuous_yaw:
        steps = math.ceil(math.pi / 0.01)
        rotations = Rotation.from_euler("z", np.arange(steps)[:, None] * 2.0 * math.pi / steps).as_matrix()
        rotations = np.concatenate([rotations.reshape(-1, 3, 3), relative[None]])
    else:
        rotations = np.eye(3)[None]
    return [Motion(r, centre - r @ centre) for r in rotations]


def published_errors(truth: SceneBatch, inferred: SceneBatch) -> tuple[float, float]:
    """MSSD and MSPD of the first objects of the first scenes, vertex by vertex, pixels by `Camera.project`."""
    (true,), (found,) = truth.to_scenes()[0].objects, inferred.to_scenes()[0].objects
    camera, other = (scenes[0].camera.sized(SIZE, SIZE) for scenes in (truth, inferred))
    pose = other.eye_pose("opencv") @ found.frame()
    true_pose = camera.eye_pose("opencv") @ true.frame()
    back = np.linalg.inv(camera.eye_pose("opencv"))  # `project` takes world points
    surface, projection = [], []
    for motion in published_symmetries(true.kind, true_pose[:3, :3].T @ pose[:3, :3]):
        apart, pixels = [], []
        for v in vertices_m(true.kind, "inference"):
            a = pose[:3, :3] @ (found.scale * v) + pose[:3, 3]
            b = true_pose[:3, :3] @ (true.scale * (motion.rotation @ v + motion.shift)) + true_pose[:3, 3]
            apart.append(math.dist(a, b))
            world = np.stack([a, b]) @ back[:3, :3].T + back[:3, 3]
            pixels.append(math.dist(*camera.project(world)[0]))
        surface.append(max(apart))
        projection.append(max(pixels))
    return min(surface), min(projection)


@pytest.mark.parametrize("name", ["mug", "teapot", "cube", "cylinder"])
def test_against_the_published_definition(name: str) -> None:
    rng = np.random.default_rng(KINDS.index(name))
    for _ in range(4):
        truth = one(name, *rng.uniform(-0.1, 0.1, 2), rng.uniform(-3, 3), 1.1, azimuth_rad=0.3)
        found = one(name, *rng.uniform(-0.1, 0.1, 2), rng.uniform(-3, 3), 0.95, azimuth_rad=0.5, distance_m=1.1)
        errors = pose_errors(truth, found, SIZE)
        assert (errors.mssd_m[0, 0, 0], errors.mspd_px[0, 0, 0]) == pytest.approx(
            published_errors(truth, found), rel=1e-9
        )


@pytest.mark.parametrize("name", ["glass", "sphere"])
def test_continuous_symmetries_against_the_published_definition(name: str) -> None:
    truth, found = one(name, 0.02, -0.05, 1.0), one(name, 0.05, -0.02, -0.7)
    errors = pose_errors(truth, found, SIZE)
    assert (errors.mssd_m[0, 0, 0], errors.mspd_px[0, 0, 0]) == pytest.approx(published_errors(truth, found), rel=1e-9)


@pytest.mark.parametrize(
    "name,turn_deg",
    [("cube", 90), ("cube", -180), ("cylinder", 180), ("plate", 33), ("bowl", 201), ("glass", 7.3), ("sphere", 50)],
)
def test_a_turn_that_nobody_sees_costs_nothing(name: str, turn_deg: float) -> None:
    errors = pose_errors(one(name, 0.03, 0.05, 0.4), one(name, 0.03, 0.05, 0.4 + math.radians(turn_deg)), SIZE)
    assert errors.mssd_m[0, 0, 0] == pytest.approx(0.0, abs=1e-9)
    assert errors.mspd_px[0, 0, 0] == pytest.approx(0.0, abs=1e-6)


def test_a_turn_that_is_seen_costs_the_way_of_the_farthest_vertex() -> None:
    for name, turn, best in (("mug", math.pi, math.pi), ("cylinder", 1.0, 1.0), ("cube", 1.2, math.pi / 2 - 1.2)):
        radius = np.hypot(*vertices_m(name, "inference")[:, :2].T).max()
        errors = pose_errors(one(name), one(name, yaw=turn), SIZE)
        assert errors.mssd_m[0, 0, 0] == pytest.approx(2.0 * radius * abs(math.sin(best / 2.0)))
    assert errors.mssd_m[0, 0, 0] > 0.02
    assert pose_errors(one("mug"), one("mug", yaw=math.pi), SIZE).mssd_m[0, 0, 0] > diameter_m("mug")


@pytest.mark.parametrize("name", KINDS)
def test_a_translation_costs_its_length(name: str) -> None:
    """Exactly so where no symmetry can make up for it: for d along x no turn about z brings every vertex nearer."""
    errors = pose_errors(one(name, 0.01), one(name, 0.01, 0.03), SIZE)
    assert errors.mssd_m[0, 0, 0] == pytest.approx(0.03)
    larger = pose_errors(one(name, 0.01, scale=1.3), one(name, 0.01, 0.03, scale=1.3), SIZE)
    assert larger.mssd_m[0, 0, 0] == pytest.approx(0.03)
    assert larger.diameter_m[0, 0] == pytest.approx(1.3 * errors.diameter_m[0, 0])


def test_a_wrong_size_costs_the_farthest_vertex() -> None:
    farthest = np.linalg.norm(vertices_m("mug", "inference"), axis=1).max()
    assert pose_errors(one("mug"), one("mug", scale=1.1), SIZE).mssd_m[0, 0, 0] == pytest.approx(0.1 * farthest)


def test_a_wrong_camera_moves_the_object_with_it() -> None:
    """Poses are object-to-camera: a camera turned together with the object sees the same."""
    turned = one("mug", 0.1 * math.cos(0.5), 0.1 * math.sin(0.5), 0.5, azimuth_rad=0.5)
    same = pose_errors(one("mug", 0.1, azimuth_rad=0.0), turned, SIZE)
    assert same.mssd_m[0, 0, 0] == pytest.approx(0.0, abs=1e-9)
    farther = pose_errors(one("mug", distance_m=1.0), one("mug", distance_m=1.2), SIZE)
    assert farther.mssd_m[0, 0, 0] == pytest.approx(0.2)


def test_pixels_grow_with_the_image() -> None:
    truth, found = one("pan"), one("pan", 0.02, 0.01, 0.2)
    small, large = pose_errors(truth, found, 64), pose_errors(truth, found, 640)
    assert large.mspd_px[0, 0, 0] == pytest.approx(10.0 * small.mspd_px[0, 0, 0])
    assert large.mssd_m[0, 0, 0] == small.mssd_m[0, 0, 0]
    matches = match(truth, found)
    for threshold in MSPD_THRESHOLDS_PX:
        assert mspd_recall(small, matches, threshold, 64) == mspd_recall(large, matches, threshold, 640)


def test_behind_the_camera_nothing_projects() -> None:
    pose = Orbit().sized(1, 1).eye_pose("opencv")
    behind = np.diag([1.0, -1.0, -1.0, 1.0]) @ pose
    surface, projection = distances(get_kind("mug"), behind, pose, 1.0, 1.0, 80.0)
    assert math.isfinite(surface)
    assert projection == math.inf


def test_only_objects_of_one_kind_are_compared_and_recall_counts_what_was_missed() -> None:
    mug, plate, bowl = (
        SceneObject.upright("mug", 0.1, 0.0),
        SceneObject.upright("plate", -0.1, 0.0),
        SceneObject.upright("bowl", 0.0, 0.1),
    )
    truth = batch(Scene((mug, plate)), Scene((bowl,)), Scene())
    found = batch(Scene((SceneObject.upright("cube", -0.1, 0.0), mug)), Scene(), Scene((mug,)))
    errors, matches = pose_errors(truth, found, SIZE), match(truth, found)
    assert errors.mssd_m.shape == errors.mspd_px.shape == (3, 3, 3)
    assert errors.mssd_m[0, 0, 1] == errors.mspd_px[0, 0, 1] == pytest.approx(0.0)
    assert np.isfinite(errors.mssd_m).sum() == np.isfinite(errors.mspd_px).sum() == 1
    assert (errors.diameter_m > 0.0).tolist() == truth.present.tolist()
    assert mssd_recall(errors, matches) == mspd_recall(errors, matches, 5.0, SIZE) == pytest.approx(1 / 3)
    empty, nothing = pose_errors(batch(Scene()), batch(Scene()), SIZE), match(batch(Scene()), batch(Scene()))
    assert mssd_recall(empty, nothing) is mspd_recall(empty, nothing, 5.0, SIZE) is None
    with pytest.raises(InputError, match="1 true scenes but 2"):
        pose_errors(batch(Scene()), batch(Scene(), Scene()), SIZE)


def test_every_pair_of_one_kind_is_measured_and_recall_takes_the_matched_one() -> None:
    near, far = SceneObject.upright("mug", 0.10, 0.0), SceneObject.upright("mug", -0.10, 0.0)
    truth, found = batch(Scene((near, far))), batch(Scene((far, near)))
    errors = pose_errors(truth, found, SIZE)
    assert errors.mssd_m[0, :2, :2].ravel() == pytest.approx([0.2, 0.0, 0.0, 0.2], abs=1e-12)
    assert mssd_recall(errors, match(truth, found)) == 1.0


def test_recall_is_below_a_share_of_the_diameter() -> None:
    moved = [0.099, 0.101, 0.499, 0.501]
    truth = batch(*(Scene((SceneObject.upright("cube", 0.0, 0.0),)) for _ in moved))
    found = batch(*(Scene((SceneObject.upright("cube", m * diameter_m("cube"), 0.0),)) for m in moved))
    errors, matches = pose_errors(truth, found, SIZE), match(truth, found)
    assert mssd_recall(errors, matches) == 0.25
    assert [mssd_recall(errors, matches, f) for f in MSSD_FRACTIONS] == [0.0, 0.25, *[0.5] * 7, 0.75]


@pytest.mark.parametrize("detail", ["inference", "display"])
def test_diameters(detail: Any) -> None:
    # The display cube's corners are rounded with a radius of 2 mm.
    corner = 0.0 if detail == "inference" else 2.0 * 0.002 * (math.sqrt(3.0) - 1.0)
    assert diameter_m("cube", detail) == pytest.approx(0.1 * math.sqrt(3.0) - corner, abs=1e-5)
    assert diameter_m("sphere", detail) == pytest.approx(0.12, abs=1e-5)
    assert diameter_m("cylinder", detail) == pytest.approx(math.hypot(0.12, 0.1), rel=0.02)
    for name in KINDS:
        assert get_kind(name).height_m < diameter_m(name, detail) < 0.35


@pytest.mark.parametrize("name,count", [("mug", 1), ("cylinder", 4), ("cube", 24), ("plate", 315), ("sphere", 315)])
def test_symmetries_are_groups_that_map_the_body_onto_itself(name: str, count: int) -> None:
    motions = symmetry_transforms(get_kind(name))
    assert motions.shape == (count, 4, 4)
    assert np.array_equal(motions[0], np.eye(4))
    assert np.linalg.det(motions) == pytest.approx(np.ones(count))
    for product in motions[1 % count] @ motions:
        assert np.abs(product - motions).max((1, 2)).min() < 1e-9, "closed"
    if count <= 24:
        points = vertices_m(name, "inference")
        for motion in motions:
            moved = points @ motion[:3, :3].T + motion[:3, 3]
            assert cKDTree(points).query(moved)[0].max() < 1e-5


def test_a_bad_step_is_refused() -> None:
    with pytest.raises(InputError, match="step is 0"):
        symmetry_transforms(get_kind("plate"), 0)
