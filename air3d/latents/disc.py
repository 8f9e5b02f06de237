"""A Gaussian laid onto a disc: the posterior of a position on the table.

u ~ N(loc, diag(scale^2)) in the plane is mapped to x = R u / sqrt(1 + |u|^2), a bijection onto the open disc of
radius R whose Jacobian determinant is R^2 / (1 + |u|^2)^2. Bounded support matters: under a flat prior the
entropy of an unbounded Gaussian runs away.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_LOG_2PI = math.log(2.0 * math.pi)


class DiscNormal(NamedTuple):
    """Parameters of the distribution.

    Attributes:
        loc: (..., 2) mean of u, dimensionless.
        scale: (..., 2) standard deviation of u, positive.
        radius_m: radius of the disc, metres.
    """

    loc: Tensor
    scale: Tensor
    radius_m: float

    def sample(self, generator: torch.Generator) -> Tensor:
        """Positions in metres, the shape of `loc`; no gradient flows through."""
        return self.rsample(generator).detach()

    def rsample(self, generator: torch.Generator) -> Tensor:
        """The same, reparameterised: differentiable in `loc` and `scale`."""
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        return to_disc(self.loc + self.scale * noise, self.radius_m)

    def log_prob(self, position_m: Tensor) -> Tensor:
        """Log-density per square metre, shape (...); -inf outside the disc."""
        inside = (position_m / self.radius_m).square().sum(-1) < 1.0
        u = from_disc(torch.where(inside[..., None], position_m, torch.zeros_like(position_m)), self.radius_m)
        gaussian = -0.5 * ((u - self.loc) / self.scale).square() - self.scale.log() - 0.5 * _LOG_2PI
        log_jacobian = 2.0 * math.log(self.radius_m) - 2.0 * torch.log1p(u.square().sum(-1))
        return torch.where(inside, gaussian.sum(-1) - log_jacobian, torch.full_like(log_jacobian, -math.inf))

    def mode(self) -> Tensor:
        """The image of the Gaussian's mean, metres, (..., 2); for narrow posteriors the density's peak."""
        return to_disc(self.loc, self.radius_m)


def to_disc(u: Tensor, radius_m: float) -> Tensor:
    """R u / sqrt(1 + |u|^2), (..., 2)."""
    # Far out the sum rounds to |u|^2 and the image onto the rim; stay strictly inside.
    return radius_m * (1.0 - 1e-6) * u / (1.0 + u.square().sum(-1, keepdim=True)).sqrt()


def from_disc(position_m: Tensor, radius_m: float) -> Tensor:
    """The inverse of `to_disc`, (..., 2)."""
    v = position_m / (radius_m * (1.0 - 1e-6))
    return v / (1.0 - v.square().sum(-1, keepdim=True)).clamp_min(1e-9).sqrt()
