"""The likelihood of pictures as arrays, N(x | render(z), sigma^2 I) unless another noise is asked for."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from air3d.distributions.pixel_noise import PixelNoise
from air3d.environments.config import EnvironmentConfig

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]


class Likelihood:
    """log N(G x | G render(z), sigma^2 I) for a Gaussian blur G; without blur, G is the identity.

    Another noise's residuals take the place of the differences G blurs.

    An object at the wrong place differs from the picture twice, where it is and where it is not, so that at full
    resolution a bare table scores above a near miss. Blurred, near misses pay.
    """

    def __init__(self, config: EnvironmentConfig) -> None:
        self._numbers = config.numbers
        self._noise = PixelNoise(config.sigma, config.noise)
        self._blur = _blur(config.image_size, config.blur_px) if config.blur_px else None

    def squared_error(self, a: Pixels, b: Pixels) -> Floats:
        """The sums (B,) of squared residuals of (blurred) pictures (B, S, S, 3), in units of 1 / 255^2.

        Without blur, Gaussian ones are sums of whole numbers, which float64 holds exactly, whatever their order.
        """
        difference = np.subtract(a, b, dtype=np.float64)
        if not self._noise.linear:
            difference = 255.0 * self._noise.residual(difference / 255.0)
        if self._blur is not None:
            count, height, width, channels = difference.shape
            rows = self._blur @ difference.reshape(count, height, width * channels)
            difference = self._blur @ rows.reshape(difference.shape)
        flat = difference.reshape(len(a), math.prod(a.shape[1:]))
        return np.einsum("bi,bi->b", flat, flat)

    def log_prob(self, squared_error: Floats) -> Floats:
        """Log-likelihood in nats of a squared error in units of 1 / 255^2."""
        return np.asarray(self._noise.log_prob(squared_error / 255.0**2, self._numbers))

    def nats_per_number(self, squared_error: Floats) -> Floats:
        """The log-likelihood that a squared error costs, nats per number of the picture."""
        return squared_error * (self._noise.beta / 255.0**2 / self._numbers)


def _blur(size: int, width_px: float) -> Floats:
    """The matrix (S, S) that convolves with a sampled Gaussian of sum one; beyond the edge pictures count as equal."""
    offset = np.arange(size)
    reach = np.arange(-math.ceil(10.0 * width_px), math.ceil(10.0 * width_px) + 1)
    bell = np.exp(-0.5 * ((offset[:, None] - offset) / width_px) ** 2)
    return np.asarray(bell / np.exp(-0.5 * (reach / width_px) ** 2).sum())
