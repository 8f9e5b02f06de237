"""The model: a world, a guide and a likelihood. What it says of images: answers, posterior samples, bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.depth import Images, has_depth, without_depth
from air3d.scenes.guide import Draw, Guide, GuideConfig
from air3d.scenes.latents import World
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter, to_pixels
from air3d.scenes.resample_move import ResampleMove, Samples, resample_move

_CHUNK = 128
_CHUNK_SAMPLES = 512
_CHUNK_SAMPLES_OF_ONE = 2048
# Below this effective number the heaviest sample has at least two thirds of the weight.
_ONE_BEATS_ALL = 1.5


_Guide_co = TypeVar("_Guide_co", bound=Guide, covariant=True)


class Answer(NamedTuple):
    """The scenes inferred from B images.

    Attributes:
        scenes: the B scenes, the most probable of each step in turn.
        presence: (B, N), the probability with which the guide saw the object of each slot; 0 for an empty slot.
    """

    scenes: SceneBatch
    presence: NDArray[np.float64]


class Hypotheses(NamedTuple):
    """K posterior samples of each of B images.

    Attributes:
        scenes: the B * K scenes, image-major.
        log_weight: (B, K), log p(x, z) - log q(z | x), nats; -inf for a scene that the prior does not allow.
        log_likelihood: (B, K), log p(x | z), nats.
    """

    scenes: SceneBatch
    log_weight: Tensor
    log_likelihood: Tensor

    @property
    def allowed(self) -> NDArray[np.int64]:
        """(B,): how many of an image's samples the prior allows. Where it is 0, the weights mean nothing."""
        return np.asarray(self.log_weight.isfinite().sum(-1).numpy())

    @property
    def weight(self) -> NDArray[np.float64]:
        """The normalised importance weights (B, K); equal where the prior allows none of an image's samples."""
        allowed = self.log_weight.isfinite().any(-1, keepdim=True)
        log_weight = torch.where(allowed, self.log_weight, torch.zeros_like(self.log_weight))
        return np.asarray(torch.softmax(log_weight.double(), dim=-1).numpy())

    @property
    def effective_samples(self) -> NDArray[np.float64]:
        """(B,): how many samples of q the weighted ones are worth, from 1 (one beats all others) to K; 0 if the prior
        allows none (Kong 1992)."""
        worth = 1.0 / np.square(self.weight).sum(-1)
        return np.where(self.allowed > 0, worth, 0.0)

    def doubt(self, index: int) -> str | None:
        """Say why the weighted samples of one image tell no spread; None where they do."""
        samples = self.log_weight.shape[1]
        if not self.allowed[index]:
            return f"the prior allows none of the {samples} samples; their weights are equal and mean nothing"
        if samples > 1 and self.effective_samples[index] < _ONE_BEATS_ALL:
            return f"one sample outweighs the other {samples - 1} together; they tell no spread"
        return None


class Bounds(NamedTuple):
    """Bounds on log p(x), nats, one for each image.

    Attributes:
        elbo: (B,), the mean over K samples of log p(x, z) - log q(z | x).
        iwae: (B,), the log of the mean importance weight of the same samples (Burda et al. 2016); above the ELBO.
    """

    elbo: Tensor
    iwae: Tensor


@dataclass(frozen=True, eq=False)
class SceneModel(Generic[_Guide_co]):
    """AIR for scenes of 0 to N objects.

    Attributes:
        world: all that is known before an image is seen.
        guide: the network, on the device that inference runs on.
        likelihood: p(x | z).
        others: further worlds that the guide knows: the same kinds, on other tables.
    """

    world: World
    guide: _Guide_co
    likelihood: Likelihood
    others: tuple[World, ...] = ()

    @staticmethod
    def of(
        prior: PriorConfig,
        guide: GuideConfig[_Guide_co],
        likelihood: Likelihood,
        others: Sequence[PriorConfig] = (),
    ) -> SceneModel[_Guide_co]:
        """Make an untrained model.

        Args:
            prior: the prior that scenes are drawn from.
            guide: builds the network.
            likelihood: p(x | z).
            others: the priors of further worlds, in which one guide sees as in the first.

        Raises:
            InputError: if the guide cannot explain scenes of these priors.
        """
        world, further = World(prior), tuple(map(World, others))
        for other in further:
            world.check_alike(other)
        return SceneModel(world, guide.build(world), likelihood, further)

    @property
    def places(self) -> tuple[SceneModel[_Guide_co], ...]:
        """The model in each of its worlds; the first is itself."""
        return (self, *(replace(self, world=world, guide=self.guide.within(world), others=()) for world in self.others))

    @property
    def prior(self) -> PriorConfig:
        """The prior that scenes are drawn from."""
        return self.world.prior

    @property
    def own_kinds(self) -> tuple[str, ...]:
        """The names of all kinds that its pictures need, those of tables' scenery included."""
        tables = [world.prior.table for world in (self.world, *self.others)]
        return self.prior.kinds + tuple(name for table in tables for name in table.own_kinds)

    @property
    def image_size(self) -> ImageSize:
        """The size of the images that it reads."""
        return self.guide.config.size

    @property
    def device(self) -> torch.device:
        """The device of the guide's weights."""
        return next(self.guide.parameters()).device

    @property
    def render_config(self) -> RenderConfig:
        """The configuration of a renderer for this model."""
        p = self.prior
        width, height = self.image_size
        return RenderConfig(p.kinds, p.table, p.max_objects, height, width, varied=p.varied)

    def painter(self, renderer: Renderer | None) -> Painter:
        """Make the painter that draws this model's latents on the device of its weights."""
        return Painter(self.world, renderer, self.device, self.guide.depth)

    @plain_torch()
    @torch.no_grad()
    def infer(self, images: Images, renderer: Renderer | None = None) -> Answer:
        """Read images (B, H, W, 3) uint8, or with depth (`air3d.scenes.depth`).

        The guide looks at no more than `guide.renders` renders of each.

        Raises:
            InputError: if the guide looks at renders and there is no renderer.
        """
        painter = self.painter(renderer)
        scenes, presence = [], []
        for start in range(0, max(len(images), 1), _CHUNK):
            mode = self.guide.look(self.pixels(images[start : start + _CHUNK]), painter).mode()
            scenes.append(self.world.to_batch(mode.latents))
            presence.append(mode.presence.cpu().numpy().astype(np.float64))
        return Answer(SceneBatch.concatenate(scenes), np.concatenate(presence))

    @plain_torch()
    @torch.no_grad()
    def sample(self, images: Images, renderer: Renderer, samples: int, generator: torch.Generator) -> Hypotheses:
        """Draw `samples` scenes for each of the images, and weigh them.

        Raises:
            InputError: if `samples` is below 1.
        """
        if samples < 1:
            raise InputError(f"model: samples is {samples}; draw 1 or more for each image")
        painter, most = self.painter(renderer), _CHUNK_SAMPLES if self.prior.max_objects > 1 else _CHUNK_SAMPLES_OF_ONE
        parts, size = [], max(most // samples, 1)
        for start in range(0, max(len(images), 1), size):
            pixels = self.pixels(images[start : start + size])
            parts.append(self._weigh(pixels, painter, self.guide.look(pixels, painter).draw(samples, generator)))
        return Hypotheses(
            SceneBatch.concatenate([part.scenes for part in parts]),
            torch.cat([part.log_weight for part in parts]),
            torch.cat([part.log_likelihood for part in parts]),
        )

    @plain_torch()
    def posterior(
        self, images: Images | Tensor, renderer: Renderer, config: ResampleMove, generator: torch.Generator
    ) -> Samples:
        """Sample the posterior of images, or of what `pixels` makes of them: draws of the guide, resampled by weight,
        then moved."""
        painter, size, parts = self.painter(renderer), max(_CHUNK_SAMPLES // config.samples, 1), list[Samples]()
        for start in range(0, max(len(images), 1), size):
            pixels = self.pixels(images[start : start + size])
            parts.append(resample_move(self.world, self.guide, self.likelihood, pixels, painter, config, generator))
        return Samples(
            SceneBatch.concatenate([part.scenes for part in parts]),
            torch.cat([part.log_likelihood for part in parts]),
            np.concatenate([part.effective_samples for part in parts]),
            np.concatenate([part.accepted for part in parts]),
            parts[0].renders,
        )

    def _weigh(self, pixels: Tensor, painter: Painter, drawn: Draw) -> Hypotheses:
        scenes = self.world.to_batch(drawn.latents)
        error = self.likelihood.error(pixels, painter.draw(drawn.latents))
        likelihood = self.likelihood.log_density(pixels, error).cpu()
        prior = torch.from_numpy(self.world.log_prior(scenes)).reshape(likelihood.shape)
        return Hypotheses(scenes, likelihood.double() + prior - drawn.log_q.double().cpu(), likelihood)

    def pixels(self, images: Images | Tensor) -> Tensor:
        """Make the pictures (B, C, H, W) that the guide reads of images, with depth or without; a tensor is that.

        Raises:
            InputError: for images with depth, if it reads colours alone.
        """
        if isinstance(images, Tensor):
            return images
        if has_depth(images) and not self.guide.depth:
            raise InputError("this model reads colours alone; leave out the depth")
        pixels = to_pixels(images).to(self.device)
        return without_depth(pixels) if self.guide.depth and not has_depth(images) else pixels


def bounds(hypotheses: Hypotheses) -> Bounds:
    """Estimate the ELBO and the IWAE bound of each image from its K samples.

    The prior has hard edges, beyond which the guide puts a little of its mass: objects that touch. The ELBO
    is that of the guide confined to what the prior allows, q(z) 1[p(z) > 0] / Z, with Z estimated by the share of
    allowed samples:  mean of log p(x, z) - log q(z) over the allowed samples, + log Z.  The IWAE bound needs no such
    care, a sample of no weight being one. Where none of an image's samples is allowed, both are -inf.
    """
    log_weight = hypotheses.log_weight
    allowed = log_weight.isfinite()
    share = allowed.double().mean(-1)
    total = torch.where(allowed, log_weight, torch.zeros_like(log_weight)).sum(-1)
    elbo = total / allowed.sum(-1) + share.log()
    elbo = torch.where(allowed.any(-1), elbo, torch.full_like(elbo, -math.inf))
    return Bounds(elbo, torch.logsumexp(log_weight, -1) - math.log(log_weight.shape[-1]))
