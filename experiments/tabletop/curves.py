"""Draws learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.figures import COLOURS, png, white_figure
from experiments.tables import DEGREES, Run, at

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
    figure = white_figure(15.0, 6.5)
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
    return png(figure)
