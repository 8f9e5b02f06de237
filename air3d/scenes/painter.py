"""Draws latents: what inference compares with an image, and what a guide is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scenes.latents import SceneLatents, World


@runtime_checkable
class DeviceRenderer(Protocol):
    """A backend whose pictures can stay on the device that drew them (`air3d.renderers.warp`)."""

    @property
    def device(self) -> str: ...

    def render_torch(self, scenes: SceneBatch) -> Tensor:
        """Draw pictures (B, H, W, 3) uint8 on `device`, which the next call overwrites."""
        ...


def to_pixels(images: NDArray[np.uint8]) -> Tensor:
    """Convert (B, H, W, 3) uint8 to (B, 3, H, W) float32 in [0, 1]."""
    return _floats(torch.from_numpy(np.ascontiguousarray(images)))


@dataclass(frozen=True)
class Painter:
    """A renderer that draws latents.

    Attributes:
        world: all that is known of the scenes beforehand.
        given: the renderer that draws the pictures, a black box; None where the guide looks at none.
        device: the device that pictures are wanted on.
    """

    world: World
    given: Renderer | None
    device: torch.device

    @property
    def renderer(self) -> Renderer:
        """The renderer.

        Raises:
            InputError: if none was given.
        """
        if self.given is None:
            raise InputError("this model looks at renders while it infers; give it a renderer of its `render_config`")
        return self.given

    def draw(self, latents: SceneLatents) -> Tensor:
        """Draw latents of shape (...) and (..., N) as pictures (..., 3, S, S) float32 in [0, 1]."""
        scenes = self.world.to_batch(latents)
        if isinstance(self.renderer, DeviceRenderer) and self.device.type != "cpu":
            pixels = self.renderer.render_torch(scenes).to(self.device)
        else:
            pixels = torch.from_numpy(self.renderer.render(scenes)).to(self.device)
        pixels = _floats(pixels)
        return pixels.reshape(*latents.viewpoint.azimuth_rad.shape, *pixels.shape[1:])


def _floats(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255.0
