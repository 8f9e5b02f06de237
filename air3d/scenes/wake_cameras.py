"""The stages of the wake phase that learn cameras: of the empty table, and with the objects that were inferred."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.distributions.circle import wrap
from air3d.distributions.parts import each, joined, take
from air3d.estimators.common import effective_sample_size, normalised_weights, softened
from air3d.scene3d.batch import ABSENT
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter
from air3d.scenes.schedule import beta_for_effective_samples
from air3d.scenes.stages import StageEstimator
from air3d.scenes.viewpoint import ViewpointPosterior
from air3d.scenes.wake_config import WakeConfig

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class CameraStages:
    """The camera stages of a guide.

    Attributes:
        painter: draws candidates.
        size: the size of the images.
        config: the parameters of the wake phase.
        likelihood: the likelihood of the images.
        generator: draws every random number.
        estimator: learns from the candidates of a stage.
    """

    painter: Painter
    size: ImageSize
    config: WakeConfig
    likelihood: Likelihood
    generator: torch.Generator
    estimator: StageEstimator

    def alone(
        self, images: Tensor, looks: tuple[ViewpointPosterior, ...], progress: float, blur: float
    ) -> tuple[Viewpoint, Tensor, Tensor, Tensor, int]:
        """Learn from cameras of the empty table.

        Returns:
            One for each image, drawn by weight; its pictures; the loss; the effective number; the renders.
        """
        stage = self.shared if self.estimator.weighs else self.own
        return stage(images, looks, progress, blur)

    def shared(
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

    def own(
        self, images: Tensor, looks: tuple[ViewpointPosterior, ...], progress: float, blur: float
    ) -> tuple[Viewpoint, Tensor, Tensor, Tensor, int]:
        """Do the same with cameras that each look draws for each image, by the estimator."""
        k, world, loss, log_p = self.config.candidates, self.painter.world, images.new_zeros(()), -_LOG_2PI
        for look in looks:
            with torch.no_grad():
                cameras = look.expand(k).sample(self.generator)
                pictures = self.painter.draw(SceneLatents(cameras, world.no_objects(cameras, world.prior.max_objects)))
                error = self.likelihood.error(images, pictures, blur)
                beta = self.config.schedule.inverse_temperature(error, progress).clamp_max(self.likelihood.beta)
            log_q = look.expand(k).log_prob(cameras)
            log_weight = log_p - beta * error - log_q.detach()
            loss = loss + self.estimator.loss("camera", images, log_q, log_weight)
        rows = torch.arange(len(images), device=images.device)
        choice = torch.multinomial(normalised_weights(log_weight), 1, generator=self.generator)[:, 0]
        samples = effective_sample_size(log_weight).mean()
        return take(cameras, rows, choice), pictures[rows, choice], loss, samples, len(looks) * error.numel()

    def with_objects(
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
        rows, weighs = torch.arange(len(images), device=images.device), self.estimator.weighs
        parts = ((posterior, k // 2), (wider, k - k // 2)) if weighs else ((posterior, k),)
        for what in ("shares", "azimuth"):
            with torch.no_grad():
                cameras = joined([q.expand(n).sample(self.generator) for q, n in parts], 1)
                if what == "shares":
                    cameras = cameras._replace(azimuth_rad=base.azimuth_rad[:, None].expand(-1, k))
                else:
                    cameras = cameras._replace(shares=base.shares[:, None].expand(-1, k, -1))
                moved, area = self._moved(objects, viewpoint, cameras)
                error = self.likelihood.error(images, self.painter.draw(SceneLatents(cameras, moved)), blur)
                beta = self.config.schedule.inverse_temperature(error, progress).clamp_max(self.likelihood.beta)
            log_qs = [look.expand(k).log_prob_of(what, cameras) for look in looks]
            with torch.no_grad():
                log_qs_drawn = [math.log(n / k) + q.expand(k).log_prob_of(what, cameras) for q, n in parts]
                log_weight = area - beta * error - torch.stack(log_qs_drawn).logsumexp(0)
                weight = normalised_weights(log_weight)
                choice = torch.multinomial(weight, 1, generator=self.generator)[:, 0]
                base = take(cameras, rows, choice)
            if weighs:
                loss = loss + _fit(weight, log_qs)
            else:  # the first look learns from the empty table alone
                loss = loss + self.estimator.loss("scene", images, log_qs[-1], log_weight)
            renders = renders + error.numel()
        return loss, renders

    def _moved(self, objects: Objects, viewpoint: Viewpoint, cameras: Viewpoint) -> tuple[Objects, Tensor]:
        """Move objects (B, N) of viewpoints (B,) to where cameras (B, K) see them at the same places: (B, K, N).

        Return, too, the log (B, K) of what square pixels mean in the world there: the density of uniform objects.
        """
        world, wide = self.painter.world, cameras.azimuth_rad.shape[1]
        before = world.view(each(viewpoint, lambda part: part[:, None]), self.size).each()
        objects = each(objects, lambda part: part[:, None].expand(-1, wide, *part.shape[1:]))
        pose, area = world.poses.carried(before, world.view(cameras, self.size).each(), objects)
        there = torch.where(objects.kind != ABSENT, area, torch.zeros_like(area)).sum(-1)
        return objects._replace(position_m=pose.position_m, rotation_wxyz=pose.rotation_wxyz), there

    def _prior_viewpoints(self, like: Tensor) -> Viewpoint:
        c, shared = self.config, len(self.painter.world.shared)
        u = torch.rand(c.prior_cameras, 1 + shared, generator=self.generator, device=like.device)
        return Viewpoint(wrap(2.0 * math.pi * u[:, 0]), u[:, 1:])


def _fit(weight: Tensor, log_qs: list[Tensor]) -> Tensor:
    """Compute the wake loss of every camera look from weights (B, K); far candidates count by their logarithm."""
    return torch.stack([(weight * softened(-log_q)).sum(-1).mean() for log_q in log_qs]).sum()
