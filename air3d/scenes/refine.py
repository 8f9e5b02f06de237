"""Polishes answers through the renderer, under a budget of renders for each image.

Whatever can be seen of a scene climbs the likelihood together: places, yaws and appearance of the objects, and the
camera and the light as far as the world leaves them open. The kinds and the number of objects stay.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.renderers.protocol import Renderer
from air3d.scene3d.arguments import whole
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError, shown
from air3d.scenes.ascent import Method, Target, ascend
from air3d.scenes.coordinates import Coordinates, wrapped
from air3d.scenes.depth import COLOURS, Images, has_depth
from air3d.scenes.latents import World
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter, to_pixels
from air3d.scenes.schedule import CoarseToFine

# Numbers of the pictures that are compared at once: some 1400 of 64 pixels.
_NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True)
class RefineConfig:
    """Parameters of refinement.

    Attributes:
        renders: the budget for each image.
        method: "fd" (Levenberg-Marquardt by finite differences) or "cma"; see `air3d.scenes.ascent`.
        reach: the first difference (fd) or standard deviation (cma), in units of one pixel of 64 and 0.3 rad of yaw;
            of the others see `air3d.scenes.coordinates`.
        seed: seeds CMA-ES, and the draws of objects.
        candidates: where there is a guide, it reconsiders the answer first (`air3d.scenes.reconsider`), for half of the
            renders: so many draws of each object, given the others; 0 for none.
    """

    renders: int = 50
    method: Method = "fd"
    reach: float = 0.25
    seed: int = 0
    candidates: int = 8

    def __post_init__(self) -> None:
        check_ascent("refine", self.renders, self.method, self.reach, self.seed)
        whole("refine", "candidates", self.candidates, 0, 10_000)


class Refined(NamedTuple):
    """The scenes that were found.

    Attributes:
        scenes: the B scenes, the best that were rendered.
        squared_error: (B,), the error of their pictures, values in [0, 1], summed over pixels and channels.
        log_likelihood: (B,), nats.
        renders_per_image: the most renders that an image took, never above the budget.
        seconds_per_image: the wall time of the whole batch, divided.
    """

    scenes: SceneBatch
    squared_error: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    renders_per_image: int
    seconds_per_image: float


def refine(
    images: Images,
    scenes: SceneBatch,
    world: World,
    renderer: Renderer,
    config: RefineConfig,
    likelihood: Likelihood = Likelihood(),  # noqa: B008 - frozen
) -> Refined:
    """Polish `scenes`; the squared error never rises, and an image's answer does not depend on the others.

    Args:
        images: (B, H, W, 3) uint8, of the renderer's size; or with depth, see `air3d.scenes.depth`.
        scenes: B scenes (an answer each), or B * K in image-major order (K samples each), which share the budget.
        likelihood: says what an error is; of a Gaussian one, sigma changes the reported log-likelihood alone.

    Raises:
        InputError: if the numbers, sizes or kinds do not fit, or the budget has not one render for each start.
    """
    begin = time.perf_counter()
    check_images(images, renderer)
    if not len(images) or not len(scenes) or len(scenes) % len(images):
        raise InputError(f"refine: {len(scenes)} scenes are not a whole number of starts for {len(images)} images")
    starts = len(scenes) // len(images)
    if config.renders < starts:
        raise InputError(f"refine: {config.renders} renders do not reach {starts} starts; allow at least one for each")
    coordinates = Coordinates(world, size_of(renderer), scenes.slots)
    latents = world.from_batch(scenes, dtype=torch.float64)
    kind = latents.objects.kind.unflatten(0, (-1, starts))
    vector = coordinates.pack(latents).unflatten(0, (-1, starts))
    order, targets = [], []
    for rows in _alike(coordinates.visible(kind).sum(-1).amax(1), starts * images[0].size):
        target = make_target(images[rows.numpy()], coordinates, renderer, likelihood)
        rngs = generators(config.seed, rows.tolist())
        ascend(target, kind[rows], vector[rows], config.method, config.renders, config.reach, CoarseToFine(0.0), rngs)
        order.append(rows)
        targets.append(target)
    return collect(targets, torch.cat(order), begin)


def _alike(numbers: Tensor, size: int) -> Iterator[Tensor]:
    """Yield the indices of images whose scenes have as many numbers to vary, as many as are compared at once."""
    for number in numbers.unique().tolist():
        rows = (numbers == number).nonzero()[:, 0]
        yield from rows.split(at_once(max(2 * number, 1) * size))


def at_once(size: int) -> int:
    """How many images are treated at once if the pictures of each have `size` numbers."""
    return max(_NUMBERS_AT_ONCE // size, 1)


def size_of(renderer: Renderer) -> ImageSize:
    """The size of a renderer's images."""
    return ImageSize(renderer.config.width, renderer.config.height)


def make_target(images: Images, coordinates: Coordinates, renderer: Renderer, likelihood: Likelihood) -> Target:
    """Make the target of an ascent from images (B, S, S, 3) uint8."""
    painter = Painter(coordinates.world, renderer, torch.device("cpu"), has_depth(images))
    return Target(to_pixels(images), coordinates, painter, likelihood)


def generators(seed: int, images: Sequence[int]) -> list[np.random.Generator]:
    """Make a generator for each of the images, named by their indices."""
    return [np.random.default_rng((seed, index)) for index in images]


def collect(targets: Sequence[Target], order: Tensor, begin: float) -> Refined:
    """Collect the answers to the images `order` (B,); `begin` is when the clock was started."""
    first, back = targets[0], order.argsort()
    kind, vector, error = (
        torch.cat([getattr(target, name) for target in targets])[back] for name in ("kind", "vector", "error")
    )
    scenes = first.coordinates.world.to_batch(wrapped(first.coordinates.unpack(vector, kind)))
    error = error.double()
    likelihood = first.likelihood.log_density(torch.cat([target.pixels for target in targets])[back], error)
    seconds = (time.perf_counter() - begin) / len(order)
    return Refined(scenes, error.numpy(), likelihood.numpy(), max(target.renders for target in targets), seconds)


def check_ascent(owner: str, renders: int, method: str, reach: float, seed: int) -> None:
    """Raise InputError for values that no ascent can use."""
    if not 1 <= renders <= 10_000_000:
        raise InputError(f"{owner}: renders is {shown(renders)}; use 1 to 10000000 for each image")
    if method not in get_args(Method):
        raise InputError(f"{owner}: method is {shown(method)}; use 'fd' or 'cma'")
    if not 0.0 < reach <= 20.0:
        raise InputError(f"{owner}: reach is {shown(reach)}; it must lie above 0 and be at most 20")
    if seed < 0:
        raise InputError(f"{owner}: seed is {shown(seed)}; it must not be negative")


def check_images(images: Images, renderer: Renderer) -> None:
    """Raise InputError unless the images (B, H, W, 3), or with depth, are of the renderer's size."""
    shape = (renderer.config.height, renderer.config.width, 3)
    whole = images[..., :COLOURS] if images.dtype == np.float32 and images.shape[-1] == COLOURS + 1 else images
    if images.ndim != 4 or whole.shape[1:] != shape or (images.dtype != np.uint8 and whole is images):
        raise InputError(f"images are {images.dtype} of shape {images.shape}; the renderer makes uint8 (B, *{shape})")
