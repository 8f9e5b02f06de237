"""Small charts for a page, in its colours: histograms of errors, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.errors import InputError

Floats = NDArray[np.float64]

_BINS = 20
_WIDTH, _HEIGHT, _BOTTOM = 300.0, 110.0, 16.0
# Key in the log, title, unit, whether it is drawn on a logarithmic scale.
_CURVES = (
    ("squared_error", "squared error of samples", "(pixel values 0 to 1, summed over an image)", True),
    ("entropy", "entropy of q(z | x)", "nats", False),
)


def histogram_svg(values: Floats, title: str, unit: str) -> str:
    """Draw a histogram of errors from 0 to their 98th percentile; larger errors are counted in words.

    Args:
        values: (n,), none negative, in `unit`; without any the text is empty.
    """
    if not len(values):
        return ""
    median, p90, end = (float(np.quantile(values, q)) for q in (0.5, 0.9, 0.98))
    end = end if end > 0.0 else 1.0
    counts = np.histogram(values, _BINS, (0.0, end))[0]
    beyond = len(values) - int(counts.sum())
    words = f"{len(values)} values, median {median:.3g} {unit}, 90 % below {p90:.3g} {unit}"
    more = f"; {beyond} above {end:.3g} {unit} not drawn" if beyond else ""
    tall, wide = _HEIGHT - _BOTTOM, _WIDTH / _BINS
    bars = "".join(
        f'<rect x="{i * wide:.1f}" y="{tall * (1.0 - c / counts.max()):.1f}" width="{wide - 1.0:.1f}" '
        f'height="{tall * c / counts.max():.1f}"/>'
        for i, c in enumerate(counts.tolist())
        if c
    )
    ticks = "".join(
        f'<text x="{x:g}" y="{_HEIGHT - 3:g}" text-anchor="{anchor}">{label}</text>'
        for x, anchor, label in (
            (0.0, "start", "0"),
            (_WIDTH / 2.0, "middle", f"{end / 2.0:.3g}"),
            (_WIDTH, "end", f"{end:.3g} {unit}"),
        )
    )
    x = _WIDTH * min(median / end, 1.0)
    line = f'<path d="M{x:.1f},0V{tall:g}" class="median"/>'
    return (
        f'<figure class="chart"><svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escape(f"Histogram of {title}: {words}{more}")}">{bars}{line}{ticks}</svg>'
        f"<figcaption><b>{escape(title)}</b><br>{escape(words + more)}</figcaption></figure>"
    )


def learning_curves(log: Sequence[dict[str, Any]]) -> str:
    """Draw the log of a training, a chart for each quantity; empty if there is nothing to draw."""
    drawn = [
        curve_svg([record["iteration"] for record in log], [record[key] for record in log], title, unit, logarithmic)
        for key, title, unit, logarithmic in _CURVES
        if log and all(key in record for record in log)
    ]
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""


def curve_svg(x: Sequence[int], y: Sequence[float], title: str, unit: str, logarithmic: bool) -> str:
    """Draw a quantity over the iterations; its greatest and least value are written at the left.

    Args:
        x, y: equally many of both, at least one.
        logarithmic: takes a logarithmic axis, if all values are above 0.

    Raises:
        InputError: if there are no values.
    """
    if not len(y):
        raise InputError(f"chart of {title}: there are no values; at least one is needed")
    logarithmic = logarithmic and min(y) > 0.0
    low, high = min(y), max(y)
    tall = _HEIGHT - _BOTTOM
    heights = np.log(y) if logarithmic else np.array(y, dtype=float)
    span = float(np.ptp(heights)) or 1.0
    across = (np.array(x, dtype=float) - x[0]) / max(x[-1] - x[0], 1) * _WIDTH
    up = (tall - 4.0) - (heights - heights.min()) / span * (tall - 8.0)
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in zip(across, up, strict=True))
    labels = (
        (2.0, 10.0, "start", f"{high:.3g}"),
        (2.0, tall - 4.0, "start", f"{low:.3g}"),
        (0.0, _HEIGHT - 3.0, "start", f"{x[0]}"),
        (_WIDTH, _HEIGHT - 3.0, "end", f"iteration {x[-1]}"),
    )
    words = f"from {y[0]:.4g} to {y[-1]:.4g} {unit}" + (", logarithmic" if logarithmic else "")
    return (
        f'<figure class="chart"><svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escape(f"Curve of {title}: {words}")}"><polyline class="curve" points="{points}"/>'
        + "".join(f'<text x="{px:g}" y="{py:g}" text-anchor="{at}">{word}</text>' for px, py, at, word in labels)
        + f"</svg><figcaption><b>{escape(title)}</b><br>{escape(words)}</figcaption></figure>"
    )
