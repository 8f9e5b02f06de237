"""Geoms of a model that MuJoCo has compiled, as triangles with materials, and as bodies for collisions."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
from PIL import Image

from air3d.scene3d.arrays import Bools, Floats, Ints
from air3d.scene3d.objects import mjcf_shapes as shapes
from air3d.scene3d.objects.found_file import found_file
from air3d.scene3d.objects.raw_mesh import (
    Material,
    Picture,
    Polygons,
    RawMesh,
    Solid,
    UnreadableError,
    described,
)
from air3d.scene3d.srgb import linear

_GEOM = mujoco.mjtGeom
_PLANE, _FIELD = int(_GEOM.mjGEOM_PLANE), int(_GEOM.mjGEOM_HFIELD)
_MESHES = (int(_GEOM.mjGEOM_MESH), int(_GEOM.mjGEOM_SDF))
_SHAPES: dict[int, tuple[str, Callable[[Floats], shapes.Patches]]] = {
    int(_GEOM.mjGEOM_BOX): ("box", shapes.box),
    int(_GEOM.mjGEOM_SPHERE): ("sphere", lambda size: shapes.ellipsoid(size[[0, 0, 0]])),
    int(_GEOM.mjGEOM_ELLIPSOID): ("ellipsoid", shapes.ellipsoid),
    int(_GEOM.mjGEOM_CYLINDER): ("cylinder", shapes.cylinder),
    int(_GEOM.mjGEOM_CAPSULE): ("capsule", shapes.capsule),
}
# How far around the origin planes are drawn, metres along each of their axes, and how deep they are for collisions.
_PLANE_REACH_M, _PLANE_DEPTH_M = 8.0, 0.25
# The colour of a geom whose colour nobody has set.
_UNSET = (0.5, 0.5, 0.5, 1.0)


class _Part(NamedTuple):
    """The triangles of a geom in the object's frame, (F, 3, 3), (F, 3, 2), (F,), with materials of its own."""

    corners: Floats
    uvs: Floats
    material: Ints
    materials: list[Material]
    colours: Floats | None = None


class Geoms:
    """The geoms of a compiled model, in coordinates of one's choice.

    Args:
        data: has the kinematics done.
        base: the frame (4, 4) of those coordinates in the model's world.
        files: the assets of meshes by name, as the file has them.
        folders: where their files are.
        read_mesh: reads a mesh file with its materials, which MuJoCo drops.
        notes: collects what is left out.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        base: Floats,
        files: Mapping[str, Any],
        folders: Sequence[Path],
        read_mesh: Callable[[Path], RawMesh],
        notes: list[str],
    ) -> None:
        self._model, self._data, self._files, self._folders = model, data, files, folders
        self._read_mesh, self._notes = read_mesh, notes
        self._into = np.linalg.inv(base)
        self._pictures: dict[tuple[int, int], Picture] = {}

    def seen(self) -> Bools:
        """Tell which geoms (G,) are not wholly clear."""
        return np.array([self._rgba(geom)[3] > 0.0 for geom in range(self._model.ngeom)], dtype=bool)

    def polygons(self, drawn: Bools, solid: Bools, hulls: bool = False) -> Polygons:
        """The triangles of the geoms that are drawn (G,), and the bodies of those that things collide with (G,).

        Args:
            hulls: takes the convex hulls of meshes that are drawn and collide, as MuJoCo does.

        Raises:
            UnreadableError: if none is drawn.
        """
        model = self._model
        parts = [self._part(geom) for geom in np.flatnonzero(drawn).tolist()]
        if not parts:
            raise UnreadableError("holds no geom that can be drawn")
        corners = np.concatenate([part.corners for part in parts])
        starts = np.cumsum([0, *(len(part.materials) for part in parts[:-1])])
        painted = any(part.colours is not None for part in parts)
        # A mesh that is drawn and collides was not made for collisions: it is taken apart later.
        own = hulls or not (solid & drawn & np.isin(model.geom_type, _MESHES)).any()
        return Polygons(
            points=corners.reshape(-1, 3),
            sizes=np.full(len(corners), 3),
            corners=np.arange(3 * len(corners)),
            uvs=np.concatenate([part.uvs for part in parts]).reshape(-1, 2),
            material=np.concatenate([part.material + start for part, start in zip(parts, starts, strict=True)]),
            materials=[material for part in parts for material in part.materials],
            notes=self._notes,
            colours=np.concatenate(
                [np.ones((len(part.corners), 3, 3)) if part.colours is None else part.colours for part in parts]
            ).reshape(-1, 3)
            if painted
            else None,
            solids=[self._solid(geom) for geom in np.flatnonzero(solid).tolist()] if own else [],
        )

    def _frame(self, geom: int) -> Floats:
        """The geom's frame (4, 4)."""
        frame = np.eye(4)
        frame[:3, :3], frame[:3, 3] = self._data.geom_xmat[geom].reshape(3, 3), self._data.geom_xpos[geom]
        return self._into @ frame

    def _rgba(self, geom: int) -> tuple[float, ...]:
        """The colour of a geom: its own, if it has one, else its material's."""
        rgba, material = self._model.geom_rgba[geom], int(self._model.geom_matid[geom])
        unset = material >= 0 and np.allclose(rgba, _UNSET, atol=1e-6)
        return tuple((self._model.mat_rgba[material] if unset else rgba).tolist())

    def _part(self, geom: int) -> _Part:
        model, frame = self._model, self._frame(geom)
        is_mesh, number = int(model.geom_type[geom]) in _MESHES, int(model.geom_matid[geom])
        if is_mesh and number < 0:
            found = self._by_its_own_materials(int(model.geom_dataid[geom]), frame)
            if found is not None:
                return found
        corners, uvs = self._triangles(geom)
        material, texture = self._material(geom), self._texture(number)
        placed = corners @ frame[:3, :3].T + frame[:3, 3]
        one = np.zeros(len(corners), np.int64)
        if texture < 0:
            return _Part(placed, np.full((len(corners), 3, 2), np.nan), one, [material])
        size, uniform = model.geom_size[geom].copy(), bool(model.mat_texuniform[number])
        if not is_mesh:  # two numbers of what is round about z, one of a sphere
            size = size[[0, 0, 1]] if size[1] > 0.0 == size[2] else np.where(size > 0.0, size, size[0])
        if model.tex_type[texture] == mujoco.mjtTexture.mjTEXTURE_2D:
            repeat = model.mat_texrepeat[number].astype(np.float64)
            if uvs is None:
                uvs = shapes.seen_along_z(corners, repeat / (1.0 if uniform else np.maximum(size[:2], 1e-9)))
            else:  # MuJoCo repeats from the top
                uvs = [0.0, 1.0] + (uvs - [0.0, 1.0]) * repeat * (size[:2] if uniform else 1.0)
            return _Part(placed, uvs, one, [material._replace(picture=self._picture(texture, -1))])
        stretch = (size if uniform else 1.0) / (1.0 if is_mesh else size)
        corners, side, uvs = shapes.cube_sides(corners, stretch * np.ones(3))
        placed = corners @ frame[:3, :3].T + frame[:3, 3]
        return _Part(placed, uvs, side, [material._replace(picture=self._picture(texture, k)) for k in range(6)])

    def _triangles(self, geom: int) -> tuple[Floats, Floats | None]:
        """Triangles (F, 3, 3) in the geom's frame, and texture coordinates (F, 3, 2), v upward, or None."""
        model, kind = self._model, int(self._model.geom_type[geom])
        if kind in _SHAPES:
            return _SHAPES[kind][1](model.geom_size[geom])
        if kind == _PLANE:
            return shapes.plane(model.geom_size[geom], self._plane_middle(geom), _PLANE_REACH_M), None
        if kind == _FIELD:
            return shapes.height_field(*self._heights(int(model.geom_dataid[geom]))), None
        mesh = int(model.geom_dataid[geom])
        faces = slice(model.mesh_faceadr[mesh], model.mesh_faceadr[mesh] + model.mesh_facenum[mesh])
        corners = model.mesh_vert[model.mesh_vertadr[mesh] + model.mesh_face[faces]].astype(np.float64)
        if model.mesh_texcoordadr[mesh] < 0:
            return corners, None
        uvs = model.mesh_texcoord[model.mesh_texcoordadr[mesh] + model.mesh_facetexcoord[faces]].astype(np.float64)
        return corners, uvs * [1.0, -1.0] + [0.0, 1.0]

    def _plane_middle(self, geom: int) -> Floats:
        """Where on a plane (2,), in its own frame, the origin's foot is."""
        return np.asarray(np.linalg.inv(self._frame(geom))[:2, 3])

    def _heights(self, field: int) -> tuple[Floats, Floats]:
        """The heights (R, C) of a height field, from 0 to 1, and its size (4,)."""
        model = self._model
        shape, start = (int(model.hfield_nrow[field]), int(model.hfield_ncol[field])), int(model.hfield_adr[field])
        heights = model.hfield_data[start : start + shape[0] * shape[1]].reshape(shape).astype(np.float64)
        return heights, model.hfield_size[field]

    def _by_its_own_materials(self, mesh: int, frame: Floats) -> _Part | None:
        """Read a mesh's file for its materials, where the model gives it none; None if it has none either."""
        asset = self._files.get(mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_MESH, mesh))
        if asset is None or not np.allclose([*asset.refpos, *asset.refquat], [0, 0, 0, 1, 0, 0, 0]):
            return None
        file = found_file(str(asset.file), self._folders)
        if file is None or file.suffix.lower() not in (".obj", ".stl"):
            return None
        raw = self._read_mesh(file)
        if raw.colours is None and not any(map(described, raw.materials)):
            return None
        # MuJoCo moves a mesh into the frame of its inertia.
        inner, turn = np.eye(4), np.zeros(9)
        mujoco.mju_quat2Mat(turn, self._model.mesh_quat[mesh])
        inner[:3, :3], inner[:3, 3] = turn.reshape(3, 3), self._model.mesh_pos[mesh]
        whole = frame @ np.linalg.inv(inner)
        corners = (raw.corners * asset.scale) @ whole[:3, :3].T + whole[:3, 3]
        uvs = np.full((len(corners), 3, 2), np.nan) if raw.uvs is None else raw.uvs
        return _Part(corners, uvs, raw.material, list(raw.materials), raw.colours)

    def _material(self, geom: int) -> Material:
        """The material of a geom, without its picture."""
        red, green, blue, alpha = np.clip(self._rgba(geom), 0.0, 1.0).tolist()
        material = int(self._model.geom_matid[geom])
        name = mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_MATERIAL, material) if material >= 0 else ""
        # MuJoCo multiplies as the values are stored; of powers the product is the power of the product.
        r, g, b = linear(np.array([red, green, blue])).tolist()
        return Material(name or "", colour=(red, green, blue), tint=(r, g, b), clear=alpha < 1.0)

    def _texture(self, material: int) -> int:
        if material < 0:
            return -1
        roles = self._model.mat_texid[material]
        texture = max(int(roles[mujoco.mjtTextureRole.mjTEXROLE_RGB]), int(roles[mujoco.mjtTextureRole.mjTEXROLE_RGBA]))
        return texture if texture >= 0 and self._model.tex_height[texture] * self._model.tex_width[texture] else -1

    def _picture(self, texture: int, side: int) -> Picture:
        """A texture as a picture, or one of the six sides of a cube texture."""
        if (texture, side) not in self._pictures:
            model = self._model
            height, width, channels = (int(a[texture]) for a in (model.tex_height, model.tex_width, model.tex_nchannel))
            start = int(model.tex_adr[texture])
            pixels = model.tex_data[start : start + height * width * channels].reshape(height, width, channels)
            if side >= 0:  # of one file that all six sides show there is but one
                pixels = pixels[side * width % height :][:width]
            buffer = io.BytesIO()
            rgb = np.repeat(pixels, 3, axis=2) if channels == 1 else pixels[..., :3]
            Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_TEXTURE, texture) or "texture"
            wrap = ("repeat", "repeat") if side < 0 else ("clamp", "clamp")
            self._pictures[texture, side] = Picture(buffer.getvalue(), name, wrap, as_stored=True)
        return self._pictures[texture, side]

    def _solid(self, geom: int) -> Solid:
        kind = int(self._model.geom_type[geom])
        size = tuple(self._model.geom_size[geom].tolist())
        if kind in _SHAPES:
            return Solid(_SHAPES[kind][0], size, self._frame(geom), np.zeros((0, 3)))
        if kind == _PLANE:
            low, high = shapes.plane_ends(self._model.geom_size[geom], self._plane_middle(geom), _PLANE_REACH_M)
            frame = np.eye(4)
            frame[:3, 3] = (*(low + high) / 2.0, -_PLANE_DEPTH_M)
            size = (*((high - low) / 2.0).tolist(), _PLANE_DEPTH_M)
            return Solid("box", size, self._frame(geom) @ frame, np.zeros((0, 3)))
        mesh = int(self._model.geom_dataid[geom])
        start = int(self._model.mesh_vertadr[mesh])
        points = self._model.mesh_vert[start : start + int(self._model.mesh_vertnum[mesh])].astype(np.float64)
        return Solid("hull", (), self._frame(geom), points)
