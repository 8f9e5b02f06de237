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

from air3d.digits.air import AirModel, shrunk
from air3d.digits.codec import convolutional_look
from air3d.digits.latents import AirConfig, Trace, stacked
from air3d.digits.windows import write

LOOK_CHANNELS = (16, 32)


class Dair(AirModel):
    """DAIR: model and guide. `hidden` of `AirConfig` is the size of each of two layers instead of the LSTM's."""

    name = "dair"

    def __init__(self, config: AirConfig) -> None:
        super().__init__(config)
        self.look = convolutional_look(config.seen, config.look_channels or LOOK_CHANNELS, config.hidden)
        self.think = nn.Linear(config.hidden, config.hidden)
        self._add_parts()

    def forward(self, images: Tensor, noise: Tensor) -> Trace:
        """See `AirModel`."""
        config, rest = self.config, images
        steps, objects = [], []
        for i in range(config.steps):
            seen = self.look(shrunk(rest, config.shrink)[:, None])
            steps.append(self.attend(relu(self.think(relu(seen))), rest, noise[:, i]))
            objects.append(write(self.decoder(steps[-1].z_what), steps[-1].z_where, config.canvas))
            rest = rest - objects[-1]
        return Trace(*stacked(steps), torch.stack(objects, 1))
