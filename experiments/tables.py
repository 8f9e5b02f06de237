"""Writes tables in Markdown: a run or a group of runs in a line, a number of theirs, in people's units, in a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np

Run = dict[str, Any]
DEGREES = float(np.degrees(1.0))


class Column(NamedTuple):
    """A column of numbers.

    Attributes:
        title: its title with the unit.
        value: gets the value of one run; None where nothing could be measured.
        form: formats the number.
        of: gets the number that the value is a percentage of; then `run_table` shows the numbers too.
        alike: whether all runs of a group have the same number, so that `spread_table` shows it once.
    """

    title: str
    value: Callable[[Run], float | None]
    form: str
    of: Callable[[Run], float | None] | None = None
    alike: bool = False


def at(*keys: str, factor: float = 1.0) -> Callable[[Run], float | None]:
    """Reads a number through nested keys, times `factor`; None where a key or the number is missing."""

    def read(run: Run) -> float | None:
        value: Any = run
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return None if value is None else factor * float(value)

    return read


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


def grouped(runs: Sequence[Run], *keys: str) -> dict[tuple[str, ...], list[Run]]:
    """Group runs by their values under these keys, in the order of first appearance."""
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(str(run[key]) for key in keys), []).append(run)
    return found


def by_seed(runs: Sequence[Run]) -> list[Run]:
    """Sort runs by their seeds."""
    return sorted(runs, key=lambda run: int(run["seed"]))


def run_table(names: Sequence[str], rows: Sequence[tuple[Sequence[str], Run]], columns: Sequence[Column]) -> list[str]:
    """Write a line for each run: its name's parts, then its numbers."""
    lines = header(*names, *(column.title for column in columns))
    for name, run in rows:
        lines.append(row(*name, *(_cell(column, run) for column in columns)))
    return lines


def _cell(column: Column, run: Run) -> str:
    value, total = column.value(run), None if column.of is None else column.of(run)
    shown = number(value, column.form)
    return shown if value is None or total is None else f"{shown} ({round(value * total / 100.0):,} of {total:,.0f})"


def spread_table(
    names: Sequence[str], groups: Mapping[tuple[str, ...], Sequence[Run]], columns: Sequence[Column]
) -> list[str]:
    """Write a line for each group: its name's parts, the number of seeds, then median and range of its numbers."""
    lines = header(*names, "seeds", *(column.title for column in columns))
    for name, runs in groups.items():
        cells = (spread([c.value(run) for run in (runs[:1] if c.alike else runs)], c.form) for c in columns)
        lines.append(row(*name, str(len(runs)), *cells))
    return lines
