"""Backend `raster`: the compiled MuJoCo model drawn by a software rasteriser of our own, without OpenGL.

At the size of training images, OpenGL's software drivers spend most of their time on state and small draws. This
one transforms, lights and fills the same triangles in one compiled loop over the batch (`raster_kernel`), in threads.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from air3d.renderers import raster_kernel as kernel
from air3d.renderers.mesh_corners import corner_normals, face_meshes
from air3d.renderers.protocol import Frames, RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.closing import Closing
from air3d.scene3d.compiler import NEAR_M, compile_model, light_directions
from air3d.scene3d.errors import InputError
from air3d.scene3d.lamps import lamp_directions
from air3d.scene3d.textures import PLAIN, texture_pixels

_CHUNK = 32


class _Meshes(NamedTuple):
    """All meshes of the model in the form that `raster_kernel.draw` takes."""

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    vertex_range: NDArray[np.int32]
    face_range: NDArray[np.int32]


class RasterRenderer(Closing):
    """Software rasteriser for inference detail.

    Args:
        config: the configuration, as for every backend.
        workers: the number of threads; default: the number of usable cores.

    Raises:
        InputError: in display detail (shadows and multisampling are OpenGL's), or for a bad number of workers.
    """

    name = "raster"

    def __init__(self, config: RenderConfig, workers: int | None = None) -> None:
        if config.detail != "inference":
            raise InputError("renderer raster: draws inference detail only; use --renderer gl for display")
        if workers is not None and not 1 <= workers <= 256:
            raise InputError(f"renderer raster: workers is {workers}; use 1 to 256")
        self.config = config
        self._workers = workers or len(os.sched_getaffinity(0))
        self._compiled = compile_model(config.kinds, 1, config.table, config.detail, config.varied, config.pictures)
        self._meshes = _meshes(self._compiled.model)
        self._mip_range, self._mips = _mipmaps(self._compiled.model, self._compiled.textures)
        self._table, self._table_ids = self._table_objects()
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="air3d-raster")
        self._closed = False

    @property
    def workers(self) -> int:
        """The number of threads."""
        return self._workers

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        return self._draw(scenes)[0]

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation alone, (B, H, W) uint8."""
        return self._draw(scenes)[2]

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and segmentation; see `Frames`."""
        rgb, inverse, segmentation = self._draw(scenes)
        with np.errstate(divide="ignore"):
            return Frames(rgb, np.float32(1.0) / inverse, segmentation)

    def _draw(self, scenes: SceneBatch) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
        if self._closed:
            raise RuntimeError("this renderer is closed")
        self._compiled.check(scenes)
        self.config.check_count(scenes)
        shape = (len(scenes), self.config.height, self.config.width)
        rgb = np.empty((*shape, 3), np.uint8)
        inverse, segmentation = np.empty(shape, np.float32), np.empty(shape, np.uint8)
        objects, ids = self._objects(scenes)
        views = self._views(scenes)

        def part(start: int) -> None:
            chosen = slice(start, start + _CHUNK)
            kernel.draw(
                *self._meshes,
                self._mip_range,
                self._mips,
                objects[chosen],
                ids[chosen],
                views[chosen],
                NEAR_M,
                rgb[chosen],
                inverse[chosen],
                segmentation[chosen],
            )

        starts = range(0, len(scenes), _CHUNK)
        if len(starts) > 1:
            list(self._threads.map(part, starts))
        elif starts:
            part(0)  # waking a thread takes longer than a small batch
        return rgb, inverse, segmentation

    def _table_objects(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        model, geoms = self._compiled.model, self._compiled.static_geoms
        rows = np.zeros((len(geoms), kernel.OBJECT_COLUMNS), np.float32)
        for row, geom in zip(rows, geoms, strict=True):
            rotation = np.empty(9)
            mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
            row[kernel.ROTATION], row[kernel.POSITION] = rotation, model.geom_pos[geom]
            row[kernel.COLOUR], row[kernel.SCALE] = model.geom_rgba[geom, :3], 1.0
        meshes = model.geom_dataid[geoms]
        return rows, np.stack([meshes, np.zeros(len(geoms)), meshes], axis=-1).astype(np.int32)

    def _objects(self, scenes: SceneBatch) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Make rows for the table's geoms, then for every slot."""
        frames = self._compiled.geom_frames(scenes)
        b, n, t = len(scenes), scenes.slots, len(self._table)
        objects = np.empty((b, t + n, kernel.OBJECT_COLUMNS), np.float32)
        objects[:, :t] = self._table
        objects[:, t:, kernel.ROTATION] = frames.matrix.reshape(b, n, 9)
        objects[:, t:, kernel.POSITION] = frames.position_m
        objects[:, t:, kernel.COLOUR] = scenes.colour
        objects[:, t:, kernel.SCALE] = scenes.scale
        ids = np.empty((b, t + n, 3), np.int32)
        ids[:, :t] = self._table_ids
        texture, cloth = self._compiled.worn(scenes)
        covered = np.flatnonzero(cloth >= 0)
        objects[covered, :t, kernel.COLOUR] = scenes.cloth_colour[covered, None]
        ids[covered, :t, 2] = len(self._meshes.face_range) + cloth[covered, None]
        meshes = np.append(self._compiled.model.geom_dataid[self._compiled.object_geoms[0]], -1)  # -1: an empty slot
        ids[:, t:, 0] = meshes[self._compiled.kind_index(scenes)]
        ids[:, t:, 1] = np.arange(1, n + 1)
        ids[:, t:, 2] = np.where(texture < 0, ids[:, t:, 0], len(self._meshes.face_range) + texture)
        return objects, ids

    def _views(self, scenes: SceneBatch) -> NDArray[np.float32]:
        camera = scenes.cameras(self.config.width, self.config.height)
        views = np.empty((len(scenes), kernel.VIEW_COLUMNS), np.float32)
        (fx, fy), axes = camera.focal_px, camera.frame[:, :3, :3].transpose(0, 2, 1).copy()
        axes[:, 1] *= (fy / fx)[:, None]
        views[:, kernel.CAMERA] = axes.reshape(-1, 9)
        views[:, kernel.EYE] = camera.frame[:, :3, 3]
        views[:, kernel.TO_LIGHT] = -light_directions(scenes)
        views[:, kernel.DIFFUSE], views[:, kernel.AMBIENT] = scenes.light_diffuse, scenes.light_ambient
        lamps = -lamp_directions(scenes) * scenes.lamps[..., 2:]
        views[:, kernel.LAMPS] = lamps.reshape(len(scenes), math.prod(lamps.shape[1:]))
        views[:, kernel.FOCAL], views[:, kernel.PRINCIPAL] = fx, np.transpose(camera.principal_px)
        return views

    def close(self) -> None:
        """End the threads."""
        self._closed = True
        self._threads.shutdown()


def _meshes(model: mujoco.MjModel) -> _Meshes:
    """Merge corners that agree in position, normal and texture coordinate into one vertex, which is lit once."""
    mesh_of_face = face_meshes(model)
    normals = corner_normals(model)
    vertices, faces = [], []
    vertex_range, face_range = np.zeros((model.nmesh, 2), np.int32), np.zeros((model.nmesh, 2), np.int32)
    total_vertices = total_faces = 0
    for mesh in range(model.nmesh):
        own = np.flatnonzero(mesh_of_face == mesh)
        corners = np.zeros((len(own), 3, 8), np.float32)
        corners[..., :3] = model.mesh_vert[model.mesh_face[own] + model.mesh_vertadr[mesh]]
        corners[..., 3:6] = normals[own]
        if model.mesh_texcoordadr[mesh] >= 0:
            corners[..., 6:] = model.mesh_texcoord[model.mesh_facetexcoord[own] + model.mesh_texcoordadr[mesh]]
        unique, index = np.unique(corners.reshape(-1, 8), axis=0, return_inverse=True)
        vertices.append(unique)
        faces.append(index.reshape(-1, 3) + total_vertices)
        vertex_range[mesh] = total_vertices, total_vertices + len(unique)
        face_range[mesh] = total_faces, total_faces + len(own)
        total_vertices += len(unique)
        total_faces += len(own)
    return _Meshes(
        np.ascontiguousarray(np.concatenate(vertices).T, np.float32),
        np.ascontiguousarray(np.concatenate(faces), np.int32),
        vertex_range,
        face_range,
    )


def _mipmaps(model: mujoco.MjModel, worn: tuple[str, ...]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Filter the square 2D textures of the meshes' materials into levels (by boxes); see `raster_kernel.draw`.

    Those that are `worn` follow; what is plain has none.
    """
    ranges, texels = np.zeros((model.nmesh + len(worn), 3), np.int32), [np.zeros((1, 3), np.float32)]
    total = 1

    def add(row: int, level: NDArray[np.float64]) -> None:
        nonlocal total
        ranges[row] = total, len(level), len(level).bit_length()
        while True:
            texels.append(level.reshape(-1, 3).astype(np.float32))
            total += len(texels[-1])
            if len(level) == 1:
                return
            level = (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2]) / 4.0

    role = mujoco.mjtTextureRole.mjTEXROLE_RGB
    for geom in np.flatnonzero(model.geom_matid >= 0):
        texture, mesh = model.mat_texid[model.geom_matid[geom], role], model.geom_dataid[geom]
        if texture < 0 or ranges[mesh, 1]:
            continue
        side, channels = int(model.tex_width[texture]), int(model.tex_nchannel[texture])
        if side != model.tex_height[texture] or side & (side - 1):
            raise InputError("renderer raster: textures must be square, with a power of two as their side")
        start = model.tex_adr[texture]
        level = model.tex_data[start : start + side * side * channels].reshape(side, side, channels)
        add(mesh, level[..., :3] / 255.0)
    for number, name in enumerate(worn):
        if name != PLAIN:
            add(model.nmesh + number, texture_pixels(name) / 255.0)
    return ranges, np.concatenate(texels)
