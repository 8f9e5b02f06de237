"""Polishes poses under a budget of renders for each image: AIR's answer, a few steps up the likelihood."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.distributions.pixel_noise import PixelNoise
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError, shown
from air3d.scenes.ascent import Floats, Method, Target, ascend
from air3d.scenes.latents import World, unperturbed
from air3d.scenes.likelihood import Gaussian
from air3d.scenes.schedule import CoarseToFine

_IMAGES_AT_ONCE = 128


@dataclass(frozen=True)
class RefineConfig:
    """Parameters of refinement.

    Attributes:
        renders: the budget for each image.
        method: "fd" or "cma".
        reach: the first difference (fd) or standard deviation (cma), in units of 1 cm and 0.15 rad.
        sigma: the standard deviation of the likelihood that is reported; the answer does not depend on it.
        seed: seeds CMA-ES.
    """

    renders: int = 50
    method: Method = "fd"
    reach: float = 0.25
    sigma: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        check_ascent("refine", self.renders, self.method, self.sigma, self.seed)
        if not 0.0 < self.reach <= 20.0:
            raise InputError(f"refine: reach is {shown(self.reach)}; it must lie above 0 and be at most 20")


class SearchResult(NamedTuple):
    """The scenes that were found.

    Attributes:
        scenes: the B scenes of one object, the best that were rendered.
        log_likelihood: (B,), that of the unblurred pictures, nats.
        renders_per_image: the renders spent, the same number for every image and never above the budget.
        seconds_per_image: the wall time of the whole batch, divided.
    """

    scenes: SceneBatch
    log_likelihood: Floats
    renders_per_image: int
    seconds_per_image: float


def refine(
    images: NDArray[np.uint8],
    scenes: SceneBatch,
    world: World,
    renderer: Renderer,
    config: RefineConfig,
) -> SearchResult:
    """Polish the poses of `scenes`; the kind stays that of one of the starts, and the likelihood never falls.

    Args:
        images: (B, H, W, 3) uint8, of the renderer's size.
        scenes: B scenes of one object (a mode), or B * K in image-major order (K samples each), which share the budget.

    Raises:
        InputError: if the numbers, sizes or kinds do not fit, or the budget has not one render for each start.
    """
    begin = time.perf_counter()
    check_images(images, renderer)
    if scenes.kinds != world.prior.kinds or scenes.slots != 1 or not scenes.present.all():
        raise InputError("refine: needs scenes of exactly one object, of the world's kinds")
    if not len(images) or len(scenes) % len(images):
        raise InputError(f"refine: {len(scenes)} scenes are not a whole number of starts for {len(images)} images")
    starts = len(scenes) // len(images)
    if config.renders < starts:
        raise InputError(f"refine: {config.renders} renders do not reach {starts} starts; allow at least one for each")
    kind = scenes.kind.reshape(-1, starts)
    pose = np.concatenate([scenes.position_m[:, 0], scenes.yaw_rad], axis=1).reshape(-1, starts, 3)
    done = []
    for first in range(0, len(images), _IMAGES_AT_ONCE):
        part = slice(first, first + _IMAGES_AT_ONCE)
        rngs = [np.random.default_rng((config.seed, first + b)) for b in range(len(images[part]))]
        target = Target(images[part], world, renderer)
        ascend(target, kind[part], pose[part], config.method, config.renders, config.reach, CoarseToFine(0.0), rngs)
        done.append(target)
    return collect(done, config.sigma, begin)


def collect(targets: Sequence[Target], sigma: float, begin: float) -> SearchResult:
    """Collect the answers of consecutive batches; `begin` is when the clock was started."""
    kind = np.concatenate([target.kind for target in targets])
    pose = np.concatenate([target.pose for target in targets])
    error = torch.from_numpy(np.concatenate([target.error for target in targets]))
    latents = unperturbed(*map(torch.from_numpy, (kind, pose[:, :2], pose[:, 2])))
    world = targets[0].world
    likelihood = Gaussian(sigma).log_prob(error, targets[0].images[0].numel())
    scenes = world.to_batch(world.of_one(latents))
    seconds = time.perf_counter() - begin
    return SearchResult(scenes, likelihood.numpy(), targets[0].renders, seconds / len(kind))


def check_ascent(owner: str, renders: int, method: str, sigma: float, seed: int) -> None:
    """Raise InputError for values that no ascent can use."""
    if not 1 <= renders <= 10_000_000:
        raise InputError(f"{owner}: renders is {shown(renders)}; use 1 to 10000000 for each image")
    if method not in get_args(Method):
        raise InputError(f"{owner}: method is {shown(method)}; use 'fd' or 'cma'")
    PixelNoise(sigma)
    if seed < 0:
        raise InputError(f"{owner}: seed is {shown(seed)}; it must not be negative")


def check_images(images: NDArray[np.uint8], renderer: Renderer) -> None:
    """Raise InputError unless the images (B, H, W, 3) are of the renderer's size."""
    shape = (renderer.config.height, renderer.config.width, 3)
    if images.ndim != 4 or images.shape[1:] != shape or images.dtype != np.uint8:
        raise InputError(f"images are {images.dtype} of shape {images.shape}; the renderer makes uint8 (B, *{shape})")
