"""Shared by the figures of all pages: PNG on white, readable on pages of either colour."""

from __future__ import annotations

import io
from typing import Any

from air3d.evaluation.figure import new_figure

COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#b8860b", "#7b5ea7", "#555555", "#e07b39")


def white_figure(width: float, height: float) -> Any:
    """Make an empty Matplotlib figure of this size in inches, 110 dots an inch."""
    return new_figure(width, height, dpi=110, facecolor="white")


def png(figure: Any) -> bytes:
    """Draw a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
