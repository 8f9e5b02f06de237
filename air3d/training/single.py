"""Training of single-object inference from images alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from air3d.scenes.model import SingleObjectModel, to_pixels
from air3d.scenes.objective import Step, likelihood_ratio_step
from air3d.store import save_model
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder
from renderers.protocol import Renderer
from scene3d.errors import InputError
from scene3d.prior import PriorConfig

LOG_EVERY = 10
CHECKPOINT_EVERY = 50
_GRADIENT_NORM = 10.0


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
    guide = model.guide.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    guide.train()
    optimiser = torch.optim.Adam(guide.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(config.seed)
    start = run.resume(guide, optimiser, generator)
    record: dict[str, Any] = {}
    for iteration in range(start, config.iterations):
        progress = iteration / config.iterations
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * learning_rate_factor(progress)
        index = torch.randint(len(images), (config.batch,), generator=generator)
        batch = to_pixels(images[index].numpy())
        step = likelihood_ratio_step(
            guide, model.setting, renderer, batch, config.samples, config.schedule, progress, generator
        )
        optimiser.zero_grad()
        step.loss.backward()
        torch.nn.utils.clip_grad_norm_(guide.parameters(), _GRADIENT_NORM)
        optimiser.step()
        done = iteration + 1
        if done % LOG_EVERY == 0 or done == config.iterations:
            record = _record(done, step, config, model)
            run.log(record)
        if done % CHECKPOINT_EVERY == 0 or done == config.iterations:
            run.save_checkpoint(done, guide, optimiser, generator)
        report(record)
    guide.eval()
    save_model(run.model_folder, model, {**provenance, "iterations": config.iterations, "seed": config.seed})


def learning_rate_factor(progress: float) -> float:
    """1 for the first 70 %, then down a cosine to 0.05."""
    if progress < 0.7:
        return 1.0
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * (progress - 0.7) / 0.3))


def _record(iteration: int, step: Step, config: TrainConfig, model: SingleObjectModel) -> dict[str, Any]:
    progress = iteration / config.iterations
    return {
        "iteration": iteration,
        "squared_error": float(step.squared_error),
        "entropy": float(step.entropy),
        "beta": float(step.beta),
        "blur_px": config.schedule.blur(progress, model.image_size),
        "reward_spread": float(step.diagnostics.reward_spread),
        "effective_samples": float(step.diagnostics.effective_samples),
        "advantage_scale": float(step.diagnostics.advantage_scale),
        "kind_share": dict(zip(model.setting.prior.kinds, step.kind_share.tolist(), strict=True)),
    }
