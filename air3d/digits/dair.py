"""DAIR, AIR fed with differences (Eslami et al. 2016, section 4.1): each step sees what is not explained yet.

The model is AIR's. The guide's step looks at the image minus the canvas so far, as a picture and through its window,
and keeps no other memory: the third object is looked for just as the first, so a guide that has only seen two goes on.
(The paper's DAIR sees the same difference, but keeps a recurrent state besides.)

The look at the picture is convolutional: with no memory, two objects must look the same as a whole picture as they do
as what is left of three.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from air3d.digits.air import WHERE, AirConfig, Head, Trace, shrunk, stack
from air3d.digits.codec import GlimpseDecoder, GlimpseEncoder, convolutional_look
from air3d.digits.windows import read, write

LOOK_CHANNELS = (16, 32)


class Dair(nn.Module):
    """DAIR: model and guide. `hidden` of `AirConfig` is the size of each of two layers instead of the LSTM's."""

    def __init__(self, config: AirConfig) -> None:
        super().__init__()
        self.config = config
        self.look = convolutional_look(config.seen, config.look_channels or LOOK_CHANNELS, config.hidden)
        self.think = nn.Linear(config.hidden, config.hidden)
        self.head = Head(config)
        self.encoder = GlimpseEncoder(config.window, config.codec, config.what, config.glimpse_channels)
        self.decoder = GlimpseDecoder(config.what, config.codec, config.window, config.decoder_bias)

    def forward(self, images: Tensor, noise: Tensor) -> Trace:
        """Infer images; the arguments are those of `Air.forward`."""
        config = self.config
        rest = images
        presence, q_where, q_what, where, what, objects = [], [], [], [], [], []
        for i in range(config.steps):
            seen = self.look(shrunk(rest, config.shrink)[:, None])
            logit, posterior = self.head(relu(self.think(relu(seen))))
            z_where = posterior.loc + posterior.scale * noise[:, i, :WHERE]
            code = self.encoder(read(rest, z_where, config.window))
            z_what = code.loc + code.scale * noise[:, i, WHERE:]
            drawn = write(self.decoder(z_what), z_where, config.canvas)
            rest = rest - drawn
            presence.append(logit)
            q_where.append(posterior)
            q_what.append(code)
            where.append(z_where)
            what.append(z_what)
            objects.append(drawn)
        return Trace(
            torch.stack(presence, 1),
            stack(q_where),
            torch.stack(where, 1),
            stack(q_what),
            torch.stack(what, 1),
            torch.stack(objects, 1),
        )
