"""The loop over objects: a guide looks, says whether there is another and which, and looks again at what is left.

There is one loop. What is chosen at each step is a `Choice`: the most probable, a draw, a draw of every step whatever
z_pres says, or objects that are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from air3d.distributions.parts import each, take
from air3d.scene3d.batch import ABSENT
from air3d.scenes.guide import CERTAIN, Draw, Mode
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint

if TYPE_CHECKING:
    from air3d.scenes.painter import Painter
    from air3d.scenes.step_guide import Step, StepGuide
    from air3d.scenes.viewpoint import ViewpointPosterior


class Choice:
    """Chooses the most probable: an object where z_pres is above one half, and its most probable latents in turn."""

    scored = False  # whether log q of what was chosen is wanted

    def present(self, logit: Tensor, rows: Tensor, slot: int) -> Tensor:
        """(A,) bool: whether each of the `rows` (A,) gets an object in `slot`, given the logits (A,)."""
        return logit > 0.0

    def objects(self, guide: StepGuide, step: Step, viewpoint: Viewpoint, rows: Tensor, slot: int) -> Objects:
        """Choose the objects (A, 1) for the `rows` (A,) that get one in `slot`."""
        return each(guide.most_probable(step, viewpoint), lambda part: part[:, None])


@dataclass(frozen=True)
class Drawn(Choice):
    """Draws from the guide; with `every`, an object at each step whatever z_pres says."""

    generator: torch.Generator
    every: bool = False
    scored = True

    def present(self, logit: Tensor, rows: Tensor, slot: int) -> Tensor:
        if self.every:
            return torch.ones_like(logit, dtype=torch.bool)
        return torch.rand(len(logit), generator=self.generator, device=logit.device) < torch.sigmoid(logit)

    def objects(self, guide: StepGuide, step: Step, viewpoint: Viewpoint, rows: Tensor, slot: int) -> Objects:
        return guide.draw(step, viewpoint, 1, self.generator)


@dataclass(frozen=True)
class Given(Choice):
    """Takes objects (R, N) that are known, in this order; empty slots last."""

    known: Objects
    scored = True

    def present(self, logit: Tensor, rows: Tensor, slot: int) -> Tensor:
        return self.known.kind[rows, slot] != ABSENT

    def objects(self, guide: StepGuide, step: Step, viewpoint: Viewpoint, rows: Tensor, slot: int) -> Objects:
        return each(self.known, lambda part: part[rows, slot, None])


class Unrolled(NamedTuple):
    """R rows of at most N steps each.

    Attributes:
        objects: (R, N), the chosen objects.
        presence: (R, N), logits of "there is an i-th object, given i - 1 before it"; 0 where the guide was not asked.
        log_q_presence: (R, N), log q of the chosen z_pres, if the choice is scored; 0 where the prior leaves none.
        log_q_objects: (R, N), log q of each object given those before it, if scored; in the prior's units.
        drawn: the pictures (A, 3, S, S) of its rows that the guide was shown at every step, where it was shown some.
    """

    objects: Objects
    presence: Tensor
    log_q_presence: Tensor
    log_q_objects: Tensor
    drawn: list[Tensor | None]


def unroll(guide: StepGuide, painter: Painter, images: Tensor, viewpoint: Viewpoint, choice: Choice) -> Unrolled:
    """Explain images (R, 3, S, S) seen from viewpoints (R,); log-probabilities are differentiable in the guide."""
    world, prior = painter.world, painter.world.prior
    objects = world.no_objects(viewpoint, prior.max_objects)
    presence, log_presence, log_objects = (images.new_zeros(len(images), prior.max_objects) for _ in range(3))
    alive, drawn = torch.arange(len(images), device=images.device), list[Tensor | None]()
    for slot in range(prior.max_objects):
        here = take(viewpoint, alive)
        step = guide.step(images[alive], painter, SceneLatents(here, take(objects, alive)))
        drawn.append(step.drawn)
        presence[alive, slot] = step.presence
        if slot >= prior.min_objects:
            present = choice.present(step.presence, alive, slot)
            if choice.scored:
                signed = torch.where(present, step.presence, -step.presence)
                log_presence[alive, slot] = nn.functional.logsigmoid(signed)
            chosen, alive = present.nonzero()[:, 0], alive[present]
            if not len(alive):
                break
            step, here = step.take(chosen), take(here, chosen)
        found = choice.objects(guide, step, here, alive, slot)
        if choice.scored:
            log_q = guide.log_prob(step, here, found) - world.log_appearance_volume(found.kind)
            log_objects[alive, slot] = log_q[:, 0]
        for part, value in zip(objects, found, strict=True):
            part[alive, slot] = value[:, 0]
    return Unrolled(objects, presence, log_presence, log_objects, drawn)


class StepPosterior:
    """q(z | x) of a guide that names the viewpoint and then one object a step; see `air3d.scenes.guide`."""

    def __init__(self, guide: StepGuide, painter: Painter, images: Tensor) -> None:
        self.guide, self.painter, self.images = guide, painter, images

    @cached_property
    def cameras(self) -> tuple[ViewpointPosterior, ...]:
        """The looks for the camera, the last of which is the answer; it is looked for when it is first asked for."""
        return self.guide.cameras(self.images, self.painter)

    def draw(self, samples: int, generator: torch.Generator, every: bool = False) -> Draw:
        """Draw K scenes of each image, step by step."""
        viewpoint = self.cameras[-1].expand(samples).sample(generator)
        return self._scored(viewpoint, Drawn(generator, every))

    def score(self, latents: SceneLatents) -> Draw:
        """Score scenes (B, K) and (B, K, N) that are given, part by part."""
        given = Given(each(latents.objects, lambda part: part.flatten(0, 1)))
        return self._scored(latents.viewpoint, given)

    def log_prob(self, latents: SceneLatents) -> Tensor:
        """log q(z | x) of scenes (B, K) and (B, K, N): (B, K)."""
        return self.score(latents).log_q

    def mode(self) -> Mode:
        """Take the most probable of each step in turn."""
        with torch.no_grad():
            viewpoint = self.cameras[-1].mode()
            found = unroll(self.guide, self.painter, self.images, viewpoint, Choice())
        here = found.objects.kind != ABSENT
        return Mode(SceneLatents(viewpoint, found.objects), torch.sigmoid(found.presence) * here)

    def redraw(
        self, rows: Tensor, latents: SceneLatents, slot: int, samples: int, generator: torch.Generator
    ) -> Objects:
        """Draw the object of a slot anew: the guide is shown all others, and names what is left."""
        kind = latents.objects.kind.clone()
        kind[:, slot] = ABSENT
        others = SceneLatents(latents.viewpoint, latents.objects._replace(kind=kind))
        step = self.guide.step(self.images[rows], self.painter, others)
        return self.guide.draw(step, latents.viewpoint, samples, generator)

    def _scored(self, viewpoint: Viewpoint, choice: Choice) -> Draw:
        shape, world = viewpoint.azimuth_rad.shape, self.painter.world
        rows = self.images.repeat_interleave(shape[1], 0)
        flat = each(viewpoint, lambda part: part.flatten(0, 1))
        found = unroll(self.guide, self.painter, rows, flat, choice)
        sure = torch.arange(found.presence.shape[1], device=rows.device) < world.prior.min_objects
        return Draw(
            SceneLatents(viewpoint, each(found.objects, lambda part: part.unflatten(0, shape))),
            self.cameras[-1].expand(shape[1]).log_prob(viewpoint) - world.log_volume,
            torch.where(sure, CERTAIN, found.presence).unflatten(0, shape),
            found.log_q_presence.unflatten(0, shape),
            found.log_q_objects.unflatten(0, shape),
            found.drawn,
        )
