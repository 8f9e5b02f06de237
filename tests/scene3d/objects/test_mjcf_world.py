"""Whole worlds of MJCF: what stands still is where MuJoCo has it, and objects go where there is room for them."""

from __future__ import annotations

import math
from pathlib import Path

import mujoco
import numpy as np
import pytest
from PIL import Image

from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.mesh_file import cut_up, read_mesh
from air3d.scene3d.objects.mjcf_world import MjcfWorld
from air3d.scene3d.objects.raw_mesh import UnreadableError
from air3d.scene3d.objects.scenery import make_scenery
from air3d.scene3d.objects.world_surface import find_surfaces
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject, Table

# A desk 80 x 60 cm whose top is 75 cm high, with a tower on a third of it and an arm in a keyframe; two things on it.
ROOM = """
<mujoco>
  <visual><headlight diffuse="0.2 0.2 0.2" ambient="0.3 0.3 0.3"/></visual>
  <asset>
    <texture name="checker" type="2d" builtin="checker" width="64" height="64" rgb1="0.9 0.9 0.9" rgb2="0.2 0.2 0.4"/>
    <material name="floor" texture="checker" texrepeat="2 2" texuniform="true"/>
  </asset>
  <worldbody>
    <light type="directional" dir="-1 0 -1" diffuse="0.6 0.6 0.6"/>
    <light pos="3 0 3" dir="0 0 -1" diffuse="0.3 0.3 0.3" ambient="0.1 0.1 0.1"/>
    <camera name="front" pos="2 -1 1.6" xyaxes="1 2 0 -0.4 0.2 1" fovy="50"/>
    <geom type="plane" size="0 0 1" material="floor"/>
    <body name="desk" pos="2 0 0.375">
      <geom type="box" size="0.4 0.3 0.375" rgba="0.6 0.4 0.2 1"/>
      <geom type="box" size="0.1 0.3 0.2" pos="0.3 0 0.575" rgba="0.2 0.6 0.3 1"/>
      <geom type="box" size="0.41 0.31 0.38" group="3" rgba="1 0 0 1"/>
    </body>
    <body name="arm" pos="1.2 0 0.5"><joint name="turn" type="hinge" axis="0 0 1"/>
      <geom type="capsule" fromto="0 0 0 0 0.3 0" size="0.05" rgba="0.3 0.3 0.8 1"/></body>
    <body name="brick" pos="1.9 0.1 0.78" quat="0.966 0 0 0.259"><freejoint/>
      <geom type="box" size="0.05 0.03 0.03" rgba="0.8 0.2 0.2 1"/></body>
    <body name="can" pos="1.8 -0.1 0.79" quat="0.7071068 0.7071068 0 0"><freejoint/>
      <geom type="cylinder" size="0.03 0.06" rgba="0.2 0.2 0.8 1"/></body>
  </worldbody>
  <keyframe><key qpos="1.5708  1.9 0.1 0.78 0.966 0 0 0.259  1.8 -0.1 0.79 0.7071068 0.7071068 0 0"/></keyframe>
</mujoco>
"""


@pytest.fixture
def room(tmp_path: Path) -> MjcfWorld:
    return world(tmp_path, ROOM)


def world(folder: Path, text: str) -> MjcfWorld:
    file = folder / "room.xml"
    file.write_text(text)
    return MjcfWorld(file.read_bytes(), file, lambda path: read_mesh(path, str(path)))


def middles(found: MjcfWorld) -> np.ndarray:
    return np.array([found.middle_m(body) for body in found.free])


def test_objects_go_beneath_the_free_bodies_where_nothing_stands(room):
    assert [room.name(body) for body in room.free] == ["brick", "can"]
    (surface,) = find_surfaces(middles(room), room.look)
    # The group for collisions reaches 5 mm higher than the desk that is seen.
    assert surface.centre_m == pytest.approx([1.9, 0.0, 0.755], abs=0.02)
    assert surface.size_m == pytest.approx([0.3, 0.3], abs=0.02)
    assert surface.bodies == (0, 1)


def test_a_round_table_is_a_disc(tmp_path):
    found = world(tmp_path, """<mujoco><worldbody>
        <geom type="cylinder" size="0.45 0.02" pos="0.3 0.1 0.4"/>
        <body pos="0.3 0.2 0.5"><freejoint/><geom size="0.03"/></body></worldbody></mujoco>""")  # fmt: skip
    (surface,) = find_surfaces(middles(found), found.look)
    assert surface.centre_m == pytest.approx([0.3, 0.1, 0.42], abs=0.01)
    assert surface.size_m == pytest.approx([0.45], abs=0.03)


def test_what_stands_in_the_surface_is_left_out(tmp_path):
    # A lamp post that reaches into the table, and into its own shade.
    found = world(tmp_path, """<mujoco><worldbody><geom type="box" size="0.4 0.3 0.4"/>
        <geom type="capsule" fromto="0.1 0 0.4 0.1 0 0.7" size="0.03"/><geom size="0.08" pos="0.1 0 0.72"/>
        <body pos="-0.2 0 0.5"><freejoint/><geom size="0.03"/></body></worldbody></mujoco>""")  # fmt: skip
    (surface,) = find_surfaces(middles(found), found.look)
    assert surface.centre_m[0] + surface.size_m[0] < 0.08 and surface.size_m[1] > 0.27


def test_bodies_on_two_shelves_have_two_surfaces_and_one_in_the_air_has_none(tmp_path):
    shelf = '<geom type="box" size="0.4 0.2 0.01" pos="0 0 {}"/>'
    body = '<body pos="{} 0 {}"><freejoint/><geom type="sphere" size="0.03"/></body>'
    parts = [shelf.format(0.2), shelf.format(1.0), *(body.format(x, z) for x, z in ((0, 1.1), (0.1, 0.3), (0.2, 0.3)))]
    parts.append(body.format(5.0, 1.0))
    found = world(tmp_path, f"<mujoco><worldbody>{''.join(parts)}</worldbody></mujoco>")
    low, high = find_surfaces(middles(found), found.look)
    assert low.bodies == (1, 2) and high.bodies == (0,)
    assert low.centre_m == pytest.approx([0.0, 0.0, 0.21], abs=0.01) and high.centre_m[2] == pytest.approx(1.01)


@pytest.mark.parametrize("backend", ["raster", "gl", "layers"])
def test_the_scenery_is_seen_where_mujoco_has_it(room, backend):
    if backend != "raster" and probe_gl().platform is None:
        pytest.skip("no OpenGL")
    origin = np.array([1.8, 0.0, 0.75])
    facts = make_scenery(cut_up(room.scenery(origin), "room"), "room", "room")
    table = Table(scenery=facts.kind)
    camera = Orbit(0.8, 0.5, 1.5)
    brick = SceneObject.upright("cube", -0.1, 0.0)
    batch = SceneBatch.from_scenes([Scene((), camera, table), Scene((brick,), camera, table)], ("cube",))
    with make_renderer(RenderConfig(("cube",), table, 1, 64, 64), backend) as renderer:
        frames = renderer.render_frames(batch)
    model = mujoco.MjModel.from_xml_string(ROOM)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    model.geom_group[model.geom_bodyid >= mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "brick")] = 4
    view = camera.sized(64, 64)
    v, u = np.indices((64, 64))
    rays = np.stack([u - view.matrix[0, 2], view.matrix[1, 2] - v, np.full(u.shape, -view.focal_px[0])], axis=-1)
    rays = (rays / view.focal_px[0]) @ view.frame[:3, :3].T
    shown, hit = np.array([1, 1, 1, 0, 0, 0], np.uint8), np.zeros(1, np.int32)
    depth = np.array(
        [
            mujoco.mj_ray(model, data, view.frame[:3, 3] + origin, ray, shown, True, -1, hit)
            for ray in rays.reshape(-1, 3)
        ]
    ).reshape(64, 64)
    same = np.abs(frames.depth_m[0] - depth) < 0.01
    assert same.mean() > 0.98
    assert (frames.segmentation[0] == 0).all() and (frames.segmentation[1] == 1).sum() > 20
    # What MuJoCo does not show is not drawn, and the desk is brown.
    x, y = np.rint(view.project([[-0.1, -0.2, 0.0]])[0][0]).astype(int)
    r, g, b = frames.rgb[0, y, x].astype(int)
    assert r > g > b


def test_a_free_body_stands_as_it_stands_in_the_file(room):
    brick, can = (cut_up(room.object(body), "x").corners.reshape(-1, 3) for body in room.free)
    assert np.ptp(brick, axis=0) == pytest.approx([0.1, 0.06, 0.06])  # its yaw is taken back
    assert np.ptp(can, axis=0) == pytest.approx([0.06, 0.12, 0.06])  # it lies


def test_lamps_and_cameras(room):
    lamps, head, even = room.lamps()
    assert [lamp.direction is None for lamp in lamps] == [False, True] and (head, even) == pytest.approx((0.2, 0.3))
    assert lamps[0].direction == pytest.approx([-math.sqrt(0.5), 0.0, -math.sqrt(0.5)])
    assert [lamp.diffuse for lamp in lamps] == pytest.approx([0.6, 0.3])
    (camera,) = room.cameras()
    assert camera.name == "front" and camera.fovy_rad == pytest.approx(math.radians(50.0))
    assert camera.frame[:3, 3] == pytest.approx([2.0, -1.0, 1.6])


def test_what_is_far_away_is_left_out_of_a_scenery(tmp_path):
    found = world(tmp_path, """<mujoco><worldbody><geom type="box" size="0.1 0.1 0.1"/>
        <geom type="box" size="1 1 1" pos="30 0 0"/></worldbody></mujoco>""")  # fmt: skip
    facts = make_scenery(cut_up(found.scenery(np.zeros(3)), "x"), "far", "x")
    assert facts.triangles["display"] == 12 and "farther than 10 m" in facts.notes[0]
    with pytest.raises(InputError, match="nothing stands within 10 m"):
        make_scenery(cut_up(found.scenery(np.array([-90.0, 0.0, 0.0])), "x"), "far", "x")


@pytest.mark.parametrize(
    "text, words",
    [
        ("<robot name='r'><link name='l'/></robot>", "is a URDF"),
        ("<mujoco><worldbody><geom size='-1'/></worldbody></mujoco>", "is not accepted by MuJoCo"),
        ("not xml", "is not XML"),
    ],
)
def test_what_is_no_world_is_refused(tmp_path, text, words):
    with pytest.raises(UnreadableError, match=words):
        world(tmp_path, text)


def test_a_height_field_is_drawn_and_a_table_takes_no_scenery_that_is_not_there(tmp_path):
    Image.fromarray((np.arange(12, dtype=np.uint8) * 20).reshape(3, 4)).save(tmp_path / "hills.png")
    field = '<hfield name="h" file="hills.png" size="1 0.5 0.2 0.1"/>'
    found = world(tmp_path, f"""<mujoco><asset>{field}</asset><worldbody>
        <geom type="hfield" hfield="h"/></worldbody></mujoco>""")  # fmt: skip
    corners = cut_up(found.scenery(np.zeros(3)), "x").corners.reshape(-1, 3)
    down, _ = found.look(corners + [0.0, 0.0, 1.0], True)
    inside = np.isfinite(down)
    assert inside.sum() >= 6 and down[inside] == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(InputError, match="not on this machine"):
        Table(scenery="gone@0123456789ab")
    with pytest.raises(InputError, match="full name"):
        Table(scenery="gone")
