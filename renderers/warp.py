"""Backend `warp`: MuJoCo Warp's batch ray caster, on CUDA or on the CPU; no OpenGL anywhere.

The batch is cut into chunks that fit the device; each chunk is drawn by one launch over all its pixels. Which
parts of MuJoCo's picture are met in which way is told in `air3d.renderers.warp_worlds`. `render_torch` leaves the
pictures on the device.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from air3d.renderers.protocol import Frames, RenderConfig
from air3d.renderers.warp_device import in_turn_with_torch, pick_device
from air3d.renderers.warp_worlds import WarpWorlds
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError


class WarpRenderer(Closing):
    """Ray-cast pictures of scenes on one table.

    The first picture of a configuration waits some seconds for Warp to compile its kernels; it keeps them on disk.

    Args:
        config: the configuration that it is made for.
        device: the name that Warp has for the device, "cuda:0" or "cpu"; None takes the first GPU, else the CPU.
        worlds: how many scenes a launch draws; their memory is taken at once; default: as many as the device holds.

    Raises:
        InputError: for a device that is not there.
    """

    name = "warp"

    def __init__(self, config: RenderConfig, device: str | None = None, worlds: int | None = None) -> None:
        if worlds is not None and worlds < 1:
            raise InputError(f"renderer warp: worlds is {worlds}; use 1 or more")
        self.config = config
        self._worlds: WarpWorlds | None = WarpWorlds(config, pick_device(device), worlds)
        self._images: wp.array | None = None
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """The name that Warp, and torch too, has for the device that draws."""
        return str(self._open().device)

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        rgb = self._empty(len(scenes), 3)
        for chunk, worlds in self._chunks(scenes):
            worlds.draw(colour=True)
            worlds.read_rgb(rgb[chunk])
        return rgb

    def render_torch(self, scenes: SceneBatch) -> Any:
        """Colour images as a `torch.Tensor` on the renderer's device, (B, H, W, 3) uint8.

        The tensor is a view of memory that this renderer keeps, nothing is copied: the next `render_torch` of the same
        renderer overwrites it, so clone what must last longer. (No other call does, and `close` leaves it alone.) On
        CUDA the call returns before the pictures are drawn; drawing comes after what torch's current stream already
        holds, and what is put there later comes after it.
        """
        b, device = len(scenes), self._open().device
        if self._images is None or len(self._images) < b:
            shape = (max(b, 1), self.config.height, self.config.width, 3)
            self._images = wp.empty(shape, dtype=wp.uint8, device=device)
        with in_turn_with_torch(device):
            for chunk, worlds in self._chunks(scenes):
                worlds.draw(colour=True)
                worlds.write_rgb(self._images[chunk])
        return wp.to_torch(self._images)[:b]

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and segmentation; see `Frames`."""
        b = len(scenes)
        rgb, segmentation = self._empty(b, 3), self._empty(b)
        depth = np.empty(segmentation.shape, dtype=np.float32)
        for chunk, worlds in self._chunks(scenes):
            worlds.draw(colour=True, depth=True, segmentation=True)
            worlds.read_rgb(rgb[chunk])
            worlds.read_depth_m(depth[chunk])
            worlds.read_segmentation(segmentation[chunk])
        return Frames(rgb, depth, segmentation)

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation alone, (B, H, W) uint8."""
        segmentation = self._empty(len(scenes))
        for chunk, worlds in self._chunks(scenes):
            worlds.draw(segmentation=True)
            worlds.read_segmentation(segmentation[chunk])
        return segmentation

    def _empty(self, b: int, *channels: int) -> NDArray[np.uint8]:
        return np.empty((b, self.config.height, self.config.width, *channels), dtype=np.uint8)

    def _open(self) -> WarpWorlds:
        if self._worlds is None:
            raise RuntimeError("this renderer is closed")
        return self._worlds

    def _chunks(self, scenes: SceneBatch) -> Iterator[tuple[slice, WarpWorlds]]:
        """Check the batch, then yield its chunks, each loaded into the worlds."""
        with self._lock:  # of several threads one after the other
            worlds = self._open()
            worlds.compiled.check(scenes)
            self.config.check_count(scenes)
            for start in range(0, len(scenes), worlds.capacity):
                chunk = slice(start, min(start + worlds.capacity, len(scenes)))
                worlds.load(scenes[chunk])
                yield chunk, worlds

    def close(self) -> None:
        """Free the device's memory."""
        with self._lock:
            self._worlds = self._images = None
