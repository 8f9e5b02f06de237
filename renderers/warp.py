"""Backend `warp`: MuJoCo Warp's batch ray caster, on CUDA or on the CPU; no OpenGL anywhere.

The batch is cut into chunks that fit the device; each chunk is drawn by one launch over all its pixels. Which
parts of MuJoCo's picture are met in which way is told in `renderers.warp_worlds`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from renderers.protocol import Frames, RenderConfig
from renderers.warp_device import pick_device
from renderers.warp_worlds import WarpWorlds
from scene3d.batch import SceneBatch


class WarpRenderer:
    """Ray-cast pictures of scenes on one table.

    The first picture of a configuration waits some seconds for Warp to compile its kernels; it keeps them on disk.

    Args:
        config: what it is made for.
        device: Warp's name of the device, "cuda:0" or "cpu"; None takes the first GPU, else the CPU.

    Raises:
        InputError: for a device that is not there.
    """

    name = "warp"

    def __init__(self, config: RenderConfig, device: str | None = None) -> None:
        self.config = config
        self._worlds: WarpWorlds | None = WarpWorlds(config, pick_device(device))

    @property
    def device(self) -> str:
        """Warp's name of the device that draws."""
        return self._open().device

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        rgb = self._empty(len(scenes), 3)
        for chunk, worlds in self._chunks(scenes):
            worlds.draw(colour=True, depth=False, segmentation=False)
            rgb[chunk] = worlds.rgb()
        return rgb

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and segmentation; see `Frames`."""
        b = len(scenes)
        rgb, segmentation = self._empty(b, 3), self._empty(b)
        depth = np.empty(segmentation.shape, dtype=np.float32)
        for chunk, worlds in self._chunks(scenes):
            worlds.draw(colour=True, depth=True, segmentation=True)
            rgb[chunk], depth[chunk], segmentation[chunk] = worlds.rgb(), worlds.depth_m(), worlds.segmentation()
        return Frames(rgb, depth, segmentation)

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation alone, (B, H, W) uint8."""
        segmentation = self._empty(len(scenes))
        for chunk, worlds in self._chunks(scenes):
            worlds.draw(colour=False, depth=False, segmentation=True)
            segmentation[chunk] = worlds.segmentation()
        return segmentation

    def _empty(self, b: int, *channels: int) -> NDArray[np.uint8]:
        return np.empty((b, self.config.height, self.config.width, *channels), dtype=np.uint8)

    def _open(self) -> WarpWorlds:
        if self._worlds is None:
            raise RuntimeError("this renderer is closed")
        return self._worlds

    def _chunks(self, scenes: SceneBatch) -> Iterator[tuple[slice, WarpWorlds]]:
        """Check the batch, then yield its chunks, each loaded into the worlds."""
        worlds = self._open()
        worlds.compiled.check(scenes)
        self.config.check_count(scenes)
        for start in range(0, len(scenes), worlds.capacity):
            chunk = slice(start, min(start + worlds.capacity, len(scenes)))
            worlds.load(scenes[chunk])
            yield chunk, worlds

    def close(self) -> None:
        """Free the device's memory."""
        self._worlds = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
