"""One step of learning from images alone: sample scenes, render them, compare, weigh.

    maximise  E_{q(z|x)} [ -beta * |blur(x) - blur(render(z))|^2 + log p(z) - log q(z|x) ]

With no blur and beta = 1 / (2 sigma^2) this is the ELBO up to a constant. No gradient flows through the renderer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from air3d.estimators import lr
from air3d.scenes.guide import SingleObjectGuide
from air3d.scenes.latents import ObjectLatents, SingleObjectSetting
from air3d.scenes.likelihood import squared_error
from air3d.scenes.schedule import CoarseToFine, inverse_temperature
from renderers.protocol import Renderer
from scene3d.prior import ScenePrior


class Step(NamedTuple):
    """A loss to differentiate, and what to log.

    Attributes:
        loss: scalar.
        diagnostics: of the estimator.
        squared_error: mean over samples of the sum of squared pixel differences, unblurred.
        entropy: mean of -log q(z | x), nats.
        beta: inverse temperature used.
        kind_share: (kinds,) share of each kind among the samples.
    """

    loss: Tensor
    diagnostics: lr.Diagnostics
    squared_error: Tensor
    entropy: Tensor
    beta: Tensor
    kind_share: Tensor


def render_latents(
    renderer: Renderer, setting: SingleObjectSetting, latents: ObjectLatents, device: torch.device
) -> Tensor:
    """Draw latents of shape (...): pictures (..., 3, H, W) float32 in [0, 1]."""
    pixels = torch.from_numpy(renderer.render(setting.to_batch(latents))).to(device)
    pixels = pixels.permute(0, 3, 1, 2).float() / 255.0
    return pixels.reshape(*latents.kind.shape, *pixels.shape[1:])


def likelihood_ratio_step(
    guide: SingleObjectGuide,
    setting: SingleObjectSetting,
    renderer: Renderer,
    images: Tensor,
    samples: int,
    schedule: CoarseToFine,
    progress: float,
    generator: torch.Generator,
) -> Step:
    """The surrogate loss for images (B, 3, H, W) in [0, 1] at `progress` in [0, 1] of the schedule."""
    state = guide(images)
    latents = guide.sample(state, samples, generator)
    log_q = guide.log_prob(state, latents)
    with torch.no_grad():
        renders = render_latents(renderer, setting, latents, images.device)
        error = squared_error(images, renders, schedule.blur(progress, images.shape[-1]))
        beta = inverse_temperature(error, schedule.spread(progress))
        log_prior = torch.from_numpy(ScenePrior(setting.prior).log_prob(setting.to_batch(latents)))
        reward = -beta * error + log_prior.to(error).reshape(error.shape) - log_q
        share = torch.bincount(latents.kind.flatten(), minlength=guide.kinds) / latents.kind.numel()
        plain = squared_error(images, renders).mean()
    estimate = lr.surrogate(log_q, reward)
    return Step(estimate.loss, estimate.diagnostics, plain, -log_q.detach().mean(), beta, share)
