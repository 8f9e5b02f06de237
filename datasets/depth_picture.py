"""Depth that comes as a picture: 16-bit grey, a unit for each step, 0 where nothing was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from air3d.datasets.image_size import ImageSize
from air3d.datasets.lens import Lens
from air3d.datasets.pictures import middle_of
from air3d.scene3d.camera import Camera
from air3d.scene3d.errors import InputError

_MODES = ("I;16", "I;16B", "I", "L")


def read_depth(path: Path, unit_m: float, like: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Read a depth picture (H, W), metres, 0 where nothing was measured.

    Args:
        unit_m: the metres of a step: 0.001 where depth comes in millimetres.
        like: the colours (H, W, 3) whose depth it is.

    Raises:
        InputError: if it cannot be read, is no grey picture, or is of another size than the colours.
    """
    try:
        with Image.open(path) as opened:
            mode, values = opened.mode, np.array(opened)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a depth picture is called as its picture is") from None
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise InputError(f"{path}: cannot be read as a depth picture ({error})") from None
    if mode not in _MODES:
        raise InputError(f"{path}: has mode {mode}; depth comes as 16-bit grey")
    if values.shape != like.shape[:2]:
        (height, width), (tall, wide) = values.shape, like.shape[:2]
        raise InputError(f"{path}: has {width}x{height} pixels, its picture {wide}x{tall}")
    return np.asarray(np.maximum(values, 0) * unit_m, dtype=np.float32)


def sized(depth_m: NDArray[np.float32], size: ImageSize) -> NDArray[np.float32]:
    """Cut depth (H, W) as `as_picture` cuts colours, and take for each pixel of that size the measurement nearest."""
    cut = depth_m[middle_of(depth_m.shape, size)]
    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) * have / side).astype(np.int64), have - 1)
        for side, have in zip((size.height, size.width), cut.shape, strict=True)
    )
    return np.ascontiguousarray(cut[rows[:, None], columns])


def seen_by(depth_m: NDArray[np.float32], lens: Lens, camera: Camera) -> NDArray[np.float32]:
    """Convert depth (H, W) as `Lens.view` converts colours; each pixel takes the measurement nearest to its centre.

    Depth along the optical axis stays what it is: the camera takes the place of the one that measured.
    """
    height, width = depth_m.shape
    seen, inside = lens.trace(camera, (width, height))
    columns, rows = (np.clip(seen[..., axis].astype(np.int64), 0, side - 1) for axis, side in ((0, width), (1, height)))
    return np.where(inside, depth_m[rows, columns], np.float32(0.0))
