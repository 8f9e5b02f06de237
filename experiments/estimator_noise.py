"""Measures each estimator's gradient noise on the real 3D problem: variance, signal-to-noise per render and second."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from air3d.estimators.common import gradient_moments
from air3d.renderers.protocol import Renderer
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.learner import EstimatorConfig, EstimatorName, Learner
from air3d.scenes.objective import Problem
from air3d.scenes.recommended import recommended
from air3d.scenes.single_model import SingleObjectModel, to_pixels
from air3d.training.config import TrainConfig
from air3d.training.single import GRADIENT_NORM, learning_rate_factor, new_model


class Noise(NamedTuple):
    """The noise of one estimator at one stage of training; signal-to-noise grows with the square root of the cost.

    Attributes:
        stage: the iterations of `lr` that the guide had been trained for.
        estimator: its name.
        renders, milliseconds: the cost of one draw of the gradient.
        variance: the variance of one draw, summed over the parameters.
        signal_to_noise: the length of the mean gradient over the root of the variance of one draw.
        per_1000_renders, per_second: the same for the mean of as many draws as 1,000 renders, or a second, pay for.
    """

    stage: int
    estimator: str
    renders: int
    milliseconds: float
    variance: float
    signal_to_noise: float
    per_1000_renders: float
    per_second: float


def measure_noise(
    prior: PriorConfig, make_renderer: Any, stages: tuple[int, ...], draws: int, images: int, seed: int
) -> Iterator[Noise]:
    """Train a guide with `lr`, stop at each stage, and draw every estimator's gradient for the same images again and
    again. The run's schedule is that of training for twice the last stage.

    Args:
        make_renderer: takes a RenderConfig.
        stages: the iterations, rising.
        draws: how many gradients are drawn of each estimator.
        images: how many training images are rendered from the prior.
        seed: seeds everything.
    """
    config = TrainConfig(iterations=2 * max(stages), seed=seed, estimator=EstimatorConfig("lr"))
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(seed), images)
    probe = SingleObjectModel(prior, config.guide, config.sigma)
    with make_renderer(probe.render_config) as renderer:
        pictures = torch.from_numpy(renderer.render(scenes))
        model = new_model(config, prior, pictures)
        learner = Learner(model.guide, config.estimator)
        optimiser = torch.optim.Adam(learner.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
        generator = torch.Generator().manual_seed(seed)
        for before, stage in pairwise((0, *stages)):
            for iteration in range(before, stage):
                for group in optimiser.param_groups:
                    group["lr"] = config.learning_rate * learning_rate_factor(iteration / config.iterations)
                _gradient(learner, _problem(model, renderer, pictures, config, iteration, generator))
                torch.nn.utils.clip_grad_norm_(learner.parameters(), GRADIENT_NORM)
                optimiser.step()
            for name in get_args(EstimatorName):
                yield _noise(name, recommended(name).estimator, model, renderer, pictures, config, stage, draws)


def _problem(
    model: SingleObjectModel,
    renderer: Renderer,
    pictures: Tensor,
    config: TrainConfig,
    iteration: int,
    generator: torch.Generator,
) -> Problem:
    index = torch.randint(len(pictures), (config.batch,), generator=generator)
    batch = to_pixels(pictures[index].numpy())
    return Problem(
        model.painter(renderer), batch, model.likelihood, config.schedule, iteration / config.iterations, generator
    )


def _noise(
    name: str,
    estimator: EstimatorConfig,
    model: SingleObjectModel,
    renderer: Renderer,
    pictures: Tensor,
    config: TrainConfig,
    stage: int,
    draws: int,
) -> Noise:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        learner = Learner(copy.deepcopy(model.guide), estimator)
    fixed = _problem(model, renderer, pictures, config, stage, torch.Generator().manual_seed(config.seed + 1))
    generator = torch.Generator().manual_seed(config.seed + 2)
    problem = fixed._replace(generator=generator)
    for _ in range(3):  # lr-nvil measures its scale first; numba and caches warm up
        _gradient(learner, problem)
    rows, begin = [], time.perf_counter()
    for _ in range(draws):
        rows.append(_gradient(learner, problem))
    seconds = (time.perf_counter() - begin) / draws
    renders = learner.step(problem).renders
    moments = gradient_moments(torch.stack(rows))
    snr = float(moments.signal_to_noise)
    return Noise(
        stage,
        name,
        renders,
        1000.0 * seconds,
        float(moments.variance),
        snr,
        snr * (1000.0 / renders) ** 0.5,
        snr / seconds**0.5,
    )


def _gradient(learner: Learner, problem: Problem) -> Tensor:
    """Draw the gradient of the guide's parameters alone; it is also left in their `.grad`."""
    learner.zero_grad()
    learner.step(problem).loss.backward()
    return torch.cat(
        [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in learner.guide.parameters()]
    )
