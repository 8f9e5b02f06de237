"""The guide q(z | x): a convolutional encoder and an LSTM that emits one object a step.

For single-object scenes AIR takes one step: z_what (kind, categorical), then z_where (position, Gaussian laid onto
the support) given the kind, then yaw (mixture of wrapped normals) given kind and position. As in AIR, the
network looks twice: at the whole image, and through a window at the place where it believes the object to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize
from air3d.distributions.circle import MAX_SCALE, WrappedNormalMixture, sample_categorical
from air3d.distributions.parts import each
from air3d.distributions.place import PlaceNormal
from air3d.networks.encoder import ConvEncoder, EncoderConfig, GlimpseEncoder, mlp
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import PriorConfig
from air3d.scene3d.support import Support
from air3d.scenes.guide import CERTAIN, Draw, Guide, Mode
from air3d.scenes.latents import Objects, SceneLatents, World

if TYPE_CHECKING:
    from air3d.scenes.painter import Painter

_LOG_SCALE_MIN, _LOG_SCALE_MAX = math.log(0.003), math.log(2.0)
_YAW_SCALE_MIN = 0.01


@dataclass(frozen=True)
class OneLookConfig:
    """Parameters of the guide.

    Attributes:
        encoder: the image encoder.
        hidden: the size of the LSTM's state.
        head: the number of hidden units of each head.
        yaw_components: the components of the yaw's mixture, spread evenly over the circle at first, each as wide as
            their spacing. Few wide ones cannot even begin to express a cube's four-fold posterior: the gradient
            towards an m-fold pattern shrinks with exp(-m^2 scale^2 / 2).
        window: the side of the window that yaw is read from, pixels.
        glimpse: the size of the window's code.
    """

    track: ClassVar[str] = "single-object"

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    hidden: int = 192
    head: int = 128
    yaw_components: int = 16
    window: int = 24
    glimpse: int = 128

    def __post_init__(self) -> None:
        for name in ("hidden", "head", "yaw_components", "window", "glimpse"):
            if not 1 <= getattr(self, name) <= 8192:
                raise InputError(f"guide: {name} is {getattr(self, name)}; it must be 1 to 8192")

    @property
    def size(self) -> ImageSize:
        """The size of the images that it reads."""
        return ImageSize.of(self.image_size)

    @property
    def image_size(self) -> int:
        """The side of the images that it reads, pixels."""
        return self.encoder.image_size

    def build(self, world: World) -> OneLookGuide:
        """Build the guide for the world of one object, everything else of which is known.

        Raises:
            InputError: if `single_world` refuses its prior.
        """
        known = single_world(world.prior)
        homography = table_to_image(known, self.image_size)
        return OneLookGuide(self, len(world.prior.kinds), world.prior.table.place, homography)


def single_world(prior: PriorConfig) -> World:
    """Make the world where everything is known but one object's kind and pose.

    Raises:
        InputError: if the prior leaves anything else open (the count, the camera, sizes, colours or the light).
    """
    if (prior.min_objects, prior.max_objects) != (1, 1):
        raise InputError(
            f"single-object inference needs scenes of exactly 1 object, not {prior.min_objects} to "
            f"{prior.max_objects}; generate them with 'air3d generate single'"
        )
    for name in ("azimuth_rad", "elevation_rad", "distance_m", "fovy_rad"):
        low, high = getattr(prior.orbits, name)
        if low != high:
            raise InputError(f"single-object inference needs a fixed camera, but {name} varies: {low} to {high}")
    if prior.perturb != type(prior.perturb)():
        raise InputError("single-object inference needs unperturbed scenes; generate them without --perturb")
    return World(prior)


def known_camera(world: World) -> Orbit:
    """The one camera of all scenes of a `single_world`."""
    return world.prior.camera.middle()


def table_to_image(world: World, size: int) -> Tensor:
    """The homography (3, 3) from (x, y, 1) in metres, at half the kinds' mean height, to pixels (column, row)."""
    camera = known_camera(world).sized(size, size)
    view = camera.matrix @ camera.eye_pose()[:3]
    return torch.from_numpy(
        np.stack([view[:, 0], view[:, 1], world.height_m * view[:, 2] + view[:, 3]], axis=1)
    ).float()


class GuideState(NamedTuple):
    """The guide's state after looking, before it emits latents.

    Attributes:
        hidden: (..., hidden), the LSTM's state.
        glimpse: (..., glimpse), the code of the window.
    """

    hidden: Tensor
    glimpse: Tensor

    def expand(self, samples: int) -> GuideState:
        """Expand (B, ...) to (B, K, ...)."""
        return GuideState(*(part[:, None].expand(-1, samples, -1) for part in self))


class OneLookGuide(Guide):
    """The one-step guide for scenes of one object.

    Args:
        config: the sizes.
        kinds: the number of kinds.
        place: the support, where positions may be.
        table_to_image: (3, 3), the homography from a position (x, y, 1) in metres, at the height of the objects'
            middle, to homogeneous pixel coordinates.
    """

    config: OneLookConfig
    renders = 0

    def __init__(self, config: OneLookConfig, kinds: int, place: Support, table_to_image: Tensor) -> None:
        super().__init__()
        self.config, self.kinds, self.place = config, kinds, place
        self.table_to_image: Tensor
        self.register_buffer("table_to_image", table_to_image, persistent=False)
        self.encoder = ConvEncoder(config.encoder)
        self.core = nn.LSTMCell(config.encoder.code, config.hidden)
        self.kind_head = mlp(config.hidden, config.head, kinds)
        self.position_head = mlp(config.hidden + kinds, config.head, 4)
        self.glimpse_encoder = GlimpseEncoder(config.window, config.glimpse)
        self.yaw_head = mlp(config.glimpse + kinds + 2, config.head, 3 * config.yaw_components)
        start = 2.0 * math.pi * (torch.arange(config.yaw_components) + 0.5) / config.yaw_components - math.pi
        self.yaw_start: Tensor
        self.register_buffer("yaw_start", start, persistent=False)

    def look(self, images: Tensor, painter: Painter) -> OneLookPosterior:
        """Look at images (B, 3, S, S) in [0, 1]."""
        return OneLookPosterior(self, painter.world, images)

    @property
    def mean_image(self) -> Tensor:
        """The mean (3, S, S) of the training images, which is subtracted from every image."""
        return self.encoder.mean_image

    def forward(self, images: Tensor) -> GuideState:
        """Look at images (B, 3, S, S) in [0, 1]: as a whole, then through a window at the most probable place."""
        hidden, _ = self.core(self.encoder(images))
        with torch.no_grad():  # where to look is not differentiated
            kind = self.kind_head(hidden).argmax(-1)
            place = self._position(hidden, kind).mode()
            homogeneous = nn.functional.pad(place, (0, 1), value=1.0) @ self.table_to_image.T
            centre_px = homogeneous[:, :2] / homogeneous[:, 2:]
        return GuideState(hidden, self.glimpse_encoder(images - self.encoder.mean_image, centre_px))

    def kind_logits(self, state: GuideState) -> Tensor:
        """The logits of the kinds, (..., kinds)."""
        return torch.as_tensor(self.kind_head(state.hidden))

    def position(self, state: GuideState, kind: Tensor) -> PlaceNormal:
        """q(position | kind); kind (...)."""
        return self._position(state.hidden, kind)

    def yaw(self, state: GuideState, kind: Tensor, position_m: Tensor) -> WrappedNormalMixture:
        """q(yaw | kind, position); kind (...), position (..., 2)."""
        u = self.place.unsquash(position_m)
        out = self.yaw_head(torch.cat([state.glimpse, self._one_hot(kind), u.clamp(-3.0, 3.0)], -1))
        logits, shift, raw = out.chunk(3, dim=-1)
        # At first the components' scale is their spacing (fewer than 8 cannot be as wide): the mixture is flat to
        # within a fraction of a percent.
        start = min(2.0 * math.pi / self.config.yaw_components / MAX_SCALE, 0.95)
        scale = _YAW_SCALE_MIN + (MAX_SCALE - _YAW_SCALE_MIN) * torch.sigmoid(raw + _logit(start))
        return WrappedNormalMixture(logits, self.yaw_start + shift, scale)

    def sample(
        self, state: GuideState, samples: int, generator: torch.Generator, kind: Tensor | None = None
    ) -> Objects:
        """Draw K samples for each image: latents of shape (B, K), without gradient.

        Args:
            kind: (B, K), if the kinds are given and only the rest is drawn.
        """
        with torch.no_grad():
            wide = state.expand(samples)
            kind = sample_categorical(self.kind_logits(wide), generator) if kind is None else kind
            position = self.position(wide, kind).sample(generator)
            yaw = self.yaw(wide, kind, position).sample(generator)
        return Objects.upright(kind, position, yaw)

    def rsample(self, state: GuideState, samples: int, generator: torch.Generator) -> tuple[Objects, Tensor]:
        """Draw the same, position and yaw reparameterised (differentiable in the parameters) given the discrete draws,
        and return the log-probability (B, K) of those: the kind, and the component of the yaw's mixture."""
        wide = state.expand(samples)
        logits = self.kind_logits(wide)
        kind = sample_categorical(logits.detach(), generator)
        position = self.position(wide, kind).rsample(generator)
        yaw, log_component = self.yaw(wide, kind, position).rsample(generator)
        log_kind = torch.log_softmax(logits, -1).gather(-1, kind[..., None])[..., 0]
        return Objects.upright(kind, position, yaw), log_kind + log_component

    def log_prob(self, state: GuideState, latents: Objects) -> Tensor:
        """Compute log q(z | x) of latents (B, K), shape (B, K), differentiable in the parameters."""
        log_kind, log_pose = self.log_prob_parts(state, latents)
        return log_kind + log_pose

    def log_prob_parts(self, state: GuideState, latents: Objects) -> tuple[Tensor, Tensor]:
        """Compute log q(kind | x) and log q(position, yaw | kind, x), both (B, K)."""
        wide = state.expand(latents.kind.shape[1])
        kind = torch.log_softmax(self.kind_logits(wide), -1).gather(-1, latents.kind[..., None])[..., 0]
        position = self.position(wide, latents.kind).log_prob(latents.place_m)
        return kind, position + self.yaw(wide, latents.kind, latents.place_m).log_prob(latents.yaw_rad)

    def mode(self, state: GuideState) -> Objects:
        """The most probable kind, then the modes given it: latents of shape (B,)."""
        with torch.no_grad():
            kind = self.kind_logits(state).argmax(-1)
            position = self.position(state, kind).mode()
            return Objects.upright(kind, position, self.yaw(state, kind, position).mode())

    def _position(self, hidden: Tensor, kind: Tensor) -> PlaceNormal:
        out = self.position_head(torch.cat([hidden, self._one_hot(kind)], -1))
        # The bias starts the posterior nearly as wide as the support.
        log_scale = (out[..., 2:] - 0.3).clamp(_LOG_SCALE_MIN, _LOG_SCALE_MAX)
        return PlaceNormal(out[..., :2], log_scale.exp(), self.place)

    def _one_hot(self, kind: Tensor) -> Tensor:
        return nn.functional.one_hot(kind, self.kinds).to(self.yaw_start.dtype)


class OneLookPosterior:
    """q(z | x) of one object under a known camera; see `air3d.scenes.guide`."""

    def __init__(self, guide: OneLookGuide, world: World, images: Tensor) -> None:
        self.guide, self.world, self.state = guide, world, guide(images)

    def draw(self, samples: int, generator: torch.Generator, every: bool = False) -> Draw:
        """Draw K scenes of each image; there is one object whatever is wanted."""
        objects = self.guide.sample(self.state, samples, generator)
        log_q = self.guide.log_prob(self.state, objects)
        nothing = torch.zeros_like(log_q)
        sure = torch.full_like(log_q, CERTAIN)[..., None]
        return Draw(self.world.of_one(objects), nothing, sure, nothing[..., None], log_q[..., None], [])

    def log_prob(self, latents: SceneLatents) -> Tensor:
        """log q(z | x) of scenes (B, K) and (B, K, 1): (B, K)."""
        return self.guide.log_prob(self.state, each(latents.objects, lambda part: part[:, :, 0]))

    def mode(self) -> Mode:
        """Take the most probable kind, then the modes given it; the object is there for certain."""
        latents = self.world.of_one(self.guide.mode(self.state))
        return Mode(latents, torch.ones_like(latents.objects.position_m[..., 0]))

    def redraw(
        self, rows: Tensor, latents: SceneLatents, slot: int, samples: int, generator: torch.Generator
    ) -> Objects:
        """Draw the one object that there is."""
        return self.guide.sample(GuideState(*(part[rows] for part in self.state)), samples, generator)


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
