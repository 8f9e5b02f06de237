"""Contact sheets: many samples in one picture, with the boxes and axes that the annotations give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from air3d.datasets.samples import Sample
from air3d.scene3d.camera import Camera
from air3d.scene3d.own_kinds import short_name

TILE = 256
_COLUMNS = 6
_GAP = 6
_AXIS_M = 0.06
_AXIS_COLOURS = ("#ff5050", "#50e050", "#60a0ff")
_BOX, _AMODAL_BOX, _PAPER = "#ffe14d", "#9a9a9a", (24, 24, 28)


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """Draw a tile for each sample, with every object's visible box (yellow), amodal box (grey, if other), axes, name.

    Axes are 6 cm long (x red, y green, z blue) and start at the object's origin.

    Returns:
        (H, W, 3) uint8.
    """
    return in_rows([_tile(sample) for sample in samples])


def in_rows(tiles: Sequence[Image.Image]) -> NDArray[np.uint8]:
    """Put pictures of one size into rows of six, with gaps: (H, W, 3) uint8."""
    columns, (across, down) = min(_COLUMNS, len(tiles)), (side + _GAP for side in tiles[0].size)
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), _PAPER)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        sheet.paste(tile, (_GAP + column * across, _GAP + row * down))
    return np.asarray(sheet)


def choose_samples(total: int, count: int = 24) -> list[int]:
    """The indices of up to `count` samples, evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)).tolist()


def _tile(sample: Sample) -> Image.Image:
    height, width = sample["image"].shape[:2]
    factor = max(1, round(TILE / max(height, width)))
    image = Image.fromarray(sample["image"]).resize((width * factor, height * factor), Image.Resampling.NEAREST)
    camera = sample["scene"].camera.sized(width, height)
    draw = ImageDraw.Draw(image)
    letters = max(11, image.width // 22)
    font = ImageFont.load_default(size=letters)
    labels = []
    for item in sample["annotations"]["objects"]:
        if item["amodal_box"] is not None and item["amodal_box"] != item["visible_box"]:
            draw.rectangle(_scaled(item["amodal_box"], factor), outline=_AMODAL_BOX)
        if item["visible_box"] is not None:
            corners = _scaled(item["visible_box"], factor)
            draw.rectangle(corners, outline=_BOX)
            name, share = short_name(item["kind"]), item["visible_fraction"]
            labels.append((corners[:2], name if share == 1.0 else f"{name} {int(100 * share)}%"))
        _draw_axes(draw, np.array(item["object_to_world"]), camera, factor)
    for (x, y), text in labels:
        _write(draw, (x + 2, max(0.0, y - letters - 4)), text, font, image.width)
    _write(draw, (3, image.height - letters - 5), f"#{sample['index']}", font, image.width)
    return image


def _scaled(box: Sequence[int], factor: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (value * factor for value in box)
    return x0, y0, x1 - 1, y1 - 1


def _draw_axes(draw: ImageDraw.ImageDraw, object_to_world: NDArray[np.float64], camera: Camera, factor: int) -> None:
    local = np.vstack([np.zeros(3), _AXIS_M * np.eye(3)])
    points, depth = camera.project(local @ object_to_world[:3, :3].T + object_to_world[:3, 3])
    if (depth <= 0).any():
        return
    # Pixel centres are whole numbers, so pixel 0 covers -0.5 to 0.5.
    origin, *tips = ((u + 0.5) * factor - 0.5 for u in points)
    lines = [(*origin.tolist(), *tip.tolist()) for tip in tips]
    for line in lines:  # a dark edge, or red axes vanish on red mugs
        draw.line(line, fill="black", width=4)
    for line, colour in zip(lines, _AXIS_COLOURS, strict=True):
        draw.line(line, fill=colour, width=2)


def _write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, font: _Font, width: int) -> None:
    x = min(place[0], max(0.0, width - draw.textlength(text, font=font) - 2))
    draw.text((x, place[1]), text, font=font, fill="white", stroke_width=1, stroke_fill="black")
