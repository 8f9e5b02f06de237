"""Direct ascent of the likelihood under a budget of renders: the machinery of `search` and `refine`.

All images of a batch advance together, so that every step renders one batch. Two ascents, chosen by name:

    fd   the gradient of the log-likelihood by central differences of renders, scaled by the Gauss-Newton curvature of
         the very same renders (Levenberg 1944, Marquardt 1963). A render is piecewise constant at the scale of a
         fraction of a pixel, so differences are taken over about a pixel, and over less where that does not help.
    cma  CMA-ES (Hansen & Ostermeier 2001), from the package `cma`.

Several starts of one image share its budget by successive halving (Jamieson & Talwalkar 2016): equal shares of it go
to all starts, to the better half of them, to the better quarter, down to one. Of all that was rendered, the scene of
highest likelihood is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.renderers.protocol import Renderer
from air3d.scenes.latents import World, unperturbed
from air3d.scenes.likelihood import blurred
from air3d.scenes.schedule import CoarseToFine

Floats = NDArray[np.float64]
Method = Literal["fd", "cma"]

# Lengths of the search's space: metres of x and y and radians of yaw that change a picture about equally.
UNIT = np.array([0.01, 0.01, 0.15])
POPULATION = 8
_RENDERS_AT_ONCE = 504
_PROBES = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
_DIFFERENCE = np.concatenate([np.zeros((1, 3)), 0.5 * np.eye(3), -0.5 * np.eye(3)]).T
_DAMPING = (0.03, 1.0)
_LONGEST_STEP, _SMALLEST_PROBE = 4.0, 0.05


class Target:
    """Images to explain: compares scenes with them, counts the renders, and remembers the best scene of each.

    Args:
        images: (B, H, W, 3) uint8.

    Attributes:
        renders: the number made so far for each image.
        error: (B,), the lowest squared error so far, of unblurred pictures with values in [0, 1].
        kind: (B,), and pose (B, 3), those of that scene: x, y in metres and yaw in [-pi, pi).
    """

    def __init__(self, images: NDArray[np.uint8], world: World, renderer: Renderer) -> None:
        self.world, self.renderer = world, renderer
        self.images = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0
        self.renders = 0
        self.error = np.full(len(images), np.inf)
        self.kind, self.pose = np.zeros(len(images), np.int64), np.zeros((len(images), 3))

    def compare(self, kind: NDArray[np.int64], pose: Floats, blur_px: float) -> Floats:
        """Render P scenes for each of R runs of each image.

        Args:
            kind: (B, R).
            pose: (B, R, P, 3); positions off the support are drawn at its rim.

        Returns:
            (B, R, P, P), inner products of the P (blurred) differences from the image; squared errors on the diagonal.
        """
        b, r, p, _ = pose.shape
        pose = self.inside(pose)
        flat, kinds = pose.reshape(b * r, p, 3), np.repeat(kind.reshape(-1, 1), p, axis=1)
        plain, gram = np.empty((b * r, p)), np.empty((b * r, p, p))
        rows = max(_RENDERS_AT_ONCE // p, 1)
        for start in range(0, b * r, rows):
            part = slice(start, start + rows)
            latents = unperturbed(*map(torch.from_numpy, (kinds[part], flat[part, :, :2], flat[part, :, 2])))
            pixels = torch.from_numpy(self.renderer.render(self.world.to_batch(self.world.of_one(latents))))
            drawn = pixels.permute(0, 3, 1, 2).float().div_(255.0).reshape(*latents.kind.shape, *self.images.shape[1:])
            image = torch.arange(b).repeat_interleave(r)[part]
            difference = drawn - self.images[image, None]
            plain[part] = difference.square().sum(dim=(-3, -2, -1)).numpy()
            seen = blurred(difference, blur_px).flatten(2)
            gram[part] = (seen @ seen.mT).numpy()
        self.renders += r * p
        self._remember(plain.reshape(b, -1), kinds.reshape(b, -1), pose.reshape(b, -1, 3))
        return gram.reshape(b, r, p, p)

    def inside(self, pose: Floats) -> Floats:
        """Pull the positions of poses onto the support, and wrap yaws to [-pi, pi)."""
        place = self.world.prior.table.place.clamp(pose[..., :2])
        yaw = (pose[..., 2] + math.pi) % (2.0 * math.pi) - math.pi
        return np.concatenate([place, yaw[..., None]], axis=-1)

    def _remember(self, error: Floats, kind: NDArray[np.int64], pose: Floats) -> None:
        every = np.arange(len(error))
        best = error.argmin(1)
        better = error[every, best] < self.error
        self.error = np.where(better, error[every, best], self.error)
        self.kind = np.where(better, kind[every, best], self.kind)
        self.pose = np.where(better[:, None], pose[every, best], self.pose)


class _Ascent(Protocol):
    """R runs for each image, advanced together. `cost`: renders of a step of one run; `error`: (B, R) now."""

    cost: int
    error: Floats

    def step(self, target: Target, blur_px: float) -> None: ...

    def keep(self, index: NDArray[np.int64]) -> None:
        """Go on with the runs (B, R') alone."""
        ...


def ascend(
    target: Target,
    kind: NDArray[np.int64],
    pose: Floats,
    method: Method,
    budget: int,
    reach: float,
    schedule: CoarseToFine,
    rngs: Sequence[np.random.Generator],
) -> None:
    """Climb from the starts kind (B, R), pose (B, R, 3) until one more step would take `target.renders` past `budget`.

    Args:
        schedule: gives the blur by the share of the budget spent.
        rngs: the generators, one for each image, so that its result does not depend on the others.
    """
    size = target.images.shape[-1]
    # Rendered once before the first step, the starts bound the answer from below whatever the budget.
    start = target.compare(kind, pose[:, :, None], schedule.blur(target.renders / budget, size))[..., 0, 0]
    runs: _Ascent = _Cma(kind, pose, start, reach, rngs) if method == "cma" else _Differences(kind, pose, start, reach)
    stages = math.ceil(math.log2(kind.shape[1])) + 1
    for stage in range(stages):
        number = -(-kind.shape[1] // 2**stage)
        runs.keep(np.argsort(runs.error, axis=1, kind="stable")[:, :number])
        limit = target.renders + (budget - target.renders) // (stages - stage)
        while target.renders + number * runs.cost <= limit:
            runs.step(target, schedule.blur(target.renders / budget, size))


class _Differences:
    """Gradient ascent by finite differences, scaled by the Gauss-Newton curvature."""

    cost = len(_PROBES) + len(_DAMPING)

    def __init__(self, kind: NDArray[np.int64], pose: Floats, error: Floats, reach: float) -> None:
        self.kind, self.pose, self.error = kind, pose, error
        self.probe = np.full(kind.shape, reach)

    def step(self, target: Target, blur_px: float) -> None:
        unit = self.probe[..., None, None] * UNIT
        points = self.pose[:, :, None] + unit * _PROBES
        gram = target.compare(self.kind, points, blur_px)
        # Rows of _DIFFERENCE turn the pictures at the probes into the derivative of the picture along each unit.
        curvature = _DIFFERENCE @ gram @ _DIFFERENCE.T
        slope = _DIFFERENCE @ gram[..., :1]
        diagonal = np.einsum("...ii->...i", curvature)
        floor = 1e-3 * diagonal.max(-1, keepdims=True) + 1e-9  # where yaw changes nothing, it stays
        trials = []
        for damping in _DAMPING:
            damped = curvature + (damping * diagonal + floor)[..., None] * np.eye(3)
            move = -np.linalg.solve(damped, slope)[..., 0]
            trials.append(move.clip(-_LONGEST_STEP, _LONGEST_STEP))
        steps = self.pose[:, :, None] + unit * np.stack(trials, axis=2)
        tried = np.einsum("...ii->...i", target.compare(self.kind, steps, blur_px))
        error = np.concatenate([np.einsum("...ii->...i", gram), tried], axis=2)
        best = error.argmin(2)[..., None]
        self.error = np.take_along_axis(error, best, 2)[..., 0]
        self.probe = np.where(best[..., 0] == 0, np.maximum(0.5 * self.probe, _SMALLEST_PROBE), self.probe)
        places = np.concatenate([points, steps], axis=2)
        self.pose = target.inside(np.take_along_axis(places, best[..., None], 2)[:, :, 0])

    def keep(self, index: NDArray[np.int64]) -> None:
        self.kind = np.take_along_axis(self.kind, index, 1)
        self.pose = np.take_along_axis(self.pose, index[..., None], 1)
        self.error = np.take_along_axis(self.error, index, 1)
        self.probe = np.take_along_axis(self.probe, index, 1)


class _Cma:
    """One CMA-ES for each run, in units of `UNIT`. A point off the disc counts as its rim, and a little less."""

    cost = POPULATION

    def __init__(
        self,
        kind: NDArray[np.int64],
        pose: Floats,
        error: Floats,
        reach: float,
        rngs: Sequence[np.random.Generator],
    ) -> None:
        import cma

        self.kind, self.error = kind, error

        def new(start: Floats, rng: np.random.Generator) -> Any:
            quiet = {"verbose": -10, "verb_log": 0, "seed": math.nan, "popsize": POPULATION}
            normal = {"randn": lambda *shape: rng.standard_normal(shape)}
            return cma.CMAEvolutionStrategy(start / UNIT, reach, quiet | normal)

        self.strategies = [[new(start, rng) for start in row] for row, rng in zip(pose, rngs, strict=True)]

    def step(self, target: Target, blur_px: float) -> None:
        asked = [[strategy.ask() for strategy in row] for row in self.strategies]
        pose = np.array(asked) * UNIT
        error = np.einsum("...ii->...i", target.compare(self.kind, pose, blur_px))
        outside = np.square((pose[..., :2] - target.inside(pose)[..., :2]) / UNIT[:2]).sum(-1)
        for b, row in enumerate(self.strategies):
            for r, strategy in enumerate(row):
                strategy.tell(asked[b][r], (error + outside)[b, r].tolist())
        self.error = error.min(2)

    def keep(self, index: NDArray[np.int64]) -> None:
        self.kind = np.take_along_axis(self.kind, index, 1)
        self.error = np.take_along_axis(self.error, index, 1)
        self.strategies = [[row[r] for r in keep] for row, keep in zip(self.strategies, index, strict=True)]
