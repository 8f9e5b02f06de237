"""The trained model of single objects: a guide and the world it was trained in; inference and its bound."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.distributions.parts import joined
from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.likelihood import Gaussian
from air3d.scenes.one_look import GuideConfig, SingleObjectGuide, single_world, table_to_image
from air3d.scenes.painter import Painter

_CHUNK = 256


class Bounds(NamedTuple):
    """Bounds on log p(x), nats, one for each image.

    Attributes:
        elbo: (B,), the mean over K samples of log p(x, z) - log q(z | x).
        iwae: (B,), the log of the mean importance weight of the same samples (Burda et al. 2016); above the ELBO.
    """

    elbo: Tensor
    iwae: Tensor


class SingleObjectModel:
    """AIR of one step for scenes of one object.

    Args:
        prior: the prior that scenes are drawn from; it also fixes the camera, the table and the light.
        guide: the sizes of the network.
        sigma: the standard deviation of the likelihood.
    """

    def __init__(self, prior: PriorConfig, guide: GuideConfig, sigma: float) -> None:
        self.world = single_world(prior)
        self.likelihood = Gaussian(sigma)
        homography = table_to_image(self.world, guide.encoder.image_size)
        self.guide = SingleObjectGuide(guide, len(prior.kinds), prior.table.place, homography)

    @property
    def prior(self) -> PriorConfig:
        """The prior that scenes are drawn from."""
        return self.world.prior

    @property
    def image_size(self) -> int:
        """The side of the images that it reads, pixels."""
        return self.guide.config.encoder.image_size

    @property
    def render_config(self) -> RenderConfig:
        """The configuration of a renderer for this model."""
        prior = self.world.prior
        return RenderConfig(prior.kinds, prior.table, 1, self.image_size, self.image_size)

    def painter(self, renderer: Renderer) -> Painter:
        """Make the painter that draws this model's latents on the device of its weights."""
        return Painter(self.world, renderer, self.guide.yaw_start.device)

    @plain_torch()
    def infer(self, images: NDArray[np.uint8]) -> SceneBatch:
        """Infer the mode of q(z | x) for images (B, S, S, 3) uint8: scenes of one object, (B, 1)."""
        with torch.no_grad():
            parts = [self.guide.mode(self.guide(pixels)) for pixels in _chunks(images)]
        latents = joined(parts)
        return self.world.to_batch(self.world.of_one(latents))

    @plain_torch()
    def bounds(self, images: NDArray[np.uint8], renderer: Renderer, samples: int, generator: torch.Generator) -> Bounds:
        """Estimate both bounds for images (B, S, S, 3) uint8 with K = `samples` renders each.

        Raises:
            InputError: if `samples` is below 1.
        """
        check_samples(samples)
        elbo, iwae = [], []
        with torch.no_grad():
            for pixels in _chunks(images, _CHUNK * 8 // max(samples, 8)):
                log_weight = self._log_weights(pixels, renderer, samples, generator)
                elbo.append(log_weight.mean(-1))
                iwae.append(torch.logsumexp(log_weight, -1) - math.log(samples))
        return Bounds(torch.cat(elbo), torch.cat(iwae))

    def _log_weights(self, pixels: Tensor, renderer: Renderer, samples: int, generator: torch.Generator) -> Tensor:
        state = self.guide(pixels)
        latents = self.guide.sample(state, samples, generator)
        renders = self.painter(renderer).draw(self.world.of_one(latents))
        likelihood = self.likelihood.log_prob(self.likelihood.error(pixels, renders), pixels.shape[1:].numel())
        prior = ScenePrior(self.world.prior).log_prob(self.world.to_batch(self.world.of_one(latents)))
        log_prior = torch.from_numpy(prior).to(likelihood).reshape(likelihood.shape)
        return likelihood + log_prior - self.guide.log_prob(state, latents)


def check_samples(samples: int) -> None:
    """Raise InputError unless there is at least one posterior sample for each image."""
    if samples < 1:
        raise InputError(f"model: samples is {samples}; draw 1 or more for each image")


def to_pixels(images: NDArray[np.uint8]) -> Tensor:
    """Convert (B, H, W, 3) uint8 to (B, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0


def _chunks(images: NDArray[np.uint8], size: int = _CHUNK) -> list[Tensor]:
    """Split images into chunks, at least one, so that no images give an empty answer of the right shape."""
    return [to_pixels(images[i : i + size]) for i in range(0, max(len(images), 1), max(size, 1))]
