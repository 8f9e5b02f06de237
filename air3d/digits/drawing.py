"""Draws the answers: windows on the image, the reconstruction, each object alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

# First, second, third step as in the paper's figures; further ones.
COLOURS = ("#ff3030", "#30d030", "#4080ff", "#ffd030", "#e050e0", "#40d0d0")
_GAP, _PAPER = 4, (24, 24, 28)


def window_box(z_where: NDArray[np.float32], size: int) -> tuple[float, float, float, float]:
    """The edges (x0, y0, x1, y1) of a window (3,), in pixels of an image of this size, 0 at its left and upper edge."""
    half, x, y = float(np.exp(z_where[0])), float(z_where[1]), float(z_where[2])
    return tuple(0.5 * size * (1.0 + v) for v in (x - half, y - half, x + half, y + half))  # type: ignore[return-value]


def windows_picture(image: NDArray[np.float32], z_where: NDArray[np.float32], factor: int) -> NDArray[np.uint8]:
    """Enlarge an image (S, S) in [0, 1], and draw windows (n, 3) in red, green, blue: (S * factor, S * factor, 3)."""
    size = len(image) * factor
    picture = Image.fromarray(_grey(image)).resize((size, size), Image.Resampling.NEAREST).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for step, where in enumerate(z_where):
        x0, y0, x1, y1 = window_box(where, size)
        draw.rectangle((round(x0), round(y0), round(x1) - 1, round(y1) - 1), outline=COLOURS[step % 6], width=2)
    return np.asarray(picture)


def comparison_picture(
    image: NDArray[np.float32],
    reconstruction: NDArray[np.float32],
    z_where: NDArray[np.float32],
    objects: NDArray[np.float32],
    factor: int = 4,
) -> NDArray[np.uint8]:
    """Draw in a row the image with its windows, the reconstruction with them, and each object alone with its own.

    Args:
        image, reconstruction: (S, S), in [0, 1] or clipped to it.
        z_where, objects: (n, 3) and (n, S, S), for the n objects in use.
    """
    tiles = [windows_picture(image, z_where, factor), windows_picture(reconstruction, z_where, factor)]
    for step in range(len(objects)):
        tile = Image.fromarray(windows_picture(objects[step], z_where[:0], factor))
        x0, y0, x1, y1 = window_box(z_where[step], tile.width)
        box = (round(x0), round(y0), round(x1) - 1, round(y1) - 1)
        ImageDraw.Draw(tile).rectangle(box, outline=COLOURS[step % 6], width=2)
        tiles.append(np.asarray(tile))
    return side_by_side(tiles)


def side_by_side(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures (H, W, 3) of one height in a row, with gaps."""
    height = len(tiles[0])
    gap = np.broadcast_to(np.array(_PAPER, dtype=np.uint8), (height, _GAP, 3))
    return np.concatenate([part for tile in tiles for part in (gap, tile)][1:], axis=1)


def _grey(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
