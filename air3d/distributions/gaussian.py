"""Gaussians with independent components, and mixtures on the line: posterior and prior of continuous latents."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.distributions.circle import sample_categorical

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


class NormalMixture(NamedTuple):
    """Parameters of the mixture of M Gaussians on the line.

    Attributes:
        logits: (..., M), unnormalised log-weights.
        loc: (..., M), the means.
        scale: (..., M), the standard deviations.
    """

    logits: Tensor
    loc: Tensor
    scale: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw numbers (...); no gradient flows through."""
        component = sample_categorical(self.logits.detach(), generator)[..., None]
        loc, scale = self.loc.gather(-1, component)[..., 0], self.scale.gather(-1, component)[..., 0]
        noise = torch.randn(loc.shape, generator=generator, device=loc.device, dtype=loc.dtype)
        return (loc + scale * noise).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density, (...)."""
        normed = (value[..., None] - self.loc) / self.scale
        each = -0.5 * normed.square() - self.scale.log() - 0.5 * _LOG_2PI
        return torch.logsumexp(torch.log_softmax(self.logits, -1) + each, dim=-1)

    def mode(self, blur: float = 0.0) -> Tensor:
        """The component mean of highest density, (...), after a blur by so much."""
        wide = self._replace(scale=(self.scale.square() + blur**2).sqrt())
        density = NormalMixture(*(part[..., None, :] for part in wide)).log_prob(self.loc)
        return self.loc.gather(-1, density.argmax(-1, keepdim=True))[..., 0]
