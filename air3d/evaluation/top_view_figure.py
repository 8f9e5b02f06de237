"""Draws images beside the table seen from above, as a PNG: the paper's Figure 7, top view."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.evaluation.figure import new_figure
from air3d.evaluation.top_view import RED, drawn_opacity, top_view_shapes
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene


class Panel(NamedTuple):
    """One column of the figure.

    Attributes:
        pictures: the images, (H, W, 3) uint8 each, shown below each other: input, reconstruction, ...
        truth, inferred: the scenes; either may be None, not both.
        drawn: the posterior samples.
    """

    pictures: Sequence[NDArray[np.uint8]]
    truth: Scene | None
    inferred: Scene | None
    drawn: Sequence[Scene] = ()


def top_view_figure(panels: Sequence[Panel], rows: Sequence[str], inches: float = 1.6) -> bytes:
    """Draw all panels side by side; return the PNG.

    Args:
        panels: one panel or more, with equally many pictures.
        rows: the names of the pictures, from the top; the top view comes last and is named here too.
        inches: the side of each cell; an inch has 150 pixels.

    Raises:
        InputError: if there are no panels.
    """
    if not panels:
        raise InputError("top view: no panels are given; at least one is needed")
    from matplotlib.patches import Patch

    size = len(panels) * inches + 0.3, len(rows) * inches + 0.3
    figure = new_figure(*size, dpi=150, facecolor="white")
    grid = figure.subplots(len(rows), len(panels), squeeze=False)
    for column, panel in enumerate(panels):
        for axes, picture in zip(grid[:, column], panel.pictures, strict=False):
            axes.imshow(picture, interpolation="nearest")
        draw_top_view(grid[-1, column], panel)
    for axes, name in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(name, fontsize=9)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    names = {"truth": "truth", "drawn": "posterior samples", "inferred": "inferred"}
    shown = {"truth": lambda p: p.truth, "drawn": lambda p: p.drawn, "inferred": lambda p: p.inferred}
    keys = [Patch(label=names[role], **_style(1)[role]) for role in names if any(shown[role](p) for p in panels)]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def draw_top_view(axes: Any, panel: Panel) -> None:
    """Draw the top view of a panel into matplotlib axes."""
    from matplotlib.patches import Polygon

    style = _style(len(panel.drawn))
    for role, points, colour in top_view_shapes(panel.truth, panel.inferred, panel.drawn):
        own = {"facecolor": colour} if colour else {}
        axes.add_patch(Polygon(points, closed=True, **{**style[role], **own}))
    axes.set(xlim=(-1.0, 1.0), ylim=(-1.0, 1.0), aspect="equal")


def _style(samples: int) -> dict[str, dict[str, Any]]:
    from matplotlib.patheffects import Normal, Stroke

    return {
        "table": {"facecolor": "#eadfce"},
        "place": {"fill": False, "edgecolor": "#b9ab97", "linestyle": (0, (4, 4)), "linewidth": 0.5},
        "truth": {"facecolor": "#222222", "edgecolor": "#222222", "linewidth": 0.5},
        "drawn": {"fill": False, "edgecolor": RED, "linewidth": 0.5, "alpha": drawn_opacity(samples)},
        "inferred": {
            "fill": False,
            "edgecolor": RED,
            "linewidth": 1.1,
            "path_effects": [Stroke(linewidth=2.2, foreground="white", alpha=0.7), Normal()],
        },
    }
