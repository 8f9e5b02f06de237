"""Worlds made of MJCF: cameras and lamps are MuJoCo's, kinds its free bodies, and what is lost is said."""

from __future__ import annotations

import math
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from air3d.scene3d.catalog import get_kind
from air3d.scene3d.compiler import mujoco_intrinsic
from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import short_name
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.solids import solids
from air3d.scene3d.world_file import read_world
from air3d.scene3d.world_import import import_world, world_name

SHELF = """
<mujoco>
  <visual><headlight diffuse="0.2 0.2 0.2" ambient="0.1 0.1 0.1"/></visual>
  <worldbody>
    <light pos="1 -1 3" dir="0 0 -1" diffuse="0.4 0.4 0.4"/>
    <light type="directional" dir="-1 0 -1" diffuse="0.7 0.7 0.7" ambient="0.05 0.05 0.05"/>
    <camera name="left" pos="0.4 -1 1.5" xyaxes="1 -0.4 0.1 0 0.5 0.8" fovy="70"/>
    <camera name="top" pos="1 0.5 1.9" zaxis="0 0 1" fovy="60"/>
    <camera name="away" pos="0 -1 1.2" zaxis="0 1 -0.5"/>
    <camera name="flat" pos="1 0.5 1.9" zaxis="0 0 1" projection="orthographic" fovy="1"/>
    <geom type="box" pos="1 0.5 0.4" size="0.5 0.3 0.4" rgba="0.6 0.5 0.4 1"/>
    <geom type="box" pos="1 0.9 1.1" size="0.5 0.1 0.02" rgba="0.6 0.5 0.4 1"/>
    <body name="Red Brick" pos="0.9 0.4 0.83"><freejoint/>
      <geom type="box" size="0.06 0.03 0.03" rgba="0.8 0.2 0.2 1"/></body>
    <body name="twin" pos="1.1 0.4 0.83" euler="0 0 30"><freejoint/>
      <geom type="box" size="0.06 0.03 0.03" rgba="0.8 0.2 0.2 1"/></body>
    <body name="mug" pos="1.1 0.6 0.85"><freejoint/>
      <geom type="cylinder" size="0.03 0.05" rgba="0.2 0.2 0.8 1"/></body>
    <body name="high" pos="1.1 0.9 1.2"><freejoint/><geom size="0.04"/><camera name="carried"/></body>
    <body name="wardrobe" pos="1.1 0.4 3"><freejoint/><geom type="box" size="0.4 0.4 0.4"/></body>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "shelf.xml").write_text(SHELF)
    found = import_world(folder / "shelf.xml", folder / "shelf.toml", "shelf")
    (folder / "shelf.toml").write_text(found.text)
    return found, read_world(folder / "shelf.toml")


def test_kinds_are_the_free_bodies_that_differ(shelf):
    found, prior = shelf
    assert [short_name(kind) for kind in prior.kinds] == ["red_brick", "mug_2", "high"]
    assert "# 2 in shelf.xml" in found.text and found.entry.repeat and found.entry.objects == (1, 4)
    assert get_kind(prior.kinds[0]).height_m == pytest.approx(0.06) and get_kind(prior.kinds[1]).height_m == 0.1
    assert any("'wardrobe' is left out" in note for note in found.notes)


def test_the_origin_is_on_the_fullest_surface_and_the_other_is_above_it(shelf):
    found, prior = shelf
    assert found.entry.origin_m == pytest.approx((1.0, 0.5, 0.8), abs=0.06)
    first, second = prior.supports
    assert first.position_m == (0.0, 0.0, 0.0) and second.position_m[2] == pytest.approx(0.32, abs=1e-3)
    # Objects of the largest radius stand on them wholly.
    most = max(get_kind(kind).radius_m for kind in prior.kinds)
    assert first.size_m[0] + most <= 0.5 + 1e-3 and first.size_m[1] + most <= 0.3 + 1e-3


def test_cameras_are_mujocos(shelf):
    found, prior = shelf
    model = mujoco.MjModel.from_xml_string(SHELF)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    names = [camera.name for camera in found.entry.cameras]
    assert names == ["left", "top"]
    for name, box in zip(names, prior.camera.boxes, strict=True):
        number = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name)
        camera = box.middle().sized(64, 64)
        assert camera.frame[:3, 3] + found.entry.origin_m == pytest.approx(data.cam_xpos[number], abs=1e-4)
        assert camera.frame[:3, :3].ravel() == pytest.approx(data.cam_xmat[number], abs=1e-3)
        assert math.degrees(float(camera.fovy_rad)) == pytest.approx(model.cam_fovy[number])
    for name in ("away", "flat", "carried"):
        assert any(f"'{name}'" in note for note in found.notes)


def test_a_camera_keeps_its_matrix(tmp_path):
    """The focal lengths and the principal point in pixels, as MuJoCo compiles them, off the middle and not square."""
    lens = 'sensorsize="0.032 0.020" resolution="320 240" focalpixel="300 310" principalpixel="24 -15"'
    text = SHELF.replace('zaxis="0 0 1" fovy="60"', f'zaxis="0 0 1" {lens}')
    (tmp_path / "shelf.xml").write_text(text)
    found = import_world(tmp_path / "shelf.xml", tmp_path / "shelf.toml", "shelf")
    (tmp_path / "shelf.toml").write_text(found.text)
    prior = read_world(tmp_path / "shelf.toml")
    model = mujoco.MjModel.from_xml_string(text)
    number = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "top")
    (wide, tall), (fx, fy, cx, cy) = model.cam_sensorsize[number], model.cam_intrinsic[number]
    in_pixels = (fx * 320 / wide, fy * 240 / tall, cx * 320 / wide, cy * 240 / tall)
    assert in_pixels == pytest.approx((300.0, 310.0, 24.0, -15.0), rel=1e-4)
    camera = prior.camera.boxes[1].middle().sized(320, 240)
    assert mujoco_intrinsic(camera) == pytest.approx(in_pixels, abs=0.02)
    assert not any("middle of its image" in note for note in found.notes)


def test_lamps_are_mujocos_and_the_eyes_light_is_even(shelf):
    light = shelf[1].light
    assert (light.azimuth_rad, light.elevation_rad) == pytest.approx((0.0, math.pi / 4), abs=1e-3)
    (near,) = light.lamps
    towards = np.array([1.0, -1.0, 3.0]) - shelf[0].entry.origin_m
    assert near.elevation_rad == pytest.approx(math.asin(towards[2] / np.linalg.norm(towards)), abs=1e-3)
    # More than white on the level: all are dimmed alike.
    numbers = np.array([light.diffuse, near.diffuse, light.ambient])
    full = np.array([0.7, 0.4, 0.1 + 0.05 + 0.5 * 0.2])
    assert numbers / numbers[0] == pytest.approx(full / 0.7, abs=2e-3)
    assert numbers @ [math.sin(math.pi / 4), math.sin(near.elevation_rad), 1.0] == pytest.approx(1.0, abs=2e-3)


def test_a_point_says_the_surface_where_no_body_is_free(tmp_path):
    (tmp_path / "bare.xml").write_text(
        '<mujoco><worldbody><geom type="cylinder" size="0.5 0.02" pos="3 0 0.7"/></worldbody></mujoco>'
    )
    with pytest.raises(InputError, match="--at X Y Z"):
        import_world(tmp_path / "bare.xml", tmp_path / "bare.toml", "bare")
    found = import_world(tmp_path / "bare.xml", tmp_path / "bare.toml", "bare", (3.1, 0.1, 1.0))
    assert found.entry.origin_m == pytest.approx((3.0, 0.0, 0.72), abs=0.01)
    assert [entry.kind for entry in found.entry.kinds] == ["mug", "plate", "bowl"]
    assert found.entry.supports[0].radius_m < 0.5 and not found.entry.cameras
    with pytest.raises(InputError, match="no level surface lies beneath"):
        import_world(tmp_path / "bare.xml", tmp_path / "bare.toml", "bare", (0.0, 0.0, 1.0))


@pytest.mark.parametrize(
    "text, words", [("<mujoco><worldbody>", "is not XML"), ("<mujoco/>", "no free body"), ("", "is not XML")]
)
def test_what_is_no_world_is_one_line(tmp_path, text, words):
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        import_world(tmp_path / "x.xml", tmp_path / "x.toml", "x")
    assert "\n" not in str(caught.value)


def test_names_are_made_of_files(tmp_path):
    assert world_name("Scene 1 (new)") == "scene_1_new" and world_name("9") == "world_9" and world_name("é") == "world"
    with pytest.raises(InputError, match="there is no such file"):
        import_world(Path("gone.xml"), tmp_path / "x.toml", "x")


def test_what_falls_stays_out_of_what_stands_around(tmp_path):
    """A wall across a table: dropped balls come to lie on either side, none in it."""
    (tmp_path / "wall.xml").write_text("""
    <mujoco><worldbody>
      <geom type="box" size="0.4 0.3 0.05" pos="0 0 0.4" rgba="0.6 0.4 0.3 1"/>
      <geom type="box" size="0.02 0.3 0.1" pos="0.1 0 0.55" rgba="0.6 0.6 0.6 1"/>
      <body pos="-0.2 0 0.6"><freejoint/><geom size="0.04" rgba="0.8 0.2 0.2 1"/></body></worldbody></mujoco>""")
    found = import_world(tmp_path / "wall.xml", tmp_path / "wall.toml", "wall")
    # The person lets them fall around the wall, and on its top.
    text = found.text.replace('pose = "upright"', 'pose = "settled"').replace("objects = [1, 1]", "objects = [2, 2]")
    across = round(0.1 - found.entry.origin_m[0], 4)
    text = text.replace("centre_m = [0.0, 0.0, 0.0]", f"centre_m = [{across}, 0.0, 0.0]")
    text = re.sub(r"sides_m = .*", "sides_m = [0.3, 0.4]", text).replace("repeat = false", "repeat = true")
    (tmp_path / "wall.toml").write_text(text)
    prior = read_world(tmp_path / "wall.toml")
    near = []
    for seed in range(6):
        for item in ScenePrior(prior).sample(np.random.default_rng(seed)).objects:
            near.append(abs((item.frame() @ [0.0, 0.0, 0.04, 1.0])[0] - across))
    # A ball of radius 4 cm beside a wall that is 4 cm thick; on its top it would not lie still.
    assert min(near) > 0.02 + 0.04 - 1e-3


def test_the_hull_of_a_room_is_in_nobodys_way(tmp_path):
    room = trimesh.creation.box([3.0, 3.0, 2.0]).apply_translation([0.0, 0.0, 1.0])
    room.faces = room.faces[:, ::-1]  # seen from within
    room.export(tmp_path / "room.obj")
    (tmp_path / "room.xml").write_text("""
    <mujoco><asset><mesh name="room" file="room.obj" inertia="shell"/></asset><worldbody>
      <geom type="mesh" mesh="room"/><geom type="box" size="0.4 0.3 0.2" pos="0 0 0.2"/>
      <body pos="0 0 0.5"><freejoint/><geom size="0.04"/></body></worldbody></mujoco>""")
    found = import_world(tmp_path / "room.xml", tmp_path / "room.toml", "room")
    assert any("not in the way" in note for note in found.notes)
    assert [solid.kind for solid in solids(found.entry.scenery).bodies] == ["box"]
