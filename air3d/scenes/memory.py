"""Remembers the best scene that has been found for every training image: what the wake phase learns from, late.

A guide that has begun to see proposes scenes; renders improve them, far beyond what it can say itself; and it is fitted
to the best that have been found, by the loss of dreams. What is remembered of an image is looked at again from time to
time, from what the guide says by then or from what is remembered, whichever explains the image better, so a scene never
gets worse. That is memoised wake-sleep (Hewitt, Le & Tenenbaum, "Learning to learn generative programs with Memoised
Wake-Sleep", 2020) with a memory of one scene an image. No label is read.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from air3d.distributions.parts import each
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import drawn, to_pixels
from air3d.scenes.polish import polish
from air3d.scenes.refine import RefineConfig
from air3d.scenes.step_guide import StepGuide

NONE = torch.finfo(torch.float32).max
_POSE = 8  # the numbers of an object's kind, position and rotation


class SceneMemory(nn.Module):
    """The best scene of each of N images, stored with a run's checkpoint.

    Attributes:
        error: (N,), the errors of their pictures; NONE where no scene has been found yet.
        numbers: (N, W), their latents.
    """

    error: Tensor
    numbers: Tensor

    def __init__(self, world: World, images: int) -> None:
        super().__init__()
        self.world, self.slots = world, world.prior.max_objects
        self._shared, self._each = 1 + len(world.shared), _POSE + len(world.appearance)
        self.register_buffer("error", torch.full((images,), NONE))
        self.register_buffer("numbers", torch.zeros(images, self._shared + self.slots * self._each))

    def recall(self, rows: Tensor) -> SceneLatents:
        """The scenes of images `rows` (R,), (R,) and (R, N)."""
        shared, each_ = self.numbers[rows].split([self._shared, self.slots * self._each], -1)
        kind, position, rotation, looks = each_.unflatten(-1, (self.slots, self._each)).split(
            [1, 3, 4, self._each - _POSE], -1
        )
        viewpoint = Viewpoint(shared[..., 0], shared[..., 1:])
        return SceneLatents(viewpoint, Objects(kind[..., 0].long(), position, rotation, looks))

    def keep(self, rows: Tensor, latents: SceneLatents, error: Tensor) -> None:
        """Remember scenes (R,) of images `rows` (R,), each once, where their errors (R,) are smaller than before."""
        viewpoint, objects = latents
        parts = [objects.kind[..., None].to(error), objects.position_m, objects.rotation_wxyz, objects.appearance]
        whole = [viewpoint.azimuth_rad[:, None], viewpoint.shares, torch.cat(parts, -1).flatten(1)]
        better = error < self.error[rows]
        self.error[rows[better]] = error[better]
        self.numbers[rows[better]] = torch.cat(whole, -1)[better]

    def known(self, rows: Tensor) -> Tensor:
        """(R,) bool: of which of the images `rows` (R,) there is a scene."""
        return self.error[rows] < NONE


@torch.no_grad()
def visit(
    memory: SceneMemory,
    model: SceneModel[StepGuide],
    renderer: Renderer,
    images: NDArray[np.uint8],
    rows: Tensor,
    config: RefineConfig,
) -> int:
    """Look at images (R, H, W, 3), those of `rows` (R,), again, and remember what is better; return the renders spent.

    Args:
        rows: each once.
        config: how what is found is polished.
    """
    device, pixels, known = memory.error.device, to_pixels(images), memory.known(rows)

    def errors(scenes: SceneBatch) -> Tensor:
        return model.likelihood.error(pixels, drawn(renderer, scenes)[:, None])[:, 0].to(device)

    fresh = model.infer(images, renderer).scenes
    fresh_latents, before = model.world.from_batch(fresh, device), memory.recall(rows)
    newer = ~known | (errors(fresh) < memory.error[rows])

    def chosen(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(newer.reshape(-1, *[1] * (new.dim() - 1)), new, old)

    start = SceneLatents(
        Viewpoint(*map(chosen, fresh_latents.viewpoint, before.viewpoint)),
        Objects(*map(chosen, fresh_latents.objects, before.objects)),
    )
    found, most = polish(model, renderer, images, model.world.to_batch(start), config)
    memory.keep(rows, model.world.from_batch(found, device), errors(found))
    return len(rows) * (model.guide.renders + 2 + most)


def shuffled(latents: SceneLatents, generator: torch.Generator) -> SceneLatents:
    """Put the objects of scenes (R, N) into random order, empty slots last."""
    kind = latents.objects.kind
    order = torch.rand(kind.shape, generator=generator, device=kind.device) + (kind == ABSENT)
    index, rows = order.argsort(-1), torch.arange(len(kind), device=kind.device)[:, None]
    return latents._replace(objects=each(latents.objects, lambda part: part[rows, index]))
