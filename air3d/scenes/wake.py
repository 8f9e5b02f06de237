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
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from air3d.distributions.circle import wrap
from air3d.distributions.parts import each, joined, take
from air3d.estimators.common import effective_sample_size, normalised_weights, softened
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter
from air3d.scenes.refine import RefineConfig
from air3d.scenes.schedule import CoarseToFine, beta_for_effective_samples
from air3d.scenes.soft_prior import object_log_prior
from air3d.scenes.step_guide import Step, StepGuide
from air3d.scenes.viewpoint import ViewpointPosterior

_SURE = 20.0


@dataclass(frozen=True)
class WakeConfig:
    """Parameters of the wake phase.

    Attributes:
        candidates: K, how many each image has in an object step, and for the camera with the objects.
        own: how many of them the guide draws; the rest come from the prior.
        cameras: how many cameras of the empty table are drawn for each image; all serve all.
        prior_cameras: how many cameras are drawn from the prior, for the whole batch.
        camera_only: how many further images of a step the camera alone is learned from.
        cameras_start: the effective number of cameras that an image is weighed with at first, as a share of all.
        cameras_end: that number at the end.
        schedule: gives the blur, and the temperature of object candidates.
        cold: the share of the run that such steps take, and their schedule; then it learns from the best scenes that it
            remembers (`air3d.scenes.memory`). 1 for such steps alone.
        remembered: how many images with their remembered scenes make a step then.
        visits: how many images are looked at again in such a step.
        polish: how what is found then is polished.
    """

    candidates: int = 16
    own: int = 12
    cameras: int = 6
    prior_cameras: int = 128
    camera_only: int = 32
    cameras_start: float = 0.1
    cameras_end: float = 0.006
    schedule: CoarseToFine = field(
        default_factory=lambda: CoarseToFine(
            blur_px=10.0, temperature="samples", samples_start=0.6, samples_end=0.12, anneal=0.6
        )
    )
    cold: float = field(default=1.0, metadata=LATER)
    remembered: int = field(default=128, metadata=LATER)
    visits: int = field(default=16, metadata=LATER)
    polish: RefineConfig = field(default_factory=lambda: RefineConfig(renders=100), metadata=LATER)

    def __post_init__(self) -> None:
        if not 2 <= self.candidates <= 4096 or not 1 <= self.own < self.candidates:
            raise InputError(f"wake: need 1 <= own < candidates <= 4096, not {self.own} and {self.candidates}")
        if not (1 <= self.cameras <= 4096 and 1 <= self.prior_cameras <= 65536 and 0 <= self.camera_only <= 65536):
            raise InputError(
                f"wake: cameras {self.cameras}, prior_cameras {self.prior_cameras} and camera_only {self.camera_only} "
                "are out of range"
            )
        if not 0.0 < self.cameras_end <= self.cameras_start <= 1.0:
            raise InputError(
                f"wake: need 0 < cameras_end <= cameras_start <= 1, not {self.cameras_end} and {self.cameras_start}"
            )

        if not 0.0 < self.cold <= 1.0:
            raise InputError(f"wake: cold is {self.cold}, a share of the run; it must lie above 0 and be at most 1")
        if not (1 <= self.visits <= 65536 and 1 <= self.remembered <= 65536):
            raise InputError(f"wake: remembered {self.remembered} and visits {self.visits} must be 1 to 65536")

    @property
    def foreign(self) -> int:
        """The number of object candidates from the prior."""
        return self.candidates - self.own


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
    """

    objects_loss: Tensor
    presence_loss: Tensor
    samples: Tensor
    better: Tensor
    chosen: Objects
    picture: Tensor
    error_before: Tensor
    error_after: Tensor


@dataclass(frozen=True)
class Wake:
    """The wake phase of one guide.

    Attributes:
        guide: the guide that learns.
        painter: draws candidates.
        config: its parameters.
        likelihood: the likelihood of the images.
        generator: draws every random number.
    """

    guide: StepGuide
    painter: Painter
    config: WakeConfig
    likelihood: Likelihood
    generator: torch.Generator

    def step(self, images: Tensor, progress: float) -> WakeStep:
        """Do one step on images (B, 3, S, S), the last `camera_only` of which serve the camera alone.

        Args:
            progress: the place in the schedule, in [0, 1].
        """
        world, slots = self.painter.world, self.painter.world.prior.max_objects
        blur = self.config.schedule.blur(progress, images.shape[-2])
        looks = self.guide.cameras(images, self.painter)
        viewpoint, picture, empty_loss, camera_samples, renders = self._camera_alone(images, looks, progress, blur)
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
            renders += len(alive) * self.config.candidates
            explained[slot] = stage.better.sum() / len(images)
            alive, picture = alive[stage.better], stage.picture[stage.better]
            if not len(alive):
                break
            for part, value in zip(objects, stage.chosen, strict=True):
                part[alive, slot] = value[stage.better]
        scene_loss, extra = self._camera_with(images, looks, viewpoint, objects, progress, blur)
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

    def _camera_alone(
        self, images: Tensor, looks: tuple[ViewpointPosterior, ...], progress: float, blur: float
    ) -> tuple[Viewpoint, Tensor, Tensor, Tensor, int]:
        """Weigh cameras on the empty table.

        Returns:
            One for each image, drawn by weight; its pictures; the loss; the effective number; the renders.
        """
        # The first look draws them: the second starts out narrow, around wherever the first has put the camera.
        c, world, b, posterior = self.config, self.painter.world, len(images), looks[0]
        with torch.no_grad():
            drawn, foreign = posterior.expand(c.cameras).sample(self.generator), self._prior_viewpoints(images)
            cameras = Viewpoint(*(torch.cat([a.flatten(0, 1), f]) for a, f in zip(drawn, foreign, strict=True)))
            m = len(cameras.azimuth_rad)
            empty = world.no_objects(cameras, world.prior.max_objects)
            pictures = self.painter.draw(SceneLatents(cameras, empty))
            error = self.likelihood.pairwise_error(images, pictures, blur)
        everyone = each(cameras, lambda part: part.expand(b, *part.shape))
        log_qs = [look.expand(m).log_prob(everyone) for look in looks]
        with torch.no_grad():
            log_q = log_qs[0]
            log_p = log_q.new_tensor(-math.log(2.0 * math.pi))
            share = c.prior_cameras / m
            log_mean = torch.logsumexp(log_q, 0) - math.log(b)
            log_drawn = torch.logaddexp(log_mean + math.log(1.0 - share), log_p + math.log(share))
            target = c.cameras_start * (c.cameras_end / c.cameras_start) ** min(progress / c.schedule.anneal, 1.0)
            beta = beta_for_effective_samples(error, max(target * m, 1.5)).clamp_max(self.likelihood.beta)
            log_weight = -beta * error + log_p - log_drawn
            weight = normalised_weights(log_weight)
            choice = torch.multinomial(weight, 1, generator=self.generator)[:, 0]
        samples = effective_sample_size(log_weight).mean()
        return take(cameras, choice), pictures[choice], _fit(weight, log_qs), samples, m

    def _camera_with(
        self,
        images: Tensor,
        looks: tuple[ViewpointPosterior, ...],
        viewpoint: Viewpoint,
        objects: Objects,
        progress: float,
        blur: float,
    ) -> tuple[Tensor, int]:
        """Weigh cameras with the objects, which keep their places in the image; return the loss and renders spent.

        First the shares, then the azimuth under the shares so chosen. Together, a degree of elevation would drown
        what ten degrees of azimuth change in the picture. Half of the candidates are drawn from a wider guide: one
        that is sure of a wrong azimuth must see a better one.
        """
        k, posterior, wider = self.config.candidates, looks[-1], looks[-1].widened()
        base, loss, renders = viewpoint, images.new_zeros(()), 0
        rows = torch.arange(len(images), device=images.device)
        for what in ("shares", "azimuth"):
            with torch.no_grad():
                halves = [q.expand(n).sample(self.generator) for q, n in ((posterior, k // 2), (wider, k - k // 2))]
                cameras = joined(halves, 1)
                if what == "shares":
                    cameras = cameras._replace(azimuth_rad=base.azimuth_rad[:, None].expand(-1, k))
                else:
                    cameras = cameras._replace(shares=base.shares[:, None].expand(-1, k, -1))
                moved, area = self._moved(objects, viewpoint, cameras)
                error = self.likelihood.error(images, self.painter.draw(SceneLatents(cameras, moved)), blur)
                beta = self.config.schedule.inverse_temperature(error, progress).clamp_max(self.likelihood.beta)
            log_qs = [look.expand(k).log_prob_of(what, cameras) for look in looks]
            with torch.no_grad():
                log_q = log_qs[-1]
                share = math.log((k // 2) / k), math.log((k - k // 2) / k)
                log_drawn = torch.logaddexp(log_q + share[0], wider.expand(k).log_prob_of(what, cameras) + share[1])
                weight = normalised_weights(area - beta * error - log_drawn)
                choice = torch.multinomial(weight, 1, generator=self.generator)[:, 0]
                base = take(cameras, rows, choice)
            loss = loss + _fit(weight, log_qs)
            renders = renders + error.numel()
        return loss, renders

    def _moved(self, objects: Objects, viewpoint: Viewpoint, cameras: Viewpoint) -> tuple[Objects, Tensor]:
        """Move objects (B, N) of viewpoints (B,) to where cameras (B, K) see them at the same places: (B, K, N).

        Return, too, the log (B, K) of the table's area in a square pixel there, the density of uniform objects.
        """
        world, size, shape = self.painter.world, self.guide.config.size, (*cameras.azimuth_rad.shape, -1)
        pixel = world.view(viewpoint, size).each().project(objects.place_m)[:, None]
        view = world.view(cameras, size).each()
        position = view.unproject(pixel.expand(-1, shape[1], -1, -1))
        turned = (objects.yaw_rad - viewpoint.azimuth_rad[:, None])[:, None] + cameras.azimuth_rad[..., None]
        kind = objects.kind[:, None].expand(shape)
        appearance = objects.appearance[:, None].expand(*shape, objects.appearance.shape[-1])
        area = torch.where(kind != ABSENT, -view.log_pixels_per_area(position), torch.zeros_like(turned)).sum(-1)
        return Objects.upright(kind, position, wrap(turned), appearance), area

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
        log_q = self.guide.log_prob(step, viewpoint, candidates)
        with torch.no_grad():
            pictures = self._draw(viewpoint, done, candidates, slot)
            error = self.likelihood.error(images, torch.cat([before[:, None], pictures], 1), blur)
            gain = error[:, :1] - error[:, 1:]
            beta = c.schedule.inverse_temperature(-gain, progress).clamp_max(beta_true)
            log_p = object_log_prior(self.painter.world, candidates, done)
            log_foreign = log_q.new_tensor(self._log_uniform + math.log(c.foreign / c.candidates))
            log_rest = log_p - torch.logaddexp(log_q + math.log(c.own / c.candidates), log_foreign)
            weight = normalised_weights(beta * gain + log_rest)
            log_more = torch.logsumexp(beta_true * gain + log_rest, -1) - math.log(c.candidates)
            more = torch.sigmoid(log_more + self._log_odds(slot))
            choice = torch.multinomial(weight, 1, generator=self.generator)
            rows = torch.arange(len(images), device=images.device)
            chosen, picture = each(candidates, lambda part: part[rows, choice[:, 0]]), pictures[rows, choice[:, 0]]
            pair = self.likelihood.error(images, torch.stack([before, picture], 1))
        return _Stage(
            -(weight * log_q).sum(),
            nn.functional.binary_cross_entropy_with_logits(step.presence, more, reduction="sum"),
            effective_sample_size(beta * gain + log_rest).mean(),
            gain.gather(-1, choice)[:, 0] > 0.0,
            chosen,
            picture,
            pair[:, 0],
            pair[:, 1],
        )

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
        own = self.guide.draw(step, viewpoint, self.config.own, self.generator)
        shape, device = (len(step.presence), self.config.foreign), step.presence.device
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

    def _prior_viewpoints(self, like: Tensor) -> Viewpoint:
        c, shared = self.config, len(self.painter.world.shared)
        u = torch.rand(c.prior_cameras, 1 + shared, generator=self.generator, device=like.device)
        return Viewpoint(wrap(2.0 * math.pi * u[:, 0]), u[:, 1:])


def _fit(weight: Tensor, log_qs: list[Tensor]) -> Tensor:
    """Compute the wake loss of every camera look from weights (B, K); far candidates count by their logarithm."""
    return torch.stack([(weight * softened(-log_q)).sum(-1).mean() for log_q in log_qs]).sum()
