"""The TOML file: what it says is understood, and every mistake is one line that names the place and the remedy."""

from __future__ import annotations

import math

import pytest

from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.description import read_descriptions
from air3d.scene3d.symmetry import Symmetry

GOOD = 'mesh = "a.stl"\nheight_m = 0.1\ncolour = [0.1, 0.2, 0.3]\n'


@pytest.fixture
def read(tmp_path):
    (tmp_path / "a.stl").write_bytes(b"x")
    (tmp_path / "b.glb").write_bytes(b"x")
    (tmp_path / "p.png").write_bytes(b"x")

    def write_and_read(text: str):
        (tmp_path / "o.toml").write_text(text)
        return read_descriptions(tmp_path / "o.toml")

    return write_and_read


def test_everything_that_can_be_said(read, tmp_path):
    found = read(
        f'[plain]\n{GOOD}\n[full]\nmesh = "b.glb"\nlongest_m = 0.2\nturn_deg = 90\ncolour = "#ff8000"\n'
        'texture = "p.png"\nsymmetry = 4\nup = "-x"\n'
        '[bare]\nmesh = "b.glb"\nscale = 0.001\ntexture = "mesh"\nsymmetry = "continuous"\n'
    )
    plain, full, bare = found["plain"], found["full"], found["bare"]
    assert list(found) == ["plain", "full", "bare"] and plain.mesh == tmp_path / "a.stl"
    assert (plain.size, plain.up, plain.turn_rad, plain.texture) == (("height_m", 0.1), "z", 0.0, None)
    assert plain.colour == (0.1, 0.2, 0.3) and plain.symmetry is None
    assert full.size == ("longest_m", 0.2) and full.up == "-x" and full.turn_rad == pytest.approx(math.pi / 2)
    assert full.colour == pytest.approx((1.0, 128 / 255, 0.0), abs=1e-3) and full.texture == tmp_path / "p.png"
    assert full.symmetry == Symmetry(yaw_order=4)
    assert bare.up == "y" and bare.colour is None and bare.symmetry.continuous_yaw


def test_a_file_is_enough(read, tmp_path):
    bare = read('[bare]\nmesh = "b.glb"\n')["bare"]
    assert bare.size is bare.colour is bare.texture is bare.symmetry is None and bare.up == "y"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "describes 0 kinds"),
        ("[thing", "not TOML"),
        (GOOD, r"stands outside a table; .*\[cow\]"),
        (f"[Thing]\n{GOOD}", "small letter"),
        (f'["../thing"]\n{GOOD}', "small letter"),
        (f'["a@0123456789ab"]\n{GOOD}', "small letter"),
        (f"[mug]\n{GOOD}", "choose another"),
        (f"[thing]\n{GOOD}color = 1\n", "unknown key 'color': did you mean 'colour'"),
        (f"[thing]\n{GOOD}scale = 2\n", "by height_m and scale"),
        (f"[thing]\n{GOOD}".replace("0.1\n", "-1\n", 1), "height_m is -1"),
        (f"[thing]\n{GOOD}".replace("0.1\n", "nan\n", 1), "height_m is nan"),
        (f"[thing]\n{GOOD}".replace("0.1\n", "true\n", 1), "height_m is True"),
        (f"[thing]\n{GOOD}".replace("a.stl", "c.stl"), r"mesh is 'c.stl'; there is no such file"),
        (f"[thing]\n{GOOD}".replace("a.stl", "."), "no such file"),
        (f"[thing]\n{GOOD}".replace("a.stl", f"{'a' * 300}.stl"), "no such file"),
        (f"[thing]\n{GOOD}".replace("a.stl", "p.png"), "must end in .obj, .stl, .glb, .gltf, .ply, .xml, .urdf"),
        (f"[thing]\n{GOOD}".replace('"a.stl"', "3"), "mesh is 3"),
        (f"[thing]\n{GOOD}".replace("0.3]", "1.3]"), r"colour is \[0.1, 0.2, 1.3\]"),
        (f"[thing]\n{GOOD}".replace("[0.1, 0.2, 0.3]", '"red"'), "colour is 'red'"),
        ("[thing]\nscale = 1\n", "mesh is None"),
        (f'[thing]\n{GOOD}texture = "none.png"\n', "texture is 'none.png'; there is no such file"),
        (f'[thing]\n{GOOD}up = "w"\n', "use one of x, -x"),
        (f'[thing]\n{GOOD}symmetry = "continous"\n', "did you mean 'continuous'"),
        (f"[thing]\n{GOOD}symmetry = 0\n", "symmetry is 0"),
        (f"[thing]\n{GOOD}symmetry = 99\n", "symmetry is 99"),
        (f"[thing]\n{GOOD}turn_deg = 1e9\n", "turn_deg is"),
    ],
)
def test_a_mistake_is_one_line(read, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "o.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_text(read, tmp_path):
    assert read(f"\ufeff[plain]\n{GOOD}") == read(f"[plain]\n{GOOD}")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none.toml: No such file"):
        read_descriptions(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not TOML"):
        read_descriptions(tmp_path / "bytes.toml")
