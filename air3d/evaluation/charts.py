"""Small charts for a page: histograms of errors, which follow its colours, and learning curves."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BINS = 20
_WIDTH, _HEIGHT, _BOTTOM = 300.0, 110.0, 16.0
_CURVES = (
    ("squared_error", "squared error of samples", "log"),
    ("entropy", "entropy of q(z | x), nats", "linear"),
)


def histogram_svg(values: Floats, title: str, unit: str) -> str:
    """Histogram of errors from 0 to their 98th percentile; what lies beyond is counted in words.

    Args:
        values: (n,), at least one, none negative, in `unit`.
    """
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
    """What a training logged over its iterations, as one inline PNG; empty if there is nothing that can be drawn."""
    from matplotlib.figure import Figure

    known = [curve for curve in _CURVES if log and all(curve[0] in record for record in log)]
    if not known:
        return ""
    x = [record["iteration"] for record in log]
    figure = Figure(figsize=(4.5 * len(known), 3), dpi=110, layout="constrained", facecolor="white")
    for panel, (key, label, scale) in zip(figure.subplots(1, len(known), squeeze=False)[0], known, strict=True):
        panel.plot(x, [record[key] for record in log], linewidth=1)
        panel.set(xlabel="iteration", ylabel=label, yscale=scale)
        panel.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    key, label, _ = known[0]
    alt = f"training curves: {label} from {log[0][key]:.1f} to {log[-1][key]:.1f}"
    return f'<img class="wide" src="{uri}" alt="{escape(alt)}">'
