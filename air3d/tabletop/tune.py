"""Fine-tuning through the renderer: the likelihood ratio of whole scenes, on observed images.

K whole scenes are drawn for each image; each is praised for log p(x, z) - log q(z | x) above
the mean of the others (`lr`).
For a guide that already sees: from a cold start this objective hides objects (see `wake`). Even a trained guide
forgets objects
under it, sooner or later, unless it goes on dreaming beside it: count is what to watch, not the bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.estimators import lr
from air3d.scenes.likelihood import squared_error
from air3d.tabletop.guide import TableGuide
from air3d.tabletop.infer import sample
from air3d.tabletop.painter import Painter
from air3d.tabletop.soft_prior import scene_log_prior
from scene3d.errors import InputError


@dataclass(frozen=True)
class TuneConfig:
    """Parameters of fine-tuning.

    Attributes:
        samples: K, whole scenes for each image.
        scale_floor, clip: taming of the advantages, nats (`lr.tamed`).
    """

    samples: int = 8
    scale_floor: float = 1.0
    clip: float = 3.0

    def __post_init__(self) -> None:
        if not 2 <= self.samples <= 4096:
            raise InputError(f"tune: samples is {self.samples}; it must be 2 to 4096")
        if not (self.scale_floor > 0.0 and self.clip > 0.0):
            raise InputError(f"tune: scale_floor {self.scale_floor} and clip {self.clip} must be positive")


class TuneStep(NamedTuple):
    """A loss to minimise, and what to watch: means over images and samples.

    Attributes:
        elbo: log p(x, z) - log q(z | x) without the likelihood's constant, under the prior with soft edges.
        squared_error: of the samples' pictures.
        objects: number of them in a sample.
        reward_spread: standard deviation over the samples of an image.
    """

    loss: Tensor
    elbo: Tensor
    squared_error: Tensor
    objects: Tensor
    reward_spread: Tensor

    def record(self) -> dict[str, float]:
        """The numbers, for a log."""
        return {name: float(getattr(self, name)) for name in self._fields if name != "loss"}


def tune_step(
    guide: TableGuide, painter: Painter, images: Tensor, config: TuneConfig, sigma: float, generator: torch.Generator
) -> TuneStep:
    """One step on images (B, 3, S, S)."""
    drawn = sample(guide, painter, images, config.samples, generator)
    setting, objects = drawn.latents
    with torch.no_grad():
        error = squared_error(images, painter.draw(drawn.latents))
        flat = drawn.latents._replace(
            setting=type(setting)(*(part.flatten(0, 1) for part in setting)),
            objects=type(objects)(*(part.flatten(0, 1) for part in objects)),
        )
        log_prior = scene_log_prior(painter.top, flat).reshape(error.shape)
        reward = -0.5 * error / sigma**2 + log_prior - drawn.log_q
    estimate = lr.surrogate(drawn.log_q, reward, config.scale_floor, config.clip)
    count = (objects.kind >= 0).sum(-1).float()
    spread = estimate.diagnostics.reward_spread
    return TuneStep(estimate.loss, reward.mean(), error.mean(), count.mean(), spread)
