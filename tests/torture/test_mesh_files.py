"""Mesh files cut off, damaged, and in odd dialects, made into kinds: a kind that can be drawn, or one line."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene, SceneObject, Table

pytest.importorskip("trimesh")
CORNERS = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
SIDES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
TRIANGLES = np.array([[side[0], *side[k : k + 2]] for side in SIDES for k in (1, 2)])
UVS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def obj() -> bytes:
    lines = ["mtllib a.mtl", *("v {} {} {}".format(*p) for p in CORNERS), *("vt {} {}".format(*p) for p in 3 * UVS)]
    for k, side in enumerate(SIDES):
        lines += [f"usemtl {'ab'[k % 2]}", "f " + " ".join(f"{v + 1}/{c + 1}" for c, v in enumerate(side))]
    return "\n".join([*lines, ""]).encode()


def stl() -> bytes:
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *CORNERS[t].ravel(), 0) for t in TRIANGLES)
    return b"by hand".ljust(80) + struct.pack("<I", 12) + body


def text_stl() -> bytes:
    def facet(triangle: Any) -> str:
        corners = "".join("vertex {} {} {}\n".format(*point) for point in CORNERS[triangle])
        return f"facet normal 0 0 0\nouter loop\n{corners}endloop\nendfacet\n"

    return ("solid a\n" + "".join(map(facet, TRIANGLES)) + "endsolid a\n").encode()


def ply(text: bool) -> bytes:
    form = "ascii" if text else "binary_big_endian"
    head = f"ply\nformat {form} 1.0\nelement vertex 8\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    head += "element face 6\nproperty list uchar int vertex_indices\nend_header\n"
    if text:
        rows = [" ".join(map(str, point)) for point in CORNERS] + [" ".join(map(str, [4, *side])) for side in SIDES]
        return (head + "\n".join(rows) + "\n").encode()
    return head.encode() + CORNERS.astype(">f4").tobytes() + b"".join(struct.pack(">B4i", 4, *s) for s in SIDES)


def glb() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (20, 90, 200)).save(buffer, "PNG")
    parts = [CORNERS.astype("<f4").tobytes(), TRIANGLES.astype("<u2").tobytes(), CORNERS[:, :2].astype("<f4").tobytes()]
    parts.append(buffer.getvalue() + bytes(-len(buffer.getvalue()) % 4))
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    views = [{"buffer": 0, "byteOffset": a, "byteLength": len(p)} for a, p in zip(starts, parts, strict=False)]
    kinds = [(5126, 8, "VEC3"), (5123, 36, "SCALAR"), (5126, 8, "VEC2")]
    document = {
        "asset": {"version": "2.0"}, "buffers": [{"byteLength": starts[-1]}], "bufferViews": views, "scene": 0,
        "accessors": [{"bufferView": k, "componentType": c, "count": n, "type": t}
                      for k, (c, n, t) in enumerate(kinds)],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "baseColorFactor": [1, 0.5, 1, 1]}}],
        "textures": [{"source": 0}], "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "nodes": [{"children": [1]}, {"mesh": 0, "scale": [1, 2, 1]}], "scenes": [{"nodes": [0]}],
    }  # fmt: skip
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = (
        struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", starts[-1], b"BIN\0") + b"".join(parts)
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


FILES = {
    "a.obj": obj(), "b.stl": stl(), "c.stl": text_stl(), "d.ply": ply(True), "e.ply": ply(False), "f.glb": glb()
}  # fmt: skip
TEXTURED = ("a.obj", "f.glb")
MTL = b"newmtl a\nmap_Kd -s 2 2 -clamp off a.png\nnewmtl b\nKd 0.9 0.1 0.1\n"


@pytest.fixture
def make(sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], str | None]:
    """make(name, content): the kind of a mesh file, None for an InputError of one line. Nothing else is said."""
    from air3d.scene3d.objects.description import read_descriptions
    from air3d.scene3d.objects.make import make_kind

    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "cache"))
    Image.new("RGB", (8, 8), (200, 180, 40)).save(tmp_path / "a.png")
    (tmp_path / "a.mtl").write_bytes(MTL)
    for name in FILES:
        looks = 'texture = "mesh"' if name in TEXTURED else 'colour = "#804020"'
        (tmp_path / f"{name}.toml").write_text(f'[thing]\nmesh = "{name}"\nlongest_m = 0.1\n{looks}\n')

    def run(name: str, content: bytes) -> str | None:
        (tmp_path / name).write_bytes(content)
        said = io.StringIO()
        handler = logging.StreamHandler(said)
        logging.getLogger().addHandler(handler)
        try:
            with sealed(tmp_path), warnings.catch_warnings(), contextlib.redirect_stderr(said):
                warnings.simplefilter("error")
                found = make_kind(read_descriptions(tmp_path / f"{name}.toml")["thing"]).kind
        except InputError as error:
            if "\n" in str(error) or len(str(error)) > 1000:
                raise AssertionError(f"not one short line: {error!r}") from error
            found = None
        finally:
            logging.getLogger().removeHandler(handler)
        assert not said.getvalue(), said.getvalue()
        return found

    return run


def draw(kind: str) -> np.ndarray:
    """A picture of a kind (64, 64, 3): what is accepted can be read back, compiled and drawn."""
    table = Table(radius_m=0.4, place_radius_m=0.3)
    scene = Scene((SceneObject.upright(kind, 0.0, 0.0),), table=table)
    with make_renderer(RenderConfig((kind,), table, 1, 64, 64, "inference"), "raster") as renderer:
        return renderer.render(SceneBatch.from_scenes([scene]))[0]


@pytest.mark.parametrize("name", sorted(FILES))
def test_mesh_files_cut_off(name: str, make: Callable[[str, bytes], str | None], tried: Any) -> None:
    """At every twentieth of their length: refused, or what is left is a body that can be drawn."""
    whole = FILES[name]
    kind = make(name, whole)
    assert kind is not None and np.ptp(draw(kind)) > 0
    for twentieth in range(20):
        kept = make(name, whole[: len(whole) * twentieth // 20])
        assert kept is None or name == "a.obj", "an OBJ file alone does not say how long it is"
        if kept is not None:
            draw(kept)
    tried("mesh files cut off at every 5 %", 20)


@pytest.mark.parametrize("name", [*sorted(FILES), "a.mtl"])
def test_mesh_files_damaged(name: str, make: Callable[[str, bytes], str | None], tmp_path: Path, tried: Any) -> None:
    whole = FILES.get(name, MTL)
    found: set[str] = set()

    @settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True, database=None)
    @given(damages(whole))
    def damaged(content: bytes) -> None:
        if name == "a.mtl":
            (tmp_path / name).write_bytes(content)
        found.add(str(make("a.obj", FILES["a.obj"]) if name == "a.mtl" else make(name, content)))

    damaged()
    for kind in sorted(found - {"None"}):
        draw(kind)
    tried("mesh and material files, damaged at random", 40)


@st.composite
def damages(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes flipped, overwritten by numbers at the edge, taken out or doubled."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(made) - 1, 0)))
        how = draw(st.sampled_from(["flip", "edge", "cut", "double"]))
        if how == "flip" and made:
            made[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "edge":
            edges = [b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4), b" -1 ", b"9e99", b"nan ", b"\n\n\n\n", b"////"]
            made[at : at + 4] = draw(st.sampled_from(edges))
        elif how == "cut":
            del made[at : at + draw(st.integers(1, 40))]
        else:
            made[at:at] = made[: draw(st.integers(1, 200))]
    return bytes(made)


def test_dialects_of_mesh_files(make: Callable[[str, bytes], str | None], tried: Any) -> None:
    """The same box, however it is written, is the same kind."""
    text = FILES["a.obj"].decode()
    dialects = [
        text.replace("\n", "\r\n"), text.replace("\n", "\r"), text.replace(" ", "\t"), "\ufeff" + text,
        text.replace("\n", " # so\n"), text.replace("/", "/", 1), text.replace("mtllib a.mtl", 'mtllib ".\\A.MTL"'),
        text.replace("v ", "v \\\n"), text.replace("f ", "fo "), "o a\ng b c\ns 1\n" + text + "l 1 2\np 3\n",
    ]  # fmt: skip
    first = make("a.obj", text.encode())
    assert first is not None
    for dialect in dialects:
        assert make("a.obj", dialect.encode()) == first, dialect
    boxes = {make(name, FILES[name]) for name in ("b.stl", "c.stl", "d.ply", "e.ply")}
    assert len(boxes) == 1 and None not in boxes
    assert make("b.stl", b"solid".ljust(80) + FILES["b.stl"][80:] + b"more") in boxes
    assert make("c.stl", FILES["c.stl"].upper().replace(b"\n", b"\r\n")) in boxes
    tried("dialects of mesh files", len(dialects) + 6)
