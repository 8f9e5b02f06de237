"""idx files: read as numpy wrote them, plain and packed; anything else is one line."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from air3d.datasets.digits import idx
from air3d.datasets.digits.idx import parse_idx, unpack
from air3d.scene3d.errors import InputError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
DATA = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2, 3, 4) + bytes(range(24))


def test_plain_and_packed():
    assert (parse_idx(unpack(DATA, "x"), 3, "x") == ARRAY).all()
    assert (parse_idx(unpack(gzip.compress(DATA), "x"), 3, "x") == ARRAY).all()


@pytest.mark.parametrize(
    "data",
    [b"", DATA[:10], DATA[:-1], DATA + b"x", b"\0\0\x0d\x03" + DATA[4:], b"\0\0\x08\x02" + DATA[4:], b"\x89PNG" * 9],
)
def test_other_files_are_refused(data):
    with pytest.raises(InputError, match=r"^labels: "):
        parse_idx(unpack(data, "labels"), 3, "labels")


def test_damaged_packing_is_refused():
    packed = gzip.compress(DATA)
    for bad in (packed[:-9], packed[:20] + bytes([packed[20] ^ 8]) + packed[21:], packed[:3]):
        with pytest.raises(InputError, match="images: damaged gzip file"):
            unpack(bad, "images")


def test_files_that_unpack_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(idx, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="holds more than"):
        unpack(gzip.compress(bytes(1001)), "images")
    assert unpack(gzip.compress(bytes(1000)), "images") == bytes(1000)
