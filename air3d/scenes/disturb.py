"""Dreams that look unlike the renderer: random shading, patterns, tones and noise on their pictures.

Domain randomisation (Tobin et al. 2017): the objects of a dream stay where they are, but its pixels differ from those
that the renderer would draw, as they do in a picture with shadows, with another surface of the table, or from a camera.
The guide learns to see past that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from air3d.scene3d.errors import InputError

_GRATINGS = 2
# Sides of the grids of random numbers that patterns are interpolated from, as shares of the picture's.
_GRAINS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Disturbance:
    """Says how much dreams are disturbed; every strength is the largest, that of a picture is uniform below it.

    Attributes:
        share: the share of the dreams that are disturbed at all.
        shade: the strength of smooth darkening and lightening, in natural logarithms of brightness.
        pattern: the strength of random patterns, coarse to fine, and gratings, in natural logarithms of brightness.
        tone: the strength of changes of the contrast curve's exponent and each channel's gain, in natural logarithms.
        glare: the most light that is added, smooth and of any colour, so that even a black background changes.
        noise: the noise of each pixel, pixel values in [0, 1].
    """

    share: float = 0.0
    shade: float = 0.5
    pattern: float = 0.3
    tone: float = 0.3
    glare: float = 0.2
    noise: float = 0.03

    def __post_init__(self) -> None:
        for name in ("share", "shade", "pattern", "tone", "glare", "noise"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"disturbance: {name} is {getattr(self, name)}; it must be 0 to 1")


def disturbed(pictures: Tensor, config: Disturbance, generator: torch.Generator) -> Tensor:
    """Disturb a share of the pictures (B, C, H, W), their first three channels, colours in [0, 1]."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=pictures.device, dtype=pictures.dtype)

    chosen = torch.nonzero(uniform(len(pictures)) < config.share)[:, 0]
    b, (height, width) = len(chosen), pictures.shape[-2:]
    if not b:
        return pictures

    def field(side: int) -> Tensor:
        """Draw smooth random numbers (B, 1, H, W) of about unit variance."""
        grid = torch.randn(b, 1, side, side, generator=generator, device=pictures.device, dtype=pictures.dtype)
        return interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)

    patterns = [field(max(height // grain, 2)) for grain in _GRAINS]
    patterns += [_grating(uniform, b, height, width) for _ in range(_GRATINGS)]
    weights = uniform(len(patterns), b, 1, 1, 1) ** 2
    pattern = (weights * torch.stack(patterns)).sum(0) / weights.square().sum(0).sqrt().clamp_min(1e-6)
    light = config.shade * uniform(b, 1, 1, 1) * field(4) + config.pattern * uniform(b, 1, 1, 1) * pattern
    light = light + config.tone * (2.0 * uniform(b, 3, 1, 1) - 1.0)
    curve = torch.exp(config.tone * (2.0 * uniform(b, 1, 1, 1) - 1.0))
    grain = torch.randn(b, 3, height, width, generator=generator, device=pictures.device, dtype=pictures.dtype)
    glare = config.glare * uniform(b, 1, 1, 1) * uniform(b, 3, 1, 1) * torch.sigmoid(field(4))
    changed = glare + (1.0 - glare) * pictures[chosen, :3].clamp_min(1e-3) ** curve * torch.exp(light)
    changed = changed + config.noise * uniform(b, 1, 1, 1) * grain
    return pictures.index_copy(0, chosen, torch.cat([changed.clamp(0.0, 1.0), pictures[chosen, 3:]], 1))


def _grating(uniform: Callable[..., Tensor], b: int, height: int, width: int) -> Tensor:
    """Draw waves of random direction, phase and length (6 pixels to the picture's height), (B, 1, H, W)."""
    turn = 2.0 * math.pi * uniform(b, 2, 1, 1)
    waves = 2.0 * math.pi * (1.0 + (height / 6.0) * uniform(b, 1, 1, 1)) / height
    right, down = (torch.arange(side, device=turn.device, dtype=turn.dtype) for side in (width, height))
    across = torch.cos(turn[:, :1]) * right + torch.sin(turn[:, :1]) * down[:, None]
    return math.sqrt(2.0) * torch.sin(waves * across + turn[:, 1:])
