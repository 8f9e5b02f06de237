"""Writes a scene as binary glTF 2.0: display meshes, colours, textures, the table and the camera.

glTF is y-up and looks along -z, as our cameras do; our world is z-up. One root node turns the world,

    (x, y, z) in glTF = (x, z, -y) in the scene,

and everything below it keeps the scene's own coordinates, in metres. The camera is a second root, turned by itself,
for some readers (trimesh) leave out what stands above a camera. Colours are sRGB here and linear there. Lamps are left
out: viewers bring their own. glTF knows fields of view alone: a camera whose optical axis is off the image's middle
is written without the shift. Source: the Khronos Group, glTF 2.0 Specification, sections 3 and 4.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import Rgb, get_kind
from air3d.scene3d.compiler import FAR_M, NEAR_M
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.scene import TABLE_THICKNESS_M, Scene, SceneObject, Table
from air3d.scene3d.srgb import linear

# Rows: glTF's axes in the scene's.
Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])

_MAGIC, _VERSION = 0x46546C67, 2
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
_FLOAT, _UINT = 5126, 5125
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for
_LINEAR, _LINEAR_MIPMAPS, _REPEAT = 9729, 9987, 10497
TABLE_TEXTURE = "table.png"


def scene_glb(scene: Scene, aspect: float = 1.0) -> bytes:
    """Encode the scene as a .glb file.

    Args:
        aspect: the width of the camera's image over its height.

    Raises:
        InputError: if a mesh or texture is missing.
    """
    file = _File()
    children = [_table(file, scene.table)]
    for n, item in enumerate(scene.objects):
        mesh = file.mesh(item.kind, file.material(item.rgb, get_kind(item.kind).texture))
        children.append(file.node(f"{item.kind} {n + 1}", _object_matrix(item), mesh=mesh))
    camera = scene.camera.sized(1, 1)
    perspective = {"yfov": float(camera.fovy_rad), "aspectRatio": aspect, "znear": NEAR_M, "zfar": FAR_M}
    file.tree["cameras"] = [{"name": "camera", "type": "perspective", "perspective": perspective}]
    root = file.node("scene (z up)", Z_UP_TO_Y_UP, children=children)
    eye = file.node("camera", Z_UP_TO_Y_UP @ camera.frame, camera=0)
    file.tree |= {"scene": 0, "scenes": [{"nodes": [root, eye]}]}
    return file.pack()


def _table(file: _File, table: Table) -> int:
    """Add the table, or the scenery in its place."""
    if table.scenery is not None:
        kind = get_kind(table.scenery)
        return file.node("scenery", np.eye(4), mesh=file.mesh(kind.name, file.material(kind.colour, kind.texture)))
    shape = np.diag([*table.top.half_extents_m, TABLE_THICKNESS_M, 1.0])
    wood = file.material((1.0, 1.0, 1.0), TABLE_TEXTURE)
    return file.node("table", shape, mesh=file.mesh(table.mesh, wood))


def mesh_glb(name: str, colour: Rgb, texture: str | None = None, opacity: float = 1.0) -> bytes:
    """Encode one display mesh in its own frame, z up, for readers that place it themselves.

    Args:
        name: the name of a kind, or of a table, of radius and thickness 1.
        texture: a file in the assets, which the colour is multiplied with.
        opacity: 1 is solid; what is below is blended.

    Raises:
        InputError: if the mesh or the texture is missing.
    """
    file = _File()
    node = file.node(name, np.eye(4), mesh=file.mesh(name, file.material(colour, texture, opacity)))
    file.tree |= {"scene": 0, "scenes": [{"nodes": [node]}]}
    return file.pack()


def _object_matrix(item: SceneObject) -> NDArray[np.float64]:
    pose = item.frame()
    pose[:3, :3] *= item.scale
    return pose


class _File:
    """A glTF file in the making: its JSON tree, its binary buffer, and what is in it already."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {"asset": {"version": "2.0", "generator": "air3d"}}
        self._buffer = bytearray()
        self._known: dict[tuple[object, ...], int] = {}

    def node(self, name: str, matrix: NDArray[np.float64], **content: Any) -> int:
        # glTF writes matrices column after column.
        return self._add("nodes", {"name": name, "matrix": (matrix.T + 0.0).ravel().tolist(), **content})

    def mesh(self, name: str, material: int) -> int:
        """The display mesh of a kind, or of the table, in a material; arrays are shared between materials."""
        key = ("mesh", name, material)
        if key not in self._known:
            mesh = load_mesh(name, "display")
            attributes = {
                "POSITION": self._array((name, "position"), mesh.positions_m, "VEC3"),
                "NORMAL": self._array((name, "normal"), mesh.normals, "VEC3"),
            }
            if mesh.uvs is not None:
                # glTF's v points down from the picture's top, ours up from its bottom.
                uvs = np.stack([mesh.uvs[:, 0], 1.0 - mesh.uvs[:, 1]], axis=1)
                attributes["TEXCOORD_0"] = self._array((name, "uv"), uvs, "VEC2")
            primitive = {
                "attributes": attributes,
                "indices": self._array((name, "faces"), mesh.faces.reshape(-1), "SCALAR"),
                "material": material,
            }
            self._known[key] = self._add("meshes", {"name": name, "primitives": [primitive]})
        return self._known[key]

    def material(self, colour: Rgb, texture: str | None, opacity: float = 1.0) -> int:
        key = ("material", colour, texture, opacity)
        if key not in self._known:
            surface: dict[str, Any] = {
                "baseColorFactor": [*linear(np.array(colour)).tolist(), opacity],
                "metallicFactor": 0.0,
                "roughnessFactor": 0.5,
            }
            if texture is not None:
                surface["baseColorTexture"] = {"index": self._texture(texture)}
            alpha = {} if opacity == 1.0 else {"alphaMode": "BLEND"}
            self._known[key] = self._add("materials", {"pbrMetallicRoughness": surface, **alpha})
        return self._known[key]

    def _texture(self, file: str) -> int:
        key = ("texture", file)
        if key not in self._known:
            view = self._view(asset_path("textures", file).read_bytes(), None)
            image = self._add("images", {"name": file, "mimeType": "image/png", "bufferView": view})
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
            if key[1] == "position":  # the one attribute whose bounds must be given
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
