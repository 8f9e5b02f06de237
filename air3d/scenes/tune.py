"""Fine-tunes the guide through the renderer: likelihood ratios of whole scenes, on observed images.

The objective is the ELBO, under the prior with soft edges. K whole scenes are drawn for each image, and by name

    lr        each is praised for log p(x, z) - log q(z | x) above the mean of the others
    vimco     the same for the bound of all K together
    rws       each is imitated by its importance weight (the wake phase of reweighted wake-sleep: an inclusive KL)
    slotwise  each object is praised for what the scene gained from there on: the scene before it is its baseline
    counts    all N steps are drawn whatever z_pres says, every partial scene is rendered, and the expectation over the
              count is exact

`lr` is the quietest by far where the order of objects is random, as it is after the sleep phase: what a step gains then
depends on which object it happens to name, a plate or a mug, while the whole scene's reward does not.

All are for a guide that already sees: from a cold start this objective hides objects (see `wake`). Even a trained
guide may forget objects under it unless it goes on dreaming beside it. Watch the count, not the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from air3d.distributions.parts import each
from air3d.estimators import counts, lr, rws, slotwise, vimco
from air3d.estimators.common import Surrogate, leave_one_out_advantage
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.errors import InputError, shown
from air3d.scenes.guide import Draw
from air3d.scenes.latents import Objects, SceneLatents
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter
from air3d.scenes.soft_prior import scene_log_prior
from air3d.scenes.step_guide import TableGuide

TuneEstimator = Literal["lr", "vimco", "rws", "slotwise", "counts"]
# Those that look at whole scenes alone: from log q (B, K) and log p(x, z) - log q (B, K).
_WHOLE: dict[str, Callable[[Tensor, Tensor], Surrogate]] = {
    "lr": lr.surrogate,
    "vimco": vimco.surrogate,
    "rws": partial(rws.surrogate, centred=True),
}


@dataclass(frozen=True)
class TuneConfig:
    """Parameters of fine-tuning.

    Attributes:
        estimator: lr (each scene against the mean of the others), vimco (the bound of all K), rws (importance weights),
            slotwise (each object against the scene before it) or counts (the expectation over the count exact).
        samples: K, the number of whole scenes for each image.
    """

    estimator: TuneEstimator = "lr"
    samples: int = 8

    def __post_init__(self) -> None:
        if self.estimator not in get_args(TuneEstimator):
            raise InputError(
                f"tune: estimator is {shown(self.estimator)}; use one of {', '.join(get_args(TuneEstimator))}"
            )
        if not 2 <= self.samples <= 4096:
            raise InputError(f"tune: samples is {self.samples}; it must be 2 to 4096")


class TuneStep(NamedTuple):
    """A loss to minimise, and numbers to watch: means over images and samples.

    Attributes:
        elbo: the expectation of log p(x, z) - log q(z | x), without the likelihood's constant.
        squared_error: the error of the samples' pictures.
        objects: how many a sample has.
        reward_spread: the standard deviation of the reward over the samples of an image.
        renders: the renders spent on rewards.
    """

    loss: Tensor
    elbo: Tensor
    squared_error: Tensor
    objects: Tensor
    reward_spread: Tensor
    renders: int

    def record(self) -> dict[str, float]:
        """The numbers that are logged."""
        return {name: float(getattr(self, name)) for name in self._fields if name != "loss"}


def tune_step(
    guide: TableGuide,
    painter: Painter,
    images: Tensor,
    config: TuneConfig,
    likelihood: Likelihood,
    generator: torch.Generator,
) -> TuneStep:
    """One step on images (B, 3, S, S)."""
    drawn = guide.look(images, painter).draw(config.samples, generator, every=True)
    log_q_count = counts.count_log_probs(drawn.presence)
    with torch.no_grad():
        error = nested_errors(painter, images, drawn, likelihood)  # (B, K, N + 1)
        log_p = nested_log_prior(painter, drawn)
        done = torch.cumsum(torch.cat([torch.zeros_like(drawn.log_q_objects[..., :1]), drawn.log_q_objects], -1), -1)
        reward = -likelihood.beta * error + log_p - log_q_count - done - drawn.log_q_viewpoint[..., None]
        share = log_q_count.exp()
        count = torch.multinomial(share.flatten(0, 1), 1, generator=generator).reshape(share.shape[:2])
    estimate = _estimate(config.estimator, drawn, log_q_count, reward, count)
    numbers = torch.arange(share.shape[-1], device=share.device)
    return TuneStep(
        estimate.loss,
        (share * reward).sum(-1).mean(),
        (share * error).sum(-1).mean(),
        (share * numbers).sum(-1).mean(),
        estimate.diagnostics.reward_spread,
        count.numel() if config.estimator in _WHOLE else error.numel(),
    )


def _estimate(estimator: TuneEstimator, drawn: Draw, log_q_count: Tensor, reward: Tensor, count: Tensor) -> Surrogate:
    """The surrogate; `count` (B, K), drawn from q, is what all but `counts` go by."""
    if estimator == "counts":
        return counts.surrogate(log_q_count, drawn.log_q_objects, reward, drawn.log_q_viewpoint)
    slots = drawn.log_q_objects.shape[-1]
    here = torch.arange(slots, device=count.device) < count[..., None]
    log_q_n = log_q_count.gather(-1, count[..., None])[..., 0]
    log_q_objects = torch.where(here, drawn.log_q_objects, torch.zeros_like(drawn.log_q_objects))
    whole = reward.gather(-1, count[..., None])[..., 0]
    if estimator in _WHOLE:
        return _WHOLE[estimator](drawn.log_q_viewpoint + log_q_n + log_q_objects.sum(-1), whole)
    # z_i is drawn given the objects before it, so the partial scene before it is a valid baseline for it.
    before = slotwise.removal_baseline(whole, torch.where(here, reward[..., :-1], whole[..., None]))
    objects = slotwise.surrogate(log_q_objects, whole, before)
    rest = -(leave_one_out_advantage(whole) * (drawn.log_q_viewpoint + log_q_n)).mean()
    return objects._replace(loss=objects.loss + rest)


def nested_errors(painter: Painter, images: Tensor, drawn: Draw, likelihood: Likelihood) -> Tensor:
    """Errors (B, K, N + 1) of scenes of the first 0, 1, .. N objects; what the guide was shown is not drawn anew."""
    viewpoint, objects = drawn.latents
    errors = []
    for n in _counts(objects):
        pictures = drawn.drawn[n] if n < len(drawn.drawn) else None
        if pictures is None:
            pictures = painter.draw(SceneLatents(viewpoint, first(objects, n)))
        errors.append(likelihood.error(images, pictures))
    return torch.stack(errors, -1)


def nested_log_prior(painter: Painter, drawn: Draw) -> Tensor:
    """log p of the same scenes (B, K, N + 1)."""
    viewpoint, objects = drawn.latents
    b, k = viewpoint.azimuth_rad.shape
    flat = each(viewpoint, lambda part: part.flatten(0, 1))
    parts = []
    for n in _counts(objects):
        scene = SceneLatents(flat, each(first(objects, n), lambda part: part.flatten(0, 1)))
        parts.append(scene_log_prior(painter.world, scene).reshape(b, k))
    return torch.stack(parts, -1)


def first(objects: Objects, n: int) -> Objects:
    """Keep the first n objects of slots (..., N); the rest become absent."""
    keep = torch.arange(objects.kind.shape[-1], device=objects.kind.device) < n
    return objects._replace(kind=torch.where(keep, objects.kind, ABSENT))


def _counts(objects: Objects) -> range:
    return range(objects.kind.shape[-1] + 1)
