"""Scenes as binary glTF, read back by trimesh and by the specification."""

from __future__ import annotations

import json
import math
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from air3d.datasets.export.glb import scene_glb
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.mjcf import scene_mjcf
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Cloth, Scene, SceneObject, Table
from air3d.scene3d.textures import TILE_M, texture_pixels

ROOT = Path(__file__).parents[3]
Floats = NDArray[np.float64]

SCENE = Scene(
    (
        SceneObject.upright("mug", 0.05, -0.1, 0.7, 1.2, (0.2, 0.6, 0.04)),
        SceneObject.upright("cylinder", -0.1, 0.05, -2.0),
        SceneObject("mug", (0.1, 0.12, 0.2), (0.1, 0.7, -0.5, 0.5)),
        SceneObject.upright("mug", -0.12, -0.1, 1.0),
    ),
    Orbit(0.3, 0.6, 1.1, (0.01, 0.02, 0.03), math.radians(35)),
    Table(radius_m=0.4),
)


@pytest.fixture(scope="module")
def data() -> bytes:
    return scene_glb(SCENE)


@pytest.fixture(scope="module")
def tree(data: bytes) -> dict[str, Any]:
    """The JSON chunk."""
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    tree: dict[str, Any] = json.loads(data[20 : 20 + size])
    binary, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0" and 28 + size + binary == len(data) and size % 4 == binary % 4 == 0
    assert tree["buffers"] == [{"byteLength": binary}]
    return tree


def to_y_up(points: Floats) -> Floats:
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


def posed(item: SceneObject) -> Floats:
    points = trimesh.load(ROOT / f"assets/meshes/{item.kind}.display.obj").vertices
    return Rotation.from_quat(np.roll(item.rotation_wxyz, -1)).apply(item.scale * points) + item.position_m


def test_trimesh_finds_the_posed_meshes(data: bytes) -> None:
    loaded = trimesh.load(BytesIO(data), file_type="glb", process=False)
    found = {}
    for name in loaded.graph.nodes_geometry:
        matrix, geometry = loaded.graph[name]
        found[name] = trimesh.transform_points(loaded.geometry[geometry].vertices, matrix)
    assert set(found) == {"table", "mug 1", "cylinder 2", "mug 3", "mug 4"}
    for n, item in enumerate(SCENE.objects):
        expected, points = to_y_up(posed(item)), found[f"{item.kind} {n + 1}"]
        for a, b in ((expected, points), (points, expected)):
            assert cKDTree(a).query(b)[0].max() < 1e-6
        if item.tilt_rad == 0.0:
            assert points[:, 1].min() == pytest.approx(0.0, abs=1e-6), "it stands on the table: y is up"
    low, high = found["table"].min(axis=0), found["table"].max(axis=0)
    np.testing.assert_allclose([low, high], [[-0.4, -0.02, -0.4], [0.4, 0.0, 0.4]], atol=2e-3)


def test_the_camera_sees_what_ours_sees(tree: dict[str, Any]) -> None:
    """Projection by the specification: the camera looks along -z of its node, y up; yfov is the vertical angle."""
    nodes = tree["nodes"]
    (camera,) = tree["cameras"]
    (node,) = (k for k in tree["scenes"][tree["scene"]]["nodes"] if "camera" in nodes[k])
    world = np.reshape(nodes[node]["matrix"], (4, 4)).T
    np.testing.assert_allclose(world[:3, :3] @ world[:3, :3].T, np.eye(3), atol=1e-12)
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (50, 3))
    local = np.linalg.inv(world) @ np.c_[to_y_up(points), np.ones(50)].T
    scale = 1.0 / math.tan(camera["perspective"]["yfov"] / 2)
    device = scale * local[:2] / -local[2]  # -1 to 1, left to right and bottom to top
    size = 100
    pixels = np.stack([(device[0] + 1) / 2 * size - 0.5, (1 - device[1]) / 2 * size - 0.5], axis=1)
    np.testing.assert_allclose(pixels, SCENE.camera.sized(size, size).project(points)[0], atol=1e-9)
    assert camera["perspective"]["aspectRatio"] == 1.0
    assert 0 < camera["perspective"]["znear"] < -local[2].max() < camera["perspective"]["zfar"]


def test_trimesh_places_the_camera_beside_the_meshes(data: bytes) -> None:
    """Every object's vertices project to where ours do, by trimesh's camera and trimesh's meshes."""
    loaded = trimesh.load(BytesIO(data), file_type="glb", process=False)
    view = np.linalg.inv(loaded.camera_transform)
    for n, item in enumerate(SCENE.objects):
        matrix, geometry = loaded.graph[f"{item.kind} {n + 1}"]
        local = trimesh.transform_points(loaded.geometry[geometry].vertices, view @ matrix)
        device = local[:, :2] / -local[:, 2:] / math.tan(math.radians(loaded.camera.fov[1]) / 2)
        pixels = np.stack([(1 + device[:, 0]) * 50 - 0.5, (1 - device[:, 1]) * 50 - 0.5], axis=1)
        expected = SCENE.camera.sized(100, 100).project(posed(item))[0]
        for a, b in ((expected, pixels), (pixels, expected)):
            assert cKDTree(a).query(b)[0].max() < 1e-3


def test_colours_are_linear(tree: dict[str, Any]) -> None:
    factors = {}
    for node in tree["nodes"]:
        if "mesh" in node:
            (primitive,) = tree["meshes"][node["mesh"]]["primitives"]
            factors[node["name"]] = tree["materials"][primitive["material"]]["pbrMetallicRoughness"]["baseColorFactor"]
    for n, item in enumerate(SCENE.objects):
        *rgb, alpha = factors[f"{item.kind} {n + 1}"]
        back = [12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055 for c in rgb]
        np.testing.assert_allclose(back, item.rgb, atol=1e-6)
        assert alpha == 1.0


def test_the_texture_lies_as_on_the_cylinder(data: bytes) -> None:
    """The side is light where sin(2 theta) (z - h/2) > 0; trimesh turns v back to count from the picture's bottom."""
    loaded = trimesh.load(BytesIO(data), file_type="glb", process=False)
    mesh = loaded.geometry["cylinder"]
    texture = np.asarray(mesh.visual.material.baseColorTexture.convert("L"))
    np.testing.assert_array_equal(texture, np.asarray(Image.open(ROOT / "assets/textures/cylinder.png").convert("L")))
    uv, points = mesh.visual.uv[mesh.faces].mean(axis=1), mesh.vertices[mesh.faces].mean(axis=1)
    light = texture[((1 - uv[:, 1]) * 256).astype(int), (uv[:, 0] * 256).astype(int) % 256] > 128
    wave = np.sin(2 * np.arctan2(points[:, 1], points[:, 0]))
    clear = (np.abs(mesh.face_normals[:, 2]) < 0.1) & (np.abs(wave) > 0.2)
    assert clear.sum() >= 32
    np.testing.assert_array_equal(light[clear], (wave * (points[:, 2] - 0.06))[clear] > 0)


def test_the_file_keeps_the_specification(tree: dict[str, Any], data: bytes) -> None:
    binary = data[len(data) - tree["buffers"][0]["byteLength"] :]
    sizes = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}
    arrays = []
    for accessor in tree["accessors"]:
        view = tree["bufferViews"][accessor["bufferView"]]
        width = sizes[accessor["type"]]
        assert view["byteOffset"] % 4 == 0 and view["byteLength"] == 4 * width * accessor["count"]
        kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        array = np.frombuffer(binary, kind, width * accessor["count"], view["byteOffset"]).reshape(-1, width)
        if "min" in accessor:
            assert accessor["min"] == array.min(axis=0).tolist() and accessor["max"] == array.max(axis=0).tolist()
        arrays.append(array)
    for mesh in tree["meshes"]:
        (primitive,) = mesh["primitives"]
        attributes = primitive["attributes"]
        assert "min" in tree["accessors"][attributes["POSITION"]]
        assert len({len(arrays[k]) for k in attributes.values()}) == 1
        assert arrays[primitive["indices"]].max() < len(arrays[attributes["POSITION"]])
        np.testing.assert_allclose(np.linalg.norm(arrays[attributes["NORMAL"]], axis=1), 1.0, atol=1e-4)
    assert [mesh["name"] for mesh in tree["meshes"]].count("mug") == 2, "a mesh for each colour"
    positions = {mesh["primitives"][0]["attributes"]["POSITION"] for mesh in tree["meshes"] if mesh["name"] == "mug"}
    assert len(positions) == 1, "of one and the same vertices"


def test_every_kind_and_an_empty_table() -> None:
    empty = trimesh.load(BytesIO(scene_glb(Scene())), file_type="glb")
    assert list(empty.geometry) == ["table"]
    full = Scene(tuple(SceneObject.upright(kind, 0.0, 0.0) for kind in CATALOG))
    assert len(trimesh.load(BytesIO(scene_glb(full)), file_type="glb").geometry) == len(CATALOG) + 1
    assert scene_glb(full) == scene_glb(full)


def test_a_table_with_corners_has_them_where_its_top_does() -> None:
    table = Table(0.5, 0.2, "rectangle")
    loaded = trimesh.load(BytesIO(scene_glb(Scene((), table=table))), file_type="glb", process=False)
    x, y = table.top.half_extents_m
    assert math.hypot(x, y) == pytest.approx(0.5) and x == pytest.approx(1.5 * y)
    np.testing.assert_allclose(loaded.bounds, [[-x, -0.02, -y], [x, 0.0, y]], atol=1e-6)
    assert loaded.to_geometry().volume == pytest.approx(4.0 * x * y * 0.02)


def drawn_corners(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> Floats:
    """World x, y, z and texture coordinates (v upward) of all corners that MuJoCo draws of a mesh geom."""
    mesh = model.mesh(model.geom_dataid[geom])
    faces = slice(mesh.faceadr[0], mesh.faceadr[0] + mesh.facenum[0])
    local = model.mesh_vert[mesh.vertadr[0] :][model.mesh_face[faces].ravel()]
    uv = model.mesh_texcoord[mesh.texcoordadr[0] :][model.mesh_facetexcoord[faces].ravel()]
    world = local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
    return np.c_[world, uv[:, 0], 1.0 - uv[:, 1]]


def test_what_is_worn_lies_as_mujoco_draws_it() -> None:
    """MuJoCo's own corners and texture coordinates, of the exported MJCF: a cloth, a tilted mug, a cylinder."""
    objects = (
        SceneObject("mug", (0.1, 0.0, 0.1), (0.6, 0.8, 0.0, 0.0), 1.3, (0.9, 0.5, 0.2), "checker-2"),
        SceneObject("cylinder", (-0.1, 0.0, 0.0), texture="stripes-5"),
        SceneObject.upright("mug", 0.0, 0.15),
    )
    scene = Scene(objects, table=Table(shape="rectangle"), cloth=Cloth((0.3, 0.6, 0.9), "checker-4"))
    made = scene_mjcf(scene, "assets")
    model = mujoco.MjModel.from_xml_string(made.text, made.files)
    physics = mujoco.MjData(model)
    mujoco.mj_forward(model, physics)
    loaded = trimesh.load(BytesIO(scene_glb(scene)), file_type="glb", process=False)
    for node, body, texture in (
        ("table", "world", "checker-4"), ("mug 1", "mug 1", "checker-2"), ("cylinder 2", "cylinder 2", "stripes-5")
    ):  # fmt: skip
        matrix, name = loaded.graph[node]
        mesh = loaded.geometry[name]
        picture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
        np.testing.assert_array_equal(picture, texture_pixels(texture))
        x, y, z = trimesh.transform_points(mesh.vertices, matrix).T
        ours = np.c_[x, -z, y, mesh.visual.uv][mesh.faces.ravel()]
        number = model.body(body).id
        theirs = drawn_corners(model, physics, next(g for g in np.flatnonzero(model.geom_bodyid == number)))
        assert len(ours) == len(theirs)
        for one, other in ((ours, theirs), (theirs, ours)):
            assert cKDTree(one).query(other)[0].max() < 1e-3, node
    plain = loaded.geometry[loaded.graph["mug 3"][1]].visual.material
    assert plain.baseColorTexture is None, "the other mug wears nothing"
    cloth = loaded.geometry[loaded.graph["table"][1]]
    x, y = scene.table.top.half_extents_m
    top = cloth.faces[cloth.vertices[cloth.faces][..., 2].min(axis=1) > -1e-6]
    low, high = cloth.visual.uv[top].reshape(-1, 2).min(axis=0), cloth.visual.uv[top].reshape(-1, 2).max(axis=0)
    np.testing.assert_allclose(high - low, [2 * x / TILE_M, 2 * y / TILE_M], rtol=1e-4)


def test_pixels_that_are_not_square_make_the_aspect_ratio() -> None:
    data = scene_glb(Scene(camera=Orbit(fx_over_fy=1.25)), 160 / 120)
    tree = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    perspective = tree["cameras"][0]["perspective"]
    fx, fy = Orbit(fx_over_fy=1.25).sized(160, 120).focal_px
    across = 2 * math.atan(math.tan(perspective["yfov"] / 2) * perspective["aspectRatio"])
    assert across == pytest.approx(2 * math.atan(80 / fx)) and perspective["yfov"] == pytest.approx(
        2 * math.atan(60 / fy)
    )
