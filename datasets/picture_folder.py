"""A folder of pictures that backdrops are cut from and objects wear: taken in once, known by its content afterwards."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from air3d.datasets.pictures import as_picture, find_pictures
from air3d.scene3d.errors import InputError
from air3d.scene3d.picture_file import read_rgb
from air3d.scene3d.textures import SIDE_PX, picture_texture

# Workers get the pixels, so that machines of a cluster need no folder.
MAX_BYTES = 512 << 20
# Renderers keep all textures that may be worn.
MAX_WORN = 64


class PictureFolder(NamedTuple):
    """Pictures and what they are known by.

    Attributes:
        sha256: the fingerprint of the files' contents, whatever their names, and of the size they were reduced to.
        pictures: (h, w, 3) uint8 each, in an order that depends on the contents alone.
    """

    sha256: str
    pictures: tuple[NDArray[np.uint8], ...]


def read_picture_folder(folder: Path, least_side: int) -> PictureFolder:
    """Read a folder's pictures, reduced to a shorter side of `least_side` pixels; smaller ones stay as they are.

    Raises:
        InputError: if it is no folder, holds no picture, one that cannot be read, or too many.
    """
    if not folder.is_dir():
        raise InputError(f"--pictures {folder}: no such folder")
    contents = sorted((hashlib.sha256(path.read_bytes()).hexdigest(), path) for path in find_pictures((folder,)))
    found, total = [], 0
    for _, path in contents:
        rgb = read_rgb(path)
        factor = least_side / min(rgb.shape[:2])
        if factor < 1.0:
            height, width = (round(factor * side) for side in rgb.shape[:2])
            rgb = np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))
        total += rgb.nbytes
        if total > MAX_BYTES:
            raise InputError(f"--pictures {folder}: more than {MAX_BYTES >> 20} MiB of pixels; use fewer pictures")
        found.append(rgb)
    text = f"{least_side}:" + ",".join(digest for digest, _ in contents)
    return PictureFolder(hashlib.sha256(text.encode()).hexdigest(), tuple(found))


def worn_pictures(folder: PictureFolder) -> tuple[str, ...]:
    """Make textures of the central squares of the folder's first pictures, 64 at most; return their full names.

    Raises:
        InputError: if the user's cache of own kinds cannot be written.
    """
    names = (picture_texture(as_picture(rgb, SIDE_PX)) for rgb in folder.pictures[:MAX_WORN])
    return tuple(dict.fromkeys(names))  # two pictures may be the same
