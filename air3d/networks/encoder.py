"""The image encoder: strided convolutions, read out as a flat code and as soft keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from air3d.scene3d.errors import InputError, shown

_MAX_WEIGHTS = 1 << 27


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder.

    Attributes:
        image_size: the side of the square input, pixels; a multiple of 2**len(channels).
        channels: the output channels of each stride-2 convolution.
        code: size of the output vector.
    """

    image_size: int = 64
    channels: tuple[int, ...] = (32, 48, 64)
    code: int = 192

    def __post_init__(self) -> None:
        if not 1 <= len(self.channels) <= 8 or not all(1 <= width <= 1024 for width in self.channels):
            raise InputError(f"encoder: channels is {shown(self.channels)}; use 1 to 8 layers of 1 to 1024 channels")
        if not 1 <= self.code <= 8192:
            raise InputError(f"encoder: code is {shown(self.code)}; it must be 1 to 8192")
        if not 8 <= self.image_size <= 1024 or self.image_size % 2 ** len(self.channels):
            raise InputError(
                f"encoder: image_size {self.image_size} must be 8 to 1024 and a multiple of {2 ** len(self.channels)}"
            )
        weights = self.channels[-1] * (self.image_size // 2 ** len(self.channels)) ** 2 * self.code
        if weights > _MAX_WEIGHTS:
            raise InputError(f"encoder: {weights} weights in one layer are too many; use more, or narrower, layers")


class ConvEncoder(nn.Module):
    """Encodes images as codes.

    A mean image, subtracted from the input, is a buffer: set it once from training images. Without it the table's
    edge dominates what the first layers see.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 3
        for width in config.channels:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ELU()]
            before = width
        self.convolutions = nn.Sequential(*layers)
        side = config.image_size // 2 ** len(config.channels)
        self.flat = nn.Linear(before * side * side + 2 * before, config.code)
        self.mean_image: Tensor
        self.register_buffer("mean_image", torch.zeros(3, config.image_size, config.image_size))
        axis = torch.linspace(-1.0, 1.0, side)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        self.grid: Tensor
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, S, S) in [0, 1] as codes (B, code)."""
        features = self.convolutions((images - self.mean_image).contiguous(memory_format=torch.channels_last))
        features = features.flatten(2)
        keypoints = torch.softmax(features, dim=-1) @ self.grid
        flat = torch.cat([features.flatten(1), keypoints.flatten(1)], dim=-1)
        return nn.functional.elu(self.flat(flat))


class GlimpseEncoder(nn.Module):
    """Encodes a window of the image at full resolution, as the eye looks at one place.

    Args:
        window: the side of the square window, pixels.
        code: size of the output vector.
    """

    def __init__(self, window: int, code: int) -> None:
        super().__init__()
        self.window = window
        self.layers = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1, stride=2),
            nn.ELU(),
            nn.Conv2d(24, 32, 3, padding=1, stride=2),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(32 * (-(-window // 4)) ** 2, code),
            nn.ELU(),
        )

    def forward(self, images: Tensor, centre_px: Tensor) -> Tensor:
        """Encode windows of images (B, 3, S, S), centred at (B, 2) pixels (column, row), as (B, code); outside is 0."""
        size = images.shape[-1]
        offset = torch.arange(self.window, device=images.device, dtype=images.dtype) - (self.window - 1) / 2.0
        columns = (centre_px[:, 0, None] + offset + 0.5) * (2.0 / size) - 1.0
        rows = (centre_px[:, 1, None] + offset + 0.5) * (2.0 / size) - 1.0
        shape = (len(images), self.window, self.window)
        grid = torch.stack([columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)], dim=-1)
        window = nn.functional.grid_sample(images, grid, align_corners=False)
        return torch.as_tensor(self.layers(window))


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Make a network of one hidden layer; the last layer starts near zero, so that heads start at their biases."""
    last = nn.Linear(hidden, outputs)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ELU(), last)
