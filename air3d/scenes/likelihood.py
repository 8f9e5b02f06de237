"""The likelihood of an image given a render, and its blurred form that learning starts from.

A render that misplaces an object differs from the image twice: where the object is, and where it is not. At full
resolution hiding the object is therefore better than guessing, and learning collapses. Blurred, an object within
about 1.7 blur widths of the truth already pays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from scipy.stats import geninvgauss
from torch import Tensor

from air3d.distributions.pixel_noise import PixelNoise
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError, shown
from air3d.scenes.depth import COLOURS, deeper


@dataclass(frozen=True)
class Likelihood(PixelNoise):
    """log p(x | y) of an image x, given the render y: -beta * error(x, y), and a constant.

    The kind of noise says by its residuals what an error is. All else follows: rewards, importance weights, bounds,
    and the least squares of refinement.

    Depth has hyperbolic noise of its own: its scale grows with the square of the depth, as that of sensors that
    triangulate. Its residuals are in units in which the same beta makes them nats. Where the image has none, nothing is
    compared; where the render alone has none, it shows nothing at all, and counts as if it were deeper by as much as
    `air3d.scenes.depth.NOTHING_M`.

    Attributes:
        depth_sd_per_m: the scale of the noise of depth z is this times z^2, in metres.

    Raises:
        InputError: if a number is not positive, or there is no such noise.
    """

    depth_sd_per_m: float = field(default=0.005, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.depth_sd_per_m > 0.0 and math.isfinite(self.depth_sd_per_m)):
            raise InputError(f"likelihood: depth_sd_per_m is {shown(self.depth_sd_per_m)}; it must be positive")

    def residuals(self, images: Tensor, renders: Tensor, blur_px: float = 0.0) -> Tensor:
        """Return the noise's residuals, blurred: numbers whose squares sum to the error.

        Args:
            images: (B, 3, H, W) in [0, 1]; with depth (B, 5, H, W), see `air3d.scenes.depth`.
            renders: (B, K, 3, H, W) in [0, 1], or (B, K, 5, H, W).
            blur_px: the standard deviation of a Gaussian blur of both, in pixels; 0 for none. Outside the picture they
                count as equal.

        Returns:
            (B, K, 3, r, r'), with depth (B, K, 4, r, r').
        """
        wide = images[:, None]
        found = self.residual(renders[:, :, :COLOURS] - wide[:, :, :COLOURS])
        if wide.shape[2] > COLOURS:
            further, depth = deeper(renders, wide)
            scaled = further / (self.depth_sd_per_m * depth.square()).clamp_min(1e-9)
            found = torch.cat([found, self.sigma * _DEPTH_NOISE.residual(scaled)], 2)
        return blurred(found, blur_px)

    def check_drawable(self) -> None:
        """Raise InputError unless the noise of colours is one that `noisy` can draw."""
        if self.noise != "gaussian":
            raise InputError(f"likelihood: noise is '{self.noise}'; only Gaussian noise can be drawn")

    def noisy(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Add the noise to pictures (B, C, H, W): of colours, and of depth where it is known. Nothing is cut to [0, 1].

        Raises:
            InputError: if the noise of colours is not Gaussian.
        """
        self.check_drawable()

        def normal(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)

        found = pictures.clone()
        found[:, :COLOURS] += self.sigma * normal(found[:, :COLOURS])
        if pictures.shape[1] > COLOURS:
            # The hyperbolic distribution of scale 1 is a normal one whose variance is generalised inverse Gaussian.
            depth = found[:, COLOURS]
            seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
            variance = geninvgauss.rvs(1.0, 1.0, size=depth.shape, random_state=np.random.default_rng(seed))
            spread = torch.as_tensor(variance).to(depth).sqrt() * normal(depth)
            depth += self.depth_sd_per_m * depth.square() * spread * found[:, COLOURS + 1]
        return found

    def log_density(self, images: Tensor, error: Tensor) -> Tensor:
        """Compute log p(x | y), nats, of images (B, C, H, W) from their errors (B, ...)."""
        found: Tensor = self.log_prob(error, COLOURS * images.shape[-2:].numel())
        if images.shape[1] > COLOURS:
            depth, known = images[:, 3], images[:, 4]
            log_scale = torch.where(known > 0.0, (self.depth_sd_per_m * depth.square()).clamp_min(1e-9), 1.0).log()
            constant = _DEPTH_NOISE.log_prob(log_scale.new_zeros(()), 1)
            each = ((constant - log_scale) * known).sum((-2, -1))
            found = found + each.reshape(-1, *[1] * (found.dim() - 1))
        return found

    def error(self, images: Tensor, renders: Tensor, blur_px: float = 0.0) -> Tensor:
        """Return the sums (B, K) of the squared residuals; the arguments are those of `residuals`."""
        return self.residuals(images, renders, blur_px).square().sum(dim=(-3, -2, -1))

    def pairwise_error(self, images: Tensor, renders: Tensor, blur_px: float = 0.0) -> Tensor:
        """Return the errors (B, C) of every image (B, 3, H, W) with every render (C, 3, H, W).

        Where residuals are linear they are those of all pairs by one matrix product.
        """
        if not self.linear or images.shape[1] > COLOURS:
            return torch.cat([self.error(image[None], renders[None], blur_px) for image in images])
        centre = images.mean(0, keepdim=True)  # keeps the squares small, for float32
        a, b = blurred(images - centre, blur_px).flatten(1), blurred(renders - centre, blur_px).flatten(1)
        return (a.square().sum(-1)[:, None] + b.square().sum(-1) - 2.0 * a @ b.T).clamp_min(0.0)


def blurred(pictures: Tensor, blur_px: float) -> Tensor:
    """Turn pictures (..., H, W) into (..., r, r'), whose sums of squares are those of the blurred pictures."""
    if blur_px <= 0.0:
        return pictures
    rows = _blur_factor(pictures.shape[-2], round(blur_px, 3)).to(pictures)
    columns = _blur_factor(pictures.shape[-1], round(blur_px, 3)).to(pictures)
    return rows @ pictures @ columns.T


# In units of its scale.
_DEPTH_NOISE = PixelNoise(1.0, "hyperbolic")


@lru_cache(maxsize=64)
def _blur_factor(size: int, blur_px: float) -> Tensor:
    """A matrix F (r, size) with |F v| = |G v| for the Gaussian blur G (size, size): G's leading eigenvectors.

    A wide blur keeps only few of them, which makes the blurred error cheaper than the plain one.
    """
    offset = torch.arange(size, dtype=torch.float64)
    blur = torch.exp(-0.5 * ((offset[:, None] - offset) / blur_px) ** 2)
    reach = torch.arange(-math.ceil(10.0 * blur_px), math.ceil(10.0 * blur_px) + 1, dtype=torch.float64)
    blur = blur / torch.exp(-0.5 * (reach / blur_px) ** 2).sum()  # the sampled Gaussian sums to one
    values, vectors = torch.linalg.eigh(blur)
    keep = values.abs() > 1e-3
    return (values[keep, None] * vectors[:, keep].T).float()
