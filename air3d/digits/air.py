"""Attend, Infer, Repeat (Eslami et al. 2016) on images: the generative model and the recurrent guide.

Model: n ~ p(n), a truncated geometric; for each object z_where ~ N, z_what ~ N(0, 1), its glimpse is decoded from
z_what and drawn into the window z_where; objects add up, and the image is that canvas with Gaussian noise.

Guide, one step an object: an LSTM sees the image and the latents of the step before; from its state come the
probability that there is another object (z_pres), and q(z_where); the window is read from the image, and from it comes
q(z_what). All steps are run whatever the count: a scene of n objects has the first n of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu, softplus

from air3d.digits.codec import GlimpseDecoder, GlimpseEncoder, convolutional_look
from air3d.digits.windows import read, write
from air3d.distributions.counts import CountPrior
from air3d.distributions.gaussian import DiagonalNormal
from air3d.scene3d.config_json import ADDED
from air3d.scene3d.errors import InputError

WHERE = 3  # log scale, x, y
_SOFTPLUS_ONE = math.log(math.e - 1.0)


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


class Trace(NamedTuple):
    """The answer of the guide, all N steps; the objects of a scene of n are the first n.

    Attributes:
        presence: (B, N), the logits of "there is an i-th object, given i - 1 before it".
        q_where: (B, N, 3), the posterior of z_where given the steps before; z_where: (B, N, 3), its draw.
        q_what: (B, N, D), the posterior of z_what; z_what: (B, N, D), its draw.
        objects: (B, N, S, S), each object on an empty canvas.
    """

    presence: Tensor
    q_where: DiagonalNormal
    z_where: Tensor
    q_what: DiagonalNormal
    z_what: Tensor
    objects: Tensor


class Air(nn.Module):
    """AIR: model and guide."""

    def __init__(self, config: AirConfig) -> None:
        super().__init__()
        self.config = config
        gates = 4 * config.hidden
        self.image_to_gates: nn.Module = nn.Linear(config.seen**2, gates)
        if config.look_channels:
            look = convolutional_look(config.seen, config.look_channels, config.hidden)
            self.image_to_gates = nn.Sequential(look, nn.ReLU(), nn.Linear(config.hidden, gates))
        self.step_to_gates = nn.Linear(WHERE + config.what + config.hidden, gates, bias=False)
        self.head = Head(config)
        self.encoder = GlimpseEncoder(config.window, config.codec, config.what, config.glimpse_channels)
        self.decoder = GlimpseDecoder(config.what, config.codec, config.window, config.decoder_bias)

    def forward(self, images: Tensor, noise: Tensor) -> Trace:
        """Infer images.

        Args:
            images: (B, S, S) in [0, 1].
            noise: (B, N, 3 + D) standard normal (`draw_noise`), or zeros for the mode of every step.
        """
        config, batch = self.config, len(images)
        # The image is the same in every step, so its share of the gates is computed once.
        seen = shrunk(images, config.shrink)
        from_image = self.image_to_gates(seen[:, None] if config.look_channels else seen.flatten(1))
        z_where = images.new_zeros(batch, WHERE)
        z_what = images.new_zeros(batch, config.what)
        hidden = cell = images.new_zeros(batch, config.hidden)
        presence, q_where, q_what, where, what = [], [], [], [], []
        for i in range(config.steps):
            gates = from_image + self.step_to_gates(torch.cat([z_where, z_what, hidden], -1))
            hidden, cell = lstm_cell(gates, cell)
            logit, posterior = self.head(hidden)
            z_where = posterior.loc + posterior.scale * noise[:, i, :WHERE]
            code = self.encoder(read(images, z_where, config.window))
            z_what = code.loc + code.scale * noise[:, i, WHERE:]
            presence.append(logit)
            q_where.append(posterior)
            q_what.append(code)
            where.append(z_where)
            what.append(z_what)
        z_where, z_what = torch.stack(where, 1), torch.stack(what, 1)
        # No step looks at what the others draw, so all are decoded and drawn together.
        glimpses = self.decoder(z_what)
        objects = write(glimpses.flatten(0, 1), z_where.flatten(0, 1), config.canvas)
        objects = objects.unflatten(0, (batch, config.steps))
        return Trace(torch.stack(presence, 1), stack(q_where), z_where, stack(q_what), z_what, objects)


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Average images (B, S, S) over blocks, (B, S / factor, S / factor)."""
    return images if factor == 1 else avg_pool2d(images[:, None], factor)[:, 0]


class Head(nn.Module):
    """Maps the state of a step to z_pres and q(z_where), which starts out as the prior."""

    def __init__(self, config: AirConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.hidden, config.head)
        self.out = nn.Linear(config.head, 1 + 2 * WHERE)
        self.loc: Tensor
        self.spread: Tensor
        loc, spread = _where_prior(config)
        self.register_buffer("loc", torch.tensor(loc), persistent=False)
        self.register_buffer("spread", torch.tensor(spread), persistent=False)

    def forward(self, state: Tensor) -> tuple[Tensor, DiagonalNormal]:
        """Logit of z_pres (B,) and q(z_where) (B, 3) from states (B, H)."""
        out = self.out(relu(self.hidden(state)))
        loc, raw = out[:, 1 : 1 + WHERE], out[:, 1 + WHERE :]
        return out[:, 0], DiagonalNormal(self.loc + self.spread * loc, self.spread * softplus(raw + _SOFTPLUS_ONE))


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """New hidden and cell state (B, H) from the gates (B, 4 H): input, forget, candidate, output."""
    write_, keep, new, show = gates.chunk(4, -1)
    cell = torch.sigmoid(keep) * cell + torch.sigmoid(write_) * torch.tanh(new)
    return torch.sigmoid(show) * torch.tanh(cell), cell


def draw_noise(config: AirConfig, batch: int, generator: torch.Generator) -> Tensor:
    """Draw the standard normal noise (B, N, 3 + D) of the latents of `batch` images."""
    shape = (batch, config.steps, WHERE + config.what)
    return torch.randn(shape, generator=generator, device=generator.device)


def prior_where(config: AirConfig, like: Tensor) -> DiagonalNormal:
    """p(z_where), (3,), of the type and on the device of `like`."""
    # Filled on the device: copies from the host cannot be recorded in a CUDA graph.
    loc, spread = ([like.new_full((), value) for value in values] for values in _where_prior(config))
    return DiagonalNormal(torch.stack(loc), torch.stack(spread))


def prior_what(like: Tensor) -> DiagonalNormal:
    """p(z_what), standard normal in every component, (1,)."""
    return DiagonalNormal(like.new_zeros(1), like.new_ones(1))


def stack(steps: list[DiagonalNormal]) -> DiagonalNormal:
    """Stack the posteriors of the steps, (B, D) each, as one (B, N, D)."""
    return DiagonalNormal(torch.stack([q.loc for q in steps], 1), torch.stack([q.scale for q in steps], 1))


def _where_prior(config: AirConfig) -> tuple[list[float], list[float]]:
    means = [math.log(config.scale), 0.0, 0.0]
    return means, [config.scale_spread, config.place_spread, config.place_spread]
