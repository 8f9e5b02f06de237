"""Measures a model while it is trained: the seconds, the renders, and the points of its learning curve."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from air3d.training.run_folder import RunFolder
from experiments.counting import CountingRenderer


class Clock:
    """Counts what a training takes and keeps it, a line at every checkpoint and point; measuring is left out.

    Args:
        folder: the run folder, which keeps the lines too, so that an interrupted training goes on, and its clock too.
        iterations: the iterations of the training.
        every: the iterations between two points of the curve; the last iteration is a point too.
        checkpoint_every: the iterations between two checkpoints.
        measure: measures the model after an iteration, as JSON values.
        counting: the renderer of the training, if it has one.
        untrained: whether the untrained model is a point too.
    """

    def __init__(
        self,
        folder: Path,
        iterations: int,
        every: int,
        checkpoint_every: int,
        measure: Callable[[int], dict[str, Any]],
        counting: CountingRenderer | None = None,
        untrained: bool = False,
    ) -> None:
        self._path, self._iterations, self._every = folder / "clock.jsonl", iterations, max(every, 1)
        self._checkpoint_every, self._measure, self._counting = checkpoint_every, measure, counting
        self._untrained = untrained
        self._lines: list[dict[str, Any]] = []
        self._iteration, self.seconds, self.cpu_seconds = 0, 0.0, 0.0

    @property
    def record(self) -> dict[str, Any]:
        """The course of the training as JSON values.

        - seconds, cpu_seconds: the time of the clock, and the time that this process computed, all threads together,
          which other work on the machine hardly changes;
        - renders: the number of pictures drawn, if there is a renderer;
        - curve: the points: iteration, the same of that moment, and what `measure` gave.
        """
        return {**self._spent(), "curve": [line["point"] for line in self._lines if "point" in line]}

    def run(self, config: object, source: dict[str, Any]) -> RunFolder:
        """Open the run, to go on with it or to begin; see `RunFolder`.

        A run that was killed between a checkpoint and the clock's line of it begins anew: its times would be wrong.
        """
        run = RunFolder(self._path.parent, config, source)
        if not self._resume(run.iterations_done()):
            shutil.rmtree(self._path.parent)
            run = RunFolder(self._path.parent, config, source)
            self._resume(0)
        return run

    def tick(self, record: Mapping[str, Any]) -> None:
        """Take note that one more iteration is done; trainings call it with their log record."""
        self._iteration += 1
        self._look()

    def _resume(self, iteration: int) -> bool:
        """Go on from this iteration; return False if it is not known what the training took until then."""
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        lines = [json.loads(line) for line in text.split("\n")[:-1]]  # half a line may have been left at the end
        self._lines = [line for line in lines if iteration and line["iteration"] <= iteration]
        none = {"iteration": 0, "seconds": 0.0, "cpu_seconds": 0.0, "renders": 0}
        last: dict[str, Any] = self._lines[-1] if self._lines else none
        if last["iteration"] != iteration:
            return False
        self._iteration, self.seconds, self.cpu_seconds = iteration, last["seconds"], last["cpu_seconds"]
        if self._counting is not None:
            self._counting.count = last["renders"]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in self._lines), encoding="utf-8")
        self._start()
        if self._untrained and not iteration:
            self._look()
        return True

    def _look(self) -> None:
        iteration = self._iteration
        point = iteration % self._every == 0 or iteration == self._iterations
        if not point and iteration % self._checkpoint_every:
            return
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - self._last
        self.cpu_seconds += time.process_time() - self._last_cpu
        line: dict[str, Any] = {"iteration": iteration, **self._spent()}
        if point:
            line["point"] = {**line, **self._measure(iteration)}
        self._lines.append(line)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._start()

    def _spent(self) -> dict[str, Any]:
        renders = {} if self._counting is None else {"renders": self._counting.count}
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, **renders}

    def _start(self) -> None:
        self._last, self._last_cpu = time.perf_counter(), time.process_time()
