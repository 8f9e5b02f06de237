"""Reads every picture, whatever its bits, palette, alpha, orientation and colour space, as 8-bit sRGB.

All foreign pictures are decoded here: textures of kinds and images to infer from alike.
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

from air3d.scene3d import srgb
from air3d.scene3d.errors import InputError
from air3d.scene3d.wrong_file import wrong_file

READABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
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
    (b"SIMPLE  =", "FITS, of astronomers"),
    (b"Pf\n", "a float map"),
)


# Boxes at the begin of files that phones write; the Pillow of an extra may read them.
_ISO = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF"}


def read_rgb(
    file: Path | bytes | Image.Image,
    name: str | None = None,
    *,
    alpha: Literal["black", "ignore"] = "black",
    as_stored: bool = False,
    notes: list[str] | None = None,
) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8, sRGB, upright as its EXIF data say; of an animation the first frame.

    16 bits are scaled to 8, and floating point numbers from 0 to 1; an embedded colour profile is converted from.
    A profile that cannot be used is left out, as if the picture were sRGB.

    Args:
        file: a path, the content of a file, or a picture of Pillow's.
        name: names it in errors; default: the path.
        alpha: tells whether transparent pixels are put over black, or their transparency is ignored.
        as_stored: ignores profile and orientation, as glTF demands.
        notes: collects a line for each thing that was left out: further frames, an unusable profile.

    Raises:
        InputError: if it cannot be read, is damaged, holds numbers without a known white, or has over 100 million
            pixels.
    """
    notes = [] if notes is None else notes
    if name is None:
        name = str(file) if isinstance(file, Path) else "the picture"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of oddities that it can read past
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if isinstance(file, Image.Image):
                rgba = _decoded(file, name, as_stored, notes)
            else:
                source = io.BytesIO(file) if isinstance(file, bytes) else file
                with Image.open(source, formats=_formats(name)) as opened:
                    rgba = _decoded(opened, name, as_stored, notes)
    except UnidentifiedImageError:
        raise InputError(f"{name}: {_what(file)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name}: has too many pixels; scale it down to at most 89 million") from None
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error) as error:
        if reason := getattr(error, "strerror", None):
            raise InputError(f"{name}: {reason}") from None
        # Pillow reports damaged files by all of these.
        raise InputError(f"{name}: damaged or unreadable picture ({' '.join(str(error).split())[:200]})") from None
    if alpha == "black":
        rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.array(rgba)[..., :3].copy()  # Pillow's own memory is not to be written to


def _decoded(opened: Image.Image, name: str, as_stored: bool, notes: list[str]) -> Image.Image:
    """Decode a picture that is opened, its pixels not yet read, as RGBA."""
    if opened.width * opened.height > _MAX_PIXELS:
        raise InputError(f"{name}: {opened.width}x{opened.height} pixels are too many; scale it down")
    if not (opened.width and opened.height):
        raise InputError(f"{name}: has no pixels ({opened.width}x{opened.height})")
    colours = None if as_stored or opened.format != "PNG" else _declared(opened, name, notes)
    opened.load()
    # A photo's second picture is a preview or a depth map, and a layered one is read as a whole.
    if getattr(opened, "is_animated", False) and opened.format not in ("MPO", "PSD") and not opened.tell():
        notes.append(f"{name}: the first of {getattr(opened, 'n_frames', 'several')} frames or pages is read")
        opened.seek(0)
    picture = _eight_bit(opened if as_stored else ImageOps.exif_transpose(opened), name)
    if as_stored:
        return _srgb(picture, None, name, notes)
    if colours is None:
        return _srgb(picture, opened.info.get("icc_profile"), name, notes)
    rgba = picture.convert("RGBA")
    try:
        found = Image.fromarray(srgb.converted(np.asarray(rgba)[..., :3], colours))
    except ValueError as error:
        notes.append(f"{name}: {error}; its colours are taken for sRGB")
        return rgba
    found.putalpha(rgba.getchannel("A"))
    return found


def _declared(opened: Image.Image, name: str, notes: list[str]) -> srgb.Colours | None:
    try:
        return srgb.declared(opened.info, getattr(opened, "fp", None))
    except ValueError as error:
        notes.append(f"{name}: its colour space cannot be used ({error}); its colours are taken for sRGB")
        return None


def _formats(name: str) -> list[str]:
    Image.init()
    # TGA has no mark by which it is known: anything could be one.
    wanted = [*_FORMATS, "TGA"] if name.lower().endswith(".tga") else _FORMATS
    return [name for name in wanted if name in Image.OPEN]


def _what(file: Path | bytes | Image.Image) -> str:
    """Name the type of a file that Pillow does not know, and what to do."""
    save = f"save it as PNG ({', '.join(READABLE)} are read)"
    if isinstance(file, Image.Image):
        return f"not a picture that can be read; {save}"
    if isinstance(file, bytes):
        head = file[:100]
    else:
        with open(file, "rb") as opened:
            head = opened.read(100)
    if not head:
        return "not a picture: the file is empty"
    if wrong := wrong_file(head):
        return wrong
    if head[:4] in (b"II*\0", b"MM\0*"):
        kind = "floating point, or an unusual number of bits or channels"
        return f"is a TIFF of a kind that cannot be read ({kind}); {save}"
    what = next((what for mark, what in _FOREIGN if head.startswith(mark)), None)
    if head[4:8] == b"ftyp":
        what = _ISO.get(head[8:12], "a film, or a picture in a film's box")
    return f"is {what}, which is not read; {save}" if what else f"not a picture that can be read; {save}"


def _eight_bit(picture: Image.Image, name: str) -> Image.Image:
    """Scale to 8 bits; Pillow's own conversion would cut larger numbers at 255. Colours of 16 bits arrive with 8."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    white = 1.0 if picture.mode == "F" else 65535.0
    if np.isnan(values).any():
        raise InputError(f"{name}: holds numbers that are none (NaN); save it with 8 or 16 bits")
    # Integers of 32 bits may be of any range: numbers of 8 bits in them would be nearly black.
    small = picture.mode == "I" and 0.0 < values.max() <= 255.0
    if small or values.min() < 0.0 or values.max() > white:
        kind = "floating point numbers" if picture.mode == "F" else "integers"
        raise InputError(
            f"{name}: holds {kind} from {values.min():g} to {values.max():g}, and which of them is white is not known; "
            "save it with 8 or 16 bits"
        )
    return Image.fromarray(np.rint(values * (255.0 / white)).astype(np.uint8))


def _srgb(picture: Image.Image, profile: bytes | None, name: str, notes: list[str]) -> Image.Image:
    """Convert the picture to RGBA in sRGB."""
    if picture.mode == "LAB":
        return _from_lab(picture, name).convert("RGBA")  # a space of its own: no profile says more of it
    if picture.mode == "La":
        picture = picture.convert("LA")
    if profile:
        try:
            return _converted(picture, profile)
        except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:100]
            notes.append(f"{name}: its colour profile cannot be used ({reason}); its colours are taken for sRGB")
    return picture.convert("RGBA")


def _from_lab(picture: Image.Image, name: str) -> Image.Image:
    try:
        lab, wanted = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        found = ImageCms.profileToProfile(picture, lab, wanted, outputMode="RGB")
    except (ImageCms.PyCMSError, ImportError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{name}: its Lab colours cannot be converted ({reason}); save it as sRGB") from None
    assert found is not None
    return found


def _converted(picture: Image.Image, profile: bytes) -> Image.Image:
    """Convert RGBA from the profile by littleCMS; raises ImportError where Pillow was built without it."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = source.profile.xcolor_space.strip()
    rgba = picture.convert("RGBA")
    # Grey pictures often carry the profile of the coloured one that they were made from.
    mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(space)
    grey = picture.mode in ("1", "L", "LA")
    if mode is None or (mode == "L" and not grey) or (mode == "CMYK") != (picture.mode == "CMYK"):
        raise ValueError(f"it is of {space} colours, the picture of {picture.mode}")
    colours = picture if picture.mode == mode else rgba.convert(mode)
    found = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert found is not None
    found.putalpha(rgba.getchannel("A"))
    return found
