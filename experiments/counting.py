"""A renderer that counts what it draws, the honest price of a training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.protocol import Frames, RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.closing import Closing


class CountingRenderer(Closing):
    """Passes everything on; a picture counts as one, whether of colours or of instance numbers.

    Attributes:
        count: the number of pictures drawn so far.
    """

    def __init__(self, renderer: Renderer, count: int = 0) -> None:
        self._renderer, self.count = renderer, count

    @property
    def name(self) -> str:
        """The backend's own."""
        return self._renderer.name

    @property
    def config(self) -> RenderConfig:
        """The backend's own."""
        return self._renderer.config

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images."""
        self.count += len(scenes)
        return self._renderer.render(scenes)

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and instance numbers."""
        self.count += len(scenes)
        return self._renderer.render_frames(scenes)

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance numbers."""
        self.count += len(scenes)
        return self._renderer.render_segmentation(scenes)

    def close(self) -> None:
        """Close the backend."""
        self._renderer.close()
