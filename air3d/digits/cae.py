"""A convolutional autoencoder: turns an image into one code and back, without objects or steps; AIR's rival."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from air3d.digits.latents import Answer
from air3d.scene3d.errors import InputError


@dataclass(frozen=True)
class CaeConfig:
    """Sizes of the autoencoder.

    Attributes:
        canvas: height and width of the images, pixels.
        channels: the outputs of each stride-2 convolution; the decoder mirrors them.
        code: the size of the code; 150 are as many numbers as three steps of AIR's z_what.
    """

    canvas: int = 50
    channels: tuple[int, ...] = (32, 64, 64)
    code: int = 150

    def __post_init__(self) -> None:
        if not 8 <= self.canvas <= 512 or not 1 <= self.code <= 4096:
            raise InputError(f"cae: canvas {self.canvas} must be 8 to 512, and code {self.code} be 1 to 4096")
        if not 1 <= len(self.channels) <= 6 or not all(1 <= width <= 1024 for width in self.channels):
            raise InputError(f"cae: channels is {self.channels}; use 1 to 6 layers of 1 to 1024 channels")


class Cae(nn.Module):
    """The autoencoder; its loss is the squared error of an image."""

    name = "cae"
    bound = None  # there is no likelihood

    def __init__(self, config: CaeConfig) -> None:
        super().__init__()
        self.config = config
        sides = [config.canvas]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        before = 1
        for width in config.channels:
            sides.append((sides[-1] + 1) // 2)
            down += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ELU()]
            # The size before rounding up decides whether the way back needs one more row and column.
            extra = 1 - sides[-2] % 2
            layer = nn.ConvTranspose2d(width, before, 3, stride=2, padding=1, output_padding=extra)
            up = [layer, nn.ELU(), *up] if up else [layer]
            before = width
        flat = before * sides[-1] ** 2
        self.down = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, config.code))
        self.widen = nn.Linear(config.code, flat)
        self.up = nn.Sequential(*up)
        self._inner = (before, sides[-1], sides[-1])

    def encode(self, images: Tensor) -> Tensor:
        """Encode images (B, S, S) as codes (B, D)."""
        return torch.as_tensor(self.down(images[:, None]))

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes (B, D) to images (B, S, S)."""
        inner = nn.functional.elu(self.widen(codes)).unflatten(1, self._inner)
        return torch.sigmoid(self.up(inner)[:, 0])

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (B, S, S)."""
        return self.decode(self.encode(images))

    def noise(self, batch: int, generator: torch.Generator) -> tuple[()]:
        """Draw nothing: `forward` needs images alone."""
        return ()

    def loss(self, images: Tensor, found: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute what learning lowers, and the scalars that are logged."""
        error = (images - found).square().sum((1, 2)).mean()
        return error, {"squared_error": error.detach()}

    def mode(self, images: Tensor) -> Answer:
        """Reconstruct images (B, S, S)."""
        return Answer(self(images))

    def codes(self, images: Tensor) -> Tensor:
        """The codes (B, 1, D)."""
        return self.encode(images)[:, None]
