"""Backend `gl`: MuJoCo's classic OpenGL renderer, headless (EGL or OSMesa), one process.

A batch's geom frames are computed at once in numpy; each image then costs a few slice assignments into MuJoCo's
own `mjvScene` structs and the C calls that draw and read back. `mjv_updateScene` runs once, for the templates.
"""

from __future__ import annotations

import importlib
import os
import threading
import weakref
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from air3d.renderers.mjv_layout import camera_records, geom_records, light_records
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import Frames, RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.closing import Closing
from air3d.scene3d.compiler import FAR_M, NEAR_M, compile_model, light_directions
from air3d.scene3d.errors import InputError
from air3d.scene3d.lamps import lamp_directions
from air3d.scene3d.scene import MAX_LAMPS

_TABLE_ID = 254  # drawn as colour 255, then mapped to 0: the table hides objects but is background


class GlRenderer(Closing):
    """OpenGL renderer of scenes on one table.

    Raises:
        InputError: if no OpenGL context can be made; the message says what to do.
    """

    name = "gl"

    def __init__(self, config: RenderConfig) -> None:
        self.config = config
        self._compiled = compile_model(config.kinds, 1, config.table, config.detail, config.varied, config.pictures)
        model = self._compiled.model
        model.vis.global_.offwidth, model.vis.global_.offheight = config.width, config.height
        self._context = _make_context(config.width, config.height)
        # A context is current only while it is used: what is current in one thread cannot be used by another.
        self._lock = threading.Lock()
        with self._context.as_current():
            self._mjr = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mjr)
        # Left to the garbage collector, MuJoCo's objects would be freed while another renderer's context is current.
        # At exit MuJoCo takes the display down itself, maybe before us.
        self._free = weakref.finalize(self, _free, self._context, self._mjr)
        self._free.atexit = False
        self._mjr.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        static = len(self._compiled.static_geoms)
        self._scene = mujoco.MjvScene(model, static + max(config.max_objects, len(config.kinds), 2))
        self._geoms = geom_records(self._scene)
        self._cameras = camera_records(self._scene)
        self._table, self._templates = self._make_templates()
        self._lights = light_records(self._scene)
        # The headlight, in display detail, and the lamp; then the further lamps, of which those that shine are drawn.
        self._least_lights = len(self._lights) - (MAX_LAMPS if config.varied else 0)
        self._viewport = mujoco.MjrRect(0, 0, config.width, config.height)

    def _make_templates(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Let MuJoCo fill the scene once: records of the table's geoms, and one of every kind."""
        model = self._compiled.model
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        option = mujoco.MjvOption()
        camera = mujoco.MjvCamera()
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(model, data, option, None, camera, everything, self._scene)
        records = self._geoms[: self._scene.ngeom].copy()
        of_geom = {int(record["objid"]): i for i, record in enumerate(records)}
        table = records[[of_geom[int(g)] for g in self._compiled.static_geoms]]
        table["segid"] = _TABLE_ID
        flags = self._scene.flags
        flags[:] = 0
        # A sheet is two coincident sides; unculled, they would fight for each pixel.
        shown = ("CULL_FACE", "SHADOW", "SKYBOX") if self.config.detail == "display" else ("CULL_FACE",)
        for flag in shown:
            flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 1
        return table, records[[of_geom[int(g)] for g in self._compiled.object_geoms[0]]]

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        rgb = np.empty((len(scenes), self.config.height, self.config.width, 3), dtype=np.uint8)
        self._draw(scenes, rgb, None, segment=False)
        return rgb[:, ::-1].copy()

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and segmentation; see `Frames`."""
        rgb = self.render(scenes)
        segmentation, depth = self._segment(scenes, with_depth=True)
        return Frames(rgb, depth, segmentation)

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation alone, (B, H, W) uint8."""
        return self._segment(scenes, with_depth=False)[0]

    def _segment(self, scenes: SceneBatch, with_depth: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        b, h, w = len(scenes), self.config.height, self.config.width
        ids = np.empty((b, h, w, 3), dtype=np.uint8)
        buffer = np.empty((b, h, w), dtype=np.float32) if with_depth else None
        self._draw(scenes, ids, buffer, segment=True)
        segmentation = ids[:, ::-1, :, 0].copy()
        segmentation[segmentation == _TABLE_ID + 1] = 0
        if buffer is None:
            return segmentation, np.empty(0, dtype=np.float32)
        # Reversed z: the buffer holds 1 at the near plane, 0 at the far plane and where nothing was drawn.
        reverse = buffer[:, ::-1].astype(np.float64)
        depth = NEAR_M * FAR_M / (NEAR_M + reverse * (FAR_M - NEAR_M))
        return segmentation, np.where(reverse > 0.0, depth, np.inf).astype(np.float32)

    def render_raw(self, scenes: SceneBatch, table: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Colour, and the depth buffer as OpenGL keeps it: 0 where nothing is, larger is nearer.

        Args:
            table: whether the table is drawn.

        Returns:
            (B, H, W, 3) uint8 and (B, H, W) float32.
        """
        shape = (len(scenes), self.config.height, self.config.width)
        rgb, depth = np.empty((*shape, 3), dtype=np.uint8), np.empty(shape, dtype=np.float32)
        self._draw(scenes, rgb, depth, segment=False, table=table)
        return rgb[:, ::-1].copy(), depth[:, ::-1].copy()

    def _draw(
        self,
        scenes: SceneBatch,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32] | None,
        segment: bool,
        table: bool = True,
    ) -> None:
        """Draw every scene; images come out bottom row first."""
        self._compiled.check(scenes)
        self.config.check_count(scenes)
        present, counts = scenes.present, scenes.present.sum(axis=1)
        # All present objects of the batch, scene after scene, as records ready to be copied in.
        frames = self._compiled.geom_frames(scenes)
        objects = self._templates[self._compiled.kind_index(scenes)[present]]
        objects["pos"] = frames.position_m[present]
        objects["mat"] = frames.matrix[present].reshape(-1, 9)
        objects["rgba"][:, :3] = scenes.colour[present]
        texture, cloth = self._compiled.worn(scenes)
        texture = texture[present]
        if (worn := texture >= 0).any():
            objects[worn] = self._worn(objects[worn], self._compiled.texture_materials[texture[worn]])
        objects["segid"] = np.broadcast_to(np.arange(scenes.slots), present.shape)[present]
        ends = np.cumsum(counts).tolist()
        cameras = self._camera_records(scenes)
        lights = self._light_records(scenes)
        tables = self._table_records(scenes, cloth)
        # Up to the last that shines.
        further = np.where(scenes.lamps[..., 2] > 0.0, np.arange(1, MAX_LAMPS + 1), 0).max(axis=1)
        shining = (self._least_lights + further).tolist()
        with self._lock:  # of several threads one after the other
            if not self._free.alive:
                raise RuntimeError("this renderer is closed")
            with self._context.as_current():
                flags = self._scene.flags
                flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = segment
                first = len(self._table) if table else 0
                start = 0
                for b, end in enumerate(ends):
                    self._geoms[:first] = tables[b, :first]
                    self._geoms[first : first + end - start] = objects[start:end]
                    self._scene.ngeom = first + end - start
                    self._cameras[:] = cameras[b]
                    self._lights[:] = lights[b]
                    self._scene.nlight = shining[b]
                    mujoco.mjr_render(self._viewport, self._scene, self._mjr)
                    mujoco.mjr_readPixels(rgb[b], None if depth is None else depth[b], self._viewport, self._mjr)
                    start = end

    def _camera_records(self, scenes: SceneBatch) -> NDArray[Any]:
        records = np.repeat(self._cameras[:1], len(scenes))
        camera = scenes.cameras(self.config.width, self.config.height)
        frames, (fx, fy), (left, top) = camera.frame, camera.focal_px, camera.principal_px
        records["pos"], records["up"] = frames[:, :3, 3], frames[:, :3, 1]
        records["forward"] = -frames[:, :3, 2]
        records["frustum_top"] = NEAR_M * top / fy
        records["frustum_bottom"] = NEAR_M * (top - camera.height) / fy
        # Half the width (which MuJoCo's header says is not used); 0 lets it follow from the height: square pixels.
        records["frustum_width"] = np.where(fx == fy, 0.0, NEAR_M * camera.width / 2.0 / fx)
        records["frustum_center"] = NEAR_M * (camera.width / 2.0 - left) / fx
        records["frustum_near"], records["frustum_far"] = NEAR_M, FAR_M
        return records

    def _table_records(self, scenes: SceneBatch, cloth: NDArray[np.int64]) -> NDArray[Any]:
        """(B, geoms of the table): as they are, or under the scene's cloth."""
        if not (cloth >= 0).any():
            return np.broadcast_to(self._table, (len(scenes), len(self._table)))
        records = np.repeat(self._table[None], len(scenes), axis=0)
        for b in np.flatnonzero(cloth >= 0):
            records[b] = self._worn(records[b], self._compiled.cloth_materials[cloth[b]])
            records[b]["rgba"][:, :3] = scenes.cloth_colour[b]
            records[b]["dataid"] = 2 * self._compiled.cloth_meshes  # as mjvGeom counts them
        return records

    def _worn(self, records: NDArray[Any], material: NDArray[np.int64]) -> NDArray[Any]:
        """The records with other materials, as `mjv_updateScene` would write them."""
        model = self._compiled.model
        records["matid"], records["texid"] = material, model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB]
        records["texcoord"] = 1
        for name in ("texuniform", "texrepeat", "emission", "specular", "shininess", "reflectance"):
            records[name] = getattr(model, f"mat_{name}")[material]
        return records

    def _light_records(self, scenes: SceneBatch) -> NDArray[Any]:
        """(B, lights): in display detail the headlight, which is the even light there; the lamp; further ones."""
        records = np.repeat(self._lights[None], len(scenes), axis=0)
        lamp, even = records[:, self._least_lights - 1], records[:, 0]
        lamp["dir"] = light_directions(scenes)
        # The shadow map of a directional light looks along `dir` from `pos`.
        lamp["pos"] = -lamp["dir"]
        lamp["diffuse"] = scenes.light_diffuse[:, None]
        even["ambient"] = scenes.light_ambient[:, None]
        if self.config.varied:
            further = records[:, self._least_lights :]
            further["dir"], further["diffuse"] = lamp_directions(scenes), scenes.lamps[..., 2:]
            further["pos"] = -further["dir"]
        return records

    def close(self) -> None:
        """Free the OpenGL context."""
        with self._lock:
            self._free()


def _free(context: Any, mjr: mujoco.MjrContext) -> None:
    # The garbage collector may call this between two statements of another renderer, whose context stays current.
    with context.as_current():
        mjr.free()
    context.free()


def _make_context(width: int, height: int) -> Any:
    probe = probe_gl()
    if probe.platform is None:
        raise InputError(
            f"no OpenGL context can be made here ({probe.error}); run 'air3d doctor', or use --renderer warp"
        )
    # Mesa's software rasteriser gains nothing from threads at these sizes, and they fight with torch's.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    # The platform's own module, not mujoco.GLContext: that one is chosen by MUJOCO_GL when mujoco is first imported.
    return importlib.import_module(f"mujoco.{probe.platform}").GLContext(width, height)
