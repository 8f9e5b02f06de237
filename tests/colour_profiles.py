"""Colour profiles of well-known spaces, made from their published numbers."""

from __future__ import annotations

import struct

import numpy as np


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A display profile of version 2."""
    tags = {b"cprt": b"text" + bytes(4) + b"CC0\0", b"wtpt": b"XYZ " + bytes(4) + _s15(0.9642, 1.0, 0.8249), **tags}
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 2) + b"p\0" + bytes(78)
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp"
    header += bytes(28) + _s15(0.9642, 1.0, 0.8249) + bytes(48)
    return header + table + body


def _s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def rgb_profile(primaries: np.ndarray, gamma: float) -> bytes:
    """By its three colorants (columns of XYZ under D50) and a gamma."""
    tags = {b"%cXYZ" % c: b"XYZ " + bytes(4) + _s15(*primaries[:, i]) for i, c in enumerate(b"rgb")}
    return _profile(b"RGB ", tags | {b"%cTRC" % c: _curve(gamma) for c in b"rgb"})


def grey_profile(gamma: float) -> bytes:
    """Of grey with a gamma."""
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


# Adobe RGB (1998): its colorants adapted to D50, as published, and its gamma 563 / 256.
ADOBE = rgb_profile(
    np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]), 2.19922
)
# Display P3's colorants under D50; a plain gamma in place of sRGB's curve.
P3 = rgb_profile(
    np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]), 2.2
)
# ProPhoto RGB (ROMM): defined under D50, gamma 1.8.
PROPHOTO = rgb_profile(np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82491]]), 1.8)
