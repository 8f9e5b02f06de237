"""AIR's supervised rivals on tabletops: one network that names all objects at once, trained on true labels.

The network is the convolutional encoder of single objects and fully connected layers; it has neither the cells nor
the windows of the tabletop guide, and about two thirds of its weights. (The rival with the guide's own network is
the sleep phase.) It says, for each of N slots, whether it holds an object, its kind, its place in the image and its
direction, and for the scene the camera. Which object labels slot i is the question that the paper's comparison
turns on:

    arbitrary   the i-th object of the list, whose order means nothing: the paper's rival
    matched     whichever object the network's own answer of slot i fits best, by the Hungarian method (as in DETR,
                Carion et al. 2020): the rival that one would train today
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from air3d.distributions.circle import wrap
from air3d.networks.encoder import ConvEncoder, EncoderConfig, mlp
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.errors import InputError, shown
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.painter import to_pixels

Order = Literal["arbitrary", "matched"]

_CHUNK = 256
_PLACE_WEIGHT = 30.0


@dataclass(frozen=True)
class SupervisedConfig:
    """Parameters of a rival.

    Attributes:
        order: says which object labels a slot, "arbitrary" or "matched".
        iterations: the number of gradient steps.
        batch: the number of labelled scenes in a step, all fresh from the prior.
        learning_rate: the learning rate of Adam; it falls to zero along a cosine.
        hidden: the number of units between the encoder and the answer.
        seed: seeds weights and scenes.
        encoder: the network.
    """

    order: Order = "matched"
    iterations: int = 1500
    batch: int = 128
    learning_rate: float = 1e-3
    hidden: int = 512
    seed: int = 0
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(code=256))

    def __post_init__(self) -> None:
        if self.order not in get_args(Order):
            raise InputError(f"supervised: order is {shown(self.order)}; use 'arbitrary' or 'matched'")
        if min(self.iterations, self.batch, self.hidden) < 1:
            raise InputError("supervised: iterations, batch and hidden must be at least 1")
        if not 0.0 < self.learning_rate < 1.0:
            raise InputError(f"supervised: learning_rate is {self.learning_rate}; it must lie between 0 and 1")
        if self.seed < 0:
            raise InputError(f"supervised: seed is {self.seed}; it must not be negative")


class Prediction(NamedTuple):
    """The network's answer to B images.

    Attributes:
        camera: (B, 2 + G), the direction of the azimuth (cosine, sine), then shares before the sigmoid.
        presence: (B, N), logits. kind: (B, N, kinds), logits.
        place: (B, N, 2), places in the image, in units of its size from its centre.
        direction: (B, N, 2), cosine and sine of the yaw relative to the camera.
    """

    camera: Tensor
    presence: Tensor
    kind: Tensor
    place: Tensor
    direction: Tensor


class SetNetwork(nn.Module):
    """The network of the rival."""

    def __init__(self, config: SupervisedConfig, world: World) -> None:
        super().__init__()
        self.world, self.kinds, self.slots = world, len(world.prior.kinds), world.prior.max_objects
        self.encoder = ConvEncoder(config.encoder)
        self.trunk = nn.Sequential(nn.Linear(config.encoder.code, config.hidden), nn.ELU())
        self.camera = mlp(config.hidden, config.hidden, 2 + len(world.shared))
        self.slot = mlp(config.hidden, config.hidden, self.slots * (5 + self.kinds))

    def forward(self, images: Tensor) -> Prediction:
        """Look at images (B, 3, S, S)."""
        code = self.trunk(self.encoder(images))
        out = self.slot(code).reshape(len(images), self.slots, -1)
        return Prediction(self.camera(code), out[..., 0], out[..., 5:], out[..., 1:3], out[..., 3:5])

    def answer(self, images: Tensor) -> SceneLatents:
        """The scene that it names: latents of shape (B,) and (B, N)."""
        found, size = self(images), images.shape[-1]
        viewpoint = Viewpoint(torch.atan2(found.camera[:, 1], found.camera[:, 0]), torch.sigmoid(found.camera[:, 2:]))
        position = self.world.view(viewpoint, size).each().unproject((found.place + 0.5) * size - 0.5)
        yaw = torch.atan2(found.direction[..., 1], found.direction[..., 0]) + viewpoint.azimuth_rad[:, None]
        kind = torch.where(found.presence > 0.0, found.kind.argmax(-1), ABSENT)
        looks = torch.full((*kind.shape, len(self.world.appearance)), 0.5, device=images.device)
        return SceneLatents(viewpoint, Objects(kind, position, wrap(yaw), looks))

    def loss(self, images: Tensor, labels: SceneLatents, order: Order) -> Tensor:
        """Compute the mean loss over images, whose labels are in an order that means nothing."""
        found, (viewpoint, objects), size = self(images), labels, images.shape[-1]
        place = (self.world.view(viewpoint, size).each().project(objects.position_m) + 0.5) / size - 0.5
        turn = objects.yaw_rad - viewpoint.azimuth_rad[:, None]
        # cost[b, i, j]: slot i answers for label j
        square = (found.place[:, :, None] - place[:, None]).square().sum(-1)
        direction = (found.direction[:, :, None] - torch.stack([turn.cos(), turn.sin()], -1)[:, None]).square().sum(-1)
        present = objects.kind != ABSENT
        kind = objects.kind.clamp_min(0)
        turns = self.world.turns(images.device)[kind]
        name = -torch.log_softmax(found.kind, -1).gather(-1, kind[:, None].expand(-1, self.slots, -1))
        there = nn.functional.softplus(-found.presence)[..., None] * present[:, None]
        gone = nn.functional.softplus(found.presence)[..., None] * ~present[:, None]
        cost = (name + _PLACE_WEIGHT * square + direction * turns[:, None]) * present[:, None] + there + gone
        if order == "matched":
            pairs = [linear_sum_assignment(matrix) for matrix in cost.detach().cpu().numpy()]
            column = torch.from_numpy(np.stack([columns for _, columns in pairs])).to(images.device)
        else:
            column = torch.arange(self.slots, device=images.device).expand(len(images), -1)
        objects_loss = cost.gather(-1, column[..., None]).sum((1, 2))
        azimuth = torch.stack([viewpoint.azimuth_rad.cos(), viewpoint.azimuth_rad.sin()], -1)
        camera = (found.camera[:, :2] - azimuth).square().sum(-1)
        shares = (torch.sigmoid(found.camera[:, 2:]) - viewpoint.shares).square().sum(-1)
        return (objects_loss + _PLACE_WEIGHT * (camera + shares)).mean()


class SupervisedTabletop:
    """A trained rival; answers as AIR's model does."""

    def __init__(self, network: SetNetwork) -> None:
        self.network = network

    def infer(self, images: NDArray[np.uint8]) -> SceneBatch:
        """Infer the scenes of images (B, S, S, 3) uint8."""
        world, batches = self.network.world, []
        with torch.no_grad():
            for start in range(0, max(len(images), 1), _CHUNK):
                batches.append(world.to_batch(self.network.answer(to_pixels(images[start : start + _CHUNK]))))
        return SceneBatch.concatenate(batches)
