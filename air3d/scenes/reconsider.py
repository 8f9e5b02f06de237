"""Reconsiders answers: each object is drawn anew from the guide, given all others, and what explains the image best is
kept; and an object that was missed is added, where it explains enough. In every other round it is turned on the spot
instead, to angles spread evenly: where a guide is sure of the wrong one, its draws are no better.

A guide names object after object, each before it knows those that follow, and the most probable pose is not always the
right one: a handle may be on either side. Given all the others, its belief about one object is better than when it was
named, and a render tells which of a few draws of that belief is right. Object by object and round after round, this is
blockwise ascent of the likelihood, each block by draws of its conditional.
"""

from __future__ import annotations

import itertools
import math
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
from air3d.scenes.latents import Objects, SceneLatents
from air3d.scenes.model import SceneModel

# Of images whose pictures are compared at once.
_CHUNK = 64
# An object more must explain so many nats: about as many as its latents are more probable given an image than before.
_WORTH = 15.0


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
    """Reconsider B scenes, the model's answers to images, whose objects fill the first slots.

    Args:
        candidates: the number of draws of an object.
        renders: the most that an image may take; as many rounds over its objects are made as fit into it.
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
    error, spent = pixels.new_zeros(len(pixels)), torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
    cost = candidates + 1  # a draw is rendered, and the guide is shown the scene without the object
    turns = model.world.turns().to(pixels.device)
    going = torch.ones_like(spent, dtype=torch.bool)
    for turn in itertools.count():
        spin = turn % 2 == 1
        count = (objects.kind != ABSENT).sum(-1)
        turning = (turns[objects.kind.clamp_min(0)] & (objects.kind != ABSENT)).sum(-1)
        whole = candidates * turning if spin else cost * count.clamp_min(1)
        going = going & (spent.clamp_min(1) + whole <= renders)
        if not going.any():
            break
        new = (going & (spent == 0)).nonzero()[:, 0]
        if len(new):
            before = painter.draw(SceneLatents(take(viewpoint, new), take(objects, new)))
            error[new], spent[new] = model.likelihood.error(pixels[new], before[:, None])[:, 0], 1
        for slot in range(objects.kind.shape[1]):
            there = slot < count
            if spin:
                chosen = there & turns[objects.kind[:, slot].clamp_min(0)]
            else:
                chosen = there | ((slot == count) & (spent + cost <= renders))
            rows = (going & chosen).nonzero()[:, 0]
            if not len(rows):
                continue
            here, now = take(viewpoint, rows), take(objects, rows)
            if spin:
                drawn = _spun(model, SceneLatents(here, now), slot, candidates, generator)
            else:
                drawn = posterior.redraw(rows, SceneLatents(here, now), slot, candidates, generator)
            spent[rows] += candidates if spin else cost
            tried = each(now, wide)
            for part, value in zip(tried, drawn, strict=True):
                part[:, :, slot] = value
            found = model.likelihood.error(pixels[rows], painter.draw(SceneLatents(each(here, wide), tried)))
            if not model.prior.repeat:
                found = found.masked_fill(_twice(tried.kind, slot), torch.inf)
            lowest, which = found.min(-1)
            gain = model.likelihood.log_prob(lowest, 1) - model.likelihood.log_prob(error[rows], 1)
            better = gain > torch.where(there[rows], 0.0, _WORTH)
            error[rows] = torch.where(better, lowest, error[rows])
            kept, best = rows[better], which[better]
            for part, value in zip(objects, drawn, strict=True):
                part[kept, slot] = value[better.nonzero()[:, 0], best]
    return Reconsidered(model.world.to_batch(SceneLatents(viewpoint, objects)), spent.cpu().numpy())


def _spun(
    model: SceneModel[Guide], scenes: SceneLatents, slot: int, candidates: int, generator: torch.Generator
) -> Objects:
    """Turn the object of a slot of scenes (R, N) to angles spread evenly from a random start: (R, K)."""
    one = each(scenes.objects, lambda part: part[:, slot, None].expand(-1, candidates, *part.shape[2:]))
    start = torch.rand(len(one.kind), 1, generator=generator, device=one.kind.device)
    even = torch.arange(candidates, device=one.kind.device) / candidates
    view = model.world.view(scenes.viewpoint, model.image_size).each()
    pose = model.world.poses.spun(view, one, 2.0 * math.pi * (start + even))
    return one._replace(position_m=pose.position_m, rotation_wxyz=pose.rotation_wxyz)


def _twice(kind: Tensor, slot: int) -> Tensor:
    """Whether scenes of kinds (R, K, N) have the kind of a slot in another, too: (R, K)."""
    return (kind == kind[:, :, slot, None]).sum(-1) > 1
