"""The one compiler from scenes to MuJoCo: one model for a fixed number of slots, changed by arrays only.

Each slot is a mocap body that carries one geom of every kind; a slot shows an object by giving one of its geoms
alpha 1, and is empty when all have alpha 0. The camera hangs on a mocap body too. Nothing is ever recompiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats
from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera import Camera
from air3d.scene3d.catalog import Kind, get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Detail
from air3d.scene3d.lamps import directions, lamp_directions
from air3d.scene3d.meshes.obj import unwrapped
from air3d.scene3d.meshes.table import PLANK_COLOURS
from air3d.scene3d.scene import MAX_LAMPS, TABLE_THICKNESS_M, Table
from air3d.scene3d.textures import TEXTURES, WORN, texture_pixels

NEAR_M, FAR_M = 0.02, 20.0


class GeomFrames(NamedTuple):
    """World frames of the geoms that draw a batch, for every slot (empty ones hold rubbish).

    Attributes:
        position_m: (B, N, 3).
        matrix: (B, N, 3, 3), rotation times the object's scale: MuJoCo's renderers draw a mesh through it.
    """

    position_m: Floats
    matrix: Floats


class Bare(NamedTuple):
    """The looks of the table's geoms without a cloth: mesh and material ids (G,), rgba (G, 4)."""

    mesh: NDArray[np.int64]
    material: NDArray[np.int64]
    rgba: Floats


@dataclass(frozen=True)
class CompiledModel:
    """A compiled MjModel and the places of its parts.

    Attributes:
        model: the MuJoCo model.
        kinds: the names in the order of `object_geoms`.
        table: the table that was compiled in.
        slots: the number of objects that it can show.
        object_geoms: (slots, kinds), geom ids.
        static_geoms: the ids of the geoms of the table, or of the scenery.
        camera_body, slot_bodies: their mocap ids.
        varied: whether it was compiled for scenes that are `SceneBatch.varied`.
        cloth_geoms, cloth_meshes: the ids of the table's geoms that a cloth covers, and the meshes that they then have.
        bare: how those geoms look without one.
        textures: the names of what may be worn; none unless `varied`.
        texture_materials, cloth_materials: the ids of their materials on objects and on the cloth.
        own_materials: (kinds,), the ids of the kinds' own materials.
    """

    model: mujoco.MjModel
    kinds: tuple[str, ...]
    table: Table
    slots: int
    object_geoms: NDArray[np.int64]
    static_geoms: NDArray[np.int64]
    camera_body: int
    slot_bodies: NDArray[np.int64]
    varied: bool
    cloth_geoms: NDArray[np.int64]
    cloth_meshes: NDArray[np.int64]
    bare: Bare
    textures: tuple[str, ...]
    texture_materials: NDArray[np.int64]
    cloth_materials: NDArray[np.int64]
    own_materials: NDArray[np.int64]

    def check(self, batch: SceneBatch) -> None:
        """Raise InputError unless this model can draw the batch."""
        if batch.table != self.table:
            raise InputError(f"the scenes' table {batch.table} is not the compiled one {self.table}")
        if missing := set(batch.kinds) - set(self.kinds):
            raise InputError(f"kind '{min(missing)}' is not among the compiled kinds {', '.join(self.kinds)}")
        if batch.varied and not self.varied:
            raise InputError(
                "the scenes have further lamps or textures; make the renderer for them (RenderConfig, varied=True)"
            )
        if self.varied and (missing := set(batch.textures) - set(self.textures)):
            raise InputError(f"texture '{min(missing)}' is not among the compiled ones (RenderConfig, pictures)")

    def kind_index(self, batch: SceneBatch) -> NDArray[np.int64]:
        """The kinds (B, N) as indices into this model's `kinds`; -1 where absent."""
        table = np.array([self.kinds.index(name) for name in batch.kinds] + [-1], dtype=np.int64)
        return np.asarray(table[batch.kind])

    def worn(self, batch: SceneBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The textures of objects (B, N) and of the cloth (B,) as indices into this model's `textures`; -1 for none."""
        known = [self.textures.index(name) if self.varied else -1 for name in batch.textures]
        table = np.array([*known, -1], dtype=np.int64)
        return table[batch.texture], table[batch.cloth_texture]

    def geom_frames(self, batch: SceneBatch) -> GeomFrames:
        """Compute the frames of the visible geoms. MuJoCo moves a mesh to its own inertia frame; this undoes it."""
        geoms = self.object_geoms[0]
        kind = self.kind_index(batch)
        # One row more, for empty slots: there may be no kinds at all.
        offset, local = np.zeros((len(geoms) + 1, 3)), np.zeros((len(geoms) + 1, 9))
        offset[:-1] = self.model.geom_pos[geoms]
        for row, quat in zip(local[:-1], self.model.geom_quat[geoms], strict=True):
            mujoco.mju_quat2Mat(row, quat)
        frames = batch.frames()
        turn = frames[..., :3, :3] * batch.scale[..., None, None]
        position = (turn @ offset[kind][..., None])[..., 0] + frames[..., :3, 3]
        return GeomFrames(position, turn @ local.reshape(-1, 3, 3)[kind])

    def apply(self, data: mujoco.MjData, batch: SceneBatch, index: int, width: int, height: int) -> None:
        """Write scene `index` of the batch into `data` and the model's arrays, for MuJoCo's own renderers.

        Its camera is that of images of this size, pixels.
        Runs the kinematics; a scale other than 1 is put into `data.geom_xmat`, so do not run them again after.
        """
        one = batch[index : index + 1].with_slots(self.slots)
        kind, (texture, cloth) = self.kind_index(one)[0], self.worn(one)
        model = self.model
        model.geom_rgba[self.object_geoms.ravel(), 3] = 0.0
        for n in range(self.slots):
            if kind[n] >= 0:
                geom = self.object_geoms[n, kind[n]]
                model.geom_rgba[geom] = (*one.colour[0, n], 1.0)
                own = texture[0, n] < 0
                model.geom_matid[geom] = self.own_materials[kind[n]] if own else self.texture_materials[texture[0, n]]
        mesh, material, rgba = self.bare
        if cloth[0] >= 0:
            mesh, material = self.cloth_meshes, self.cloth_materials[cloth[0]]
            rgba = np.array((*one.cloth_colour[0], 1.0))
        model.geom_dataid[self.cloth_geoms], model.geom_matid[self.cloth_geoms] = mesh, material
        model.geom_rgba[self.cloth_geoms] = rgba
        data.mocap_pos[self.slot_bodies], data.mocap_quat[self.slot_bodies] = one.position_m[0], one.rotation_wxyz[0]
        camera = one.cameras(width, height)
        frame = camera.frame[0]
        data.mocap_pos[self.camera_body] = frame[:3, 3]
        mujoco.mju_mat2Quat(data.mocap_quat[self.camera_body], frame[:3, :3].ravel())
        model.cam_sensorsize[0], model.cam_resolution[0] = (width, height), (width, height)
        model.cam_intrinsic[0] = mujoco_intrinsic(camera)[0]
        model.light_dir[0] = light_directions(one)[0]
        if self.varied:
            model.light_dir[1:] = lamp_directions(one)[0]
            model.light_diffuse[1:] = one.lamps[0, :, 2:]
        model.light_pos[:] = -model.light_dir
        model.light_diffuse[0] = one.light_diffuse[0]
        even = model.vis.headlight.ambient if model.vis.headlight.active else model.light_ambient[0]
        even[:] = one.light_ambient[0]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        frames = self.geom_frames(one)
        for n in np.flatnonzero(kind >= 0).tolist():
            geom = self.object_geoms[n, kind[n]]
            data.geom_xpos[geom] = frames.position_m[0, n]
            data.geom_xmat[geom] = frames.matrix[0, n].ravel()


def light_directions(batch: SceneBatch) -> Floats:
    """The unit vectors (B, 3) along which the light travels."""
    return directions(batch.light_azimuth_rad, batch.light_elevation_rad)


def mujoco_intrinsic(camera: Camera) -> Floats:
    """MuJoCo's `cam_intrinsic` (..., 4) where `cam_sensorsize` is the size of the image in pixels.

    The principal point counts from the middle of the sensor, to the left and up.
    """
    (fx, fy), (left, top) = camera.focal_px, camera.principal_px
    return np.stack([fx, fy, camera.width / 2.0 - left, camera.height / 2.0 - top], axis=-1)


def compile_model(
    kinds: tuple[str, ...],
    slots: int,
    table: Table,
    detail: Detail,
    varied: bool = False,
    pictures: tuple[str, ...] = (),
) -> CompiledModel:
    """Compile the table and `slots` slots that can each show any of `kinds`.

    Args:
        detail: "inference" (few triangles, flat planks, no shadows: fast) or "display" (smooth, textured, shadows).
        varied: whether scenes may be `SceneBatch.varied`.
        pictures: the names of the textures that may be worn then, beside `TEXTURES`.

    Raises:
        InputError: for an unknown kind or a missing mesh.
    """
    textures = TEXTURES + pictures if varied else ()
    spec = build_spec(kinds, slots, table, detail, textures)
    model = spec.compile()

    def geom(name: str) -> int:
        return int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name))

    def mocap(name: str) -> int:
        return int(model.body_mocapid[mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)])

    objects = np.array([[geom(f"slot{n}/{kind}") for kind in kinds] for n in range(slots)], dtype=np.int64)
    objects = objects.reshape(slots, len(kinds))
    static = np.setdiff1d(np.arange(model.ngeom), objects.ravel())
    slot_bodies = np.array([mocap(f"slot{n}") for n in range(slots)], dtype=np.int64)

    covered = static if table.scenery is None else static[:0]
    cloth = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_MESH, "cloth")

    def materials(worn_by: str) -> NDArray[np.int64]:
        ids = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_MATERIAL, f"{worn_by}/{name}") for name in textures]
        return np.array(ids, dtype=np.int64)

    return CompiledModel(
        model=model,
        kinds=kinds,
        table=table,
        slots=slots,
        object_geoms=objects,
        static_geoms=static,
        camera_body=mocap("camera_mount"),
        slot_bodies=slot_bodies,
        varied=varied,
        cloth_geoms=covered,
        bare=Bare(*(np.array(a[covered]) for a in (model.geom_dataid, model.geom_matid, model.geom_rgba))),
        cloth_meshes=model.geom_dataid[covered] if cloth < 0 else np.full(len(covered), cloth),
        textures=textures,
        texture_materials=materials("object"),
        cloth_materials=materials("cloth"),
        own_materials=model.geom_matid[objects[0]] if slots else np.zeros(0, np.int64),
    )


def build_spec(
    kinds: tuple[str, ...], slots: int, table: Table, detail: Detail, textures: tuple[str, ...] = ()
) -> mujoco.MjSpec:
    """Build the uncompiled MjSpec, which can still be added to.

    Args:
        textures: the names of what may be worn; with some, there are further lamps, too. The others are those of
            `compile_model`.
    """
    spec = mujoco.MjSpec()
    spec.modelname = "air3d"
    display = detail == "display"
    # With extent 1 the clipping planes below are metres.
    spec.stat.extent, spec.stat.center = 1.0, [0.0, 0.0, 0.0]
    spec.visual.map.znear, spec.visual.map.zfar = NEAR_M, FAR_M
    # Half the side of the shadow map, metres: as small as the table allows, for sharp shadows without acne.
    spec.visual.map.shadowclip = 1.3 * table.reach_m
    spec.visual.quality.shadowsize = 2048 if display else 0
    spec.visual.quality.offsamples = 8 if display else 0
    # A lamp's own ambient light is lost in its shadow, so where shadows are cast the even light is the headlight's.
    spec.visual.headlight.active = int(display)
    spec.visual.headlight.diffuse = spec.visual.headlight.specular = [0.0] * 3
    world = spec.worldbody
    light = world.add_light(name="lamp", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[0.0, 0.0, 2.0])
    light.castshadow = display
    light.specular = [0.25] * 3 if display else [0.0] * 3
    for i in range(MAX_LAMPS if textures else 0):
        further = world.add_light(name=f"lamp{i + 1}", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, dir=[0, 0, -1])
        further.castshadow, further.ambient, further.diffuse, further.specular = False, [0.0] * 3, [0.0] * 3, [0.0] * 3
    _add_table(spec, table, display)
    for kind in kinds:
        _add_kind_assets(spec, get_kind(kind), detail)
    for n in range(slots):
        body = world.add_body(name=f"slot{n}", mocap=True)
        for kind in kinds:
            _add_visual_mesh(body, f"slot{n}/{kind}", kind, get_kind(kind))
    mount = world.add_body(name="camera_mount", mocap=True)
    mount.add_camera(name="camera")
    if textures:
        _add_textures(spec, textures, display)
    return spec


def _add_textures(spec: mujoco.MjSpec, textures: tuple[str, ...], display: bool) -> None:
    """Add textures that anything may wear, and give all meshes texture coordinates."""
    for name in textures:
        pixels = texture_pixels(name)
        texture = spec.add_texture(name=f"{WORN}/{name}", type=mujoco.mjtTexture.mjTEXTURE_2D)
        texture.width, texture.height, texture.nchannel = len(pixels), len(pixels), 3
        texture.data = pixels.tobytes()
        for worn_by, specular, shininess in (("object", 0.5, 0.6), ("cloth", 0.0, 0.0)):
            material = spec.add_material(name=f"{worn_by}/{name}", specular=specular * display, shininess=shininess)
            set_rgb_texture(material, texture.name)
    if (table := spec.mesh("table")) is not None:  # whose texture coordinates are those of its wood
        spec.add_mesh(name="cloth", file=table.file, scale=table.scale, inertia=table.inertia)
    files = {}
    for mesh in spec.meshes:
        text, name = Path(mesh.file).read_text(), f"{mesh.name}.obj"
        files[name] = unwrapped(text, tuple(mesh.scale), anew=mesh.name == "cloth").encode()
        mesh.file = name
    spec.assets = files


def _add_visual_mesh(body: mujoco.MjsBody, name: str, mesh: str, kind: Kind | None) -> mujoco.MjsGeom:
    geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh, contype=0, conaffinity=0)
    if kind is not None:
        geom.rgba = [*kind.colour, 1.0]
        geom.material = f"{kind.name}.material"
    return geom


def _add_mesh(spec: mujoco.MjSpec, name: str, file: str, scale: tuple[float, float, float]) -> None:
    # Shell inertia: thin walls have too little volume for MuJoCo's default.
    spec.add_mesh(
        name=name,
        file=str(asset_path("meshes", file)),
        scale=list(scale),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )


def _add_texture(spec: mujoco.MjSpec, name: str, file: str) -> None:
    spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=str(asset_path("textures", file)))


def _add_kind_assets(spec: mujoco.MjSpec, kind: Kind, detail: Detail) -> None:
    _add_mesh(spec, kind.name, f"{kind.name}.{detail}.obj", (1.0, 1.0, 1.0))
    shiny = detail == "display"
    material = spec.add_material(name=f"{kind.name}.material", specular=kind.gloss if shiny else 0.0, shininess=0.6)
    texture = kind.inference_texture if detail == "inference" and kind.inference_texture else kind.texture
    if texture is not None:
        _add_texture(spec, f"{kind.name}.texture", texture)
        set_rgb_texture(material, f"{kind.name}.texture")


def set_rgb_texture(material: mujoco.MjsMaterial, texture: str) -> None:
    """Give a material its texture of colours, by name."""
    names = list(material.textures)
    names[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture
    material.textures = names


def _add_table(spec: mujoco.MjSpec, table: Table, display: bool) -> None:
    world = spec.worldbody
    if table.scenery is not None:
        kind = get_kind(table.scenery)
        _add_kind_assets(spec, kind, "display" if display else "inference")
        spec.material(f"{kind.name}.material").specular = 0.0
        _add_visual_mesh(world, "scenery", kind.name, kind)
        if display:
            _add_sky(spec)
        return
    scale = (*table.top.half_extents_m, TABLE_THICKNESS_M)
    if not display:
        for i, colour in enumerate(PLANK_COLOURS):
            _add_mesh(spec, f"plank{i}", f"{table.mesh}_plank_{i}.inference.obj", scale)
            _add_visual_mesh(world, f"plank{i}", f"plank{i}", None).rgba = [*colour, 1.0]
        return
    _add_mesh(spec, "table", f"{table.mesh}.display.obj", scale)
    _add_texture(spec, "table.texture", "table.png")
    set_rgb_texture(spec.add_material(name="table.material", specular=0.1, shininess=0.2), "table.texture")
    _add_visual_mesh(world, "table", "table", None).material = "table.material"
    _add_sky(spec)


def _add_sky(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.20, 0.22, 0.26],
        rgb2=[0.05, 0.05, 0.06],
        width=64,
        height=384,
    )
