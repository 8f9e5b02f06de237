"""Reading a scene from an image: the camera, then one object a step until z_pres = 0; the most probable, or samples."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.painter import Painter
from air3d.scenes.step_guide import TableGuide


def most_probable(guide: TableGuide, painter: Painter, images: Tensor) -> tuple[SceneLatents, Tensor]:
    """Greedy reading of images (B, 3, S, S): latents of shape (B,) and (B, N), and (B, N) probability of each slot."""
    with torch.no_grad():
        viewpoint = painter.looks(guide, images)[-1].mode()
        slots = painter.world.prior.max_objects
        objects = painter.world.no_objects(viewpoint, slots)
        score = images.new_zeros(len(images), slots)
        alive = torch.arange(len(images), device=images.device)
        for slot in range(slots):
            here = Viewpoint(*(part[alive] for part in viewpoint))
            step = painter.step(guide, images[alive], here, Objects(*(part[alive] for part in objects)))
            present = step.presence > 0.0
            if slot < painter.world.prior.min_objects:
                present = torch.ones_like(present)
            alive, chosen = alive[present], present.nonzero()[:, 0]
            if not len(alive):
                break
            found = guide.most_probable(step.take(chosen), Viewpoint(*(part[chosen] for part in here)))
            for part, value in zip(objects, found, strict=True):
                part[alive, slot] = value
            score[alive, slot] = torch.sigmoid(step.presence[chosen])
    return SceneLatents(viewpoint, objects), score


# Logit of an object that the prior makes sure of: e^-30 is nothing in float32.
_CERTAIN = 30.0


class Nested(NamedTuple):
    """K draws of all N steps for each of B images, whatever z_pres says: scenes of 0, 1, .. N objects in one.

    Attributes:
        latents: of shape (B, K) and (B, K, N).
        presence: (B, K, N) logits of "there is an i-th object, given i - 1 before it".
        log_q_setting: (B, K). log_q_steps: (B, K, N) of each object given those before it. In the prior's units.
    """

    latents: SceneLatents
    presence: Tensor
    log_q_setting: Tensor
    log_q_steps: Tensor


def draw_nested(
    guide: TableGuide, painter: Painter, images: Tensor, samples: int, generator: torch.Generator
) -> Nested:
    """Draw all steps for images (B, 3, S, S); the log-probabilities are differentiable in the guide's parameters."""
    world = painter.world
    posterior = painter.looks(guide, images)[-1].expand(samples)
    viewpoint = posterior.sample(generator)
    log_q_setting = posterior.log_prob(viewpoint) - world.log_volume
    flat = Viewpoint(*(part.flatten(0, 1) for part in viewpoint))
    rows, objects = images.repeat_interleave(samples, 0), world.no_objects(flat, world.prior.max_objects)
    presence, log_q = [], []
    for slot in range(world.prior.max_objects):
        step = painter.step(guide, rows, flat, Objects(*(part.clone() for part in objects)))
        found = guide.draw(step, flat, 1, generator)
        presence.append(step.presence if slot >= world.prior.min_objects else torch.full_like(step.presence, _CERTAIN))
        log_q.append(guide.log_prob(step, flat, found)[:, 0] - world.log_appearance_volume(found.kind)[:, 0])
        for part, value in zip(objects, found, strict=True):
            part[:, slot] = value[:, 0]
    shape = (len(images), samples)
    return Nested(
        SceneLatents(viewpoint, Objects(*(part.reshape(*shape, *part.shape[1:]) for part in objects))),
        torch.stack(presence, -1).reshape(*shape, -1),
        log_q_setting,
        torch.stack(log_q, -1).reshape(*shape, -1),
    )


class Sampled(NamedTuple):
    """K samples of q(z | x) for each of B images.

    Attributes:
        latents: of shape (B, K) and (B, K, N).
        log_q: (B, K) per radian, metre and the other units of the prior.
    """

    latents: SceneLatents
    log_q: Tensor


def sample(guide: TableGuide, painter: Painter, images: Tensor, samples: int, generator: torch.Generator) -> Sampled:
    """Draw whole scenes for images (B, 3, S, S), step by step; log_q is differentiable in the guide's parameters."""
    world = painter.world
    slots, least = world.prior.max_objects, world.prior.min_objects
    posterior = painter.looks(guide, images)[-1].expand(samples)
    viewpoint = posterior.sample(generator)
    log_q = posterior.log_prob(viewpoint).flatten() - world.log_volume
    viewpoint = Viewpoint(*(part.flatten(0, 1) for part in viewpoint))
    rows = images.repeat_interleave(samples, 0)
    objects = world.no_objects(viewpoint, slots)
    alive = torch.arange(len(rows), device=images.device)
    for slot in range(slots):
        here = Viewpoint(*(part[alive] for part in viewpoint))
        step = painter.step(guide, rows[alive], here, Objects(*(part[alive] for part in objects)))
        if slot >= least:
            u = torch.rand(len(alive), generator=generator, device=images.device)
            present = u < torch.sigmoid(step.presence)
            log_q[alive] += nn.functional.logsigmoid(torch.where(present, step.presence, -step.presence))
            alive, chosen = alive[present], present.nonzero()[:, 0]
            if not len(alive):
                break
            step, here = step.take(chosen), Viewpoint(*(part[chosen] for part in here))
        found = guide.draw(step, here, 1, generator)
        log_q[alive] += guide.log_prob(step, here, found)[:, 0] - world.log_appearance_volume(found.kind)[:, 0]
        for part, value in zip(objects, found, strict=True):
            part[alive, slot] = value[:, 0]
    shape = (len(images), samples)
    return Sampled(
        SceneLatents(
            Viewpoint(*(part.reshape(*shape, *part.shape[1:]) for part in viewpoint)),
            Objects(*(part.reshape(*shape, *part.shape[1:]) for part in objects)),
        ),
        log_q.reshape(shape),
    )
