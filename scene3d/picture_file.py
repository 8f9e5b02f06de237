"""Every picture that comes in, whatever its bits, palette, alpha, orientation and colour space: as 8-bit sRGB.

The one place where foreign picture files are decoded: textures of kinds and images to infer from alike.
"""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from scene3d.errors import InputError

READABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
# Those without an interpreter behind them (EPS runs one); what this Pillow was built without is left out.
_FORMATS = [
    "PNG",
    "JPEG",
    "MPO",
    "WEBP",
    "BMP",
    "DIB",
    "TIFF",
    "GIF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "DDS",
    "QOI",
    "SGI",
    "PCX",
    "PSD",
    "ICO",
]
_MAX_PIXELS = 100_000_000
_FOREIGN = (
    (b"\x76\x2f\x31\x01", "OpenEXR, floating point"),
    (b"#?RADIANCE", "Radiance HDR, floating point"),
    (b"\xabKTX 20", "KTX2, compressed for graphics cards"),
    (b"%!PS", "PostScript"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG, drawn by formula"),
    (b"<?xml", "XML"),
    (b"PF\n", "a float map"),
    (b"Pf\n", "a float map"),
)


def read_rgb(
    file: Path | bytes, name: str | None = None, *, alpha: Literal["black", "ignore"] = "black", as_stored: bool = False
) -> NDArray[np.uint8]:
    """A picture as (H, W, 3) uint8, sRGB, upright as its EXIF data say; of an animation the first frame.

    16 bits are scaled to 8, and floating point numbers from 0 to 1; an embedded colour profile is converted from.

    Args:
        file: a path, or the content of a file.
        name: names it in errors; the path unless told.
        alpha: what is transparent is put over black, or its transparency is ignored.
        as_stored: ignore profile and orientation, as glTF demands.

    Raises:
        InputError: if it cannot be read, is damaged, holds numbers without a known white, or has over 100 million
            pixels.
    """
    name = str(name if name is not None or isinstance(file, bytes) else file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of oddities that it can read past
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=_formats(name)) as opened:
                if opened.width * opened.height > _MAX_PIXELS:
                    raise InputError(f"{name}: {opened.width}x{opened.height} pixels are too many")
                opened.load()
                profile = None if as_stored else opened.info.get("icc_profile")
                picture = _eight_bit(opened if as_stored else ImageOps.exif_transpose(opened), name)
                rgba = _srgb(picture, profile, name)
    except UnidentifiedImageError:
        raise InputError(f"{name}: {_what(file)}; save it as PNG ({', '.join(READABLE)} are read)") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name}: has too many pixels") from None
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error) as error:
        # Pillow reports damaged files by all of these.
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name}: damaged or unreadable picture ({' '.join(str(reason).split())[:200]})") from None
    if alpha == "black":
        rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.array(rgba)[..., :3].copy()  # Pillow's own memory is not to be written to


def _formats(name: str) -> list[str]:
    Image.init()
    # TGA has no mark by which it is known: anything could be one.
    wanted = [*_FORMATS, "TGA"] if name.lower().endswith(".tga") else _FORMATS
    return [name for name in wanted if name in Image.OPEN]


def _what(file: Path | bytes) -> str:
    """What a file is that Pillow does not know."""
    if isinstance(file, bytes):
        head = file[:16]
    else:
        with open(file, "rb") as opened:
            head = opened.read(16)
    if not head:
        return "is empty"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "is a TIFF of a kind that cannot be read (floating point, or an unusual number of bits or channels)"
    what = next((what for mark, what in _FOREIGN if head.startswith(mark)), None)
    return f"is {what}, which is not read" if what else "not a picture that can be read"


def _eight_bit(picture: Image.Image, name: str) -> Image.Image:
    """Pillow's own conversion would cut numbers of more than 8 bits at 255. Colours of 16 bits come with 8 already."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    white = 1.0 if picture.mode == "F" else 65535.0
    if not (values.size and np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= white):
        kind = "floating point numbers" if picture.mode == "F" else "integers"
        raise InputError(
            f"{name}: holds {kind} from {values.min():g} to {values.max():g}, and which of them is white is not known; "
            "save it with 8 or 16 bits"
        )
    return Image.fromarray(np.rint(values * (255.0 / white)).astype(np.uint8))


def _srgb(picture: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """The picture as RGBA in sRGB."""
    if picture.mode in ("LAB", "La"):
        picture = _from_lab(picture) if picture.mode == "LAB" else picture.convert("LA")
    if profile:
        return _converted(picture, profile, name)
    return picture.convert("RGBA")


def _from_lab(picture: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    found = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    assert found is not None
    return found


def _converted(picture: Image.Image, profile: bytes, name: str) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        rgba = picture.convert("RGBA")
        # Grey pictures often carry the profile of the coloured one that they were made from.
        mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(space)
        grey = picture.mode in ("1", "L", "LA")
        if mode is None or (mode == "L" and not grey) or (mode == "CMYK") != (picture.mode == "CMYK"):
            return rgba  # a profile of other colours says nothing of these
        colours = picture if picture.mode == mode else (rgba.convert(mode))
        found = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{name}: its colour profile cannot be used ({reason}); save it as sRGB") from None
    assert found is not None
    found.putalpha(rgba.getchannel("A"))
    return found
