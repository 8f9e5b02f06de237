"""The networks of the tabletop guide: a camera encoder, a trunk that looks for objects, a window on one place."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize

CELL = 4  # pixels; the trunk halves the image twice


class CameraEncoder(nn.Module):
    """Encodes the whole picture from patches: the camera shows in edges and shading all over the table.

    Args:
        channels: the channels of the picture.
        size: its size, pixels; multiples of 4.
        widths: the channels at a quarter, a quarter and an eighth of the resolution.
        code: the size of the output.
    """

    def __init__(self, channels: int, size: ImageSize, widths: tuple[int, int, int], code: int) -> None:
        super().__init__()
        first, second, third = widths
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, first, 5, stride=CELL, padding=2),
            nn.SiLU(),
            _conv(first, second, 1),
            nn.SiLU(),
            _conv(second, third, 2),
            nn.SiLU(),
        )
        self.flat = nn.Sequential(
            nn.Linear(third * -(-size.width // 8) * -(-size.height // 8), code),
            nn.SiLU(),
            nn.Linear(code, code),
            nn.SiLU(),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode pictures (B, channels, S, S) about 0 as codes (B, code)."""
        features = self.convolutions(pictures.contiguous(memory_format=torch.channels_last))
        return torch.as_tensor(self.flat(features.flatten(1)))


class Looked(NamedTuple):
    """The features that the trunk saw.

    Attributes:
        maps: (B, C, S / 4, S / 4), the features of every cell.
        whole: (B, D), the features of the picture as a whole.
    """

    maps: Tensor
    whole: Tensor


class Trunk(nn.Module):
    """Turns pictures (B, channels, S, S) into features of cells of 4 x 4 pixels, with the whole picture as context.

    Args:
        channels: the channels of the input.
        widths: the channels at a half, a quarter and an eighth of the resolution.
        shrink: the factor by which a convolution shrinks the picture first; cells are larger by it.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int], shrink: int = 1) -> None:
        super().__init__()
        half, quarter, eighth = widths
        before: list[nn.Module] = []
        if shrink > 1:
            before = [nn.Conv2d(channels, half, 2 * shrink - 1, stride=shrink, padding=shrink - 1), nn.SiLU()]
            channels = half
        self.down = nn.Sequential(*before, _conv(channels, half, 2), nn.SiLU(), _conv(half, quarter, 2), nn.SiLU())
        self.fine = Residual(quarter)
        self.coarse = nn.Sequential(_conv(quarter, eighth, 2), nn.SiLU(), Residual(eighth))
        self.context = nn.Linear(eighth, eighth)
        self.up = nn.Conv2d(eighth, quarter, 1)
        self.last = nn.Sequential(Residual(quarter), Residual(quarter))

    def forward(self, pictures: Tensor) -> Looked:
        fine = self.fine(self.down(pictures.contiguous(memory_format=torch.channels_last)))
        coarse = self.coarse(fine)
        pooled = coarse.mean((2, 3))
        coarse = coarse + self.context(pooled)[:, :, None, None]
        wide = nn.functional.interpolate(self.up(coarse), scale_factor=2, mode="nearest")
        maps = self.last(fine + wide[..., : fine.shape[-2], : fine.shape[-1]]).float()
        whole = torch.cat([maps.amax((2, 3)), maps.mean((2, 3)), pooled.float()], dim=-1)
        return Looked(maps, whole)


class Residual(nn.Module):
    """Computes x + conv(silu(x)), activated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.silu(features + self.conv(features))


class Window(nn.Module):
    """Encodes a window of a picture at full resolution.

    Args:
        channels: the channels of the picture.
        side: the side of the square window, pixels.
        widths: the channels at a half, a quarter and so on of the resolution.
        code: the size of the output.
    """

    def __init__(self, channels: int, side: int, widths: tuple[int, ...], code: int) -> None:
        super().__init__()
        self.side = side
        layers: list[nn.Module] = []
        for width in widths:
            layers += [_conv(channels, width, 2), nn.SiLU()]
            channels, side = width, -(-side // 2)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, code), nn.SiLU())

    def forward(self, pictures: Tensor, centre_px: Tensor) -> Tensor:
        """Encode windows of (B, C, S, S), centred at (B, K, 2) pixels, as (B, K, code); outside is 0."""
        (b, k), (channels, height, width) = centre_px.shape[:2], pictures.shape[1:]
        offset = torch.arange(self.side, device=pictures.device, dtype=pictures.dtype) - (self.side - 1) / 2.0
        columns = (centre_px[..., 0, None] + offset + 0.5) * (2.0 / width) - 1.0
        rows = (centre_px[..., 1, None] + offset + 0.5) * (2.0 / height) - 1.0
        shape = (b, k, self.side, self.side)
        grid = torch.stack([columns[:, :, None, :].expand(shape), rows[:, :, :, None].expand(shape)], dim=-1)
        # The K windows of a picture are read as one tall one: the picture is not copied K times.
        cut = nn.functional.grid_sample(pictures, grid.reshape(b, k * self.side, self.side, 2), align_corners=False)
        cut = cut.reshape(b, channels, k, self.side, self.side).transpose(1, 2).reshape(b * k, channels, self.side, -1)
        return torch.as_tensor(self.layers(cut)).float().reshape(b, k, -1)


def at_pixels(maps: Tensor, pixel: Tensor, size: ImageSize) -> Tensor:
    """Interpolate features of maps (B, C, h, w) at (B, K, 2) pixels of the image of this size: (B, K, C)."""
    grid = ((pixel + 0.5) * (2.0 / pixel.new_tensor(size)) - 1.0)[:, :, None]
    found = nn.functional.grid_sample(maps, grid, align_corners=False, padding_mode="border")
    return found[..., 0].transpose(1, 2)


def _conv(before: int, after: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1)
