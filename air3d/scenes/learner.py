"""Trains the guide, and all that its gradient estimator learns beside it: one step of learning by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from air3d.distributions.parts import each, joined
from air3d.estimators import fd, lr, mixture, nvil, rws, vimco
from air3d.estimators.common import Diagnostics, Surrogate, diagnose, leave_one_out_advantage, softened
from air3d.networks.encoder import ConvEncoder, EncoderConfig, mlp
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.fitting import density_loss
from air3d.scenes.latents import Objects, unperturbed
from air3d.scenes.objective import Problem, Rollout, roll_out
from air3d.scenes.one_look import GuideState, SingleObjectGuide

# Share of the sleep that `sleep_until` asks for in which position is found by squared error.
_WARM_SLEEP = 0.2

EstimatorName = Literal["lr", "lr-kind", "lr-nvil", "vimco", "rws", "mixture", "fd"]


@dataclass(frozen=True)
class EstimatorConfig:
    """Names a gradient estimator, with its parameters; docs/estimators.md explains them.

    Attributes:
        name: lr (leave-one-out likelihood ratio), lr-kind (the same, the expectation over the kind exact), lr-nvil
            (learned baseline), vimco, rws (reweighted wake-sleep), mixture (candidates shared across the batch), fd
            (finite differences through the renderer for position and yaw).
        samples: K, the samples of each image; lr-kind splits them over the kinds, fd spends 7 renders on each.
        sleep_share: the share of the sleep phase in the loss of rws, 0 to 1.
        sleep_until: the share of the run, from its start, that is sleep alone, for any estimator: a start from scenes
            drawn from the prior, whose latents are known. 0 for none.
        prior_share: the share of mixture's candidates that are drawn from the prior.
        centred: subtracts the control variate of expectation zero from the weights of rws and mixture.
        step_m: the finite difference of fd in x and y, metres; about a pixel's worth.
        step_rad: the finite difference of fd in yaw, radians.
    """

    name: EstimatorName = "rws"
    samples: int = 16
    sleep_share: float = 0.0
    sleep_until: float = 0.0
    prior_share: float = 0.0
    centred: bool = True
    step_m: float = 0.006
    step_rad: float = 0.12

    def __post_init__(self) -> None:
        if not 2 <= self.samples <= 4096:
            raise InputError(f"estimator: samples is {self.samples}; use 2 to 4096")
        for name in ("sleep_share", "sleep_until", "prior_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"estimator: {name} is {getattr(self, name)}; use 0 to 1")
        if not (self.step_m > 0.0 and self.step_rad > 0.0):
            raise InputError("estimator: step_m and step_rad must be positive")


class Step(NamedTuple):
    """A loss to differentiate, and the numbers to log.

    Attributes:
        loss: the loss, a scalar.
        diagnostics: the diagnostics of the estimator.
        squared_error: the mean over samples of the sum of squared pixel differences, unblurred.
        entropy: the mean of -log q(z | x), nats; while asleep the loss stands here.
        beta: the inverse temperature used.
        kind_share: (kinds,), the share of each kind among the samples.
        renders: the number of pictures drawn.
    """

    loss: Tensor
    diagnostics: Diagnostics
    squared_error: Tensor
    entropy: Tensor
    beta: Tensor
    kind_share: Tensor
    renders: int


class Learner(nn.Module):
    """A guide with its estimator, and for lr-nvil the network and the running moments of its baseline.

    Args:
        guide: the guide, trained in place.
        config: the estimator.
    """

    def __init__(self, guide: SingleObjectGuide, config: EstimatorConfig) -> None:
        super().__init__()
        self.guide, self.config = guide, config
        self.moments: Tensor
        if config.name == "lr-nvil":
            size = guide.config.encoder.image_size
            encoder = EncoderConfig(size, channels=(16, 32, 32), code=64)
            self.baseline = nn.Sequential(ConvEncoder(encoder), mlp(encoder.code, 64, 1))
            self.register_buffer("moments", torch.stack(list(nvil.RunningMoments.initial())))

    @property
    def running(self) -> list[Tensor]:
        """The buffers of statistics that every step updates."""
        return [self.moments] if self.config.name == "lr-nvil" else []

    def step(self, problem: Problem) -> Step:
        """Do one step of learning from `problem.images`."""
        if problem.progress < self.config.sleep_until:
            return self._sleep_step(problem)
        state = self.guide(problem.images)
        if self.config.name == "lr-kind":
            return self._exact_kind_step(state, problem)
        if self.config.name == "fd":
            return self._finite_difference_step(state, problem)
        if self.config.name == "mixture":
            return self._shared_candidates_step(state, problem)
        rollout = roll_out(self.guide, state, self.config.samples, problem)
        if self.config.name == "rws":
            return self._wake_sleep_step(rollout, problem)
        if self.config.name == "lr-nvil":
            estimate = self._learned_baseline(rollout, problem)
        elif self.config.name == "vimco":
            estimate = vimco.surrogate(rollout.log_q, rollout.log_weight)
        else:
            estimate = lr.surrogate(rollout.log_q, rollout.log_weight)
        return _step(estimate, rollout, problem, rollout.error.numel())

    def _learned_baseline(self, rollout: Rollout, problem: Problem) -> Surrogate:
        value = self.baseline(problem.images)[:, 0]
        before = nvil.RunningMoments(*self.moments.unbind())
        estimate, after = nvil.surrogate(rollout.log_q, rollout.log_weight, value, before)
        self.moments.copy_(torch.stack(list(after)))
        return estimate

    def _wake_sleep_step(self, rollout: Rollout, problem: Problem) -> Step:
        """Do the wake phase on the images and, if asked for, the sleep phase on as many scenes from the prior."""
        share = self.config.sleep_share
        dreamt = self._sleep_log_q(problem) if share > 0.0 else None
        estimate = rws.surrogate(rollout.log_q, rollout.log_weight, dreamt, share, self.config.centred)
        return _step(estimate, rollout, problem, rollout.error.numel() + (0 if dreamt is None else len(dreamt)))

    def _shared_candidates_step(self, state: GuideState, problem: Problem) -> Step:
        """Let every render serve every image, weighted against the density of all candidates together."""
        own = max(round(self.config.samples * (1.0 - self.config.prior_share)), 2)
        extra = (self.config.samples - own) * len(problem.images)
        rollout = roll_out(self.guide, state, own, problem)
        candidates = each(rollout.latents, lambda part: part.flatten(0, 1))
        renders, log_prior = rollout.renders.flatten(0, 1), rollout.log_prior.flatten()
        if extra:
            fresh = self._prior_latents(problem, extra)
            candidates = joined([candidates, fresh])
            renders = torch.cat([renders, problem.render(fresh)])
            log_prior = torch.cat([log_prior, problem.log_prior(fresh)])
        pairs = each(candidates, lambda part: part[None].expand(len(problem.images), *part.shape))
        log_q = self.guide.log_prob(state, pairs)
        with torch.no_grad():
            error = problem.likelihood.pairwise_error(problem.images, renders, problem.blur_px)
            share = extra / len(renders)
            log_mixture = mixture.mixture_log_density(log_q, log_prior if extra else None, share)
            log_target = -rollout.beta * error + log_prior
        estimate = mixture.surrogate(log_q, log_target, log_mixture, self.config.centred)
        return _step(estimate, rollout, problem, len(renders))

    def _exact_kind_step(self, state: GuideState, problem: Problem) -> Step:
        """Sum over the kinds instead of sampling them; position and yaw by leave-one-out likelihood ratios."""
        kinds, b = self.guide.kinds, len(problem.images)
        each = max(self.config.samples // kinds, 2)
        kind = torch.arange(kinds, device=problem.images.device).repeat_interleave(each).expand(b, -1)
        latents = self.guide.sample(state, kinds * each, problem.generator, kind)
        log_kind, log_pose = self.guide.log_prob_parts(state, latents)
        with torch.no_grad():
            renders = problem.render(latents)
            error = problem.error(renders)
            beta = problem.schedule.inverse_temperature(error, problem.progress)
            reward = (-beta * error + problem.log_prior(latents) - log_pose).unflatten(1, (kinds, each))
        log_kind = log_kind.unflatten(1, (kinds, each))[..., 0]
        q = log_kind.exp()
        # The kind: differentiated exactly. The pose given the kind: a likelihood ratio, weighted by the kind's share.
        advantage = leave_one_out_advantage(reward)
        pose = advantage * log_pose.unflatten(1, (kinds, each))
        loss = -(q * (reward.mean(-1) - log_kind)).sum(-1).mean() - (q.detach() * pose.mean(-1)).sum(-1).mean()
        share = q.detach()[..., None].expand_as(reward)
        diagnostics = diagnose(reward.flatten(1), kinds * share * advantage)
        weight = share.flatten(1) / each
        plain = (weight * problem.plain_error(renders, error)).sum(-1).mean()
        log_q = log_kind.detach().repeat_interleave(each, dim=1) + log_pose.detach()
        entropy = -(weight * log_q).sum(-1).mean()
        return Step(loss, diagnostics, plain, entropy, beta, q.detach().mean(0), error.numel())

    def _finite_difference_step(self, state: GuideState, problem: Problem) -> Step:
        """Learn position and yaw by central differences through the renderer, discrete latents by likelihood ratios."""
        latents, log_discrete = self.guide.rsample(state, self.config.samples, problem.generator)
        log_q = self.guide.log_prob(state, latents)
        constant = each(latents, lambda part: part.detach())
        with torch.no_grad():
            renders = problem.render(constant)
            error = problem.error(renders)
            beta = problem.schedule.inverse_temperature(error, problem.progress)
            log_prior = problem.log_prior(constant)
            gradient = self._error_gradient(constant, problem) * -beta
        rollout = Rollout(constant, log_q, renders, error, beta, log_prior)
        z = torch.cat([latents.position_m, latents.yaw_rad[..., None]], dim=-1)
        estimate = fd.surrogate(log_discrete, rollout.log_weight, z, gradient)
        # The entropy of the reparameterised draws is differentiated directly, through z and through q.
        loss = estimate.loss + log_q.mean()
        drawn = (1 + 2 * z.shape[-1]) * error.numel()
        return _step(Surrogate(loss, estimate.diagnostics), rollout, problem, drawn)

    def _error_gradient(self, latents: Objects, problem: Problem) -> Tensor:
        """Take central differences of the squared error in x, y and yaw, (B, K, 3)."""
        steps = torch.tensor([self.config.step_m, self.config.step_m, self.config.step_rad]).to(problem.images)
        z = torch.cat([latents.position_m, latents.yaw_rad[..., None]], dim=-1)

        def error_of(moved: Tensor) -> Tensor:
            kind = latents.kind.repeat_interleave(moved.shape[1] // latents.kind.shape[1], dim=1)
            renders = problem.render(unperturbed(kind, moved[..., :2], moved[..., 2]))
            return problem.error(renders)

        return fd.central_differences(error_of, z, steps)

    def _prior_latents(self, problem: Problem, count: int) -> Objects:
        """Draw scenes from the prior; return their latents (count,)."""
        seed = int(torch.randint(2**62, (1,), generator=problem.generator))
        scenes = ScenePrior(problem.painter.world.prior).sample_batch(np.random.default_rng(seed), count)
        return unperturbed(
            torch.from_numpy(scenes.kind[:, 0]).to(problem.images.device),
            torch.from_numpy(scenes.position_m[:, 0]).to(problem.images),
            torch.from_numpy(scenes.yaw_rad[:, 0]).to(problem.images),
        )

    def _sleep_log_q(self, problem: Problem) -> Tensor:
        """Compute log q(z | render(z)) of scenes from the prior, one for each image of the batch, (B,); differentiable.

        Softened where it is below -3 nats: see `softened`.
        """
        latents = each(self._prior_latents(problem, len(problem.images)), lambda part: part[:, None])
        return -softened(-self.guide.log_prob(self.guide(problem.render(latents)[:, 0]), latents)[:, 0])

    def _sleep_step(self, problem: Problem) -> Step:
        """Fit the guide to as many scenes from the prior as the batch has images."""
        latents = self._prior_latents(problem, len(problem.images))
        warm = problem.progress < _WARM_SLEEP * self.config.sleep_until
        loss = density_loss(self.guide, problem.render(latents), latents, warm)
        nothing = torch.zeros(())
        share = torch.bincount(latents.kind, minlength=self.guide.kinds) / len(latents.kind)
        diagnostics = Diagnostics(nothing, nothing, nothing, nothing)
        return Step(loss, diagnostics, nothing, loss.detach(), nothing, share, len(latents.kind))


def _step(estimate: Surrogate, rollout: Rollout, problem: Problem, renders: int) -> Step:
    kind, kinds = rollout.latents.kind, len(problem.painter.world.prior.kinds)
    return Step(
        estimate.loss,
        estimate.diagnostics,
        problem.plain_error(rollout.renders, rollout.error).mean(),
        -rollout.log_q.detach().mean(),
        rollout.beta,
        torch.bincount(kind.flatten(), minlength=kinds) / kind.numel(),
        renders,
    )
