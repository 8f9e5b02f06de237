"""Training of single-object inference from images alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from air3d.scenes.learner import Learner, Step
from air3d.scenes.model import SingleObjectModel, to_pixels
from air3d.scenes.objective import Problem
from air3d.store import save_model
from air3d.training.collapse import CollapseWatch
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder, read_log
from renderers.protocol import Renderer
from scene3d.errors import InputError
from scene3d.prior import PriorConfig

LOG_EVERY = 10
CHECKPOINT_EVERY = 50
GRADIENT_NORM = 10.0


def new_model(config: TrainConfig, prior: PriorConfig, images: Tensor) -> SingleObjectModel:
    """An untrained model, seeded; the mean of the training images is stored in its encoder.

    Args:
        images: (N, S, S, 3) uint8.

    Raises:
        InputError: if the images have another size than the guide reads.
    """
    size = config.guide.encoder.image_size
    if images.shape[1:] != (size, size, 3):
        raise InputError(f"the images are {images.shape[2]}x{images.shape[1]} pixels; the guide reads {size}x{size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = SingleObjectModel(prior, config.guide, config.sigma)
    total = sum(chunk.double().sum(0) for chunk in images.split(1024))
    mean = torch.as_tensor(total) / (255.0 * len(images))
    model.guide.encoder.mean_image.copy_(mean.permute(2, 0, 1))
    return model


def train(
    model: SingleObjectModel,
    images: Tensor,
    renderer: Renderer,
    config: TrainConfig,
    run: RunFolder,
    provenance: dict[str, Any],
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Train until `config.iterations`, resuming from the run's checkpoint if there is one.

    Args:
        model: changed in place.
        images: (N, S, S, 3) uint8; no labels.
        provenance: stored with the exported model.
        report: called after every iteration with the latest log record (empty before the first).
    """
    learner = new_learner(model, config)
    optimiser = torch.optim.Adam(learner.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(config.seed)
    start = run.resume(learner, optimiser, generator)
    order = easiest_first(images, model.guide.encoder.mean_image) if config.curriculum < 1.0 else None
    collapse = CollapseWatch(model.setting.prior.kinds)
    collapse.remember(read_log(run.folder))
    record: dict[str, Any] = {}
    for iteration in range(start, config.iterations):
        progress = iteration / config.iterations
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * learning_rate_factor(progress)
        used = max(round(len(images) * curriculum_share(config.curriculum, progress)), 1)
        index = torch.randint(used, (config.batch,), generator=generator)
        batch = to_pixels(images[index if order is None else order[index]].numpy())
        problem = Problem(model.setting, renderer, batch, config.schedule, progress, generator)
        step = learner.step(problem)
        optimiser.zero_grad()
        step.loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), GRADIENT_NORM)
        optimiser.step()
        done = iteration + 1
        if done % LOG_EVERY == 0 or done == config.iterations:
            record = _record(done, step, problem, model)
            if (warning := collapse.look(progress, step.kind_share)) is not None:
                record["warning"] = warning
            run.log(record)
        if done % CHECKPOINT_EVERY == 0 or done == config.iterations:
            run.save_checkpoint(done, learner, optimiser, generator)
        report(record)
    learner.eval()
    save_model(run.model_folder, model, {**provenance, "iterations": config.iterations, "seed": config.seed})


def new_learner(model: SingleObjectModel, config: TrainConfig) -> Learner:
    """The model's guide with the estimator of the configuration; seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 1)
        learner = Learner(model.guide, config.estimator)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner.train()
    return learner


def easiest_first(images: Tensor, mean_image: Tensor) -> Tensor:
    """Indices (N,) of images (N, S, S, 3) uint8: first those with least in them, nearest to the mean (3, S, S)."""
    mean = 255.0 * mean_image.permute(1, 2, 0)
    return torch.cat([(chunk - mean).square().sum(dim=(1, 2, 3)) for chunk in images.split(1024)]).argsort(stable=True)


def curriculum_share(start: float, progress: float) -> float:
    """Share of the images in use: from `start` to 1 over the first half of the run."""
    return start + (1.0 - start) * min(2.0 * progress, 1.0)


def learning_rate_factor(progress: float) -> float:
    """1 for the first 70 %, then down a cosine to 0.05."""
    if progress < 0.7:
        return 1.0
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * (progress - 0.7) / 0.3))


def _record(iteration: int, step: Step, problem: Problem, model: SingleObjectModel) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "squared_error": float(step.squared_error),
        "entropy": float(step.entropy),
        "beta": float(step.beta),
        "blur_px": problem.blur_px,
        "renders": step.renders,
        "reward_spread": float(step.diagnostics.reward_spread),
        "effective_samples": float(step.diagnostics.effective_samples),
        "advantage_scale": float(step.diagnostics.advantage_scale),
        "kind_share": dict(zip(model.setting.prior.kinds, step.kind_share.tolist(), strict=True)),
    }
