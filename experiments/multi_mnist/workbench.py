"""The workbench of the multi-MNIST experiments: kept results, images, trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from air3d.datasets.digits.config import Preset
from air3d.datasets.digits.reader import DigitsArrays
from air3d.datasets.digits.sources import Split
from air3d.digits.store import Model, ModelConfig, ModelName, load_digits_model
from air3d.digits.train import DigitsRunConfig, DigitsTrainConfig
from experiments.kept import Kept, fingerprint
from experiments.multi_mnist.data import DigitsStock
from experiments.multi_mnist.plan import SEEDS, Plan
from experiments.multi_mnist.trial import Trial, Watch

TRAININGS = "trainings"  # of the parts that show no training itself


@dataclass(frozen=True)
class Workbench:
    """The tools that the parts of the experiments share.

    Training, validation and test images are made of different digits, and drawn with different seeds. Whatever is
    chosen is chosen by the validation images.

    Attributes:
        kept: the results.
        plan: says how much is done.
        stock: makes the data.
        device: the device that computes.
    """

    kept: Kept
    plan: Plan
    stock: DigitsStock
    device: torch.device

    def images(self, split: Split, counts: tuple[int, ...], preset: Preset = "paper") -> DigitsArrays:
        """The images of a set that hold one of these numbers of digits."""
        return self.stock.arrays(split, counts, getattr(self.plan, split), SEEDS[split], preset)

    def how(self, seed: int) -> DigitsTrainConfig:
        """The training of a model on other images than those of the learning experiment."""
        return replace(self.plan.training, seed=seed, explore=self.plan.explore)

    def trained(
        self,
        part: str,
        title: str,
        name: ModelName,
        how: DigitsTrainConfig,
        seen: tuple[int, ...],
        measured: Mapping[str, tuple[int, ...]],
        about: dict[str, Any],
        network: ModelConfig | None = None,
        preset: Preset = "paper",
        watch: Watch | None = None,
    ) -> Model:
        """Train and measure a model, unless that is done; see `Trial`.

        Args:
            seen: the numbers of digits in the images that it learns from.
            measured: the sets that it is measured on, by name: the numbers of digits in them.
        """
        trial = Trial(
            title,
            DigitsRunConfig(name, network or self.plan.air, how),
            self.images("train", seen, preset),
            {name: self.images("validation", counts, preset) for name, counts in measured.items()},
            {name: self.images("test", counts, preset) for name, counts in measured.items()},
            self.plan.measure_every,
            about,
        )
        trial.run(self.kept, part, self.device, watch)
        return load_digits_model(str(self.kept.run(part, title))).model.to(self.device)


def weights_fingerprint(model: Model) -> str:
    """The fingerprint of a model's weights that settings hold."""
    return fingerprint(*(tensor.cpu().numpy() for tensor in model.state_dict().values()))
