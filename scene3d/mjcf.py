"""Writes a scene as MJCF: a model that loads in MuJoCo, looks as air3d draws it, and can be simulated on.

The table is static, every object has a free joint, its display mesh to be seen (group 2) and convex bodies for
collisions (group 3, not drawn); camera and lamp are the scene's. Hulls stand in the file itself; display meshes and
textures lie in a folder beside it, which the file names by a relative path.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import mujoco
import numpy as np

from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.compiler import build_spec, light_directions, mujoco_intrinsic
from air3d.scene3d.lamps import lamp_directions
from air3d.scene3d.physics import add_bodies, add_walls, set_contacts, set_options
from air3d.scene3d.scene import TABLE_THICKNESS_M, Scene

# The side of a sensor's pixel; any would do.
_PIXEL_M = 1e-5


class Mjcf(NamedTuple):
    """A model in MJCF.

    Attributes:
        text: the model's file.
        files: the contents of the files that it names, by their paths relative to it.
    """

    text: str
    files: dict[str, bytes]


def scene_mjcf(scene: Scene, folder: str, size: tuple[int, int] = (480, 480)) -> Mjcf:
    """Write a scene as MJCF.

    Args:
        folder: the path, relative to the model's file, of the folder for meshes and textures.
        size: the width and height of the camera's images, pixels.

    Raises:
        InputError: if a mesh or texture is missing.
    """
    kinds = tuple(sorted({item.kind for item in scene.objects}))
    spec = build_spec(kinds, 0, scene.table, "display")
    spec.modelname = "air3d scene"
    set_options(spec, 0.002)
    _add_table(spec, scene)
    _aim(spec, scene, size)
    for n, item in enumerate(scene.objects):
        name = f"{item.kind} {n + 1}"
        body = spec.worldbody.add_body(name=name, pos=item.position_m, quat=item.rotation_wxyz)
        body.add_freejoint(name=name)
        look = body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, contype=0, conaffinity=0, group=2, mass=0.0)
        look.meshname, look.material = _scaled(spec, item.kind, item.scale), f"{item.kind}.material"
        look.rgba = [*item.rgb, 1.0]
        add_bodies(spec, body, item.kind, item.scale)
    files = _beside(spec, folder)
    spec.compile()
    return Mjcf(spec.to_xml(), files)


def _beside(spec: mujoco.MjSpec, folder: str) -> dict[str, bytes]:
    """Let the model name its files relative to itself; return them."""
    files: dict[str, bytes] = {}
    for asset in (*spec.meshes, *spec.textures):
        if asset.file:
            room, name = ("meshes" if asset.file.endswith(".obj") else "textures"), asset.file.rpartition("/")[2]
            asset.file = f"{folder}/{name}"
            files[asset.file] = asset_path(room, name).read_bytes()
    spec.assets = files
    return files


def _scaled(spec: mujoco.MjSpec, kind: str, scale: float) -> str:
    """The display mesh of a kind in a size, which is added if it is not 1."""
    name = kind if scale == 1.0 else f"{kind} x {scale!r}"
    if all(mesh.name != name for mesh in spec.meshes):
        file = str(asset_path("meshes", f"{kind}.display.obj"))
        spec.add_mesh(name=name, file=file, scale=[scale] * 3, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    return name


def _add_table(spec: mujoco.MjSpec, scene: Scene) -> None:
    """Give the table a body: a prism over its outline."""
    outline = scene.table.top.outline()
    prism = np.concatenate([np.column_stack([outline, np.full(len(outline), z)]) for z in (-TABLE_THICKNESS_M, 0.0)])
    spec.add_mesh(name="table/solid", uservert=prism.ravel().tolist())
    geom = spec.worldbody.add_geom(name="table/solid", type=mujoco.mjtGeom.mjGEOM_MESH, meshname="table/solid")
    geom.group, geom.rgba = 3, [0.5, 0.5, 0.5, 0.0]
    set_contacts(geom)
    add_walls(spec, scene.table.ground)


def _aim(spec: mujoco.MjSpec, scene: Scene, size: tuple[int, int]) -> None:
    """Fix the scene's camera and lamp."""
    camera = scene.camera.sized(*size)
    mount = spec.body("camera_mount")
    mount.mocap, mount.pos, mount.quat = False, scene.camera.eye_m, scene.camera.rotation_wxyz
    eye = spec.camera("camera")
    eye.fovy, eye.resolution = math.degrees(float(camera.fovy_rad)), list(size)
    if not scene.camera.plain:
        numbers = _PIXEL_M * np.append(size, mujoco_intrinsic(camera))
        eye.sensor_size, eye.focal_length, eye.principal_length = numbers.reshape(3, 2)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = size
    lamp = spec.light("lamp")
    lamp.dir = light_directions(SceneBatch.from_scenes([scene]))[0]
    lamp.pos, lamp.diffuse = -lamp.dir, [scene.light.diffuse] * 3
    for i, further in enumerate(scene.light.lamps):
        at = lamp_directions(SceneBatch.from_scenes([scene]))[0, i]
        added = spec.worldbody.add_light(name=f"lamp{i + 1}", type=lamp.type, pos=-at, dir=at)
        added.castshadow, added.diffuse, added.specular = False, [further.diffuse] * 3, [0.0] * 3
    spec.visual.headlight.ambient = [scene.light.ambient] * 3
