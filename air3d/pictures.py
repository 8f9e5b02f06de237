"""Reading and writing picture files."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from datasets.files import atomic_file
from scene3d.errors import InputError

READABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MAX_PIXELS = 100_000_000


def find_pictures(paths: tuple[Path, ...]) -> list[Path]:
    """The files named, and for a folder the pictures in it, sorted.

    Raises:
        InputError: for a path that does not exist or a folder without pictures.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE and not p.name.startswith("."))
            if not inside:
                raise InputError(f"{path}: the folder holds no pictures ({', '.join(READABLE)})")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    return found


def read_picture(path: Path, size: int) -> NDArray[np.uint8]:
    """A picture as (size, size, 3) uint8; a larger one is cut to its central square and scaled down.

    A photo is turned upright as its EXIF data say; 16 bits of grey are reduced to 8. Transparency is put over black,
    the background of rendered scenes.

    Raises:
        InputError: if it cannot be read, is damaged, or has over 100 million pixels.
    """
    return _read(path, str(path), size)


def decode_picture(data: bytes, name: str, size: int) -> NDArray[np.uint8]:
    """As `read_picture`, from the bytes of a file that is called `name` in errors."""
    return _read(io.BytesIO(data), name, size)


def _read(file: Path | io.BytesIO, path: str, size: int) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of oddities that it can read past
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                if opened.width * opened.height > _MAX_PIXELS:
                    raise InputError(f"{path}: {opened.width}x{opened.height} pixels are too many")
                opened.load()
                picture = _eight_bit(ImageOps.exif_transpose(opened)).convert("RGBA")
    except UnidentifiedImageError:
        raise InputError(f"{path}: not a picture that can be read ({', '.join(READABLE)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path}: has too many pixels") from None
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        # Pillow reports damaged files by all of these.
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: damaged or unreadable picture ({' '.join(str(reason).split())})") from None
    flat = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture).convert("RGB")
    side = min(flat.size)
    left, top = (flat.width - side) // 2, (flat.height - side) // 2
    square = flat.crop((left, top, left + side, top + side))
    if side != size:
        square = square.resize((size, size), Image.Resampling.BOX if side > size else Image.Resampling.BICUBIC)
    return np.array(square)  # a copy: Pillow's own memory is not to be written to


def _eight_bit(picture: Image.Image) -> Image.Image:
    # Pillow's own conversion would cut 16-bit values at 255.
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray(np.rint(np.clip(np.asarray(picture), 0, 65535) / 257.0).astype(np.uint8))


def encode_picture(pixels: NDArray[np.uint8], suffix: str = ".png") -> bytes:
    """(H, W, 3) uint8 as the bytes of a file; `suffix` as of `check_writable`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=_WRITABLE[suffix.lower()], quality=95)
    return buffer.getvalue()


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 so that the file appears whole or not at all."""
    check_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(encode_picture(pixels, path.suffix))


def check_writable(path: Path) -> None:
    """Raise InputError unless the file's ending is one that pictures are written with."""
    if path.suffix.lower() not in _WRITABLE:
        raise InputError(f"{path}: unknown ending '{path.suffix}'; write to {' or '.join(_WRITABLE)}")


def enlarge(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """(H, W, 3) to (H * factor, W * factor, 3), every pixel a square."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
