"""The sleep phase: fits the guide to scenes dreamt from the prior, whose latents are known.

Each dreamt image is explained up to a random point: m of its n objects are on the table already, a little wrong, as
they will be when the guide itself has put them there. What the guide should then say is whether there is another
object, and
any of those that are left, in whatever order: the loss is the inclusive KL from the posterior whose order is
uniform, as the prior's is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from air3d.distributions.circle import wrap
from air3d.estimators.common import softened
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.painter import Painter
from air3d.scenes.step_guide import StepGuide

_MAX_ROUNDS = 50


@dataclass(frozen=True)
class Slips:
    """The standard deviations of the errors in the explained part of a dream.

    Attributes:
        angle_rad: that of the camera's azimuth.
        share: that of the camera's and the light's properties, in shares of their ranges.
        position_m: that of objects' places on the table.
        yaw_rad: that of objects' yaws; one in ten is turned at random.
        appearance: that of sizes and colours, in shares of their ranges.
    """

    angle_rad: float = 0.003
    share: float = 0.005
    position_m: float = 0.003
    yaw_rad: float = 0.2
    appearance: float = 0.1

    def __post_init__(self) -> None:
        for name in ("angle_rad", "share", "position_m", "yaw_rad", "appearance"):
            if not 0.0 <= getattr(self, name) <= 10.0:
                raise InputError(f"slips: {name} is {getattr(self, name)}; it must be 0 to 10")


class SleepLoss(NamedTuple):
    """The mean losses of a batch of dreams, nats, to be minimised; `total` is their sum."""

    total: Tensor
    viewpoint: Tensor
    presence: Tensor
    where: Tensor
    what: Tensor
    yaw: Tensor


def dream(
    painter: Painter, size: int, rng: np.random.Generator, min_visible: float = 0.0
) -> tuple[Tensor, SceneLatents]:
    """Draw scenes from the prior: pictures (B, 3, S, S), and their latents.

    Args:
        min_visible: leaves out scenes with an object of a smaller visible share, as datasets do.

    Raises:
        InputError: if hardly any scene keeps its objects visible.
    """
    prior, kept, missing = ScenePrior(painter.world.prior), [], size
    for _ in range(_MAX_ROUNDS):
        scenes = prior.sample_batch(rng, missing + missing // 8)
        if min_visible > 0.0:
            scenes = scenes[visible_shares(painter.renderer, scenes).min(axis=1, initial=1.0) >= min_visible]
        kept.append(scenes[:missing])
        missing -= len(kept[-1])
        if not missing:
            break
    else:
        raise InputError(f"dreams: too few scenes show every object to {min_visible:g}; lower min_visible")
    latents = painter.world.from_batch(SceneBatch.concatenate(kept), painter.device)
    return painter.draw(latents), latents


def visible_shares(renderer: Renderer, scenes: SceneBatch) -> NDArray[np.float64]:
    """The share of every object's pixels that nothing hides, (B, N); 1 for an empty slot."""
    shares = np.ones(scenes.kind.shape)
    rows = np.flatnonzero(scenes.present.sum(axis=1) > 1)  # alone, an object cannot be hidden
    if not len(rows):
        return shares
    several = scenes[rows]
    seen = renderer.render_segmentation(several)
    scene, slot = np.nonzero(several.present)
    alone = (renderer.render_segmentation(several.singles(scene, slot)) == 1).sum(axis=(1, 2))
    visible = (seen[scene] == (slot + 1)[:, None, None]).sum(axis=(1, 2))
    shares[rows[scene], slot] = visible / np.maximum(alone, 1)
    return shares


def sleep_loss(
    guide: StepGuide,
    painter: Painter,
    images: Tensor,
    latents: SceneLatents,
    slips: Slips,
    generator: torch.Generator,
    autocast: bool = False,
) -> SleepLoss:
    """Compute the loss of dreams; their objects' order must be random, as the prior's is."""
    viewpoint, objects = latents
    present = objects.kind != ABSENT
    count = present.sum(-1)
    done = (torch.rand(count.shape, generator=generator, device=count.device) * (count + 1)).long()
    slot = torch.arange(objects.kind.shape[-1], device=count.device)
    explained, left = slot < done[:, None], (slot >= done[:, None]) & present
    cameras = guide.cameras(images, painter)
    viewpoint_loss = torch.stack([softened(-look.log_prob(viewpoint)).mean() for look in cameras]).sum()
    context = slipped(latents, slips, guide.turns, generator)
    shown = context.objects._replace(kind=torch.where(explained, context.objects.kind, ABSENT))
    with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
        step = guide.step(images, painter, SceneLatents(context.viewpoint, shown))
    presence_loss = nn.functional.binary_cross_entropy_with_logits(
        step.presence.float(), (done < count).to(images.dtype)
    )
    step = step._replace(presence=step.presence.float())
    safe = objects._replace(kind=objects.kind.clamp_min(0))
    with torch.autocast(images.device.type, torch.bfloat16, enabled=False):
        parts = guide.log_prob_parts(step, viewpoint, safe)
    weight = left / left.sum(-1, keepdim=True).clamp_min(1)
    where, what, yaw, appearance = (-(part * weight).sum(-1).mean() for part in parts)
    total = viewpoint_loss + presence_loss + where + what + yaw + appearance
    return SleepLoss(
        total, viewpoint_loss.detach(), presence_loss.detach(), where.detach(), what.detach(), yaw.detach()
    )


def slipped(latents: SceneLatents, slips: Slips, turns: Tensor, generator: torch.Generator) -> SceneLatents:
    """Make the scenes a little wrong."""

    def noise(like: Tensor, scale: float) -> Tensor:
        return scale * torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)

    (azimuth, shares), objects = latents
    position, yaw = objects.place_m, objects.yaw_rad
    lost = torch.rand(yaw.shape, generator=generator, device=yaw.device) < 0.1
    anywhere = 6.2831853 * torch.rand(yaw.shape, generator=generator, device=yaw.device)
    return SceneLatents(
        Viewpoint(
            wrap(azimuth + noise(azimuth, slips.angle_rad)), (shares + noise(shares, slips.share)).clamp(0.0, 1.0)
        ),
        Objects.upright(
            objects.kind,
            position + noise(position, slips.position_m),
            wrap(torch.where(lost, anywhere, yaw + noise(yaw, slips.yaw_rad))),
            (objects.appearance + noise(objects.appearance, slips.appearance)).clamp(0.0, 1.0),
        ),
    )
