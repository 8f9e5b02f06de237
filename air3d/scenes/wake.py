"""Learns from images alone: wake-phase steps through the renderer, the camera first, then object by object.

The guide's steps are the proposals of a sequential importance sampler (neural adaptive SMC: Gu, Ghahramani & Turner
2015; the loss of each stage is the wake phase of Bornschein & Bengio 2015). At each stage candidates are drawn,
rendered and weighed, and one of them, drawn by weight, stays on the table for the next stage:

    w_k  ~  exp(-beta |blur(x) - blur(render(scene with z_k))|^2)  p(z_k) / m(z_k),      loss  -sum_k w_k log q(z_k | .)

with m the density that they were drawn from, a share of them from the prior. Why this does not collapse where the
likelihood ratio of whole scenes does:

- An object is weighed against other candidates for the same step, never against an empty place: hiding does not pay.
- Whether there is another object is a question of its own, whose answer is known up to noise: the evidence of one
  object more, log mean_k w_k, against that of the scene as it is, both exact in z_pres. z_pres is fitted to that
  posterior probability by cross-entropy, whose gradient does not vanish: a z_pres that died before the steps had
  learned where to look comes back. It is judged at the likelihood's own temperature. At the higher one of the
  candidates, every object would cost more in prior volume than its few tempered nats.
- All steps share one network that sees what is unexplained: the third object is found by what the first has taught.

The camera is weighed first on the empty table, where every candidate serves every image of the batch, as in the
estimator `mixture`. That is what gets a cold start through, but it is biased: what stands on the table is taken for
shading of its planks. So its share of the loss falls, and that of cameras weighed with the inferred objects rises,
which stay where they are in the image while the camera moves.

How an object is turned can be a block of its own (`WakeConfig.turns`): turns of the chosen object on its spot, half
drawn from the guide and half spread evenly, are weighed by themselves, at a temperature that falls to the likelihood's
own. Weighed together with places, of which one millimetre costs what a quarter of a turn does, they teach nothing.

The weights are reweighted wake-sleep's. Other estimators (`air3d.scenes.stages`) learn from the same stages by
likelihood ratios, from draws of the guide alone, but for turns; each image then has cameras of its own. Where objects
are not upright, all candidates are the guide's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize
from air3d.distributions.circle import WrappedNormalMixture, wrap
from air3d.distributions.parts import each, joined, take
from air3d.estimators.common import effective_sample_size, normalised_weights
from air3d.scene3d.batch import ABSENT
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter
from air3d.scenes.soft_prior import object_log_prior
from air3d.scenes.stages import StageEstimator
from air3d.scenes.step_guide import Step, StepGuide
from air3d.scenes.wake_cameras import CameraStages
from air3d.scenes.wake_config import WakeConfig

_SURE, _LOG_2PI = 20.0, math.log(2.0 * math.pi)
_REWEIGHTED = StageEstimator("rws", ImageSize(4, 4))


class WakeStep(NamedTuple):
    """A loss to minimise, and numbers to watch.

    Attributes:
        loss: the sum of the three below, differentiable in the guide's parameters.
        camera, objects, presence: the mean losses, nats.
        camera_samples, object_samples: the mean effective numbers of candidates.
        squared_error: the mean error over images of the scenes as they stand at the end, without blur.
        explained: (N,), the share of images in which the step's object made the picture more alike.
        kind_share: (kinds,), the share of each kind among those objects.
        renders: the renders spent.
    """

    loss: Tensor
    camera: Tensor
    objects: Tensor
    presence: Tensor
    camera_samples: Tensor
    object_samples: Tensor
    squared_error: Tensor
    explained: Tensor
    kind_share: Tensor
    renders: int

    def record(self) -> dict[str, float]:
        """The numbers that are logged."""
        named = ("camera", "objects", "presence", "camera_samples", "object_samples", "squared_error")
        values = {name: float(getattr(self, name)) for name in named}
        values |= {f"explained_{i + 1}": float(share) for i, share in enumerate(self.explained)}
        return values | {"renders": float(self.renders)}


class _Stage(NamedTuple):
    """One object step, of the images that take it.

    Attributes:
        objects_loss, presence_loss: the losses, summed over those images.
        samples: the mean effective number of candidates.
        better: (A,), whether the chosen candidate makes the (blurred) picture more alike.
        chosen: (A,), the chosen objects.
        picture: (A, 3, S, S), the scenes with them, as the next step wants to be shown.
        error_before, error_after: (A,), squared errors without and with it, not blurred.
        turned: the renders spent on turns.
    """

    objects_loss: Tensor
    presence_loss: Tensor
    samples: Tensor
    better: Tensor
    chosen: Objects
    picture: Tensor
    error_before: Tensor
    error_after: Tensor
    turned: int


@dataclass(frozen=True)
class Wake:
    """The wake phase of one guide.

    Attributes:
        guide: the guide that learns.
        painter: draws candidates.
        config: its parameters.
        likelihood: the likelihood of the images.
        generator: draws every random number.
        estimator: learns from the candidates of a stage.
    """

    guide: StepGuide
    painter: Painter
    config: WakeConfig
    likelihood: Likelihood
    generator: torch.Generator
    estimator: StageEstimator = _REWEIGHTED

    @property
    def own(self) -> int:
        """The number of an object's candidates that the guide draws."""
        prior = self.estimator.weighs and self.painter.world.upright  # of other poses the prior has no density
        return self.config.own if prior else self.config.candidates

    @cached_property
    def cameras(self) -> CameraStages:
        """The stages that learn the camera."""
        return CameraStages(
            self.painter, self.guide.config.size, self.config, self.likelihood, self.generator, self.estimator
        )

    def step(self, images: Tensor, progress: float) -> WakeStep:
        """Do one step on images (B, 3, S, S), the last `camera_only` of which serve the camera alone.

        Args:
            progress: the place in the schedule, in [0, 1].
        """
        world, slots = self.painter.world, self.painter.world.prior.max_objects
        blur = self.config.schedule.blur(progress, images.shape[-2])
        looks = self.guide.cameras(images, self.painter)
        viewpoint, picture, empty_loss, camera_samples, renders = self.cameras.alone(images, looks, progress, blur)
        renders += (len(looks) - 1) * len(images)  # the second look for the camera is beside a rendered table
        late = min(progress / self.config.schedule.anneal, 1.0)
        images = images[: max(len(images) - self.config.camera_only, 1)]
        looks = tuple(look.take(len(images)) for look in looks)
        own = torch.rand(len(images), generator=self.generator, device=images.device) < late
        viewpoint = Viewpoint(
            *(
                torch.where(own.reshape(-1, *([1] * (a.dim() - 1))), b, a[: len(images)])
                for a, b in zip(viewpoint, looks[-1].sample(self.generator), strict=True)
            )
        )
        objects = world.no_objects(viewpoint, slots)
        alive = torch.arange(len(images), device=images.device)
        error, explained = images.new_zeros(len(images)), images.new_zeros(slots)
        # No scene is drawn twice: what was a candidate is what the guide is shown next.
        stages, picture, drawn = list[_Stage](), picture[: len(images)], own.nonzero()[:, 0]
        if len(drawn):
            picture[drawn] = self.painter.draw(SceneLatents(take(viewpoint, drawn), take(objects, drawn)))
        renders += len(drawn)
        for slot in range(slots):
            scene = SceneLatents(take(viewpoint, alive), take(objects, alive))
            stage = self._object(images[alive], scene, picture, slot, progress, blur)
            stages.append(stage)
            error[alive] = torch.where(stage.better, stage.error_after, stage.error_before)
            renders += len(alive) * self.config.candidates + stage.turned
            explained[slot] = stage.better.sum() / len(images)
            alive, picture = alive[stage.better], stage.picture[stage.better]
            if not len(alive):
                break
            for part, value in zip(objects, stage.chosen, strict=True):
                part[alive, slot] = value[stage.better]
        scene_loss, extra = self.cameras.with_objects(images, looks, viewpoint, objects, progress, blur)
        camera_loss, renders = (1.0 - late) * empty_loss + late * scene_loss, renders + extra
        found = objects.kind[objects.kind != ABSENT]
        looked = sum(len(stage.better) for stage in stages)
        objects_loss = torch.stack([stage.objects_loss for stage in stages]).sum() / looked
        presence_loss = torch.stack([stage.presence_loss for stage in stages]).sum() / looked
        return WakeStep(
            camera_loss + objects_loss + presence_loss,
            camera_loss.detach(),
            objects_loss.detach(),
            presence_loss.detach(),
            camera_samples,
            torch.stack([stage.samples for stage in stages]).mean(),
            error.mean(),
            explained,
            torch.bincount(found, minlength=self.guide.kinds) / max(len(found), 1),
            renders,
        )

    def _object(
        self, images: Tensor, scene: SceneLatents, before: Tensor, slot: int, progress: float, blur: float
    ) -> _Stage:
        """Fit the step that names the object of `slot`, for images (A, 3, S, S).

        Args:
            scene: how far they are explained, (A,) and (A, N).
            before: (A, 3, S, S), the picture of that.
        """
        c, beta_true, (viewpoint, done) = self.config, self.likelihood.beta, scene
        step = self.guide.step(images, self.painter, scene, before)
        candidates = self._candidates(step, viewpoint)
        where, what, turn, looks = self.guide.log_prob_parts(step, viewpoint, candidates)
        log_q = where + what + turn + looks
        with torch.no_grad():
            pictures = self._draw(viewpoint, done, candidates, slot)
            error = self.likelihood.error(images, torch.cat([before[:, None], pictures], 1), blur)
            gain = error[:, :1] - error[:, 1:]
            beta = c.schedule.inverse_temperature(-gain, progress).clamp_max(beta_true)
            log_p = object_log_prior(self.painter.world, candidates, done)
            log_drawn = log_q
            if self.own < c.candidates:
                log_foreign = log_q.new_tensor(self._log_uniform + math.log(1.0 - self.own / c.candidates))
                log_drawn = torch.logaddexp(log_q + math.log(self.own / c.candidates), log_foreign)
            log_rest = log_p - log_drawn
            log_weight = beta * gain + log_rest
            weight = normalised_weights(log_weight)
            log_more = torch.logsumexp(beta_true * gain + log_rest, -1) - math.log(c.candidates)
            more = torch.sigmoid(log_more + self._log_odds(slot))
            choice = torch.multinomial(weight, 1, generator=self.generator)
            rows = torch.arange(len(images), device=images.device)
            chosen, picture = each(candidates, lambda part: part[rows, choice[:, 0]]), pictures[rows, choice[:, 0]]
            better = gain.gather(-1, choice)[:, 0] > 0.0
        block = log_q - turn if c.turns else log_q
        loss, turned = len(images) * self.estimator.loss("object", images - before, block, log_weight), 0
        if c.turns:
            late = min(progress / c.schedule.anneal, 1.0)
            own_beta = beta ** (1.0 - late) * beta_true**late
            extra, chosen, picture, turned = self._turn(
                images, step, scene, slot, chosen, picture, better, own_beta, blur
            )
            loss = loss + extra
        with torch.no_grad():
            pair = self.likelihood.error(images, torch.stack([before, picture], 1))
        return _Stage(
            loss,
            nn.functional.binary_cross_entropy_with_logits(step.presence, more, reduction="sum"),
            effective_sample_size(log_weight).mean(),
            better,
            chosen,
            picture,
            pair[:, 0],
            pair[:, 1],
            turned,
        )

    def _turn(
        self,
        images: Tensor,
        step: Step,
        scene: SceneLatents,
        slot: int,
        chosen: Objects,
        picture: Tensor,
        kept: Tensor,
        beta: Tensor,
        blur: float,
    ) -> tuple[Tensor, Objects, Tensor, int]:
        """Fit the turns of the chosen objects (A,) that are `kept` (A,), of kinds that show them, at their places.

        Half of the turns are draws of the guide, half are spread evenly from a random start: together draws of a
        mixture m. Reweighted, the loss is -sum_k w_k log q(turn_k) with w_k ~ exp(-beta error_k) / m(turn_k). By
        likelihood ratios it is -mean_k (q / m)(turn_k) A_k log q(turn_k), A_k = R_k minus the mean of R under q, with
        R = -beta error - log q: importance sampling of the score function, so that a flat q finds the handle.

        Returns:
            The loss, summed over images; the objects with turns drawn by weight, and their pictures; the renders.
        """
        rows = (self.guide.turns[chosen.kind] & kept).nonzero()[:, 0]
        if not len(rows):
            return images.new_zeros(()), chosen, picture, 0
        k, (viewpoint, done) = self.config.turns, scene
        at, here = take(viewpoint, rows), take(chosen, rows)
        one = each(here, lambda part: part[:, None])
        posterior, pose_of = self.guide.turning(step.take(rows), at, one)
        with torch.no_grad():
            drawn = WrappedNormalMixture(*(part.expand(-1, k // 2, -1) for part in posterior)).sample(self.generator)
            start = torch.rand(len(rows), 1, generator=self.generator, device=images.device)
            even = torch.arange(k - k // 2, device=images.device) / (k - k // 2)
            angle = torch.cat([drawn, wrap(2.0 * math.pi * (start + even))], 1)
        log_q = posterior.log_prob(angle)
        with torch.no_grad():
            pose = pose_of(angle)
            turned = each(one, lambda part: part.expand(-1, k, *part.shape[2:]))
            turned = turned._replace(position_m=pose.position_m, rotation_wxyz=pose.rotation_wxyz)
            pictures = self._draw(at, take(done, rows), turned, slot)
            error = self.likelihood.error(images[rows], pictures, blur)
            log_even = log_q.new_tensor(-_LOG_2PI + math.log((k - k // 2) / k))
            log_m = torch.logaddexp(log_q + math.log((k // 2) / k), log_even)
            weight = normalised_weights(-beta * error - log_m)
            if self.estimator.weighs:
                factor = weight
            else:
                ratio, reward = (log_q - log_m).exp(), -beta * error - log_q
                mean = (ratio * reward).sum(-1, keepdim=True) / ratio.sum(-1, keepdim=True)
                factor = ratio * (reward - mean) / k
            best = torch.multinomial(weight, 1, generator=self.generator)[:, 0]
            index, picture = torch.arange(len(rows), device=images.device), picture.clone()
            picture[rows] = pictures[index, best]
            chosen = each(chosen, Tensor.clone)
            chosen.rotation_wxyz[rows] = turned.rotation_wxyz[index, best]
            chosen.position_m[rows] = turned.position_m[index, best]
        return -(factor * log_q).sum(), chosen, picture, len(rows) * k

    def _draw(self, viewpoint: Viewpoint, done: Objects, candidates: Objects, slot: int) -> Tensor:
        """Draw pictures (A, K, 3, S, S) of the scenes with each candidate."""
        k = candidates.kind.shape[1]
        wide = each(viewpoint, lambda part: part[:, None].expand(-1, k, *part.shape[1:]))
        scenes = each(done, lambda part: part[:, None].repeat(1, k, *([1] * (part.dim() - 1))))
        for part, value in zip(scenes, candidates, strict=True):
            part[:, :, slot] = value
        return self.painter.draw(SceneLatents(wide, scenes))

    def _candidates(self, step: Step, viewpoint: Viewpoint) -> Objects:
        """Draw candidates (A, K): the first `own` from the guide, the rest from the prior, whatever is on the table."""
        own = self.guide.draw(step, viewpoint, self.own, self.generator)
        shape, device = (len(step.presence), self.config.candidates - self.own), step.presence.device
        u = torch.rand(*shape, 4 + len(self.painter.world.appearance), generator=self.generator, device=device)
        foreign = Objects.upright(
            (u[..., 2] * self.guide.kinds).long().clamp_max(self.guide.kinds - 1),
            self.painter.world.prior.table.place.spread(u[..., :2]),
            wrap(2.0 * math.pi * u[..., 3]),
            u[..., 4:],
        )
        return joined([own, foreign], 1)

    @property
    def _log_uniform(self) -> float:
        """The log-density of an object anywhere on the support."""
        return -self.painter.world.prior.table.place.log_area - math.log(2.0 * math.pi) - math.log(self.guide.kinds)

    def _log_odds(self, slot: int) -> float:
        """The prior log-odds that there is an object in `slot`, given that there is one in every slot before it."""
        prior = self.painter.world.prior
        return math.log(prior.max_objects - slot) if slot >= prior.min_objects else _SURE
