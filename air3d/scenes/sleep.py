"""The sleep phase: fits the guide to scenes dreamt from the prior, whose latents are known.

Each dreamt image is explained up to a random point: m of its n objects are on the table already, a little wrong, as
they will be when the guide itself has put them there. What the guide should then say is whether there is another
object, and
any of those that are left, in whatever order: the loss is the inclusive KL from the posterior whose order is
uniform, as the prior's is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from air3d.distributions.circle import wrap
from air3d.distributions.parts import each
from air3d.distributions.so3 import about_z, exponential, multiply
from air3d.estimators.common import softened
from air3d.networks.precision import Precision
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.painter import Painter
from air3d.scenes.pose_space import Pose, standing
from air3d.scenes.step_guide import StepGuide

_MAX_ROUNDS = 50
# The most objects of a dream whose densities are computed.
_SCORED = 3


@dataclass(frozen=True)
class Slips:
    """The standard deviations of the errors in the explained part of a dream.

    Attributes:
        angle_rad: that of the camera's azimuth.
        share: that of the camera's and the light's properties, in shares of their ranges.
        position_m: that of objects' places on the table.
        yaw_rad: that of objects' yaws, or about each axis; one in ten is turned at random, and where they are not
            upright, another one in five about its own z axis.
        appearance: that of sizes and colours, in shares of their ranges.
        pixel: that of the pixels at which the features of further objects that are not upright are read, in pixels of
            64. Where the picture of an object is beside its pixel tells how it is turned, and a guide that names the
            pixel itself does not know that.
    """

    angle_rad: float = 0.003
    share: float = 0.005
    position_m: float = 0.003
    yaw_rad: float = 0.2
    appearance: float = 0.1
    pixel: float = field(default=0.5, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("angle_rad", "share", "position_m", "yaw_rad", "appearance", "pixel"):
            if not 0.0 <= getattr(self, name) <= 10.0:
                raise InputError(f"slips: {name} is {getattr(self, name)}; it must be 0 to 10")


class SleepLoss(NamedTuple):
    """The mean losses of a batch of dreams, nats, to be minimised; `total` is their sum. `yaw` is that of turns
    about the own axis; where the axis points is a part of `where`."""

    total: Tensor
    viewpoint: Tensor
    presence: Tensor
    where: Tensor
    what: Tensor
    yaw: Tensor


class Scenes(Protocol):
    """Draws scenes of a prior: the prior itself, or a pool of its scenes."""

    def sample_batch(self, rng: np.random.Generator, size: int) -> SceneBatch:
        """Draw `size` scenes."""
        ...


def dream(
    painter: Painter, size: int, rng: np.random.Generator, min_visible: float = 0.0, scenes: Scenes | None = None
) -> tuple[Tensor, SceneLatents]:
    """Draw scenes from the prior: pictures (B, 3, H, W), or (B, 5, H, W) with depth, and their latents.

    Args:
        scenes: draws them; by default the world's prior.
        min_visible: leaves out scenes with an object of a smaller visible share, as datasets do.

    Raises:
        InputError: if hardly any scene keeps its objects visible.
    """
    source, kept, missing = scenes or ScenePrior(painter.world.prior), list[SceneBatch](), size
    for _ in range(_MAX_ROUNDS):
        drawn = source.sample_batch(rng, missing + missing // 8)
        if min_visible > 0.0:
            drawn = drawn[visible_shares(painter.renderer, drawn).min(axis=1, initial=1.0) >= min_visible]
        kept.append(drawn[:missing])
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
    precision: Precision = "float32",
) -> SleepLoss:
    """Compute the loss of dreams; their objects' order must be random, as the prior's is.

    Args:
        precision: that of the guide's trunk and windows.
    """
    guide = guide.computing_in(precision)
    viewpoint, objects = latents
    present = objects.kind != ABSENT
    count = present.sum(-1)
    done = (torch.rand(count.shape, generator=generator, device=count.device) * (count + 1)).long()
    slot = torch.arange(objects.kind.shape[-1], device=count.device)
    explained, left = slot < done[:, None], (slot >= done[:, None]) & present
    cameras = guide.cameras(images, painter)
    viewpoint_loss = torch.stack([softened(-look.log_prob(viewpoint)).mean() for look in cameras]).sum()
    context = slipped(latents, slips, painter.world.upright, generator)
    shown = context.objects._replace(kind=torch.where(explained, context.objects.kind, ABSENT))
    step = guide.step(images, painter, SceneLatents(context.viewpoint, shown))
    presence_loss = nn.functional.binary_cross_entropy_with_logits(step.presence, (done < count).to(images.dtype))
    # Of those left, which are in random order, the first few tell as much of the mean over all, for less.
    first = left.long().argsort(dim=-1, descending=True, stable=True)[:, :_SCORED]
    rows = torch.arange(len(first), device=first.device)[:, None]
    objects, left = each(objects, lambda part: part[rows, first]), left[rows, first]
    beside = None
    if not painter.world.upright and slips.pixel:
        # Of some more, of some less: a guide may be very sure of a place, or not at all.
        noise = torch.randn((3, *left.shape), generator=generator, device=left.device)
        beside = slips.pixel * images.shape[-2] / 64.0 * (noise[:2] * noise[2]).movedim(0, -1)
    parts = guide.log_prob_parts(step, viewpoint, objects._replace(kind=objects.kind.clamp_min(0)), beside)
    weight = left / left.sum(-1, keepdim=True).clamp_min(1)
    where, what, yaw, appearance = (-(part * weight).sum(-1).mean() for part in parts)
    total = viewpoint_loss + presence_loss + where + what + yaw + appearance
    return SleepLoss(
        total, viewpoint_loss.detach(), presence_loss.detach(), where.detach(), what.detach(), yaw.detach()
    )


def slipped(latents: SceneLatents, slips: Slips, upright: bool, generator: torch.Generator) -> SceneLatents:
    """Make the scenes a little wrong; what is `upright` stays so."""

    def noise(like: Tensor, scale: float) -> Tensor:
        return scale * torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)

    (azimuth, shares), objects = latents
    lost = torch.rand(objects.kind.shape, generator=generator, device=azimuth.device) < 0.1
    if upright:
        place, yaw = objects.place_m, objects.yaw_rad
        anywhere = 2.0 * math.pi * torch.rand(yaw.shape, generator=generator, device=yaw.device)
        pose = standing(
            place + noise(place, slips.position_m), torch.where(lost, anywhere, yaw + noise(yaw, slips.yaw_rad))
        )
    else:
        rotation = objects.rotation_wxyz
        anyhow = nn.functional.normalize(noise(rotation, 1.0), dim=-1)
        turn = 10.0 * math.pi * torch.rand(lost.shape, generator=generator, device=lost.device)
        spun = multiply(rotation, about_z(torch.where(turn < 2.0 * math.pi, turn, 0.0).to(rotation)))
        near = multiply(exponential(noise(rotation[..., 1:], slips.yaw_rad)), spun)
        position = objects.position_m + noise(objects.position_m, slips.position_m)
        pose = Pose(position, torch.where(lost[..., None], anyhow, near))
    return SceneLatents(
        Viewpoint(
            wrap(azimuth + noise(azimuth, slips.angle_rad)), (shares + noise(shares, slips.share)).clamp(0.0, 1.0)
        ),
        Objects(
            objects.kind,
            *pose,
            (objects.appearance + noise(objects.appearance, slips.appearance)).clamp(0.0, 1.0),
        ),
    )
