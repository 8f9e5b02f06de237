"""A Gaussian laid onto an interval: the posterior of a bounded scalar, such as the camera's elevation.

u ~ N(loc, scale^2) is mapped to v = 1 / (1 + exp(-u)) in (0, 1): the logit-normal distribution (Aitchison & Shen 1980).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
# Ends of the interval have no logit; this near to them float32 cannot tell the difference.
_EDGE = 1e-6


class LogitNormal(NamedTuple):
    """Parameters of the distribution.

    Attributes:
        loc: (...), the mean of the logit.
        scale: (...), the standard deviation of the logit, positive.
    """

    loc: Tensor
    scale: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw values in (0, 1), of the shape of `loc`; no gradient flows through."""
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        return torch.sigmoid(self.loc + self.scale * noise).clamp(_EDGE, 1.0 - _EDGE).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density on the unit interval, shape (...)."""
        u = torch.logit(value.clamp(_EDGE, 1.0 - _EDGE))
        log_slope = logsigmoid(u) + logsigmoid(-u)
        return -0.5 * ((u - self.loc) / self.scale).square() - self.scale.log() - _LOG_SQRT_2PI - log_slope

    def mode(self) -> Tensor:
        """The image of the Gaussian's mean, (...); for narrow posteriors the density's peak."""
        return torch.sigmoid(self.loc)
