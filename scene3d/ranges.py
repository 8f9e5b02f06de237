"""Uniform ranges of numbers, the bricks of every prior: their checks, draws and log-densities."""

from __future__ import annotations

import math

import numpy as np

from air3d.scene3d.arrays import Floats
from air3d.scene3d.errors import InputError, shown

Range = tuple[float, float]


def check_ranges(owner: str, config: object, names: tuple[str, ...]) -> None:
    """Raise InputError unless these fields of `config` are pairs (low, high) with low <= high."""
    for name in names:
        span = getattr(config, name)
        pair = isinstance(span, tuple) and len(span) == 2 and all(type(end) in (int, float) for end in span)
        if not pair or not span[0] <= span[1]:
            raise InputError(f"{owner}: {name} is {shown(span)}; it must be (low, high) with low <= high")


def uniform(rng: np.random.Generator, span: Range) -> float:
    """Draw from a range. A fixed one costs a draw, too: what comes after does not shift with the ranges before it."""
    u = rng.random()
    return span[0] if span[0] == span[1] else float(span[0] + (span[1] - span[0]) * u)


def log_uniform(value: Floats, span: Range, periodic: bool = False, tolerance: float = 0.0) -> Floats:
    """The log-density of a range at each value; that of a fixed one is 0 at its value.

    Args:
        periodic: whether a full turn more or less is the same value.
        tolerance: how far beyond the ends a value counts as inside, for values that went through rounding.
    """
    low, high = span
    if periodic:
        # A tiny tolerance keeps the ends of the range from wrapping to the other side by rounding.
        value = low + np.where(np.abs(value - low) < 1e-12, 0.0, (value - low) % (2.0 * math.pi))
        tolerance = max(tolerance, 1e-9)
        inside = (value >= low) & (value <= high + tolerance)
    else:
        inside = (value >= low - tolerance) & (value <= high + tolerance)
    return np.where(inside, -math.log(high - low) if high > low else 0.0, -np.inf)
