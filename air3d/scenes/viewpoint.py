"""The posterior of the camera and the light, and how a guide reads it off its network's output."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.distributions.circle import MAX_SCALE, WrappedNormalMixture, flat_scale
from air3d.distributions.interval import LogitNormal
from air3d.distributions.parts import each
from air3d.scenes.latents import Viewpoint

MIN_ANGLE = 3e-4  # radians, the smallest scale of an angle
_MIN_LOGIT = 1e-3
_SECOND_SPREAD = 0.1
_WIDER = 0.15


class ViewpointPosterior(NamedTuple):
    """q(camera, light | x).

    Attributes:
        azimuth: its distribution on the circle, (...).
        shares: the distribution of the bounded properties, (..., G).
    """

    azimuth: WrappedNormalMixture
    shares: LogitNormal

    def expand(self, samples: int) -> ViewpointPosterior:
        """Expand (B, ...) to (B, K, ...)."""
        return ViewpointPosterior(
            each(self.azimuth, lambda part: part[:, None].expand(-1, samples, -1)),
            each(self.shares, lambda part: part[:, None].expand(-1, samples, -1)),
        )

    def widened(self) -> ViewpointPosterior:
        """Make it less sure: every scale is enlarged by `_WIDER` of an angle or a logit."""
        azimuth = self.azimuth._replace(scale=(self.azimuth.scale**2 + _WIDER**2).sqrt().clamp_max(MAX_SCALE))
        return ViewpointPosterior(azimuth, self.shares._replace(scale=(self.shares.scale**2 + _WIDER**2).sqrt()))

    def take(self, count: int) -> ViewpointPosterior:
        """Keep the posteriors of the first `count` images."""
        return ViewpointPosterior(
            each(self.azimuth, lambda part: part[:count]),
            each(self.shares, lambda part: part[:count]),
        )

    def sample(self, generator: torch.Generator) -> Viewpoint:
        """Draw one sample of each; no gradient flows through."""
        with torch.no_grad():
            return Viewpoint(self.azimuth.sample(generator), self.shares.sample(generator))

    def log_prob(self, viewpoint: Viewpoint) -> Tensor:
        """The log-density with respect to radians and shares, (...)."""
        return self.log_prob_of("azimuth", viewpoint) + self.log_prob_of("shares", viewpoint)

    def log_prob_of(self, what: str, viewpoint: Viewpoint) -> Tensor:
        """The part of `log_prob` that "azimuth" or "shares" has, which are independent given the image."""
        if what == "azimuth":
            return self.azimuth.log_prob(viewpoint.azimuth_rad)
        return self.shares.log_prob(viewpoint.shares).sum(-1)

    def mode(self) -> Viewpoint:
        """The most probable viewpoint, (...)."""
        with torch.no_grad():
            return Viewpoint(self.azimuth.mode(), self.shares.mode())


def first_answer(out: Tensor, start: Tensor) -> ViewpointPosterior:
    """Read q(camera, light | x) off a network's output (B, 3 M + 2 G): an untrained one knows next to nothing.

    Args:
        start: (M,), the centres of the azimuth's components before training, radians.
    """
    logits, shift, raw, loc, wide = _numbers(out, len(start))
    azimuth = WrappedNormalMixture(logits, start + shift, flat_scale(raw, MIN_ANGLE))
    # The logistic distribution, which makes a share uniform, is nearly a normal of scale 1.7.
    return ViewpointPosterior(azimuth, LogitNormal(loc, _MIN_LOGIT + (1.7 - _MIN_LOGIT) * torch.sigmoid(wide + 3.0)))


def second_answer(out: Tensor, start: Tensor, first: Viewpoint) -> ViewpointPosterior:
    """Read the same off the output of a second network, which names what is left of the error of a first answer.

    An untrained one says `first` (B,), give or take 0.1 of a radian or a logit.
    """
    logits, shift, raw, loc, wide = _numbers(out, len(start))
    centre = first.azimuth_rad[:, None] + start * (_SECOND_SPREAD / math.pi)
    scale = MIN_ANGLE + (MAX_SCALE - MIN_ANGLE) * torch.sigmoid(raw + math.log(_SECOND_SPREAD / MAX_SCALE))
    base = torch.logit(first.shares.clamp(0.005, 0.995))
    return ViewpointPosterior(
        WrappedNormalMixture(logits, centre + _SECOND_SPREAD * shift, scale),
        LogitNormal(base + _SECOND_SPREAD * loc, _MIN_LOGIT + (1.7 - _MIN_LOGIT) * torch.sigmoid(wide - 2.0)),
    )


def _numbers(out: Tensor, components: int) -> tuple[Tensor, ...]:
    """Split an output: the azimuth's logits, shifts, raw scales; the shares' means and raw scales."""
    shares = (out.shape[-1] - 3 * components) // 2
    return out.split([components] * 3 + [shares] * 2, dim=-1)
