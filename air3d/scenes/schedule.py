"""Schedules that keep likelihood-ratio learning from collapsing: coarse first, warm first.

The pictures are blurred less and less, and the temperature of the likelihood is set in every step by what it does:
so that the reward's standard deviation over an image's samples has a target, in nats, which grows geometrically.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scene3d.errors import InputError


@dataclass(frozen=True)
class CoarseToFine:
    """Blur and reward spread as functions of progress t in [0, 1].

    Attributes:
        blur_px: blur at the start, as standard deviation in pixels of a 64-pixel image; falls to 0.
        blur_power: blur = blur_px * (1 - t / anneal)^blur_power.
        spread_start, spread_end: target of the reward's standard deviation, nats.
        anneal: share of the run in which both move; from then on blur is 0 and the target stays at its end.
    """

    blur_px: float = 12.0
    blur_power: float = 1.5
    spread_start: float = 0.5
    spread_end: float = 6.0
    anneal: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.blur_px <= 64.0 or not self.blur_power > 0.0:
            raise InputError(
                f"schedule: blur_px {self.blur_px} must be 0 to 64 and blur_power {self.blur_power} positive"
            )
        if not 0.0 < self.spread_start <= self.spread_end < math.inf:
            raise InputError(
                f"schedule: need 0 < spread_start <= spread_end, not {self.spread_start} and {self.spread_end}"
            )
        if not 0.0 < self.anneal <= 1.0:
            raise InputError(f"schedule: anneal is {self.anneal}; it must lie above 0 and be at most 1")

    def blur(self, t: float, image_size: int) -> float:
        """Standard deviation of the blur in pixels; below 0.3 pixels it is none."""
        blur = self.blur_px * image_size / 64.0 * max(1.0 - t / self.anneal, 0.0) ** self.blur_power
        return blur if blur >= 0.3 else 0.0

    def spread(self, t: float) -> float:
        """Target standard deviation of the reward, nats."""
        return float(self.spread_start * (self.spread_end / self.spread_start) ** min(t / self.anneal, 1.0))


def inverse_temperature(squared_error: Tensor, spread: float) -> Tensor:
    """beta such that the standard deviation of beta * squared_error over samples, averaged over images, is `spread`.

    Args:
        squared_error: (B, K).

    Returns:
        A scalar tensor; beta = 1 / (2 sigma^2) in terms of the Gaussian likelihood.
    """
    return spread / squared_error.std(-1).mean().clamp_min(1e-8)
