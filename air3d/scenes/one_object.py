"""Estimators and the sleep phase of one object under a known camera alone.

Each asks the guide for more than a `Posterior` offers: the kind given, samples that move with the parameters, the
density of all samples under all images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from air3d.distributions.parts import each, joined
from air3d.estimators import fd, mixture
from air3d.estimators.common import Diagnostics, diagnose, leave_one_out_advantage, softened
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.elbo import Problem, Step, roll_out
from air3d.scenes.fitting import density_loss
from air3d.scenes.latents import Objects
from air3d.scenes.one_look import OneLookGuide, OneLookPosterior
from air3d.scenes.soft_prior import scene_log_prior

if TYPE_CHECKING:
    from air3d.scenes.learner import Learner

# Share of the sleep that `sleep_until` asks for in which position is found by squared error.
_WARM_SLEEP = 0.2


def render(problem: Problem, objects: Objects) -> Tensor:
    """Draw scenes of one object each (...) as pictures (..., 3, H, W)."""
    return problem.painter.draw(problem.painter.world.of_one(objects))


def log_prior(problem: Problem, objects: Objects) -> Tensor:
    """Compute log p of scenes of one object each, in the shape of the objects."""
    return scene_log_prior(problem.painter.world, problem.painter.world.of_one(objects))


def shared_candidates(learner: Learner, posterior: OneLookPosterior, problem: Problem) -> Step:
    """Let every render serve every image, weighted against the density of all candidates together (`mixture`)."""
    config = learner.config
    own = max(round(config.samples * (1.0 - config.prior_share)), 2)
    extra = (config.samples - own) * len(problem.images)
    rollout = roll_out(posterior, own, problem)
    candidates = each(rollout.latents.objects, lambda part: part[:, :, 0].flatten(0, 1))
    pictures, log_p = rollout.images.flatten(0, 1), rollout.log_prior.flatten()
    if extra:
        fresh = from_prior(problem, extra)
        candidates = joined([candidates, fresh])
        pictures = torch.cat([pictures, render(problem, fresh)])
        log_p = torch.cat([log_p, log_prior(problem, fresh)])
    pairs = each(candidates, lambda part: part[None].expand(len(problem.images), *part.shape))
    log_q = posterior.guide.log_prob(posterior.state, pairs)
    with torch.no_grad():
        error = problem.likelihood.pairwise_error(problem.images, pictures, problem.blur_px)
        share = extra / len(pictures)
        log_mixture = mixture.mixture_log_density(log_q, log_p if extra else None, share)
        log_target = -rollout.beta * error + log_p
    estimate = mixture.surrogate(log_q, log_target, log_mixture, config.centred)
    return rollout.step(estimate)._replace(renders=len(pictures))


def exact_kind(learner: Learner, posterior: OneLookPosterior, problem: Problem) -> Step:
    """Sum over the kinds instead of sampling them; position and yaw by leave-one-out likelihood ratios (`lr-kind`)."""
    guide, state = posterior.guide, posterior.state
    kinds, b = guide.kinds, len(problem.images)
    times = max(learner.config.samples // kinds, 2)
    kind = torch.arange(kinds, device=problem.images.device).repeat_interleave(times).expand(b, -1)
    objects = guide.sample(state, kinds * times, problem.generator, kind)
    log_kind, log_pose = guide.log_prob_parts(state, objects)
    with torch.no_grad():
        pictures = render(problem, objects)
        error = problem.error(pictures)
        beta = problem.inverse_temperature(error)
        reward = (-beta * error + log_prior(problem, objects) - log_pose).unflatten(1, (kinds, times))
    log_kind = log_kind.unflatten(1, (kinds, times))[..., 0]
    q = log_kind.exp()
    # The kind: differentiated exactly. The pose given the kind: a likelihood ratio, weighted by the kind's share.
    advantage = leave_one_out_advantage(reward)
    pose = advantage * log_pose.unflatten(1, (kinds, times))
    loss = -(q * (reward.mean(-1) - log_kind)).sum(-1).mean() - (q.detach() * pose.mean(-1)).sum(-1).mean()
    share = q.detach()[..., None].expand_as(reward)
    diagnostics = diagnose(reward.flatten(1), kinds * share * advantage)
    weight = share.flatten(1) / times
    plain = (weight * problem.plain_error(pictures, error)).sum(-1).mean()
    log_q = log_kind.detach().repeat_interleave(times, dim=1) + log_pose.detach()
    entropy = -(weight * log_q).sum(-1).mean()
    return Step(loss, diagnostics, plain, entropy, beta, q.detach().mean(0), torch.ones(()), error.numel())


def finite_differences(learner: Learner, posterior: OneLookPosterior, problem: Problem) -> Step:
    """Learn position and yaw by central differences through the renderer, what is discrete by likelihood ratios."""
    guide, state, config = posterior.guide, posterior.state, learner.config
    objects, log_discrete = guide.rsample(state, config.samples, problem.generator)
    log_q = guide.log_prob(state, objects)
    constant = each(objects, lambda part: part.detach())
    with torch.no_grad():
        pictures = render(problem, constant)
        error = problem.error(pictures)
        beta = problem.inverse_temperature(error)
        gradient = -beta * _error_gradient(constant, problem, config.step_m, config.step_rad)
        reward = -beta * error + log_prior(problem, constant) - log_q
    z = torch.cat([objects.place_m, objects.yaw_rad[..., None]], dim=-1)
    estimate = fd.surrogate(log_discrete, reward, z, gradient)
    # The entropy of the reparameterised draws is differentiated directly, through z and through q.
    return Step(
        estimate.loss + log_q.mean(),
        estimate.diagnostics,
        problem.plain_error(pictures, error).mean(),
        -log_q.detach().mean(),
        beta,
        _shares(objects.kind, guide.kinds),
        torch.ones(()),
        (1 + 2 * z.shape[-1]) * error.numel(),
    )


def _error_gradient(objects: Objects, problem: Problem, step_m: float, step_rad: float) -> Tensor:
    """Take central differences of the squared error in x, y and yaw, (B, K, 3)."""
    steps = torch.tensor([step_m, step_m, step_rad]).to(problem.images)
    z = torch.cat([objects.place_m, objects.yaw_rad[..., None]], dim=-1)

    def error_of(moved: Tensor) -> Tensor:
        kind = objects.kind.repeat_interleave(moved.shape[1] // objects.kind.shape[1], dim=1)
        return problem.error(render(problem, Objects.upright(kind, moved[..., :2], moved[..., 2])))

    return fd.central_differences(error_of, z, steps)


def from_prior(problem: Problem, count: int) -> Objects:
    """Draw scenes from the prior; return their objects (count,)."""
    seed = int(torch.randint(2**62, (1,), generator=problem.generator, device=problem.generator.device))
    scenes = ScenePrior(problem.painter.world.prior).sample_batch(np.random.default_rng(seed), count)
    return each(problem.painter.world.from_batch(scenes, problem.images.device).objects, lambda part: part[:, 0])


def sleep_log_q(guide: OneLookGuide, problem: Problem) -> Tensor:
    """Compute log q(z | render(z)) of scenes from the prior, one for each image of the batch, (B,); differentiable.

    Softened where it is below -3 nats: see `softened`.
    """
    objects = each(from_prior(problem, len(problem.images)), lambda part: part[:, None])
    return -softened(-guide.log_prob(guide(render(problem, objects)[:, 0]), objects)[:, 0])


def sleep(guide: OneLookGuide, until: float, problem: Problem) -> Step:
    """Fit the guide to as many scenes from the prior as there are images; `until` is the share of the run asleep."""
    objects = from_prior(problem, len(problem.images))
    loss = density_loss(guide, render(problem, objects), objects, problem.progress < _WARM_SLEEP * until)
    nothing = torch.zeros(())
    diagnostics = Diagnostics(nothing, nothing, nothing, nothing)
    share = _shares(objects.kind, guide.kinds)
    return Step(loss, diagnostics, nothing, loss.detach(), nothing, share, torch.ones(()), len(objects.kind))


def _shares(kind: Tensor, kinds: int) -> Tensor:
    return torch.bincount(kind.flatten(), minlength=kinds) / kind.numel()
