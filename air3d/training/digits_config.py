"""Parameters of a training run of the 2D track."""

from __future__ import annotations

from dataclasses import dataclass, field

from air3d.digits.air import AirConfig
from air3d.digits.learner import CountEstimator, Precision
from air3d.digits.models import CONFIGS, ModelConfig, ModelName
from air3d.scene3d.errors import InputError
from air3d.training.shares import check_shares


@dataclass(frozen=True)
class DigitsTrainConfig:
    """Parameters of the training of a model of the 2D track.

    Attributes:
        iterations: the number of gradient steps.
        batch: the number of images in a step.
        learning_rate: the learning rate of Adam; over the last 40 % of the run it falls along a cosine to a twentieth.
        baseline_learning_rate: the learning rate of the baseline of `nvil`.
        clip: the largest norm of the gradient.
        seed: seeds weights, minibatches and noise.
        shares: the number of equal parts of a step's batch, of which a process of torchrun's computes some
            (`air3d.training.shares`). What is learned depends on it, and not on the number of processes.
        estimator: estimates the count's gradient, "exact" or "nvil"; it matters for air and dair alone.
        explore: the share of learning that "exact" spreads evenly over the counts at first; it falls to none by
            the middle of the run.
        precision: the number type of matrix products. "bfloat16" is faster on processors that have it, as new ones do.
    """

    iterations: int = 10_000
    batch: int = 64
    learning_rate: float = 1e-3
    baseline_learning_rate: float = 0.1
    clip: float = 100.0
    seed: int = 0
    shares: int = 1
    estimator: CountEstimator = "exact"
    explore: float = 0.5
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch < 1:
            raise InputError(f"train: iterations {self.iterations} and batch {self.batch} must be at least 1")
        check_shares(self.shares, batch=self.batch)
        for name in ("learning_rate", "baseline_learning_rate"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise InputError(f"train: {name} is {getattr(self, name)}; it must lie between 0 and 1")
        if not 0.0 <= self.explore <= 1.0:
            raise InputError(f"train: explore is {self.explore}; it must be 0 to 1")
        if not self.clip > 0.0:
            raise InputError(f"train: clip is {self.clip}; it must be positive")


@dataclass(frozen=True)
class DigitsRunConfig:
    """The model and the training of a run; saved with it.

    Attributes:
        model: the name of the model.
        network: its sizes and priors, of the class that `CONFIGS` names for the model.
        train: the parameters of the training.
    """

    model: ModelName = "air"
    network: ModelConfig = field(default_factory=AirConfig)
    train: DigitsTrainConfig = field(default_factory=DigitsTrainConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.network, CONFIGS[self.model]):
            raise InputError(f"train: {type(self.network).__name__} is no configuration of '{self.model}'")
