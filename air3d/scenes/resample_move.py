"""Samples of the posterior p(z | x): draws of the guide, weighed, resampled, and moved by renders.

K scenes are drawn from q(z | x) and weighed by p(x, z) / q(z | x). Where one outweighs the others, K are worth few: so
they are resampled by weight, and every copy is moved by steps of Metropolis and Hastings, which leave p(z | x) as it
is ("resample-move", Gilks & Berzuini 2001). A step adds a multiple of the difference of two of the guide's own draws of
the same kinds (ter Braak 2006): differences are as large as the guide is unsure, and say what moves together, a camera
and all that it sees. What is discrete, count and kinds, is decided by the weights alone.

Where one draw outweighs all others, resampling would leave copies of it, which a few moves do not spread. There the
weights are raised to a power below 1 first, until they are worth a share of K: the moves then start from many scenes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.distributions.circle import wrap
from air3d.distributions.parts import each
from air3d.distributions.so3 import conjugate, exponential, logarithm, multiply, upper
from air3d.estimators.common import effective_sample_size, normalised_weights
from air3d.scene3d.arguments import check_number, whole
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scenes.guide import Guide
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import Painter


@dataclass(frozen=True)
class ResampleMove:
    """Parameters of the sampler.

    Attributes:
        samples: K, the scenes of each image.
        moves: the steps that every scene takes after resampling, one render each.
        longest: the longest step, as a share of a difference of draws; steps are as short as a hundredth of it.
        least: the share of K that the weights are worth at least when scenes are resampled; near 0 they are taken as
            they are.
    """

    samples: int = 128
    moves: int = 3
    longest: float = 1.0
    least: float = 0.25

    def __post_init__(self) -> None:
        whole("posterior", "samples", self.samples, 2, 100_000)
        whole("posterior", "moves", self.moves, 0, 100_000)
        check_number("posterior", "longest", self.longest, 1e-3, 10.0)
        check_number("posterior", "least", self.least, 0.0, 1.0)


class Samples(NamedTuple):
    """K equally weighted scenes of each of B images.

    Attributes:
        scenes: the B * K scenes, image-major.
        log_likelihood: (B, K), log p(x | z), nats.
        effective_samples: (B,), what the guide's K draws were worth, weighed; 0 where the prior allows none.
        accepted: (B,), the share of the moves that were accepted.
        renders: the renders of each image, without those that the guide looked at.
    """

    scenes: SceneBatch
    log_likelihood: Tensor
    effective_samples: NDArray[np.float64]
    accepted: NDArray[np.float64]
    renders: int


class _Scored(NamedTuple):
    """Scenes (B, K) and (B, K, N), log p(x | z) and log p(z), each (B, K)."""

    latents: SceneLatents
    likelihood: Tensor
    prior: Tensor


def resample_move(
    world: World,
    guide: Guide,
    likelihood: Likelihood,
    pixels: Tensor,
    painter: Painter,
    config: ResampleMove,
    generator: torch.Generator,
) -> Samples:
    """Sample the posterior of images (B, 3, H, W) in [0, 1]."""
    with torch.no_grad():
        drawn = guide.look(pixels, painter).draw(config.samples, generator)
        score = partial(_score, world, likelihood, pixels, painter)
        start = score(sorted_slots(drawn.latents))
        log_weight = start.likelihood.double() + start.prior - drawn.log_q.double()
        allowed = log_weight.isfinite().any(-1)
        log_weight = torch.where(allowed[:, None], log_weight, torch.zeros_like(log_weight))
        chosen = systematic(normalised_weights(tempered(log_weight, config.least * config.samples)), generator)
        now = _take(start, chosen)
        accepted = torch.zeros(len(pixels), dtype=torch.float64)
        for _ in range(config.moves):
            proposed = score(_moved(now.latents, start.latents, config, generator))
            ratio = (proposed.likelihood - now.likelihood).double() + proposed.prior - now.prior
            u = torch.rand(ratio.shape, generator=generator, dtype=torch.float64, device=ratio.device)
            # Where neither scene is allowed the ratio is NaN, and nothing moves.
            better = ratio > u.log()
            now = _where(better, proposed, now)
            accepted += better.double().mean(-1).cpu() / max(config.moves, 1)
    worth = torch.where(allowed, effective_sample_size(log_weight), torch.zeros(()).double())
    return Samples(
        world.to_batch(now.latents),
        now.likelihood.cpu(),
        worth.cpu().numpy(),
        accepted.numpy(),
        config.samples * (1 + config.moves),
    )


def tempered(log_weight: Tensor, least: float) -> Tensor:
    """Multiply log-weights (B, K) by the largest number up to 1, for each image, with which they are worth `least`
    equally weighted draws; by bisection, for they are worth less the larger it is."""
    low, high = torch.zeros_like(log_weight[:, :1]), torch.ones_like(log_weight[:, :1])
    allowed, nothing = log_weight.isfinite(), log_weight.new_full((), -math.inf)
    finite = torch.where(allowed, log_weight, torch.zeros_like(log_weight))
    enough = effective_sample_size(log_weight)[:, None] >= least
    for _ in range(40):
        middle = (low + high) / 2.0
        more = effective_sample_size(torch.where(allowed, middle * finite, nothing))[:, None] > least
        low, high = torch.where(more, middle, low), torch.where(more, high, middle)
    return torch.where(enough | ~allowed, log_weight, low * finite)


def systematic(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Draw K indices (B, K) by weights (B, K) that sum to 1, with one random number an image (Whitley 1994)."""
    count = weight.shape[-1]
    u = torch.rand(len(weight), 1, generator=generator, dtype=weight.dtype, device=weight.device)
    points = (u + torch.arange(count, dtype=weight.dtype, device=weight.device)) / count
    return torch.searchsorted(weight.cumsum(-1), points).clamp_max(count - 1)


def sorted_slots(latents: SceneLatents) -> SceneLatents:
    """Sort the objects of scenes (...) and (..., N) by kind, then by x, empty slots last: their order means nothing."""
    viewpoint, objects = latents
    last = objects.kind.new_full((), torch.iinfo(objects.kind.dtype).max)
    order = objects.position_m[..., 0].argsort(dim=-1, stable=True)
    kind = torch.where(objects.kind == ABSENT, last, objects.kind).gather(-1, order)
    order = order.gather(-1, kind.argsort(dim=-1, stable=True))
    return SceneLatents(viewpoint, each(objects, lambda part: _slots(part, order)))


def _slots(part: Tensor, order: Tensor) -> Tensor:
    index = order if part.dim() == order.dim() else order[..., None].expand(*order.shape, part.shape[-1])
    return part.gather(order.dim() - 1, index)


def _moved(now: SceneLatents, pool: SceneLatents, config: ResampleMove, generator: torch.Generator) -> SceneLatents:
    """Propose a step of every scene (B, K): by a share of the difference of two scenes of the pool that have the same
    kinds as it; with no two such scenes, none."""
    b, k = now.viewpoint.azimuth_rad.shape
    alike = (now.objects.kind[:, :, None] == pool.objects.kind[:, None]).all(-1).double()  # (B, K, K)
    chance = torch.where(alike.sum(-1, keepdim=True) > 0.0, alike, torch.ones_like(alike)).flatten(0, 1)
    pair = torch.multinomial(chance, 2, replacement=True, generator=generator).unflatten(0, (b, k))
    rows = torch.arange(b, device=pair.device)[:, None]
    one, two = (_both(pool, lambda part, i=i: part[rows, pair[..., i]]) for i in (0, 1))  # type: ignore[misc]
    u = torch.rand((2, b, k), generator=generator, device=pair.device)
    share = config.longest * 10.0 ** (-2.0 * u[0])
    able = alike.gather(-1, pair).all(-1)
    share = torch.where(able, share, torch.zeros_like(share))
    (azimuth, shares), objects = now
    step = share[..., None]
    turn = logarithm(multiply(conjugate(two.objects.rotation_wxyz), one.objects.rotation_wxyz))
    return SceneLatents(
        Viewpoint(
            wrap(azimuth + share * wrap(one.viewpoint.azimuth_rad - two.viewpoint.azimuth_rad)),
            shares + step * (one.viewpoint.shares - two.viewpoint.shares),
        ),
        Objects(
            objects.kind,
            objects.position_m + step[..., None] * (one.objects.position_m - two.objects.position_m),
            upper(multiply(objects.rotation_wxyz, exponential(step[..., None] * turn))),
            objects.appearance + step[..., None] * (one.objects.appearance - two.objects.appearance),
        ),
    )


def _both(latents: SceneLatents, change: Callable[[Tensor], Tensor]) -> SceneLatents:
    return SceneLatents(each(latents.viewpoint, change), each(latents.objects, change))


def _score(world: World, likelihood: Likelihood, pixels: Tensor, painter: Painter, latents: SceneLatents) -> _Scored:
    """Score scenes; those whose shares or appearance leave their ranges are not allowed."""
    error = likelihood.error(pixels, painter.draw(latents))
    log_likelihood = likelihood.log_density(pixels, error)
    prior = torch.from_numpy(world.log_prior(world.to_batch(latents))).reshape(error.shape).to(error.device)
    here = (latents.objects.kind != ABSENT)[..., None]
    looks = ((latents.objects.appearance - 0.5).abs() <= 0.5) | ~here
    inside = ((latents.viewpoint.shares - 0.5).abs() <= 0.5).all(-1) & looks.flatten(-2).all(-1)
    return _Scored(latents, log_likelihood, torch.where(inside, prior, torch.full_like(prior, -math.inf)))


def _take(scored: _Scored, index: Tensor) -> _Scored:
    rows = torch.arange(len(index), device=index.device)[:, None]
    latents = _both(scored.latents, lambda part: part[rows, index])
    return _Scored(latents, scored.likelihood[rows, index], scored.prior[rows, index])


def _where(better: Tensor, one: _Scored, other: _Scored) -> _Scored:
    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(better.reshape(*better.shape, *[1] * (a.dim() - better.dim())), a, b)

    viewpoint = Viewpoint(*map(pick, one.latents.viewpoint, other.latents.viewpoint))
    latents = SceneLatents(viewpoint, Objects(*map(pick, one.latents.objects, other.latents.objects)))
    return _Scored(latents, pick(one.likelihood, other.likelihood), pick(one.prior, other.prior))
