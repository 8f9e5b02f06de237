"""Trains the guide, and all that its gradient estimator learns beside it: one step of learning by name.

Every estimator is a line of `ESTIMATORS`. Those on the ELBO hide objects if they start cold on whole scenes (see
`wake`): there they fine-tune a guide that already sees, and even a trained guide may forget objects unless it goes on
dreaming beside them. Watch the count, not the bound. `lr` is the quietest by far where the order of objects is random,
as it is after the sleep phase: what a step gains depends on which object it happens to name, a plate or a mug, while
the whole scene's reward does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize
from air3d.estimators import counts, lr, nvil, rws, slotwise, vimco
from air3d.estimators.common import Surrogate
from air3d.networks.encoder import ConvEncoder, EncoderConfig, mlp
from air3d.scene3d.errors import InputError, shown
from air3d.scenes import one_object
from air3d.scenes.elbo import Problem, Step, roll_out
from air3d.scenes.guide import Guide, Posterior
from air3d.scenes.model import SceneModel


class Estimator(NamedTuple):
    """An estimator, as the learner knows it.

    Attributes:
        step: does a step of learning from what the guide says of a problem's images.
        alone: the reason for which it learns from one object under a known camera alone; None if it learns from all.
        memory: makes what it learns beside the guide, given the images' size; None for nothing. Buffers
            called `moments` are statistics that every step updates.
    """

    step: Callable[[Learner, Any, Problem], Step]
    alone: str | None = None
    memory: Callable[[ImageSize], nn.Module] | None = None


@dataclass(frozen=True)
class EstimatorConfig:
    """Names a gradient estimator, with its parameters; docs/estimators.md explains them.

    Attributes:
        name: lr (leave-one-out likelihood ratio), lr-nvil (learned baseline), vimco, rws (reweighted wake-sleep),
            slotwise (each object against the scene before it), counts (the expectation over the count exact); of one
            object under a known camera alone: lr-kind (lr, the expectation over the kind exact), mixture (candidates
            shared across the batch), fd (finite differences through the renderer for position and yaw).
        samples: K, the scenes drawn for each image; lr-kind splits them over the kinds, fd spends 7 renders on each.
        sleep_share: the share of the sleep phase in the loss of rws, 0 to 1; one object alone.
        sleep_until: the share of the run, from its start, that is sleep alone, for any estimator: a start from scenes
            drawn from the prior, whose latents are known. 0 for none; one object alone.
        prior_share: the share of mixture's candidates that are drawn from the prior.
        centred: subtracts the control variate of expectation zero from the weights of rws and mixture.
        step_m: the finite difference of fd in x and y, metres; about a pixel's worth.
        step_rad: the finite difference of fd in yaw, radians.
    """

    name: EstimatorName = "rws"
    samples: int = 16
    sleep_share: float = 0.0
    sleep_until: float = 0.0
    prior_share: float = 0.0
    centred: bool = True
    step_m: float = 0.006
    step_rad: float = 0.12

    def __post_init__(self) -> None:
        if self.name not in ESTIMATORS:
            raise InputError(f"estimator: name is {shown(self.name)}; use one of {', '.join(ESTIMATORS)}")
        if not 2 <= self.samples <= 4096:
            raise InputError(f"estimator: samples is {self.samples}; use 2 to 4096")
        for name in ("sleep_share", "sleep_until", "prior_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"estimator: {name} is {getattr(self, name)}; use 0 to 1")
        if not (self.step_m > 0.0 and self.step_rad > 0.0):
            raise InputError("estimator: step_m and step_rad must be positive")

    def check_whole_scenes(self) -> None:
        """Raise InputError if this cannot learn from scenes of several objects, or under an unknown camera."""
        alone = ESTIMATORS[self.name].alone
        if alone is not None:
            able = ", ".join(name for name, estimator in ESTIMATORS.items() if estimator.alone is None)
            raise InputError(f"estimator {self.name} is for one object under a known camera: {alone}; use {able}")
        if self.sleep_share or self.sleep_until:
            raise InputError(
                "estimator: sleep_share and sleep_until are for one object under a known camera; let whole scenes be "
                "dreamt beside the images (dreams), or before (phase sleep)"
            )


class Learner(nn.Module):
    """A guide with its estimator, and all that this learns beside it.

    Args:
        model: the model, whose guide is trained in place.
        config: the estimator.

    Raises:
        InputError: if the estimator cannot learn from such scenes.
    """

    def __init__(self, model: SceneModel[Guide], config: EstimatorConfig) -> None:
        super().__init__()
        if not model.world.one_object:
            config.check_whole_scenes()
        self.guide: Any = model.guide  # a `Guide`; what is for one object alone asks it for more
        self.config, self.estimator = config, ESTIMATORS[config.name]
        memory = self.estimator.memory
        self.memory = nn.Identity() if memory is None else memory(model.image_size)

    @property
    def running(self) -> list[Tensor]:
        """The buffers of statistics that every step updates."""
        return [buffer for name, buffer in self.memory.named_buffers() if name.split(".")[-1] == "moments"]

    def step(self, problem: Problem) -> Step:
        """Do one step of learning from `problem.images`."""
        if problem.progress < self.config.sleep_until:
            return one_object.sleep(self.guide, self.config.sleep_until, problem)
        return self.estimator.step(self, self.guide.look(problem.images, problem.painter), problem)


class LearnedBaseline(nn.Module):
    """The baseline of lr-nvil: a network that predicts the reward from the image, and running moments of its error."""

    def __init__(self, size: ImageSize) -> None:
        super().__init__()
        if size.width != size.height:
            raise InputError(f"estimator lr-nvil: its baseline reads square images, not {size}; use another estimator")
        encoder = EncoderConfig(size.height, channels=(16, 32, 32), code=64)
        self.network = nn.Sequential(ConvEncoder(encoder), mlp(encoder.code, 64, 1))
        self.moments: Tensor
        self.register_buffer("moments", torch.stack(list(nvil.RunningMoments.initial())))

    def surrogate(self, images: Tensor, log_q: Tensor, reward: Tensor) -> Surrogate:
        """Apply the estimator, and update the moments."""
        before = nvil.RunningMoments(*self.moments.unbind())
        estimate, after = nvil.surrogate(log_q, reward, self.network(images)[:, 0], before)
        self.moments.copy_(torch.stack(list(after)))
        return estimate


def whole_scenes(surrogate: Callable[[Tensor, Tensor], Surrogate]) -> Callable[[Learner, Posterior, Problem], Step]:
    """Make the step of an estimator that goes by log q(z | x) and log p(x, z) - log q(z | x) of scenes, both (B, K)."""

    def step(learner: Learner, posterior: Posterior, problem: Problem) -> Step:
        rollout = roll_out(posterior, learner.config.samples, problem)
        return rollout.step(surrogate(rollout.log_q, rollout.log_weight))

    return step


def _learned_baseline(learner: Learner, posterior: Posterior, problem: Problem) -> Step:
    rollout, memory = roll_out(posterior, learner.config.samples, problem), learner.memory
    assert isinstance(memory, LearnedBaseline)
    return rollout.step(memory.surrogate(problem.images, rollout.log_q, rollout.log_weight))


def _wake_sleep(learner: Learner, posterior: Posterior, problem: Problem) -> Step:
    """Do the wake phase on the images and, if asked for, the sleep phase on as many scenes of the prior."""
    rollout, share = roll_out(posterior, learner.config.samples, problem), learner.config.sleep_share
    dreamt = one_object.sleep_log_q(learner.guide, problem) if share > 0.0 else None
    estimate = rws.surrogate(rollout.log_q, rollout.log_weight, dreamt, share, learner.config.centred)
    return rollout.step(estimate)._replace(renders=rollout.renders + (0 if dreamt is None else len(dreamt)))


def _slot_by_slot(learner: Learner, posterior: Posterior, problem: Problem) -> Step:
    rollout = roll_out(posterior, learner.config.samples, problem)
    drawn = rollout.drawn
    rest = drawn.log_q_viewpoint + drawn.log_q_presence.sum(-1)
    before = rollout.nested.log_weight[..., :-1]
    return rollout.nested_step(
        slotwise.nested_surrogate(rest, drawn.log_q_objects, rollout.log_weight, before, rollout.present)
    )


def _over_counts(learner: Learner, posterior: Posterior, problem: Problem) -> Step:
    rollout = roll_out(posterior, learner.config.samples, problem, every=True)
    drawn, part = rollout.drawn, rollout.nested
    return rollout.expected_step(
        counts.surrogate(part.log_q_count, drawn.log_q_objects, part.log_weight, drawn.log_q_viewpoint)
    )


ESTIMATORS: dict[str, Estimator] = {
    "lr": Estimator(whole_scenes(lr.surrogate)),
    "lr-kind": Estimator(one_object.exact_kind, alone="its sum over the kinds would need kinds^N scenes of N objects"),
    "lr-nvil": Estimator(_learned_baseline, memory=LearnedBaseline),
    "vimco": Estimator(whole_scenes(vimco.surrogate)),
    "rws": Estimator(_wake_sleep),
    "slotwise": Estimator(_slot_by_slot),
    "counts": Estimator(_over_counts),
    "mixture": Estimator(
        one_object.shared_candidates,
        alone="each of its scenes serves all images of the batch, and seen by a camera of its own it serves only one",
    ),
    "fd": Estimator(
        one_object.finite_differences,
        alone="it moves objects along with the guide's parameters, and a guide that looks again after each object "
        "depends on a picture of it, through which no gradient flows",
    ),
}
if TYPE_CHECKING:
    EstimatorName = str
else:  # what the command line offers
    EstimatorName = Literal[tuple(ESTIMATORS)]
