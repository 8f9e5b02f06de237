"""Polishes an answer through the renderer under a budget of renders: camera, places, yaws and appearance together.

Levenberg-Marquardt (Levenberg 1944, Marquardt 1963) on the difference of the pictures, whose derivatives are central
differences of renders. A picture is piecewise constant on the scale of a fraction of a pixel, so differences are
taken over about half a pixel, and over less where that no longer helps. The kinds and the number of objects stay as
it was.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.distributions.circle import wrap
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.painter import Painter, to_pixels

_CHUNK = 32
# Probes that change a picture about equally: radians of azimuth, of elevation and yaw; metres of distance and place;
# looks.
_AZIMUTH, _YAW, _PLACE_PX, _LOOK = 0.01, 0.12, 0.25, 0.1
_SHARE = {"camera_elevation_rad": 0.006, "camera_distance_m": 0.005}
_LIGHT_SHARE = 0.1
_DAMPING = (0.02, 0.5)
_LONGEST_STEP, _SMALLEST_PROBE = 4.0, 0.1


class Refined(NamedTuple):
    """The polished scenes.

    Attributes:
        scenes: the B scenes, the best that were rendered.
        squared_error: (B,), the error of their pictures, values in [0, 1], summed over pixels and channels.
        renders_per_image: the renders spent, the same number for every image and never above the budget.
        seconds_per_image: the wall time of the whole batch, divided.
    """

    scenes: SceneBatch
    squared_error: NDArray[np.float64]
    renders_per_image: int
    seconds_per_image: float


@dataclass(frozen=True)
class _Coordinates:
    """Converts scenes to vectors of P numbers in units of the probes, and back.

    Objects have their places in the image, and their yaws relative to the camera. The camera can then turn without
    them, and what little it changes (the table's planks) is not drowned by what moving objects would.

    Attributes:
        world: the viewpoint.
        size: the side of the image, pixels.
        unit: (P,), the length of a probe.
    """

    world: World
    size: int
    unit: Tensor

    @staticmethod
    def of(world: World, size: int) -> _Coordinates:
        shares = [_SHARE.get(name, _LIGHT_SHARE * (high - low)) / (high - low) for name, (low, high) in world.shared]
        each = [_PLACE_PX * size / 64.0, _PLACE_PX * size / 64.0, _YAW, *([_LOOK] * len(world.appearance))]
        return _Coordinates(world, size, torch.tensor([_AZIMUTH, *shares, *(each * world.prior.max_objects)]))

    def pack(self, latents: SceneLatents) -> Tensor:
        """Pack latents (B,) and (B, N) into (B, P)."""
        viewpoint, objects = latents
        pixel = self.world.view(viewpoint, self.size).each().project(objects.position_m)
        turn = objects.yaw_rad - viewpoint.azimuth_rad[:, None]
        each = torch.cat([pixel, turn[..., None], objects.appearance], -1).flatten(1)
        return torch.cat([viewpoint.azimuth_rad[:, None], viewpoint.shares, each], -1) / self.unit

    def unpack(self, vector: Tensor, kind: Tensor) -> SceneLatents:
        """Unpack (B, Q, P), with the kinds (B, N), into latents (B, Q) and (B, Q, N), inside the prior's ranges."""
        value, shared = vector * self.unit, len(self.world.shared)
        slots = self.world.prior.max_objects
        each = value[..., 1 + shared :].reshape(*value.shape[:2], slots, 3 + len(self.world.appearance))
        viewpoint = Viewpoint(wrap(value[..., 0]), value[..., 1 : 1 + shared].clamp(0.0, 1.0))
        seen = self.world.view(viewpoint, self.size).each().unproject(each[..., :2])
        place = self.world.prior.table.place.clamp(seen)
        yaw = wrap(each[..., 2] + viewpoint.azimuth_rad[..., None])
        kinds = kind[:, None].expand(-1, value.shape[1], -1)
        return SceneLatents(viewpoint, Objects(kinds, place, yaw, each[..., 3:].clamp(0.0, 1.0)))

    @property
    def renders_a_step(self) -> int:
        """The number of renders that a step takes for each image."""
        return 2 * len(self.unit) + len(_DAMPING)


def refine_tabletop(
    images: NDArray[np.uint8], scenes: SceneBatch, world: World, renderer: Renderer, renders: int
) -> Refined:
    """Polish `scenes`; the squared error never rises.

    Args:
        images: (B, S, S, 3) uint8, of the renderer's size; scenes: an answer for each.
        renders: the budget for each image; a step takes two for every number that is polished, and two more.

    Raises:
        InputError: if images and scenes do not fit, or the budget has no render for the start.
    """
    begin = time.perf_counter()
    if len(scenes) != len(images) or not len(images):
        raise InputError(f"refine: {len(scenes)} scenes for {len(images)} images")
    if renders < 1:
        raise InputError(f"refine: renders is {renders}; use 1 or more for each image")
    painter, found = Painter(world, renderer, torch.device("cpu")), []
    for start in range(0, len(images), _CHUNK):
        latents = world.from_batch(scenes[start : start + _CHUNK])
        found.append(_polish(to_pixels(images[start : start + _CHUNK]), latents, painter, renders))
    seconds = (time.perf_counter() - begin) / len(images)
    batches, errors, spent = zip(*found, strict=True)
    return Refined(SceneBatch.concatenate(batches), np.concatenate(errors), max(spent), seconds)


def _polish(
    pixels: Tensor, latents: SceneLatents, painter: Painter, renders: int
) -> tuple[SceneBatch, NDArray[np.float64], int]:
    coordinates, kind = _Coordinates.of(painter.world, pixels.shape[-1]), latents.objects.kind
    best = coordinates.pack(latents)
    numbers = best.shape[1]
    # What cannot be seen stays as it is: an empty slot, the yaw of a round object.
    visible = _visible(painter.world, latents)
    reach = torch.ones(len(pixels))
    steps = torch.cat([torch.eye(numbers), -torch.eye(numbers)])

    def differences(vectors: Tensor) -> Tensor:
        return (painter.draw(coordinates.unpack(vectors, kind)) - pixels[:, None]).flatten(2)

    now = differences(best[:, None])[:, 0]
    error, spent = now.square().sum(-1), 1
    rows = torch.arange(len(pixels))
    while spent + coordinates.renders_a_step <= renders:
        probes = best[:, None] + reach[:, None, None] * steps * visible[:, None]
        seen = differences(probes)
        slopes = 0.5 * (seen[:, :numbers] - seen[:, numbers:])
        curvature, slope = slopes @ slopes.mT, slopes @ now[..., None]
        diagonal = curvature.diagonal(dim1=-2, dim2=-1)
        floor = 1e-3 * diagonal.amax(-1, keepdim=True) + 1e-6
        moves = []
        for damping in _DAMPING:
            damped = curvature + torch.diag_embed(damping * diagonal + floor)
            moves.append(-torch.linalg.solve(damped, slope)[..., 0].clamp(-_LONGEST_STEP, _LONGEST_STEP))
        trials = best[:, None] + reach[:, None, None] * torch.stack(moves, 1) * visible[:, None]
        tried = torch.cat([seen, differences(trials)], 1)
        spent += coordinates.renders_a_step
        lowest, which = tried.square().sum(-1).min(1)
        better = lowest < error
        vectors = torch.cat([probes, trials], 1)[rows, which]
        best = torch.where(better[:, None], vectors, best)
        now = torch.where(better[:, None], tried[rows, which], now)
        error = torch.where(better, lowest, error)
        # A probe that wins, or no winner at all: the steps were too long.
        reach = torch.where(better & (which >= len(steps)), reach, (0.5 * reach).clamp_min(_SMALLEST_PROBE))
    scenes = painter.world.to_batch(coordinates.unpack(best[:, None], kind))
    return scenes, error.double().numpy(), spent


def _visible(world: World, latents: SceneLatents) -> Tensor:
    """(B, P) bool: whether a number of the scene can be seen in the picture."""
    viewpoint, objects = latents
    here = objects.kind != ABSENT
    turns = world.turns()[objects.kind.clamp_min(0)] & here
    each = torch.cat([torch.stack([here, here, turns], -1), here[..., None].expand_as(objects.appearance)], -1).flatten(
        1
    )
    camera = torch.ones(len(each), 1 + viewpoint.shares.shape[-1], dtype=torch.bool)
    return torch.cat([camera, each], -1)
