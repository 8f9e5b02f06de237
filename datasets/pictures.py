"""Takes in pictures in every form that Python programs have them in, and writes picture files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from air3d.datasets.files import atomic_file
from air3d.datasets.image_size import ImageSize, Size
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.picture_file import READABLE, read_rgb

_WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_ONE = (str, bytes, os.PathLike, Image.Image)
_FORMS = "a path, an open file, a picture of Pillow's, or an array (H, W, 3) of uint8 or of floats from 0 to 1"


def find_pictures(paths: tuple[Path, ...]) -> list[Path]:
    """List the files named, and for a folder the pictures in it, sorted.

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


def as_pictures(pictures: object, size: Size, notes: list[str] | None = None) -> NDArray[np.uint8]:
    """Convert one picture or several to (B, size, size, 3) uint8, each as `as_picture` does.

    Args:
        pictures: a picture, the path of a folder of them, an array (B, H, W, 3), or any iterable of pictures.
        notes: collects the notes of `read_rgb`.

    Raises:
        InputError: for a picture that cannot be used; the message names it.
    """
    given: Iterable[object]
    if isinstance(pictures, (str, os.PathLike)) and Path(pictures).is_dir():
        given = find_pictures((Path(pictures),))
    elif isinstance(pictures, _ONE) or hasattr(pictures, "read") or not isinstance(pictures, Iterable):
        given = [pictures]
    elif hasattr(pictures, "ndim"):
        array = _array(pictures, "the picture")
        given = [array] if array.ndim in (0, 2) or (array.ndim == 3 and array.size) else array
    else:
        given = pictures
    found = [as_picture(one, size, f"picture {number}", notes) for number, one in enumerate(given)]
    return np.stack(found) if found else np.zeros((0, *reversed(ImageSize.of(size)), 3), np.uint8)


def as_picture(
    picture: object, size: Size, name: str = "the picture", notes: list[str] | None = None
) -> NDArray[np.uint8]:
    """Convert a picture to (H, W, 3) uint8: cut its centre out in that shape, then average or enlarge its pixels.

    Args:
        picture: a path, an open file, the content of a file, a picture of Pillow's, or an array or tensor (H, W),
            (H, W, 3) or (H, W, 4) of 8 bits, 16 bits (uint16) or fractions from 0 to 1. Transparency is put over
            black, the background of rendered scenes.
        size: the side of a square picture, or (W, H).
        name: names in errors a picture that has no path.
        notes: collects the notes of `read_rgb`.

    Raises:
        InputError: for anything else; or if it cannot be read.
    """
    if hasattr(picture, "read") and not hasattr(picture, "__array__"):
        picture = picture.read()
    if isinstance(picture, (str, os.PathLike)):
        rgb = read_rgb(Path(picture), notes=notes)
    elif isinstance(picture, (bytes, Image.Image)):
        rgb = read_rgb(picture, name, notes=notes)
    elif hasattr(picture, "__array__"):
        rgb = _pixels(_array(picture, name), name)
    else:
        raise InputError(f"{name} is {shown(picture)}; give {_FORMS}")
    wanted = ImageSize.of(size)
    cut = rgb[middle_of(rgb.shape, wanted)]
    if cut.shape[1::-1] != wanted:
        how = Image.Resampling.BOX if len(cut) > wanted.height else Image.Resampling.BICUBIC
        cut = np.array(Image.fromarray(cut).resize(wanted, how))
    return np.ascontiguousarray(cut)


def middle_of(shape: tuple[int, ...], size: ImageSize) -> tuple[slice, slice]:
    """The rows and columns of the largest part of a picture (H, W, ...) that has the shape of a size, in the middle."""
    height, width = shape[:2]
    shrink = min(height / size.height, width / size.width)
    tall, wide = max(round(size.height * shrink), 1), max(round(size.width * shrink), 1)
    top, left = (height - tall) // 2, (width - wide) // 2
    return slice(top, top + tall), slice(left, left + wide)


def _array(values: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} is no array ({' '.join(str(error).split())[:100]}); give {_FORMS}") from None


def _pixels(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Convert an array of another type or number of channels to (H, W, 3) uint8."""
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if not array.size or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; its channels come first: put them last" if first else ""
        raise InputError(f"{name} has shape {array.shape}{hint}; give (H, W, 3)")
    if array.dtype == np.bool_:
        white = 1.0
    elif array.dtype.kind in "iu":
        white = 65535.0 if array.dtype == np.uint16 else 255.0
    elif array.dtype.kind == "f":
        white = 1.0
    else:
        raise InputError(f"{name} is an array of {array.dtype}; give {_FORMS}")
    if array.dtype != np.uint8:
        low, high = array.min(), array.max()
        if not (low >= 0.0 and high <= white):  # never true of NaN
            raise InputError(f"{name} holds {array.dtype} from {low:g} to {high:g}; give uint8, or floats from 0 to 1")
        array = np.rint(array * (255.0 / white)).astype(np.uint8)
    return read_rgb(Image.fromarray(np.ascontiguousarray(array)), name)


def encode_picture(pixels: NDArray[np.uint8], suffix: str = ".png") -> bytes:
    """Encode (H, W, 3) uint8 as a file; `suffix` is one that `check_writable` accepts."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=_WRITABLE[suffix.lower()], quality=95)
    return buffer.getvalue()


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 so that the file appears whole or not at all."""
    check_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(encode_picture(pixels, path.suffix))


def encode_film(frames: Sequence[NDArray[np.uint8]], milliseconds: float, suffix: str) -> bytes:
    """Encode frames (H, W, 3) uint8 of one size, each shown so long, as a ".gif", which repeats, or an ".mp4".

    GIF keeps one of several equal frames in a row and shows it longer. H.264 takes even sizes only, so an odd one
    repeats its last row or column.
    """
    import imageio.v3 as imageio  # here, for every command that reads a picture would wait for it

    if suffix == ".gif":
        return imageio.imwrite("<bytes>", list(frames), extension=".gif", duration=milliseconds, loop=0)
    height, width = frames[0].shape[:2]
    even = np.pad(np.stack(frames), ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return imageio.imwrite(
        "<bytes>", even, extension=".mp4", plugin="pyav",
        codec="libx264", fps=1000.0 / milliseconds, out_pixel_format="yuv420p",
    )  # fmt: skip


def check_writable(path: Path) -> None:
    """Raise InputError unless pictures are written with the file's ending."""
    if path.suffix.lower() not in _WRITABLE:
        raise InputError(f"{path}: unknown ending '{path.suffix}'; write to {' or '.join(_WRITABLE)}")


def enlarge(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Enlarge (H, W, 3) to (H * factor, W * factor, 3); every pixel becomes a square."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
