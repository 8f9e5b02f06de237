"""A mixture of Gaussians, one for each cell of a grid over the image: the posterior of an object's place in it.

It is multi-modal from the start (any cell may hold the object) and as precise as a single Gaussian at the end.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.distributions.circle import sample_categorical

_LOG_2PI = math.log(2.0 * math.pi)


class CellMixture(NamedTuple):
    """Parameters of the mixture of M = rows x columns components.

    Attributes:
        logits: (B, M), unnormalised log-weights.
        loc: (B, M, 2), centres, pixels (column, row).
        scale: (B, M, 2), standard deviations, pixels.
    """

    logits: Tensor
    loc: Tensor
    scale: Tensor

    def sample(self, samples: int, generator: torch.Generator) -> Tensor:
        """Draw K places (B, K, 2), pixels; no gradient flows through."""
        with torch.no_grad():
            wide = self.logits[:, None].expand(-1, samples, -1)
            cell = sample_categorical(wide, generator)[..., None].expand(-1, -1, 2)
            loc, scale = self.loc.gather(1, cell), self.scale.gather(1, cell)
            noise = torch.randn(loc.shape, generator=generator, device=loc.device, dtype=loc.dtype)
            return loc + scale * noise

    def log_prob(self, pixel: Tensor) -> Tensor:
        """The log-density per square pixel at (B, K, 2), shape (B, K)."""
        offset = (pixel[:, :, None] - self.loc[:, None]) / self.scale[:, None]
        each = -0.5 * offset.square().sum(-1) - self.scale.log().sum(-1)[:, None] - _LOG_2PI
        return torch.logsumexp(torch.log_softmax(self.logits, -1)[:, None] + each, dim=-1)

    def mode(self) -> Tensor:
        """The centre (B, 2) of the component with the highest peak: its weight over the area of its scale."""
        height = self.logits - self.scale.log().sum(-1)
        best = height.argmax(-1)[:, None, None].expand(-1, 1, 2)
        return self.loc.gather(1, best)[:, 0]

    def mean(self) -> Tensor:
        """The mean place (B, 2), pixels; differentiable."""
        return (torch.softmax(self.logits, -1)[..., None] * self.loc).sum(1)
