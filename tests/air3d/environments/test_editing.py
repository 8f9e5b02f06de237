"""What each action does to a scene, and that what is refused changes nothing."""

import math

import numpy as np
import pytest

from air3d.environments.actions import ActionLayout
from air3d.environments.config import EnvironmentConfig
from air3d.environments.editing import REACH_M, SceneEditor
from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.placement import draw_arrangements, free_of_overlap
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene, SceneObject, Table

CONFIG = EnvironmentConfig(kinds=("mug", "plate", "bowl"), max_objects=3)
LAYOUT, EDITOR, PRIOR = ActionLayout(CONFIG), SceneEditor(CONFIG.prior), CONFIG.prior
ARRAYS = (
    "kind",
    "position_m",
    "rotation_wxyz",
    "colour",
    "camera_azimuth_rad",
    "camera_elevation_rad",
    "camera_distance_m",
)

MUG = SceneObject.upright("mug", 0.1, -0.05, 0.5)
PLATE = SceneObject.upright("plate", -0.1, 0.0, -1.0)
CAMERA = Orbit(azimuth_rad=3.0, elevation_rad=0.8, distance_m=1.0)


def scene_of(*objects):
    return Scene(objects, CAMERA, PRIOR.table, PRIOR.light)


def edit(scene, operation, **parts):
    """The scene after one action, and whether it was done."""
    before = EDITOR.pack([scene])
    edited = EDITOR.apply(before, LAYOUT.decode(LAYOUT.encode(operation, **parts)[None]))
    if not edited.valid[0]:
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(edited.scenes, name), getattr(before, name))
    return edited.scenes.to_scenes()[0], bool(edited.valid[0])


def test_add_puts_a_new_object_at_its_share_of_the_disc():
    scene, valid = edit(scene_of(MUG), "add", slot=0, kind=2, place=(-0.5, 0.25), turn=0.5)
    assert valid
    added = scene.objects[1]
    assert scene.objects[0] == MUG
    assert (added.kind, added.x_m, added.y_m) == ("bowl", -0.5 * 0.2, 0.25 * 0.2)
    assert added.yaw_rad == pytest.approx(math.pi / 2)
    assert added.colour is None, "the catalog's"


def test_move_goes_by_metres_from_where_it_is():
    scene, valid = edit(scene_of(MUG, PLATE), "move", slot=0, place=(-0.25, 0.5))
    assert valid
    assert scene.objects[1] == PLATE
    moved = scene.objects[0]
    assert (moved.x_m, moved.y_m) == pytest.approx((0.1 - 0.25 * REACH_M, -0.05 + 0.5 * REACH_M))
    assert (moved.kind, moved.yaw_rad) == ("mug", 0.5)


@pytest.mark.parametrize("operation, place", [("add", (1.0, 1.0)), ("move", (1.0, -1.0))])
def test_places_beyond_the_disc_are_pulled_back_to_its_rim(operation, place):
    scene, valid = edit(scene_of(MUG), operation, place=place)
    assert valid
    where = scene.objects[-1]
    radius = math.hypot(where.x_m, where.y_m)
    assert radius == pytest.approx(PRIOR.table.place_radius_m)
    assert radius <= PRIOR.table.place_radius_m
    free = np.array(place) * 0.2 if operation == "add" else np.array([0.2, -0.15])
    assert math.atan2(where.y_m, where.x_m) == pytest.approx(math.atan2(free[1], free[0])), "straight back"


@pytest.mark.parametrize("turn", [-1.0, -0.3, 0.0, 0.9, 1.0])
def test_turn_adds_to_the_yaw_and_wraps(turn):
    scene, valid = edit(scene_of(MUG), "turn", turn=turn)
    yaw = scene.objects[0].yaw_rad
    assert valid
    assert -math.pi <= yaw <= math.pi
    assert math.remainder(yaw - (0.5 + math.pi * turn), 2 * math.pi) == pytest.approx(0.0, abs=1e-6)


def test_change_and_remove():
    scene, valid = edit(scene_of(MUG, PLATE), "change", slot=1, kind=2)
    assert valid
    assert scene.objects == (MUG, SceneObject.upright("bowl", PLATE.x_m, PLATE.y_m, PLATE.yaw_rad))
    scene, valid = edit(scene_of(MUG, PLATE), "remove", slot=0)
    assert valid
    assert scene.objects == (PLATE,)


def test_an_empty_slot_stands_for_the_best_one_that_is_not():
    # Slot 2 is empty, slot 1 holds the only other object that scores as high as slot 0.
    scene, valid = edit(scene_of(MUG), "remove", slot=2)
    assert valid
    assert scene.objects == ()


def test_the_camera_turns_and_stays_within_its_ranges():
    scene, valid = edit(scene_of(MUG), "camera", camera=(0.25, 0.5, -1.0))
    assert valid
    low, high = PRIOR.camera.elevation_rad
    expected = math.remainder(3.0 + math.pi / 4, 2 * math.pi)
    assert scene.camera.azimuth_rad == pytest.approx(expected)
    assert scene.camera.elevation_rad == pytest.approx(min(0.8 + 0.5 * (high - low), high))
    assert scene.camera.distance_m == PRIOR.camera.distance_m[0], "0.08 m nearer than 1 m is too near"
    assert scene.objects == (MUG,)


@pytest.mark.parametrize(
    "objects, operation, parts",
    [
        ((), "move", {}),
        ((), "turn", {}),
        ((), "change", {"kind": 1}),
        ((), "remove", {}),
        ((MUG, PLATE, SceneObject.upright("mug", 0.1, 0.15)), "add", {"place": (0.0, -1.0)}),
        ((PLATE,), "add", {"place": (-0.5, 0.0)}),
        ((MUG, PLATE), "move", {"slot": 0, "place": (-1.0, 0.5)}),
        # Too big where the mug is: footprints of 0.1 m and 0.045 m.
        (
            (SceneObject.upright("mug", 0.05, 0.0, 0.0), SceneObject.upright("mug", -0.06, 0.0, math.pi)),
            "change",
            {"slot": 0, "kind": 1},
        ),
    ],
)
def test_what_is_refused(objects, operation, parts):
    assert not edit(scene_of(*objects), operation, **parts)[1]


def test_turning_a_handle_into_a_neighbour_is_refused():
    # Handles reach 0.086 m from the origin, bodies 0.045 m: side by side they fit only turned away.
    two = scene_of(SceneObject.upright("mug", 0.06, 0.0, 0.0), SceneObject.upright("mug", -0.06, 0.0, math.pi))
    assert edit(two, "turn", slot=0, turn=0.01)[1]
    assert not edit(two, "turn", slot=0, turn=1.0)[1]


def test_stop_changes_nothing():
    before = EDITOR.pack([scene_of(MUG, PLATE)])
    edited = EDITOR.apply(before, LAYOUT.decode(LAYOUT.encode("stop")[None]))
    assert edited.stopped[0] and edited.valid[0]
    assert edited.scenes.to_scenes() == before.to_scenes()


def test_overlap_is_judged_by_the_rule_of_the_prior():
    """`add` of the last of n objects of an unconstrained arrangement is refused just if it touches one before it."""
    rng = np.random.default_rng(3)
    config = EnvironmentConfig(kinds=CROCKERY, max_objects=4)
    layout, editor, outcomes = ActionLayout(config), SceneEditor(config.prior), []
    for _ in range(150):
        kinds = tuple(rng.choice(CROCKERY, rng.integers(2, 5)).tolist())
        (position,), (yaw,) = draw_arrangements(rng, 1, len(kinds), config.prior.table.place)
        items = [
            SceneObject.upright(k, float(x), float(y), float(a))
            for k, (x, y), a in zip(kinds, position, yaw, strict=True)
        ]
        *others, last = items
        scene = Scene(tuple(others), CAMERA, config.prior.table, config.prior.light)
        action = layout.encode(
            "add", kind=CROCKERY.index(last.kind), place=(last.x_m / 0.2, last.y_m / 0.2), turn=last.yaw_rad / math.pi
        )
        done = editor.apply(editor.pack([scene]), layout.decode(action[None])).valid[0]
        free = all(
            free_of_overlap(
                (other.kind, last.kind), position[None, [i, -1]], yaw[None, [i, -1]], 1.0, config.prior.gap_m
            )
            for i, other in enumerate(others)
        )
        assert done == free, items
        outcomes.append(done)
    assert 20 < sum(outcomes) < 130, "both happen"


def test_many_scenes_at_once_are_edited_as_each_alone():
    rng = np.random.default_rng(0)
    scenes = EDITOR.pack([ScenePrior(PRIOR).sample(rng) for _ in range(64)])
    commands = LAYOUT.decode(rng.uniform(-1.0, 1.0, (64, LAYOUT.size)))
    together = EDITOR.apply(scenes, commands)
    assert 5 < together.valid.sum() < 64
    for b in range(64):
        alone = EDITOR.apply(scenes[b : b + 1], type(commands)(*(part[b : b + 1] for part in commands)))
        assert alone.valid[0] == together.valid[b]
        assert alone.scenes.to_scenes()[0] == together.scenes[b : b + 1].to_scenes()[0]


def test_edited_scenes_stay_in_the_prior():
    """Whatever is done to its scenes, objects stay on the disc and apart, and the camera in its ranges."""
    rng = np.random.default_rng(1)
    config = EnvironmentConfig(kinds=("mug", "pan"), min_objects=0, max_objects=2)
    prior, editor, layout = config.prior, SceneEditor(config.prior), ActionLayout(config)
    scenes, done = editor.pack([ScenePrior(prior).sample(rng) for _ in range(48)]), 0
    for _ in range(30):
        edited = editor.apply(scenes, layout.decode(rng.uniform(-1.0, 1.0, (48, layout.size))))
        scenes, done = edited.scenes, done + edited.valid.sum()
        assert (np.linalg.norm(scenes.position_m, axis=-1) <= prior.table.place_radius_m).all()
        for name in ("azimuth_rad", "elevation_rad", "distance_m"):
            low, high = getattr(prior.camera, name)
            assert ((getattr(scenes, f"camera_{name}") >= low) & (getattr(scenes, f"camera_{name}") <= high)).all()
        for b in np.flatnonzero(scenes.present.all(1)):
            names = tuple(prior.kinds[k] for k in scenes.kind[b])
            assert free_of_overlap(names, scenes.position_m[[b], :, :2], scenes.yaw_rad[[b]], 1.0, prior.gap_m)[0]
    assert 300 < done < 30 * 48, "some are done and some refused"


def test_packing_brings_a_scene_into_the_setting():
    far = SceneObject.upright("mug", 3.0, 4.0, 7.0, scale=1.2, colour=(0.0, 1.0, 0.0))
    camera = Orbit(azimuth_rad=4.0, elevation_rad=0.1, distance_m=5.0, fovy_rad=1.0, look_at_m=(1.0, 0.0, 0.0))
    (scene,) = EDITOR.pack([Scene((far,), camera, PRIOR.table)]).to_scenes()
    (item,) = scene.objects
    assert (item.x_m, item.y_m) == pytest.approx((0.12, 0.16))
    assert (item.yaw_rad, item.scale, item.colour) == (pytest.approx(7.0 - 2 * math.pi), 1.0, None)
    assert scene.camera.azimuth_rad == pytest.approx(4.0 - 2 * math.pi)
    assert (scene.camera.elevation_rad, scene.camera.distance_m) == (
        PRIOR.camera.elevation_rad[0],
        PRIOR.camera.distance_m[1],
    )
    assert scene.camera.fovy_rad == PRIOR.camera.fovy_rad[0]


@pytest.mark.parametrize(
    "scene", [Scene((MUG,) * 4), Scene((SceneObject.upright("pan", 0.0, 0.0),)), Scene((), table=Table(0.5))]
)
def test_scenes_that_do_not_fit_are_refused(scene):
    with pytest.raises(InputError, match="scene batch"):
        EDITOR.pack([scene])
