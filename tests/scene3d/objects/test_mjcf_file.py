"""MJCF and URDF: what is drawn is where MuJoCo puts it and has the colours that MuJoCo's renderer gives it."""

from __future__ import annotations

import importlib
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from PIL import Image

from air3d.renderers.probe import probe_gl
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.files import described
from air3d.scene3d.objects.looks import painted
from air3d.scene3d.objects.mesh_file import read_mesh
from air3d.scene3d.objects.nearest import Surface
from air3d.scene3d.objects.raw_mesh import RawMesh
from air3d.scene3d.objects.skin import sampled


def read(path: Path) -> RawMesh:
    return read_mesh(path, str(path))


def msh(mesh: trimesh.Trimesh, uvs: np.ndarray) -> bytes:
    """MuJoCo's own format: four counts, positions, normals, texture coordinates, faces."""
    count = len(mesh.vertices)
    head = np.array([count, count, count, len(mesh.faces)], "<i4")
    floats = [np.asarray(part, "<f4") for part in (mesh.vertices, mesh.vertex_normals, uvs)]
    return b"".join(part.tobytes() for part in (head, *floats, np.asarray(mesh.faces, "<i4")))


def obj(mesh: trimesh.Trimesh, uvs: np.ndarray) -> str:
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.vertices] + [f"vt {u} {v}" for u, v in uvs]
    return "\n".join([*lines, *("f " + " ".join(f"{c + 1}/{c + 1}" for c in face) for face in mesh.faces)])


GRADIENT = np.zeros((64, 64, 3), np.uint8)
GRADIENT[..., 0], GRADIENT[..., 1], GRADIENT[..., 2] = np.arange(64) * 4, np.arange(64)[:, None] * 4, 90

TWO_MESHES = """
<mujoco>
  <asset>
    <texture name="t" type="2d" file="gradient.png"/>
    <material name="m" texture="t"/>
    <material name="green" rgba="0 0.5 0 1"/>
    <mesh name="one" file="one.msh" scale="2 2 2"/>
    <mesh name="two" file="two.obj" scale="2 2 2"/>
  </asset>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body name="thing" pos="1 2 3" quat="0 1 0 0">
      <freejoint/>
      <geom type="mesh" mesh="one" material="m" contype="0" conaffinity="0"/>
      <geom type="mesh" mesh="two" material="m" contype="0" conaffinity="0" pos="0 0 0.2" euler="90 0 0"/>
      <body pos="0.1 0 0"><joint type="hinge" axis="0 0 1"/>
        <geom type="capsule" size="0.01 0.03" material="green" contype="0" conaffinity="0"/></body>
      <geom type="box" size="0.05 0.05 0.1" pos="0 0 0.1"/>
      <geom type="mesh" mesh="two"/>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def two_meshes(tmp_path: Path) -> Path:
    one = trimesh.creation.box([0.02, 0.03, 0.04])
    two = trimesh.creation.icosphere(2, 0.02).apply_translation([0.01, 0.0, 0.0])
    (tmp_path / "one.msh").write_bytes(msh(one, 0.5 + one.vertices[:, :2] * 10))
    (tmp_path / "two.obj").write_text(obj(two, 0.5 + two.vertices[:, :2] * 10))
    Image.fromarray(GRADIENT).save(tmp_path / "gradient.png")
    (tmp_path / "thing.xml").write_text(TWO_MESHES)
    return tmp_path / "thing.xml"


def test_meshes_at_a_scale_and_a_primitive_stand_where_the_body_has_them(two_meshes):
    raw = read(two_meshes)
    # By mathematics: the box, the ball turned about x (which keeps its centre on the x axis), the capsule.
    for k, (low, high) in enumerate(
        (
            ([-0.02, -0.03, -0.04], [0.02, 0.03, 0.04]),
            ([-0.02, -0.04, 0.16], [0.06, 0.04, 0.24]),
            ([0.09, -0.01, -0.04], [0.11, 0.01, 0.04]),
        )
    ):
        points = raw.corners[raw.material == k].reshape(-1, 3)
        np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], [low, high], atol=1e-3)
    assert raw.materials[0].picture is not None and raw.materials[2].colour == (0.0, 0.5, 0.0)
    # The texture lies where it lay before the mesh was turned: u along x, v along the file's y, which is z now.
    ball = raw.material == 1
    np.testing.assert_allclose(raw.uvs[ball][..., 0], 0.5 + raw.corners[ball][..., 0] * 5, atol=1e-5)
    np.testing.assert_allclose(raw.uvs[ball][..., 1], 0.5 + (raw.corners[ball][..., 2] - 0.2) * 5, atol=1e-5)
    assert raw.notes == ("its 1 joints stand still, as the file starts them",)
    box, hull = raw.solids
    assert (box.kind, box.size) == ("box", (0.05, 0.05, 0.1)) and box.frame[2, 3] == pytest.approx(0.1)
    inside = hull.points @ hull.frame[:3, :3].T + hull.frame[:3, 3]
    np.testing.assert_allclose(inside.max(axis=0), [0.06, 0.04, 0.04], atol=1e-3)


def test_several_bodies_are_refused_by_name(two_meshes):
    text = two_meshes.read_text().replace("</worldbody>", '<body name="other"><geom size="0.1"/></body></worldbody>')
    two_meshes.write_text(text)
    with pytest.raises(InputError, match=r"thing\.xml holds 2 bodies \(thing, other\)"):
        read(two_meshes)
    two_meshes.write_text(text.replace("<geom ", "<site ").replace('type="mesh" ', ""))
    with pytest.raises(InputError, match=r"thing\.xml"):
        read(two_meshes)


@pytest.mark.parametrize(
    "text, message",
    [
        ("<mujoco", "is not XML"),
        ("<svg/>", "neither MJCF .* nor URDF"),
        ("<mujoco/>", "holds no body with a geom"),
        ("<mujocoinclude/>", "is a part that other MJCF files include"),
        ('<mujoco><worldbody><body><geom type="mesh" mesh="a"/></body></worldbody></mujoco>', "not accepted by MuJoCo"),
        ('<robot name="a"><link name="a"><visual><geometry><mesh filename="package://p/a.stl"/></geometry></visual>'
         "</link></robot>", "names the mesh 'package://p/a.stl'; there is no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line(tmp_path, text, message):
    (tmp_path / "thing.xml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / "thing.xml")
    assert "\n" not in str(caught.value)


def test_a_urdf_with_a_mesh_that_has_its_own_materials(tmp_path):
    """Its file is found as packages are, its materials stay, and masses that MuJoCo would refuse do not matter."""
    folder = tmp_path / "pack" / "meshes"
    folder.mkdir(parents=True)
    (folder / "a.mtl").write_text("newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n")
    lines = ["mtllib a.mtl"]
    for number, (name, z) in enumerate((("red", 0.0), ("blue", 1.0))):
        part = trimesh.creation.box([1.0, 1.0, 1.0]).apply_translation([0, 0, z])
        lines += [f"v {x} {y} {h}" for x, y, h in part.vertices] + [f"usemtl {name}"]
        lines += ["f " + " ".join(str(c + 1 + 8 * number) for c in face) for face in part.faces]
    (folder / "a.obj").write_text("\n".join(lines))
    (tmp_path / "pack" / "thing.urdf").write_text(
        """<robot name="r"><link name="base"><inertial><mass value="-1"/><inertia ixx="-1" ixy="0" ixz="0" iyy="1"
        iyz="0" izz="1"/></inertial><visual><origin xyz="0 0 0.1"/><geometry><mesh filename="package://pack/meshes/a.obj"
        scale="0.1 0.1 0.2"/></geometry></visual><collision><geometry><sphere radius="0.05"/></geometry></collision>
        </link><link name="tip"><visual><geometry><cylinder radius="0.01" length="0.1"/></geometry></visual></link>
        <joint name="j" type="revolute"><parent link="base"/><child link="tip"/><origin xyz="0.2 0 0"/>
        <limit lower="-1" upper="1" effort="1" velocity="1"/></joint></robot>"""
    )
    raw = read(tmp_path / "pack" / "thing.urdf")
    red = raw.corners[[raw.materials[k].colour == (1.0, 0.0, 0.0) for k in raw.material]].reshape(-1, 3)
    blue = raw.corners[[raw.materials[k].colour == (0.0, 0.0, 1.0) for k in raw.material]].reshape(-1, 3)
    np.testing.assert_allclose([red.min(0), red.max(0)], [[-0.05, -0.05, 0.0], [0.05, 0.05, 0.2]], atol=1e-6)
    np.testing.assert_allclose([blue.min(0), blue.max(0)], [[-0.05, -0.05, 0.2], [0.05, 0.05, 0.4]], atol=1e-6)
    assert raw.corners[..., 0].max() == pytest.approx(0.21, abs=1e-4)
    assert [solid.kind for solid in raw.solids] == ["sphere"]


CAMERAS = {
    "above": 'pos="0.1 0.05 1" xyaxes="1 0 0 0 1 0"',
    "front": 'pos="0.1 -1 0.05" xyaxes="1 0 0 0 0 1"',
    "right": 'pos="1 0.1 0.05" xyaxes="0 1 0 0 0 1"',
    "below": 'pos="0.1 0.05 -1" xyaxes="1 0 0 0 -1 0"',
    "left": 'pos="-1 0.1 -0.05" xyaxes="0 -1 0 0 0 1"',
    "behind": 'pos="0.1 1 -0.05" xyaxes="-1 0 0 0 0 1"',
}
GEOMS = {
    "box": 'type="box" size="0.1 0.12 0.08"',
    "ball": 'type="sphere" size="0.12"',
    "ellipsoid": 'type="ellipsoid" size="0.1 0.12 0.08"',
    "cylinder": 'type="cylinder" size="0.1 0.08"',
    "mesh without coordinates": 'type="mesh" mesh="plain"',
    "mesh with coordinates": 'type="mesh" mesh="two"',
}


@pytest.mark.skipif(probe_gl().platform is None, reason="compares with MuJoCo's OpenGL renderer")
@pytest.mark.parametrize("uniform, repeat", [("false", "1 1"), ("true", "1 1"), ("false", "0.5 0.7")])
@pytest.mark.parametrize("kind", ["2d", "cube"])
@pytest.mark.parametrize("geom", GEOMS)
def test_textures_lie_where_mujoco_draws_them(two_meshes, monkeypatch, geom, kind, uniform, repeat):
    module = importlib.import_module("mujoco.rendering.classic.renderer")
    platform = importlib.import_module(f"mujoco.{probe_gl().platform}")
    for place in (vars(module), vars(module.gl_context)):
        monkeypatch.setitem(place, "GLContext", platform.GLContext)
    if (geom, kind) == ("mesh with coordinates", "cube"):
        pytest.skip("MuJoCo draws it white")
    folder = two_meshes.parent
    trimesh.creation.icosphere(3, 0.1).apply_scale([1.0, 1.4, 0.8]).export(folder / "plain.stl")
    for number, side in enumerate(("right", "left", "up", "down", "front", "back")):
        Image.fromarray(GRADIENT + np.array([0, 0, 25 * number], np.uint8)).save(folder / f"{side}.png")
    sides = " ".join(f'file{side}="{side}.png"' for side in ("right", "left", "up", "down", "front", "back"))
    file = 'file="gradient.png"' if kind == "2d" else sides
    cameras = "".join(f'<camera name="{name}" {place} fovy="24"/>' for name, place in CAMERAS.items())
    (folder / "thing.xml").write_text(
        f"""<mujoco><visual><headlight ambient="0 0 0" diffuse="0 0 0" specular="0 0 0"/></visual><asset>
        <texture name="t" type="{kind}" {file}/><mesh name="plain" file="plain.stl"/>
        <mesh name="two" file="two.obj" scale="5 5 5"/>
        <material name="m" texture="t" emission="1" specular="0" texuniform="{uniform}" texrepeat="{repeat}"/></asset>
        <worldbody>{cameras}<body name="thing"><geom {GEOMS[geom]} material="m" rgba="1 0.6 1 1"/></body></worldbody>
        </mujoco>"""
    )
    (description,) = described(folder / "thing.xml")
    raw = read(folder / "thing.xml")
    looks = painted(raw, description)
    assert looks.uvs is not None and looks.picture is not None
    surface = Surface(raw.corners)
    model = mujoco.MjModel.from_xml_path(str(folder / "thing.xml"))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    off = []
    with mujoco.Renderer(model, 96, 96) as renderer:
        for number, camera in enumerate(CAMERAS):
            renderer.update_scene(data, camera)
            pixels = renderer.render().astype(int)
            frame, eye = data.cam_xmat[number].reshape(3, 3), data.cam_xpos[number]
            reach = np.tan(np.radians(12.0))
            for row, column in np.random.default_rng(0).integers(0, 96, (300, 2)):
                around = pixels[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].reshape(-1, 3)
                if np.ptp(around, axis=0).max() > 16:
                    continue  # an edge
                ray = frame @ [(column - 47.5) / 48 * reach, (47.5 - row) / 48 * reach, -1.0]
                hit = np.zeros(1, np.int32)
                far = mujoco.mj_ray(model, data, eye, ray, None, 1, -1, hit)
                if far < 0.0:
                    continue
                found = surface.nearest((eye + far * ray)[None])
                uv = np.einsum("pk,pkd->pd", found.weights, looks.uvs[found.face])
                ours = sampled(looks.picture, uv)[0].astype(int)
                off.append(int(np.abs(ours - pixels[row, column]).max()))
    # The rest lies on a seam, which no triangle of ours need follow.
    assert len(off) > 40 and np.mean(np.array(off) <= 24) > 0.95, np.sort(off)[::-1][:40]


def test_a_cube_texture_of_one_file_is_on_all_sides(two_meshes):
    two_meshes.write_text(
        """<mujoco><asset><texture name="t" type="cube" file="gradient.png"/><material name="m" texture="t"/></asset>
        <worldbody><body><geom type="box" size=".1 .1 .1" material="m"/></body></worldbody></mujoco>"""
    )
    (description,) = described(two_meshes)
    looks = painted(read(two_meshes), description)
    np.testing.assert_array_equal(looks.picture, GRADIENT)
    assert (looks.uvs.min(), looks.uvs.max()) == (0.0, 1.0)
