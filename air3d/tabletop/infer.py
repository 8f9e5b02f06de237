"""Reading a scene from an image: the camera, then one object a step until z_pres = 0; the most probable, or samples."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from air3d.tabletop.guide import TableGuide
from air3d.tabletop.latents import Objects, SceneLatents, Setting
from air3d.tabletop.painter import Painter


def most_probable(guide: TableGuide, painter: Painter, images: Tensor) -> tuple[SceneLatents, Tensor]:
    """Greedy reading of images (B, 3, S, S): latents of shape (B,) and (B, N), and (B, N) probability of each slot."""
    with torch.no_grad():
        setting = painter.looks(guide, images)[-1].mode()
        slots = painter.top.prior.max_objects
        objects = painter.top.no_objects(setting, slots)
        score = images.new_zeros(len(images), slots)
        alive = torch.arange(len(images), device=images.device)
        for slot in range(slots):
            here = Setting(*(part[alive] for part in setting))
            step = painter.step(guide, images[alive], here, Objects(*(part[alive] for part in objects)))
            present = step.presence > 0.0
            if slot < painter.top.prior.min_objects:
                present = torch.ones_like(present)
            alive, chosen = alive[present], present.nonzero()[:, 0]
            if not len(alive):
                break
            found = guide.most_probable(step.take(chosen), Setting(*(part[chosen] for part in here)))
            for part, value in zip(objects, found, strict=True):
                part[alive, slot] = value
            score[alive, slot] = torch.sigmoid(step.presence[chosen])
    return SceneLatents(setting, objects), score


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
    top = painter.top
    slots, least = top.prior.max_objects, top.prior.min_objects
    posterior = painter.looks(guide, images)[-1].expand(samples)
    setting = posterior.sample(generator)
    log_q = posterior.log_prob(setting).flatten() - top.log_volume
    setting = Setting(*(part.flatten(0, 1) for part in setting))
    rows = images.repeat_interleave(samples, 0)
    objects = top.no_objects(setting, slots)
    alive = torch.arange(len(rows), device=images.device)
    for slot in range(slots):
        here = Setting(*(part[alive] for part in setting))
        step = painter.step(guide, rows[alive], here, Objects(*(part[alive] for part in objects)))
        if slot >= least:
            u = torch.rand(len(alive), generator=generator, device=images.device)
            present = u < torch.sigmoid(step.presence)
            log_q[alive] += nn.functional.logsigmoid(torch.where(present, step.presence, -step.presence))
            alive, chosen = alive[present], present.nonzero()[:, 0]
            if not len(alive):
                break
            step, here = step.take(chosen), Setting(*(part[chosen] for part in here))
        found = guide.draw(step, here, 1, generator)
        log_q[alive] += guide.log_prob(step, here, found)[:, 0] - top.log_looks_volume(found.kind)[:, 0]
        for part, value in zip(objects, found, strict=True):
            part[alive, slot] = value[:, 0]
    shape = (len(images), samples)
    return Sampled(
        SceneLatents(
            Setting(*(part.reshape(*shape, *part.shape[1:]) for part in setting)),
            Objects(*(part.reshape(*shape, *part.shape[1:]) for part in objects)),
        ),
        log_q.reshape(shape),
    )
