"""Pictures of every sort are read, or refused in one line; written whole or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import air3d
from air3d.datasets.image_size import ImageSize
from air3d.datasets.pictures import (
    as_picture,
    as_pictures,
    check_writable,
    enlarge,
    find_pictures,
    write_picture,
)
from air3d.scene3d.errors import InputError
from air3d.scene3d.picture_file import read_rgb
from tests.colour_profiles import ADOBE, P3, PROPHOTO, grey_profile

RNG = np.random.default_rng(0)


def refused(path: Path) -> str:
    """The one line with which a picture is refused; it names the file."""
    with pytest.raises(InputError) as caught:
        as_picture(path, 16)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_picture_of_the_right_size_is_unchanged(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for ending in ("png", "bmp", "tiff"):
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
        assert np.array_equal(as_picture(tmp_path / f"a.{ending}", 16), pixels)


def test_a_large_photo_is_cut_to_its_centre_and_averaged(tmp_path: Path) -> None:
    photo = np.zeros((1200, 2000, 3), np.uint8)
    photo[:, :400] = photo[:, 1600:] = (255, 0, 255)  # outside the central square
    photo[:600, 400:1000] = (250, 10, 10)
    photo[600:, 1000:1600] = (10, 250, 10)
    Image.fromarray(photo).save(tmp_path / "photo.jpg", quality=95)
    small = as_picture(tmp_path / "photo.jpg", 32)
    assert small.shape == (32, 32, 3)
    assert small.dtype == np.uint8
    expected = photo[:, 400:1600].reshape(2, 600, 2, 600, 3).mean((1, 3)).repeat(16, 0).repeat(16, 1)
    inner = np.ones((32, 32), bool)
    inner[[0, -1, 15, 16]] = inner[:, [0, -1, 15, 16]] = False
    assert np.abs(small - expected)[inner].max() <= 4, "JPEG is lossy"


def test_small_and_oblong_pictures_are_enlarged(tmp_path: Path) -> None:
    Image.new("RGB", (9, 5), (10, 200, 30)).save(tmp_path / "small.png")
    assert (as_picture(tmp_path / "small.png", 16) == (10, 200, 30)).all()
    Image.new("RGB", (5000, 1), (10, 200, 30)).save(tmp_path / "line.png")
    assert (as_picture(tmp_path / "line.png", 16) == (10, 200, 30)).all()


def test_transparency_is_put_over_black(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 4), (200, 100, 50, 255), np.uint8)
    pixels[:8, :, 3] = 0
    pixels[8:12, :, 3] = 128
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = as_picture(tmp_path / "a.png", 16).astype(int)
    assert (found[:8] == 0).all()
    assert np.abs(found[8:12] - (100, 50, 25)).max() <= 1
    assert (found[12:] == (200, 100, 50)).all()


def test_grey_palette_and_bilevel_pictures(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(as_picture(tmp_path / "grey.png", 16), grey[..., None].repeat(3, -1))
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    assert np.array_equal(as_picture(tmp_path / "palette.png", 16), grey[..., None].repeat(3, -1))
    transparent = Image.new("P", (16, 16), 1)
    transparent.putpalette([0, 0, 0, 9, 8, 7] + [0] * 762)
    transparent.save(tmp_path / "holes.png", transparency=0)
    assert (as_picture(tmp_path / "holes.png", 16) == (9, 8, 7)).all()
    Image.fromarray(grey > 100).save(tmp_path / "bilevel.png")
    assert np.array_equal(as_picture(tmp_path / "bilevel.png", 16)[..., 0], 255 * (grey > 100))
    Image.fromarray(grey[..., None].repeat(3, -1)).convert("CMYK").save(tmp_path / "cmyk.tiff")
    assert np.abs(as_picture(tmp_path / "cmyk.tiff", 16)[..., 0].astype(int) - grey).max() <= 2


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    for ending in ("png", "tiff"):
        Image.fromarray(deep).save(tmp_path / f"deep.{ending}")
        found = as_picture(tmp_path / f"deep.{ending}", 16)
        assert np.array_equal(found[..., 0], np.arange(256).reshape(16, 16))
        assert np.array_equal(found[..., 0], found[..., 2])


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=100)
    found = as_picture(tmp_path / "turned.jpg", 16)
    assert found[:, 8:].min() > 200
    assert found[:, :8].max() < 50


def test_damaged_exif_data_do_no_harm(tmp_path: Path) -> None:
    picture = Image.new("RGB", (16, 16), (0, 200, 0))
    for number, exif in enumerate(
        (b"Exif\0\0MM\0*\0\0\0\x08\0\x09", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\x7f")
    ):
        picture.save(tmp_path / f"{number}.jpg", exif=exif)
        assert as_picture(tmp_path / f"{number}.jpg", 16).shape == (16, 16, 3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tiff"])
def test_truncated_pictures(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"whole.{ending}"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path)


def test_what_lies_in_place_of_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n")
    assert refused(path).endswith("run 'git lfs pull' where it was checked out")
    path.write_text("<!DOCTYPE html><html>")
    assert "is a web page" in refused(path)


def test_integers_and_numbers_without_a_white(tmp_path: Path) -> None:
    """Numbers of 8 bits in a TIFF of 32 are not of 16, and nearly black."""
    path = tmp_path / "a.tif"
    Image.fromarray(np.arange(200, dtype=np.int32).reshape(10, 20)).save(path)
    assert "holds integers from 0 to 199, and which of them is white is not known" in refused(path)
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(path)
    assert "NaN" in refused(path)


def with_chunks(path: Path, pixels: np.ndarray, *chunks: tuple[bytes, bytes], **save: object) -> Path:
    """A PNG file with chunks of colour after its header, which is 33 bytes long with what is before it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **save)
    data = buffer.getvalue()
    more = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    path.write_bytes(data[:33] + b"".join(more) + data[33:])
    return path


P3_CHRM = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@pytest.mark.parametrize(
    "chunks, profile",
    [
        ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", P3_CHRM)], P3),
        ([(b"cICP", bytes([12, 4, 0, 1])), (b"gAMA", struct.pack(">I", 100000))], P3),
        (
            [
                (b"gAMA", struct.pack(">I", 45471)),
                (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
            ],
            ADOBE,
        ),
    ],
    ids=["gAMA and cHRM", "cICP before gAMA", "Adobe RGB"],
)
def test_colours_that_a_png_file_declares(tmp_path: Path, chunks: list[tuple[bytes, bytes]], profile: bytes) -> None:
    """As littleCMS converts from the profile of the same space; colours within sRGB, as only those are told apart."""
    pixels = RNG.integers(60, 196, (16, 16, 3), dtype=np.uint8)
    wide = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    wanted = ImageCms.profileToProfile(Image.fromarray(pixels), wide, ImageCms.createProfile("sRGB"))
    found = as_picture(with_chunks(tmp_path / "a.png", pixels, *chunks), 16)
    assert wanted is not None and np.abs(np.asarray(wanted).astype(int) - pixels).max() > 10
    assert np.abs(found.astype(int) - np.asarray(wanted)).max() <= 2, "but for rounding"


def test_gamma_alone_and_what_counts_more_than_it(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    light = pixels / 255.0
    bright = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    linear, path = (b"gAMA", struct.pack(">I", 100000)), tmp_path / "a.png"
    found = as_picture(with_chunks(path, pixels, linear), 16)
    np.testing.assert_array_equal(found, np.rint(255.0 * bright))
    np.testing.assert_array_equal(as_picture(Image.open(path), 16), found)
    np.testing.assert_array_equal(read_rgb(path, as_stored=True), pixels)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for chunks, save in (
        ([(b"gAMA", struct.pack(">I", 45455))], {}),
        ([(b"sRGB", b"\0"), linear], {}),
        ([(b"cICP", bytes([1, 13, 0, 1])), linear], {}),
        ([linear], {"icc_profile": profile}),
        ([(b"gAMA", bytes(4))], {}),
    ):
        notes: list[str] = []
        assert (
            np.abs(as_picture(with_chunks(path, pixels, *chunks, **save), 16, notes=notes).astype(int) - pixels).max()
            < 2
        )
        assert not notes


@pytest.mark.parametrize(
    "chunk, why",
    [
        ((b"cICP", bytes([9, 16, 0, 1])), "high dynamic range"),
        ((b"cICP", bytes([77, 13, 0, 1])), "cICP 77/13"),
        ((b"cHRM", bytes(32)), "primaries"),
        ((b"cHRM", struct.pack(">8I", 31270, 32900, *[30000, 30000] * 3)), "primaries"),
    ],
)
def test_colours_that_are_not_read_are_said(tmp_path: Path, chunk: tuple[bytes, bytes], why: str) -> None:
    pixels, notes = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8), list[str]()
    found = as_picture(with_chunks(tmp_path / "a.png", pixels, chunk), 16, notes=notes)
    np.testing.assert_array_equal(found, pixels)
    (note,) = notes
    assert why in note and note.endswith("its colours are taken for sRGB")


def test_what_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("this is not a picture\n" * 50)
    assert "not a picture" in refused(path)
    path.write_bytes(b"")
    assert "not a picture" in refused(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    refused(path)
    path.unlink()
    path.mkdir()
    assert "Is a directory" in refused(path)
    assert "No such file" in refused(tmp_path / "missing.png")


@pytest.mark.parametrize("side", [9_600, 20_000, 60_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(data)
    assert "too many" in refused(tmp_path / "bomb.png")


def test_every_natural_form_is_the_same_picture(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    fractions = pixels / 255.0
    forms = [
        *(path, str(path), path.read_bytes(), Image.open(path), pixels, fractions, fractions.astype(np.float32)),
        *(pixels.astype(np.uint16) * 257, pixels.astype(np.int64), torch.from_numpy(pixels)),
        torch.from_numpy(fractions).requires_grad_(),
        np.dstack([pixels, np.full((16, 16), 255, np.uint8)]),
    ]
    for form in forms:
        np.testing.assert_array_equal(as_picture(form, 16), pixels)
        np.testing.assert_array_equal(as_pictures(form, 16), pixels[None])
    for one in (as_picture, as_pictures):
        with open(path, "rb") as file:
            np.testing.assert_array_equal(one(file, 16).reshape(pixels.shape), pixels)
        np.testing.assert_array_equal(one(io.BytesIO(path.read_bytes()), 16).reshape(pixels.shape), pixels)
    several = as_pictures(forms, 16)
    assert several.shape == (len(forms), 16, 16, 3) and (several == pixels).all()
    for batch in (
        *(tmp_path, [path], (path,), iter([path]), np.array([pixels]), torch.from_numpy(fractions)[None]),
        *({path: 1}, np.array([str(path)])),
    ):
        np.testing.assert_array_equal(as_pictures(batch, 16), pixels[None])
    for none in ([], (), iter([]), np.zeros((0, 16, 16, 3)), np.zeros(0), torch.zeros(0, 5, 5, 3)):
        assert as_pictures(none, 16).shape == (0, 16, 16, 3) and as_pictures(none, 16).dtype == np.uint8


@pytest.mark.parametrize("profile", [ADOBE, P3, PROPHOTO], ids=["Adobe RGB", "P3", "ProPhoto"])
def test_the_answer_to_a_picture_does_not_depend_on_its_colour_profile(tmp_path: Path, profile: bytes) -> None:
    """The same picture, converted by littleCMS and with the profile embedded, in files of every kind that carry one."""
    model = air3d.load("single-object")
    scenes = air3d.generate(4, seed=8, prior=model.prior)
    images = air3d.render(scenes, renderer="raster")
    plain = air3d.infer(model, images, renderer="raster")
    srgb, wide = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile))
    paths = []
    for image, (number, ending) in zip(images, enumerate(("png", "tiff", "webp", "png")), strict=True):
        other = ImageCms.profileToProfile(Image.fromarray(image), srgb, wide)
        assert other is not None and np.abs(np.asarray(other).astype(int) - image).max() > 5
        paths.append(tmp_path / f"{number}.{ending}")
        if number == 3:
            other.putalpha(255)
        other.save(paths[-1], icc_profile=profile, **({"lossless": True} if ending == "webp" else {}))
        found = as_picture(paths[-1], 64)
        assert np.abs(found.astype(int) - image).mean() < 1.0, "but for rounding"
    for one, other_scene in zip(plain, air3d.infer(model, paths, renderer="raster"), strict=True):
        (thing,), (seen,) = one.objects, other_scene.objects
        assert thing.kind == seen.kind and np.hypot(thing.x_m - seen.x_m, thing.y_m - seen.y_m) < 0.003


def test_grey_with_a_gamma_of_its_own(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for gamma in (1.8, 2.6):
        # What a device of that gamma shows: the light of sRGB's curve.
        light = np.where(grey / 255 <= 0.04045, grey / 255 / 12.92, ((grey / 255 + 0.055) / 1.055) ** 2.4)
        path = tmp_path / "grey.png"
        Image.fromarray(np.rint(255 * light ** (1 / gamma)).astype(np.uint8)).save(
            path, icc_profile=grey_profile(gamma)
        )
        assert np.abs(as_picture(path, 16)[..., 0].astype(int) - grey)[grey > 20].max() <= 2, "but for rounding"


def test_arrays_of_other_sizes_and_kinds() -> None:
    grey = RNG.integers(0, 256, (16, 16), dtype=np.uint8)
    for form in (grey, grey[..., None], grey / 255.0):
        np.testing.assert_array_equal(as_pictures(form, 16), np.repeat(grey[None, ..., None], 3, axis=-1))
    np.testing.assert_array_equal(as_picture(grey > 100, 16)[..., 0], 255 * (grey > 100))
    wide = np.zeros((32, 40, 3), np.uint8)
    wide[:, 4:36] = (30, 60, 90)  # the central square
    assert (as_picture(wide, 16) == (30, 60, 90)).all()
    glass = np.full((16, 16, 4), (200, 100, 50, 0), np.uint8)
    assert not as_picture(glass, 16).any(), "black behind it"


@pytest.mark.parametrize(
    "what, words",
    [
        (None, "the picture|picture 0"),
        (..., "give a path"),
        (3, "give a path"),
        (np.array(3), "has shape"),
        ([None], "picture 0 is None; give a path"),
        ([[1, 2]], "give a path"),
        ({"a"}, "No such file"),
        (np.zeros((3, 64, 64)), "its channels come first: put them last"),
        (torch.zeros(2, 3, 16, 16), "picture 0 .* its channels come first"),
        (np.zeros((2, 16, 16, 16, 3)), r"picture 0 has shape \(16, 16, 16, 3\)"),
        (np.zeros((16, 16, 2)), r"has shape \(16, 16, 2\); give \(H, W, 3\)"),
        ([np.zeros((0, 16, 3))], "has shape"),
        (np.full((16, 16, 3), 255.0), "holds float64 from 255 to 255; give uint8, or floats from 0 to 1"),
        (np.full((16, 16, 3), np.nan), "holds float64 from nan to nan"),
        (np.full((16, 16, 3), -1), "holds int64 from -1 to -1"),
        (np.full((16, 16, 3), 300), "holds int64 from 300 to 300"),
        (np.full((16, 16, 3), "a"), "is an array of <U1"),
        (np.full((16, 16, 3), None), "is an array of object"),
        (np.zeros((16, 16, 3), np.complex128), "is an array of complex128"),
        ("nowhere.png", "nowhere.png: No such file"),
        (b"nothing", "not a picture"),
    ],
)
def test_what_is_no_form_of_a_picture(what: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        as_pictures(what, 16)
    assert "\n" not in str(caught.value)


def test_find_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "c.webp"):
        (folder / name).touch()
    lone = tmp_path / "lone.dat"
    lone.touch()
    assert [p.name for p in find_pictures((lone, folder))] == ["lone.dat", "a.JPG", "b.png", "c.webp"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="empty: the folder holds no pictures"):
        find_pictures((folder, empty))
    with pytest.raises(InputError, match="gone: no such file or folder"):
        find_pictures((tmp_path / "gone",))


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = RNG.integers(0, 256, (8, 6, 3), dtype=np.uint8)
    path = tmp_path / "new" / "a.png"
    write_picture(path, pixels)
    assert np.array_equal(np.asarray(Image.open(path)), pixels)
    write_picture(tmp_path / "b.jpeg", pixels)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_picture(path, pixels[::-1])
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_endings_that_cannot_be_written(tmp_path: Path) -> None:
    for name in ("a.gif", "a", "a.tiff"):
        with pytest.raises(InputError, match="unknown ending"):
            check_writable(tmp_path / name)
        with pytest.raises(InputError, match="unknown ending"):
            write_picture(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_enlarge() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert enlarge(pixels, 3).shape == (6, 6, 3)
    assert (enlarge(pixels, 3)[3:, :3] == pixels[1, 0]).all()


def test_a_picture_is_cut_to_the_shape_that_is_wanted() -> None:
    """Its centre, as large as it can be; whole blocks are averaged, so values are exact."""
    rows, columns = np.mgrid[:40, :90]
    pixels = np.stack([rows * 4, columns, 0 * rows], -1).astype(np.uint8)
    found = as_picture(pixels, (20, 10))
    assert found.shape == (10, 20, 3)
    # 40 rows give 10, so 80 of 90 columns give 20: blocks of 4 by 4, from column 5 on.
    assert found[3, 7, 1] == pytest.approx(5 + 7 * 4 + 1.5, abs=0.51)
    assert found[3, 7, 0] == pytest.approx(4 * 13.5, abs=1)
    tall = as_picture(pixels, ImageSize(10, 20))
    assert tall.shape == (20, 10, 3) and tall[0, 0, 1] == pytest.approx(35 + 0.5, abs=0.51)
    assert np.array_equal(as_picture(pixels, (90, 40)), pixels)
    assert as_pictures([pixels, pixels], (20, 10)).shape == (2, 10, 20, 3)
    assert as_pictures([], (20, 10)).shape == (0, 10, 20, 3)
