"""Runs one training of the 2D track, measured on held-out images along the way; it resumes where it was stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.datasets.digits.reader import DigitsArrays
from air3d.datasets.files import atomic_file
from air3d.digits.evaluate import evaluate_digits
from air3d.digits.infer import elbo, infer
from air3d.digits.store import Model
from air3d.digits.train import DigitsRunConfig, new_model, train
from air3d.scene3d.config_json import config_to_dict
from air3d.training.run_folder import RunFolder
from experiments.kept import Result, fingerprint, once

Watch = Callable[[int, Model], None]


@dataclass(frozen=True)
class Trial:
    """A training and the sets that it is measured on.

    Attributes:
        name: the name of its files.
        config: the configuration of model and training.
        train: the training set; its labels are not used.
        validation: the sets, by name, of the curve; they may serve for choices at the end.
        test: the sets, by name, that are measured at the end; nothing is chosen by them.
        measure_every: the iterations between points of the curve.
        about: JSON values that the result has besides.
        curve_images: how many images of each validation set, from the first on, make the curve.
    """

    name: str
    config: DigitsRunConfig
    train: DigitsArrays
    validation: dict[str, DigitsArrays]
    test: dict[str, DigitsArrays]
    measure_every: int
    about: dict[str, Any] = field(default_factory=dict)
    curve_images: int = 1000

    def run(
        self,
        folder: Path,
        device: torch.device,
        facts: Mapping[str, str],
        say: Callable[[str], None],
        watch: Watch | None = None,
    ) -> Result:
        """Train and measure, unless the result is there already; return it as JSON values.

        Args:
            folder: takes the result as NAME.json, the run as runs/NAME.
            facts: the command, commit and machine, which are kept with a new result.
            watch: is called with the iteration and the model at every point of the curve, also before the first step.

        Raises:
            InputError: if the result or the run that is there was made with other settings or data.
        """
        settings = {
            "config": config_to_dict(self.config),
            "train": fingerprint(*self.train),
            "validation": {name: fingerprint(*data) for name, data in self.validation.items()},
            "test": {name: fingerprint(*data) for name, data in self.test.items()},
            "measure_every": self.measure_every,
            "curve_images": self.curve_images,
        }

        def make() -> Result:
            images = torch.from_numpy(self.train.images)
            model = new_model(self.config, images).to(device)
            run = RunFolder(run_folder(folder, self.name), self.config, {"images": settings["train"]})
            with run.claimed() as done:
                curve = _Curve(self, model, run.folder / "curve.json", done, watch)
                train(model, images.to(device), self.config.train, run, {"experiment": self.name}, curve.look)
            result = {
                **self.about,
                "curve": curve.points,
                "seconds": curve.seconds,
                "cpu_seconds": curve.cpu_seconds,
                "validation": {name: measure(model, data) for name, data in self.validation.items()},
                "test": {name: measure(model, data) for name, data in self.test.items()},
            }
            say(f"{self.name}: {_in_words(result)}")
            return result

        return once(folder / f"{self.name}.json", settings, facts, make)


def run_folder(folder: Path, name: str) -> Path:
    """The folder of the training of a trial's name."""
    return folder / "runs" / name


def measure(model: Model, data: DigitsArrays) -> dict[str, Any]:
    """Compute the metrics of `air3d evaluate` on one set."""
    return evaluate_digits(model, data.images, data.counts, 4, 0).metrics


class _Curve:
    """Collects the points of a learning curve; the time that measuring takes is left out.

    `seconds` are those of the clock, `cpu_seconds` those that this process computed, which other work on the machine
    hardly changes.

    After an interruption it goes on from the points up to the checkpoint, with their time.
    """

    def __init__(self, trial: Trial, model: Model, path: Path, done: int, watch: Watch | None) -> None:
        self._trial, self._model, self._path, self._watch = trial, model, path, watch
        known = json.loads(path.read_text()) if path.exists() else []
        self.points: list[dict[str, Any]] = [point for point in known if point["iteration"] <= done]
        self.seconds = self.points[-1]["seconds"] if self.points else 0.0
        self.cpu_seconds = self.points[-1]["cpu_seconds"] if self.points else 0.0
        self._iteration = done
        if not done:
            self._measure()
        self._start()

    def look(self, record: dict[str, Any]) -> None:
        """Measure after every iteration that is due."""
        self._iteration += 1
        if self._iteration % self._trial.measure_every == 0 or self._iteration == self._trial.config.train.iterations:
            _finish(self._model)
            self.seconds += time.perf_counter() - self._last
            self.cpu_seconds += time.process_time() - self._last_cpu
            self._measure()
            self._start()

    def _start(self) -> None:
        self._last, self._last_cpu = time.perf_counter(), time.process_time()

    def _measure(self) -> None:
        self._model.eval()
        times = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        point: dict[str, Any] = {"iteration": self._iteration, **times}
        for name, data in self._trial.validation.items():
            images, counts = data.images[: self._trial.curve_images], data.counts[: self._trial.curve_images]
            found = infer(self._model, images)
            bound = elbo(self._model, images, 1, 0)
            error = np.square(found.reconstructions - images / 255.0).mean()
            point[name] = {
                "count_accuracy": None if found.counts is None else float(np.mean(found.counts == counts)),
                "elbo": None if bound is None else float(bound.mean()),
                "reconstruction_mse": float(error),
            }
        self.points.append(point)
        with atomic_file(self._path) as file:
            file.write((json.dumps(self.points) + "\n").encode())
        if self._watch is not None:
            self._watch(self._iteration, self._model)
        self._model.train()


def _finish(model: Model) -> None:
    if next(model.parameters()).is_cuda:
        torch.cuda.synchronize()


def _in_words(result: dict[str, Any]) -> str:
    parts = [f"{result['seconds']:.0f} s ({result['cpu_seconds']:.0f} s of the processor)"]
    for name, test in result["test"].items():
        count = test["count_accuracy"]
        bound = "" if test["elbo"] is None else f", bound {test['elbo']:.1f}"
        parts.append(f"{name}: {'' if count is None else f'count {100 * count:.2f} %'}{bound}")
    return "; ".join(parts)


def seconds_to(curve: list[dict[str, Any]], name: str, accuracy: float) -> float | None:
    """The processor time of training until a curve first reaches a count accuracy on a set; None if it never does."""
    for point in curve:
        if point[name]["count_accuracy"] >= accuracy:
            return float(point["cpu_seconds"])
    return None


def window_centres(model: Model, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The scanning policy: for each step, the centres (M, 2) of the windows in use (x, y in half image sides)."""
    found = infer(model, images)
    if found.counts is None or found.z_where is None:
        return []
    return [found.z_where[found.counts > step, step, 1:] for step in range(found.z_where.shape[1])]
