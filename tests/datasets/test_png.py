"""Our PNG writer against two independent readers, and our reader against foreign and damaged files."""

from __future__ import annotations

import io
import zlib

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

from air3d.datasets.png import decode_png, encode_png
from air3d.scene3d.errors import InputError


def arrays():
    rng = np.random.default_rng(0)
    yield "RGB", rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
    yield "L", rng.integers(0, 256, (5, 9), dtype=np.uint8)
    yield "I;16", rng.integers(0, 65536, (6, 6), dtype=np.uint16)
    yield "RGB", rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)[::-1, ::2]


@pytest.mark.parametrize("mode, array", list(arrays()))
def test_other_readers_see_the_same_pixels(mode, array):
    data = encode_png(array)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.array(image), array)
    np.testing.assert_array_equal(imageio.imread(data, extension=".png"), array)
    np.testing.assert_array_equal(decode_png(data, mode, *array.shape[:2]), array)


def test_what_cannot_be_a_png_is_refused():
    for array in (np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ValueError, match="cannot write"):
            encode_png(array)


def test_damaged_and_foreign_files_are_refused():
    good = encode_png(np.zeros((8, 8), np.uint8))
    jpeg = io.BytesIO()
    Image.new("L", (8, 8)).save(jpeg, "JPEG")
    for data in (b"", b"text", good[:-20], good[:40], jpeg.getvalue()):
        with pytest.raises(InputError, match="damaged PNG"):
            decode_png(data, "L", 8, 8)
    for mode, height in (("RGB", 8), ("L", 9)):
        with pytest.raises(InputError, match="PNG is L of 8x8 pixels"):
            decode_png(good, mode, height, 8)


def test_a_huge_image_is_refused_before_it_is_unpacked():
    # A header that promises 60000 x 60000 pixels.
    header = b"\x00\x00\xea\x60\x00\x00\xea\x60\x08\x00\x00\x00\x00"
    chunk = len(header).to_bytes(4, "big") + b"IHDR" + header + zlib.crc32(b"IHDR" + header).to_bytes(4, "big")
    with pytest.raises(InputError):
        decode_png(encode_png(np.zeros((8, 8), np.uint8))[:8] + chunk, "L", 8, 8)
