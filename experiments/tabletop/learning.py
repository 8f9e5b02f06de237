"""Runs one training with its learning curve: an interrupted run goes on, its clock too."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.labelled import Labelled
from air3d.renderers.protocol import Renderer
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.model import SceneModel
from air3d.training.run_folder import RunFolder
from air3d.training.tabletop import CHECKPOINT_EVERY, new_tabletop_model, train_tabletop
from air3d.training.tabletop_config import TabletopTrainConfig
from experiments.tabletop.counting import CountingRenderer
from experiments.tabletop.measure import point
from experiments.tabletop.workbench import Workbench

_CLOCK = "clock.jsonl"


class Learned(NamedTuple):
    """A trained model and the course of its training.

    Attributes:
        curve: the points on the validation set: iteration, seconds, renders and the keys of `measure.point`.
        seconds: the time of training; measuring is left out.
        renders: how many pictures training drew, with those that the guide looks at and those that find hidden dreams.
    """

    model: SceneModel[Any]
    curve: list[dict[str, Any]]
    seconds: float
    renders: int

    def record(self) -> dict[str, Any]:
        """The course as JSON values."""
        return {
            "parameters": sum(p.numel() for p in self.model.guide.parameters()),
            "seconds": self.seconds,
            "renders": self.renders,
            "curve": self.curve,
        }


def learn(
    bench: Workbench,
    folder: Path,
    config: TabletopTrainConfig,
    prior: PriorConfig,
    images: NDArray[np.uint8] | None,
    validation: Labelled,
) -> Learned:
    """Train from a cold start, or go on with the run in `folder`.

    Args:
        images: the images of the wake phase.
        validation: the set that the curve is measured on; nothing is chosen by it.
    """
    model = new_tabletop_model(config, prior)
    source = {"images": 0 if images is None else len(images)}
    run = RunFolder(folder, config, source)
    with bench.renderer(model.render_config) as renderer:
        clock = _Clock(folder / _CLOCK, renderer, validation, config.iterations, bench.plan.points)
        if not clock.resume(run.iterations_done()):  # killed between checkpoint and clock: the times would be wrong
            shutil.rmtree(folder)
            run = RunFolder(folder, config, source)
            clock.resume(0)
        with run.claimed():
            train_tabletop(model, images, clock.counting, config, run, bench.facts, lambda record: None, clock.look)
    return Learned(model, clock.points, clock.seconds, clock.counting.count)


class _Clock:
    """Counts seconds and renders of a training, and keeps the points of its curve: a line at every checkpoint."""

    def __init__(self, path: Path, renderer: Renderer, validation: Labelled, iterations: int, points: int) -> None:
        self._path, self._renderer, self._validation, self._iterations = path, renderer, validation, iterations
        self._every = max(iterations // points, 1)
        self._lines: list[dict[str, Any]] = []
        self._last = time.perf_counter()
        self.seconds, self.counting = 0.0, CountingRenderer(renderer)

    @property
    def points(self) -> list[dict[str, Any]]:
        """The lines at which the model was measured."""
        return [line for line in self._lines if "count_accuracy" in line]

    def resume(self, iteration: int) -> bool:
        """Go on from this iteration; return False if the clock does not know it."""
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        lines = [json.loads(line) for line in text.split("\n")[:-1]]  # half a line may have been left at the end
        self._lines = [line for line in lines if line["iteration"] <= iteration]
        if iteration:
            if not self._lines or self._lines[-1]["iteration"] != iteration:
                return False
            self.seconds, self.counting.count = self._lines[-1]["seconds"], self._lines[-1]["renders"]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in self._lines), encoding="utf-8")
        self._last = time.perf_counter()
        return True

    def look(self, iteration: int, model: SceneModel[Any]) -> None:
        self.seconds += time.perf_counter() - self._last
        measure = iteration % self._every == 0 or iteration == self._iterations
        if measure or iteration % CHECKPOINT_EVERY == 0:
            line = {"iteration": iteration, "seconds": self.seconds, "renders": self.counting.count}
            if measure:
                line |= point(self._validation.truth, model.infer(self._validation.images, self._renderer).scenes)
            self._lines.append(line)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self._last = time.perf_counter()
