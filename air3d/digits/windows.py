"""Spatial transformers (Jaderberg et al. 2015) for square, axis-parallel windows: reading a glimpse, writing it back.

z_where = (log s, x, y): the window's side is s times the image's, its centre lies at (x, y) in half image sides from
the middle, x to the right and y down. Both directions sample bilinearly, with zero outside, and an axis-parallel
bilinear map is a product of a matrix for the rows and one for the columns: out = A_y . in . A_x^T, two small matrix
products instead of a gather.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def read(images: Tensor, z_where: Tensor, side: int) -> Tensor:
    """Read glimpses (B, side, side) of the images (B, S, S) in the windows (B, 3)."""
    size, device = images.shape[-1], images.device
    half = z_where[:, 0].exp()
    steps = (2.0 * torch.arange(side, device=device) + 1.0) / side - 1.0  # window pixels, in half window sides
    centre = z_where[:, 1:]
    place = centre[:, :, None] + half[:, None, None] * steps  # (B, 2, side), in half image sides
    columns, rows = _bilinear(0.5 * size * (place + 1.0) - 0.5, size).unbind(1)
    return rows @ images @ columns.transpose(1, 2)


def write(glimpses: Tensor, z_where: Tensor, size: int) -> Tensor:
    """Write glimpses (B, w, w) into the windows (B, 3) of images (B, size, size) that are zero elsewhere."""
    side, device = glimpses.shape[-1], glimpses.device
    half = z_where[:, 0].exp()
    steps = (2.0 * torch.arange(size, device=device) + 1.0) / size - 1.0  # image pixels, in half image sides
    place = (steps - z_where[:, 1:, None]) / half[:, None, None]  # (B, 2, size), in half window sides
    columns, rows = _bilinear(0.5 * side * (place + 1.0) - 0.5, side).unbind(1)
    return rows @ glimpses @ columns.transpose(1, 2)


class _Bilinear(torch.autograd.Function):
    """The triangle 1 - |place - pixel|, cut off at 0: half the passes over memory that autograd would take."""

    @staticmethod
    def forward(ctx: Any, place: Tensor, size: int) -> Tensor:
        offset = place[..., None] - torch.arange(size, dtype=place.dtype, device=place.device)
        weights = (1.0 - offset.abs()).clamp_min_(0.0)
        ctx.save_for_backward(offset, weights)
        return weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        offset, weights = ctx.saved_tensors
        # The slope is -1 to the right of the pixel, 1 to its left and 0 where the weight is.
        slope = torch.copysign((weights > 0.0).to(offset), offset)
        return -torch.linalg.vecdot(gradient, slope), None


def _bilinear(place: Tensor, size: int) -> Tensor:
    """The weights (..., K, size) that sample at `place` (..., K), in pixels from the centre of the first one."""
    return _Bilinear.apply(place, size)
