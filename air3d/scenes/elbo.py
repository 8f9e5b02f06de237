"""The objective of learning from images alone, and one draw from it: sample scenes, render them, compare.

    maximise  E_{q(z|x)} [ -beta * |blur(x) - blur(render(z))|^2 + log p(z) - log q(z|x) ]

With no blur and beta = 1 / (2 sigma^2) this is the ELBO up to a constant. The prior is the one with soft edges. No
gradient flows through the renderer: how the expectation is differentiated all the same is the estimator's business
(air3d.estimators; air3d.scenes.learner).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.distributions.parts import each
from air3d.distributions.z_pres import count_log_probs
from air3d.estimators.common import Diagnostics, Surrogate
from air3d.scene3d.batch import ABSENT
from air3d.scenes.guide import Draw, Posterior
from air3d.scenes.latents import SceneLatents
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter
from air3d.scenes.schedule import CoarseToFine
from air3d.scenes.soft_prior import nested_log_prior


class Problem(NamedTuple):
    """The problem that a step of learning works on.

    Attributes:
        painter: draws latents; a black box.
        images: (B, 3, H, W) in [0, 1].
        likelihood: defines the error of a render, and its temperature where there is no schedule.
        schedule: gives blur and temperature; None for no blur, and the likelihood's own temperature.
        progress: the place in the schedule, in [0, 1].
        generator: draws every random number of the step.
    """

    painter: Painter
    images: Tensor
    likelihood: Likelihood
    schedule: CoarseToFine | None
    progress: float
    generator: torch.Generator

    @property
    def blur_px(self) -> float:
        """The blur of this step, pixels."""
        return 0.0 if self.schedule is None else self.schedule.blur(self.progress, self.images.shape[-2])

    def error(self, renders: Tensor) -> Tensor:
        """The errors (B, K) of the blurred pictures (B, K, 3, H, W)."""
        return self.likelihood.error(self.images, renders, self.blur_px)

    def plain_error(self, renders: Tensor, error: Tensor) -> Tensor:
        """The errors (B, K) without blur: once nothing is blurred, `error` itself, which is not computed again."""
        return error if self.blur_px == 0.0 else self.likelihood.error(self.images, renders)

    def inverse_temperature(self, error: Tensor) -> Tensor:
        """The beta of this step, a scalar, for samples of these errors (B, K)."""
        if self.schedule is None:
            return torch.full_like(error.sum(), self.likelihood.beta)
        return self.schedule.inverse_temperature(error, self.progress)


class Nested(NamedTuple):
    """The scenes of the first 0, 1, .. N of the objects that were drawn, each part (B, K, N + 1).

    A scene that has fewer objects stands for itself in all columns after its count.

    Attributes:
        error: the errors of the blurred pictures.
        plain_error: those without blur.
        log_q_count: log q(n | z_1:n), differentiable in the guide; it means nothing after a scene's count.
        log_weight: -beta * error + log p(z) - log q(z | x), a constant, which means nothing there either.
        renders: the number of pictures drawn for them.
    """

    error: Tensor
    plain_error: Tensor
    log_q_count: Tensor
    log_weight: Tensor
    renders: int


@dataclass(frozen=True)
class Rollout:
    """K scenes of q for each of B images, with their errors and densities.

    Attributes:
        problem: the problem.
        drawn: the scenes, (B, K) and (B, K, N), and log q of every part.
        images: (B, K, 3, H, W), their pictures.
        error: (B, K), the errors of the blurred pictures.
        beta: the inverse temperature, a scalar, chosen for these errors.
        log_priors: (B, K, N + 1), log p of the scenes of the first 0, 1, .. N objects.
        renders: the number of pictures drawn; those that the guide was shown are not drawn again.
    """

    problem: Problem
    drawn: Draw
    images: Tensor
    error: Tensor
    beta: Tensor
    log_priors: Tensor
    renders: int

    @property
    def latents(self) -> SceneLatents:
        """The scenes, (B, K) and (B, K, N)."""
        return self.drawn.latents

    @cached_property
    def log_q(self) -> Tensor:
        """log q(z | x), (B, K), differentiable in the guide."""
        return self.drawn.log_q

    @property
    def log_prior(self) -> Tensor:
        """log p(z), (B, K)."""
        return self.log_priors[..., -1]

    @property
    def log_weight(self) -> Tensor:
        """The reward and log importance weight (B, K): -beta * error + log p(z) - log q(z | x), a constant."""
        return -self.beta * self.error + self.log_prior - self.log_q.detach()

    @property
    def present(self) -> Tensor:
        """(B, K, N) bool: whether there is an object in the slot."""
        return self.latents.objects.kind != ABSENT

    @cached_property
    def nested(self) -> Nested:
        """The partial scenes: only those are drawn that the guide was not shown, and that can matter."""
        drawn, problem = self.drawn, self.problem
        log_q_count = count_log_probs(drawn.presence)
        with torch.no_grad():
            plain = problem.plain_error(self.images, self.error)
            columns, renders = [], 0
            for n in range(self.present.shape[-1]):
                error, plain_error, drew = self._partial(n, plain)
                columns.append((error, plain_error))
                renders += drew
            errors, plains = (torch.stack(part, -1) for part in zip(*columns, (self.error, plain), strict=True))
            done = torch.cumsum(torch.cat([torch.zeros_like(plain)[..., None], drawn.log_q_objects], -1), -1)
            log_q = log_q_count + done + drawn.log_q_viewpoint[..., None]
            return Nested(errors, plains, log_q_count, -self.beta * errors + self.log_priors - log_q, renders)

    def _partial(self, n: int, plain: Tensor) -> tuple[Tensor, Tensor, int]:
        """The blurred and plain errors (B, K) of the scenes of the first n objects, and the number drawn for them."""
        world, problem = self.problem.painter.world, self.problem
        if n == 0 and world.prior.min_objects > 0 and world.azimuth_known and not world.shared:
            # No scene is empty, and the empty table is the same for all samples of an image: as a baseline it cancels.
            return torch.zeros_like(plain), torch.zeros_like(plain), 0
        count = self.present.sum(-1).flatten()
        rows = torch.nonzero(count > n)[:, 0]
        if not len(rows):
            return self.error, plain, 0
        shown, drew = self.drawn.shown(n), 0
        if shown is None:
            pictures, drew = problem.painter.draw(first(_rows(self.latents, rows), n)), len(rows)
        else:
            pictures = shown[count[count >= n] > n]
        blurred, sharp = self.error.flatten().clone(), plain.flatten().clone()
        those = problem._replace(images=problem.images[rows // self.error.shape[1]])
        blurred[rows] = those.error(pictures[:, None])[:, 0]
        sharp[rows] = those.plain_error(pictures[:, None], blurred[rows, None])[:, 0]
        return blurred.reshape(plain.shape), sharp.reshape(plain.shape), drew

    def step(self, estimate: Surrogate) -> Step:
        """Make the step of an estimate that goes by whole scenes as they were drawn."""
        plain = self.problem.plain_error(self.images, self.error)
        return self._step(estimate, plain, -self.log_q.detach(), self.present.sum(-1), self.renders)

    def nested_step(self, estimate: Surrogate) -> Step:
        """Make the step of an estimate that goes by partial scenes too, as many as were drawn have."""
        return self.step(estimate)._replace(renders=self.renders + self.nested.renders)

    def expected_step(self, estimate: Surrogate) -> Step:
        """Make the step of an estimate that sums over the count; all N objects were drawn."""
        part = self.nested
        share = part.log_q_count.detach().exp()
        numbers = torch.arange(share.shape[-1], device=share.device)
        log_q = -self.beta * part.error + self.log_priors - part.log_weight
        expected = [(share * value).sum(-1) for value in (part.plain_error, -log_q, numbers)]
        return self._step(estimate, expected[0], expected[1], expected[2], self.renders + part.renders)

    def _step(self, estimate: Surrogate, error: Tensor, entropy: Tensor, objects: Tensor, renders: int) -> Step:
        kinds, found = len(self.problem.painter.world.prior.kinds), self.latents.objects.kind[self.present]
        return Step(
            estimate.loss,
            estimate.diagnostics,
            error.mean(),
            entropy.mean(),
            self.beta,
            torch.bincount(found, minlength=kinds) / max(len(found), 1),
            objects.float().mean(),
            renders,
        )


class Step(NamedTuple):
    """A loss to differentiate, and the numbers to log: means over images and samples.

    Attributes:
        loss: the loss, a scalar.
        diagnostics: the diagnostics of the estimator.
        squared_error: the sum of squared pixel differences, unblurred.
        entropy: -log q(z | x), nats; while asleep the loss stands here.
        beta: the inverse temperature used.
        kind_share: (kinds,), the share of each kind among the objects drawn.
        objects: how many objects a scene has.
        renders: the number of pictures drawn; those that the guide asked to be shown are not counted.
    """

    loss: Tensor
    diagnostics: Diagnostics
    squared_error: Tensor
    entropy: Tensor
    beta: Tensor
    kind_share: Tensor
    objects: Tensor
    renders: int

    def record(self) -> dict[str, float | Tensor]:
        """The numbers that are logged."""
        return {
            "squared_error": self.squared_error,
            "entropy": self.entropy,
            "beta": self.beta,
            "objects": self.objects,
            "renders": self.renders,
            **self.diagnostics._asdict(),
        }


def roll_out(posterior: Posterior, samples: int, problem: Problem, every: bool = False) -> Rollout:
    """Draw `samples` scenes for each image, and render them.

    Args:
        every: draws all N objects whatever z_pres says, for estimators that sum over the count.
    """
    drawn = posterior.draw(samples, problem.generator, every)
    with torch.no_grad():
        images, renders = _pictures(problem.painter, drawn)
        error = problem.error(images)
        log_priors = nested_log_prior(problem.painter.world, drawn.latents)
        return Rollout(problem, drawn, images, error, problem.inverse_temperature(error), log_priors, renders)


def first(latents: SceneLatents, n: int) -> SceneLatents:
    """Keep the first n objects of scenes (...) and (..., N); the rest become absent."""
    viewpoint, objects = latents
    keep = torch.arange(objects.kind.shape[-1], device=objects.kind.device) < n
    return SceneLatents(viewpoint, objects._replace(kind=torch.where(keep, objects.kind, ABSENT)))


def _pictures(painter: Painter, drawn: Draw) -> tuple[Tensor, int]:
    """The pictures (B, K, 3, S, S) of the scenes; and how many were drawn, for the guide was shown the others whole."""
    kind = drawn.latents.objects.kind
    count = (kind != ABSENT).sum(-1).flatten()
    found: list[tuple[Tensor, Tensor]] = []  # rows, and their pictures
    for n in range(kind.shape[-1]):
        shown = drawn.shown(n)
        if shown is not None:
            found.append((torch.nonzero(count == n)[:, 0], shown[count[count >= n] == n]))
    if not found:
        return painter.draw(drawn.latents), len(count)
    rest = torch.ones_like(count, dtype=torch.bool)
    rest[torch.cat([rows for rows, _ in found])] = False
    rows = torch.nonzero(rest)[:, 0]
    if len(rows):
        found.append((rows, painter.draw(_rows(drawn.latents, rows))))
    order = torch.cat([rows for rows, _ in found]).argsort()
    return torch.cat([pictures for _, pictures in found])[order].unflatten(0, kind.shape[:2]), len(rows)


def _rows(latents: SceneLatents, rows: Tensor) -> SceneLatents:
    """Take some of scenes (B, K) and (B, K, N), which `rows` (A,) count in one sequence: (A,) and (A, N)."""
    viewpoint, objects = latents
    return SceneLatents(
        each(viewpoint, lambda part: part.flatten(0, 1)[rows]), each(objects, lambda part: part.flatten(0, 1)[rows])
    )
