"""Reconsiders answers: each object is drawn anew from the guide, given all others, and what explains the image best is
kept.

A guide names object after object, each before it knows those that follow, and the most probable pose is not always the
right one: a handle may be on either side. Given all the others, its belief about one object is better than when it was
named, and a render tells which of a few draws of that belief is right. Object by object and round after round, this is
blockwise ascent of the likelihood, each block by draws of its conditional.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.distributions.parts import each, take
from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scenes.depth import Images
from air3d.scenes.guide import Guide, Posterior
from air3d.scenes.latents import SceneLatents
from air3d.scenes.model import SceneModel

# Of images whose pictures are compared at once.
_CHUNK = 64


class Reconsidered(NamedTuple):
    """Answers to B images, reconsidered.

    Attributes:
        scenes: the B scenes; none explains its image worse than the answer that it was.
        renders: (B,), the renders that each image took at most, those that the guide was shown included.
    """

    scenes: SceneBatch
    renders: NDArray[np.int64]


@plain_torch()
@torch.no_grad()
def reconsider(
    model: SceneModel[Guide],
    renderer: Renderer,
    images: Images,
    scenes: SceneBatch,
    candidates: int,
    renders: int,
    generator: torch.Generator,
) -> Reconsidered:
    """Reconsider B scenes, the model's answers to images.

    Args:
        candidates: the number of draws of an object.
        renders: the most that an image may take; as many rounds are made as fit into it.
        generator: draws the objects, of all images together: the draws for one depend on the others beside it.
    """
    if len(images) > _CHUNK:
        chunks = [slice(start, start + _CHUNK) for start in range(0, len(images), _CHUNK)]
        parts = [
            reconsider(model, renderer, images[part], scenes[part], candidates, renders, generator) for part in chunks
        ]
        return Reconsidered(
            SceneBatch.concatenate([part.scenes for part in parts]), np.concatenate([part.renders for part in parts])
        )

    def wide(part: Tensor) -> Tensor:
        return part[:, None].expand(len(part), candidates, *part.shape[1:]).clone()

    painter, pixels = model.painter(renderer), model.pixels(images)
    posterior: Posterior = model.guide.look(pixels, painter)
    viewpoint, objects = model.world.from_batch(scenes, model.device)
    objects = each(objects, Tensor.clone)  # they may share the batch's memory
    count = (objects.kind != ABSENT).sum(-1)
    # A draw is rendered, and the guide is shown the scene without the object.
    cost = count * (candidates + 1)
    rounds = torch.where(count > 0, (renders - 1) // cost.clamp_min(1), 0)
    tried_at_all = (rounds > 0).nonzero()[:, 0]
    error = pixels.new_zeros(len(pixels))
    if len(tried_at_all):
        before = painter.draw(SceneLatents(take(viewpoint, tried_at_all), take(objects, tried_at_all)))
        error[tried_at_all] = model.likelihood.error(pixels[tried_at_all], before[:, None])[:, 0]
    for turn in range(int(rounds.max()) if len(rounds) else 0):
        for slot in range(objects.kind.shape[1]):
            rows = ((objects.kind[:, slot] != ABSENT) & (turn < rounds)).nonzero()[:, 0]
            if not len(rows):
                continue
            here, now = take(viewpoint, rows), take(objects, rows)
            drawn = posterior.redraw(rows, SceneLatents(here, now), slot, candidates, generator)
            tried = each(now, wide)
            for part, value in zip(tried, drawn, strict=True):
                part[:, :, slot] = value
            found = model.likelihood.error(pixels[rows], painter.draw(SceneLatents(each(here, wide), tried)))
            if not model.prior.repeat:
                found = found.masked_fill(_twice(tried.kind, slot), torch.inf)
            lowest, which = found.min(-1)
            better = lowest < error[rows]
            error[rows] = torch.where(better, lowest, error[rows])
            kept, best = rows[better], which[better]
            for part, value in zip(objects, drawn, strict=True):
                part[kept, slot] = value[better.nonzero()[:, 0], best]
    spent = torch.where(rounds > 0, 1 + rounds * cost, 0)
    return Reconsidered(model.world.to_batch(SceneLatents(viewpoint, objects)), spent.cpu().numpy())


def _twice(kind: Tensor, slot: int) -> Tensor:
    """Whether scenes of kinds (R, K, N) have the kind of a slot in another, too: (R, K)."""
    return (kind == kind[:, :, slot, None]).sum(-1) > 1
