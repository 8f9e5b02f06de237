"""A mixture of wrapped normals: the posterior of an angle, able to be multi-modal and to become uniform."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

# The nearest neglected wrap is 3 pi away: it weighs below exp(-0.5 (3 pi / 0.8)^2), nothing in float32.
MAX_SCALE = 0.8
_WRAPS = 1
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


class WrappedNormalMixture(NamedTuple):
    """Parameters of the mixture of M components.

    Attributes:
        logits: (..., M), unnormalised log-weights.
        loc: (..., M), centres, radians.
        scale: (..., M), standard deviations before wrapping, radians, below MAX_SCALE.
    """

    logits: Tensor
    loc: Tensor
    scale: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw angles in [-pi, pi), shape (...); no gradient flows through."""
        return self.rsample(generator)[0].detach()

    def rsample(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw angles, reparameterised given the component (differentiable in `loc` and `scale`).

        Returns:
            The angles, and the log-probability of the drawn component (differentiable in `logits`); both (...).
        """
        component = sample_categorical(self.logits.detach(), generator)[..., None]
        loc, scale = self.loc.gather(-1, component)[..., 0], self.scale.gather(-1, component)[..., 0]
        noise = torch.randn(loc.shape, generator=generator, device=loc.device, dtype=loc.dtype)
        log_component = torch.log_softmax(self.logits, -1).gather(-1, component)[..., 0]
        return wrap(loc + scale * noise), log_component

    def log_prob(self, angle_rad: Tensor) -> Tensor:
        """The log-density per radian on the circle, shape (...)."""
        turns = 2.0 * math.pi * torch.arange(-_WRAPS, _WRAPS + 1, device=angle_rad.device, dtype=angle_rad.dtype)
        offset = wrap(angle_rad[..., None] - self.loc)[..., None] + turns
        scale = self.scale[..., None]
        each = torch.logsumexp(-0.5 * (offset / scale).square() - scale.log() - _LOG_SQRT_2PI, dim=-1)
        return torch.logsumexp(torch.log_softmax(self.logits, -1) + each, dim=-1)

    def mode(self, blur: float = 0.0) -> Tensor:
        """The component centre of highest density, shape (...), after a blur of so many radians."""
        wide = self._replace(scale=(self.scale.square() + blur**2).sqrt()) if blur else self
        density = WrappedNormalMixture(*(part[..., None, :] for part in wide)).log_prob(self.loc)
        return wrap(self.loc.gather(-1, density.argmax(-1, keepdim=True))[..., 0])

    def mean_direction(self) -> Tensor:
        """The mean (..., 2) of the angle's cosine and sine, shorter than 1 by the spread; differentiable."""
        weight = torch.softmax(self.logits, -1) * torch.exp(-0.5 * self.scale.square())
        return torch.stack([(weight * self.loc.cos()).sum(-1), (weight * self.loc.sin()).sum(-1)], -1)


def wrap(angle_rad: Tensor) -> Tensor:
    """Wrap angles into [-pi, pi)."""
    return torch.remainder(angle_rad + math.pi, 2.0 * math.pi) - math.pi


def sample_categorical(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw indices from softmax(logits) along the last axis, shape (...), int64."""
    return gumbel_max(logits, torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype))


def gumbel_max(logits: Tensor, uniform: Tensor) -> Tensor:
    """Draw the same from numbers `uniform` on [0, 1), of the shape of `logits` (the Gumbel-max trick)."""
    return (logits - (-uniform.clamp_min(1e-20).log()).log()).argmax(-1)


def spread(components: int) -> Tensor:
    """The centres of a mixture's components, spread evenly over the circle: (components,), radians."""
    return 2.0 * math.pi * (torch.arange(components) + 0.5) / components - math.pi


def flat_scale(raw: Tensor, least: float) -> Tensor:
    """Scales from `least` to MAX_SCALE from a network's outputs (..., M).

    Where these are 0, the scale is the spacing of M components spread evenly: the mixture is flat.
    """
    first = min(2.0 * math.pi / raw.shape[-1] / MAX_SCALE, 0.95)
    return least + (MAX_SCALE - least) * torch.sigmoid(raw - math.log(1.0 / first - 1.0))
