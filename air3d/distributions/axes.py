"""A mixture over directions: the posterior of where the axis of a round object points.

Its components are Fisher's distributions on the sphere: density k / (4 pi sinh k) exp(k cos t) at the angle t from the
centre (Fisher, "Dispersion on a sphere", 1953). They are uniform where k is 0, and Gaussian of variance 1 / k where it
is large.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.distributions.circle import sample_categorical

_LOG_2PI = math.log(2.0 * math.pi)


class FisherMixture(NamedTuple):
    """Parameters of the mixture of M components.

    Attributes:
        logits: (..., M), unnormalised log-weights.
        loc: (..., M, 3), centres, unit vectors.
        concentration: (..., M), positive.
    """

    logits: Tensor
    loc: Tensor
    concentration: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw directions (..., 3), unit vectors; no gradient flows through."""
        with torch.no_grad():
            component = sample_categorical(self.logits, generator)[..., None]
            loc = self.loc.gather(-2, component[..., None].expand(*component.shape, 3))[..., 0, :]
            k = self.concentration.gather(-1, component)[..., 0]
            u = torch.rand((2, *k.shape), generator=generator, device=k.device, dtype=k.dtype)
            # The cosine's distribution function, inverted (Ulrich 1984, in three dimensions).
            cosine = (1.0 + torch.log(u[0] + (1.0 - u[0]) * torch.exp(-2.0 * k)) / k).clamp(-1.0, 1.0)
            sine, turn = (1.0 - cosine.square()).sqrt(), 2.0 * math.pi * u[1]
            local = torch.stack([sine * torch.cos(turn), sine * torch.sin(turn), cosine], -1)
            return (basis(loc) @ local[..., None])[..., 0]

    def log_prob(self, direction: Tensor) -> Tensor:
        """The log-density (...) at unit vectors (..., 3), per steradian."""
        k = self.concentration
        # k (cos t - 1), exact where t is small.
        below = -0.5 * k * (self.loc - direction[..., None, :]).square().sum(-1)
        # log(k / (4 pi sinh k)) + k
        peak = k.log() - _LOG_2PI - torch.log(-torch.expm1(-2.0 * k))
        return torch.logsumexp(torch.log_softmax(self.logits, -1) + below + peak, dim=-1)

    def mode(self, blur: float = 0.0) -> Tensor:
        """The component centre of highest density, (..., 3), after a blur of so many radians."""
        concentration = 1.0 / (1.0 / self.concentration + blur**2)
        each = FisherMixture(self.logits[..., None, :], self.loc[..., None, :, :], concentration[..., None, :])
        best = each.log_prob(self.loc).argmax(-1)[..., None, None]
        return self.loc.gather(-2, best.expand(*best.shape[:-1], 3))[..., 0, :]


def basis(axis: Tensor) -> Tensor:
    """Rotations (..., 3, 3) whose third column is the axis (..., 3): right-handed, without a seam but at -z.

    The branch-free form of Duff et al., "Building an orthonormal basis, revisited" (2017).
    """
    x, y, z = axis.unbind(-1)
    sign = torch.where(z >= 0.0, 1.0, -1.0).to(z)
    a = -1.0 / (sign + z)
    b = x * y * a
    first = torch.stack([1.0 + sign * x.square() * a, sign * b, -sign * x], -1)
    second = torch.stack([b, sign + y.square() * a, -y], -1)
    return torch.stack([first, second, axis], -1)
