"""Draws the page's figures from results: PNG on white, readable on pages of either colour."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.evaluation.figure import new_figure
from experiments.tabletop.columns import DEGREES, Run, at

COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#b8860b", "#7b5ea7", "#555555", "#e07b39")

_CURVES = (
    ("count right, %", at("count_accuracy", factor=100.0), "linear"),
    ("all kinds right, %", at("kinds_accuracy", factor=100.0), "linear"),
    ("median position error, mm", at("position_error_m", factor=1000.0), "log"),
    ("median azimuth error, degrees", at("camera_error_rad", "azimuth", factor=DEGREES), "log"),
)


def learning_curves(groups: Mapping[str, Sequence[Run]]) -> bytes:
    """Draw count, kinds, position and camera against seconds (above) and renders (below).

    Each group has a colour, each run a line; a single group has a colour for each seed.
    """
    figure = _figure(15.0, 6.5)
    panels = figure.subplots(2, len(_CURVES), sharex="row")
    lines = [(name, run) for name, runs in groups.items() for run in runs]
    labels = [name if len(groups) > 1 else f"seed {run['seed']}" for name, run in lines]
    colour = dict(zip(dict.fromkeys(labels), COLOURS * 3, strict=False))
    for axis, (key, unit, scale) in enumerate(
        (("seconds", "minutes", 1.0 / 60.0), ("renders", "million renders", 1e-6))
    ):
        for panel, (title, value, form) in zip(panels[axis], _CURVES, strict=True):
            panel.set(xlabel=unit, ylabel=title, yscale=form)
            panel.grid(alpha=0.3)
            for i, (label, (_, run)) in enumerate(zip(labels, lines, strict=True)):
                ys = [np.nan if (y := value(p)) is None else y for p in run["curve"]]
                named = label if label not in labels[:i] else None
                xs = [scale * p[key] for p in run["curve"]]
                panel.plot(xs, ys, color=colour[label], linewidth=1.2, alpha=0.85, marker=".", ms=3, label=named)
    panels[0, 0].legend(fontsize=8)
    return _png(figure)


def heat_maps(runs: Sequence[Run], answers: str) -> bytes:
    """Draw a row for each model: where each step's objects are in the image and on the table, and their kinds.

    Args:
        runs: those results of the part `scanning` that have numbers, of models with equally many steps.
        answers: "most probable" or "sampled".
    """
    steps = runs[0][answers]["steps"]
    figure = _figure(1.6 * (2 * steps + 1.6), 1.75 * len(runs) + 0.3)
    widths = [1.0] * (2 * steps) + [1.6]
    grid = figure.subplots(len(runs), 2 * steps + 1, squeeze=False, gridspec_kw={"width_ratios": widths})
    for line, run in zip(grid, runs, strict=True):
        found = run[answers]
        for frame, (name, origin) in enumerate((("image", "upper"), ("world", "lower"))):
            top = max(np.max(step) for step in found["heat"][name])
            for step, counts in enumerate(found["heat"][name]):
                axes = line[frame * steps + step]
                axes.imshow(np.array(counts), origin=origin, vmin=0, vmax=top, cmap="viridis", interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                place = "image" if name == "image" else "table from above"
                axes.set_title(f"{place}, step {step + 1}", fontsize=7)
        line[0].set_ylabel(run["model"], fontsize=7)
        _kind_bars(line[-1], run["kinds"], np.array(found["kinds_by_step"], dtype=float))
    return _png(figure)


def accuracy_by_strength(groups: Mapping[str, Sequence[Run]]) -> bytes:
    """Draw count and kinds against the strength of the perturbation; crosses are smooth, shadowed pictures."""
    figure = _figure(10.0, 3.8)
    panels = figure.subplots(1, 2)
    for colour, (name, runs) in zip(COLOURS, groups.items(), strict=False):
        for panel, key in zip(panels, ("count_accuracy", "kinds_accuracy"), strict=True):
            for detail, marker, style in (("inference", "o", "-"), ("display", "x", "none")):
                chosen = sorted((r for r in runs if r["detail"] == detail), key=lambda r: float(r["strength"]))
                xs, ys = [r["strength"] for r in chosen], [100.0 * r["test"][key] for r in chosen]
                label = name if detail == "inference" else None
                panel.plot(xs, ys, color=colour, marker=marker, ms=5, linestyle=style, label=label)
    for panel, title in zip(panels, ("count right, %", "all kinds right, %"), strict=True):
        panel.set(xlabel="strength of the perturbation", ylabel=title, ylim=(-3.0, 103.0))
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return _png(figure)


def strips(rows: Sequence[tuple[str, NDArray[np.uint8]]], columns: Sequence[str]) -> bytes:
    """Draw named rows of pictures (S, P * S, 3) with the names of their P columns."""
    figure = _figure(1.5 * len(columns) + 1.0, 1.5 * len(rows) + 0.6)
    for i, (axes, (name, strip)) in enumerate(
        zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True)
    ):
        axes.imshow(strip, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_ylabel(name.replace(", ", ",\n"), fontsize=8)
        if i == 0:
            side = strip.shape[0]
            axes.set_xticks([side * (column + 0.5) for column in range(len(columns))])
            axes.set_xticklabels([name.replace(", ", ",\n") for name in columns], fontsize=8)
            axes.tick_params(length=0, labeltop=True, labelbottom=False)
    return _png(figure)


def _kind_bars(axes: Any, kinds: Sequence[str], counts: Any) -> None:
    """Draw the shares of the kinds in each step, stacked."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    bottom = np.zeros(len(shares))
    for kind, colour, share in zip(kinds, COLOURS, shares.T, strict=False):
        axes.bar(np.arange(1, len(shares) + 1), share, bottom=bottom, color=colour, label=kind, width=0.8)
        bottom += share
    axes.set_xticks(np.arange(1, len(shares) + 1))
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.set_title("kinds by step", fontsize=7)
    axes.legend(fontsize=5, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _figure(width: float, height: float) -> Any:
    return new_figure(width, height, dpi=110, facecolor="white")


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
