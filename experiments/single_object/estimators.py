"""Compares all gradient estimators on the single-object problem, from a cold start, at equal budgets of renders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from air3d.evaluation.evaluate import evaluate
from air3d.evaluation.metrics import scene_metrics
from air3d.renderers.protocol import Renderer
from air3d.scene3d.config_json import config_to_dict
from air3d.scenes.learner import EstimatorName
from air3d.scenes.recommended import recommended
from air3d.training.config import TrainConfig
from air3d.training.scenes import CHECKPOINT_EVERY, new_model, train
from experiments.clock import Clock
from experiments.counting import CountingRenderer
from experiments.figures import COLOURS, png, white_figure
from experiments.kept import Kept, Result, fingerprint
from experiments.page import Results, Section
from experiments.single_object import columns as c
from experiments.single_object.plan import FULL
from experiments.single_object.workbench import Workbench
from experiments.tables import DEGREES, Column, Run, at, grouped, spread_table

PART = "estimators"
TITLE = "Gradient estimators, cold start, equal renders"

_MEASURE_EVERY = 50


def run(bench: Workbench) -> None:
    """Run every estimator with every seed."""
    with bench.renderer() as renderer:
        for name, seed in bench.plan.jobs():
            _one(bench, name, seed, renderer)


def run_name(name: EstimatorName, seed: int) -> str:
    """The name of a run of this part."""
    return f"{name}-seed{seed}"


def _one(bench: Workbench, name: EstimatorName, seed: int, renderer: Renderer) -> Result:
    estimator, schedule = recommended(name)
    config = TrainConfig(iterations=bench.plan.iterations, seed=seed, estimator=estimator, schedule=schedule)

    def make() -> Result:
        images = bench.train.images
        model = new_model(config, bench.train.prior, images)

        def measure(iteration: int) -> dict[str, Any]:
            metrics = scene_metrics(bench.validation.truth, model.infer(bench.validation.images).scenes)
            return {
                "kinds_accuracy": metrics["kinds_accuracy"],
                "position_error_m": metrics["position_error_m"]["median"],
                "yaw_error_rad": {k: v["yaw_error_rad"]["median"] for k, v in metrics["per_kind"].items()},
            }

        folder, counting = bench.kept.run(PART, run_name(name, seed)), CountingRenderer(renderer)
        clock = Clock(folder, config.iterations, _MEASURE_EVERY, CHECKPOINT_EVERY, measure, counting)
        training = clock.run(config, {"images": settings["images"]})
        with training.claimed():
            train(model, images, counting, config, training, {}, clock.tick)
        test = evaluate(model, renderer, bench.test.images, bench.test.truth, 16, seed).metrics
        bench.kept.say(f"{run_name(name, seed)}: {summary(test)}")
        return {"estimator": name, "seed": seed, **clock.record, "test": test}

    settings = {
        "train": config_to_dict(config),
        "images": fingerprint(bench.train.images),
        "validation": fingerprint(bench.validation.images),
        "test": fingerprint(bench.test.images),
        "measure_every": _MEASURE_EVERY,
    }
    return bench.kept.once(PART, run_name(name, seed), settings, make)


def summary(metrics: dict[str, Any]) -> str:
    """Write one line: kinds right, position error, yaw errors."""
    yaws = ", ".join(
        f"{name} {DEGREES * row['yaw_error_rad']['median']:.1f} deg"
        for name, row in metrics["per_kind"].items()
        if row["yaw_error_rad"]["median"] is not None
    )
    return (
        f"kinds {100 * metrics['kinds_accuracy']:.1f} %, position {100 * metrics['position_error_m']['median']:.2f} cm"
        f"{', yaw ' + yaws if yaws else ''}"
    )


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, groups = Section(), by_estimator(results[PART])
    iterations = {str(run["settings"]["train"]["iterations"]) for run in results[PART]}
    page.text(
        f"Each run draws about 512 pictures in each of its {' or '.join(sorted(iterations))} iterations; final weights "
        "on the test set."
    )
    columns = (c.RENDERS, c.SECONDS, c.KINDS, c.POSITION, c.CUBE, c.CYLINDER, c.MSSD)
    page.text(*spread_table(["estimator"], groups, columns))
    page.text("## Gradient estimators, cold start, equal time")
    page.text(*_equal_time(groups))
    alt = "Learning curves of every estimator and seed"
    page.figure("estimators.png", lambda: _curves(groups), alt)
    page.text(
        "Validation scenes; a thin line for every seed, a thick one for the medians over seeds of each point, time",
        "without measuring.",
    )
    return page


def by_estimator(runs: Sequence[Run]) -> dict[tuple[str, ...], list[Run]]:
    """Group runs by their estimators, those in the order of the plan, and sort them by their seeds."""
    order = {name: place for place, name in enumerate(FULL.estimators)}
    return grouped(sorted(runs, key=lambda run: (order.get(run["estimator"], len(order)), run["seed"])), "estimator")


_POINT = (
    Column("iterations", at("iteration"), "{:.0f}"),
    Column("kinds right", at("kinds_accuracy", factor=100.0), "{:.1f} %"),
    Column("position cm", at("position_error_m", factor=100.0), "{:.2f}"),
    Column("cube yaw", at("yaw_error_rad", "cube", factor=DEGREES), "{:.1f}"),
    Column("cylinder yaw", at("yaw_error_rad", "cylinder", factor=DEGREES), "{:.1f}"),
)


def _equal_time(groups: dict[tuple[str, ...], list[Run]]) -> list[str]:
    """Write the table of each curve at the time that the quickest run took in all."""
    limit = min(run["seconds"] for runs in groups.values() for run in runs)
    points = {
        name: [p for run in runs for p in [p for p in run["curve"] if p["seconds"] <= limit][-1:]]
        for name, runs in groups.items()
    }
    return [
        f"Read from the curves at equal seconds; nothing was trained for this table. The limit, {limit:.0f} s, is what",
        "the quickest run of all took; of each run the last point within it counts (a point every 50 iterations, on",
        "the validation scenes, the seconds of measuring left out). Every run was planned for equal renders, so at the",
        "limit a slow one is still within its schedule: blurred, warm, its learning rate not yet lowered.",
        "",
        *spread_table(["estimator"], points, _POINT),
    ]


def _curves(groups: dict[tuple[str, ...], list[Run]]) -> bytes:
    figure = white_figure(12, 7)
    panels = figure.subplots(2, 3)
    columns = (
        ("kinds right, %", _POINT[1].value, ()),
        ("median position error, cm", _POINT[2].value, (0.3, 0.5, 1, 2, 5, 10)),
        ("median cube yaw error, degrees", _POINT[3].value, (2, 5, 10, 20, 40)),
    )
    for colour, ((name,), group) in zip(COLOURS, groups.items(), strict=False):
        for axis, (x, unit) in enumerate((("renders", "renders, thousands"), ("seconds", "seconds"))):
            for column, (label, value, _) in enumerate(columns):
                panel = panels[axis, column]
                panel.set(xlabel=unit, ylabel=label)
                scaled = [[(p[x] / (1000 if x == "renders" else 1), value(p)) for p in run["curve"]] for run in group]
                lines = [np.array(line, dtype=float).reshape(-1, 2) for line in scaled]  # None becomes NaN
                for line in lines:
                    panel.plot(*line.T, color=colour, linewidth=0.7, alpha=0.35)
                middle = np.median(np.stack([line[: min(map(len, lines))] for line in lines]), axis=0)
                panel.plot(*middle.T, color=colour, linewidth=2, label=name)
    for axis in panels:
        for panel, (_, _, ticks) in zip(axis, columns, strict=True):
            panel.grid(alpha=0.3)
            if ticks:
                panel.set_yscale("log")
                panel.set_yticks(ticks, [str(tick) for tick in ticks])
                panel.minorticks_off()
    panels[0, 0].legend(fontsize=8)
    return png(figure)
