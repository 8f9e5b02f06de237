"""Compares all gradient estimators on the single-object problem, from a cold start, at equal budgets of renders."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from air3d.datasets.labelled import Labelled
from air3d.evaluation.evaluate import evaluate
from air3d.evaluation.metrics import scene_metrics
from air3d.renderers.protocol import Renderer
from air3d.scene3d.config_json import config_to_dict
from air3d.scenes.learner import EstimatorName
from air3d.scenes.model import SceneModel
from air3d.scenes.recommended import recommended
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder
from air3d.training.single import new_model, train
from experiments.kept import Result, fingerprint, once


@dataclass(frozen=True)
class Study:
    """The terms of the comparison.

    Attributes:
        folder: takes the results, one JSON file for each run; a run whose file is there is not repeated.
        train, validation, test: the images with their scenes; training sees the images of `train` alone, the curves are
            measured on `validation`, the final numbers on `test`.
        base: the settings of every run but its seed and estimator.
        facts: the command, commit and machine, which are kept with every result.
        measure_every: the iterations between points of the curve.
    """

    folder: Path
    train: Labelled
    validation: Labelled
    test: Labelled
    base: TrainConfig
    facts: Mapping[str, str]
    measure_every: int = 50

    def run(self, name: EstimatorName, seed: int, renderer: Renderer, say: Callable[[str], None]) -> dict[str, Any]:
        """Train and measure one estimator with one seed; return the result as JSON values."""
        estimator, schedule = recommended(name)
        path = self.folder / f"{name}-seed{seed}.json"
        config = replace(self.base, seed=seed, estimator=estimator, schedule=schedule)

        def make() -> Result:
            images = torch.from_numpy(self.train.images)
            model = new_model(config, self.train.prior, images)
            runs = self.folder / "runs" / path.stem
            shutil.rmtree(runs, ignore_errors=True)  # a curve with a gap would lie about time
            curve = _Curve(model, self.validation, self.measure_every)
            run = RunFolder(runs, config, {})
            with run.claimed():
                train(model, images, renderer, config, run, {}, curve.look)
            metrics = evaluate(model, renderer, self.test.images, self.test.truth, 16, seed).metrics
            say(f"{path.stem}: {summary(metrics)}, {curve.seconds:.0f} s, {curve.renders} renders")
            return {
                "estimator": config_to_dict(estimator),
                "schedule": config_to_dict(schedule),
                "seed": seed,
                "curve": curve.points,
                "seconds": curve.seconds,
                "renders": curve.renders,
                "test": metrics,
            }

        settings = {
            "train": config_to_dict(config),
            "images": fingerprint(self.train.images),
            "validation": fingerprint(self.validation.images),
            "test": fingerprint(self.test.images),
            "measure_every": self.measure_every,
        }
        return once(path, settings, self.facts, make)


class _Curve:
    """Collects the points of a learning curve; the time that measuring takes is left out."""

    def __init__(self, model: SceneModel[Any], data: Labelled, every: int) -> None:
        self._model, self._data, self._every = model, data, every
        self._last = time.perf_counter()
        self._iteration = 0
        self.seconds, self.renders = 0.0, 0
        self.points: list[dict[str, Any]] = []

    def look(self, record: dict[str, Any]) -> None:
        self.seconds += time.perf_counter() - self._last
        self._iteration += 1
        # Every step draws as much as the last one that was logged.
        self.renders = self._iteration * int(record.get("renders", 0))
        if self._iteration % self._every == 0:
            metrics = scene_metrics(self._data.truth, self._model.infer(self._data.images).scenes)
            self.points.append(
                {
                    "iteration": self._iteration,
                    "seconds": self.seconds,
                    "renders": self.renders,
                    "kinds_accuracy": metrics["kinds_accuracy"],
                    "position_error_m": metrics["position_error_m"]["median"],
                    "yaw_error_rad": {k: v["yaw_error_rad"]["median"] for k, v in metrics["per_kind"].items()},
                    "squared_error": record.get("squared_error"),
                }
            )
        self._last = time.perf_counter()


def summary(metrics: dict[str, Any]) -> str:
    """Write one line: kinds right, position error, yaw errors."""
    yaws = ", ".join(
        f"{name} {57.29578 * row['yaw_error_rad']['median']:.1f} deg"
        for name, row in metrics["per_kind"].items()
        if row["yaw_error_rad"]["median"] is not None
    )
    return (
        f"kinds {100 * metrics['kinds_accuracy']:.1f} %, position {100 * metrics['position_error_m']['median']:.2f} cm"
        f"{', yaw ' + yaws if yaws else ''}"
    )
