"""The latents of an image of several digits: sizes and priors of AIR's model, noise to draw with, a trace of all steps.

n ~ p(n), a truncated geometric; for each object z_where ~ N, z_what ~ N(0, 1). Its glimpse is decoded from z_what and
drawn into the window z_where; objects add up, and the image is that canvas with Gaussian noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.distributions.gaussian import DiagonalNormal
from air3d.distributions.z_pres import CountPrior
from air3d.scene3d.config_json import ADDED
from air3d.scene3d.errors import InputError

WHERE = 3  # log scale, x, y


@dataclass(frozen=True)
class AirConfig:
    """Sizes and priors of AIR and DAIR.

    Attributes:
        canvas: height and width of the images, pixels.
        window: the side of a glimpse, pixels.
        steps: N, the most objects.
        shrink: the side, in pixels, of the blocks whose means the guide's state sees (glimpses are sharp); 1 as in
            the paper.
        hidden: the number of units of the LSTM.
        head: the number of hidden units between its state and z_pres, z_where.
        what: the size of z_what.
        codec: the number of hidden units of the glimpse encoder and of the decoder.
        glimpse_channels: the channels of convolutions before the encoder's hidden units, each of which halves the
            glimpse; the paper has none.
        look_channels: the channels of convolutions by which the state sees the image, each of which halves it; none:
            AIR's sees the pixels themselves, as in the paper, DAIR's look has `air3d.digits.dair.LOOK_CHANNELS`.
        scale: the median of the prior of a window's side, in sides of the image.
        scale_spread: the standard deviation of its logarithm.
        place_spread: the standard deviation of the prior of a window's centre, half image sides.
        sigma: the standard deviation of the likelihood, pixel values in [0, 1].
        decoder_bias: is added to the logits of the decoded pixels, so that untrained objects are dark.
        count: the prior of the number of objects.
    """

    canvas: int = 50
    window: int = 28
    steps: int = 3
    shrink: int = 1
    hidden: int = 256
    head: int = 200
    what: int = 50
    codec: int = 200
    glimpse_channels: tuple[int, ...] = field(default=(), metadata=ADDED)
    look_channels: tuple[int, ...] = field(default=(), metadata=ADDED)
    scale: float = 0.5
    scale_spread: float = 0.2
    place_spread: float = 0.4
    sigma: float = 0.3
    decoder_bias: float = -2.0
    count: CountPrior = field(default_factory=CountPrior)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("canvas", 8, 512),
            ("window", 2, 256),
            ("steps", 1, 16),
            ("shrink", 1, 8),
            ("hidden", 1, 4096),
            ("head", 1, 4096),
            ("what", 1, 1024),
            ("codec", 1, 4096),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"air: {name} is {getattr(self, name)}; it must lie between {low} and {high}")
        for name in ("glimpse_channels", "look_channels"):
            if not all(1 <= channels <= 4096 for channels in getattr(self, name)):
                raise InputError(f"air: {name} are {getattr(self, name)}; each must lie between 1 and 4096")
        for name in ("scale", "scale_spread", "place_spread", "sigma"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError(f"air: {name} is {getattr(self, name)}; it must be positive")
        if self.canvas % self.shrink:
            raise InputError(f"air: canvas {self.canvas} is not a multiple of shrink {self.shrink}")

    @property
    def seen(self) -> int:
        """The side of the image that the guide's state sees, pixels."""
        return self.canvas // self.shrink


class Answer(NamedTuple):
    """The mode of a model's answer to B images; `air3d.digits.infer` gives it as numpy arrays.

    Attributes:
        reconstructions: (B, S, S), may exceed 1 where objects overlap.
        counts: (B,) int64, the number of objects; None for models without objects, as are the next two.
        z_where: (B, N, 3), windows of all steps, the first `counts` of them in use (`air3d.digits.windows`).
        objects: (B, N, S, S), each object on an empty canvas, zero beyond the count.
    """

    reconstructions: Tensor
    counts: Tensor | None = None
    z_where: Tensor | None = None
    objects: Tensor | None = None


class Glimpse(NamedTuple):
    """One step of the guide; or all N of them, with a second axis.

    Attributes:
        presence: (B,), the logits of "there is an i-th object, given i - 1 before it".
        q_where: (B, 3), the posterior of z_where given the steps before; z_where: (B, 3), its draw.
        q_what: (B, D), the posterior of z_what; z_what: (B, D), its draw.
    """

    presence: Tensor
    q_where: DiagonalNormal
    z_where: Tensor
    q_what: DiagonalNormal
    z_what: Tensor


class Trace(NamedTuple):
    """The answer of the guide, all N steps; the objects of a scene of n are the first n.

    Attributes:
        presence, q_where, z_where, q_what, z_what: those of `Glimpse`, (B, N, ...).
        objects: (B, N, S, S), each object on an empty canvas.
    """

    presence: Tensor
    q_where: DiagonalNormal
    z_where: Tensor
    q_what: DiagonalNormal
    z_what: Tensor
    objects: Tensor


def stacked(steps: list[Glimpse]) -> Glimpse:
    """Stack the N steps of a guide along a second axis."""
    presence, q_where, z_where, q_what, z_what = zip(*steps, strict=True)
    return Glimpse(_stack(presence), _normal(q_where), _stack(z_where), _normal(q_what), _stack(z_what))


def draw_noise(config: AirConfig, batch: int, generator: torch.Generator) -> Tensor:
    """Draw the standard normal noise (B, N, 3 + D) of the latents of `batch` images."""
    shape = (batch, config.steps, WHERE + config.what)
    return torch.randn(shape, generator=generator, device=generator.device)


def prior_where(config: AirConfig, like: Tensor) -> DiagonalNormal:
    """p(z_where), (3,), of the type and on the device of `like`."""
    # Filled on the device: copies from the host cannot be recorded in a CUDA graph.
    loc, spread = ([like.new_full((), value) for value in values] for values in prior_where_numbers(config))
    return DiagonalNormal(torch.stack(loc), torch.stack(spread))


def prior_what(like: Tensor) -> DiagonalNormal:
    """p(z_what), standard normal in every component, (1,)."""
    return DiagonalNormal(like.new_zeros(1), like.new_ones(1))


def prior_where_numbers(config: AirConfig) -> tuple[list[float], list[float]]:
    """The means and the standard deviations of p(z_where)."""
    means = [math.log(config.scale), 0.0, 0.0]
    return means, [config.scale_spread, config.place_spread, config.place_spread]


def _stack(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.stack(parts, 1)


def _normal(parts: tuple[DiagonalNormal, ...]) -> DiagonalNormal:
    loc, scale = zip(*parts, strict=True)
    return DiagonalNormal(_stack(loc), _stack(scale))
