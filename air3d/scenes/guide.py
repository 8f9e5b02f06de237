"""A guide q(z | x): it looks at images, and then it can be drawn from, scored, and asked for its mode.

There are two: `step_guide`, which names the camera and then one object a step, and `one_look`, for one object under a
known camera. Estimators, bounds and answers ask for no more than stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize
from air3d.renderers.protocol import Renderer
from air3d.scene3d.errors import InputError
from air3d.scenes.latents import Objects, SceneLatents, World

if TYPE_CHECKING:
    from air3d.scenes.painter import Painter

# The logit of an object that the prior makes sure of: e^-30 is nothing in float32.
CERTAIN = 30.0


class Draw(NamedTuple):
    """K scenes of q(z | x) for each of B images, with log q in the prior's units: per radian, metre and the like.

    Attributes:
        latents: the scenes, (B, K) and (B, K, N).
        log_q_viewpoint: (B, K).
        presence: (B, K, N), logits of "there is an i-th object, given i - 1 before it"; certain where the prior is.
        log_q_presence: (B, K, N), log q of the chosen z_pres.
        log_q_objects: (B, K, N), log q of each object given those before it; 0 for an empty slot.
        drawn: the pictures that the guide was shown at every step; see `shown`.
    """

    latents: SceneLatents
    log_q_viewpoint: Tensor
    presence: Tensor
    log_q_presence: Tensor
    log_q_objects: Tensor
    drawn: list[Tensor | None]

    @property
    def log_q(self) -> Tensor:
        """log q(z | x) of whole scenes, (B, K)."""
        return self.log_q_viewpoint + (self.log_q_presence + self.log_q_objects).sum(-1)

    def shown(self, n: int) -> Tensor | None:
        """The pictures (A, 3, S, S) of the first n objects, of all those scenes, in order, that have as many at least;
        None where the guide was shown none."""
        return self.drawn[n] if n < len(self.drawn) else None


class Mode(NamedTuple):
    """The beliefs of a guide about B images.

    Attributes:
        latents: the most probable of each step in turn, (B,) and (B, N).
        presence: (B, N), the probability with which the guide saw the object of each slot; 0 for an empty slot.
    """

    latents: SceneLatents
    presence: Tensor


class Posterior(Protocol):
    """q(z | x) of B images."""

    def draw(self, samples: int, generator: torch.Generator, every: bool = False) -> Draw:
        """Draw K = `samples` scenes of each image; log q is differentiable in the guide's parameters.

        Args:
            every: draws all N objects whatever z_pres says: scenes of 0, 1, .. N objects in one.
        """
        ...

    def log_prob(self, latents: SceneLatents) -> Tensor:
        """log q(z | x) of scenes (B, K) and (B, K, N) with their objects in that order, empty slots last: (B, K)."""
        ...

    def mode(self) -> Mode:
        """Take the most probable of each step in turn, and how probable its objects are."""
        ...

    def redraw(
        self, rows: Tensor, latents: SceneLatents, slot: int, samples: int, generator: torch.Generator
    ) -> Objects:
        """Draw the object of a slot anew, or one more for an empty slot, given all others.

        Args:
            rows: (R,), the images.
            latents: (R,) and (R, N), their scenes; what is in the slot is left out.

        Returns:
            (R, K).
        """
        ...


class Guide(nn.Module, ABC):
    """A network that looks at images; its `config` builds it for a world.

    Its buffer `mean_image` (3, S, S) takes the mean of the training images before training begins.
    """

    config: GuideConfig[Guide]

    depth = False  # whether it looks at pictures with depth

    @property
    @abstractmethod
    def renders(self) -> int:
        """The most renders of an image that it looks at on the way to the mode."""

    @abstractmethod
    def look(self, images: Tensor, painter: Painter) -> Posterior:
        """Look at images (B, 3, S, S) in [0, 1]; the painter draws what the guide wants to be shown."""

    def within(self, world: World) -> Self:
        """Return the guide, with the same weights, that sees another world than the one it was built for.

        Raises:
            InputError: if it sees no other.
        """
        raise InputError(f"a guide of the track '{self.config.track}' sees one world alone")

    def meet(self, renderer: Renderer) -> None:
        """Learn how the kinds look, before training begins, where the guide wants to know; once."""


_Guide_co = TypeVar("_Guide_co", bound=Guide, covariant=True)


class GuideConfig(Protocol[_Guide_co]):
    """The sizes of a guide, a frozen dataclass.

    Attributes:
        track: the name of this kind of guide in the files of models.
    """

    track: ClassVar[str]

    @property
    def size(self) -> ImageSize:
        """The size of the images that it reads."""
        ...

    def build(self, world: World) -> _Guide_co:
        """Build the guide, with random weights.

        Raises:
            InputError: if it cannot explain scenes of this world.
        """
        ...
