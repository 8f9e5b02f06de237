"""AIR's supervised rivals: the guide's own network, trained on true labels instead of images alone.

    regression  the paper's (section 4.3): kind by cross-entropy, position and direction (cos yaw, sin yaw) by squared
                error. Where k turns look the same, the labels of one picture are k yaws, and what minimises squared
                error is their mean direction: for a cube, nothing. This fails, visibly, by construction.
    density     the modern, fair rival: the very guide, fitted to the labels by maximum likelihood. Its mixture of
                wrapped normals can say "one of these four".

Both see the same pictures through the same encoder, glimpse and heads, and answer by `infer`, as the model of AIR does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from air3d.distributions.parts import joined
from air3d.networks.encoder import mlp
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.fitting import POSITION_WEIGHT, place_error
from air3d.scenes.latents import Objects, World, unperturbed
from air3d.scenes.one_look import GuideState, OneLookConfig, SingleObjectGuide, single_world, table_to_image
from air3d.scenes.painter import to_pixels

Method = Literal["regression", "density"]

_CHUNK = 256


@dataclass(frozen=True)
class SupervisedConfig:
    """Parameters of supervised training.

    Attributes:
        method: "regression" or "density".
        iterations: the number of gradient steps.
        batch: the number of images in a step.
        learning_rate: the learning rate of Adam; it falls to zero along a cosine.
        position_weight: the weight of the squared error of position, in radii of a disc as large as the support, beside
            the other terms of the loss; for the density it matters in the first tenth of the run only.
        seed: seeds weights and minibatches.
        guide: the network.
    """

    method: Method = "density"
    iterations: int = 1500
    batch: int = 64
    learning_rate: float = 1e-3
    position_weight: float = POSITION_WEIGHT
    seed: int = 0
    guide: OneLookConfig = field(default_factory=OneLookConfig)

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InputError(f"supervised: method is {shown(self.method)}; use 'regression' or 'density'")
        if self.iterations < 1 or self.batch < 1:
            raise InputError(f"supervised: iterations {self.iterations} and batch {self.batch} must be at least 1")
        if not 0.0 < self.learning_rate < 1.0:
            raise InputError(f"supervised: learning_rate is {self.learning_rate}; it must lie between 0 and 1")
        if not 0.0 < self.position_weight < math.inf:
            raise InputError(f"supervised: position_weight is {self.position_weight}; it must be positive")
        if self.seed < 0:
            raise InputError(f"supervised: seed is {self.seed}; it must not be negative")


class Prediction(NamedTuple):
    """The regression's answer: `position_m` (B, 2), and `direction` (B, 2), which should be (cos yaw, sin yaw)."""

    position_m: Tensor
    direction: Tensor


class Regressor(nn.Module):
    """The guide's network as a regression: its yaw head has two outputs instead of a mixture's parameters."""

    def __init__(self, config: OneLookConfig, world: World) -> None:
        super().__init__()
        self.guide = _new_guide(config, world)
        self.guide.yaw_head = mlp(config.glimpse + self.guide.kinds + 2, config.head, 2)

    def predict(self, state: GuideState, kind: Tensor, place_m: Tensor | None = None) -> Prediction:
        """Predict for objects of `kind` (B,); the direction given their place (B, 2), the predicted one by default."""
        position = self.guide.position(state, kind).mode()
        u = self.guide.place.unsquash(position if place_m is None else place_m).clamp(-3.0, 3.0)
        one_hot = nn.functional.one_hot(kind, self.guide.kinds).to(u)
        return Prediction(position, self.guide.yaw_head(torch.cat([state.glimpse, one_hot, u], -1)))

    def loss(self, images: Tensor, labels: Objects, position_weight: float) -> Tensor:
        """Compute the mean loss over images (B, 3, S, S) with labels of shape (B,)."""
        state = self.guide(images)
        kind = nn.functional.cross_entropy(self.guide.kind_logits(state), labels.kind)
        found = self.predict(state, labels.kind, labels.position_m)
        position = place_error(found.position_m, labels, self.guide.place)
        target = torch.stack([labels.yaw_rad.cos(), labels.yaw_rad.sin()], dim=-1)
        return kind + position_weight * position + (found.direction - target).square().sum(-1).mean()

    def mode(self, state: GuideState) -> Objects:
        """The mode (B,): the most probable kind, the predicted place, the angle of the predicted direction."""
        kind = self.guide.kind_logits(state).argmax(-1)
        found = self.predict(state, kind)
        return unperturbed(kind, found.position_m, torch.atan2(found.direction[:, 1], found.direction[:, 0]))


class SupervisedModel:
    """A trained rival.

    Args:
        prior: the prior of the scenes; it fixes the camera, the table and the light.
        network: the regression, or the guide whose mode is the answer.
    """

    def __init__(self, prior: PriorConfig, network: Regressor | SingleObjectGuide) -> None:
        self.world, self.network = single_world(prior), network

    @property
    def guide(self) -> SingleObjectGuide:
        """The guide's parts."""
        return self.network.guide if isinstance(self.network, Regressor) else self.network

    def infer(self, images: NDArray[np.uint8]) -> SceneBatch:
        """Infer images (B, S, S, 3) uint8: scenes of one object, (B, 1)."""
        with torch.no_grad():
            chunks = (to_pixels(images[i : i + _CHUNK]) for i in range(0, max(len(images), 1), _CHUNK))
            parts = [self.network.mode(self.guide(pixels)) for pixels in chunks]
        return self.world.to_batch(self.world.of_one(joined(parts)))


def new_network(config: SupervisedConfig, prior: PriorConfig) -> Regressor | SingleObjectGuide:
    """Make an untrained network of `config.method`, seeded."""
    world = single_world(prior)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.method == "regression":
            return Regressor(config.guide, world)
        return _new_guide(config.guide, world)


def _new_guide(config: OneLookConfig, world: World) -> SingleObjectGuide:
    homography = table_to_image(world, config.encoder.image_size)
    return SingleObjectGuide(config, len(world.prior.kinds), world.prior.table.place, homography)
