"""The compiler: MuJoCo's geometry is where the scene says, and only arrays change from scene to scene."""

from __future__ import annotations

import math
from functools import cache

import mujoco
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.compiler import CompiledModel, compile_model, light_directions
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Detail
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Light, Scene, SceneObject, Table

Array = NDArray[np.float64]
KINDS = tuple(CATALOG)


@cache
def compiled(kinds: tuple[str, ...] = KINDS, slots: int = 2, detail: Detail = "inference") -> CompiledModel:
    return compile_model(kinds, slots, Table(), detail)


@cache
def obj_vertices(name: str) -> Array:
    return np.asarray(trimesh.load(asset_path("meshes", f"{name}.obj"), process=False, force="mesh").vertices)


def drawn_vertices(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> Array:
    """World positions of a geom's mesh vertices, as MuJoCo's renderer transforms them."""
    mesh = model.geom_dataid[geom]
    start = model.mesh_vertadr[mesh]
    vertices = model.mesh_vert[start : start + model.mesh_vertnum[mesh]]
    return vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]


def assert_same_points(ours: Array, expected: Array) -> None:
    """Equal as sets, to five micrometres."""
    assert cKDTree(expected).query(ours)[0].max() < 5e-6
    assert cKDTree(ours).query(expected)[0].max() < 5e-6


def posed(item: SceneObject, detail: str) -> Array:
    turn = Rotation.from_quat(np.roll(item.rotation_wxyz, -1))
    return turn.apply(item.scale * obj_vertices(f"{item.kind}.{detail}")) + item.position_m


def tilted(kind: str) -> SceneObject:
    return SceneObject(kind, (-0.05, 0.13, 0.2), (0.1, 0.7, -0.5, 0.5), scale=1.3)


def applied(model: CompiledModel, scene: Scene) -> mujoco.MjData:
    data = mujoco.MjData(model.model)
    model.apply(data, SceneBatch.from_scenes([scene]), 0, 64, 48)
    return data


@pytest.mark.parametrize("kind", KINDS)
def test_vertices_are_where_the_pose_puts_the_mesh(kind: str) -> None:
    model = compiled()
    items = (SceneObject.upright(kind, 0.11, -0.07, 2.1), tilted(kind))
    data = applied(model, Scene(items))
    for n, item in enumerate(items):
        geom = model.object_geoms[n, KINDS.index(kind)]
        assert_same_points(drawn_vertices(model.model, data, geom), posed(item, "inference"))


@pytest.mark.parametrize("slots", [1, 3])
def test_display_meshes_too(slots: int) -> None:
    model = compiled(("teapot", "mug"), slots, "display")
    item = SceneObject.upright("mug", 0.1, 0.05, 0.9, scale=0.8)
    data = applied(model, Scene((item,)))
    assert_same_points(drawn_vertices(model.model, data, model.object_geoms[0, 1]), posed(item, "display"))


def test_a_mugs_handle_points_along_its_yaw() -> None:
    model = compiled()
    data = applied(model, Scene((SceneObject.upright("mug", 0.0, 0.0, math.pi / 2),)))
    vertices = drawn_vertices(model.model, data, model.object_geoms[0, KINDS.index("mug")])
    assert vertices[:, 1].max() > 0.07 > 0.05 > np.abs(vertices[:, 0]).max() and vertices[:, 1].min() > -0.05


def test_geom_frames_are_the_kinematics_of_mujoco() -> None:
    model, rng = compiled(), np.random.default_rng(0)
    for _ in range(5):
        items = tuple(
            SceneObject.upright(str(rng.choice(KINDS)), *rng.uniform(-0.2, 0.2, 2), rng.uniform(-4, 4))
            for _ in range(2)
        )
        batch = SceneBatch.from_scenes([Scene(), Scene(items)], slots=2)
        data = mujoco.MjData(model.model)
        model.apply(data, batch, 1, 64, 48)
        mujoco.mj_kinematics(model.model, data)  # from mocap alone: what apply wrote into geom_x* is gone
        frames = model.geom_frames(batch)
        for n, item in enumerate(items):
            geom = model.object_geoms[n, KINDS.index(item.kind)]
            np.testing.assert_allclose(frames.position_m[1, n], data.geom_xpos[geom], atol=1e-12)
            np.testing.assert_allclose(frames.matrix[1, n].ravel(), data.geom_xmat[geom], atol=1e-12)


def test_exactly_the_objects_of_the_scene_are_visible_in_their_colours() -> None:
    model = compiled()
    scenes = [
        Scene((SceneObject.upright("cube", 0.0, 0.0, colour=(0.1, 0.2, 0.3)), SceneObject.upright("plate", 0.2, 0.0))),
        Scene((SceneObject.upright("mug", 0.0, 0.0),)),
        Scene(),
    ]
    data, batch = mujoco.MjData(model.model), SceneBatch.from_scenes(scenes)
    for index, scene in enumerate(scenes):
        model.apply(data, batch, index, 64, 48)
        shown = {n: KINDS[k] for n, k in np.argwhere(model.model.geom_rgba[model.object_geoms, 3] > 0.0)}
        assert shown == {n: item.kind for n, item in enumerate(scene.objects)}
        for n, item in enumerate(scene.objects):
            rgba = model.model.geom_rgba[model.object_geoms[n, KINDS.index(item.kind)]]
            np.testing.assert_allclose(rgba, (*item.rgb, 1.0), atol=1e-7)
    assert (model.model.geom_rgba[model.static_geoms, 3] == 1.0).all()


@pytest.mark.parametrize("detail", ["inference", "display"])
def test_camera_and_light(detail: Detail) -> None:
    model = compiled(("mug",), 1, detail)
    camera = Orbit(0.7, 0.5, 0.9, (0.01, 0.02, 0.03), 0.6)
    light = Light(azimuth_rad=math.pi / 2, elevation_rad=math.radians(30.0), diffuse=0.7, ambient=0.3)
    data = applied(model, Scene(camera=camera, light=light))
    frame = camera.sized(64, 48).frame
    np.testing.assert_allclose(data.cam_xpos[0], frame[:3, 3], atol=1e-12)
    np.testing.assert_allclose(data.cam_xmat[0].reshape(3, 3), frame[:3, :3], atol=1e-9)
    # An image of 48 rows spans 0.6 radians, its pixels are square, and nothing is off its middle.
    assert model.model.cam_sensorsize[0].tolist() == model.model.cam_resolution[0].tolist() == [64, 48]
    np.testing.assert_allclose(model.model.cam_intrinsic[0], [24 / math.tan(0.3)] * 2 + [0, 0], rtol=1e-6)
    # From +y, 30 degrees up, so it shines towards -y and down.
    np.testing.assert_allclose(data.light_xdir[0], [0.0, -math.cos(math.pi / 6), -0.5], atol=1e-6)
    np.testing.assert_allclose(model.model.light_diffuse[0], 0.7, atol=1e-7)
    headlight = model.model.vis.headlight
    even = model.model.light_ambient[0] + headlight.active * np.array(headlight.ambient)
    np.testing.assert_allclose(even, 0.3, atol=1e-6)


def test_batched_camera_and_light_are_those_of_each_scene() -> None:
    scenes = [Scene(camera=Orbit(0.1 * i, 0.2, 0.5), light=Light(0.3 * i, 0.4)) for i in range(3)]
    batch = SceneBatch.from_scenes(scenes)
    for frame, way, scene in zip(batch.cameras(1, 1).frame, light_directions(batch), scenes, strict=True):
        np.testing.assert_allclose(frame, scene.camera.sized(1, 1).frame, atol=1e-12)
        assert np.linalg.norm(way) == pytest.approx(1.0)
        assert way[2] == pytest.approx(-math.sin(scene.light.elevation_rad))


def test_applying_scenes_changes_only_the_documented_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = compile_model(("mug", "cube"), 2, Table(), "inference")

    def no_compilation(*_: object) -> None:
        raise AssertionError("recompiled")

    monkeypatch.setattr(mujoco.MjSpec, "compile", no_compilation)
    names = [n for n in dir(model.model) if isinstance(getattr(model.model, n, None), np.ndarray)]
    before = {name: getattr(model.model, name).copy() for name in names}
    applied(
        model,
        Scene((SceneObject.upright("cube", 0.1, 0.1, 1.0, 1.2, (0.5, 0.5, 0.5)),), Orbit(0.3, 0.4, 0.8, fovy_rad=1)),
    )
    changed = {name for name in names if not np.array_equal(before[name], getattr(model.model, name))}
    camera = {"cam_sensorsize", "cam_resolution", "cam_intrinsic"}
    assert changed <= {"geom_rgba", *camera, "light_dir", "light_pos", "light_diffuse", "light_ambient"}
    assert {"geom_rgba", *camera} <= changed


def test_kind_index_translates_between_orders() -> None:
    model = compiled(("teapot", "mug"), 3, "display")
    scenes = [
        Scene((SceneObject.upright("mug", 0, 0), SceneObject.upright("teapot", 0, 0))),
        Scene((SceneObject.upright("mug", 0, 0),)),
    ]
    batch = SceneBatch.from_scenes(scenes, ("mug", "teapot"), 3)
    assert model.kind_index(batch).tolist() == [[1, 0, -1], [1, -1, -1]]
    model.check(batch)


def test_ids_are_complete_and_distinct() -> None:
    model = compiled(("teapot", "mug"), 3, "display")
    assert model.object_geoms.shape == (3, 2) and model.slot_bodies.shape == (3,)
    ids = [*model.object_geoms.ravel(), *model.static_geoms]
    assert sorted(ids) == list(range(model.model.ngeom))
    assert sorted([model.camera_body, *model.slot_bodies]) == list(range(model.model.nmocap))


def test_the_tabletop_is_a_disc_at_height_zero() -> None:
    for detail in ("inference", "display"):
        model = compile_model((), 0, Table(radius_m=0.5), detail)  # type: ignore[arg-type]
        data = mujoco.MjData(model.model)
        mujoco.mj_kinematics(model.model, data)
        points = np.concatenate([drawn_vertices(model.model, data, geom) for geom in model.static_geoms])
        assert points[:, 2].max() == pytest.approx(0.0, abs=1e-6)
        assert np.linalg.norm(points[:, :2], axis=1).max() == pytest.approx(0.5, abs=1e-4)


def test_scenes_for_another_model_are_refused() -> None:
    model = compiled(("mug",), 1)
    with pytest.raises(InputError, match="kind 'plate' is not among the compiled kinds mug"):
        model.check(SceneBatch.from_scenes([Scene((SceneObject.upright("plate", 0, 0),))]))
    with pytest.raises(InputError, match="is not the compiled one"):
        model.check(SceneBatch.from_scenes([Scene(table=Table(0.5))]))
    with pytest.raises(InputError, match="unknown kind 'mugg'"):
        compile_model(("mugg",), 1, Table(), "inference")
    with pytest.raises(InputError, match="2 slots do not fit into 1"):
        applied(model, Scene((SceneObject.upright("mug", 0, 0), SceneObject.upright("mug", 0.1, 0.1))))
