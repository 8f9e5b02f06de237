"""Spatial transformers: against torch's own sampler, and as inverses of each other where they must be."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import affine_grid, grid_sample

from air3d.digits.windows import read, write

GENERATOR = torch.Generator().manual_seed(0)


def windows(count: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(count, 3, generator=GENERATOR, dtype=dtype) * torch.tensor([0.4, 0.5, 0.5]).to(dtype)


def sampled(images: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, side: int) -> torch.Tensor:
    """torch's transformer: output pixel at u samples the input at scale u + shift."""
    theta = torch.zeros(len(images), 2, 3, dtype=images.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = shift
    grid = affine_grid(theta, [len(images), 1, side, side], align_corners=False)
    return grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def test_reading_is_torchs_transformer():
    images, z_where = torch.rand(9, 13, 13, generator=GENERATOR, dtype=torch.float64), windows(9)
    assert torch.allclose(read(images, z_where, 6), sampled(images, z_where[:, 0].exp(), z_where[:, 1:], 6))


def test_writing_is_torchs_inverse_transformer():
    glimpses, z_where = torch.rand(9, 6, 6, generator=GENERATOR, dtype=torch.float64), windows(9)
    scale = 1.0 / z_where[:, 0].exp()
    expected = sampled(glimpses, scale, -z_where[:, 1:] * scale[:, None], 13)
    assert torch.allclose(write(glimpses, z_where, 13), expected)


@pytest.mark.parametrize("left, top", [(0, 0), (3, 1), (8, 8)])
def test_a_window_on_the_pixel_grid_copies(left, top):
    # 4 of 12 pixels: the side is a third; its centre lies 2 pixels right of its left edge.
    z_where = torch.tensor([[math.log(4 / 12), (left + 2) / 6 - 1, (top + 2) / 6 - 1]])
    image = torch.rand(1, 12, 12, generator=GENERATOR)
    glimpse = read(image, z_where, 4)
    assert torch.allclose(glimpse, image[:, top : top + 4, left : left + 4], atol=1e-5)
    drawn = write(glimpse, z_where, 12)
    expected = torch.zeros(1, 12, 12)
    expected[:, top : top + 4, left : left + 4] = glimpse
    assert torch.allclose(drawn, expected, atol=1e-5)
    assert torch.allclose(read(drawn, z_where, 4), glimpse, atol=1e-5)


def test_smooth_pictures_survive_writing_and_reading():
    axis = torch.linspace(-1, 1, 28)
    glimpse = torch.exp(-3 * (axis[:, None] ** 2 + 2 * (axis - 0.1) ** 2))[None]
    z_where = torch.tensor([[math.log(0.47), 0.213, -0.171]])
    again = read(write(glimpse, z_where, 50), z_where, 28)
    # Linear interpolation errs by at most h^2 / 8 times the second derivative, here 6 down and 12 across, on each way.
    steps = 2 / 28, 2 / 50 / 0.47
    assert (again - glimpse)[:, 2:-2, 2:-2].abs().max() < sum((6 + 12) * h**2 / 8 for h in steps)


def test_outside_is_zero():
    z_where = torch.tensor([[math.log(0.3), 2.0, 0.0]])
    assert not read(torch.ones(1, 12, 12), z_where, 4).any()
    assert not write(torch.ones(1, 4, 4), z_where, 12).any()


def test_gradients():
    images, z_where = torch.rand(2, 7, 7, generator=GENERATOR, dtype=torch.float64), windows(2)
    inputs = (images.requires_grad_(), z_where.requires_grad_())
    assert torch.autograd.gradcheck(lambda i, z: read(i, z, 4), inputs)
    assert torch.autograd.gradcheck(lambda g, z: write(g, z, 11), inputs)
