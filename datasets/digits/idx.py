"""Reads the idx format of MNIST's files: a magic number, big-endian sizes, then bytes; plain or packed with gzip."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.errors import InputError

MAX_BYTES = 256 << 20
_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTES = 8


def unpack(data: bytes, name: str) -> bytes:
    """Return the content of a file that may be packed with gzip.

    Raises:
        InputError: if it is damaged, or larger than 256 MiB when unpacked; the message has `name`.
    """
    if not data.startswith(_GZIP):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name}: damaged gzip file ({error})") from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{name}: holds more than {MAX_BYTES >> 20} MiB")
    return content


def parse_idx(data: bytes, dimensions: int, name: str) -> NDArray[np.uint8]:
    """Return the array of bytes, of this number of dimensions, that the content of an idx file holds.

    Raises:
        InputError: if it is something else; the message has `name`.
    """
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
        raise InputError(f"{name}: not an idx file of bytes with {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise InputError(f"{name}: holds {len(data) - header} bytes, not the {math.prod(shape)} that it says")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
