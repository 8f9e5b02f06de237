"""The paper's multi-MNIST experiments (Figures 2 to 5 and 8): learning to count, generalisation, foreign data, codes.

Every training is a `Trial`: its result is kept in `work` as JSON, and a training that was interrupted resumes from its
checkpoint, exactly. Repeating the command goes on with what is missing.

Training, validation and test images are made of different digits, and drawn with different seeds. Whatever is chosen is
chosen by the validation images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from air3d.datasets.digits.config import Preset
from air3d.datasets.digits.reader import DigitsArrays
from air3d.datasets.digits.sources import Split
from air3d.digits.cae import CaeConfig
from air3d.digits.dair import LOOK_CHANNELS
from air3d.digits.draw import DrawConfig
from air3d.digits.latents import AirConfig
from air3d.digits.learner import CountEstimator
from air3d.digits.store import Model, ModelConfig, ModelName, load_digits_model
from air3d.digits.train import DigitsRunConfig, DigitsTrainConfig
from experiments.kept import Result, fingerprint, once, read_kept
from experiments.multi_mnist.codes import Labels, codes_study, weights_fingerprint
from experiments.multi_mnist.data import DigitsStock
from experiments.multi_mnist.stages import Stages
from experiments.multi_mnist.trial import Trial, measure, run_folder, window_centres

Say = Callable[[str], None]
Part = Literal["learning", "generalisation", "foreign", "codes"]
PARTS: tuple[Part, ...] = get_args(Part)

SEEDS: dict[Split, int] = {"train": 300, "validation": 301, "test": 303}
HELD_OUT = "held out"
POLICIES = "policies"
_TRAININGS = "trainings"  # of the parts that show no training itself
_POLICY_SEEDS = 3
_BOTH: tuple[Preset, ...] = ("paper", "pyro")


@dataclass(frozen=True)
class Plan:
    """Says how much of everything is done.

    Attributes:
        train, validation, test: the number of images of each set.
        training: the training of every model; the seed is set for each run.
        longer: the iterations where fewer do not suffice: three digits among none and one, and codes.
        longer_air: the iterations of AIR whose codes are read; they take about the time of DRAW's.
        explore: the explored share of AIR and DAIR where the images are other than those of the learning experiment.
        seeds: seed AIR with `exact` in the learning experiment; the first `nvil_seeds` of them seed `nvil` too.
        generalisation_seeds: seed every model trained on 0, 1 and 2 digits; `longer_seeds`: on 0, 1 and 3.
        foreign_seeds: seed AIR trained on each preset.
        measure_every: the iterations between points of the curves.
        labels: the plan of the study of codes.
        air, draw, cae: the sizes of the networks; `air` holds those of DAIR's, too.
        codes_air: the sizes of AIR where its codes are read.
    """

    train: int = 60_000
    validation: int = 5000
    test: int = 10_000
    training: DigitsTrainConfig = field(
        default_factory=lambda: DigitsTrainConfig(iterations=2000, precision="bfloat16", explore=0.1)
    )
    longer: int = 8000
    longer_air: int = 24_000
    explore: float = 0.5
    seeds: tuple[int, ...] = tuple(range(10))
    nvil_seeds: int = 3
    generalisation_seeds: tuple[int, ...] = (0, 1, 2)
    longer_seeds: tuple[int, ...] = (0,)
    foreign_seeds: tuple[int, ...] = (0, 1, 2)
    measure_every: int = 250
    labels: Labels = field(default_factory=Labels)
    air: AirConfig = field(default_factory=AirConfig)
    codes_air: AirConfig = field(default_factory=lambda: AirConfig(codec=400, glimpse_channels=(16, 32)))
    draw: DrawConfig = field(default_factory=DrawConfig)
    cae: CaeConfig = field(default_factory=CaeConfig)


FULL = Plan()
QUICK = Plan(
    train=2000,
    validation=300,
    test=300,
    training=DigitsTrainConfig(iterations=400, batch=32),
    longer=400,
    longer_air=400,
    seeds=(0, 1),
    nvil_seeds=1,
    generalisation_seeds=(0,),
    foreign_seeds=(0,),
    measure_every=200,
    labels=Labels(sizes=(50, 200), iterations=60, epochs=1, hidden=256),
    air=AirConfig(shrink=2, hidden=128, codec=100, head=50),
    codes_air=AirConfig(shrink=2, hidden=128, codec=100, head=50),
    draw=DrawConfig(steps=3, hidden=64),
    cae=CaeConfig(channels=(8, 16), code=50),
)


@dataclass(frozen=True)
class MultiMnist:
    """Runs the experiments.

    Attributes:
        work: keeps results, runs and data: FOLDER/PART/NAME.json.
        plan: says how much is done.
        stock: makes the data.
        device: the device that computes.
        facts: the command, commit and machine, which are kept with every result.
        say: is told of everything that is finished.
    """

    work: Path
    plan: Plan
    stock: DigitsStock
    device: torch.device
    facts: Mapping[str, str]
    say: Say

    def run(self, parts: Sequence[Part] = PARTS) -> None:
        """Run what is missing of these parts.

        Raises:
            InputError: if something that is there was made with other settings.
        """
        run = {
            "learning": self._learning,
            "generalisation": self._generalisation,
            "foreign": self._foreign,
            "codes": self._codes,
        }
        for part in parts:
            run[part]()

    def results(self, part: str) -> list[Result]:
        """Read all results of a part that are there, by name."""
        return [read_kept(path) for path in sorted((self.work / part).glob("*.json"))]

    def stages(self) -> Stages:
        """The stages of the first seed's model: its answers to some validation images while it learns."""
        return Stages(self.work / "stages", self._set("validation", (0, 1, 2)))

    def _learning(self) -> None:
        """Run Figure 2, and every seed to its end: `exact` against `nvil`."""
        some = {"exact": self.plan.seeds, "nvil": self.plan.seeds[: self.plan.nvil_seeds]}
        for estimator in get_args(CountEstimator):
            for seed in some[estimator]:
                self._air(estimator, seed)
        for seed in self.plan.seeds[:_POLICY_SEEDS]:
            self._policy(seed)

    def _air(self, estimator: CountEstimator, seed: int) -> Model:
        """Train an AIR of the learning experiment; the first is pictured while it learns."""
        name = f"air-{estimator}-{seed}"
        how = replace(self.plan.training, seed=seed, estimator=estimator)
        about = {"estimator": estimator, "seed": seed}
        trial = self._trial(name, "air", how, (0, 1, 2), {HELD_OUT: (0, 1, 2)}, about)
        first = (estimator, seed) == ("exact", self.plan.seeds[0])
        return self._trained("learning", trial, self.stages() if first else None)

    def _policy(self, seed: int) -> None:
        """Measure for Figure 3 where each step looks."""
        model, images = self._air("exact", seed), self._set("test", (0, 1, 2)).images

        def make() -> Result:
            maps = [
                np.histogram2d(c[:, 1], c[:, 0], bins=25, range=[[-1, 1], [-1, 1]])[0].astype(int)
                for c in window_centres(model, images)
            ]
            return {"seed": seed, "maps": [grid.tolist() for grid in maps]}

        settings = {"weights": weights_fingerprint(model), "images": fingerprint(images)}
        once(self.work / POLICIES / f"air-exact-{seed}.json", settings, self.facts, make)

    def _generalisation(self) -> None:
        """Measure for Figure 5 how models do on counts that they have never seen."""
        plan = self.plan
        models: dict[str, tuple[ModelName, ModelConfig]] = {
            "AIR": ("air", plan.air),
            "AIR with DAIR's look": ("air", replace(plan.air, look_channels=LOOK_CHANNELS)),
            "DAIR": ("dair", plan.air),
            "DRAW": ("draw", plan.draw),
        }
        for seen, unseen, longer in (((0, 1, 2), 3, False), ((0, 1, 3), 2, True)):
            iterations = plan.longer if longer else plan.training.iterations
            for seed in plan.longer_seeds if longer else plan.generalisation_seeds:
                for label, (name, network) in models.items():
                    how = replace(self._how(seed), iterations=iterations)
                    digits = "".join(map(str, seen))
                    about = {"model": label, "trained_on": list(seen), "tested_on": unseen, "seed": seed}
                    title = f"{digits}-to-{unseen}-{label.lower().replace(chr(39), '').replace(' ', '-')}-{seed}"
                    sets = {"seen": seen, "unseen": (unseen,)}
                    self._trained("generalisation", self._trial(title, name, how, seen, sets, about, network))

    def _foreign(self) -> None:
        """Measure models on images of the other preset, without any adaptation."""
        for seed in self.plan.foreign_seeds:
            for trained_on, model in (("paper", self._air("exact", seed)), ("pyro", self._pyro(seed))):
                for preset in _BOTH:
                    data = self._set("test", (0, 1, 2), preset)
                    settings = {"weights": weights_fingerprint(model), "test": fingerprint(*data)}
                    about = {"trained_on": trained_on, "tested_on": preset, "seed": seed}
                    path = self.work / "foreign" / f"{trained_on}-to-{preset}-{seed}.json"
                    once(path, settings, self.facts, partial(_measured, about, model, data))

    def _pyro(self, seed: int) -> Model:
        sets = {HELD_OUT: (0, 1, 2)}
        trial = self._trial(f"air-pyro-{seed}", "air", self._how(seed), (0, 1, 2), sets, {}, preset="pyro")
        return self._trained(_TRAININGS, trial)

    def _codes(self) -> None:
        """Measure for Figure 8 what frozen codes are good for, against the number of labels."""
        plan, models = self.plan, dict[str, Model]()
        networks: dict[ModelName, ModelConfig] = {"air": plan.codes_air, "draw": plan.draw, "cae": plan.cae}
        for name, network in networks.items():
            how = replace(self._how(0), iterations=plan.longer_air if name == "air" else plan.longer)
            trial = self._trial(f"{name}-two-digits", name, how, (2,), {HELD_OUT: (2,)}, {}, network)
            models[name] = self._trained(_TRAININGS, trial)
        sets = self._set("train", (2,)), self._set("test", (2,))
        codes_study(models, *sets, plan.labels, self.work / "codes", self.device, self.facts, self.say)

    def _set(self, split: Split, counts: tuple[int, ...], preset: Preset = "paper") -> DigitsArrays:
        return self.stock.arrays(split, counts, getattr(self.plan, split), SEEDS[split], preset)

    def _how(self, seed: int) -> DigitsTrainConfig:
        """The training of a model on other images than those of the learning experiment."""
        return replace(self.plan.training, seed=seed, explore=self.plan.explore)

    def _trial(
        self,
        title: str,
        name: ModelName,
        how: DigitsTrainConfig,
        seen: tuple[int, ...],
        measured: Mapping[str, tuple[int, ...]],
        about: dict[str, Any],
        network: ModelConfig | None = None,
        preset: Preset = "paper",
    ) -> Trial:
        """Make a training on images of `seen` many digits; `measured` has the numbers that it is measured on."""
        return Trial(
            title,
            DigitsRunConfig(name, network or self.plan.air, how),
            self._set("train", seen, preset),
            {name: self._set("validation", counts, preset) for name, counts in measured.items()},
            {name: self._set("test", counts, preset) for name, counts in measured.items()},
            self.plan.measure_every,
            about,
        )

    def _trained(self, part: str, trial: Trial, watch: Stages | None = None) -> Model:
        look = None if watch is None else watch.look
        trial.run(self.work / part, self.device, self.facts, self.say, look)
        return load_digits_model(str(run_folder(self.work / part, trial.name))).model.to(self.device)


def _measured(about: dict[str, Any], model: Model, data: DigitsArrays) -> Result:
    return {**about, "test": measure(model, data)}
