"""Attend, Infer, Repeat (Eslami et al. 2016) on images: the recurrent guide, and what it shares with DAIR's.

One step an object: an LSTM sees the image and the latents of the step before; from its state come the probability that
there is another object (z_pres), and q(z_where); the window is read from the image, and from it comes q(z_what). All
steps are run whatever the count: a scene of n objects has the first n of them. The model is told in `latents`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu, softplus

from air3d.digits.codec import GlimpseDecoder, GlimpseEncoder, convolutional_look
from air3d.digits.latents import WHERE, AirConfig, Answer, Glimpse, Trace, draw_noise, prior_where_numbers, stacked
from air3d.digits.objective import terms
from air3d.digits.windows import read, write
from air3d.distributions.gaussian import DiagonalNormal
from air3d.distributions.z_pres import count_log_probs

_SOFTPLUS_ONE = math.log(math.e - 1.0)


class AirModel(nn.Module, ABC):
    """Model and guide of AIR or DAIR; the guides differ in what a step's state is made from."""

    name: str
    head: Head
    encoder: GlimpseEncoder
    decoder: GlimpseDecoder

    def __init__(self, config: AirConfig) -> None:
        super().__init__()
        self.config = config

    def _add_parts(self) -> None:
        """Make the networks that both guides have; after those of the state, as checkpoints have them."""
        config = self.config
        self.head = Head(config)
        self.encoder = GlimpseEncoder(config.window, config.codec, config.what, config.glimpse_channels)
        self.decoder = GlimpseDecoder(config.what, config.codec, config.window, config.decoder_bias)

    @abstractmethod
    def forward(self, images: Tensor, noise: Tensor) -> Trace:
        """Infer images.

        Args:
            images: (B, S, S) in [0, 1].
            noise: (B, N, 3 + D) standard normal (`draw_noise`), or zeros for the mode of every step.
        """

    def attend(self, state: Tensor, picture: Tensor, noise: Tensor) -> Glimpse:
        """Do a step: where an object is from the state (B, H), what it is from the picture (B, S, S) in that window."""
        presence, q_where = self.head(state)
        z_where = q_where.loc + q_where.scale * noise[:, :WHERE]
        q_what = self.encoder(read(picture, z_where, self.config.window))
        return Glimpse(presence, q_where, z_where, q_what, q_what.loc + q_what.scale * noise[:, WHERE:])

    def mode(self, images: Tensor) -> Answer:
        """Infer images (B, S, S): every step at its mean, the most probable count."""
        trace, used = self._at_mode(images)
        objects = trace.objects * used[:, :, None, None]
        return Answer(objects.sum(1), used.sum(1), trace.z_where, objects)

    def bound(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The evidence lower bound (B,), nats, from one draw of the continuous latents."""
        return terms(images, self(images, draw_noise(self.config, len(images), generator)), self.config).elbo

    def codes(self, images: Tensor) -> Tensor:
        """The codes (B, N, 1 + 3 + D): for each step whether it is in use, and z_where and z_what, zero if not."""
        trace, used = self._at_mode(images)
        in_use = used.to(images)[..., None]
        return torch.cat([in_use, in_use * trace.z_where, in_use * trace.z_what], -1)

    def _at_mode(self, images: Tensor) -> tuple[Trace, Tensor]:
        """The trace of the means, and which steps (B, N) are in use."""
        config = self.config
        trace = self(images, images.new_zeros(len(images), config.steps, WHERE + config.what))
        counts = count_log_probs(trace.presence.to(images)).argmax(1)
        return trace, torch.arange(config.steps, device=images.device) < counts[:, None]


class Air(AirModel):
    """AIR: model and guide."""

    name = "air"

    def __init__(self, config: AirConfig) -> None:
        super().__init__(config)
        gates = 4 * config.hidden
        self.image_to_gates: nn.Module = nn.Linear(config.seen**2, gates)
        if config.look_channels:
            look = convolutional_look(config.seen, config.look_channels, config.hidden)
            self.image_to_gates = nn.Sequential(look, nn.ReLU(), nn.Linear(config.hidden, gates))
        self.step_to_gates = nn.Linear(WHERE + config.what + config.hidden, gates, bias=False)
        self._add_parts()

    def forward(self, images: Tensor, noise: Tensor) -> Trace:
        """See `AirModel`."""
        config, batch = self.config, len(images)
        # The image is the same in every step, so its share of the gates is computed once.
        seen = shrunk(images, config.shrink)
        from_image = self.image_to_gates(seen[:, None] if config.look_channels else seen.flatten(1))
        z_where = images.new_zeros(batch, WHERE)
        z_what = images.new_zeros(batch, config.what)
        hidden = cell = images.new_zeros(batch, config.hidden)
        steps = []
        for i in range(config.steps):
            gates = from_image + self.step_to_gates(torch.cat([z_where, z_what, hidden], -1))
            hidden, cell = lstm_cell(gates, cell)
            steps.append(self.attend(hidden, images, noise[:, i]))
            z_where, z_what = steps[-1].z_where, steps[-1].z_what
        every = stacked(steps)
        # No step looks at what the others draw, so all are decoded and drawn together.
        glimpses = self.decoder(every.z_what)
        objects = write(glimpses.flatten(0, 1), every.z_where.flatten(0, 1), config.canvas)
        return Trace(*every, objects.unflatten(0, (batch, config.steps)))


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
        loc, spread = prior_where_numbers(config)
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
