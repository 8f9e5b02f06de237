"""Silhouettes of whole objects: what hides them is left out, and what the picture's edge cuts off is drawn too.

BOP counts an object's pixels on a canvas three times as wide and high as the image, in its middle. The same camera,
widened, draws it; pixels fall onto pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.annotation import Box, mask_boxes
from air3d.datasets.generation import batch_size, render_alone
from air3d.renderers.protocol import MAX_SIDE, RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.closing import Closing

MakeRenderer = Callable[[RenderConfig], Renderer]


class Silhouette(NamedTuple):
    """An object drawn alone.

    Attributes:
        mask: (H, W) bool, in the image.
        pixels: how many pixels it has on the canvas, those in the image among them.
        box: (x0, y0, x1, y1), x0 <= column < x1 and y0 <= row < y1, around them; columns and rows count from the
            image's corner and may lie outside it. None without pixels.
    """

    mask: NDArray[np.bool_]
    pixels: int
    box: Box | None


class Silhouettes(Closing):
    """Draws them; a context manager that holds its renderers."""

    def __init__(self, config: RenderConfig, make: MakeRenderer) -> None:
        """Make renderers; the canvas is at most as large as they draw. Raises InputError if one cannot work here."""
        self._config, self._make, self._size = config, make, (config.width, config.height)
        self._right, self._below = (min(side, (MAX_SIDE - side) // 2) for side in self._size)
        self._renderer = make(config)
        self._wide: Renderer | None = None

    def draw(self, batch: SceneBatch, segmentation: NDArray[np.uint8]) -> list[list[Silhouette]]:
        """Draw the silhouettes of the objects of each of B scenes, in order.

        Args:
            segmentation: (B, H, W), the scenes' own; a visible pixel counts as one of the silhouette.
        """
        masks, owner = render_alone(self._renderer, batch, segmentation)
        rows, slots = np.nonzero(batch.present)
        masks |= segmentation[rows] == (slots + 1)[:, None, None]
        # Whatever reaches beyond the edge touches it, or is not seen at all.
        edges = (masks[:, [0, -1]].any(axis=(1, 2))) | (masks[:, :, [0, -1]].any(axis=(1, 2)))
        cut = np.flatnonzero(edges | ~masks.any(axis=(1, 2)))
        found = [Silhouette(mask, int(mask.sum()), _box(mask, 0, 0)) for mask in masks]
        for m, canvas in zip(cut.tolist(), self._canvases(batch, rows[cut], slots[cut]), strict=True):
            height, width = masks[m].shape
            canvas[self._below : self._below + height, self._right : self._right + width] = masks[m]
            found[m] = Silhouette(masks[m], int(canvas.sum()), _box(canvas, self._right, self._below))
        return [[found[m] for m in np.flatnonzero(owner == row).tolist()] for row in range(len(batch))]

    def _canvases(
        self, batch: SceneBatch, rows: NDArray[np.int64], slots: NDArray[np.int64]
    ) -> list[NDArray[np.bool_]]:
        if not len(rows):
            return []
        width, height = self._size[0] + 2 * self._right, self._size[1] + 2 * self._below
        if self._wide is None:
            self._wide = self._make(replace(self._config, height=height, width=width))
        single = batch.singles(rows, slots).widened(self._size[1], self._below)
        step, found = batch_size(width * height), []
        for start in range(0, len(rows), step):
            found += list(self._wide.render_segmentation(single[start : start + step]) == 1)
        return found

    def close(self) -> None:
        """Close the renderers."""
        for renderer in (self._renderer, self._wide):
            if renderer is not None:
                renderer.close()


def _box(mask: NDArray[np.bool_], left: int, above: int) -> Box | None:
    box = mask_boxes(mask[None])[0]
    return None if box is None else (box[0] - left, box[1] - above, box[2] - left, box[3] - above)
