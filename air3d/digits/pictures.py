"""Pictures in and out: reads files, clearly refuses those of another kind, and draws answers with their windows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from air3d.datasets.pictures import as_picture, encode_picture
from air3d.digits.infer import infer
from air3d.digits.store import Model
from air3d.scene3d.errors import InputError
from air3d.scene3d.picture_file import read_rgb

# First, second, third step as in the paper's figures; further ones.
COLOURS = ("#ff3030", "#30d030", "#4080ff", "#ffd030", "#e050e0", "#40d0d0")
_GAP, _PAPER = 4, (24, 24, 28)
_COLOUR = 8  # levels between channels, more than what compression does to grey
_DARK = 127
# Digits like those of the training are explained with about 0.07; a picture of something else with far more.
_POOR = 0.2


def read_digits_picture(path: Path, size: int, notes: list[str] | None = None) -> NDArray[np.uint8]:
    """Read a square grey picture, bright digits on dark, scaled to (size, size) uint8.

    Args:
        notes: collects the notes of `read_rgb`.

    Raises:
        InputError: if it cannot be read, or is of another kind: not square, in colour, dark on bright.
    """
    whole = read_rgb(path, notes=notes)
    height, width = whole.shape[:2]
    if width != height:
        raise InputError(f"{path}: is {width}x{height} pixels; this model explains square images, {size}x{size}")
    pixels = as_picture(whole, size)
    spread = pixels.max(axis=2).astype(np.int64) - pixels.min(axis=2)
    if spread.mean() > _COLOUR:
        raise InputError(f"{path}: is in colour; this model explains grey images of bright digits on dark")
    grey = np.rint(pixels.mean(axis=2)).astype(np.uint8)
    if np.median(grey) > _DARK:
        raise InputError(f"{path}: is bright; this model explains bright digits on dark, so invert it first")
    return grey


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


def explain(
    model: Model, paths: Sequence[Path], images: NDArray[np.uint8], out: Path
) -> tuple[dict[str, bytes], list[dict[str, Any]], list[str]]:
    """Infer pictures.

    Args:
        paths: the names of the pictures; images: (B, S, S) uint8, what `read_digits_picture` read from them.
        out: the folder that the answers will be written into; the rows name it.

    Returns:
        Files by name: for each picture NAME.*, NAME.digits.json (count and windows, in pixels of the model's input),
        NAME.render.png (the reconstruction) and NAME.comparison.png (windows on the input, on the reconstruction, and
        each object); a JSON row for each; a line for each.
    """
    size, inferred = model.config.canvas, infer(model, images)
    files: dict[str, bytes] = {}
    rows, lines = [], []
    for i, path in enumerate(paths):
        pixels, found = (images[i] / 255.0).astype(np.float32), inferred.reconstructions[i]
        rmse = float(np.sqrt(np.mean(np.square(found - pixels))))
        poor = "; poorly explained, perhaps not an image like those of the training" if rmse > _POOR else ""
        row: dict[str, Any] = {"image": str(path), "rmse": rmse}
        what = "reconstructed"
        if inferred.counts is None or inferred.z_where is None or inferred.objects is None:
            none = np.zeros((0, 3), dtype=np.float32)
            comparison = side_by_side([windows_picture(pixels, none, 4), windows_picture(found, none, 4)])
        else:
            count = int(inferred.counts[i])
            z_where = inferred.z_where[i, :count]
            windows = [[round(edge, 2) for edge in window_box(where, size)] for where in z_where]
            comparison = comparison_picture(pixels, found, z_where, inferred.objects[i, :count])
            files[f"{path.stem}.digits.json"] = _document(count, windows, size)
            row |= {"digits": str(out / f"{path.stem}.digits.json"), "count": count}
            places = ", ".join(f"({(x0 + x1) / 2:.1f}, {(y0 + y1) / 2:.1f})" for x0, y0, x1, y1 in windows)
            what = f"{count} digit{'' if count == 1 else 's'}{f' at {places}' if places else ''}"
        files[f"{path.stem}.render.png"] = encode_picture(windows_picture(found, np.zeros((0, 3), np.float32), 1))
        files[f"{path.stem}.comparison.png"] = encode_picture(comparison)
        rows.append(row)
        lines.append(f"{path.name}: {what}; pixel error {rmse:.3f} (root mean square, 0 to 1){poor}")
    return files, rows, lines


def _document(count: int, windows: list[list[float]], size: int) -> bytes:
    document = {"schema": "air3d-digits-answer/1", "image_size": size, "count": count, "windows": windows}
    return (json.dumps(document) + "\n").encode()
