"""Schedules that keep likelihood-ratio learning from collapsing: coarse first, warm first.

The pictures are blurred less and less (hiding an object then stops paying), and the likelihood is warm at first. Its
temperature follows one of three rules, each moving geometrically from a start to an end value:

- `spread`: set in every step so that the reward's standard deviation over an image's samples has a target, in nats;
- `samples`: set in every step so that the effective number of samples has a target, as a share of K;
- `sigma`: the likelihood's own standard deviation, annealed whatever it does.

The first two do not end at the sigma of the reported bounds, nor at any fixed one: the temperature is whatever gives
the last target for the samples of each step. And as it is set from the same samples that it is applied to, an
estimator's "unbiased" holds for the temperature as given, not over the choice of it. `sigma` has neither flaw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from air3d.scene3d.errors import InputError

Temperature = Literal["spread", "samples", "sigma"]


@dataclass(frozen=True)
class CoarseToFine:
    """Gives blur and temperature as functions of progress t in [0, 1].

    Attributes:
        blur_px: the blur at the start, as standard deviation in pixels of a 64-pixel image; falls to 0.
        blur_power: the power in blur = blur_px * (1 - t / anneal)^blur_power.
        temperature: the rule by which the temperature is chosen.
        spread_start: the first target of rule `spread`, nats.
        spread_end: its last target, nats.
        samples_start: the first target of rule `samples`, a share of K in (0, 1].
        samples_end: its last target, a share of K.
        sigma_start: the first value of rule `sigma`, in pixel values of [0, 1].
        sigma_end: its last value.
        anneal: the share of the run in which all of them move; then blur is 0 and the rest stay at their ends,
            which for the rules `spread` and `samples` is a target, not a temperature (see above).
    """

    blur_px: float = 12.0
    blur_power: float = 1.5
    temperature: Temperature = "spread"
    spread_start: float = 0.5
    spread_end: float = 6.0
    samples_start: float = 0.9
    samples_end: float = 0.15
    sigma_start: float = 2.0
    sigma_end: float = 0.3
    anneal: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.blur_px <= 64.0 or not self.blur_power > 0.0:
            raise InputError(
                f"schedule: blur_px {self.blur_px} must be 0 to 64 and blur_power {self.blur_power} positive"
            )
        for start, end in (
            ("spread_start", "spread_end"),
            ("samples_end", "samples_start"),
            ("sigma_end", "sigma_start"),
        ):
            low, high = getattr(self, start), getattr(self, end)
            if not 0.0 < low <= high < math.inf:
                raise InputError(f"schedule: need 0 < {start} <= {end}, not {low} and {high}")
        if self.samples_start > 1.0:
            raise InputError(f"schedule: samples_start is {self.samples_start}, a share of K; it must be at most 1")
        if not 0.0 < self.anneal <= 1.0:
            raise InputError(f"schedule: anneal is {self.anneal}; it must lie above 0 and be at most 1")

    def blur(self, t: float, height: int) -> float:
        """The standard deviation of the blur in pixels; below 0.3 pixels there is none."""
        blur = self.blur_px * height / 64.0 * max(1.0 - t / self.anneal, 0.0) ** self.blur_power
        return blur if blur >= 0.3 else 0.0

    def target(self, t: float) -> float:
        """The target of the temperature's rule: nats, a share of K, or sigma."""
        start, end = {
            "spread": (self.spread_start, self.spread_end),
            "samples": (self.samples_start, self.samples_end),
            "sigma": (self.sigma_start, self.sigma_end),
        }[self.temperature]
        return float(start * (end / start) ** min(t / self.anneal, 1.0))

    def inverse_temperature(self, squared_error: Tensor, t: float) -> Tensor:
        """Choose beta = 1 / (2 sigma^2), a scalar, for the squared errors (B, K) of a step at progress t.

        By the rules `spread` and `samples` it depends on these errors, at the end of the run too.
        """
        target = self.target(t)
        if self.temperature == "sigma":
            return torch.full_like(squared_error.sum(), 0.5 / target**2)
        if self.temperature == "samples":
            return beta_for_effective_samples(squared_error, max(target * squared_error.shape[-1], 1.0))
        return beta_for_spread(squared_error, target)


def beta_for_spread(squared_error: Tensor, spread: float) -> Tensor:
    """Find the beta with which the spread of beta * squared_error over samples, averaged over images, is `spread`.

    Args:
        squared_error: (B, K).
    """
    return spread / squared_error.std(-1).mean().clamp_min(1e-8)


def beta_for_effective_samples(squared_error: Tensor, target: float) -> Tensor:
    """beta such that the effective number of samples under weights exp(-beta * squared_error), averaged over images,
    is `target`; by bisection, for it falls as beta grows.

    Args:
        squared_error: (B, K).
    """
    low, high = torch.tensor(-20.0), torch.tensor(20.0)
    for _ in range(40):
        middle = (low + high) / 2.0
        weight = torch.softmax(-middle.exp() * squared_error, dim=-1)
        if float((1.0 / weight.square().sum(-1)).mean()) > target:
            low = middle
        else:
            high = middle
    return torch.exp((low + high) / 2.0).to(squared_error)
