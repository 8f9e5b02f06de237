"""A Gaussian laid onto a support: the posterior of a position on the table.

u ~ N(loc, diag(scale^2)) in the plane is mapped to x = squash(u), a bijection onto the inside of the support
(`air3d.scene3d.support`). Bounded support matters: under a flat prior the entropy of an unbounded Gaussian runs away.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.scene3d.support import Support

_LOG_2PI = math.log(2.0 * math.pi)
# The rim belongs to the support, but nothing is squashed onto it.
_RIM = 1.0 + 5e-7


class PlaceNormal(NamedTuple):
    """Parameters of the distribution.

    Attributes:
        loc: (..., 2) mean of u, dimensionless.
        scale: (..., 2) standard deviation of u, positive.
        place: the support, where positions may be.
    """

    loc: Tensor
    scale: Tensor
    place: Support

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw positions in metres, of the shape of `loc`; no gradient flows through."""
        return self.rsample(generator).detach()

    def rsample(self, generator: torch.Generator) -> Tensor:
        """Draw the same, reparameterised: differentiable in `loc` and `scale`."""
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        return torch.as_tensor(self.place.squash(self.loc + self.scale * noise))

    def log_prob(self, position_m: Tensor) -> Tensor:
        """The log-density per square metre, shape (...); -inf outside the support."""
        inside = self.place.contains(_RIM * position_m)
        u = self.place.unsquash(torch.where(inside[..., None], position_m, torch.zeros_like(position_m)))
        gaussian = -0.5 * ((u - self.loc) / self.scale).square() - self.scale.log() - 0.5 * _LOG_2PI
        density = gaussian.sum(-1) - self.place.log_squash(u)
        return torch.where(inside, density, torch.full_like(density, -math.inf))

    def mode(self) -> Tensor:
        """The image of the Gaussian's mean, metres, (..., 2); for narrow posteriors the density's peak."""
        return torch.as_tensor(self.place.squash(self.loc))
