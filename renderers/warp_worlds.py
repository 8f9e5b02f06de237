"""The worlds of MuJoCo Warp that backend `warp` draws: a fixed number of them on one device, rewritten for each chunk.

A scene goes to the device as a few dozen numbers; kernels of ours make frames of them there. Only arrays that the ray
caster reads are written; no kinematics run. What this module knows about it (4.0):

- A geom's mesh, material and colour may differ from world to world, so a slot needs one geom, not one of each kind.
- Rays enter a mesh through the transpose of its geom's matrix, while bounds leave through the matrix itself. A
  scale s is therefore written as rotation * s for the bounds, and as rotation / s for the rays.
- The rule that drops a vertex normal too far from its face compares lengths which that scale changes, so it is
  applied here once, and the surviving normals are made long enough to pass it always.
- The headlight is compiled into the kernel; even light is the lamp's ambient part, which it adds in shadows too.
- Textures have no mipmaps; they are blurred here to about one pixel.
- Bytes are cut off where OpenGL rounds: pictures are darker by a quarter of a 255th on average.

Two things differ still: MuJoCo's OpenGL shades the vertices and interpolates, the ray caster shades each hit; and a
shadow map's errors are not repeated.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import mujoco
import mujoco_warp
import numpy as np
import warp as wp
from numpy.typing import NDArray

from air3d.renderers.mesh_corners import corner_normals, face_meshes
from air3d.renderers.protocol import RenderConfig
from air3d.renderers.warp_graphs import LaunchGraphs
from air3d.renderers.warp_kernels import (
    lay_cloth,
    place_objects,
    place_view,
    write_colour,
    write_depth,
    write_segmentation,
)
from air3d.renderers.warp_match import blur_textures
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.compiler import compile_model, light_directions, mujoco_intrinsic
from air3d.scene3d.lamps import lamp_directions
from air3d.scene3d.scene import MAX_LAMPS

# Rays in one launch: on a CPU enough to hide the launch, on a GPU enough to fill it; 16 bytes each.
_CPU_RAYS, _GPU_RAYS, _MOST_WORLDS = 2**20, 2**26, 2**15
# Display detail averages 3x3 rays a pixel; the middle one gives depth and segmentation. Large images need none.
_DISPLAY_SAMPLES, _SAMPLED_SIDE = 3, 1024
_HIDDEN_GROUP = 5
_NORMAL_LENGTH = 1e4
# Of an object and of a view, as the kernels read them.
_NUMBERS, _VIEW_NUMBERS = 16, 21 + 4 * MAX_LAMPS


class WarpWorlds:
    """`capacity` worlds on a device, of which `load` fills the first ones and `draw` draws those.

    Attributes:
        compiled: the model; its object geoms serve as slots for any kind.
        capacity: the largest number of scenes in one `load`.
        graphs: the launches of a `draw`, recorded on CUDA.

    Args:
        config: the configuration of the renderer.
        device: the device that the worlds are on.
        capacity: the number of worlds; default: as many as the device holds.
    """

    def __init__(self, config: RenderConfig, device: wp.Device, capacity: int | None = None) -> None:
        display = config.detail == "display"
        kinds = max(len(config.kinds), 1)
        self.compiled = compile_model(
            config.kinds,
            max(1, -(-config.max_objects // kinds)),
            config.table,
            config.detail,
            config.varied,
            config.pictures,
        )
        self._slots = self.compiled.object_geoms.ravel()[: config.max_objects]
        large = max(config.height, config.width) > _SAMPLED_SIDE
        self._samples = _DISPLAY_SAMPLES if display and not large else 1
        height, width = config.height * self._samples, config.width * self._samples
        fill = (_GPU_RAYS if device.is_cuda else _CPU_RAYS) // (height * width)
        self.capacity = min(max(1, fill), _MOST_WORLDS) if capacity is None else capacity
        self.graphs = LaunchGraphs(device, record=device.is_cuda)
        self._count, self._size = 0, (config.width, config.height)
        self._device = device
        model = self.compiled.model
        model.geom_group[self.compiled.object_geoms.ravel()[config.max_objects :]] = _HIDDEN_GROUP
        model.vis.headlight.active = 0
        # A pixel is the unit of the camera matrix.
        model.cam_sensorsize[0] = self._size
        blur_textures(model, height)
        with wp.ScopedDevice(device):
            self._model = mujoco_warp.put_model(model)
            self._data = mujoco_warp.make_data(model, nworld=self.capacity, nconmax=0, njmax=0)
            self._context = mujoco_warp.create_render_context(
                model,
                nworld=self.capacity,
                cam_res=(width, height),
                render_rgb=True,
                render_depth=True,
                render_seg=True,
                use_shadows=display,
                shadow_light_fraction=0.0,
                # Rays made beforehand would fix the camera matrix.
                use_precomputed_rays=False,
                # A sheet is two coincident sides: a ray that meets the averted one first would step past both. Without
                # culling that side is lit as the one that faces us.
                enable_backface_culling=False,
                render_skybox=display,
                enable_specular=display,
                enable_emission=False,
            )
            self._set_normals()
            self._allocate()
            self._make_inputs()

    @property
    def device(self) -> wp.Device:
        """The device that the worlds are on."""
        return self._device

    def _set_normals(self) -> None:
        model = self.compiled.model
        face = np.arange(model.nmeshface) - model.mesh_faceadr[face_meshes(model)]
        corner = 3 * face[:, None] + np.arange(3)
        normals = _NORMAL_LENGTH * corner_normals(model).reshape(-1, 3)
        self._model.mesh_normal = wp.array(normals, dtype=wp.vec3)
        self._model.mesh_normaladr = wp.array(3 * model.mesh_faceadr, dtype=int)
        self._context.mesh_facenormal = wp.array(corner.astype(np.int32), dtype=wp.vec3i)

    def _allocate(self) -> None:
        """Give every world its own values, and the slots' materials the plain colour that means "the geom's"."""
        compiled, model, n = self.compiled, self.compiled.model, self.capacity
        resting = mujoco.MjData(model)
        mujoco.mj_kinematics(model, resting)
        static = compiled.static_geoms
        xpos, xmat, rgba = (np.zeros((model.ngeom, *shape), np.float32) for shape in ((3,), (3, 3), (4,)))
        xpos[static] = resting.geom_xpos[static]
        xmat[static] = resting.geom_xmat[static].reshape(-1, 3, 3)
        # A geom of exactly this colour counts as one without colour and takes the material's. The table's colour is
        # looked up here, and the materials get that grey, so that an object may have it too.
        grey = np.array([0.5, 0.5, 0.5, 1.0], np.float32)
        material = model.geom_matid[static]
        plain = (model.geom_rgba[static] == grey).all(axis=1) & (material >= 0)
        rgba[static] = model.geom_rgba[static]
        rgba[static[plain]] = model.mat_rgba[material[plain]]

        def in_all_worlds(values: NDArray[Any], dtype: Any) -> wp.array:
            return wp.array(np.broadcast_to(values, (n, *values.shape)), dtype=dtype)

        self._data.geom_xpos = in_all_worlds(xpos, wp.vec3)
        self._bounds_xmat, self._ray_xmat = in_all_worlds(xmat, wp.mat33), in_all_worlds(xmat, wp.mat33)
        self._model.geom_rgba = in_all_worlds(rgba, wp.vec4)
        self._model.geom_dataid = in_all_worlds(model.geom_dataid, int)
        self._model.geom_matid = in_all_worlds(model.geom_matid, int)
        self._model.mat_rgba = wp.array(np.tile(grey, (1, max(model.nmat, 1), 1)), dtype=wp.vec4)
        self._model.cam_intrinsic = wp.zeros((n, 1), dtype=wp.vec4)
        self._model.light_diffuse = wp.zeros((n, model.nlight), dtype=wp.vec3)
        self._model.light_ambient = wp.zeros((n, model.nlight), dtype=wp.vec3)
        self._shown = wp.zeros((n, model.ngeom), dtype=wp.uint8)
        self._seg_rays, self._no_rays = self._context.seg_data, wp.zeros((1, 1), dtype=wp.vec2i)

    def _make_inputs(self) -> None:
        """Allocate the arrays that `load` fills, and those that tell the kernels of slots and kinds."""
        n, model = self.capacity, self.compiled.model
        room = max(len(self._slots), 1)  # Warp cannot slice arrays without elements
        self._what = wp.zeros((n, room), dtype=wp.vec3i)
        self._cloth = wp.full((n, 4), -1.0, dtype=float)
        self._numbers = wp.zeros((n, room, _NUMBERS), dtype=float)
        self._views = wp.zeros((n, _VIEW_NUMBERS), dtype=float)
        geoms = self.compiled.object_geoms[0]
        turn = np.empty((len(geoms), 9))
        for row, quat in zip(turn, model.geom_quat[geoms], strict=True):
            mujoco.mju_quat2Mat(row, quat)
        self._tables = (
            wp.array(self._slots, dtype=int),
            wp.array(model.geom_pos[geoms], dtype=wp.vec3),
            wp.array(turn.reshape(-1, 3, 3), dtype=wp.mat33),
            wp.array(model.geom_dataid[geoms], dtype=int),
            wp.array(model.geom_matid[geoms], dtype=int),
            wp.array(self.compiled.texture_materials, dtype=int),
        )
        table = self.compiled.cloth_geoms
        self._table = (
            wp.array(table, dtype=int),
            wp.array(self._model.geom_rgba.numpy()[0, table], dtype=wp.vec4),
            wp.array(self.compiled.bare.mesh, dtype=int),
            wp.array(self.compiled.bare.material, dtype=int),
            wp.array(self.compiled.cloth_meshes, dtype=int),
            wp.array(self.compiled.cloth_materials, dtype=int),
        )

    def load(self, scenes: SceneBatch) -> None:
        """Send at most `capacity` checked scenes to the first worlds."""
        n, slots = len(scenes), min(scenes.slots, len(self._slots))
        camera = scenes.cameras(*self._size)
        self._count = n
        what = np.full((n, *self._what.shape[1:], 3), -1, np.int32)
        numbers = np.zeros((n, *self._numbers.shape[1:]), np.float32)
        # The present objects first: a scene may have more slots than this renderer, if they are empty.
        order = np.argsort(~scenes.present, axis=1, kind="stable")[:, :slots]
        rows = np.arange(n)[:, None]
        what[:, :slots, 0] = self.compiled.kind_index(scenes)[rows, order]
        what[:, :slots, 1] = order + 1
        texture, covering = self.compiled.worn(scenes)
        what[:, :slots, 2] = texture[rows, order]
        cloth = np.column_stack([covering, scenes.cloth_colour]).astype(np.float32)
        numbers[:, :slots, :12] = scenes.frames()[rows, order, :3].reshape(n, slots, 12)
        numbers[:, :slots, 12] = scenes.scale[rows, order]
        numbers[:, :slots, 13:] = scenes.colour[rows, order]
        views = np.empty((n, _VIEW_NUMBERS), np.float32)
        views[:, :12] = camera.frame[:, :3].reshape(n, 12)
        views[:, 12:16] = mujoco_intrinsic(camera)
        views[:, 16:19] = light_directions(scenes)
        views[:, 19] = scenes.light_diffuse
        views[:, 20] = scenes.light_ambient
        views[:, 21:].reshape(n, MAX_LAMPS, 4)[..., :3] = lamp_directions(scenes)
        views[:, 21:].reshape(n, MAX_LAMPS, 4)[..., 3] = scenes.lamps[..., 2]
        for device, values in (
            (self._what, what),
            (self._numbers, numbers),
            (self._views, views),
            (self._cloth, cloth),
        ):
            device[:n].assign(values)

    def draw(self, colour: bool = False, depth: bool = False, segmentation: bool = False) -> None:
        """Cast the rays of the loaded worlds; what is asked for can then be read, until the next `load` or `draw`."""
        job = (self._count, colour, depth, segmentation)
        with wp.ScopedDevice(self._device):
            self.graphs.run(job, partial(self._launch, *job))

    def _launch(self, n: int, colour: bool, depth: bool, segmentation: bool) -> None:
        model, data, context = self._model, self._data, self._context
        placed = (data.geom_xpos, self._bounds_xmat, self._ray_xmat, model.geom_rgba, model.geom_dataid)
        wp.launch(
            place_objects,
            dim=(n, len(self._slots)),
            inputs=[self._what, self._numbers, *self._tables],
            outputs=[*placed, model.geom_matid, self._shown],
        )
        if self.compiled.varied and len(self.compiled.cloth_geoms):
            wp.launch(
                lay_cloth,
                dim=(n, len(self.compiled.cloth_geoms)),
                inputs=[self._cloth, *self._table],
                outputs=[model.geom_rgba, model.geom_dataid, model.geom_matid],
            )
        wp.launch(
            place_view,
            dim=n,
            inputs=[self._views],
            outputs=[
                *(data.cam_xpos, data.cam_xmat, model.cam_intrinsic),
                *(data.light_xdir, model.light_diffuse, model.light_ambient),
            ],
        )
        context.render_rgb.fill_(colour)
        context.render_depth.fill_(depth)
        context.render_seg.fill_(segmentation)
        # The ray caster clears this one in all worlds, drawn or not, asked for or not.
        context.seg_data = self._seg_rays if segmentation else self._no_rays
        data.nworld = n
        data.geom_xmat = self._bounds_xmat
        mujoco_warp.refit_bvh(model, data, context)
        data.geom_xmat = self._ray_xmat
        mujoco_warp.render(model, data, context)

    def write_rgb(self, out: wp.array) -> None:
        """Write the colours to `out`, (B, H, W, 3) uint8 on the device."""
        self._resolve(write_colour, out, self._context.rgb_data)

    def read_rgb(self, out: NDArray[np.uint8]) -> None:
        """Write the colours to `out`, (B, H, W, 3)."""
        self._read(write_colour, out, self._context.rgb_data)

    def read_depth_m(self, out: NDArray[np.float32]) -> None:
        """Write the depths to `out`, (B, H, W), +inf where nothing is seen."""
        self._read(write_depth, out, self._context.depth_data)

    def read_segmentation(self, out: NDArray[np.uint8]) -> None:
        """Write the segmentation to `out`, (B, H, W), see `Frames`."""
        self._read(write_segmentation, out, self._seg_rays, self._shown)

    def _read(self, kernel: wp.Kernel, out: NDArray[Any], *rays: wp.array) -> None:
        dtype = wp.dtype_from_numpy(out.dtype)
        if self._device.is_cpu:
            self._resolve(kernel, wp.array(out, dtype=dtype, device="cpu", copy=False), *rays)
        else:
            there = wp.empty(out.shape, dtype=dtype, device=self._device)
            self._resolve(kernel, there, *rays)
            out[:] = there.numpy()

    def _resolve(self, kernel: wp.Kernel, out: wp.array, *rays: wp.array) -> None:
        wp.launch(kernel, out.shape[:3], [*rays, self._samples], [out], device=self._device)
