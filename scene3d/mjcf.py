"""Writes a scene as MJCF: a model that loads in MuJoCo, looks as air3d draws it, and can be simulated on.

The table is static, every object has a free joint, its display mesh to be seen (group 2) and convex bodies for
collisions (group 3, not drawn); camera and lamp are the scene's. Hulls stand in the file itself; display meshes and
textures lie in a folder beside it, which the file names by a relative path.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from PIL import Image

from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.compiler import build_spec, light_directions, mujoco_intrinsic, set_rgb_texture
from air3d.scene3d.contacts import add_bodies, add_walls, set_contacts, set_options
from air3d.scene3d.lamps import lamp_directions
from air3d.scene3d.meshes.obj import unwrapped
from air3d.scene3d.scene import TABLE_THICKNESS_M, Scene
from air3d.scene3d.textures import texture_pixels

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
    made: dict[str, bytes] = {}
    if scene.cloth is not None:
        cloth = spec.geom("table")
        cloth.meshname, cloth.rgba = _worn(spec, "table", 1.0, made, anew=True), [*scene.cloth.colour, 1.0]
        cloth.material = _material(spec, scene.cloth.texture, 0.0, made)
    for n, item in enumerate(scene.objects):
        name = f"{item.kind} {n + 1}"
        body = spec.worldbody.add_body(name=name, pos=item.position_m, quat=item.rotation_wxyz)
        body.add_freejoint(name=name)
        look = body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, contype=0, conaffinity=0, group=2, mass=0.0)
        look.meshname, look.material = _scaled(spec, item.kind, item.scale), f"{item.kind}.material"
        look.rgba = [*item.rgb, 1.0]
        if item.texture is not None:
            look.meshname = _worn(spec, look.meshname, item.scale, made)
            look.material = _material(spec, item.texture, 0.5, made)
        add_bodies(spec, body, item.kind, item.scale)
    files = _beside(spec, folder, made)
    spec.compile()
    return Mjcf(spec.to_xml(), files)


def _beside(spec: mujoco.MjSpec, folder: str, made: dict[str, bytes]) -> dict[str, bytes]:
    """Let the model name its files relative to itself; return them, those that are `made` for it too."""
    files: dict[str, bytes] = {}
    for asset in (*spec.meshes, *spec.textures):
        if asset.file:
            room, name = ("meshes" if asset.file.endswith(".obj") else "textures"), asset.file.rpartition("/")[2]
            asset.file = f"{folder}/{name}"
            files[asset.file] = made[name] if name in made else asset_path(room, name).read_bytes()
    spec.assets = files
    return files


def _scaled(spec: mujoco.MjSpec, kind: str, scale: float) -> str:
    """The display mesh of a kind in a size, which is added if it is not 1."""
    name = kind if scale == 1.0 else f"{kind} x {scale!r}"
    if all(mesh.name != name for mesh in spec.meshes):
        file = str(asset_path("meshes", f"{kind}.display.obj"))
        spec.add_mesh(name=name, file=file, scale=[scale] * 3, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    return name


def _worn(spec: mujoco.MjSpec, mesh: str, scale: float, made: dict[str, bytes], anew: bool = False) -> str:
    """A mesh with texture coordinates for what anything may wear; it is added if it has none, or to get them `anew`.

    Patterns grow with an object, not with the table.
    """
    bare, name = spec.mesh(mesh), f"{mesh} worn"
    text = Path(bare.file).read_text()
    shape = tuple(length / scale for length in bare.scale)
    if (worn := unwrapped(text, shape, anew)) == text:
        return mesh
    if all(known.name != name for known in spec.meshes):
        made[f"{name}.obj"] = worn.encode()
        spec.add_mesh(name=name, file=f"{name}.obj", scale=bare.scale, inertia=bare.inertia)
    return name


def _material(spec: mujoco.MjSpec, texture: str, specular: float, made: dict[str, bytes]) -> str:
    """The material of a texture that anything may wear, which is added unless it is there."""
    name = f"{texture} of gloss {specular:g}"
    if all(known.name != texture for known in spec.textures):
        file = io.BytesIO()
        Image.fromarray(texture_pixels(texture)).save(file, "PNG")
        made[f"{texture}.png"] = file.getvalue()
        spec.add_texture(name=texture, type=mujoco.mjtTexture.mjTEXTURE_2D, file=f"{texture}.png")
    if all(known.name != name for known in spec.materials):
        set_rgb_texture(spec.add_material(name=name, specular=specular, shininess=0.6), texture)
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
    if scene.table.scenery is not None:
        add_bodies(spec, spec.worldbody, scene.table.scenery, 1.0)


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
