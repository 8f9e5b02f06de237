"""Materials and pictures: what a point of the surface shows is what the file says, whatever is made of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Rgb
from air3d.scene3d.objects.description import ObjectDescription
from air3d.scene3d.objects.looks import Painted, painted
from air3d.scene3d.objects.mesh_file import read_mesh
from air3d.scene3d.objects.raw_mesh import Material, Picture, RawMesh

RNG = np.random.default_rng(3)
# Four by four blocks of 16 pixels: a point well within a block is not near another colour.
BLOCKS = [RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in range(3)]


def blocky(number: int) -> np.ndarray:
    return BLOCKS[number].repeat(16, axis=0).repeat(16, axis=1)


def shown(picture: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """What a picture that repeats shows at texture coordinates (N, 2), v upward: the nearest pixel."""
    height, width = picture.shape[:2]
    u, v = (uvs % 1.0).T
    return picture[((1.0 - v) * height).astype(int) % height, (u * width).astype(int) % width].astype(int)


def points_of(uvs: np.ndarray, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random triangles (N,), weights (N, 3), and texture coordinates there."""
    rng = np.random.default_rng(0)
    face, weights = rng.integers(0, len(uvs), count), rng.dirichlet(np.ones(3), count)
    return face, weights, np.einsum("nk,nkd->nd", weights, uvs[face])


def in_blocks(uvs: np.ndarray) -> np.ndarray:
    """Which coordinates are not near the border of a block."""
    part = (uvs * 4.0) % 1.0
    return ((part > 0.2) & (part < 0.8)).all(axis=1)


def soup(uvs: np.ndarray, material: list[int], materials: list[Material]) -> RawMesh:
    """Triangles apart from one another, with these texture coordinates (F, 3, 2)."""
    corners = RNG.normal(size=(len(uvs), 3, 3))
    return RawMesh(corners, np.array(uvs, dtype=float), np.array(material), tuple(materials), ())


def described(texture: object, colour: Rgb = (1.0, 1.0, 1.0)) -> ObjectDescription:
    from pathlib import Path

    return ObjectDescription("thing", Path("thing.obj"), "o.toml: [thing]", colour=colour, texture=texture)


@pytest.fixture
def pictures(tmp_path):
    for k in range(3):
        Image.fromarray(blocky(k)).save(tmp_path / f"{k}.png")
    return [Picture(tmp_path / f"{k}.png", f"{k}.png") for k in range(3)]


def check(found: Painted, raw: RawMesh, expected) -> None:
    """`expected(material, uvs)`: the colours (N, 3) that a material shows at its own texture coordinates."""
    assert found.picture is not None and found.uvs is not None
    face, weights, uvs = points_of(raw.uvs)
    ours = np.einsum("nk,nkd->nd", weights, found.uvs[face])
    inner = in_blocks(uvs)
    assert inner.sum() > 50
    for k in range(len(raw.materials)):
        mine = inner & (raw.material[face] == k)
        np.testing.assert_allclose(shown(found.picture, ours[mine]), expected(k, uvs[mine]), atol=6)


def test_one_picture_that_repeats_is_kept_as_it_is(pictures):
    raw = soup(RNG.uniform(-2.0, 3.0, (20, 3, 2)), [0] * 20, [Material("a", picture=pictures[0])])
    found = painted(raw, described("mesh"))
    np.testing.assert_array_equal(found.picture, blocky(0))
    check(found, raw, lambda _, uvs: shown(blocky(0), uvs))


def test_several_materials_are_painted_into_one_picture(pictures):
    materials = [Material(name, picture=picture) for name, picture in zip("abc", pictures, strict=True)]
    materials.append(Material("d", colour=(0.2, 0.4, 0.6)))
    raw = soup(RNG.uniform(-0.9, 1.9, (40, 3, 2)), [k % 4 for k in range(40)], materials)
    raw.uvs[3::4] = 0.3
    found = painted(raw, described("mesh"))
    assert found.notes == ()
    plain = np.array([51, 102, 153])
    check(found, raw, lambda k, uvs: shown(blocky(k), uvs) if k < 3 else np.tile(plain, (len(uvs), 1)))


def test_materials_that_look_the_same_are_one(pictures):
    raw = soup(RNG.uniform(0, 1, (4, 3, 2)), [0, 1, 0, 1], [Material(n, picture=pictures[1]) for n in "ab"])
    found = painted(raw, described("mesh"))
    np.testing.assert_array_equal(found.picture, blocky(1))
    np.testing.assert_array_equal(found.uvs, raw.uvs)


@pytest.mark.parametrize("wrap", ["clamp", "mirror"])
def test_pictures_that_do_not_repeat_at_their_borders(pictures, wrap):
    raw = soup(
        RNG.uniform(-0.45, 1.45, (30, 3, 2)), [0] * 30, [Material("a", picture=pictures[2]._replace(wrap=(wrap,) * 2))]
    )
    within = {"clamp": lambda x: np.clip(x, 1e-6, 1 - 1e-6), "mirror": lambda x: 1.0 - np.abs(1.0 - x % 2.0)}[wrap]
    check(painted(raw, described("mesh")), raw, lambda _, uvs: shown(blocky(2), within(uvs)))


def test_a_tint_multiplies_light_not_its_code(pictures):
    """Half the light of white is 188 of 255 in sRGB (IEC 61966-2-1)."""
    Image.new("RGB", (8, 8), "white").save(pictures[0].file)
    raw = soup(RNG.uniform(0, 1, (4, 3, 2)), [0] * 4, [Material("a", picture=pictures[0], tint=(0.5, 1.0, 0.0))])
    assert (painted(raw, described("mesh")).picture == [188, 255, 0]).all()


def test_whole_numbers_are_taken_off_large_coordinates(pictures):
    """For each chart by itself, and so that neighbours stay neighbours."""
    raw = soup(RNG.uniform(0.0, 4.0, (20, 3, 2)), [0] * 20, [Material("a", picture=pictures[0])])
    far = raw._replace(uvs=raw.uvs + RNG.integers(-12345, 12345, (20, 1, 2)))
    for texture in ("mesh", pictures[0].file):
        found = painted(far, described(texture))
        assert found.uvs.min() >= -1e-3 and found.uvs.max() <= 5.0
        check(found, raw, lambda _, uvs: shown(blocky(0), uvs))
    grid = np.array([[[0, 0], [9, 0], [0, 9]], [[9, 0], [9, 9], [0, 9]]]) + 5000.0
    plane = np.concatenate([grid, np.zeros((2, 3, 1))], axis=2)
    found = painted(RawMesh(plane, grid, np.zeros(2, int), raw.materials, ()), described("mesh"))
    np.testing.assert_array_equal(found.uvs, grid - 5000.0)
    with pytest.raises(InputError, match=r"go over \d+ repeats"):
        painted(raw._replace(uvs=raw.uvs * 300.0), described("mesh"))
    with pytest.raises(InputError, match="texture coordinate is inf"):
        painted(raw._replace(uvs=raw.uvs * np.inf), described("mesh"))


MTL = "# by hand\nnewmtl a\nKd 0.8 0.8 0.8\nmap_Kd {}\nnewmtl b\nKd 1 0 0\n"
OBJ = "mtllib {}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3\n"


@pytest.fixture
def written(tmp_path, pictures):
    """written(map_Kd's text, mtllib's text, the material file's name): what is read of such an OBJ file."""
    folder = tmp_path / "models" / "thing"
    for place in (folder / "My Wood.PNG", tmp_path / "textures" / "x.png", folder / "sub" / "Y.png"):
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blocky(1)).save(place)

    def write(line: str, library: str = "thing.mtl", name: str = "thing.mtl") -> RawMesh:
        (folder / name).write_text(MTL.format(line))
        (folder / "thing.obj").write_text(OBJ.format(library))
        return read_mesh(folder / "thing.obj", "o.toml: [thing]")

    return write


@pytest.mark.parametrize(
    "line, library",
    [
        ("My Wood.PNG", "thing.mtl"),
        ('"my wood.png"', "./Thing.MTL"),
        ("../../textures/x.png", ".\\thing.mtl"),
        ("..\\..\\Textures\\X.png", '"thing.mtl"'),
        ("sub\\y.png", "none.mtl thing.mtl"),
        ("C:\\Users\\me\\My Wood.PNG", "thing.mtl none.mtl"),
        ("/home/me/my wood.png", "thing.mtl"),
        ("-bm 1.0 -clamp off -blendu on -mm 0 1 sub/Y.png", "thing.mtl"),
        ("-s 1 1 1 -o 0 0 0 -t 0 0 0 -type sphere My Wood.PNG # wood", "thing.mtl # looks"),
        ("My Wood.PNG\r", "thing.mtl\r"),
    ],
)
def test_the_picture_of_an_obj_file_is_found(written, line, library):
    raw = written(line, library)
    found = painted(raw, described("mesh"))
    np.testing.assert_array_equal(found.picture, blocky(1))
    np.testing.assert_array_equal(found.uvs, raw.uvs)


def test_material_files_with_blanks_in_their_names(written, tmp_path):
    raw = written("My Wood.PNG", "my thing.mtl other.mtl", "my thing.mtl")
    assert painted(raw, described("mesh")).picture is not None


def test_options_scale_shift_and_clamp(written):
    raw = written("-s 2 3 -o 0.25 0.5 -clamp on sub/Y.png")
    np.testing.assert_allclose(raw.uvs[0], [[0.25, 0.5], [2.25, 0.5], [0.25, 3.5]])
    assert raw.materials[int(raw.material[0])].picture.wrap == ("clamp", "clamp")


def test_numbers_of_a_material_file_that_are_none(written):
    with pytest.raises(InputError, match=r"thing\.mtl, where -s of 'a' is 'x', no number"):
        written("-s x y My Wood.PNG")


@pytest.mark.parametrize(
    "mtl, colour", [("newmtl a\nmap_Kd \nKd 1 0 0\n", "ff0000"), ("newmtl a\nKd nan 0 1\n", "0000ff")]
)
def test_a_material_without_a_picture_names_its_colour(written, tmp_path, mtl, colour):
    (tmp_path / "models" / "thing" / "other.mtl").write_text(mtl)
    with pytest.raises(InputError, match=f'carries none; give one colour instead, colour = "#{colour}"'):
        painted(written("x.png", "other.mtl"), described("mesh"))


@pytest.mark.parametrize(
    "line, library, message",
    [
        (
            "gone.png",
            "thing.mtl",
            r"thing\.mtl names 'gone\.png' \(map_Kd of 'a'\); there is no such file seen from .*thing",
        ),
        ("x.png", "gone.mtl", r"thing\.obj names the material file 'gone\.mtl'; there is no such file in .*thing"),
    ],
)
def test_a_file_that_the_mesh_names_and_that_is_not_there(written, line, library, message):
    raw = written(line, library)
    with pytest.raises(InputError, match=r'o\.toml: \[thing\]: texture is "mesh", but ' + message):
        painted(raw, described("mesh"))
    assert painted(raw, described(None)).picture is None, "another colour was asked for"


def test_what_is_left_out_is_said(pictures):
    raw = soup(
        RNG.uniform(0, 1, (4, 3, 2)), [0, 1, 0, 1], [Material("a", picture=pictures[0], clear=True), Material("b")]
    )
    assert painted(raw, described("mesh")).notes == ("material 'a' is see-through in the file; it is drawn solid",)
    assert "covers all of them" in painted(raw, described(pictures[1].file)).notes[0]
    assert "the looks in the file are not used" in painted(raw, described(None)).notes[0]
    raw.uvs[1:3] = np.nan
    with pytest.raises(
        InputError, match=r"1 triangles of thing\.obj have a picture \('a'\), but no texture coordinates"
    ):
        painted(raw, described("mesh"))
    assert painted(raw, described(pictures[1].file)).notes[1].startswith("2 triangles have no texture coordinates")
    many = [Material(str(k), colour=(k / 300, 0.0, 0.0)) for k in range(300)]
    with pytest.raises(InputError, match="300 materials, more than 256"):
        painted(soup(np.zeros((300, 3, 2)), list(range(300)), many), described("mesh"))
