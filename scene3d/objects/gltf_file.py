"""Reads GLB and glTF files, version 2.0 (Khronos 2021): all meshes of the scene where its nodes put them."""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.errors import shown
from air3d.scene3d.kind import Rgb
from air3d.scene3d.objects.found_file import found_file
from air3d.scene3d.objects.raw_mesh import WHITE, Material, Picture, Polygons, UnreadableError, strip
from air3d.scene3d.srgb import encoded

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "i2", 5123: "u2", 5125: "u4", 5126: "f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_WRAPS = {33071: "clamp", 33648: "mirror"}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
# What a file may require without its shape, or the looks that are read, depending on it.
_HARMLESS = (
    "KHR_materials_",
    "KHR_lights_",
    "KHR_xmp",
    "KHR_texture_",
    "KHR_mesh_quantization",
    "KHR_node_visibility",
    "EXT_texture_",
)
_PACKED = {
    "KHR_draco_mesh_compression": "Draco-compressed",
    "EXT_meshopt_compression": "meshopt-compressed",
    "KHR_meshopt_compression": "meshopt-compressed",
}
_MAX_NODES, _MAX_TRIANGLES = 100_000, 4_000_000


def read_glb(data: bytes, path: Path) -> Polygons:
    """Read the triangles of a GLB file's scene, with their materials.

    Raises:
        UnreadableError: if it is cut off, damaged, compressed, or needs an extension that is not read.
    """
    document, binary = _chunks(data)
    return _Reader(document, binary, path).read()


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Split the file into the JSON document and the binary chunk; a .gltf file has no more than the former."""
    if data.lstrip()[:1] == b"{":
        document = json.loads(data)
        return (document, b"") if isinstance(document, dict) else ({}, b"")
    if data[:4] != b"glTF" or len(data) < 20:
        raise UnreadableError("is not a GLB file, or is cut off in its first 20 bytes")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise UnreadableError(f"is glTF version {version}; convert it to version 2")
    if len(data) < length:
        raise UnreadableError(f"is cut off: it says {length} bytes, {len(data)} are there")
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + size > len(data):
            raise UnreadableError("is damaged: a chunk is longer than the file")
        chunks.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    try:
        document = json.loads(chunks.get(b"JSON", b""))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UnreadableError("is damaged: its JSON chunk cannot be read")
    return document, chunks.get(b"BIN\0", b"")


class _Reader:
    def __init__(self, document: dict[str, Any], binary: bytes, path: Path) -> None:
        self._document, self._binary, self._path = document, binary, path
        self._points: list[Floats] = []
        self._triangles: list[Ints] = []
        self._uvs: list[Floats] = []
        self._colours: list[Floats] = []
        self._painted = False
        self._material: list[int] = []
        self._materials: dict[int | None, int] = {}
        self._notes: dict[str, None] = {}
        self._left = _MAX_TRIANGLES
        self._buffers: dict[int, bytes] = {}

    def read(self) -> Polygons:
        for name in self._document.get("extensionsRequired", []):
            if name in _PACKED:
                continue  # refused where it is met: there may be a copy that is not compressed
            if not name.startswith(_HARMLESS):
                raise UnreadableError(f"needs the glTF extension {shown(name)}, which is not read; export it without")
        for node, frame in self._nodes():
            self._mesh(node, frame)
        points = np.concatenate([*self._points, np.zeros((0, 3))])
        starts = np.cumsum([0, *map(len, self._points)])
        faces = [triangles + start for triangles, start in zip(self._triangles, starts, strict=False)]
        corners = np.concatenate([*faces, np.zeros((0, 3), np.int64)])
        counts = [len(triangles) for triangles in self._triangles]
        return Polygons(
            points=points,
            sizes=np.full(len(corners), 3),
            corners=corners.reshape(-1),
            uvs=np.concatenate([*self._uvs, np.zeros((0, 3, 2))]).reshape(-1, 2),
            material=np.repeat(np.array(self._material, np.int64), counts),
            materials=[self._looks(number) for number in self._materials] or [Material()],
            notes=list(self._notes),
            colours=np.concatenate(self._colours).reshape(-1, 3) if self._painted else None,
        )

    def _nodes(self) -> list[tuple[dict[str, Any], Floats]]:
        """List the scene's nodes that have a mesh, and their frames (4, 4) in the world."""
        nodes = self._document.get("nodes", [])
        scenes = self._document.get("scenes", [])
        if scenes:
            roots = scenes[self._document.get("scene", 0)].get("nodes", [])
        else:
            children = {child for node in nodes for child in node.get("children", [])}
            roots = [k for k in range(len(nodes)) if k not in children]
        self._frames: dict[int, Floats] = {}
        found = []
        open_nodes = [(root, np.eye(4), True) for root in roots]
        while open_nodes:
            number, parent, seen = open_nodes.pop()
            if number in self._frames or len(self._frames) > _MAX_NODES:
                raise UnreadableError("is damaged: its nodes are not a tree")
            node = nodes[number]
            self._frames[number] = frame = parent @ _local(node)
            extensions = node.get("extensions", {})
            if "EXT_mesh_gpu_instancing" in extensions:
                raise UnreadableError("has copies by EXT_mesh_gpu_instancing, which is not read; export it without")
            seen = seen and extensions.get("KHR_node_visibility", {}).get("visible", True)
            if "mesh" in node and seen:
                found.append((node, frame))
            open_nodes += [(child, frame, seen) for child in node.get("children", [])]
        return found

    def _mesh(self, node: dict[str, Any], frame: Floats) -> None:
        mesh = self._document["meshes"][node["mesh"]]
        weights = node.get("weights", mesh.get("weights", []))
        for primitive in mesh["primitives"]:
            if primitive.get("mode", _TRIANGLES) not in (_TRIANGLES, _STRIP, _FAN):
                continue  # points and lines have no surface
            if "POSITION" not in primitive.get("attributes", {}):
                continue
            points = self._shaped(primitive, weights, node, frame)
            indices = self._indices(primitive, len(points))
            triangles = _triangles(indices, primitive.get("mode", _TRIANGLES))
            if "skin" not in node and np.linalg.det(frame[:3, :3]) < 0.0:
                triangles = triangles[:, ::-1]
            self._left -= len(triangles)
            if self._left < 0:
                raise UnreadableError(f"has more than {_MAX_TRIANGLES} triangles in its scene; simplify it")
            self._points.append(points)
            self._triangles.append(triangles)
            number = primitive.get("material")
            self._material.append(self._materials.setdefault(number, len(self._materials)))
            self._uvs.append(self._coordinates(primitive, number, len(points))[triangles])
            self._colours.append(self._tints(primitive, len(points))[triangles])

    def _indices(self, primitive: dict[str, Any], count: int) -> Ints:
        if "indices" not in primitive:
            return np.arange(count)
        indices = self._array(primitive["indices"], primitive).reshape(-1).astype(np.int64)
        if len(indices) and not 0 <= indices.min() <= indices.max() < count:
            raise UnreadableError("is damaged: a triangle names a vertex that is not there")
        return indices

    def _shaped(self, primitive: dict[str, Any], weights: list[float], node: dict[str, Any], frame: Floats) -> Floats:
        """Compute vertices (V, 3) in the world, with morph targets and skin as the file leaves them."""
        attributes = primitive["attributes"]
        points = self._array(attributes["POSITION"], primitive)
        for weight, target in zip(weights, primitive.get("targets", []), strict=False):
            if weight and "POSITION" in target:
                points = points + weight * self._array(target["POSITION"], primitive)
        if points.ndim != 2 or points.shape[1] != 3:
            raise UnreadableError("is damaged: positions are not of three numbers")
        whole = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        if "skin" not in node or "JOINTS_0" not in attributes:
            return (whole @ frame.T)[:, :3]
        skin = self._document["skins"][node["skin"]]
        joints = np.array([self._frames.get(joint, np.eye(4)) for joint in skin["joints"]])
        if "inverseBindMatrices" in skin:
            inverse = self._array(skin["inverseBindMatrices"], {}).reshape(-1, 4, 4).transpose(0, 2, 1)
            joints = joints @ inverse[: len(joints)]
        moved = np.zeros((len(points), 4))
        for k in range(8):
            if f"JOINTS_{k}" not in attributes:
                break
            which = self._array(attributes[f"JOINTS_{k}"], primitive).astype(np.int64)
            share = self._array(attributes[f"WEIGHTS_{k}"], primitive)
            moved += np.einsum("vj,vjab,vb->va", share, joints[which], whole)
        return moved[:, :3] / np.where(np.abs(moved[:, 3:]) > 1e-6, moved[:, 3:], 1.0)

    def _tints(self, primitive: dict[str, Any], count: int) -> Floats:
        """Read the colours of vertices (V, 3), which glTF gives in linear light, as sRGB; white without any."""
        if "COLOR_0" not in primitive["attributes"]:
            return np.ones((count, 3))
        colours = self._array(primitive["attributes"]["COLOR_0"], primitive)[:, :3]
        if colours.shape != (count, 3):
            raise UnreadableError("is damaged: as many colours as vertices are needed")
        self._painted |= bool((colours < 0.999).any())
        return encoded(np.clip(np.nan_to_num(colours), 0.0, 1.0))

    def _coordinates(self, primitive: dict[str, Any], number: int | None, count: int) -> Floats:
        """Read texture coordinates (V, 2) by the set and transformation that the material asks for; NaN without."""
        info = _base(self._document["materials"][number])[1] if number is not None else {}
        transform = info.get("extensions", {}).get("KHR_texture_transform", {})
        which = transform.get("texCoord", info.get("texCoord", 0))
        accessor = primitive["attributes"].get(f"TEXCOORD_{which}")
        if accessor is None:
            return np.full((count, 2), np.nan)
        u, v = (self._array(accessor, primitive)[:, :2] * transform.get("scale", (1.0, 1.0))).T
        if len(u) != count:
            raise UnreadableError("is damaged: as many texture coordinates as vertices are needed")
        c, s = math.cos(transform.get("rotation", 0.0)), math.sin(transform.get("rotation", 0.0))
        x, y = transform.get("offset", (0.0, 0.0))
        # In glTF v points down.
        return np.stack([c * u + s * v + x, 1.0 - (c * v - s * u + y)], axis=1)

    def _array(self, number: int, primitive: dict[str, Any]) -> Floats:
        """Read an accessor's values (N, width) as floats; normalised integers become fractions."""
        accessor = self._document["accessors"][number]
        kind, width = np.dtype("<" + _COMPONENTS[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        count = int(accessor["count"])
        packed = next((what for name, what in _PACKED.items() if name in primitive.get("extensions", {})), None)
        if "bufferView" in accessor:
            values = self._viewed(accessor, kind, width, count)
        elif packed:
            raise _compressed(packed)
        else:
            if count > 1 << 22:
                raise UnreadableError("is damaged: an accessor has too many values")
            values = np.zeros((count, width), kind)
        if "sparse" in accessor:
            values = self._sparse(values, accessor["sparse"], kind, width)
        found = values.astype(np.float64)
        if accessor.get("normalized"):
            found = np.maximum(found / np.iinfo(kind).max, -1.0)
        return found

    def _viewed(self, where: dict[str, Any], kind: np.dtype[Any], width: int, count: int) -> NDArray[Any]:
        view = self._document["bufferViews"][where["bufferView"]]
        data = self._view(where["bufferView"])
        at, step = where.get("byteOffset", 0), view.get("byteStride", kind.itemsize * width)
        if min(at, count, step - kind.itemsize * width) < 0:
            raise UnreadableError("is damaged: an accessor has numbers that make no sense")
        if count and at + step * (count - 1) + kind.itemsize * width > len(data):
            raise UnreadableError("is cut off or damaged: an accessor reaches beyond its buffer")
        if not count:
            return np.zeros((0, width), kind)
        return np.ndarray((count, width), kind, data, at, (step, kind.itemsize)).copy()

    def _sparse(self, values: NDArray[Any], sparse: dict[str, Any], kind: np.dtype[Any], width: int) -> NDArray[Any]:
        count, at = int(sparse["count"]), sparse["indices"]
        rows = self._viewed(at, np.dtype("<" + _COMPONENTS[at["componentType"]]), 1, count).reshape(-1)
        values = values.copy()
        values[rows] = self._viewed(sparse["values"], kind, width, count)
        return values

    def _view(self, number: int) -> bytes:
        view = self._document["bufferViews"][number]
        packed = next((what for name, what in _PACKED.items() if name in view.get("extensions", {})), None)
        if packed and "uri" not in self._document["buffers"][view["buffer"]] and view["buffer"]:
            raise _compressed(packed)
        data = self._buffer(view["buffer"])
        start, length = view.get("byteOffset", 0), view["byteLength"]
        if min(start, length) < 0 or start + length > len(data):
            raise UnreadableError("is cut off or damaged: a view reaches beyond its buffer")
        return data[start : start + length]

    def _buffer(self, number: int) -> bytes:
        if number not in self._buffers:
            uri = self._document["buffers"][number].get("uri")
            self._buffers[number] = self._binary if uri is None else self._loaded(uri)
        return self._buffers[number]

    def _loaded(self, uri: str) -> bytes:
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2])
        file = found_file(unquote(uri), [self._path.parent])
        if file is None:
            raise UnreadableError(f"names {shown(uri)}; there is no such file in {self._path.parent}")
        return file.read_bytes()

    def _looks(self, number: int | None) -> Material:
        if number is None:
            return Material()
        described = self._document["materials"][number]
        name = str(described.get("name", f"material {number}"))
        factor, info = _base(described)
        if any(described.get("emissiveFactor", [])):
            self._notes["the light that its materials give off (emissive) is not drawn"] = None
        clear = described.get("alphaMode", "OPAQUE") != "OPAQUE" or "KHR_materials_transmission" in described.get(
            "extensions", {}
        )
        r, g, b = encoded(np.array(factor)).tolist()
        material = Material(name, colour=(r, g, b), tint=factor, clear=clear)
        if "index" not in info:
            return material
        texture = self._document["textures"][info["index"]]
        extensions = texture.get("extensions", {})
        source = next(
            (extensions[key]["source"] for key in ("EXT_texture_webp", "EXT_texture_avif") if key in extensions),
            texture.get("source"),
        )
        if source is None:
            packed = next(iter(extensions), "nothing")
            problem = f"the picture of its material {shown(name)} is given by {packed}, which is not read"
            return material._replace(problem=f"{problem}; export it with PNG or JPEG pictures")
        sampler = self._document["samplers"][texture["sampler"]] if "sampler" in texture else {}
        wrap = tuple(_WRAPS.get(sampler.get(key, 0), "repeat") for key in ("wrapS", "wrapT"))
        image = self._document["images"][source]
        label = f"{self._path.name}: the picture of its material {shown(name)}"
        try:
            content = self._view(image["bufferView"]) if "bufferView" in image else self._loaded(image["uri"])
        except (UnreadableError, ValueError, KeyError) as error:
            reason = str(error) if isinstance(error, UnreadableError) else "is damaged"
            return material._replace(problem=f"{self._path.name} {reason}")
        return material._replace(picture=Picture(content, label, (wrap[0], wrap[1]), as_stored=True))


def _compressed(how: str) -> UnreadableError:
    return UnreadableError(f"is {how}, which is not read; open it in Blender and export it without compression")


def _base(material: dict[str, Any]) -> tuple[Rgb, dict[str, Any]]:
    """Read a material's colour, linear, and the description of its picture, empty without."""
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    metal = material.get("pbrMetallicRoughness", {})
    factor = glossy.get("diffuseFactor", WHITE) if glossy else metal.get("baseColorFactor", WHITE)
    info = glossy.get("diffuseTexture", {}) if glossy else metal.get("baseColorTexture", {})
    r, g, b = (min(max(0.0, float(value)), 1.0) for value in factor[:3])  # in this order NaN is 0
    return (r, g, b), info


def _local(node: dict[str, Any]) -> Floats:
    """A node's frame (4, 4) in its parent."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    turn_by = np.array(node.get("rotation", (0.0, 0.0, 0.0, 1.0)), dtype=np.float64)
    x, y, z, w = turn_by / (np.linalg.norm(turn_by) or 1.0)  # not every exporter writes a unit quaternion
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    frame = np.eye(4)
    frame[:3, :3] = turn * np.array(node.get("scale", (1.0, 1.0, 1.0)), dtype=np.float64)
    frame[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return frame


def _triangles(indices: Ints, mode: int) -> Ints:
    if mode == _TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if mode == _STRIP or len(indices) < 3:
        return strip(indices)
    return np.stack([np.full(len(indices) - 2, indices[0]), indices[1:-1], indices[2:]], axis=1)
