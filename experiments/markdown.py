"""Writes tables in Markdown, with the numbers of several seeds in one cell."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any


def header(*names: str) -> list[str]:
    """The first two lines of a table."""
    return [row(*names), row(*("---" for _ in names))]


def row(*cells: str) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float | None], form: str) -> str:
    """Write the median of the known values, and if there are several of them their range: "97.0 % [95.1, 98.0]"."""
    known = [v for v in values if v is not None]
    if not known:
        return "-"
    middle, low, high = (form.format(v) for v in (median(known), min(known), max(known)))
    return middle if len(values) == 1 else f"{middle} [{low.removesuffix(' %')}, {high.removesuffix(' %')}]"


def number(value: float | None, form: str) -> str:
    """Write the number, or a dash where nothing could be measured."""
    return "-" if value is None else form.format(value)


def grouped(runs: Sequence[dict[str, Any]], *keys: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Group runs by their values under these keys, in the order of first appearance."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in runs:
        found.setdefault(tuple(str(run[key]) for key in keys), []).append(run)
    return found
