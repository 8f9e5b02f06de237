"""`world.toml`: what it says is what scenes are drawn from, and each error is one line that names its place."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from air3d.scene3d.camera_prior import CameraBoxes, CameraPrior
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Lamp, Table
from air3d.scene3d.surface import Surface
from air3d.scene3d.world_file import (
    SCHEMA,
    CameraEntry,
    JitterEntry,
    KindEntry,
    LampEntry,
    LightEntry,
    OrbitEntry,
    SupportEntry,
    WorldEntry,
    parse_world,
    read_world,
    world_arguments,
)
from air3d.scene3d.world_text import world_text

SHORT = f'schema = "{SCHEMA}"\nname = "desk"\n[[kinds]]\nkind = "mug"\n[[kinds]]\nkind = "plate"\n'
WHOLE = f"""
schema = "{SCHEMA}"
name = "desk"
objects = [1, 2]
repeat = false
pose = "resting"
size_px = [320, 240]
[[kinds]]
kind = "mug"
[[kinds]]
kind = "bowl"
[[supports]]
sides_m = [0.6, 0.4]
yaw_deg = 90
[[supports]]
centre_m = [0, 0.5, 0.3]
radius_m = 0.1
[[cameras]]
position_m = [0, -1, 1]
look_at_m = [0, 0, 0]
[[cameras]]
name = "side"
position_m = [1, 0, 0.5]
look_at_m = [0, 0, 0.1]
roll_deg = 10
fovy_deg = 60
[jitter]
eye_m = 0.02
roll_deg = 1
[light]
azimuth_deg = 90
elevation_deg = 30
diffuse = 0.5
ambient = 0.3
[[light.lamps]]
azimuth_deg = 0
elevation_deg = 45
diffuse = 0.2
"""


def read(folder: Path, text: str) -> object:
    (folder / "world.toml").write_text(text)
    return read_world(folder / "world.toml")


def test_what_the_file_says_is_the_prior(tmp_path):
    prior = read(tmp_path, WHOLE)
    assert prior.kinds == ("mug", "bowl") and (prior.min_objects, prior.max_objects, prior.repeat) == (1, 2, False)
    assert prior.pose == "resting" and prior.table.scenery is None
    assert prior.supports == (Surface((0.3, 0.2), yaw_rad=math.pi / 2), Surface((0.1,), (0.0, 0.5, 0.3)))
    assert prior.light.azimuth_rad == pytest.approx(math.pi / 2) and prior.light.ambient == 0.3
    assert prior.light.lamps == (Lamp(0.0, math.radians(45.0), 0.2),)
    assert isinstance(prior.camera, CameraBoxes)
    first, second = prior.camera.boxes
    assert first.eye_m == pytest.approx((0.0, -1.0, 1.0)) and first.eye_spread_m == (0.02,) * 3
    assert np.degrees(second.roll_rad) == pytest.approx([9.0, 11.0])
    assert np.degrees(second.fovy_rad) == pytest.approx([60.0, 60.0])
    assert parse_world(tmp_path / "world.toml").size_px == (320, 240)
    assert world_arguments(tmp_path / "world.toml")["size"] == "320x240"


def test_scenes_of_it_are_seen_by_its_cameras_and_stand_on_its_surfaces(tmp_path):
    prior = read(tmp_path, WHOLE)
    for seed in range(20):
        scene = ScenePrior(prior).sample(np.random.default_rng(seed))
        eyes = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, 0.5]])
        assert np.abs(eyes - scene.camera.eye_m).max(axis=1).min() <= 0.02 + 1e-9
        assert 1 <= len(scene.objects) == len({item.kind for item in scene.objects}) <= 2


def test_what_is_left_out_has_defaults_and_the_orbit_sees_all_surfaces(tmp_path):
    prior = read(tmp_path, SHORT)
    assert prior.table == Table() and prior.supports == () and isinstance(prior.camera, CameraPrior)
    prior = read(tmp_path, SHORT + "[[supports]]\nradius_m = 0.5\n")
    # A ball of radius 0.5 fits a view of 45 degrees from 0.5 / sin(22.5 degrees) on.
    assert prior.camera.distance_m[0] > 0.5 / math.sin(math.radians(22.5))


def test_a_world_has_a_name_and_a_digest_of_what_it_means(tmp_path):
    first = read(tmp_path, SHORT)
    assert first.world.startswith("desk@") and len(first.world) == len("desk@") + 12
    assert read(tmp_path, SHORT + "\n# a comment\n[light]\n").world == first.world
    assert read(tmp_path, SHORT + "[light]\ndiffuse = 0.5\n").world != first.world
    assert read(tmp_path, SHORT.replace('"desk"', '"shelf"')).world == first.world.replace("desk", "shelf")


def test_files_are_found_beside_it(tmp_path):
    (tmp_path / "brick.xml").write_text(
        '<mujoco><worldbody><body><geom type="box" size=".03 .02 .02"/></body></worldbody></mujoco>'
    )
    prior = read(tmp_path, SHORT + '[[kinds]]\nkind = "brick.xml"\n')
    assert prior.kinds[2].startswith("brick@")


@pytest.mark.parametrize(
    "text, words",
    [
        ("schema = 1", "field 'name' is missing"),
        (SHORT.replace(SCHEMA, "air3d-world/9"), "this version reads"),
        (SHORT + "colour = 3\n", "unknown field 'colour'"),
        (SHORT.replace('"mug"', '"mugg"'), "did you mean 'mug'"),
        (SHORT.replace('"desk"', '"My desk"'), "a name is a small letter"),
        (SHORT.replace('name = "desk"\n', ""), "field 'name' is missing"),
        (SHORT.replace('name = "desk"\n', 'name = "desk"\npose = "standing"\n'), "pose is 'standing'"),
        (SHORT.replace('name = "desk"\n', 'name = "desk"\nobjects = [4, 2]\n'), "objects from 4 to 2"),
        (SHORT.replace('name = "desk"\n', 'name = "desk"\nscenery = "x@0123456789ab"\n'), "no supports"),
        (SHORT + "[[supports]]\nyaw_deg = 3\n", "give radius_m"),
        (SHORT + "[[supports]]\nradius_m = -1\n", "supports"),
        (SHORT + "[[supports]]\nsides_m = [1, 2, 3]\n", "must hold 2 values"),
        (SHORT + '[[cameras]]\nposition_m = [0, 0, "x"]\nlook_at_m = [0, 0, 0]\n', "must be a number"),
        (SHORT + "[[cameras]]\nposition_m = [0, 0, 0]\nlook_at_m = [0, 0, 0]\n", "come nearer"),
        (SHORT + "[orbit]\ndistance_m = [2, 1]\n", "low <= high"),
        (SHORT + "[light]\ndiffuse = 7\n", "diffuse is 7"),
        (SHORT + "[light", "not TOML"),
        (SHORT.replace('"mug"', '"gone.xml"'), "there is no such file"),
    ],
)
def test_each_error_is_one_line_with_the_file(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "world.toml")) and "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="name a TOML file"):
        read_world(tmp_path / "world.toml")


def test_what_is_written_is_read_back(tmp_path):
    entry = WorldEntry(
        SCHEMA,
        "desk",
        (KindEntry("mug"), KindEntry("bowl")),
        (1, 5),
        supports=(SupportEntry(sides_m=(0.5, 0.25), yaw_deg=3.5), SupportEntry((0.0, 0.1, 0.2), radius_m=0.3)),
        cameras=(CameraEntry((1.0, 0.5, 1e-05), (0.0, 0.0, 0.25), 'the "first"\n', -3.0, 50.0),),
        jitter=JitterEntry(0.01, 2.0, 3.0),
        light=LightEntry(1.0, 2.0, 0.5, 0.25, (LampEntry(1.0, 2.0, 0.5),)),
        origin_m=(1.0, 2.0, 0.75),
        size_px=(64, 48),
    )
    (tmp_path / "world.toml").write_text(world_text(entry, "desk.xml", "world.toml", [1, 4]))
    assert parse_world(tmp_path / "world.toml") == entry
    turning = WorldEntry(SCHEMA, "desk", (KindEntry("mug"),), orbit=OrbitEntry((1.0, 2.0)))
    (tmp_path / "world.toml").write_text(world_text(turning, "desk.xml", "world.toml", [1]))
    assert parse_world(tmp_path / "world.toml") == turning
