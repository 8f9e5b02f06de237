"""Trains AIR's supervised rivals on true labels, of single objects and of whole scenes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from air3d.distributions.parts import take
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.latents import Objects, World
from air3d.scenes.painter import Painter, to_pixels
from air3d.scenes.sleep import dream
from air3d.scenes.supervised import (
    SupervisedConfig,
    SupervisedModel,
    TabletopSupervisedConfig,
    new_network,
    new_step_network,
)
from air3d.training.loop import Share, Step, falling, fit
from air3d.training.mean_image import mean_dream, mean_image
from air3d.training.processes import ALONE
from air3d.training.run_folder import RunFolder
from air3d.training.shares import Shares

Report = Callable[[int, float], None]

CHECKPOINT_EVERY = 50
_CHUNK = 256
_GRADIENT_NORM = 10.0
_MEAN_DREAMS = 2048
_WARM = 0.1


def train_supervised(
    images: NDArray[np.uint8],
    truth: SceneBatch,
    prior: PriorConfig,
    config: SupervisedConfig,
    report: Report = lambda iteration, loss: None,
) -> SupervisedModel:
    """Train a rival on images and their true scenes.

    Args:
        images: (N, S, S, 3) uint8, of the size that `config.guide` reads.
        truth: the N scenes, of one object each.
        prior: the prior of the scenes.
        report: is called after every iteration with its number from 1 and the loss.

    Raises:
        InputError: if images and scenes do not fit to each other, to the prior or to the network.
    """
    size = config.guide.encoder.image_size
    if not len(images) or images.shape[1:] != (size, size, 3):
        raise InputError(f"supervised: images of shape {images.shape}; the guide reads at least one of {size}x{size}x3")
    if len(truth) != len(images) or truth.kinds != prior.kinds or truth.slots != 1 or not truth.present.all():
        raise InputError(f"supervised: needs {len(images)} scenes of one object, of kinds {', '.join(prior.kinds)}")
    network = new_network(config, prior)
    labels = _labels(truth)
    chunks = (to_pixels(images[i : i + _CHUNK]) for i in range(0, len(images), _CHUNK))
    network.guide.encoder.mean_image.copy_(mean_image(chunks))

    def step(share: Share) -> Step:
        index = torch.randint(len(images), (config.batch,), generator=share.generator)
        pixels, chosen = to_pixels(images[index.numpy()]), take(labels, index)
        warm = share.iteration < _WARM * config.iterations
        return Step(network.loss(pixels, chosen, config.position_weight, warm), {})

    _fit(network, config, step, report)
    return SupervisedModel(World(prior), network)


def train_supervised_tabletop(
    painter: Painter,
    config: TabletopSupervisedConfig,
    report: Report = lambda iteration, loss: None,
    run: RunFolder | None = None,
) -> SupervisedModel:
    """Train a rival on fresh labelled scenes from the prior.

    Args:
        report: is called after every iteration with its number from 1 and the loss.
        run: a run folder that keeps log and checkpoints, and that an interrupted training goes on from.
    """
    network = new_step_network(config, painter.world)
    if run is None or not run.iterations_done():  # else the checkpoint has it
        network.guide.mean_image.copy_(mean_dream(painter, _MEAN_DREAMS, config.seed))

    def step(share: Share) -> Step:
        images, labels = dream(painter, config.batch, share.rng())
        return Step(network.loss(images, labels, config.order, painter, config.slips, share.generator), {})

    _fit(network, config, step, report, run)
    return SupervisedModel(painter.world, network)


def _fit(
    network: nn.Module,
    config: SupervisedConfig | TabletopSupervisedConfig,
    step: Callable[[Share], Step],
    report: Report,
    run: RunFolder | None = None,
) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fit(
        network,
        torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=(0.9, 0.99)),
        step,
        Shares(1, config.seed, torch.Generator().manual_seed(config.seed), ALONE),
        config.iterations,
        rate=lambda iteration: falling(math.pi * iteration / config.iterations, last=0.0),
        clip=_GRADIENT_NORM,
        checkpoint_every=CHECKPOINT_EVERY,
        run=run,
        report=lambda record: report(record["iteration"], record["loss"]),
    )


def _labels(truth: SceneBatch) -> Objects:
    """Take the labels as latents of shape (N,)."""
    position, yaw = (torch.from_numpy(array[:, 0]).float() for array in (truth.position_m[..., :2], truth.yaw_rad))
    return Objects.upright(torch.from_numpy(truth.kind[:, 0]), position, yaw)
