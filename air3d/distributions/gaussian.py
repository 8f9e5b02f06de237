"""Gaussians with independent components: posterior and prior of continuous latents."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_LOG_2PI = math.log(2.0 * math.pi)


class DiagonalNormal(NamedTuple):
    """Parameters of the distribution.

    Attributes:
        loc: (..., D), the means.
        scale: (..., D), the standard deviations, positive; broadcasts against `loc`.
    """

    loc: Tensor
    scale: Tensor

    def rsample(self, generator: torch.Generator) -> Tensor:
        """Draw (..., D), reparameterised: differentiable in `loc` and `scale`."""
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        return self.loc + self.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density, (...)."""
        normed = (value - self.loc) / self.scale
        return -(0.5 * normed.square() + self.scale.log() + 0.5 * _LOG_2PI).sum(-1)

    def kl(self, prior: DiagonalNormal) -> Tensor:
        """KL(self || prior) in nats, (...): sum_d log(s0/s) + (s^2 + (m - m0)^2) / (2 s0^2) - 1/2."""
        ratio = self.scale / prior.scale
        shift = (self.loc - prior.loc) / prior.scale
        return (0.5 * (ratio.square() + shift.square() - 1.0) - ratio.log()).sum(-1)
