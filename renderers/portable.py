"""A renderer that can be copied and pickled with the object that holds it, such as an environment in a search.

Backends hold threads, contexts or device memory, which cannot be copied. A deep copy draws with the same backend;
a pickle carries the arguments of the backend, and makes one when it first draws. Either draws the same pixels.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Frames, RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.closing import Closing


class _Drawing:
    """A backend and the number of copies that share it."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer, self.users = renderer, 1


class PortableRenderer(Closing):
    """The backend that `make_renderer` makes of the same arguments, in a form that can be copied and pickled.

    The backend is closed with the last of its copies. A copy for another thread should go through pickle: OpenGL draws
    in the thread that made it.

    Raises:
        InputError: if `make_renderer` raises it; after unpickling, at the first drawing.
    """

    def __init__(self, config: RenderConfig, backend: str = "auto", workers: int | None = None) -> None:
        self._drawing: _Drawing | None = _Drawing(make_renderer(config, backend, workers))
        self.config, self._workers, self._closed = config, workers, False
        self.name = self._drawing.renderer.name  # what "auto" is here: pixels of another backend would differ

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        return self._renderer.render(scenes)

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and instance segmentation."""
        return self._renderer.render_frames(scenes)

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation alone, (B, H, W) uint8."""
        return self._renderer.render_segmentation(scenes)

    def close(self) -> None:
        """Give the backend back. Closing twice is fine; rendering after it is an error."""
        drawing, self._drawing, self._closed = self._drawing, None, True
        if drawing is not None:
            drawing.users -= 1
            if not drawing.users:
                drawing.renderer.close()

    @property
    def _renderer(self) -> Renderer:
        if self._closed:
            raise RuntimeError("this renderer is closed")
        if self._drawing is None:
            self._drawing = _Drawing(make_renderer(self.config, self.name, self._workers))
        return self._drawing.renderer

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copy = object.__new__(type(self))
        copy.__dict__ |= self.__dict__
        if self._drawing is not None:
            self._drawing.users += 1
        return copy

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_drawing": None}
