"""Pictures of every kind: 16 bits, floating point, palettes, alpha, CMYK, orientation and colour profiles."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from air3d.scene3d.errors import InputError
from air3d.scene3d.picture_file import read_rgb
from tests.colour_profiles import ADOBE

LEVELS = np.array([[0, 1, 17, 128, 200, 255]], np.uint8)
PAINT = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def content(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits, written by the standard: 1 grey, 2 with alpha, 3 colours, 4 with alpha."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def srgb_of_adobe(pixels: np.ndarray) -> np.ndarray:
    """By the two standards' own numbers: gamma 563 / 256, the matrices under D65, the curve of sRGB."""
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    to_srgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    linear = np.clip((pixels / 255.0) ** 2.19922 @ (to_srgb @ to_xyz).T, 0.0, 1.0)
    return 255.0 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_scaled(channels):
    values = np.full((*LEVELS.shape, channels), 65535)
    values[..., : channels - (channels % 2 == 0)] = 257 * LEVELS[..., None].astype(int)
    np.testing.assert_array_equal(read_rgb(png16(values)), np.repeat(LEVELS[..., None], 3, axis=-1))


def test_tiffs_of_16_bits_and_of_floating_point():
    grey = np.repeat(LEVELS[..., None], 3, axis=-1)
    wide = Image.fromarray(LEVELS.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_rgb(content(wide, "TIFF")), grey)
    fractions = Image.fromarray((LEVELS / 255.0).astype(np.float32))
    np.testing.assert_array_equal(read_rgb(content(fractions, "TIFF")), grey)
    for values in (LEVELS.astype(np.float32), LEVELS.astype(np.int32) << 20):
        with pytest.raises(InputError, match=r"holds (floating point numbers|integers) from .* 8 or 16 bits"):
            read_rgb(content(Image.fromarray(values), "TIFF"))
    with pytest.raises(InputError, match=r"holds numbers that are none \(NaN\); save it with 8 or 16 bits"):
        read_rgb(content(Image.fromarray(np.array([[np.nan, 1.0]], np.float32)), "TIFF"))


@pytest.mark.parametrize("mode", ["P", "LA", "PA", "RGBA", "1", "CMYK"])
def test_palettes_grey_and_inks(mode):
    picture = Image.fromarray(PAINT).convert("RGB" if mode == "CMYK" else mode if mode != "PA" else "P")
    if mode == "CMYK":  # without black ink a colour is one minus its ink
        inks = Image.merge("CMYK", [*Image.fromarray(255 - PAINT).split(), Image.new("L", (7, 5))])
        np.testing.assert_array_equal(read_rgb(content(inks, "TIFF")), PAINT)
        return
    np.testing.assert_array_equal(read_rgb(content(picture)), np.asarray(picture.convert("RGB")))


def test_what_is_transparent_is_put_over_black_or_kept():
    glass = np.dstack([PAINT, np.full(PAINT.shape[:2], 51, np.uint8)])
    data = content(Image.fromarray(glass))
    np.testing.assert_allclose(read_rgb(data), PAINT * 0.2, atol=1.0)
    np.testing.assert_array_equal(read_rgb(data, alpha="ignore"), PAINT)


def test_upright_as_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # its right side is up
    data = content(Image.fromarray(PAINT), exif=exif)
    np.testing.assert_array_equal(read_rgb(data), np.rot90(PAINT, -1))
    np.testing.assert_array_equal(read_rgb(data, as_stored=True), PAINT)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_profiles_are_converted_from(mode):
    picture = Image.fromarray(PAINT)
    if mode == "P":
        picture = picture.quantize(16)
    elif mode == "RGBA":
        picture.putalpha(255)
    data = content(picture, icc_profile=ADOBE)
    colours = np.asarray(picture.convert("RGB"))
    found = read_rgb(data)
    np.testing.assert_allclose(found, srgb_of_adobe(colours), atol=3.0)
    assert np.abs(found.astype(int) - colours).max() > 10
    np.testing.assert_array_equal(read_rgb(data, as_stored=True), colours)


def test_profiles_of_grey_pictures():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = np.repeat(LEVELS[..., None], 3, axis=-1)
    for mode in ("L", "LA"):
        picture = Image.fromarray(LEVELS).convert(mode)
        np.testing.assert_allclose(read_rgb(content(picture, icc_profile=srgb)), grey, atol=1)


@pytest.mark.parametrize("profile", [b"nothing" * 40, ADOBE[:300], ADOBE])
def test_a_profile_that_cannot_be_used_is_said(profile, monkeypatch):
    """One that is damaged, or where Pillow was built without littleCMS: the pixels as they are, and a line."""

    class Without:
        def __getattr__(self, name):
            raise ImportError("no littleCMS")

    if profile == ADOBE:
        monkeypatch.setattr(ImageCms, "core", Without())
    notes = []
    found = read_rgb(content(Image.fromarray(PAINT), icc_profile=profile), "this.png", notes=notes)
    np.testing.assert_array_equal(found, PAINT)
    assert len(notes) == 1 and "this.png: its colour profile cannot be used" in notes[0] and "sRGB" in notes[0]


def test_a_profile_of_other_colours_is_said():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    notes = []
    inks = Image.merge("CMYK", [*Image.fromarray(255 - PAINT).split(), Image.new("L", (7, 5))])
    np.testing.assert_array_equal(read_rgb(content(inks, "TIFF", icc_profile=srgb), "a.tif", notes=notes), PAINT)
    assert len(notes) == 1 and "it is of RGB colours, the picture of CMYK" in notes[0]


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_read(form):
    flat = np.broadcast_to(PAINT[:1, :1], PAINT.shape).copy()
    frames = [Image.fromarray(flat), Image.fromarray(255 - flat), Image.fromarray(PAINT)]
    options = {"lossless": True} if form == "WEBP" else {}
    notes = []
    data = content(frames[0], form, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(read_rgb(data, "film", notes=notes), flat)
    assert notes == ["film: the first of 3 frames or pages is read"]
    notes.clear()
    read_rgb(content(frames[0], form, **options), notes=notes)
    assert notes == []


def test_pictures_of_pillow_are_read_as_files_are():
    glass = Image.fromarray(np.dstack([PAINT, np.full(PAINT.shape[:2], 51, np.uint8)]))
    for picture in (Image.fromarray(PAINT), glass, Image.fromarray(PAINT).quantize(16)):
        np.testing.assert_array_equal(read_rgb(picture), read_rgb(content(picture)))
    with Image.open(io.BytesIO(content(Image.fromarray(PAINT), icc_profile=ADOBE))) as opened:
        np.testing.assert_array_equal(read_rgb(opened), read_rgb(content(Image.fromarray(PAINT), icc_profile=ADOBE)))
    with pytest.raises(InputError, match="has no pixels"):
        read_rgb(Image.new("RGB", (0, 5)))


def test_lab_is_converted():
    lab = ImageCms.profileToProfile(
        Image.fromarray(PAINT), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    # Eight bits of a* and b* are coarser than those of sRGB.
    np.testing.assert_allclose(read_rgb(content(lab, "TIFF")).astype(int), PAINT, atol=20)


def test_what_cannot_be_read_is_one_line(tmp_path):
    for data, message in (
        (b"", "file is empty"),
        (b"\x76\x2f\x31\x01" + bytes(99), "OpenEXR, floating point"),
        (b"#?RADIANCE\n\n-Y 1 +X 1\n", "Radiance HDR"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"II*\0" + bytes(20), "a TIFF of a kind|damaged"),
        (b"garbage" * 9, "not a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(30), "HEIC, which is not read; save it as PNG"),
        (content(Image.fromarray(PAINT))[:60], "damaged"),
    ):
        (tmp_path / "p.png").write_bytes(data)
        for file in (tmp_path / "p.png", data):
            with pytest.raises(InputError, match=message) as caught:
                read_rgb(file, str(tmp_path / "p.png"))
            assert "\n" not in str(caught.value) and "p.png" in str(caught.value)
    with pytest.raises(InputError, match="No such file"):
        read_rgb(tmp_path / "none.png")
