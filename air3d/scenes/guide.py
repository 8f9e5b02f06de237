"""The protocol of a guide q(z | x): it looks at images, and then it can be drawn from, scored, and asked for its mode.

Two stand behind these protocols: `step_guide`, which names the camera and then one object a step, and `one_look`, for
one object under a known camera. Estimators, bounds and answers ask for no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from air3d.scenes.latents import SceneLatents

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
        drawn: the pictures (B, K, 3, S, S) that the guide was shown at every step, where it was shown all of them.
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

    def mode(self) -> SceneLatents:
        """The most probable of each step in turn: (B,) and (B, N)."""
        ...


class Guide(Protocol):
    """A network that looks at images."""

    def look(self, images: Tensor, painter: Painter) -> Posterior:
        """Look at images (B, 3, S, S) in [0, 1]; the painter draws what the guide wants to be shown."""
        ...
