"""DRAW (Gregor et al. 2015) with attention: the image is painted in steps onto one canvas, without objects.

Each step reads two patches with a grid of Gaussian filters, from the image and from what the canvas still lacks; an
encoder LSTM turns them into q(z_t); a decoder LSTM turns z_t into the next stroke and the next place to read. The
picture is the sigmoid of the canvas, with the same Gaussian likelihood as AIR's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from air3d.digits.air import lstm_cell
from air3d.digits.latents import Answer
from air3d.distributions.gaussian import DiagonalNormal
from air3d.distributions.pixel_noise import PixelNoise
from air3d.scene3d.errors import InputError


@dataclass(frozen=True)
class DrawConfig:
    """Sizes of DRAW.

    Attributes:
        canvas: height and width of the images, pixels.
        steps: T, the number of strokes that paint an image.
        hidden: the number of units of each LSTM.
        code: the size of z_t.
        read: the number of filters on a side when reading.
        write: the number of filters on a side when painting.
        sigma: the standard deviation of the likelihood, pixel values in [0, 1].
    """

    canvas: int = 50
    steps: int = 8
    hidden: int = 256
    code: int = 50
    read: int = 10
    write: int = 10
    sigma: float = 0.3

    def __post_init__(self) -> None:
        for name, high in (
            ("canvas", 512),
            ("steps", 128),
            ("hidden", 4096),
            ("code", 1024),
            ("read", 64),
            ("write", 64),
        ):
            if not 1 <= getattr(self, name) <= high:
                raise InputError(f"draw: {name} is {getattr(self, name)}; it must lie between 1 and {high}")
        PixelNoise(self.sigma)


class Painting(NamedTuple):
    """The answer of DRAW to images.

    Attributes:
        picture: (B, S, S), the mean of the likelihood.
        kl: (B,), summed over all z_t, nats.
        codes: (B, T, D), the z_t.
    """

    picture: Tensor
    kl: Tensor
    codes: Tensor


class Draw(nn.Module):
    """DRAW: model and guide."""

    name = "draw"

    def __init__(self, config: DrawConfig) -> None:
        super().__init__()
        self.config = config
        patches = 2 * config.read**2
        self.encoder = nn.Linear(patches + 2 * config.hidden, 4 * config.hidden)
        self.posterior = nn.Linear(config.hidden, 2 * config.code)
        self.decoder = nn.Linear(config.code + config.hidden, 4 * config.hidden)
        self.read_at = nn.Linear(config.hidden, 5)
        self.write_at = nn.Linear(config.hidden, 5)
        self.stroke = nn.Linear(config.hidden, config.write**2)
        self.ground = nn.Parameter(torch.full((config.canvas, config.canvas), -4.0))  # an empty canvas is dark

    def forward(self, images: Tensor, noise: Tensor) -> Painting:
        """Paint images (B, S, S) with noise (B, T, D), standard normal, or zeros for the mode of every step."""
        config, batch = self.config, len(images)
        canvas = self.ground.expand(batch, -1, -1)
        enc = enc_cell = dec = dec_cell = images.new_zeros(batch, config.hidden)
        prior = DiagonalNormal(images.new_zeros(1), images.new_ones(1))
        kl, codes = images.new_zeros(batch), []
        for t in range(config.steps):
            rows, columns, strength = gaussian_filters(self.read_at(dec), config.read, config.canvas)
            missing = images - torch.sigmoid(canvas)
            both = rows[:, None] @ torch.stack([images, missing], 1) @ columns[:, None].transpose(2, 3)
            seen = (strength[:, None, None, None] * both).flatten(1)
            enc, enc_cell = lstm_cell(self.encoder(torch.cat([seen, dec, enc], -1)), enc_cell)
            loc, raw = self.posterior(enc).chunk(2, -1)
            q = DiagonalNormal(loc, softplus(raw))
            code = q.loc + q.scale * noise[:, t]
            dec, dec_cell = lstm_cell(self.decoder(torch.cat([code, dec], -1)), dec_cell)
            rows, columns, strength = gaussian_filters(self.write_at(dec), config.write, config.canvas)
            stroke = self.stroke(dec).view(batch, config.write, config.write)
            canvas = canvas + (rows.transpose(1, 2) @ stroke @ columns) / strength[:, None, None]
            kl = kl + q.kl(prior)
            codes.append(code)
        return Painting(torch.sigmoid(canvas), kl, torch.stack(codes, 1))

    def noise(self, batch: int, generator: torch.Generator) -> tuple[Tensor]:
        """Draw what `forward` needs besides images."""
        shape = (batch, self.config.steps, self.config.code)
        return (torch.randn(shape, generator=generator, device=generator.device),)

    def loss(self, images: Tensor, painting: Painting) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute what learning lowers, and the scalars that are logged."""
        elbo = self.elbo(images, painting).mean()
        return -elbo, {"elbo": elbo.detach(), "kl": painting.kl.detach().mean()}

    def mode(self, images: Tensor) -> Answer:
        """Infer images (B, S, S): every step at its mean."""
        return Answer(self._at_mode(images).picture)

    def bound(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The evidence lower bound (B,), nats, from one draw."""
        return self.elbo(images, self(images, *self.noise(len(images), generator)))

    def codes(self, images: Tensor) -> Tensor:
        """The codes (B, T, D): all z_t, at their means."""
        return self._at_mode(images).codes

    def _at_mode(self, images: Tensor) -> Painting:
        painting: Painting = self(images, images.new_zeros(len(images), self.config.steps, self.config.code))
        return painting

    def elbo(self, images: Tensor, painting: Painting) -> Tensor:
        """The bound (B,), nats, from one draw."""
        error = (images - painting.picture).square().sum((1, 2))
        return PixelNoise(self.config.sigma).log_prob(error, images.shape[1:].numel()) - painting.kl


def gaussian_filters(parameters: Tensor, side: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The attention of DRAW, equations 19 to 26.

    Args:
        parameters: (B, 5): centre x and y, log variance, log stride, log intensity, as the decoder gives them.
        side: the number of filters on a side.
        size: the side of the image, pixels.

    Returns:
        Filters for rows and for columns, (B, side, size) each, every filter summing to one; intensity (B,).
    """
    x, y, log_variance, log_stride, log_strength = parameters.unbind(-1)
    centre = 0.5 * (size + 1.0) * (torch.stack([y, x], 1) + 1.0) - 1.0  # pixels, counted from 0
    stride = (size - 1.0) / max(side - 1.0, 1.0) * log_stride.exp()
    steps = torch.arange(side, device=x.device) - (side - 1.0) / 2.0
    mean = centre[:, :, None] + stride[:, None, None] * steps  # (B, 2, side)
    offset = torch.arange(size, device=x.device) - mean[..., None]
    # Normalised Gaussians over the pixels; as a softmax, so that one far outside does not become 0 / 0.
    filters = torch.softmax(-0.5 * offset.square() / log_variance.exp()[:, None, None, None], -1)
    rows, columns = filters.unbind(1)
    return rows, columns, log_strength.exp()
