"""The worlds of MuJoCo Warp that backend `warp` draws: a fixed number of them on one device, rewritten for each chunk.

Only arrays that the ray caster reads are written; no kinematics run. What this module knows about it (4.0):

- A geom's mesh, material and colour may differ from world to world, so a slot needs one geom, not one of each kind.
- Rays enter a mesh through the transpose of its geom's matrix, while bounds leave through the matrix itself. A
  scale s is therefore written as rotation * s for the bounds, and as rotation / s for the rays.
- The rule that drops a vertex normal too far from its face compares lengths which that scale changes, so it is
  applied here once, and the surviving normals are made long enough to pass it always.
- The headlight is compiled into the kernel; even light is the lamp's ambient part, which it adds in shadows too.
- Textures have no mipmaps; they are blurred here to about one pixel.
- Bytes are cut off where OpenGL rounds: pictures are darker by a quarter of a 255th on average.

What can not be met: MuJoCo's OpenGL shades the vertices and interpolates, the ray caster shades each hit; and a
shadow map's errors are not repeated.
"""

from __future__ import annotations

from typing import Any

import mujoco
import mujoco_warp
import numpy as np
import warp as wp
from numpy.typing import NDArray

from renderers.mesh_corners import corner_normals, face_meshes
from renderers.protocol import RenderConfig
from renderers.warp_match import blur_textures
from scene3d.batch import SceneBatch
from scene3d.compiler import batch_camera_frames, compile_model, light_directions

# Rays in one launch: on a CPU enough to hide the launch, on a GPU enough to fill it; 16 bytes each.
_CPU_RAYS, _GPU_RAYS, _MOST_WORLDS = 2**20, 2**26, 2**15
# Display detail averages 3x3 rays a pixel; the middle one gives depth and segmentation. Large images need none.
_DISPLAY_SAMPLES, _SAMPLED_SIDE = 3, 1024
_HIDDEN_GROUP = 5
_NORMAL_LENGTH = 1e4


class WarpWorlds:
    """`capacity` worlds on a device, of which `load` fills the first ones and `draw` draws those.

    Attributes:
        compiled: the model; its object geoms serve as slots for any kind.
        capacity: the largest number of scenes in one `load`.
    """

    def __init__(self, config: RenderConfig, device: wp.Device) -> None:
        display = config.detail == "display"
        kinds = max(len(config.kinds), 1)
        self.compiled = compile_model(
            config.kinds, max(1, -(-config.max_objects // kinds)), config.table, config.detail
        )
        self._slots = self.compiled.object_geoms.ravel()[: config.max_objects]
        large = max(config.height, config.width) > _SAMPLED_SIDE
        self._samples = _DISPLAY_SAMPLES if display and not large else 1
        self._height, self._width = config.height * self._samples, config.width * self._samples
        rays = _GPU_RAYS if device.is_cuda else _CPU_RAYS
        self.capacity = min(max(1, rays // (self._height * self._width)), _MOST_WORLDS)
        self._count = 0
        self._device = device
        model = self.compiled.model
        model.geom_group[self.compiled.object_geoms.ravel()[config.max_objects :]] = _HIDDEN_GROUP
        model.vis.headlight.active = 0
        blur_textures(model, config.height * self._samples)
        with wp.ScopedDevice(device):
            self._model = mujoco_warp.put_model(model)
            self._data = mujoco_warp.make_data(model, nworld=self.capacity, nconmax=0, njmax=0)
            self._context = mujoco_warp.create_render_context(
                model,
                nworld=self.capacity,
                cam_res=(self._width, self._height),
                render_rgb=True,
                render_depth=True,
                render_seg=True,
                use_shadows=display,
                shadow_light_fraction=0.0,
                # Rays made beforehand would fix the field of view.
                use_precomputed_rays=False,
                render_skybox=display,
                enable_specular=display,
                enable_emission=False,
            )
            self._set_normals()
            self._allocate()

    @property
    def device(self) -> str:
        """Warp's name of the device."""
        return str(self._device)

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
        geoms, static = model.ngeom, compiled.static_geoms
        self._host: dict[str, NDArray[Any]] = {
            "geom_xpos": np.zeros((n, geoms, 3), np.float32),
            "geom_xmat": np.zeros((n, geoms, 3, 3), np.float32),
            "geom_rgba": np.zeros((n, geoms, 4), np.float32),
            "geom_dataid": np.tile(model.geom_dataid.astype(np.int32), (n, 1)),
            "geom_matid": np.tile(model.geom_matid.astype(np.int32), (n, 1)),
        }
        self._host["geom_xpos"][:, static] = resting.geom_xpos[static]
        self._host["geom_xmat"][:, static] = resting.geom_xmat[static].reshape(-1, 3, 3)
        # A geom of exactly this colour counts as one without colour and takes the material's. The table's colour is
        # looked up here, and the materials get that grey, so that an object may have it too.
        grey = np.array([0.5, 0.5, 0.5, 1.0], np.float32)
        material = model.geom_matid[static]
        plain = (model.geom_rgba[static] == grey).all(axis=1) & (material >= 0)
        self._host["geom_rgba"][:, static] = model.geom_rgba[static]
        self._host["geom_rgba"][:, static[plain]] = model.mat_rgba[material[plain]]
        self._model.mat_rgba = wp.array(np.tile(grey, (1, max(model.nmat, 1), 1)), dtype=wp.vec4)
        self._ray_xmat = wp.zeros((n, geoms), dtype=wp.mat33)
        self._bounds_xmat = self._data.geom_xmat
        self._model.geom_rgba = wp.zeros((n, geoms), dtype=wp.vec4)
        self._model.geom_dataid = wp.zeros((n, geoms), dtype=int)
        self._model.geom_matid = wp.zeros((n, geoms), dtype=int)
        self._model.cam_fovy = wp.zeros((n, 1), dtype=float)
        self._model.light_diffuse = wp.zeros((n, 1), dtype=wp.vec3)
        self._model.light_ambient = wp.zeros((n, 1), dtype=wp.vec3)

    def load(self, scenes: SceneBatch) -> None:
        """Write at most `capacity` checked scenes into the first worlds."""
        n = self._count = len(scenes)
        # The present objects first: a scene may have more slots than this renderer, if they are empty.
        order = np.argsort(~scenes.present, axis=1, kind="stable")[:, : len(self._slots)]
        rows = np.arange(n)[:, None]
        used = self._slots[: order.shape[1]]
        self._shown = np.zeros((n, self.compiled.model.ngeom + 1), np.uint8)
        self._shown[:, 1 + used] = order + 1
        present = scenes.present[rows, order]
        kind, scale = self.compiled.kind_index(scenes)[rows, order], scenes.scale[rows, order][..., None, None]
        frames = self.compiled.geom_frames(scenes)
        matrix = frames.matrix[rows, order]
        model, host = self.compiled.model, {name: values[:n] for name, values in self._host.items()}
        templates = self.compiled.object_geoms[0][kind]
        host["geom_dataid"][:, used] = np.where(present, model.geom_dataid[templates], -1)
        host["geom_matid"][:, used] = model.geom_matid[templates]
        # Alpha 0 is what the ray caster takes for absent.
        host["geom_rgba"][:, self._slots, 3] = 0.0
        host["geom_rgba"][:, used, 3] = present
        host["geom_rgba"][:, used, :3] = scenes.colour[rows, order]
        for name in ("geom_rgba", "geom_dataid", "geom_matid"):
            getattr(self._model, name)[:n].assign(host[name])
        host["geom_xpos"][:, used] = np.where(present[..., None], frames.position_m[rows, order], 0.0)
        self._data.geom_xpos[:n].assign(host["geom_xpos"])
        for device, values in ((self._bounds_xmat, matrix), (self._ray_xmat, matrix / scale**2)):
            host["geom_xmat"][:, used] = values
            device[:n].assign(host["geom_xmat"])
        self._load_view(scenes)
        with wp.ScopedDevice(self._device):
            self._data.nworld = n
            self._data.geom_xmat = self._bounds_xmat
            mujoco_warp.refit_bvh(self._model, self._data, self._context)
            self._data.geom_xmat = self._ray_xmat

    def _load_view(self, scenes: SceneBatch) -> None:
        """Camera and light."""
        frames = batch_camera_frames(scenes)
        grey = np.ones(3)
        for array, values in (
            (self._data.cam_xpos, frames[:, :3, 3]),
            (self._data.cam_xmat, frames[:, :3, :3]),
            (self._model.cam_fovy, np.degrees(scenes.camera_fovy_rad)),
            (self._data.light_xdir, light_directions(scenes)),
            (self._model.light_diffuse, scenes.light_diffuse[:, None] * grey),
            (self._model.light_ambient, scenes.light_ambient[:, None] * grey),
        ):
            array[: len(scenes)].assign(np.ascontiguousarray(values[:, None], np.float32))

    def draw(self, colour: bool, depth: bool, segmentation: bool) -> None:
        """Cast the rays of the loaded worlds; what is asked for can then be read, until the next `load` or `draw`."""
        for asked, flag in (
            (colour, self._context.render_rgb),
            (depth, self._context.render_depth),
            (segmentation, self._context.render_seg),
        ):
            flag.fill_(asked)
        with wp.ScopedDevice(self._device):
            mujoco_warp.render(self._model, self._data, self._context)

    def rgb(self) -> NDArray[np.uint8]:
        """(B, H, W, 3) uint8, possibly a view of the device's memory."""
        packed = self._context.rgb_data[: self._count].numpy()
        # 0xAARRGGBB
        pixels = packed.astype("<u4", copy=False).view(np.uint8).reshape(*self._shape(), 4)[..., 2::-1]
        s = self._samples
        if s == 1:
            return pixels
        b, h, w = self._shape()
        sums = pixels.reshape(b, h // s, s, w // s, s, 3).sum(axis=(2, 4), dtype=np.uint32)
        return ((sums + s * s // 2) // (s * s)).astype(np.uint8)

    def depth_m(self) -> NDArray[np.float32]:
        """(B, H, W) float32, +inf where nothing is seen."""
        depth = self._centres(self._context.depth_data[: self._count].numpy())
        return np.where(depth > 0.0, depth, np.float32(np.inf))

    def segmentation(self) -> NDArray[np.uint8]:
        """(B, H, W) uint8, see `Frames`."""
        geoms = self._centres(self._context.seg_data[: self._count].numpy()[..., 0])
        flat = np.take_along_axis(self._shown, geoms.reshape(self._count, -1) + 1, axis=1)
        return flat.reshape(geoms.shape)

    def _shape(self) -> tuple[int, int, int]:
        return self._count, self._height, self._width

    def _centres(self, values: NDArray[Any]) -> NDArray[Any]:
        middle = slice(self._samples // 2, None, self._samples)
        return values.reshape(self._shape())[:, middle, middle]
