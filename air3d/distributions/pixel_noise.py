"""Independent noise on every number of a picture: the constants of its density, and the kinds of noise by name.

It takes the arrays of any library: the environments, which know no torch, use it as the models do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError, shown


class Noise(NamedTuple):
    """A kind of noise, whose density in a difference d is exp(-beta r(d)^2) / Z with beta = 1 / (2 sigma^2).

    Attributes:
        residual: maps differences (any shape), in pixel values of [0, 1], to r(d), number by number; odd and increasing
            in d. It is handed arrays of numpy and tensors of torch.
        log_z: returns log Z, the logarithm of the integral of exp(-beta r(d)^2) over d.
    """

    residual: Callable[[Any, PixelNoise], Any]
    log_z: Callable[[PixelNoise], float]


@dataclass(frozen=True)
class PixelNoise:
    """The noise.

    Attributes:
        sigma: its standard deviation if it is Gaussian, else its scale; in pixel values of [0, 1].
        noise: its kind: "gaussian", N(x | y, sigma^2 I); or "hyperbolic" (Barndorff-Nielsen 1977), whose error grows
            with the square up to about sigma and like the difference beyond, so that pixels far off count less.

    Raises:
        InputError: if sigma is no positive number, or there is no such noise.
    """

    sigma: float = 0.3
    noise: NoiseName = field(default="gaussian", metadata=LATER)

    def __post_init__(self) -> None:
        if not (self.sigma > 0.0 and math.isfinite(self.sigma)):
            raise InputError(f"likelihood: sigma is {shown(self.sigma)}; it must be positive")
        if self.noise not in NOISES:
            raise InputError(f"likelihood: noise is {shown(self.noise)}; use {' or '.join(NOISES)}")

    @property
    def beta(self) -> float:
        """The inverse temperature 1 / (2 sigma^2): nats for each unit of squared error."""
        return 0.5 / self.sigma**2

    @property
    def linear(self) -> bool:
        """Whether residuals are the differences themselves."""
        return self.noise == "gaussian"

    def residual(self, difference: Any) -> Any:
        """Map differences, an array or a tensor of any shape, to residuals, whose squares sum to the squared error."""
        return NOISES[self.noise].residual(difference, self)

    def log_prob(self, squared_error: Any, numbers: int) -> Any:
        """Return log p(x | y) in nats from the sum of squared residuals over `numbers` (all channels).

        Args:
            squared_error: a number, an array or a tensor of any shape; the result is of the same.
        """
        return -self.beta * squared_error - numbers * NOISES[self.noise].log_z(self)


def _hyperbolic(difference: Any, noise: PixelNoise) -> Any:
    """The root of 2 s^2 (sqrt(1 + (d / s)^2) - 1), with the sign of d, and s for sigma."""
    return difference * (2.0 / (1.0 + (1.0 + (difference / noise.sigma) ** 2) ** 0.5)) ** 0.5


# e K_1(1), K_1 being the modified Bessel function of the second kind.
_E_K1 = 1.636153486263258

NOISES: dict[str, Noise] = {
    "gaussian": Noise(
        lambda difference, noise: difference, lambda noise: math.log(noise.sigma) + 0.5 * math.log(2.0 * math.pi)
    ),
    "hyperbolic": Noise(_hyperbolic, lambda noise: math.log(2.0 * _E_K1 * noise.sigma)),
}
if TYPE_CHECKING:
    NoiseName = str
else:  # what the command line offers
    NoiseName = Literal[tuple(NOISES)]
