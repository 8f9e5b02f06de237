"""Parameters of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from air3d.distributions.pixel_noise import PixelNoise
from air3d.scene3d.errors import InputError
from air3d.scenes.learner import EstimatorConfig
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.recommended import recommended
from air3d.scenes.schedule import CoarseToFine
from air3d.training.shares import check_shares


@dataclass(frozen=True)
class TrainConfig:
    """Parameters of single-object training; saved with every run.

    Attributes:
        iterations: the number of gradient steps.
        batch: the number of images in a step.
        learning_rate: the learning rate of Adam; over the last 30 % of the run it falls along a cosine to a twentieth.
        seed: seeds weights, minibatches and samples.
        shares: the number of equal parts of a step's batch, of which a process of torchrun's computes some
            (`air3d.training.shares`). What is learned depends on it, and not on the number of processes.
        sigma: the standard deviation of the likelihood of the reported bounds, in pixel values of [0, 1]. Learning
            uses the schedule's temperature, which ends elsewhere unless its rule is `sigma`.
        curriculum: the share of the training images used at the start, those with least in them (nearest to the mean
            image) first; grows to all over the first half of the run. 1 for none.
        estimator: the gradient estimator and its parameters.
        schedule: the schedule of blur and temperature; where none is given, the estimator's own (`recommended`).
        guide: the sizes of the network.
    """

    iterations: int = 1500
    batch: int = 32
    learning_rate: float = 1e-3
    seed: int = 0
    shares: int = 1
    sigma: float = 0.3
    curriculum: float = 1.0
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    schedule: CoarseToFine = None  # type: ignore[assignment]  # until __post_init__
    guide: OneLookConfig = field(default_factory=OneLookConfig)

    def __post_init__(self) -> None:
        if self.schedule is None:
            object.__setattr__(self, "schedule", recommended(self.estimator.name).schedule)
        if self.iterations < 1 or self.batch < 1:
            raise InputError(f"train: iterations {self.iterations} and batch {self.batch} must be at least 1")
        check_shares(self.shares, batch=self.batch)
        if not 0.0 < self.learning_rate < 1.0:
            raise InputError(f"train: learning_rate is {self.learning_rate}; it must lie between 0 and 1")
        if not 0.0 < self.curriculum <= 1.0:
            raise InputError(f"train: curriculum is {self.curriculum}; it must lie above 0 and be at most 1")
        PixelNoise(self.sigma)
