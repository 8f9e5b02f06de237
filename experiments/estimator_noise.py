"""`air3d bench estimators`: each estimator's gradient noise on the real 3D problem, per render and per second."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from air3d.cli.arguments import OptionalFile
from air3d.cli.json_file import write_json
from air3d.cli.progress import say
from air3d.datasets.provenance import provenance
from air3d.estimators.common import gradient_moments
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.elbo import Problem
from air3d.scenes.learner import EstimatorConfig, EstimatorName, Learner
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import to_pixels
from air3d.scenes.recommended import recommended
from air3d.training.config import TrainConfig
from air3d.training.scenes import GRADIENT_NORM, new_model, rate_factor


@dataclass(frozen=True)
class EstimatorArgs:
    """Measure how noisy each gradient estimator is on the single-object problem.

    A guide is trained with `lr` and stopped at each stage; every estimator's gradient for the same images is then
    drawn again and again. lr, lr-kind, lr-nvil and fd estimate the gradient of the ELBO, vimco of the 16-sample bound,
    rws and mixture of an inclusive KL: compare their noise, not their variances, across these.
    """

    stages: tuple[int, ...] = (50, 200, 500)
    """Iterations after which training is stopped and the noise measured, rising."""

    draws: int = 40
    """How many gradients are drawn of each estimator."""

    images: int = 2000
    """Images that the guide is trained on."""

    seed: int = 0
    """Seeds everything."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""

    json: OptionalFile = None
    """File to which the rows are written as JSON."""


def run(args: EstimatorArgs) -> int:
    """Measure; return 0 on success."""
    if args.draws < 2 or args.images < 1 or not args.stages or list(args.stages) != sorted(set(args.stages)):
        raise InputError("bench: use at least 2 draws, 1 image, and rising stages")
    if args.stages[0] < 1:
        raise InputError(f"bench: stages start at {args.stages[0]}; use at least 1 iteration")
    rows = []
    make = partial(make_renderer, backend=args.renderer)
    for row in measure_noise(single_prior(), make, args.stages, args.draws, args.images, args.seed):
        rows.append(row)
        say(f"after {row.stage} iterations, {row.estimator}: signal-to-noise {row.signal_to_noise:.3f}")
    write_json(args.json, {"rows": [row._asdict() for row in rows], "provenance": provenance()})
    table = Table("stage", "estimator", "renders", "ms", "variance", "S/N of one", "S/N per 1,000 renders", "S/N per s")
    for row in rows:
        numbers = (f"{row.milliseconds:.0f}", f"{row.variance:.3g}", f"{row.signal_to_noise:.3f}")
        spent = (f"{row.per_1000_renders:.3f}", f"{row.per_second:.3f}")
        table.add_row(str(row.stage), row.estimator, str(row.renders), *numbers, *spent)
    Console().print(table)
    return 0


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
    probe = SceneModel.of(prior, config.guide, config.likelihood)
    with make_renderer(probe.render_config) as renderer:
        pictures = renderer.render(scenes)
        model = new_model(config, prior, pictures)
        learner = Learner(model, config.estimator)
        optimiser = torch.optim.Adam(learner.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
        generator = torch.Generator().manual_seed(seed)

        def problem(iteration: int, generator: torch.Generator) -> Problem:
            batch = to_pixels(pictures[torch.randint(len(pictures), (config.batch,), generator=generator).numpy()])
            progress = iteration / config.iterations
            return Problem(model.painter(renderer), batch, model.likelihood, config.schedule, progress, generator)

        for before, stage in pairwise((0, *stages)):
            for iteration in range(before, stage):
                for group in optimiser.param_groups:
                    group["lr"] = config.learning_rate * rate_factor(config, iteration)
                _gradient(learner, problem(iteration, generator))
                torch.nn.utils.clip_grad_norm_(learner.parameters(), GRADIENT_NORM)
                optimiser.step()
            for name in get_args(EstimatorName):
                yield Noise(stage, **_noise(name, model, partial(problem, stage), draws, seed))


def _noise(
    name: EstimatorName, model: SceneModel[Any], problem_of: Callable[[torch.Generator], Problem], draws: int, seed: int
) -> dict[str, Any]:
    """Measure one estimator; `problem_of` draws the images with a generator, which samples are drawn from, too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = Learner(copy.deepcopy(model), recommended(name).estimator)
    fixed = problem_of(torch.Generator().manual_seed(seed + 1))
    problem = fixed._replace(generator=torch.Generator().manual_seed(seed + 2))
    for _ in range(3):  # lr-nvil measures its scale first; numba and caches warm up
        _gradient(learner, problem)
    rows, begin = [], time.perf_counter()
    for _ in range(draws):
        rows.append(_gradient(learner, problem))
    seconds = (time.perf_counter() - begin) / draws
    renders = learner.step(problem).renders
    moments = gradient_moments(torch.stack(rows))
    snr = float(moments.signal_to_noise)
    return {
        "estimator": name,
        "renders": renders,
        "milliseconds": 1000.0 * seconds,
        "variance": float(moments.variance),
        "signal_to_noise": snr,
        "per_1000_renders": snr * (1000.0 / renders) ** 0.5,
        "per_second": snr / seconds**0.5,
    }


def _gradient(learner: Learner, problem: Problem) -> Tensor:
    """Draw the gradient of the guide's parameters alone; it is also left in their `.grad`."""
    learner.zero_grad()
    learner.step(problem).loss.backward()
    return torch.cat(
        [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in learner.guide.parameters()]
    )
