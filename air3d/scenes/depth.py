"""Pictures with depth: how they are carried, compared and disturbed.

Arrays of images (B, H, W, 3) uint8 become (B, H, W, 4) float32: colours from 0 to 255, and depth along the optical
axis, metres, 0 where nothing was measured. Tensors of pictures (..., 3, H, W) become (..., 5, H, W): colours from 0 to
1, depth, and whether it is known, 1 or 0.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.datasets.sensor import MAX_DEPTH_SD_PER_M, STEP

Images = NDArray[np.uint8] | NDArray[np.float32]
COLOURS = 3
# Where a render shows nothing and the image something, it counts as so much too deep.
NOTHING_M = 0.1
# Dreams are told their depth in this share of all cases; the others are of colour alone.
_TOLD = 0.5


def with_depth(images: NDArray[np.uint8], depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join images (B, H, W, 3) and their depth (B, H, W), metres; unknown is whatever is no positive number."""
    known = np.isfinite(depth_m) & (depth_m > 0.0)
    return np.concatenate([images.astype(np.float32), np.where(known, depth_m, 0.0)[..., None]], -1, dtype=np.float32)


def has_depth(images: Images) -> bool:
    """Tell whether images (B, H, W, C) have depth."""
    return images.shape[-1] > COLOURS


def colours(images: Images) -> NDArray[np.uint8]:
    """The images (B, H, W, 3) without depth."""
    return images[..., :COLOURS].astype(np.uint8)


def without_depth(pictures: Tensor) -> Tensor:
    """Pictures (..., 3, H, W) as those of which no depth is known, (..., 5, H, W)."""
    nothing = torch.zeros_like(pictures[..., :1, :, :])
    return torch.cat([pictures, nothing, nothing], -3)


def deeper(pictures: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Compare the depths of pictures (..., 5, H, W) that are broadcast against each other.

    Returns:
        How much deeper the first are, metres, and the depth of the other; (..., 1, H, W). What the other does not know
        is no deeper; where the first alone know nothing, they are deeper by NOTHING_M.
    """
    depth, known = pictures[..., 3:4, :, :], pictures[..., 4:5, :, :]
    there, seen = other[..., 3:4, :, :], other[..., 4:5, :, :]
    return ((depth - there) * known + NOTHING_M * (1.0 - known)) * seen, there


def sensed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Measure the depth of pictures (B, 5, H, W) as sensors do (`air3d.datasets.sensor`), or, of half, not at all.

    Each picture has noise and holes beside steps of a strength of its own, up to four times a Kinect's.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=pictures.device, dtype=pictures.dtype)

    depth, known = pictures[:, 3:4], pictures[:, 4:5]
    b = len(pictures)
    told, strength = uniform(b, 1, 1, 1) < _TOLD, uniform(b, 1, 1, 1)
    noise = torch.randn(depth.shape, generator=generator, device=depth.device, dtype=depth.dtype)
    kept = told & (known > 0.0) & ~(_beside_step(depth, known) & (uniform(*depth.shape) < strength))
    measured = depth + strength * MAX_DEPTH_SD_PER_M * depth.square() * noise
    return torch.cat([pictures[:, :3], torch.where(kept, measured, torch.zeros_like(depth)), kept.to(depth.dtype)], 1)


def _beside_step(depth: Tensor, known: Tensor) -> Tensor:
    """Find what `air3d.datasets.sensor.beside_step` finds, in depths (B, 1, H, W)."""
    nearness = torch.where(known > 0.0, 1.0 / depth.clamp_min(1e-6), torch.zeros_like(depth))
    found = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (2, 3):
        a, b = nearness.narrow(axis, 1, depth.shape[axis] - 1), nearness.narrow(axis, 0, depth.shape[axis] - 1)
        step = (a - b).abs() > STEP * torch.maximum(a, b)
        found.narrow(axis, 1, step.shape[axis]).logical_or_(step)
        found.narrow(axis, 0, step.shape[axis]).logical_or_(step)
    return found
