"""Ascent of the likelihood of images under a budget of renders: what `refine` and `search` have in common.

All images of a batch advance together, so that every step renders one batch. Two ascents, chosen by name, move the
numbers of a scene (`air3d.scenes.coordinates`) that can be seen in its picture:

    fd   Levenberg-Marquardt (Levenberg 1944, Marquardt 1963) on the residuals of the likelihood, whose derivatives
         are central differences of renders. A render is piecewise constant at the scale of a fraction of a pixel, so
         differences are taken over a good part of one, and over less where that does not help.
    cma  CMA-ES (Hansen & Ostermeier 2001), from the package `cma`.

Several starts of one image share its budget by successive halving (Jamieson & Talwalkar 2016): equal shares of it go
to all starts, to the better half of them, to the better quarter, down to one. Of all that was rendered, the scene of
highest likelihood is the answer (while pictures are blurred, of the one of each step that is best when blurred).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from air3d.scene3d.batch import ABSENT
from air3d.scenes.coordinates import Coordinates
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter
from air3d.scenes.schedule import CoarseToFine

Method = Literal["fd", "cma"]

_POPULATION = 8
_DAMPING = (0.03, 1.0)
_LONGEST_STEP, _SMALLEST_REACH = 4.0, 0.02


class Target:
    """Images to explain: compares scenes with them, counts the renders, and remembers the best scene of each.

    Args:
        pixels: (B, 3, S, S) in [0, 1].

    Attributes:
        renders: the number made so far for each image.
        error: (B,), the lowest error so far, of unblurred pictures.
        kind: (B, N), and vector (B, P), those of that scene.
    """

    def __init__(self, pixels: Tensor, coordinates: Coordinates, painter: Painter, likelihood: Likelihood) -> None:
        self.pixels, self.coordinates, self.painter, self.likelihood = pixels, coordinates, painter, likelihood
        self.renders = 0
        self.error = torch.full((len(pixels),), math.inf)
        self.kind = torch.full((len(pixels), 1), ABSENT)
        self.vector = torch.zeros(len(pixels), 1, dtype=torch.float64)

    def compare(self, kind: Tensor, vector: Tensor, blur_px: float) -> tuple[Tensor, Tensor]:
        """Render Q scenes for each of R runs of each image.

        Args:
            kind: (B, R, N).
            vector: (B, R, Q, P); places off the support are drawn at its rim.

        Returns:
            The residuals (B, R, Q, D) of the (blurred) pictures, and the sums (B, R, Q) of their squares.
        """
        r, q = vector.shape[1:3]
        kinds = kind[:, :, None].expand(-1, -1, q, -1)
        drawn = self.painter.draw(self.coordinates.unpack(vector, kinds)).flatten(1, 2)
        residuals = self.likelihood.residuals(self.pixels, drawn, blur_px).flatten(2)
        error = torch.linalg.vector_norm(residuals, dim=-1).square()
        self.renders += r * q
        self._remember(error.argmin(1), drawn, kinds.flatten(1, 2), vector.flatten(1, 2))
        return residuals.unflatten(1, (r, q)), error.unflatten(1, (r, q))

    def _remember(self, which: Tensor, drawn: Tensor, kind: Tensor, vector: Tensor) -> None:
        every = torch.arange(len(which))
        error = self.likelihood.error(self.pixels, drawn[every, which][:, None])[:, 0]
        better = error < self.error
        kind, vector = kind[every, which], vector[every, which]
        self.error = torch.where(better, error, self.error)
        self.kind = torch.where(better[:, None], kind, self.kind)
        self.vector = torch.where(better[:, None], vector, self.vector)


class _Ascent(ABC):
    """R runs for each image of a target, advanced together.

    Attributes:
        kind: (B, R, N).
        vector: (B, R, P), where the runs stand (fd) or began (cma).
        directions: (B, R, M, P), along which they move.
        error: (B, R), the error where a run stands; of a population, the lowest.
    """

    def __init__(self, target: Target, kind: Tensor, vector: Tensor, error: Tensor) -> None:
        self.target, self.kind, self.vector, self.error = target, kind, vector, error
        self.directions = _directions(target.coordinates.visible(kind))

    @property
    @abstractmethod
    def cost(self) -> int:
        """The number of renders that the next step of a run takes, at most."""

    @abstractmethod
    def step(self, blur_px: float) -> None: ...

    def keep(self, index: Tensor) -> None:
        """Go on with the runs (B, R') alone."""
        every = torch.arange(len(index))[:, None]
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[every, index])


def ascend(
    target: Target,
    kind: Tensor,
    vector: Tensor,
    method: Method,
    budget: int,
    reach: float,
    schedule: CoarseToFine,
    rngs: Sequence[np.random.Generator],
) -> None:
    """Climb from the starts kind (B, R, N), vector (B, R, P) until a step more would take the renders past `budget`.

    Args:
        reach: the first difference (fd) or standard deviation (cma), in units of the coordinates.
        schedule: gives the blur by the share of the budget spent.
        rngs: the generators, one for each image, so that its result does not depend on the others.
    """

    def blur() -> float:
        return schedule.blur(target.renders / budget, target.coordinates.size.height)

    # Rendered once before the first step, the starts bound the answer from below whatever the budget.
    first = blur()
    residual, error = target.compare(kind, vector[:, :, None], first)
    runs: _Ascent
    if method == "cma":
        runs = _Cma(target, kind, vector, error[..., 0], reach, rngs)
    else:
        runs = _LevenbergMarquardt(target, kind, vector, error[..., 0], reach, residual[:, :, 0], first)
    stages = math.ceil(math.log2(kind.shape[1])) + 1
    for stage in range(stages):
        number = -(-kind.shape[1] // 2**stage)
        runs.keep(runs.error.argsort(dim=1, stable=True)[:, :number])
        limit = target.renders + (budget - target.renders) // (stages - stage)
        while target.renders + number * runs.cost <= limit:
            runs.step(blur())


def _directions(visible: Tensor) -> Tensor:
    """The steps along each of the numbers that are visible (..., P): (..., M, P), zeros where fewer than M are.

    M is 2 at least, for CMA-ES knows no space of one dimension.
    """
    most = max(int(visible.sum(-1).max()), 2)
    order = visible.long().argsort(dim=-1, descending=True, stable=True)[..., :most]
    return torch.eye(visible.shape[-1], dtype=torch.float64)[order] * visible.gather(-1, order)[..., None]


class _LevenbergMarquardt(_Ascent):
    """Levenberg-Marquardt with two dampings tried at a time; the differences shrink where nothing is better."""

    def __init__(
        self,
        target: Target,
        kind: Tensor,
        vector: Tensor,
        error: Tensor,
        reach: float,
        residual: Tensor,
        blur_px: float,
    ) -> None:
        super().__init__(target, kind, vector, error)
        self.residual, self.blur_px = residual, blur_px
        self.reach = torch.full(error.shape, reach, dtype=torch.float64)

    @property
    def cost(self) -> int:
        """Both ways along every direction, the trials, and where the run stands if the blur has changed."""
        return 2 * self.directions.shape[2] + len(_DAMPING) + (self.blur_px > 0.0)

    def step(self, blur_px: float) -> None:
        if blur_px != self.blur_px:
            self.blur_px = blur_px
            residual, error = self.target.compare(self.kind, self.vector[:, :, None], blur_px)
            self.residual, self.error = residual[:, :, 0], error[..., 0]
        steps = self.reach[..., None, None] * self.directions
        probes = self.vector[:, :, None] + torch.cat([steps, -steps], 2)
        seen, error = self.target.compare(self.kind, probes, blur_px)
        trials = self.vector[:, :, None] + self._moves(seen) @ steps
        tried, tried_error = self.target.compare(self.kind, trials, blur_px)
        lowest, which = torch.cat([error, tried_error], 2).min(2)
        better, first = lowest < self.error, seen.shape[2]
        won = torch.where((which < first)[..., None], _at(seen, which), _at(tried, which - first))
        self.residual = torch.where(better[..., None], won, self.residual)
        best = torch.where(better[..., None], _at(torch.cat([probes, trials], 2), which), self.vector)
        self.vector = self.target.coordinates.inside(best, self.kind)
        self.error = torch.where(better, lowest, self.error)
        self.reach = torch.where(better, self.reach, (0.5 * self.reach).clamp_min(_SMALLEST_REACH))

    def _moves(self, seen: Tensor) -> Tensor:
        """The steps (B, R, T, M) that minimise the linearised error, one for each damping, in units of the reach."""
        ahead, back = seen.chunk(2, 2)
        twice = ahead - back
        curvature, slope = 0.25 * (twice @ twice.mT).double(), 0.5 * (twice @ self.residual[..., None]).double()
        diagonal = curvature.diagonal(dim1=-2, dim2=-1)
        floor = 1e-3 * diagonal.amax(-1, keepdim=True) + 1e-9  # where a number changes nothing, it stays
        damped = [curvature + torch.diag_embed(damping * diagonal + floor) for damping in _DAMPING]
        moves = torch.linalg.solve(torch.stack(damped, 2), -slope[:, :, None])
        return moves[..., 0].clamp(-_LONGEST_STEP, _LONGEST_STEP)


def _at(parts: Tensor, index: Tensor) -> Tensor:
    """The entries index (B, R) of parts (B, R, Q, ...); an index out of range gives any."""
    b, r, q = parts.shape[:3]
    return parts[torch.arange(b)[:, None], torch.arange(r), index.clamp(0, q - 1)]


class _Cma(_Ascent):
    """One CMA-ES for each run. A point off the support or the ranges counts as their rim, and a little less."""

    def __init__(
        self,
        target: Target,
        kind: Tensor,
        vector: Tensor,
        error: Tensor,
        reach: float,
        rngs: Sequence[np.random.Generator],
    ) -> None:
        import cma

        super().__init__(target, kind, vector, error)

        def new(rng: np.random.Generator) -> Any:
            quiet = {"verbose": -10, "verb_log": 0, "seed": math.nan, "popsize": _POPULATION}
            normal = {"randn": lambda *shape: rng.standard_normal(shape)}
            return cma.CMAEvolutionStrategy(np.zeros(self.directions.shape[2]), reach, quiet | normal)

        self.strategies = [[new(rng) for _ in range(kind.shape[1])] for rng in rngs]

    @property
    def cost(self) -> int:
        """A population."""
        return _POPULATION

    def step(self, blur_px: float) -> None:
        asked = [[strategy.ask() for strategy in row] for row in self.strategies]
        tried = self.vector[:, :, None] + torch.from_numpy(np.array(asked)) @ self.directions
        _, error = self.target.compare(self.kind, tried, blur_px)
        kinds = self.kind[:, :, None].expand(*tried.shape[:3], -1)
        outside = (tried - self.target.coordinates.inside(tried, kinds)).square().sum(-1)
        for b, row in enumerate(self.strategies):
            for r, strategy in enumerate(row):
                strategy.tell(asked[b][r], (error + outside)[b, r].tolist())
        self.error = error.amin(2)

    def keep(self, index: Tensor) -> None:
        super().keep(index)
        self.strategies = [[row[r] for r in keep] for row, keep in zip(self.strategies, index.tolist(), strict=True)]
