"""Whole kinds: textures, facts against closed forms, the same bytes again, and footprints that hold both meshes."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from PIL import Image

from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.compiler import compile_model
from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.objects.make import make_kind
from air3d.scene3d.scene import Table

HALVES = Image.fromarray(np.repeat(np.array([[[200, 30, 30]] * 30, [[30, 30, 200]] * 30], np.uint8), 10, axis=0))


def ball(picture: Image.Image | None = None) -> trimesh.Trimesh:
    """Radius 0.03; its upper half is in the upper half of the picture."""
    sphere = trimesh.creation.icosphere(4, 0.03)
    uv = np.stack([0.5 + sphere.vertices[:, 0] / 0.08, 0.5 + sphere.vertices[:, 2] / 0.08], axis=1)
    sphere.visual = trimesh.visual.TextureVisuals(uv=uv, image=picture)
    return sphere


def test_the_facts_of_a_ball(describe):
    facts = make_kind(describe(ball(), symmetry="continuous"))
    assert facts.size_m == pytest.approx((0.06, 0.06, 0.06), rel=0.005)
    assert facts.triangles == {"file": 5120, "display": 5120, "inference": 360}
    # Of 360 even triangles on this sphere each has its middle about 0.5 mm inside.
    assert 0.0002 < facts.deviation_m < 0.0015
    assert facts.footprint_m == ((0.0, 0.0, pytest.approx(0.03, rel=0.02)),)
    assert facts.symmetry == "continuous" and facts.symmetry_error_m < 0.001 and facts.warnings == ()
    kind = get_kind(facts.kind)
    assert kind.symmetry.continuous_yaw and kind.height_m == pytest.approx(0.06, rel=0.005)
    assert kind.colour == pytest.approx((0x80 / 255, 0x90 / 255, 0xA0 / 255), abs=1e-3)
    for detail in ("inference", "display"):
        points = load_mesh(facts.kind, detail).positions_m
        assert points[:, 2].min() == 0.0 and points[:, 2].max() <= kind.height_m
        assert np.hypot(points[:, 0], points[:, 1]).max() <= kind.radius_m
    assert make_kind(describe(ball(), symmetry="continuous")).kind == facts.kind


@pytest.mark.parametrize("embedded", [True, False])
def test_a_texture_is_made_square_and_stays_the_right_way_up(describe, tmp_path, embedded):
    HALVES.save(tmp_path / "halves.png")
    if embedded:
        keys = {"suffix": ".glb", "texture": "mesh", "up": "z"}
    else:
        keys = {"suffix": ".obj", "texture": "halves.png"}
    facts = make_kind(describe(ball(HALVES), colour=None, **keys))
    kind = get_kind(facts.kind)
    assert kind.texture == f"{facts.kind}.png" and kind.colour == (1.0, 1.0, 1.0)
    picture = np.asarray(Image.open(asset_path("textures", kind.texture)))
    assert picture.shape == (32, 32, 3)
    mesh = load_mesh(facts.kind, "inference")
    assert mesh.uvs is not None
    rows = ((1.0 - mesh.uvs[:, 1]) * 32).astype(int)  # v points up, rows go down
    red = picture[rows, 16, 0] > 128
    high = mesh.positions_m[:, 2]
    assert red[high > 0.04].all() and not red[high < 0.02].any()


def test_textures_that_cannot_be_used(describe, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad\.png: not a picture"):
        make_kind(describe(ball(HALVES), suffix=".obj", texture="bad.png"))
    HALVES.save(tmp_path / "halves.png")
    with pytest.raises(InputError, match="has no texture coordinates"):
        make_kind(describe(ball(), suffix=".stl", texture="halves.png"))
    (tmp_path / "a.mtl").write_text("newmtl a\nKd 1 0.5 0\n")
    plain = b"mtllib a.mtl\nusemtl a\n" + ball().export(file_type="obj", include_texture=False).encode()
    with pytest.raises(InputError, match=r'texture is "mesh", but thing\.obj carries none; .* colour = "#ff8000"'):
        make_kind(describe(plain, suffix=".obj", texture="mesh"))


def test_what_is_worth_a_warning(describe):
    cube = trimesh.creation.box([0.05, 0.05, 0.05])
    assert make_kind(describe(cube)).warnings == make_kind(describe(cube, symmetry=2)).warnings == ()
    assert make_kind(describe(cube, symmetry=4)).warnings == ()
    with pytest.raises(InputError, match=r"symmetry is continuous, but .* declare symmetry = 4"):
        make_kind(describe(cube, symmetry="continuous"))
    octagon = trimesh.creation.cylinder(0.03, 0.05, sections=8)
    (warning,) = make_kind(describe(octagon, symmetry="continuous")).warnings
    assert "symmetry is continuous, but a turn by" in warning
    # A corner turned to the middle of a side is r (1 - cos(pi / 8)) = 2.3 mm outside it; no other turn moves more.
    assert 1.5 < float(warning.split("up to ")[1].split(" mm")[0]) <= 2.3
    leaf = cube.submesh([[0, 1, 2, 3]], append=True)
    assert any("drawn from both sides" in line for line in make_kind(describe(leaf)).warnings)


BOX = "".join(f"v {x} {y} {z}\n" for x in (0, 0.1) for y in (0, 0.1) for z in (0, 0.1))
SIDES = ["1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"]


def boxed(shift: float, materials: str) -> bytes:
    """A box whose sides each show a whole picture, with texture coordinates far away, and a material for each side."""
    uvs = "".join(f"vt {u + shift} {v + shift}\n" for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)))
    faces = [
        f"usemtl {material}\nf " + " ".join(f"{corner}/{k}" for k, corner in enumerate(side.split(), 1)) + "\n"
        for side, material in zip(SIDES, materials, strict=True)
    ]
    return ("mtllib a.mtl\n" + BOX + uvs + "".join(faces)).encode()


@pytest.mark.parametrize("shift, materials", [(0, "aaaaaa"), (12345, "aaaaaa"), (-7000.5, "abcabc"), (0, "bbbbbc")])
def test_what_is_made_can_be_read_back_and_compiled(describe, tmp_path, shift, materials):
    """Whatever is accepted when a kind is made is accepted by all that comes after."""
    HALVES.save(tmp_path / "a.png")
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd a.png\nnewmtl b\nKd 0 1 0\nnewmtl c\nKd 1 1 0\n")
    facts = make_kind(describe(boxed(shift, materials), suffix=".obj", colour=None, texture="mesh"))
    assert get_kind(facts.kind).texture is not None
    for detail in ("inference", "display"):
        assert np.abs(load_mesh(facts.kind, detail).uvs).max() < 2.0
        assert compile_model((facts.kind,), 1, Table(), detail).model.nmesh >= 1
