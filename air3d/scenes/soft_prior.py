"""The scene prior with soft edges, for learning: a forbidden scene costs nats in proportion to how wrong it is.

`ScenePrior` gives scenes whose objects overlap, or stand off their support, no density at all. A guide that is
still learning draws many of them; the objects that it puts on the table early in training are wrong, and must not
forbid the right ones. Here both cost as under a Gaussian of a centimetre. Wherever the prior allows a scene, the two
differ only by the prior's normaliser of the overlap, a constant for each multiset of kinds.

Where objects are not upright, poses are scored by the surrogate of settled scenes (`log_settled`), whatever the pose
model: it is no density, but finite wherever objects may lie.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from air3d.distributions.parts import each
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.catalog import get_kind, kind_shares
from air3d.scene3d.settled_surrogate import log_settled
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World

_EDGE_M = 0.01
_REPEATED = -20.0


def object_log_prior(world: World, candidates: Objects, done: Objects) -> Tensor:
    """Compute log p of the next object, for candidates (B, K) beside the objects (B, N) on the table: (B, K).

    Per square metre of position and radian of yaw, or per cubic metre and cubic radian; uniform over the appearance, in
    shares of their ranges.
    """
    kinds = len(world.prior.kinds)
    log_pose = _upright_log_prior(world, candidates, done) if world.upright else _settled_log_prior(world, candidates)
    if shares := kind_shares(world.prior.kinds):
        return log_pose + torch.tensor(shares).to(log_pose).log()[candidates.kind.clamp_min(0)]
    if world.prior.repeat:
        return log_pose - math.log(kinds)
    left = (kinds - (done.kind != ABSENT).sum(-1, keepdim=True)).clamp_min(1)
    again = (candidates.kind[..., None] == done.kind[:, None]).any(-1)
    return log_pose - left.log() + torch.where(again, _REPEATED, 0.0)


def _upright_log_prior(world: World, candidates: Objects, done: Objects) -> Tensor:
    place = world.prior.table.place
    off = place.beyond(candidates.place_m)
    depth = overlap_m(world, candidates, done)
    soft = -0.5 * ((off / _EDGE_M).square() + (depth / _EDGE_M).square())
    return soft - place.log_area - math.log(2.0 * math.pi)


def _settled_log_prior(world: World, candidates: Objects) -> Tensor:
    """Score each candidate (B, K) by itself; those in empty slots by any number."""
    kind = candidates.kind.flatten()
    one = each(candidates, lambda part: part.flatten(0, 1)[:, None])
    viewpoint = Viewpoint(kind.new_zeros(len(kind)), kind.new_zeros(len(kind), len(world.shared)))
    batch = world.to_batch(SceneLatents(viewpoint, one._replace(kind=kind.clamp_min(0)[:, None])))
    # Origins that a guide puts beyond the top count as lying at its rim, and are held off it by nats.
    top = world.prior.table.top
    inside = np.concatenate([top.clamp(batch.position_m[..., :2]), batch.position_m[..., 2:]], -1)
    score = log_settled(replace(batch, position_m=inside), world.prior.table.ground.tops)
    off = top.beyond(candidates.place_m)
    return torch.from_numpy(score).to(off).reshape(off.shape) - 0.5 * (off / _EDGE_M).square()


def scene_log_prior(world: World, latents: SceneLatents) -> Tensor:
    """Compute log p of whole scenes (...) with objects (..., N), in the units of `ScenePrior.log_prob`: (...)."""
    return nested_log_prior(world, latents)[..., -1]


def nested_log_prior(world: World, latents: SceneLatents) -> Tensor:
    """Compute log p of the scenes of the first 0, 1, .. N objects of scenes (...) and (..., N): (..., N + 1)."""
    shape, prior = latents.objects.kind.shape, world.prior
    objects = each(latents.objects, lambda part: part.reshape(shape[:-1].numel(), *part.shape[len(shape) - 1 :]))
    slot = torch.arange(shape[-1], device=objects.kind.device)
    azimuth = 0.0 if world.azimuth_known else math.log(2.0 * math.pi)
    start = -azimuth - world.log_volume - math.log(prior.max_objects - prior.min_objects + 1)
    steps = [torch.full_like(objects.position_m[:, 0, 0], start)]
    for n in range(shape[-1]):
        done = objects._replace(kind=objects.kind.masked_fill(slot >= n, ABSENT))
        here = each(objects, partial(torch.narrow, dim=1, start=n, length=1))
        nats = object_log_prior(world, here, done) - world.log_appearance_volume(here.kind.clamp_min(0))
        steps.append(torch.where(here.kind != ABSENT, nats, torch.zeros_like(nats))[:, 0])
    return torch.stack(steps, -1).cumsum(-1).reshape(*shape[:-1], shape[-1] + 1)


def overlap_m(world: World, candidates: Objects, done: Objects) -> Tensor:
    """The depth by which candidates (B, K) reach into the objects (B, N) on the table, 0 where they are free: (B, K).

    As the prior does, every footprint is taken at the largest size that may be drawn, and the gap is kept.
    """
    circles = _circles(world, candidates.place_m)
    centre, radius = _placed(circles, candidates)  # (B, K, C, 2), (B, K, C)
    other, other_radius = _placed(circles, done)  # (B, N, C, 2), (B, N, C)
    gap = (centre[:, :, None, :, None] - other[:, None, :, None]).norm(dim=-1)
    reach = radius[:, :, None, :, None] + other_radius[:, None, :, None] + world.prior.gap_m - gap
    return reach.amax((2, 3, 4)).clamp_min(0.0)


def _circles(world: World, like: Tensor) -> Tensor:
    """The footprints' discs (kinds, C, 3): x, y and radius; a kind with fewer repeats its first."""
    rows = []
    most = max(len(get_kind(name).footprint) for name in world.prior.kinds)
    for name in world.prior.kinds:
        discs = get_kind(name).footprint
        padded = discs + (discs[0],) * (most - len(discs))
        rows.append([(c.x_m, c.y_m, c.radius_m) for c in padded])
    return world.prior.largest_scale * torch.tensor(rows).to(like)


def _placed(circles: Tensor, objects: Objects) -> tuple[Tensor, Tensor]:
    discs = circles[objects.kind.clamp_min(0)]
    c, s = objects.yaw_rad.cos()[..., None], objects.yaw_rad.sin()[..., None]
    x, y = discs[..., 0], discs[..., 1]
    turned = torch.stack([c * x - s * y, s * x + c * y], dim=-1)
    radius = torch.where((objects.kind == ABSENT)[..., None], torch.full_like(x, -1e3), discs[..., 2])
    return objects.place_m[..., None, :] + turned, radius
