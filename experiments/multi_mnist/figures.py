"""Draws the figures of the multi-MNIST experiments."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.evaluation.figure import new_figure
from experiments.markdown import grouped
from experiments.multi_mnist.experiment import HELD_OUT

Run = dict[str, Any]

_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#b8860b", "#7b5ea7")
_GOOD = 0.98


def learning_figure(runs: Sequence[Run]) -> bytes:
    """Draw, as PNG, the curve of every run, by steps and by processor time."""
    figure = new_figure(9, 3.6)
    plots = figure.subplots(1, 2, sharey=True)
    axes = (("iteration", "step"), ("cpu_seconds", "processor seconds of training"))
    for plot, (along, label) in zip(plots, axes, strict=True):
        for run in runs:
            estimator = run["estimator"]
            plot.plot(
                [point[along] for point in run["curve"]],
                [point[HELD_OUT]["count_accuracy"] for point in run["curve"]],
                color=_COLOURS[0] if estimator == "exact" else _COLOURS[1],
                linewidth=1.0,
                label=estimator,
            )
        plot.axhline(_GOOD, color="#999999", linewidth=0.8, linestyle=":")
        plot.set_xlabel(label)
    plots[0].set_ylabel("validation count accuracy")
    handles, labels = plots[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    plots[0].legend(unique.values(), unique.keys(), frameon=False)
    return _png(figure)


def generalisation_figure(runs: Sequence[Run]) -> bytes:
    """Draw, as PNG, count accuracy and bound on validation images of the unseen count, a line for every run."""
    settings, models = list(grouped(runs, "trained_on", "tested_on").items()), list(grouped(runs, "model"))
    figure = new_figure(4.5 * len(settings), 6.0)
    plots = np.atleast_2d(figure.subplots(2, len(settings), squeeze=False))
    for column, ((seen, unseen), own) in enumerate(settings):
        for run in own:
            for plot, key in zip(plots[:, column], ("count_accuracy", "elbo"), strict=True):
                points = [(p["iteration"], p["unseen"][key]) for p in run["curve"] if p["unseen"][key] is not None]
                if points:
                    colour = _COLOURS[models.index((run["model"],))]
                    plot.plot(*zip(*points, strict=True), color=colour, linewidth=1.0, label=run["model"])
        plots[0, column].set_title(f"trained on {seen.strip('[]')} digits, tested on {unseen}")
        plots[1, column].set_xlabel("step")
        bounds = [p["unseen"]["elbo"] for run in own for p in run["curve"] if p["unseen"]["elbo"] is not None]
        plots[1, column].set_ylim(np.quantile(bounds, 0.2), max(bounds) + 20.0)
    plots[0, 0].set_ylabel("count accuracy")
    plots[1, 0].set_ylabel("bound, nats")
    handles, labels = plots[1, 0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    plots[1, 0].legend(unique.values(), unique.keys(), frameon=False)
    return _png(figure)


def codes_figure(runs: Sequence[Run], names: Sequence[str]) -> bytes:
    """Draw, as PNG, accuracy against labels, a plot for each task and a line for each name of a code.

    Args:
        runs: the runs in the order of their tasks and labels.
    """
    tasks = grouped(runs, "task")
    figure = new_figure(4.5 * len(tasks), 3.6)
    plots = figure.subplots(1, len(tasks), squeeze=False)[0]
    for plot, ((task,), own) in zip(plots, tasks.items(), strict=True):
        for name, colour in zip(names, _COLOURS, strict=False):
            line = [(run["labels"], run["accuracy"]) for run in own if run["code"] == name]
            plot.plot(*zip(*line, strict=True), "o-", color=colour, markersize=3, label=name)
        plot.set_xscale("log")
        plot.set_xlabel("labelled images")
        plot.set_title(task)
    plots[0].set_ylabel("test accuracy")
    plots[0].legend(frameon=False)
    return _png(figure)


def policy_picture(policies: list[list[list[list[int]]]], factor: int = 6) -> NDArray[np.uint8]:
    """Draw histograms of window centres, (seeds, steps, K, K), as a row of pictures; a step is a colour channel."""
    tiles = []
    for maps in policies:
        grid = np.zeros((len(maps[0]), len(maps[0]), 3))
        for step, counts in enumerate(maps[:3]):
            share = np.array(counts, dtype=np.float64)
            grid[..., step] = np.sqrt(share / max(share.max(), 1.0))
        tile = np.rint(255.0 * grid).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
        tiles += [tile, np.full((len(tile), 6, 3), 255, dtype=np.uint8)]
    return np.concatenate(tiles[:-1], axis=1)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
