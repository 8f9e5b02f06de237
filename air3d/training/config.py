"""Parameters of training: what is common to scenes of one object and whole scenes, and the two presets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from air3d.networks.precision import Precision
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError, shown
from air3d.scenes.disturb import Disturbance
from air3d.scenes.learner import EstimatorConfig
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.recommended import recommended
from air3d.scenes.schedule import CoarseToFine
from air3d.scenes.sleep import Slips
from air3d.scenes.stages import StagewiseName
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.wake_config import WakeConfig
from air3d.training.shares import check_shares

Phase = Literal["sleep", "wake", "tune"]
_FULL: Precision = "float32"


@dataclass(frozen=True)
class Training:
    """Parameters of a training; saved with every run.

    Attributes:
        iterations: the number of gradient steps.
        batch: the number of images in a step.
        learning_rate: the greatest learning rate of Adam.
        seed: seeds weights, dreams, minibatches and samples.
        shares: the number of equal parts of a step's batch, of which a process of torchrun's computes some
            (`air3d.training.shares`). What is learned depends on it, and not on the number of processes.
        likelihood: p(x | z), by the noise of pixels.
        estimator: the gradient estimator and its parameters.
        guide: the sizes of the network.
    """

    iterations: int = 1500
    batch: int = 32
    learning_rate: float = 1e-3
    seed: int = 0
    shares: int = 1
    likelihood: Likelihood = field(default_factory=Likelihood)
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    guide: Any = None

    # What a preset does not offer as a field has these values: images alone, through the learner, from a cold start.
    phase = "tune"
    schedule = cast("CoarseToFine | None", None)
    curriculum, warm_up, hold, last_rate = 1.0, 0, 0.7, 0.05
    dreams, min_visible, slips, disturb, arrangements = 0, 0.1, Slips(), Disturbance(), 1
    precision = _FULL
    wake = WakeConfig()

    def __post_init__(self) -> None:
        if self.phase not in get_args(Phase):
            raise InputError(f"train: phase is {shown(self.phase)}; use 'sleep', 'wake' or 'tune'")
        if self.iterations < 1 or self.batch < 1 or self.warm_up < 0 or self.dreams < 0:
            raise InputError(
                f"train: iterations {self.iterations} and batch {self.batch} must be at least 1, "
                f"warm_up {self.warm_up} and dreams {self.dreams} at least 0"
            )
        further = {"dreams": self.dreams}
        if self.phase == "wake":
            further["camera_only"] = self.wake.camera_only
            if self.wake.cold < 1.0:
                further |= {"remembered": self.wake.remembered, "visits": self.wake.visits}
        check_shares(self.shares, batch=self.batch, **further)
        if not 0.0 < self.learning_rate < 1.0:
            raise InputError(f"train: learning_rate is {self.learning_rate}; it must lie between 0 and 1")
        if not 0.0 <= self.hold <= 1.0:
            raise InputError(f"train: hold is {self.hold}, a share of the run; it must be 0 to 1")
        if not 0.0 <= self.min_visible <= 1.0:
            raise InputError(f"train: min_visible is {self.min_visible}; it must be 0 to 1")
        if not 0.0 < self.curriculum <= 1.0:
            raise InputError(f"train: curriculum is {self.curriculum}; it must lie above 0 and be at most 1")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"train: seed is {self.seed}; it must be 0 to 2^63 - 1")


@dataclass(frozen=True)
class TrainConfig(Training):
    """Parameters of single-object training; saved with every run. `recommended_train` gives those of an estimator.

    Attributes:
        learning_rate: the learning rate of Adam; over the last 30 % of the run it falls along a cosine to a twentieth.
        likelihood: that of the reported bounds. Learning uses the schedule's temperature instead of its sigma, and ends
            elsewhere unless the rule is `sigma`.
        curriculum: the share of the training images used at the start, those with least in them (nearest to the mean
            image) first; grows to all over the first half of the run. 1 for none.
        schedule: the schedule of blur and temperature; where none is given, the estimator's own (`recommended`).
        guide: the sizes of the network.
    """

    curriculum: float = 1.0
    schedule: CoarseToFine = None  # type: ignore[assignment]  # until __post_init__
    guide: OneLookConfig = field(default_factory=OneLookConfig)

    def __post_init__(self) -> None:
        if self.schedule is None:
            object.__setattr__(self, "schedule", recommended(self.estimator.name).schedule)
        super().__post_init__()


@dataclass(frozen=True)
class TabletopTrainConfig(Training):
    """Parameters of tabletop training; saved with every run. `recommended_for` gives those that suit a phase.

    Attributes:
        phase: "sleep" learns from scenes dreamt from the prior, whose latents are known; "wake" from images alone, from
            a cold start; "tune" goes on from a trained guide, by an estimator on whole scenes.
        learning_rate: the greatest learning rate of Adam; it falls to a fiftieth along a cosine.
        warm_up: the iterations over which the learning rate rises.
        hold: the share of the run after which it begins to fall.
        shares: the number of equal parts of a step's batch, of which a process of torchrun's computes some
            (`air3d.training.shares`). What is learned depends on it, and not on the number of processes. The cameras
            of the wake phase serve the images of one share.
        arrangements: the number of settled scenes that dreams are drawn from, where physics settles them: each is seen
            many times, turned, under other cameras and lights. Of several worlds, each has its share of them.
        min_visible: leaves out dreams with an object of a smaller visible share, as `air3d generate` does.
        precision: "bfloat16" computes the largest products of dreams in half precision, which is faster where the
            processor has it.
        dreams: the number of dreamt images in a step of the other phases, which add their sleep loss.
        guide: the sizes of the network.
        slips: the slips of the sleep phase.
        disturb: the disturbance of the dreams' pictures.
        wake: the parameters of the wake phase.
        estimator: the gradient estimator of fine-tuning, by default lr; or of the stages of the wake phase: rws, the
            default, lr, lr-nvil, vimco.
    """

    iterations: int = 8000
    batch: int = 128
    learning_rate: float = 1.5e-3
    estimator: EstimatorConfig = None  # type: ignore[assignment]  # until __post_init__
    guide: StepGuideConfig = field(default_factory=StepGuideConfig)
    phase: Phase = "sleep"
    warm_up: int = 200
    hold: float = 0.0
    min_visible: float = 0.1
    arrangements: int = field(default=20_000, metadata=LATER)
    precision: Precision = field(default="float32", metadata=LATER)
    dreams: int = 0
    slips: Slips = field(default_factory=Slips)
    disturb: Disturbance = field(default_factory=Disturbance)
    wake: WakeConfig = field(default_factory=WakeConfig)
    last_rate = 0.02

    def __post_init__(self) -> None:
        if self.estimator is None:
            chosen = EstimatorConfig("rws") if self.phase == "wake" else EstimatorConfig("lr", samples=8)
            object.__setattr__(self, "estimator", chosen)
        super().__post_init__()
        if not 1 <= self.arrangements <= 10_000_000:
            raise InputError(f"train: arrangements is {self.arrangements}; it must be 1 to 10000000")
        if self.precision not in get_args(Precision):
            raise InputError(f"train: precision is {shown(self.precision)}; use {' or '.join(get_args(Precision))}")
        self.estimator.check_whole_scenes()
        if self.phase == "wake" and self.estimator.name not in get_args(StagewiseName):
            raise InputError(
                f"phase wake learns stage by stage, not by the estimator {self.estimator.name}; "
                f"use {', '.join(get_args(StagewiseName))}"
            )


def recommended_train(name: str) -> TrainConfig:
    """The parameters of single-object training by the estimator of that name."""
    estimator, schedule = recommended(name)
    return TrainConfig(estimator=estimator, schedule=schedule)


def recommended_for(phase: Phase) -> TabletopTrainConfig:
    """The parameters found to work: minutes of two cores for "wake" and "tune", half an hour for "sleep"."""
    if phase == "wake":
        return TabletopTrainConfig(600, 32, 1e-3, phase="wake", warm_up=100, hold=0.6)
    if phase == "tune":
        return TabletopTrainConfig(300, 16, 4e-5, phase="tune", warm_up=20, hold=0.5, dreams=32)
    return TabletopTrainConfig()
