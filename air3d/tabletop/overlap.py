"""How far objects reach into each other: the prior allows no overlap of footprints."""

from __future__ import annotations

import torch
from torch import Tensor

from air3d.tabletop.latents import Objects, TableTop
from scene3d.batch import ABSENT
from scene3d.catalog import get_kind


def overlap_m(top: TableTop, candidates: Objects, done: Objects) -> Tensor:
    """Depth by which candidates (B, K) reach into the objects (B, N) on the table, 0 where they are free: (B, K).

    As the prior does, every footprint is taken at the largest size that may be drawn, and the gap is kept.
    """
    circles = _circles(top, candidates.position_m)
    centre, radius = _placed(circles, candidates)  # (B, K, C, 2), (B, K, C)
    other, other_radius = _placed(circles, done)  # (B, N, C, 2), (B, N, C)
    gap = (centre[:, :, None, :, None] - other[:, None, :, None]).norm(dim=-1)
    reach = radius[:, :, None, :, None] + other_radius[:, None, :, None] + top.prior.gap_m - gap
    return reach.amax((2, 3, 4)).clamp_min(0.0)


def _circles(top: TableTop, like: Tensor) -> Tensor:
    """(kinds, C, 3): x, y and radius of the footprints' discs; a kind with fewer repeats its first."""
    rows = []
    most = max(len(get_kind(name).footprint) for name in top.prior.kinds)
    for name in top.prior.kinds:
        discs = get_kind(name).footprint
        padded = discs + (discs[0],) * (most - len(discs))
        rows.append([(c.x_m, c.y_m, c.radius_m) for c in padded])
    return top.prior.largest_scale * torch.tensor(rows).to(like)


def _placed(circles: Tensor, objects: Objects) -> tuple[Tensor, Tensor]:
    discs = circles[objects.kind.clamp_min(0)]
    c, s = objects.yaw_rad.cos()[..., None], objects.yaw_rad.sin()[..., None]
    x, y = discs[..., 0], discs[..., 1]
    turned = torch.stack([c * x - s * y, s * x + c * y], dim=-1)
    radius = torch.where((objects.kind == ABSENT)[..., None], torch.full_like(x, -1e3), discs[..., 2])
    return objects.position_m[..., None, :] + turned, radius
