"""GLB by glTF 2.0 and its extensions: files put together by hand, expected values from the specification."""

from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.mesh_file import read_mesh
from air3d.scene3d.objects.raw_mesh import RawMesh
from air3d.scene3d.picture_file import read_rgb

_CODES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}

TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="f4")
CORNERS = np.array([[0, 0], [1, 0], [0, 1]], dtype="f4")


class Glb:
    """A GLB file in the making: a mesh of one triangle, and what is added."""

    def __init__(self) -> None:
        self.binary = b""
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "buffers": [{}],
            "bufferViews": [],
            "accessors": [],
        }
        self.primitive: dict[str, Any] = {"attributes": {"POSITION": self.accessor(TRIANGLE)}}
        self.document |= {"meshes": [{"primitives": [self.primitive]}], "nodes": [{"mesh": 0}]}
        self.document |= {"scenes": [{"nodes": [0]}], "scene": 0}

    def view(self, data: bytes, **more: Any) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)} | more
        self.document["bufferViews"].append(view)
        self.binary += data
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values: Any, **more: Any) -> int:
        values = np.ascontiguousarray(values)
        width = 1 if values.ndim == 1 else values.shape[1]
        found = {"bufferView": self.view(values.tobytes()), "componentType": _CODES[values.dtype.str[1:]]}
        self.document["accessors"].append(found | {"count": len(values), "type": _TYPES[width]} | more)
        return len(self.document["accessors"]) - 1

    def paint(self, info: dict[str, Any] | None = None, image: dict[str, Any] | None = None, **material: Any) -> None:
        """Give the triangle texture coordinates, a material and a picture."""
        buffer = io.BytesIO()
        Image.new("RGB", (4, 2), (10, 200, 30)).save(buffer, "PNG")
        self.primitive["attributes"].setdefault("TEXCOORD_0", self.accessor(CORNERS))
        self.primitive["material"] = 0
        base = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0} | (info or {})}}
        self.document |= {"materials": [base | material], "textures": [{"source": 0}]}
        self.document["images"] = [image or {"bufferView": self.view(buffer.getvalue()), "mimeType": "image/png"}]

    def bytes(self) -> bytes:
        self.document["buffers"][0]["byteLength"] = len(self.binary)
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        binary = self.binary + bytes(-len(self.binary) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


@pytest.fixture
def glb() -> Glb:
    return Glb()


def read(tmp_path: Path, made: Glb | bytes) -> RawMesh:
    (tmp_path / "a.glb").write_bytes(made if isinstance(made, bytes) else made.bytes())
    return read_mesh(tmp_path / "a.glb", "o.toml: [thing]")


def turned_over(uvs: Any) -> np.ndarray:
    """glTF's v points down, ours up."""
    return np.array(uvs) * [1.0, -1.0] + [0.0, 1.0]


def test_nodes_put_meshes_into_the_world(glb, tmp_path):
    half = float(np.sqrt(0.5))
    glb.document["nodes"] = [
        {"children": [1, 2], "translation": [10, 0, 0]},
        {"mesh": 0, "rotation": [0, 0, half, half], "scale": [2, 1, 1]},
        {"mesh": 0, "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 5, 0, 1]},
        {"mesh": 0},  # not in the scene
    ]
    found = {tuple(map(tuple, t.round(5) + 0.0)) for t in read(tmp_path, glb).corners}
    # A turn by 90 degrees about z brings x to y and y to -x. A mirror turns the winding back.
    first = ((10.0, 0.0, 0.0), (10.0, 2.0, 0.0), (9.0, 0.0, 0.0))
    assert found == {first, ((10.0, 6.0, 0.0), (9.0, 5.0, 0.0), (10.0, 5.0, 0.0))}


def test_turns_need_not_be_of_length_one(glb, tmp_path):
    """(0, 0, 2, 2) is a quarter turn about z like (0, 0, 1, 1) / sqrt(2)."""
    glb.document["nodes"] = [{"mesh": 0, "rotation": [0, 0, 2, 2]}]
    np.testing.assert_allclose(read(tmp_path, glb).corners[0], [[0, 0, 0], [0, 1, 0], [-1, 0, 0]], atol=1e-7)


@pytest.mark.parametrize("required", [False, True])
def test_hidden_nodes_are_left_out(glb, tmp_path, required):
    """KHR_node_visibility: with a node, all below it."""
    hidden = {"extensions": {"KHR_node_visibility": {"visible": False}}}
    glb.document["nodes"] = [{"children": [1], **hidden}, {"mesh": 0}, {"mesh": 0, "translation": [5, 0, 0]}]
    glb.document |= {"scenes": [{"nodes": [0, 2]}], "extensionsUsed": ["KHR_node_visibility"]}
    glb.document["extensionsRequired"] = ["KHR_node_visibility"] * required
    np.testing.assert_array_equal(read(tmp_path, glb).corners, [TRIANGLE + [5, 0, 0]])


def test_strips_fans_and_what_has_no_surface(glb, tmp_path):
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 2, 0]], dtype="f4")
    glb.primitive["attributes"]["POSITION"] = glb.accessor(points)
    lines = glb.primitive | {"mode": 1}
    strip = glb.primitive | {"mode": 5, "indices": glb.accessor(np.arange(5, dtype="u1"))}
    fan = glb.primitive | {"mode": 6, "indices": glb.accessor(np.array([0, 1, 3, 2], dtype="u2"))}
    glb.document["meshes"][0]["primitives"] = [lines, strip, fan]
    corners = read(tmp_path, glb).corners
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert len(corners) == 5 and (normals[:, 2] > 0.0).all()
    glb.document["meshes"][0]["primitives"] = [lines]
    with pytest.raises(InputError, match="holds no triangles"):
        read(tmp_path, glb)


def test_normalised_integers_strides_and_sparse_values(glb, tmp_path):
    """KHR_mesh_quantization: c / 127 and c / 65535; values laid out with gaps; and some that are replaced."""
    positions = np.array([[0, 0, 0, 99], [127, 0, 0, 99], [0, -127, 0, 99]], dtype="i1")
    view = glb.view(positions.tobytes(), byteStride=4)
    accessor = {"bufferView": view, "componentType": 5120, "normalized": True, "count": 3, "type": "VEC3"}
    glb.document["accessors"].append(accessor)
    glb.primitive["attributes"]["POSITION"] = len(glb.document["accessors"]) - 1
    glb.paint()
    glb.primitive["attributes"]["TEXCOORD_0"] = glb.accessor((CORNERS * 65535).astype("u2"), normalized=True)
    glb.document["extensionsRequired"] = ["KHR_mesh_quantization"]
    raw = read(tmp_path, glb)
    np.testing.assert_allclose(raw.corners[0], [[0, 0, 0], [1, 0, 0], [0, -1, 0]])
    np.testing.assert_allclose(raw.uvs[0], turned_over(CORNERS))
    which, values = glb.view(np.array([1], "u2").tobytes()), glb.view(np.array([0, 0, 127], "i1").tobytes())
    accessor["sparse"] = {
        "count": 1, "indices": {"bufferView": which, "componentType": 5123}, "values": {"bufferView": values}
    }  # fmt: skip
    np.testing.assert_allclose(read(tmp_path, glb).corners[0][1], [0, 0, 1])
    del accessor["bufferView"]  # then all others are zero
    np.testing.assert_allclose(read(tmp_path, glb).corners[0], [[0, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_the_coordinates_that_a_material_asks_for(glb, tmp_path):
    other = CORNERS * 0.5 + 0.25
    glb.paint({"texCoord": 1})
    glb.primitive["attributes"]["TEXCOORD_1"] = glb.accessor(other)
    np.testing.assert_allclose(read(tmp_path, glb).uvs[0], turned_over(other))
    glb.paint({"texCoord": 1, "extensions": {"KHR_texture_transform": {"texCoord": 0, "offset": [0.5, 0.25]}}})
    np.testing.assert_allclose(read(tmp_path, glb).uvs[0], turned_over(CORNERS + [0.5, 0.25]))


def test_texture_transforms(glb, tmp_path):
    """The two examples of the extension's page: the lower left quadrant, turned; and the other way up."""
    transform = {"offset": [0, 1], "rotation": np.pi / 2, "scale": [0.5, 0.5]}
    glb.paint({"extensions": {"KHR_texture_transform": transform}})
    uvs = read(tmp_path, glb).uvs[0]
    square = turned_over(uvs)  # in glTF's own coordinates, v downward
    assert square.min(axis=0) == pytest.approx([0.0, 0.5], abs=1e-6)
    assert square.max(axis=0) == pytest.approx([0.5, 1.0], abs=1e-6)
    # A turn of the picture clockwise by 90 degrees: its lower left corner comes to the upper left.
    np.testing.assert_allclose(square[0], [0.0, 1.0], atol=1e-6)
    glb.paint({"extensions": {"KHR_texture_transform": {"offset": [0, 1], "scale": [1, -1]}}})
    np.testing.assert_allclose(read(tmp_path, glb).uvs[0], CORNERS, atol=1e-6)


def test_colours_pictures_and_borders_of_materials(glb, tmp_path):
    glb.paint(name="skin", alphaMode="BLEND")
    glb.document["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] = [0.5, 1.0, 0.0, 1.0]
    glb.document["textures"][0]["sampler"] = 0
    glb.document["samplers"] = [{"wrapS": 33071, "wrapT": 33648}]
    (material,) = read(tmp_path, glb).materials
    assert (material.name, material.tint, material.clear) == ("skin", (0.5, 1.0, 0.0), True)
    assert material.picture.wrap == ("clamp", "mirror") and material.picture.as_stored
    assert (read_rgb(material.picture.file) == [10, 200, 30]).all()
    # Half the light of white is 188 of 255 in sRGB.
    assert [round(255 * value) for value in material.colour] == [188, 255, 0]
    glb.document["materials"][0]["extensions"] = {
        "KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [0, 0, 1, 1], "diffuseTexture": {"index": 0}}
    }
    (material,) = read(tmp_path, glb).materials
    assert material.tint == (0.0, 0.0, 1.0) and material.picture is not None


def test_every_primitive_keeps_its_material(glb, tmp_path):
    glb.paint()
    glb.document["materials"] += [{"name": "second", "pbrMetallicRoughness": {"baseColorFactor": [0, 0, 1, 1]}}]
    bare = {"attributes": {"POSITION": glb.primitive["attributes"]["POSITION"]}}
    glb.document["meshes"] = [{"primitives": [glb.primitive, bare | {"material": 1}]}, {"primitives": [bare]}]
    glb.document["nodes"] = [{"mesh": 0}, {"mesh": 1}]
    glb.document["scenes"] = [{"nodes": [0, 1]}]
    raw = read(tmp_path, glb)
    names = [raw.materials[k].name for k in raw.material]
    assert sorted(names) == ["", "material 0", "second"]
    for name, uvs in zip(names, raw.uvs, strict=True):
        assert np.isfinite(uvs).all() == (name == "material 0")


@pytest.mark.parametrize("where", ["data", "file", "webp"])
def test_where_pictures_are(glb, tmp_path, where):
    buffer = io.BytesIO()
    Image.new("RGB", (3, 3), (200, 10, 90)).save(buffer, "WEBP", lossless=True)
    if where == "data":
        glb.paint(image={"uri": "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()})
    elif where == "file":
        (tmp_path / "My Picture.webp").write_bytes(buffer.getvalue())
        glb.paint(image={"uri": "my%20picture.webp"})
    else:
        glb.paint()
        glb.document["images"].append({"bufferView": glb.view(buffer.getvalue()), "mimeType": "image/webp"})
        glb.document["textures"][0]["extensions"] = {"EXT_texture_webp": {"source": 1}}
        glb.document["extensionsRequired"] = ["EXT_texture_webp"]
    (material,) = read(tmp_path, glb).materials
    assert (read_rgb(material.picture.file) == [200, 10, 90]).all()


def test_pictures_that_cannot_be_had(glb, tmp_path):
    glb.paint(name="skin")
    glb.document["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]
    glb.document["extensionsRequired"] = ["KHR_texture_basisu"]
    assert "'skin' is given by KHR_texture_basisu" in read(tmp_path, glb).materials[0].problem
    glb.paint(image={"uri": "gone.png"})
    assert "names 'gone.png'; there is no such file" in read(tmp_path, glb).materials[0].problem


def test_skins_and_morph_targets(glb, tmp_path):
    """Vertices go where their joints stand: inverse bind, then the joint's frame, by weight."""
    glb.primitive["attributes"] |= {
        "JOINTS_0": glb.accessor(np.array([[0, 1, 0, 0]] * 3, "u1")),
        "WEIGHTS_0": glb.accessor(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0, 0]], "f4")),
    }
    inverse = np.stack([np.eye(4), np.eye(4)]).astype("f4")
    inverse[1, 3, 0] = -1.0  # column by column: a shift by -1 along x
    glb.document["skins"] = [{"joints": [1, 2], "inverseBindMatrices": glb.accessor(inverse.reshape(2, 16))}]
    glb.document["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [99, 0, 0]}, {"translation": [0, 0, 5]}, {"translation": [1, 7, 0]}
    ]  # fmt: skip
    glb.document["scenes"] = [{"nodes": [0, 1, 2]}]
    np.testing.assert_allclose(read(tmp_path, glb).corners[0], [[0, 0, 5], [1, 7, 0], [0, 4.5, 2.5]])
    plain = Glb()
    plain.primitive["targets"] = [{"POSITION": plain.accessor(TRIANGLE)}]
    plain.document["meshes"][0]["weights"] = [0.5]
    np.testing.assert_allclose(read(tmp_path, plain).corners[0], 1.5 * TRIANGLE)


def test_what_is_left_out_is_said(glb, tmp_path):
    glb.paint(emissiveFactor=[1, 1, 1])
    glb.primitive["attributes"]["COLOR_0"] = glb.accessor(np.full((3, 4), 255, "u1"), normalized=True)
    assert read(tmp_path, glb).notes == ("the light that its materials give off (emissive) is not drawn",)
    assert read(tmp_path, glb).colours is None, "white changes nothing"
    # glTF's colours are of linear light: 0.5 is 188 of 255 in sRGB (IEC 61966-2-1).
    glb.primitive["attributes"]["COLOR_0"] = glb.accessor(np.full((3, 3), 0.5, "f4"))
    np.testing.assert_allclose(read(tmp_path, glb).colours, 188 / 255, atol=0.002)


def packed(name: str) -> Glb:
    glb = Glb()
    glb.document["extensionsRequired"] = [name]
    if name == "KHR_draco_mesh_compression":
        glb.primitive["extensions"] = {name: {"bufferView": 0, "attributes": {"POSITION": 0}}}
        del glb.document["accessors"][0]["bufferView"]
    elif name == "EXT_meshopt_compression":
        glb.document["buffers"].append({"byteLength": 36, "extensions": {name: {"fallback": True}}})
        glb.document["bufferViews"][0] |= {"buffer": 1, "extensions": {name: {"buffer": 0}}}
    elif name == "EXT_mesh_gpu_instancing":
        glb.document["nodes"][0]["extensions"] = {name: {}}
    return glb


@pytest.mark.parametrize(
    "name, message",
    [
        ("KHR_draco_mesh_compression", "is Draco-compressed, .* Blender and export it without"),
        ("EXT_meshopt_compression", "is meshopt-compressed, .* Blender and export it without"),
        ("EXT_mesh_gpu_instancing", "EXT_mesh_gpu_instancing.?, which is not read; export it without"),
        ("VENDOR_shape", "needs the glTF extension .VENDOR_shape"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, packed(name))


def test_draco_beside_plain_values_is_not_needed(glb, tmp_path):
    glb.primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    np.testing.assert_allclose(read(tmp_path, glb).corners[0], TRIANGLE)


def test_damaged_files_are_one_line(glb, tmp_path):
    whole = glb.bytes()
    with pytest.raises(InputError, match=f"is cut off: it says {len(whole)} bytes, {len(whole) - 8} are there"):
        read(tmp_path, whole[:-8])
    with pytest.raises(InputError, match="first 20 bytes"):
        read(tmp_path, whole[:15])
    with pytest.raises(InputError, match="glTF version 1"):
        read(tmp_path, whole[:4] + b"\1" + whole[5:])
    with pytest.raises(InputError, match="JSON chunk"):
        read(tmp_path, whole.replace(b'{"asset"', b'{"asset{'))
    glb.document["nodes"][0]["children"] = [0]
    with pytest.raises(InputError, match="not a tree"):
        read(tmp_path, glb)
    glb.document["nodes"] = [{"mesh": 0}]
    glb.primitive["indices"] = glb.accessor(np.array([0, 1, 7], "u2"))
    with pytest.raises(InputError, match="names a vertex that is not there"):
        read(tmp_path, glb)
    for changes in ({"count": 9}, {"count": -1}, {"byteOffset": 1 << 40}, {"componentType": 7}, {"bufferView": 99}):
        broken = Glb()
        broken.document["accessors"][0] |= changes
        with pytest.raises(InputError, match="damaged"):
            read(tmp_path, broken)


def test_copies_without_end_are_refused(glb, tmp_path, monkeypatch):
    monkeypatch.setattr("air3d.scene3d.objects.gltf_file._MAX_TRIANGLES", 3)
    glb.document["nodes"] = [{"mesh": 0}] * 4
    glb.document["scenes"] = [{"nodes": [0, 1, 2, 3]}]
    with pytest.raises(InputError, match="more than 3 triangles in its scene"):
        read(tmp_path, glb)
