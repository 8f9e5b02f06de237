"""Draws scenes for the guide: whole, or as far as they have been explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.step_guide import Step, TableGuide, ViewpointPosterior


@runtime_checkable
class DeviceRenderer(Protocol):
    """A backend whose pictures can stay on the device that drew them (`air3d.renderers.warp`)."""

    @property
    def device(self) -> str: ...

    def render_torch(self, scenes: SceneBatch) -> Tensor:
        """Draw pictures (B, H, W, 3) uint8 on `device`, which the next call overwrites."""
        ...


@dataclass(frozen=True)
class Painter:
    """A renderer that draws latents.

    Attributes:
        world: all that is known of the scenes beforehand.
        renderer: draws the pictures; a black box.
        device: the device that pictures are wanted on.
    """

    world: World
    renderer: Renderer
    device: torch.device

    def draw(self, latents: SceneLatents) -> Tensor:
        """Draw latents of shape (...) and (..., N) as pictures (..., 3, S, S) float32 in [0, 1]."""
        scenes = self.world.to_batch(latents)
        if isinstance(self.renderer, DeviceRenderer) and self.device.type != "cpu":
            pixels = self.renderer.render_torch(scenes).to(self.device)
        else:
            pixels = torch.from_numpy(self.renderer.render(scenes)).to(self.device)
        pixels = pixels.permute(0, 3, 1, 2).float() / 255.0
        return pixels.reshape(*latents.viewpoint.azimuth_rad.shape, *pixels.shape[1:])

    def looks(self, guide: TableGuide, images: Tensor) -> tuple[ViewpointPosterior, ...]:
        """Let the guide look for the camera of images (B, 3, S, S), once or twice; the last look is its answer."""
        first = guide.first_look(images)
        if guide.config.feedback == "marks":
            return (first,)
        viewpoint = first.mode()
        empty = self.draw(SceneLatents(viewpoint, self.world.no_objects(viewpoint, self.world.prior.max_objects)))
        return first, guide.second_look(images, empty, viewpoint)

    def step(self, guide: TableGuide, images: Tensor, viewpoint: Viewpoint, objects: Objects) -> Step:
        """Let the guide look at images (B, 3, S, S) of which objects (B, N) are explained."""
        if guide.config.feedback == "marks":
            return guide.step(images, guide.marks(objects, guide.view(viewpoint)))
        drawn = self.draw(SceneLatents(viewpoint, objects))
        return guide.step(images, images - drawn)._replace(drawn=drawn)
