"""OBJ, STL and PLY in the dialects that are about: what is read, and what is said of the rest."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.mesh_file import read_mesh
from air3d.scene3d.objects.raw_mesh import RawMesh

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
SIDES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
TRIANGLES = np.array([[side[0], *side[k : k + 2]] for side in SIDES for k in (1, 2)])


def volume(raw: RawMesh) -> float:
    a, b, c = raw.corners.transpose(1, 0, 2)
    return float(np.einsum("fi,fi", a, np.cross(b, c)) / 6.0)


def read(tmp_path: Path, name: str, data: bytes | str) -> RawMesh:
    (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return read_mesh(tmp_path / name, "o.toml: [thing]")


def obj(v: str = "v {} {} {}", f: str = "f {} {} {} {}", end: str = "\n", first: int = 1) -> str:
    lines = [v.format(*corner) for corner in CORNERS] + [f.format(*(k + first for k in side)) for side in SIDES]
    return end.join(["# a box", *lines, ""])


@pytest.mark.parametrize(
    "text",
    [
        obj(),
        obj("v\t{}\t{}\t{}", "f\t{}\t{}\t{}\t{} "),
        obj("v {} {} {} # place", "f {} {} {} {} # side"),
        obj("  v   {}e0 +{} {} ", "f  {}//  {}//9 {}/ {}"),
        obj(end="\r\n"),
        obj(end="\r"),
        "\ufeff" + obj(),
        obj("v {} {} {} 1.0"),
        obj("v {} \\\n {} {}", "f {} {} \\\r\n{} {}"),
        obj("v {} {} {}", "f {} {} {} {}", first=-8),
        "mtllib none.mtl\no box\ng a b\ns off\nusemtl\n" + obj() + "l 1 2\np 1\nf 1 2\n",
        obj(f="fo {} {} {} {}"),
    ],
)
def test_dialects_of_obj(tmp_path, text):
    raw = read(tmp_path, "a.obj", text)
    assert raw.corners.shape == (12, 3, 3) and volume(raw) == pytest.approx(1.0) and raw.notes == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_of_encodings(tmp_path, encoding):
    texts = {"a.obj": obj(), "a.stl": text_stl(), "a.ply": ply("ascii").decode()}
    for name, text in texts.items():
        assert volume(read(tmp_path, name, text.encode(encoding))) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["a.obj", "a.stl", "a.ply", "a.glb"])
@pytest.mark.parametrize(
    "data, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "pointer of Git LFS.*git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "is a web page, not the file itself"),
        (b"<HTML>", "is a web page"),
    ],
)
def test_what_lies_in_place_of_a_mesh(tmp_path, name, data, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, name, data)


def test_obj_in_other_encodings(tmp_path):
    assert volume(read(tmp_path, "a.obj", obj().encode("utf-16"))) == pytest.approx(1.0)
    assert volume(read(tmp_path, "a.obj", b"o Gr\xf6\xdfe\n" + obj().encode())) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "text, message",
    [
        (obj() + "f 1 2 9\n", r"corner 9, of 8 vertices"),
        (obj() + "f 1 2 0\n", r"line 16 that cannot be read: 'f 1 2 0'"),
        (obj() + "f 1 2 -9\n", "line 16"),
        (obj() + "f 1/1 2/1 3/1\n", "corner 1, of 0 vt lines"),
        ("v 1,5 0 0\n", "line 1 that cannot be read: 'v 1,5 0 0'"),
        ("v 1 2\n", "line 1"),
        ("v 0 0 0\nv 1 0 0\n", "holds no triangles"),
        ("v 0 0 0\ncstype bspline\nsurf 0 1 0 1 1 2 3\n", "curved surfaces"),
        ("", "is empty"),
        ("v 1e999 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\n", "not finite"),
    ],
)
def test_what_is_wrong_with_an_obj_file(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, "a.obj", text)
    assert str(caught.value).startswith("o.toml: [thing]: a.obj ") and "\n" not in str(caught.value)


def binary_stl(head: bytes = b"made by hand", attribute: int = 0, count: int = 12) -> bytes:
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *CORNERS[t].ravel(), attribute) for t in TRIANGLES)
    return head.ljust(80, b" ") + struct.pack("<I", count) + body


def text_stl() -> str:
    facets = [
        "facet normal 0 0 0\n outer loop\n"
        + "".join(f"  vertex {x:g} {y:e}\t{z}\n" for x, y, z in CORNERS[t])
        + " endloop\nendfacet\n"
        for t in TRIANGLES
    ]
    return "solid box\n" + "".join(facets) + "endsolid box\n"


def test_dialects_of_stl(tmp_path):
    for data in (
        binary_stl(),
        binary_stl(b"solid though binary"),
        text_stl(),
        text_stl().upper(),
        text_stl().replace("\n", "\r\n"),
        "\n" + text_stl() + text_stl().replace("box", ""),
    ):
        raw = read(tmp_path, "a.stl", data)
        boxes = len(raw.corners) / 12
        assert boxes in (1, 2) and volume(raw) == pytest.approx(boxes) and raw.notes == ()
    raw = read(tmp_path, "a.stl", binary_stl(b"solid x") + b"more")
    assert volume(raw) == pytest.approx(1.0) and raw.notes == (
        "the file has 4 bytes after its last triangle; they are ignored",
    )
    for data in (binary_stl(b"COLOR=abcd"), binary_stl(attribute=0x8001)):
        assert read(tmp_path, "a.stl", data).notes == ("the colours of its triangles are not read",)


@pytest.mark.parametrize(
    "data, message",
    [
        (binary_stl()[:-1], "cut off.* says 12 triangles, 11 are there"),
        (binary_stl()[:90], "says 12 triangles, 0 are there"),
        (binary_stl()[:40], "has 40 bytes"),
        (binary_stl(count=4_000_000_000), "says 4000000000 triangles, 12"),
        (text_stl()[:-12], "cut off: 12 triangles are whole, then it ends without"),
        (text_stl()[: len(text_stl()) // 2 - 60], r"it has \d+ vertices, but 'endfacet' \d times"),
        (text_stl().replace("1.000000e+00", "one"), "not three numbers"),
        ("solid a\nendsolid a\n", "no triangles"),
    ],
)
def test_what_is_wrong_with_an_stl_file(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, "a.stl", data)


def ply(order: str, index: str = "int", extra: str = "", corner: str = "") -> bytes:
    """The box in one of PLY's three forms; `extra` are more properties of vertices (float, all 0.25)."""
    more = "".join(f"property float {name}\n" for name in extra.split())
    lists = f"property list uchar {index} {corner or 'vertex_indices'}\n"
    head = (
        f"ply\nformat {order} 1.0\ncomment by hand\nelement vertex 8\n"
        "property float x\nproperty double y\nproperty float z\n"
        f"{more}element face 7\nproperty uchar flags\n{lists}end_header\n"
    ).encode()
    faces = [*SIDES[:5], SIDES[5][:3], [SIDES[5][0], *SIDES[5][2:]]]
    rest = [0.25] * len(extra.split())
    if order == "ascii":
        rows = [" ".join(map(str, [*c, *rest])) for c in CORNERS] + [" ".join(map(str, [7, len(f), *f])) for f in faces]
        return head + "\n".join(rows).encode() + b"\n"
    e = "<" if "little" in order else ">"
    code = {"int": "i", "ushort": "H", "uchar": "B"}[index]
    body = b"".join(struct.pack(f"{e}fdf{len(rest)}f", *c, *rest) for c in CORNERS)
    return head + body + b"".join(struct.pack(f"{e}BB{len(f)}{code}", 7, len(f), *f) for f in faces)


FORMS = ("ascii", "binary_little_endian", "binary_big_endian")


@pytest.mark.parametrize("order", FORMS)
def test_dialects_of_ply(tmp_path, order):
    for data in (ply(order), ply(order, "ushort"), ply(order, "uchar", corner="vertex_index")):
        raw = read(tmp_path, "a.ply", data)
        assert len(raw.corners) == 12 and volume(raw) == pytest.approx(1.0)
        assert raw.uvs is None and raw.notes == ()
    for names in ("u v", "s t", "nx texture_u texture_v"):
        raw = read(tmp_path, "a.ply", ply(order, extra=names))
        assert raw.uvs is not None and (raw.uvs == 0.25).all() and raw.uvs.shape == (12, 3, 2)
    with pytest.raises(InputError, match=r"element 'face'"):
        read(tmp_path, "a.ply", ply(order)[:-9])
    with pytest.raises(InputError, match="within its header"):
        read(tmp_path, "a.ply", ply(order)[:90])


def test_ply_with_coordinates_of_faces_a_picture_and_colours(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "My Picture.png")
    head = (
        "ply\r\nformat ascii 1.0\r\ncomment TextureFile my picture.PNG\r\nelement vertex 3\r\nproperty float x\r\n"
        "property float y\r\nproperty float z\r\nproperty uchar red\r\nelement face 1\r\n"
        "property list uchar int vertex_indices\r\nproperty list uchar float texcoord\r\nend_header\r\n"
    )
    raw = read(tmp_path, "a.ply", head + "0 0 0 1\r\n1 0 0 2\r\n0 1 0 3\r\n3 0 1 2 6 0 0 1 0 0.5 1\r\n")
    np.testing.assert_array_equal(raw.uvs, [[[0, 0], [1, 0], [0.5, 1]]])
    assert raw.materials[0].picture.file == tmp_path / "My Picture.png"
    assert raw.notes == () and raw.colours is None, "three channels make a colour"
    renamed = head.replace("red", "diffuse_red").replace("TextureFile my picture.PNG", "TextureFile")
    raw = read(tmp_path, "a.ply", renamed + "0 0 0 1\r\n1 0 0 2\r\n0 1 0 3\r\n3 0 1 2 6 0 0 1 0 0.5 1\r\n")
    assert raw.materials[0].problem == "" and raw.notes == ()


def test_strips_and_points_of_ply(tmp_path):
    head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    points = "0 0 0\n1 0 0\n0 1 0\n1 1 0\n"
    strips = "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    raw = read(tmp_path, "a.ply", head + strips + points + "8 0 1 2 3 -1 0 1 2\n")
    assert len(raw.corners) == 3
    normals = np.cross(raw.corners[:, 1] - raw.corners[:, 0], raw.corners[:, 2] - raw.corners[:, 0])
    assert (normals[:, 2] > 0).all()
    with pytest.raises(InputError, match="points alone"):
        read(tmp_path, "a.ply", head + "end_header\n" + points)
