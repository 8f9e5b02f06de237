"""The glimpse autoencoder of AIR: encodes the content of a window as z_what, and decodes z_what."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from air3d.distributions.gaussian import DiagonalNormal


class GlimpseEncoder(nn.Module):
    """q(z_what | glimpse): one hidden layer, after convolutions if there are any.

    Args:
        window: the side of the glimpse, pixels.
        hidden: the number of hidden units.
        code: the size of z_what.
        channels: the channels of the convolutions, each of which halves the side.
    """

    def __init__(self, window: int, hidden: int, code: int, channels: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.look = halving_convolutions(channels)
        values = (channels[-1] if channels else 1) * halved(window, len(channels)) ** 2
        self.hidden = nn.Linear(values, hidden)
        self.code = nn.Linear(hidden, 2 * code)

    def forward(self, glimpses: Tensor) -> DiagonalNormal:
        """Infer posteriors (..., code) of glimpses (..., w, w)."""
        seen = self.look(glimpses.flatten(0, -3)[:, None]).flatten(1)
        loc, raw = self.code(relu(self.hidden(seen))).unflatten(0, glimpses.shape[:-2]).chunk(2, -1)
        return DiagonalNormal(loc, softplus(raw))


class GlimpseDecoder(nn.Module):
    """Decodes z_what to the pixels of a window, in [0, 1]; they start out dark.

    Args:
        code: the size of z_what.
        hidden: the number of hidden units.
        window: the side of the glimpse, pixels.
        bias: is added to all logits.
    """

    def __init__(self, code: int, hidden: int, window: int, bias: float) -> None:
        super().__init__()
        self.window, self.bias = window, bias
        self.hidden = nn.Linear(code, hidden)
        self.pixels = nn.Linear(hidden, window * window)

    def forward(self, z_what: Tensor) -> Tensor:
        """Decode codes (..., code) to glimpses (..., w, w)."""
        logits = self.pixels(relu(self.hidden(z_what))) + self.bias
        return torch.sigmoid(logits).unflatten(-1, (self.window, self.window))


def halving_convolutions(channels: tuple[int, ...]) -> nn.Sequential:
    """Make convolutions from pictures (B, 1, S, S) to features (B, channels[-1], s, s), s as `halved` says."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip((1, *channels), channels, strict=False)):
        side = 3 if i else 5
        layers += [nn.Conv2d(before, after, side, stride=2, padding=side // 2), nn.ReLU()]
    return nn.Sequential(*layers)


def convolutional_look(side: int, channels: tuple[int, ...], hidden: int) -> nn.Sequential:
    """Make the network by which a step sees a whole image: halving convolutions, (B, 1, S, S) to `hidden` values."""
    values = channels[-1] * halved(side, len(channels)) ** 2
    return nn.Sequential(*halving_convolutions(channels), nn.Flatten(), nn.Linear(values, hidden))


def halved(side: int, times: int) -> int:
    """The side after so many of those convolutions."""
    return -(-side // 2**times)
