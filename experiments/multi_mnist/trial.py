"""Runs one training of the 2D track, measured on held-out images along the way; it resumes where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from air3d.datasets.digits.reader import DigitsArrays
from air3d.digits import train as training
from air3d.digits.evaluate import evaluate_digits
from air3d.digits.infer import elbo, infer
from air3d.digits.store import Model
from air3d.digits.train import DigitsRunConfig, new_model, train
from air3d.scene3d.config_json import config_to_dict
from experiments.clock import Clock
from experiments.kept import Kept, Result, fingerprint

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

    def run(self, kept: Kept, part: str, device: torch.device, watch: Watch | None = None) -> Result:
        """Train and measure, unless the result is there already; return it as JSON values.

        Args:
            kept: takes the result and the run.
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
            model, folder = new_model(self.config, images).to(device), kept.run(part, self.name)

            def look(iteration: int) -> dict[str, Any]:
                if watch is not None:
                    watch(iteration, model)
                return self._point(model)

            clock = Clock(
                folder,
                self.config.train.iterations,
                self.measure_every,
                training.CHECKPOINT_EVERY,
                look,
                untrained=True,
            )
            run = clock.run(self.config, {"images": settings["train"]})
            with run.claimed():
                train(model, images.to(device), self.config.train, run, {"experiment": self.name}, clock.tick)
            result = {
                **self.about,
                **clock.record,
                "validation": {name: measure(model, data) for name, data in self.validation.items()},
                "test": {name: measure(model, data) for name, data in self.test.items()},
            }
            kept.say(f"{self.name}: {_in_words(result)}")
            return result

        return kept.once(part, self.name, settings, make)

    def _point(self, model: Model) -> dict[str, Any]:
        """Measure a point of the curve."""
        model.eval()
        point: dict[str, Any] = {}
        for name, data in self.validation.items():
            images, counts = data.images[: self.curve_images], data.counts[: self.curve_images]
            found, bound = infer(model, images), elbo(model, images, 1, 0)
            error = np.square(found.reconstructions - images / 255.0).mean()
            point[name] = {
                "count_accuracy": None if found.counts is None else float(np.mean(found.counts == counts)),
                "elbo": None if bound is None else float(bound.mean()),
                "reconstruction_mse": float(error),
            }
        model.train()
        return point


def measure(model: Model, data: DigitsArrays) -> dict[str, Any]:
    """Compute the metrics of `air3d evaluate` on one set."""
    return evaluate_digits(model, data.images, data.counts, 4, 0).metrics


def _in_words(result: dict[str, Any]) -> str:
    parts = [f"{result['seconds']:.0f} s ({result['cpu_seconds']:.0f} s of the processor)"]
    for name, test in result["test"].items():
        count = test["count_accuracy"]
        bound = "" if test["elbo"] is None else f", bound {test['elbo']:.1f}"
        parts.append(f"{name}: {'' if count is None else f'count {100 * count:.2f} %'}{bound}")
    return "; ".join(parts)
