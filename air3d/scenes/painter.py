"""Draws latents: what inference compares with an image, and what a guide is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scenes.depth import COLOURS, Images, has_depth
from air3d.scenes.latents import SceneLatents, World


@runtime_checkable
class DeviceRenderer(Protocol):
    """A backend whose pictures can stay on the device that drew them (`air3d.renderers.warp`)."""

    @property
    def device(self) -> str: ...

    def render_torch(self, scenes: SceneBatch) -> Tensor:
        """Draw pictures (B, H, W, 3) uint8 on `device`, which the next call overwrites."""
        ...


def to_pixels(images: Images) -> Tensor:
    """Convert (B, H, W, 3) uint8 to (B, 3, H, W) float32 in [0, 1]; with depth, (B, H, W, 4) to (B, 5, H, W)."""
    if has_depth(images):
        return _measured(torch.from_numpy(images[..., :COLOURS]), torch.from_numpy(images[..., COLOURS]))
    return _floats(torch.from_numpy(np.ascontiguousarray(images)))


def drawn(renderer: Renderer, scenes: SceneBatch, depth: bool = False) -> Tensor:
    """Draw scenes (B,) as pictures (B, 3, H, W) float32 in [0, 1]; with depth, (B, 5, H, W)."""
    if not depth:
        return to_pixels(renderer.render(scenes))
    frames = renderer.render_frames(scenes)
    return _measured(torch.from_numpy(frames.rgb), torch.from_numpy(frames.depth_m).nan_to_num(posinf=0.0))


@dataclass(frozen=True)
class Painter:
    """A renderer that draws latents.

    Attributes:
        world: all that is known of the scenes beforehand.
        given: the renderer that draws the pictures, a black box; None where the guide looks at none.
        device: the device that pictures are wanted on.
        depth: whether pictures have depth.
    """

    world: World
    given: Renderer | None
    device: torch.device
    depth: bool = False

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
        """Draw latents of shape (...) and (..., N) as pictures (..., 3, S, S) float32 in [0, 1], (..., 5, S, S) with
        depth."""
        scenes = self.world.to_batch(latents)
        if isinstance(self.renderer, DeviceRenderer) and self.device.type != "cpu" and not self.depth:
            pixels = _floats(self.renderer.render_torch(scenes).to(self.device))
        else:
            pixels = drawn(self.renderer, scenes, self.depth).to(self.device)
        return pixels.reshape(*latents.viewpoint.azimuth_rad.shape, *pixels.shape[1:])


def _floats(images: Tensor) -> Tensor:
    # Channel after channel, as what joins channels wants them; copied while they are bytes.
    return images.permute(0, 3, 1, 2).contiguous().float().div_(255.0)


def _measured(images: Tensor, depth_m: Tensor) -> Tensor:
    pictures = torch.empty(len(images), COLOURS + 2, *images.shape[1:3])
    pictures[:, :COLOURS] = images.permute(0, 3, 1, 2)
    pictures[:, :COLOURS] /= 255.0
    pictures[:, COLOURS], pictures[:, COLOURS + 1] = depth_m, depth_m > 0.0
    return pictures
