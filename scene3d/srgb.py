"""The curve of sRGB (IEC 61966-2-1), and colours that PNG files declare to be others than sRGB's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats

# White, red, green, blue: x and y of each (ITU-T H.273).
_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_PRIMARIES = {1: _SRGB, 9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)}
_PRIMARIES |= {12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)}
_EXPONENTS = {4: 2.2, 8: 1.0, 13: None}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class Colours(NamedTuple):
    """The meaning of a picture's numbers.

    Attributes:
        exponent: the power of a number, from 0 to 1, that gives the light; None means sRGB's curve.
        primaries: x and y of white, red, green and blue.
    """

    exponent: float | None = None
    primaries: tuple[float, ...] = _SRGB


def linear(srgb: Floats) -> Floats:
    """Turn sRGB in [0, 1] into linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(light: Floats) -> Floats:
    """Turn linear light in [0, 1] into sRGB."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0) ** (1.0 / 2.4) - 0.055)


def declared(info: Mapping[Any, Any], file: BinaryIO | None) -> Colours | None:
    """Read the colours that a PNG file declares, a profile aside (PNG 3, section 4.3); None if they are sRGB.

    Args:
        info: the `info` of Pillow's picture.
        file: the file, for the chunk cICP, which Pillow passes over; its position is left as it was.

    Raises:
        ValueError: for high dynamic range, and other codes that are not read.
    """
    if file is not None:
        at = file.tell()
        file.seek(0)
        head = file.read(1 << 16).partition(b"IDAT")[0]
        file.seek(at)
        if found := re.search(rb"\0\0\0\x04cICP(....)", head, re.DOTALL):
            primaries, curve = found[1][:2]
            if primaries not in _PRIMARIES or curve not in _EXPONENTS:
                raise ValueError(f"cICP {primaries}/{curve}" + (", high dynamic range" if curve in (16, 18) else ""))
            return _unless_srgb(Colours(_EXPONENTS[curve], _PRIMARIES[primaries]))
    if "icc_profile" in info or "srgb" in info:
        return None
    gamma, primaries = info.get("gamma", 0.0), info.get("chromaticity", _SRGB)
    return _unless_srgb(Colours(1.0 / gamma if 0.0 < gamma < 10.0 else None, tuple(primaries)))


def _unless_srgb(colours: Colours) -> Colours | None:
    same = len(colours.primaries) == 8 and np.allclose(colours.primaries, _SRGB, atol=2e-3)
    # An exponent of 2.2 is how sRGB is told to those who know no curve.
    return None if same and (colours.exponent is None or 2.15 < colours.exponent < 2.25) else colours


def converted(pixels: NDArray[np.uint8], colours: Colours) -> NDArray[np.uint8]:
    """Convert pixels (H, W, 3) to sRGB; colours beyond its gamut are cut.

    Raises:
        ValueError: for primaries that are none.
    """
    levels = np.arange(256) / 255.0
    light = linear(levels) if colours.exponent is None else levels**colours.exponent
    matrix = np.linalg.inv(_to_xyz(_SRGB)) @ _to_xyz(colours.primaries)
    found = np.empty_like(pixels)
    for row, target in zip(pixels, found, strict=True):  # a whole picture of floats would need much memory
        target[:] = np.rint(255.0 * encoded(np.clip(light[row] @ matrix.T, 0.0, 1.0)))
    return found


def _to_xyz(primaries: tuple[float, ...]) -> Floats:
    """Give XYZ (3, 3) of red, green and blue light, with their white brought to sRGB's by Bradford's method."""
    x, y = np.array(primaries).reshape(4, 2).T
    try:
        columns = np.stack([x / y, np.ones(4), (1.0 - x - y) / y])
        own = columns[:, 1:] * np.linalg.solve(columns[:, 1:], columns[:, 0])
        cone = _BRADFORD @ columns[:, 0]
    except (np.linalg.LinAlgError, FloatingPointError):
        raise ValueError("its primaries are none") from None
    white = np.array([_SRGB[0], _SRGB[1], 1.0 - _SRGB[0] - _SRGB[1]]) / _SRGB[1]
    found: Floats = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ white / cone) @ _BRADFORD @ own
    if not np.isfinite(found).all():
        raise ValueError("its primaries are none")
    return found
