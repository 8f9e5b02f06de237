"""Optimises the likelihood directly for each image by itself: the rival of AIR's amortised inference.

No network and no training. For every kind, poses drawn from the scene prior are rendered once and the best of them
are the starts of an `ascent`, which is coarse to fine: the pictures are blurred at first, so that the error
falls towards the object from afar, and the blur vanishes while the budget is spent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.ascent import Method, Target, ascend
from air3d.scenes.coordinates import Coordinates
from air3d.scenes.latents import World
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.refine import Refined, at_once, check_ascent, check_images, collect, generators, make_target, size_of
from air3d.scenes.schedule import CoarseToFine


@dataclass(frozen=True)
class SearchConfig:
    """Parameters of the search.

    Attributes:
        method: "fd" (finite differences) or "cma"; see `air3d.scenes.ascent`.
        renders: the budget for each image.
        candidates: how many poses of every kind are drawn from the prior and rendered once.
        starts: how many of the best of every kind the ascent starts from.
        reach: the first difference (fd) or standard deviation (cma), in units of one pixel of 64 and 0.3 rad of yaw.
        blur_px: the blur at the start, as standard deviation in pixels of a 64-pixel image; 0 for none.
        anneal: the share of the budget after which nothing is blurred any more.
        seed: seeds the candidates and CMA-ES.
    """

    method: Method = "fd"
    renders: int = 1000
    candidates: int = 24
    starts: int = 4
    reach: float = 1.0
    blur_px: float = 4.0
    anneal: float = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        check_ascent("search", self.renders, self.method, self.reach, self.seed)
        if not 1 <= self.starts <= self.candidates <= 100_000:
            raise InputError(f"search: starts {self.starts} must be 1 to candidates {self.candidates}, at most 100000")
        self.schedule()

    def schedule(self) -> CoarseToFine:
        """The blur over the share of the budget."""
        return CoarseToFine(blur_px=self.blur_px, anneal=self.anneal)


def search(
    images: NDArray[np.uint8],
    world: World,
    renderer: Renderer,
    config: SearchConfig,
    likelihood: Likelihood = Likelihood(),  # noqa: B008 - frozen
) -> Refined:
    """Explain images (B, S, S, 3) uint8 of the renderer's size; an image's answer does not depend on the others.

    Args:
        likelihood: says what an error is; of a Gaussian one, sigma changes the reported log-likelihood alone.

    Raises:
        InputError: if there are no images, their size is another, the world's scenes are not of exactly one object, or
            the budget ends before the ascent begins.
    """
    begin = time.perf_counter()
    check_images(images, renderer)
    if (world.prior.min_objects, world.prior.max_objects) != (1, 1):
        raise InputError(
            "search: looks for one object, and this world has scenes of other numbers; refine a model's answer"
        )
    kinds = len(world.prior.kinds)
    if config.renders < (least := kinds * (config.candidates + config.starts)):
        raise InputError(
            f"search: {config.renders} renders are too few for {config.candidates} candidates and {config.starts} "
            f"starts of each of {kinds} kinds; allow at least {least}, or fewer candidates"
        )
    if not len(images):
        raise InputError("search: no images given")
    coordinates, targets, order = Coordinates(world, size_of(renderer), 1), [], torch.arange(len(images))
    for rows in order.split(at_once(kinds * config.candidates * images[0].size)):
        rngs = generators(config.seed, rows.tolist())
        target = make_target(images[rows.numpy()], coordinates, renderer, likelihood)
        kind, vector = _starts(target, config, rngs)
        ascend(target, kind, vector, config.method, config.renders, config.reach, config.schedule(), rngs)
        targets.append(target)
    return collect(targets, order, begin)


def _starts(target: Target, config: SearchConfig, rngs: list[np.random.Generator]) -> tuple[Tensor, Tensor]:
    """Find the best candidates of each kind: kinds (B, kinds * starts, 1) and vectors (B, kinds * starts, P)."""
    world = target.coordinates.world
    prior, kinds = ScenePrior(world.prior), len(world.prior.kinds)
    # Of any kind: with one object, the rest does not depend on it.
    drawn = SceneBatch.concatenate([prior.sample_batch(rng, kinds * config.candidates) for rng in rngs])
    vector = target.coordinates.pack(world.from_batch(drawn, dtype=torch.float64)).unflatten(0, (len(rngs), kinds, -1))
    kind = torch.arange(kinds)[:, None, None].expand(*vector.shape[:3], 1)
    blur = config.schedule().blur(0.0, target.coordinates.size.height)
    _, error = target.compare(kind[:, :, 0], vector, blur)
    best = error.argsort(dim=2, stable=True)[..., : config.starts, None]
    return kind.take_along_dim(best, 2).flatten(1, 2), vector.take_along_dim(best, 2).flatten(1, 2)
