"""Independent normal noise on every number of a picture, N(x | y, sigma^2 I): the constants of its density.

It takes the arrays of any library: the environments, which know no torch, use it as the models do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from air3d.scene3d.errors import InputError, shown


@dataclass(frozen=True)
class PixelNoise:
    """The noise.

    Attributes:
        sigma: its standard deviation, in pixel values of [0, 1].

    Raises:
        InputError: if sigma is no positive number.
    """

    sigma: float

    def __post_init__(self) -> None:
        if not (self.sigma > 0.0 and math.isfinite(self.sigma)):
            raise InputError(f"likelihood: sigma is {shown(self.sigma)}; it must be positive")

    @property
    def beta(self) -> float:
        """The inverse temperature 1 / (2 sigma^2): nats for each unit of squared error."""
        return 0.5 / self.sigma**2

    def log_prob(self, squared_error: Any, numbers: int) -> Any:
        """Return log N(x | y, sigma^2 I) in nats from the sum of squared differences over `numbers` (all channels).

        Args:
            squared_error: a number, an array or a tensor of any shape; the result is of the same.
        """
        return -self.beta * squared_error - numbers * (math.log(self.sigma) + 0.5 * math.log(2.0 * math.pi))
