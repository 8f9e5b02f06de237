"""The glimpse autoencoder of AIR: what is in a window, as z_what, and how z_what looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from air3d.latents.gaussian import DiagonalNormal


class GlimpseEncoder(nn.Module):
    """q(z_what | glimpse): one hidden layer.

    Args:
        window: side of the glimpse, pixels.
        hidden: units.
        code: size of z_what.
    """

    def __init__(self, window: int, hidden: int, code: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(window * window, hidden)
        self.code = nn.Linear(hidden, 2 * code)

    def forward(self, glimpses: Tensor) -> DiagonalNormal:
        """Posteriors (..., code) of glimpses (..., w, w)."""
        loc, raw = self.code(relu(self.hidden(glimpses.flatten(-2)))).chunk(2, -1)
        return DiagonalNormal(loc, softplus(raw))


class GlimpseDecoder(nn.Module):
    """z_what to the pixels of a window, in [0, 1]; they start out dark.

    Args:
        code: size of z_what.
        hidden: units.
        window: side of the glimpse, pixels.
        bias: added to all logits.
    """

    def __init__(self, code: int, hidden: int, window: int, bias: float) -> None:
        super().__init__()
        self.window, self.bias = window, bias
        self.hidden = nn.Linear(code, hidden)
        self.pixels = nn.Linear(hidden, window * window)

    def forward(self, z_what: Tensor) -> Tensor:
        """Glimpses (..., w, w) of codes (..., code)."""
        logits = self.pixels(relu(self.hidden(z_what))) + self.bias
        return torch.sigmoid(logits).unflatten(-1, (self.window, self.window))
