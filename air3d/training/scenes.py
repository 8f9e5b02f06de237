"""Trains inference of scenes: asleep, awake from a cold start, or by a gradient estimator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.depth import COLOURS, sensed
from air3d.scenes.disturb import disturbed
from air3d.scenes.elbo import Problem
from air3d.scenes.elbo import Step as Learned
from air3d.scenes.kind_codes import KIND_PICTURES
from air3d.scenes.learner import Learner
from air3d.scenes.memory import SceneMemory, shuffled, visit
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import Painter, to_pixels
from air3d.scenes.sleep import Scenes, dream, sleep_loss
from air3d.scenes.stages import StageEstimator
from air3d.scenes.store import save_model
from air3d.scenes.wake import Wake, WakeStep
from air3d.training.collapse import CollapseWatch
from air3d.training.config import Training
from air3d.training.loop import Share, Step, falling, fit
from air3d.training.mean_image import mean_dream, mean_image
from air3d.training.processes import ALONE, Processes
from air3d.training.run_folder import RunFolder
from air3d.training.shares import Shares

LOG_EVERY = 10
CHECKPOINT_EVERY = 50
GRADIENT_NORM = 10.0
_MEAN_DREAMS = 2048


class Place(NamedTuple):
    """A world that dreams are of.

    Attributes:
        renderer: draws it.
        scenes: draws its scenes; None means its prior.
    """

    renderer: Renderer
    scenes: Scenes | None = None


@plain_torch()
def new_model(
    config: Training,
    prior: PriorConfig,
    images: NDArray[np.uint8] | None = None,
    others: Sequence[PriorConfig] = (),
) -> SceneModel[Any]:
    """Make an untrained model, seeded.

    Args:
        others: the priors of further worlds, which are dreamt of in turn.
        images: (N, S, S, 3) uint8, whose mean the guide subtracts from every image; None leaves it to `train`.

    Raises:
        InputError: if the guide cannot explain scenes of this prior or the phase cannot learn from them, or
            `check_images` raises it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = SceneModel.of(prior, config.guide, config.likelihood, others)
    if config.phase != "sleep" and model.guide.depth:
        raise InputError(f"train: phase {config.phase} learns from colours alone; leave out --train.guide.depth")
    if images is not None:
        check_images(config, images)
        model.guide.mean_image.copy_(_mean(images))
    return model


def take_over(model: SceneModel[Any], started: SceneModel[Any]) -> list[str]:
    """Take weights over from a model with a guide of the same sizes, as far as both have them in the same shape.

    Pictures of kinds are not taken over if the kinds are others. A guide that looks at depth, too, takes the weights of
    one that does not: those of the channels that are new begin at 0, so that it sees at first what the other saw.

    Returns:
        The parts of the guide that have something new, by name.
    """
    own, other = model.guide.state_dict(), started.guide.state_dict()
    if model.guide.depth and not started.guide.depth:
        for name, channels in started.guide.colour_channels().items():
            other[name] = torch.zeros_like(own[name]).index_copy(1, torch.tensor(channels), other[name])
    # What belongs to kinds: their pictures; or where they are numbers, the heads that read and write these.
    of_kinds = (KIND_PICTURES,) if KIND_PICTURES in own else ("kind_head.", "pose_head.", "looks_head.")
    foreign = model.prior.kinds != started.prior.kinds
    fits = {
        name: tensor
        for name, tensor in other.items()
        if name in own and own[name].shape == tensor.shape and not (foreign and name.startswith(of_kinds))
    }
    if model.image_size != started.image_size:
        fits.pop("mean_image", None)
    model.guide.load_state_dict(own | fits)
    return sorted({name.split(".")[0] for name in own.keys() - fits.keys()})


def check_images(config: Training, images: NDArray[np.uint8] | None) -> None:
    """Check that a run can learn from these images (N, S, S, 3).

    Raises:
        InputError: if its phase needs images and there are none, or they are of another size than the guide reads.
    """
    size: ImageSize = config.guide.size
    if config.phase != "sleep" and (images is None or not len(images)):
        raise InputError(f"train: phase {config.phase} learns from images; name a dataset with --data")
    if images is not None and images.shape[1:] != (size.height, size.width, 3):
        raise InputError(f"the images are {images.shape[2]}x{images.shape[1]} pixels; the guide reads {size}")


def new_learner(model: SceneModel[Any], config: Training) -> Learner:
    """Make the learner of the model's guide with the estimator of the configuration, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 1)
        learner = Learner(model, config.estimator)
        if config.phase == "wake":
            learner.memory = StageEstimator(config.estimator.name, model.image_size)
    learner.to(model.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return learner


@plain_torch()
def train(
    model: SceneModel[Any],
    images: NDArray[np.uint8] | None,
    renderer: Renderer,
    config: Training,
    run: RunFolder | None,
    provenance: dict[str, Any],
    report: Callable[[dict[str, Any]], None],
    look: Callable[[int, SceneModel[Any]], None] = lambda iteration, model: None,
    processes: Processes = ALONE,
    scenes: Scenes | None = None,
    others: Sequence[Place] = (),
) -> None:
    """Train until `config.iterations`, resuming from the run's checkpoint if there is one.

    Args:
        model: the model, changed in place.
        images: (N, S, S, 3) uint8; None in the sleep phase; no labels.
        run: the run folder, in the first process; None in the others.
        provenance: is stored with the exported model.
        report: is called after every iteration with the latest log record (empty before the first).
        look: is called after every iteration with the number done; may draw what the model sees by then.
        processes: the processes that train together.
        scenes: draws the scenes of dreams; by default the model's prior.
        others: the model's further worlds, in order, which are dreamt of in turn.

    Raises:
        InputError: if `check_images` raises it.
    """
    check_images(config, images)
    learner, painter, mean = new_learner(model, config), model.painter(renderer), model.guide.mean_image
    dreamt = [
        (place.painter(at.renderer), at.scenes)
        for place, at in zip(model.places, (Place(renderer, scenes), *others), strict=True)
    ]
    # Else the mean image comes from the first process, the checkpoint, or the weights that training starts from.
    if processes.first and (run is None or run.iterations_done() == 0):
        model.guide.meet(renderer)
        if not mean.any():
            mean.copy_(_mean_dream(dreamt, config) if images is None else _mean(images))
    order = None if images is None or config.curriculum == 1.0 else easiest_first(images, mean.cpu())
    memory: SceneMemory | None = None
    if images is not None and config.phase == "wake" and config.wake.cold < 1.0:
        if len(images) < config.shares:
            raise InputError(f"train: {len(images)} images cannot be dealt out to {config.shares} shares")
        memory = SceneMemory(model.world, len(images)).to(model.device)
        learner.add_module("remembered", memory)  # it is stored with the checkpoint

    def step(share: Share) -> Step:
        if memory is None or images is None or share.progress < config.wake.cold:
            return _step(learner, painter, dreamt, images, order, config, share)
        dreams = _step(learner, painter, dreamt, None, order, config, share)
        learned = _remembered(model, painter, memory, images, config, share)
        return learned._replace(loss=learned.loss + dreams.loss, values={**dreams.values, **learned.values})

    fit(
        learner,
        torch.optim.Adam(learner.parameters(), lr=config.learning_rate, betas=(0.9, 0.99)),
        step,
        Shares(config.shares, config.seed, torch.Generator(painter.device).manual_seed(config.seed), processes),
        config.iterations,
        rate=lambda iteration: rate_factor(config, iteration),
        clip=GRADIENT_NORM,
        running=learner.running,
        watch=CollapseWatch(model.prior.kinds),
        log_every=LOG_EVERY,
        checkpoint_every=CHECKPOINT_EVERY,
        run=run,
        export=lambda folder, facts: save_model(folder, model, provenance | facts),
        report=report,
        look=lambda done: look(done, model),
    )


def _step(
    learner: Learner,
    painter: Painter,
    dreamt: list[tuple[Painter, Scenes | None]],
    images: NDArray[np.uint8] | None,
    order: NDArray[np.int64] | None,
    config: Training,
    share: Share,
) -> Step:
    # What is dreamt in iteration i depends on (seed, i, share) alone, whatever the phase and the images: nothing of it
    # needs to be in the checkpoint, and a run of the sleep phase is the control of one that adds dreams to images.
    rng, generator = share.rng(), share.generator
    loss, values = torch.zeros((), device=painter.device), dict[str, float | Tensor]()
    kind_share: Tensor | None = None
    dreams = share.of(config.batch if config.phase == "sleep" else config.dreams)
    if dreams:
        turn = share.iteration % len(dreamt)
        dreamer, scenes = dreamt[turn]
        pictures, latents = dream(dreamer, dreams, rng, config.min_visible, scenes)
        if config.disturb.share:
            pictures = disturbed(pictures, config.disturb, generator)
        if dreamer.depth:
            pictures = sensed(pictures, generator)
        guide = learner.guide.within(dreamer.world) if turn else learner.guide
        slept = sleep_loss(guide, dreamer, pictures, latents, config.slips, generator, config.precision)
        loss = loss + slept.total
        values |= {f"sleep_{name}": value.detach() for name, value in slept._asdict().items()}
    if images is not None and config.phase != "sleep":
        step: WakeStep | Learned
        if config.phase == "wake":
            wake = replace(config.wake, camera_only=share.of(config.wake.camera_only))
            chosen = rng.integers(len(images), size=share.of(config.batch) + wake.camera_only)
            batch = to_pixels(images[chosen]).to(painter.device)
            progress = min(share.progress / config.wake.cold, 1.0)
            estimator = learner.memory
            assert isinstance(estimator, StageEstimator)
            step = Wake(learner.guide, painter, wake, config.likelihood, generator, estimator).step(batch, progress)
        else:
            used = max(round(len(images) * curriculum_share(config.curriculum, share.progress)), 1)
            index = torch.randint(used, (share.of(config.batch),), generator=generator, device=generator.device)
            chosen = index.cpu().numpy()
            batch = to_pixels(images[chosen if order is None else order[chosen]]).to(painter.device)
            problem = Problem(painter, batch, config.likelihood, config.schedule, share.progress, generator)
            step, values["blur_px"] = learner.step(problem), problem.blur_px
        loss, values, kind_share = loss + step.loss, {**values, **step.record()}, step.kind_share
    return Step(loss, values, kind_share)


def _remembered(
    model: SceneModel[Any],
    painter: Painter,
    memory: SceneMemory,
    images: NDArray[np.uint8],
    config: Training,
    share: Share,
) -> Step:
    """Look at some images again, and learn from what is remembered of these and of others.

    A share has images of its own, those whose number has the share's as remainder, so that shares need not wait for
    what others remember.
    """
    generator, count, device = share.generator, share.shares.count, memory.error.device
    own = torch.arange(share.number, len(images), count, device=device)
    visits = min(share.of(config.wake.visits), len(own))
    rows = own[torch.randperm(len(own), generator=generator, device=device)[:visits]]
    seed = int(torch.randint(2**31, (), generator=generator, device=device))
    polished = replace(config.wake.polish, seed=seed)
    renders = visit(memory, model, painter.renderer, images[rows.cpu().numpy()], rows, polished)
    known = own[memory.known(own)]
    more = max(share.of(config.wake.remembered) - visits, 0)
    rows = torch.cat([rows, known[torch.randint(len(known), (more,), generator=generator, device=device)]])
    batch, latents = to_pixels(images[rows.cpu().numpy()]).to(device), shuffled(memory.recall(rows), generator)
    learned = sleep_loss(model.guide, painter, batch, latents, config.slips, generator, config.precision)
    if share.number == share.shares.own[-1]:
        _share_out(memory, share.shares)
    values: dict[str, float | Tensor] = {f"late_{name}": value.detach() for name, value in learned._asdict().items()}
    values |= {"squared_error": memory.error[known].mean(), "remembered": len(known) * count / len(images)}
    kinds = latents.objects.kind[latents.objects.kind != ABSENT]
    kind_share = torch.bincount(kinds, minlength=len(model.prior.kinds)) / max(len(kinds), 1)
    return Step(learned.total, values | {"renders": float(renders)}, kind_share)


def _share_out(memory: SceneMemory, shares: Shares) -> None:
    """Give every process what the others remember of the images of their shares."""
    if shares.processes.count == 1:
        return
    number = torch.arange(len(memory.error), device=memory.error.device) % shares.count
    mine = (number >= shares.own.start) & (number < shares.own.stop)
    for part in (memory.error, memory.numbers):
        own = torch.where(mine.reshape(-1, *[1] * (part.dim() - 1)), part, 0.0)
        shares.processes.sum(own)
        part.copy_(own)


def easiest_first(images: NDArray[np.uint8], mean_image: Tensor) -> NDArray[np.int64]:
    """Sort images (N, S, S, 3), those with least in them first, nearest to the mean (3, S, S): indices (N,)."""
    mean = 255.0 * mean_image.permute(1, 2, 0)
    parts = torch.from_numpy(images).split(1024)
    distance = torch.cat([(part - mean).square().sum(dim=(1, 2, 3)) for part in parts])
    return np.asarray(distance.argsort(stable=True).numpy())


def curriculum_share(start: float, progress: float) -> float:
    """The share of the images in use: from `start` to 1 over the first half of the run."""
    return start + (1.0 - start) * min(2.0 * progress, 1.0)


def rate_factor(config: Training, iteration: int) -> float:
    """The factor on the learning rate: a linear rise, a constant stretch, a fall along a cosine."""
    rise = min((iteration + 1) / max(config.warm_up, 1), 1.0)
    progress = iteration / config.iterations
    if progress <= config.hold:
        return rise
    return rise * falling(math.pi * ((progress - config.hold) / (1.0 - config.hold)), config.last_rate)


def _mean_dream(dreamt: list[tuple[Painter, Scenes | None]], config: Training) -> Tensor:
    """The mean (3, S, S) of dreams, of each world equally many."""
    number = _MEAN_DREAMS // len(dreamt)
    means = [mean_dream(painter, number, config.seed, config.min_visible, scenes) for painter, scenes in dreamt]
    return torch.stack(means).mean(0)[:COLOURS]


def _mean(images: NDArray[np.uint8]) -> Tensor:
    """The mean (3, S, S) of images (N, S, S, 3), in [0, 1]."""
    return (mean_image(torch.from_numpy(images).split(256)) / 255.0).permute(2, 0, 1)
