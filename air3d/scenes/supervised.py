"""AIR's supervised rivals: the guide's own network, trained on true labels instead of images alone.

    regression  the paper's (section 4.3): kind by cross-entropy, place and direction (cos yaw, sin yaw) by squared
                error. Where k turns look the same, the labels of one picture are k yaws, and what minimises squared
                error is their mean direction: for a cube, nothing. This fails, visibly, by construction.
    density     the modern, fair rival: the very guide, fitted to the labels by maximum likelihood. Of whole scenes
                that is what the sleep phase does (`air3d.scenes.sleep`), so it is there and nowhere else.

Both see the same pictures through the guide's encoders and heads; only the last layer of the yaw's head differs. Of
whole scenes the regression explains object by object, as the guide does. Which label teaches step i is the question
that the paper's comparison turns on:

    arbitrary   the i-th of the list, whose order means nothing: the paper's rival
    matched     that of the remaining labels which the network's own answer fits best: the one to train today
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from air3d.distributions.circle import wrap
from air3d.distributions.parts import each, take
from air3d.networks.encoder import mlp
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.fitting import POSITION_WEIGHT, density_loss, place_error
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.one_look import GuideState, OneLookConfig
from air3d.scenes.painter import Painter, to_pixels
from air3d.scenes.pose_head import UprightHead
from air3d.scenes.sleep import Slips, slipped
from air3d.scenes.step_guide import Step, StepGuide, StepGuideConfig
from air3d.scenes.unroll import Choice, unroll
from air3d.scenes.viewpoint import ViewpointPosterior

Method = Literal["regression", "density"]
Order = Literal["arbitrary", "matched"]

_CHUNK = 256
# Of squared errors of places in the image, in units of its side, and of the camera and appearances.
_WEIGHT = 30.0


@dataclass(frozen=True)
class SupervisedConfig:
    """Parameters of supervised training on single objects.

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
        if not 0.0 < self.position_weight < math.inf:
            raise InputError(f"supervised: position_weight is {self.position_weight}; it must be positive")
        _check(self)


@dataclass(frozen=True)
class TabletopSupervisedConfig:
    """Parameters of supervised training on whole scenes, by regression.

    Attributes:
        order: says which label teaches a step, "arbitrary" or "matched".
        iterations: the number of gradient steps.
        batch: the number of labelled scenes in a step, all fresh from the prior.
        learning_rate: the learning rate of Adam; it falls to zero along a cosine.
        seed: seeds weights and scenes.
        guide: the network.
        slips: the slips of the labels that a step is shown as explained, as in the sleep phase.
    """

    order: Order = "matched"
    iterations: int = 1500
    batch: int = 128
    learning_rate: float = 1e-3
    seed: int = 0
    guide: StepGuideConfig = field(default_factory=StepGuideConfig)
    slips: Slips = field(default_factory=Slips)

    def __post_init__(self) -> None:
        if self.order not in get_args(Order):
            raise InputError(f"supervised: order is {shown(self.order)}; use 'arbitrary' or 'matched'")
        _check(self)


def _check(config: SupervisedConfig | TabletopSupervisedConfig) -> None:
    if config.iterations < 1 or config.batch < 1:
        raise InputError(f"supervised: iterations {config.iterations} and batch {config.batch} must be at least 1")
    if not 0.0 < config.learning_rate < 1.0:
        raise InputError(f"supervised: learning_rate is {config.learning_rate}; it must lie between 0 and 1")
    if config.seed < 0:
        raise InputError(f"supervised: seed is {config.seed}; it must not be negative")


class Prediction(NamedTuple):
    """The regression's answer: `position_m` (B, 2), and `direction` (B, 2), which should be (cos yaw, sin yaw)."""

    position_m: Tensor
    direction: Tensor


class Regressor(nn.Module):
    """The network of the one-look guide as a regression."""

    def __init__(self, config: OneLookConfig, world: World) -> None:
        super().__init__()
        self.guide = config.build(world)
        self.guide.yaw_head = _direction_head(self.guide.yaw_head, config.head)

    def predict(self, state: GuideState, kind: Tensor, place_m: Tensor | None = None) -> Prediction:
        """Predict for objects of `kind` (B,); the direction given their place (B, 2), the predicted one by default."""
        position = self.guide.position(state, kind).mode()
        u = self.guide.place.unsquash(position if place_m is None else place_m).clamp(-3.0, 3.0)
        one_hot = nn.functional.one_hot(kind, self.guide.kinds).to(u)
        return Prediction(position, self.guide.yaw_head(torch.cat([state.glimpse, one_hot, u], -1)))

    def loss(self, images: Tensor, labels: Objects, position_weight: float, warm: bool) -> Tensor:
        """Compute the mean loss over images (B, 3, S, S) with labels of shape (B,); it is the same all along."""
        state = self.guide(images)
        kind = nn.functional.cross_entropy(self.guide.kind_logits(state), labels.kind)
        found = self.predict(state, labels.kind, labels.place_m)
        position = place_error(found.position_m, labels, self.guide.place)
        return (
            kind + position_weight * position + (found.direction - _direction(labels.yaw_rad)).square().sum(-1).mean()
        )

    def answer(self, images: Tensor, painter: Painter) -> SceneLatents:
        """Name the most probable kind, the predicted place, the angle of the predicted direction: (B,) and (B, 1)."""
        state = self.guide(images)
        kind = self.guide.kind_logits(state).argmax(-1)
        found = self.predict(state, kind)
        return painter.world.of_one(Objects.upright(kind, found.position_m, _angle(found.direction)))


class Density(nn.Module):
    """The one-look guide itself."""

    def __init__(self, config: OneLookConfig, world: World) -> None:
        super().__init__()
        self.guide = config.build(world)

    def loss(self, images: Tensor, labels: Objects, position_weight: float, warm: bool) -> Tensor:
        """Compute `density_loss`."""
        return density_loss(self.guide, images, labels, warm, position_weight)

    def answer(self, images: Tensor, painter: Painter) -> SceneLatents:
        """Name the mode: (B,) and (B, 1)."""
        return self.guide.look(images, painter).mode().latents


class MeanViewpoint(NamedTuple):
    """The regression's camera and light.

    Attributes:
        direction: (B, 2), which should be the cosine and the sine of the azimuth.
        shares: (B, G).
    """

    direction: Tensor
    shares: Tensor

    def mode(self) -> Viewpoint:
        """The viewpoint that it names, without gradient."""
        return Viewpoint(_angle(self.direction).detach(), self.shares.detach())


class StepRegressor(nn.Module):
    """The network of the guide of whole scenes as a regression: it answers with means where the guide has densities."""

    def __init__(self, config: StepGuideConfig, world: World) -> None:
        super().__init__()
        self.guide = config.build(world)
        if not isinstance(self.guide.pose_head, UprightHead):
            raise InputError("the supervised rivals know upright objects alone; use data of the pose model 'upright'")
        self.guide.pose_head.layers = _direction_head(self.guide.pose_head.layers, config.head)

    def first_look(self, images: Tensor) -> MeanViewpoint:
        """Look for the camera in images (B, 3, S, S) alone."""
        return _mean(self.guide.first_look(images))

    def second_look(self, images: Tensor, empty: Tensor, first: Viewpoint) -> MeanViewpoint:
        """Look for it beside the empty table (B, 3, S, S) as seen from the first look's."""
        return _mean(self.guide.second_look(images, empty, first))

    def cameras(self, images: Tensor, painter: Painter) -> tuple[MeanViewpoint, ...]:
        """Look for the camera as often as the guide does; the last look is the answer."""
        return self.guide.feedback.cameras(self, images, painter)

    def place(self, step: Step, viewpoint: Viewpoint) -> Tensor:
        """Predict the next object's place (A, 2), pixels: the mean of the guide's mixture."""
        return self.guide.place(step, self.guide.view(viewpoint)).mean()

    def direction(self, seen: Tensor, kind: Tensor) -> Tensor:
        """Predict (..., 2), which should be the cosine and the sine of the yaw relative to the camera."""
        assert isinstance(self.guide.pose_head, UprightHead)
        return torch.as_tensor(self.guide.pose_head.layers(self.guide.named(seen, kind)))

    def cost(self, step: Step, viewpoint: Viewpoint, labels: Objects) -> Tensor:
        """Compute what the answer of a step would cost for each of the labels (A, C), whose images are of viewpoints
        (A,): (A, C). Kind and direction are read at the label's place."""
        pixel = self.guide.view(viewpoint).each().project(labels.place_m)
        away = (self.place(step, viewpoint)[:, None] - pixel) / self.guide.config.size.height
        seen = self.guide.seen(step, pixel, viewpoint)
        kind = labels.kind.clamp_min(0)
        name = -torch.log_softmax(self.guide.kind_logits(seen), -1).gather(-1, kind[..., None])[..., 0]
        turn = self.direction(seen, kind) - _direction(labels.yaw_rad - viewpoint.azimuth_rad[:, None])
        cost = name + _WEIGHT * away.square().sum(-1) + turn.square().sum(-1) * self.guide.turns[kind]
        appearance = self.guide.appearance(seen, kind)
        if appearance is not None:
            cost = cost + _WEIGHT * (appearance.mode() - labels.appearance).square().sum(-1)
        return cost

    def loss(
        self,
        images: Tensor,
        labels: SceneLatents,
        order: Order,
        painter: Painter,
        slips: Slips,
        generator: torch.Generator,
    ) -> Tensor:
        """Compute the mean loss over images (B, 3, S, S) with labels (B,) and (B, N), in an order that means nothing.

        Each step is shown the labels of the steps before it, a little wrong, as the sleep phase does.
        """
        viewpoint, objects = labels
        camera = images.new_zeros(())
        for look in self.cameras(images, painter):
            azimuth = (look.direction - _direction(viewpoint.azimuth_rad)).square().sum(-1)
            camera = camera + (azimuth + (look.shares - viewpoint.shares).square().sum(-1)).mean()
        context = slipped(labels, slips, True, generator)
        taught = _Taught(self, labels, context.objects, order)
        found = unroll(self.guide, painter, images, context.viewpoint, taught)
        count = (objects.kind != ABSENT).sum(-1, keepdim=True)
        slot = torch.arange(objects.kind.shape[1], device=count.device)
        asked = (slot <= count) & (slot >= painter.world.prior.min_objects)
        presence = nn.functional.binary_cross_entropy_with_logits(
            found.presence, (slot < count).to(images.dtype), asked.to(images.dtype), reduction="sum"
        )
        return _WEIGHT * camera + (presence + taught.total) / len(images)

    def answer(self, images: Tensor, painter: Painter) -> SceneLatents:
        """Name the scenes of images (B, 3, S, S): (B,) and (B, N)."""
        viewpoint = self.cameras(images, painter)[-1].mode()
        return SceneLatents(viewpoint, unroll(self.guide, painter, images, viewpoint, _Named(self)).objects)


class _Named(Choice):
    """Chooses what the regression names: the kind and the direction at the predicted place."""

    def __init__(self, regressor: StepRegressor) -> None:
        self.regressor = regressor

    def objects(self, guide: StepGuide, step: Step, viewpoint: Viewpoint, rows: Tensor, slot: int) -> Objects:
        pixel = self.regressor.place(step, viewpoint)[:, None]
        seen = guide.seen(step, pixel, viewpoint)
        kind = guide.kind_logits(seen).argmax(-1)
        yaw = wrap(_angle(self.regressor.direction(seen, kind)) + viewpoint.azimuth_rad[:, None])
        appearance = guide.appearance(seen, kind)
        return Objects.upright(
            kind,
            guide.view(viewpoint).each().unproject(pixel),
            yaw,
            seen[..., :0] if appearance is None else appearance.mode(),
        )


class _Taught(Choice):
    """Chooses the label that teaches each step, and adds up what the steps' answers cost.

    Args:
        labels: (B,) and (B, N), what the answers are measured by.
        context: (B, N), the same objects as later steps are shown them.
    """

    def __init__(self, regressor: StepRegressor, labels: SceneLatents, context: Objects, order: Order) -> None:
        self.regressor, self.labels, self.context, self.order = regressor, labels, context, order
        self.left = labels.objects.kind != ABSENT
        self.total = labels.viewpoint.azimuth_rad.new_zeros(())

    def present(self, logit: Tensor, rows: Tensor, slot: int) -> Tensor:
        return self.left[rows].any(-1)

    def objects(self, guide: StepGuide, step: Step, viewpoint: Viewpoint, rows: Tensor, slot: int) -> Objects:
        true, labels = take(self.labels.viewpoint, rows), take(self.labels.objects, rows)
        first, here = self.left[rows].int().argmax(-1), torch.arange(len(rows), device=rows.device)
        if self.order == "arbitrary":
            chosen = first
            cost = self.regressor.cost(step, true, each(labels, lambda part: part[here, first, None]))[:, 0]
        else:
            costs = self.regressor.cost(step, true, labels)
            chosen = costs.detach().masked_fill(~self.left[rows], math.inf).argmin(-1)
            cost = costs[here, chosen]
        self.total = self.total + cost.sum()
        self.left[rows, chosen] = False
        return each(self.context, lambda part: part[rows, chosen, None])


class Rival(Protocol):
    """A trained network that answers images."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Its weights."""
        ...

    def answer(self, images: Tensor, painter: Painter) -> SceneLatents:
        """Name the scenes of images (B, 3, S, S): (B,) and (B, N)."""
        ...


class SupervisedModel:
    """A trained rival; answers as AIR's model does.

    Args:
        world: all that is known before an image is seen.
        network: names the scenes.
    """

    def __init__(self, world: World, network: Rival) -> None:
        self.world, self.network = world, network

    def infer(self, images: NDArray[np.uint8], renderer: Renderer | None = None) -> SceneBatch:
        """Infer the scenes of images (B, S, S, 3) uint8; networks for one object look at no render."""
        painter, batches = Painter(self.world, renderer, torch.device("cpu")), []
        with torch.no_grad():
            for start in range(0, max(len(images), 1), _CHUNK):
                pixels = to_pixels(images[start : start + _CHUNK])
                batches.append(self.world.to_batch(self.network.answer(pixels, painter)))
        return SceneBatch.concatenate(batches)


def new_network(config: SupervisedConfig, prior: PriorConfig) -> Regressor | Density:
    """Make an untrained network of `config.method`, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        made = Regressor if config.method == "regression" else Density
        return made(config.guide, World(prior))


def new_step_network(config: TabletopSupervisedConfig, world: World) -> StepRegressor:
    """Make an untrained network for whole scenes, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return StepRegressor(config.guide, world)


def _direction_head(head: nn.Sequential, hidden: int) -> nn.Sequential:
    """Make a head of two outputs in the place of that of a mixture."""
    return mlp(head[0].in_features, hidden, 2)  # type: ignore[arg-type]


def _mean(posterior: ViewpointPosterior) -> MeanViewpoint:
    return MeanViewpoint(posterior.azimuth.mean_direction(), posterior.shares.mode())


def _direction(angle_rad: Tensor) -> Tensor:
    return torch.stack([angle_rad.cos(), angle_rad.sin()], -1)


def _angle(direction: Tensor) -> Tensor:
    return torch.atan2(direction[..., 1], direction[..., 0])
