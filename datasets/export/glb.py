"""Writes a scene as binary glTF 2.0: display meshes, colours, textures, the table with its cloth, and the camera.

glTF is y-up and looks along -z, as our cameras do; our world is z-up. One root node turns the world,

    (x, y, z) in glTF = (x, z, -y) in the scene,

and everything below it keeps the scene's own coordinates, in metres. The camera is a second root, turned by itself,
for some readers (trimesh) leave out what stands above a camera. Colours are sRGB here and linear there. Lamps are left
out: viewers bring their own. glTF knows fields of view alone: a camera whose optical axis is off the image's middle
is written without the shift; pixels that are not square make its aspect ratio. Source: the Khronos Group, glTF 2.0
Specification, sections 3 and 4.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.png import encode_png
from air3d.scene3d.arguments import Vec3
from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import Rgb, get_kind
from air3d.scene3d.compiler import FAR_M, NEAR_M
from air3d.scene3d.kind import GLOSS
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.scene import TABLE_THICKNESS_M, Cloth, Scene, SceneObject, Table
from air3d.scene3d.srgb import linear
from air3d.scene3d.textures import box_coordinates, texture_pixels

# Rows: glTF's axes in the scene's.
Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])

_MAGIC, _VERSION = 0x46546C67, 2
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
_FLOAT, _UINT = 5126, 5125
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for
_LINEAR, _LINEAR_MIPMAPS, _REPEAT = 9729, 9987, 10497
TABLE_TEXTURE = "table.png"


class Look(NamedTuple):
    """How a mesh looks.

    Attributes:
        colour: sRGB, which a texture is multiplied with.
        texture: the file name of a texture in the assets.
        worn: the name of a texture that anything may wear (`air3d.scene3d.textures`), in place of that.
        box_m: lays `worn` onto the mesh in this size from the six sides of a box; None keeps texture coordinates.
        gloss: how strongly it mirrors, from 0 to 1.
        opacity: 1 is solid; what is below is blended.
    """

    colour: Rgb
    texture: str | None = None
    worn: str | None = None
    box_m: Vec3 | None = None
    gloss: float = GLOSS
    opacity: float = 1.0


def object_look(item: SceneObject) -> Look:
    """Tell how an object looks; a pattern grows with it."""
    kind = get_kind(item.kind)
    if item.texture is None:
        return Look(item.rgb, kind.texture, gloss=kind.gloss)
    bare = load_mesh(kind.name, "display").uvs is None
    return Look(item.rgb, None, item.texture, (1.0, 1.0, 1.0) if bare else None)


def table_look(table: Table, cloth: Cloth | None) -> Look:
    """Tell how a table looks, or what stands in its place; a pattern does not grow with the table."""
    if table.scenery is not None:
        kind = get_kind(table.scenery)
        return Look(kind.colour, kind.texture, gloss=0.0)
    if cloth is None:
        return Look((1.0, 1.0, 1.0), TABLE_TEXTURE)
    return Look(cloth.colour, None, cloth.texture, table_size_m(table), 0.0)


def table_size_m(table: Table) -> Vec3:
    """The size of a table's mesh, which is made for 1; that of scenery is as it is."""
    if table.scenery is not None:
        return 1.0, 1.0, 1.0
    x, y = table.top.half_extents_m
    return x, y, TABLE_THICKNESS_M


def scene_glb(scene: Scene, aspect: float = 1.0) -> bytes:
    """Encode the scene as a .glb file.

    Args:
        aspect: the width of the camera's image over its height, pixels.

    Raises:
        InputError: if a mesh or texture is missing.
    """
    file = _File()
    table, shape = scene.table, np.diag([*table_size_m(scene.table), 1.0])
    mesh = file.mesh(table.scenery or table.mesh, table_look(table, scene.cloth))
    children = [file.node("table" if table.scenery is None else "scenery", shape, mesh=mesh)]
    for n, item in enumerate(scene.objects):
        mesh = file.mesh(item.kind, object_look(item))
        children.append(file.node(f"{item.kind} {n + 1}", _object_matrix(item), mesh=mesh))
    camera = scene.camera.sized(1, 1)
    ratio = aspect / scene.camera.fx_over_fy
    perspective = {"yfov": float(camera.fovy_rad), "aspectRatio": ratio, "znear": NEAR_M, "zfar": FAR_M}
    file.tree["cameras"] = [{"name": "camera", "type": "perspective", "perspective": perspective}]
    root = file.node("scene (z up)", Z_UP_TO_Y_UP, children=children)
    eye = file.node("camera", Z_UP_TO_Y_UP @ camera.frame, camera=0)
    file.tree |= {"scene": 0, "scenes": [{"nodes": [root, eye]}]}
    return file.pack()


def mesh_glb(name: str, look: Look) -> bytes:
    """Encode one display mesh in its own frame, z up, for readers that place it themselves.

    Args:
        name: the name of a kind, or of a table, of radius and thickness 1.

    Raises:
        InputError: if the mesh or the texture is missing.
    """
    file = _File()
    node = file.node(name, np.eye(4), mesh=file.mesh(name, look))
    file.tree |= {"scene": 0, "scenes": [{"nodes": [node]}]}
    return file.pack()


def _object_matrix(item: SceneObject) -> NDArray[np.float64]:
    pose = item.frame()
    pose[:3, :3] *= item.scale
    return pose


def _boxed(mesh: Mesh, size_m: Vec3) -> Mesh:
    """Lay a texture onto a mesh from the six sides of a box; corners are no longer shared."""
    corners = mesh.faces.reshape(-1)
    uvs = box_coordinates(mesh.positions_m[mesh.faces] * np.array(size_m)).reshape(-1, 2)
    return Mesh(mesh.positions_m[corners], mesh.normals[corners], np.arange(len(corners)).reshape(-1, 3), uvs)


class _File:
    """A glTF file in the making: its JSON tree, its binary buffer, and what is in it already."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {"asset": {"version": "2.0", "generator": "air3d"}}
        self._buffer = bytearray()
        self._known: dict[tuple[object, ...], int] = {}

    def node(self, name: str, matrix: NDArray[np.float64], **content: Any) -> int:
        # glTF writes matrices column after column.
        return self._add("nodes", {"name": name, "matrix": (matrix.T + 0.0).ravel().tolist(), **content})

    def mesh(self, name: str, look: Look) -> int:
        """The display mesh of a kind, or of a table, with its material; arrays are shared between materials."""
        key = ("mesh", name, look)
        if key not in self._known:
            mesh, form = load_mesh(name, "display"), (name, look.box_m)
            if look.box_m is not None:
                mesh = _boxed(mesh, look.box_m)
            attributes = {
                "POSITION": self._array(("position", *form), mesh.positions_m, "VEC3"),
                "NORMAL": self._array(("normal", *form), mesh.normals, "VEC3"),
            }
            if mesh.uvs is not None:
                # glTF's v points down from the picture's top, ours up from its bottom.
                uvs = np.stack([mesh.uvs[:, 0], 1.0 - mesh.uvs[:, 1]], axis=1)
                attributes["TEXCOORD_0"] = self._array(("uv", *form), uvs, "VEC2")
            primitive = {
                "attributes": attributes,
                "indices": self._array(("faces", *form), mesh.faces.reshape(-1), "SCALAR"),
                "material": self._material(look),
            }
            self._known[key] = self._add("meshes", {"name": name, "primitives": [primitive]})
        return self._known[key]

    def _material(self, look: Look) -> int:
        key = ("material", look._replace(box_m=None))
        if key not in self._known:
            surface: dict[str, Any] = {
                "baseColorFactor": [*linear(np.array(look.colour)).tolist(), look.opacity],
                "metallicFactor": 0.0,
                # Nothing is a perfect mirror.
                "roughnessFactor": max(1.0 - look.gloss, 0.1),
            }
            if look.worn is not None or look.texture is not None:
                surface["baseColorTexture"] = {"index": self._texture(look)}
            alpha = {} if look.opacity == 1.0 else {"alphaMode": "BLEND"}
            self._known[key] = self._add("materials", {"pbrMetallicRoughness": surface, **alpha})
        return self._known[key]

    def _texture(self, look: Look) -> int:
        key = ("texture", look.worn, look.texture)
        if key not in self._known:
            if look.worn is not None:
                name, content = look.worn, encode_png(texture_pixels(look.worn))
            else:
                name = str(look.texture)
                content = asset_path("textures", name).read_bytes()
            view = self._view(content, None)
            image = self._add("images", {"name": name, "mimeType": "image/png", "bufferView": view})
            filters = {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAPS, "wrapS": _REPEAT, "wrapT": _REPEAT}
            sampler = self._add("samplers", filters)
            self._known[key] = self._add("textures", {"source": image, "sampler": sampler})
        return self._known[key]

    def _array(self, key: tuple[object, ...], values: NDArray[Any], form: str) -> int:
        if key not in self._known:
            whole = form == "SCALAR"
            data = np.ascontiguousarray(values, dtype="<u4" if whole else "<f4")
            accessor: dict[str, Any] = {
                "bufferView": self._view(data.tobytes(), _INDICES if whole else _VERTICES),
                "componentType": _UINT if whole else _FLOAT,
                "count": len(data),
                "type": form,
            }
            if key[0] == "position":  # the one attribute whose bounds must be given
                accessor |= {"min": data.min(axis=0).tolist(), "max": data.max(axis=0).tolist()}
            self._known[key] = self._add("accessors", accessor)
        return self._known[key]

    def _view(self, data: bytes, target: int | None) -> int:
        view = {"buffer": 0, "byteOffset": len(self._buffer), "byteLength": len(data)}
        self._buffer += data + bytes(-len(data) % 4)
        return self._add("bufferViews", view if target is None else view | {"target": target})

    def _add(self, group: str, item: dict[str, Any]) -> int:
        items: list[dict[str, Any]] = self.tree.setdefault(group, [])
        items.append(item)
        return len(items) - 1

    def pack(self) -> bytes:
        """Join header, JSON chunk and binary chunk, each padded to four bytes."""
        self.tree["buffers"] = [{"byteLength": len(self._buffer)}]
        text = json.dumps(self.tree, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), _JSON) + text
        chunks += struct.pack("<II", len(self._buffer), _BINARY) + bytes(self._buffer)
        return struct.pack("<III", _MAGIC, _VERSION, 12 + len(chunks)) + chunks
