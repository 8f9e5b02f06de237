"""The paper's multi-MNIST experiments (Figures 2 to 5 and 8): learning to count, generalisation, foreign data, codes.

Every training is a `Trial`: its result is kept in `work` as JSON, and a training that was interrupted resumes from its
checkpoint, exactly. Repeating the command goes on with what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from air3d.digits.air import AirConfig
from air3d.digits.cae import CaeConfig
from air3d.digits.draw import DrawConfig
from air3d.digits.learner import CountEstimator
from air3d.digits.models import Model, ModelConfig, ModelName
from air3d.digits_store import load_digits_model
from air3d.experiments.digits_codes import Labels, codes_study
from air3d.experiments.digits_data import DigitsStock
from air3d.experiments.digits_stages import Stages
from air3d.experiments.digits_trial import Trial, window_centres
from air3d.training.digits_config import DigitsRunConfig, DigitsTrainConfig
from datasets.digits.reader import DigitsArrays
from datasets.files import atomic_file

Say = Callable[[str], None]

TRAIN_SEED, HELD_OUT_SEED, TEST_SEED = 300, 301, 302
HELD_OUT = "held out"
_POLICY_SEEDS = 3


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Attributes:
        train, test: images of each training and test set.
        training: of every model; the seed is set for each run.
        longer: iterations where less does not do: three digits among none and one, and codes.
        longer_air: those of AIR there, which take about the time of DRAW's.
        explore: of AIR and DAIR where the images are other than those of the learning experiment.
        seeds: of AIR with `exact` in the learning experiment; the first `nvil_seeds` of them with `nvil` too.
        generalisation_seeds: of AIR, DAIR and DRAW in the generalisation experiments.
        measure_every: iterations between points of the curves.
        labels: sizes of the labelled sets in the study of codes, and its training.
        air, draw, cae: sizes of the networks; `air` of DAIR's, too.
        codes_air: of AIR where its codes are what is wanted.
    """

    train: int = 60_000
    test: int = 10_000
    training: DigitsTrainConfig = field(
        default_factory=lambda: DigitsTrainConfig(iterations=2000, precision="bfloat16", explore=0.1)
    )
    longer: int = 8000
    longer_air: int = 24_000
    explore: float = 0.5
    seeds: tuple[int, ...] = tuple(range(10))
    nvil_seeds: int = 3
    generalisation_seeds: tuple[int, ...] = (0,)
    measure_every: int = 250
    labels: Labels = field(default_factory=Labels)
    air: AirConfig = field(default_factory=AirConfig)
    codes_air: AirConfig = field(default_factory=lambda: AirConfig(codec=400, glimpse_channels=(16, 32)))
    draw: DrawConfig = field(default_factory=DrawConfig)
    cae: CaeConfig = field(default_factory=CaeConfig)


FULL = Plan()
QUICK = Plan(
    train=2000,
    test=300,
    training=DigitsTrainConfig(iterations=400, batch=32),
    longer=400,
    longer_air=400,
    seeds=(0, 1),
    nvil_seeds=1,
    generalisation_seeds=(0,),
    measure_every=200,
    labels=Labels(sizes=(50, 200), iterations=60, epochs=1, hidden=256),
    air=AirConfig(shrink=2, hidden=128, codec=100, head=50),
    codes_air=AirConfig(shrink=2, hidden=128, codec=100, head=50),
    draw=DrawConfig(steps=3, hidden=64),
    cae=CaeConfig(channels=(8, 16), code=50),
)


@dataclass(frozen=True)
class MultiMnist:
    """The experiments.

    Attributes:
        work: results, runs and data are kept here.
        plan: how much.
        stock: makes the data.
        device: what computes.
        say: told of everything that is finished.
    """

    work: Path
    plan: Plan
    stock: DigitsStock
    device: torch.device
    say: Say

    def run(self) -> dict[str, Any]:
        """Run what is missing; all results as JSON values."""
        learning = self._learning()
        return {
            "learning": learning,
            "generalisation": self._generalisation(),
            "foreign": self._foreign(),
            "codes": self._codes(),
        }

    def _learning(self) -> list[dict[str, Any]]:
        """Figure 2, and what becomes of every seed: `exact` against `nvil`."""
        results = []
        for trial in self._learning_trials():
            watch = self.stages() if trial.name == f"air-exact-{self.plan.seeds[0]}" else None
            results.append(self._run(trial, watch))
        for seed in self.plan.seeds[:_POLICY_SEEDS]:
            self._policy(seed)
        return results

    def stages(self) -> Stages:
        """What the first seed's model makes of some held-out images while it learns."""
        return Stages(self.work / "stages", self._set("test", (0, 1, 2)))

    def _learning_trials(self) -> list[Trial]:
        train, held_out = self._set("train", (0, 1, 2)), {HELD_OUT: self._set("test", (0, 1, 2))}
        trials = []
        some = {"exact": self.plan.seeds, "nvil": self.plan.seeds[: self.plan.nvil_seeds]}
        for estimator in get_args(CountEstimator):
            for seed in some[estimator]:
                how = replace(self.plan.training, seed=seed, estimator=estimator)
                trials.append(self._trial(f"air-{estimator}-{seed}", "air", how, train, held_out))
        return trials

    def _policy(self, seed: int) -> None:
        """Figure 3: where each step looks."""
        path = self.work / f"policy-{seed}.json"
        if path.exists():
            return
        images = self._set("test", (0, 1, 2)).images
        centres = window_centres(self._model(f"air-exact-{seed}"), images)
        maps = [np.histogram2d(c[:, 1], c[:, 0], bins=25, range=[[-1, 1], [-1, 1]])[0].astype(int) for c in centres]
        with atomic_file(path) as file:
            file.write((json.dumps([grid.tolist() for grid in maps]) + "\n").encode())

    def _generalisation(self) -> list[dict[str, Any]]:
        """Figure 5: counts that were never seen."""
        results = []
        for seen, unseen, longer in (((0, 1, 2), 3, False), ((0, 1, 3), 2, True)):
            train = self._set("train", seen)
            held_out = {"seen": self._set("test", seen), "unseen": self._set("test", (unseen,))}
            for name in ("air", "dair", "draw"):
                for seed in self.plan.generalisation_seeds:
                    how = self._how(name, longer, seed)
                    title = f"{name}-{''.join(map(str, seen))}-to-{unseen}-{seed}"
                    results.append(self._run(self._trial(title, name, how, train, held_out)))
        return results

    def _foreign(self) -> list[dict[str, Any]]:
        """Images of the other preset, without any adaptation."""
        path = self.work / "foreign.json"
        if path.exists():
            return list(json.loads(path.read_text()))
        sets = {preset: self._set("test", (0, 1, 2), preset) for preset in ("paper", "pyro")}
        train = self._set("train", (0, 1, 2), "pyro")
        trial = self._trial("air-pyro-0", "air", self._how("air", False), train, {"pyro": sets["pyro"]})
        self._run(trial)
        rows = []
        for name, trained_on in ((f"air-exact-{self.plan.seeds[0]}", "paper"), (trial.name, "pyro")):
            model = self._model(name)
            for preset, data in sets.items():
                rows.append({"trained_on": trained_on, "tested_on": preset, "test": trial.measure(model, data)})
        with atomic_file(path) as file:
            file.write((json.dumps(rows, indent=1) + "\n").encode())
        return rows

    def _codes(self) -> list[dict[str, Any]]:
        """Figure 8: what frozen codes are good for, against labels."""
        train, test = self._set("train", (2,)), self._set("test", (2,))
        held_out = {HELD_OUT: test}
        models: dict[str, Model] = {}
        for name in ("air", "draw", "cae"):
            network = self.plan.codes_air if name == "air" else None
            trial = self._trial(f"{name}-two-digits", name, self._how(name, True), train, held_out, network)
            self._run(trial)
            models[name] = self._model(trial.name).to(self.device)
        return codes_study(models, train, test, self.plan.labels, self.work / "codes", self.device, self.say)

    def _set(self, split: Any, counts: tuple[int, ...], preset: Any = "paper") -> DigitsArrays:
        num, seed = (self.plan.train, TRAIN_SEED) if split == "train" else (self.plan.test, TEST_SEED)
        return self.stock.arrays(split, counts, num, seed, preset)

    def _how(self, name: ModelName, longer: bool, seed: int = 0) -> DigitsTrainConfig:
        """The training of a model on other images than those of the learning experiment."""
        how = replace(self.plan.training, seed=seed, explore=self.plan.explore)
        if longer:
            how = replace(how, iterations=self.plan.longer_air if name == "air" else self.plan.longer)
        return how

    def _trial(
        self,
        title: str,
        name: ModelName,
        how: DigitsTrainConfig,
        train: DigitsArrays,
        held_out: dict[str, DigitsArrays],
        network: ModelConfig | None = None,
    ) -> Trial:
        plan = self.plan
        usual: dict[ModelName, ModelConfig] = {"air": plan.air, "dair": plan.air, "draw": plan.draw, "cae": plan.cae}
        return Trial(title, DigitsRunConfig(name, network or usual[name], how), train, held_out, plan.measure_every)

    def _run(self, trial: Trial, watch: Stages | None = None) -> dict[str, Any]:
        return trial.run(self.work, self.device, self.say, None if watch is None else watch.look)

    def _model(self, name: str) -> Model:
        return load_digits_model(str(self.work / name)).model
