"""The Gaussian likelihood N(x | render(z), sigma^2 I), and its blurred form that learning starts from.

A render that misplaces an object differs from the image twice: where the object is, and where it is not. At full
resolution hiding the object is therefore better than guessing, and learning collapses. Blurred, an object within
about 1.7 blur widths of the truth already pays.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def gaussian_log_likelihood(squared_error: Tensor, pixels: int, sigma: float) -> Tensor:
    """log N(x | y, sigma^2 I) from the sum of squared differences over `pixels` numbers (all channels)."""
    return -0.5 * squared_error / sigma**2 - pixels * (math.log(sigma) + 0.5 * math.log(2.0 * math.pi))


def squared_error(images: Tensor, renders: Tensor, blur_px: float = 0.0) -> Tensor:
    """Sum of squared differences of the (blurred) pictures.

    Args:
        images: (B, 3, H, W) in [0, 1].
        renders: (B, K, 3, H, W) in [0, 1].
        blur_px: standard deviation of a Gaussian blur of both, pixels; 0 for none. Outside the picture counts as
            equal. Blur is linear, so the difference is blurred.

    Returns:
        (B, K).
    """
    difference = renders - images[:, None]
    if blur_px > 0.0:
        rows = _blur_factor(difference.shape[-2], round(blur_px, 3)).to(difference)
        columns = _blur_factor(difference.shape[-1], round(blur_px, 3)).to(difference)
        difference = rows @ difference @ columns.T
    return difference.square().sum(dim=(-3, -2, -1))


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
