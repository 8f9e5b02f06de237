"""Optimises the likelihood directly for each image by itself: the rival of AIR's amortised inference.

No network and no training. For every kind, poses drawn from the scene prior are rendered once and the best of them
are the starts of an `ascent`, which is coarse to fine: the pictures are blurred at first, so that the error
falls towards the object from afar, and the blur vanishes while the budget is spent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.protocol import Renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.ascent import Floats, Method, Target, ascend
from air3d.scenes.latents import World
from air3d.scenes.schedule import CoarseToFine
from air3d.scenes.single_refine import SearchResult, check_ascent, check_images, collect

_IMAGES_AT_ONCE = 64


@dataclass(frozen=True)
class SearchConfig:
    """Parameters of the search.

    Attributes:
        method: "fd" (finite differences) or "cma"; see `air3d.scenes.ascent`.
        renders: the budget for each image.
        candidates: how many poses of every kind are drawn from the prior and rendered once.
        starts: how many of the best of every kind the ascent starts from.
        reach: the first difference (fd) or standard deviation (cma), in units of 1 cm and 0.15 rad.
        blur_px: the blur at the start, as standard deviation in pixels of a 64-pixel image; 0 for none.
        anneal: the share of the budget after which nothing is blurred any more.
        sigma: the standard deviation of the likelihood that is reported; the answer does not depend on it.
        seed: seeds the candidates and CMA-ES.
    """

    method: Method = "fd"
    renders: int = 1000
    candidates: int = 24
    starts: int = 4
    reach: float = 1.0
    blur_px: float = 4.0
    anneal: float = 0.6
    sigma: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        check_ascent("search", self.renders, self.method, self.sigma, self.seed)
        if not 1 <= self.starts <= self.candidates <= 100_000:
            raise InputError(f"search: starts {self.starts} must be 1 to candidates {self.candidates}, at most 100000")
        if not 0.0 < self.reach <= 20.0:
            raise InputError(f"search: reach is {self.reach}; it must lie above 0 and be at most 20")
        self.schedule()

    def schedule(self) -> CoarseToFine:
        """The blur over the share of the budget."""
        return CoarseToFine(blur_px=self.blur_px, anneal=self.anneal)


def search(images: NDArray[np.uint8], world: World, renderer: Renderer, config: SearchConfig) -> SearchResult:
    """Explain images (B, H, W, 3) uint8 of the renderer's size; an image's answer does not depend on the others.

    Raises:
        InputError: if there are no images, their size is another, or the budget ends before the ascent begins.
    """
    begin = time.perf_counter()
    check_images(images, renderer)
    kinds = len(world.prior.kinds)
    if config.renders < (least := kinds * (config.candidates + config.starts)):
        raise InputError(
            f"search: {config.renders} renders are too few for {config.candidates} candidates and {config.starts} "
            f"starts of each of {kinds} kinds; allow at least {least}, or fewer candidates"
        )
    if not len(images):
        raise InputError("search: no images given")
    done = []
    for first in range(0, len(images), _IMAGES_AT_ONCE):
        part = images[first : first + _IMAGES_AT_ONCE]
        rngs = [np.random.default_rng((config.seed, first + b)) for b in range(len(part))]
        target = Target(part, world, renderer)
        kind, pose = _starts(target, config, rngs)
        ascend(target, kind, pose, config.method, config.renders, config.reach, config.schedule(), rngs)
        done.append(target)
    return collect(done, config.sigma, begin)


def _starts(target: Target, config: SearchConfig, rngs: list[np.random.Generator]) -> tuple[NDArray[np.int64], Floats]:
    """Find the best candidates of each kind: kinds (B, kinds * starts) and poses (B, kinds * starts, 3)."""
    prior, kinds, b = ScenePrior(target.world.prior), len(target.world.prior.kinds), len(rngs)
    pose = np.empty((b, kinds * config.candidates, 3))
    for row, rng in zip(pose, rngs, strict=True):
        drawn = prior.sample_batch(rng, len(row))  # of any kind: with one object, poses do not depend on it
        row[:] = np.concatenate([drawn.position_m[:, 0], drawn.yaw_rad], axis=1)
    kind = np.tile(np.repeat(np.arange(kinds), config.candidates), (b, 1))
    blur = config.schedule().blur(0.0, target.images.shape[-1])
    error = target.compare(kind, pose[:, :, None], blur).reshape(b, kinds, config.candidates)
    best = np.argsort(error, axis=2, kind="stable")[..., : config.starts]
    index = (best + config.candidates * np.arange(kinds)[:, None]).reshape(b, -1)
    return np.take_along_axis(kind, index, 1), np.take_along_axis(pose, index[..., None], 1)
