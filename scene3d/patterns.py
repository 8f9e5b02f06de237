"""Patterns by formula: the share, from 0 to 1, of a second colour at each point of a plane, with period 1."""

from __future__ import annotations

import numpy as np

from air3d.scene3d.arrays import Floats

PATTERNS = ("checker", "stripes", "waves", "dots", "noise")

_DOT_RADIUS = 0.3
_LATTICE, _OCTAVES = 4, 3


def pattern(name: str, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """Draw one of `PATTERNS` at the points x, y of any common shape.

    Checkers and stripes change half-way through the period, waves rise and fall evenly along x, a dot stands in the
    middle of the period, and noise is value noise of three octaves (Perlin 1985, "An image synthesizer", section on
    noise, with random values in place of gradients).

    Args:
        rng: draws the values of "noise"; the other patterns draw nothing.
    """
    if name == "checker":
        return np.asarray((np.floor(2.0 * x) + np.floor(2.0 * y)) % 2.0)
    if name == "stripes":
        return np.asarray(np.floor(2.0 * x) % 2.0)
    if name == "waves":
        return np.abs(2.0 * (x % 1.0) - 1.0)
    if name == "dots":
        return np.asarray(((x % 1.0 - 0.5) ** 2 + (y % 1.0 - 0.5) ** 2 < _DOT_RADIUS**2).astype(np.float64))
    assert name == "noise", name
    total, weight = np.zeros(np.shape(x)), 1.0
    for octave in range(_OCTAVES):
        weight /= 2.0
        total += weight * _lattice_noise(rng.random((_LATTICE << octave,) * 2), x, y)
    return total / (1.0 - weight)


def _lattice_noise(values: Floats, x: Floats, y: Floats) -> Floats:
    """Interpolate values on a square lattice that repeats with period 1, smoothly (3 t^2 - 2 t^3)."""
    n = len(values)
    column, row = np.floor(x * n), np.floor(y * n)
    right, below = (t * t * (3.0 - 2.0 * t) for t in (x * n - column, y * n - row))
    i, j = row.astype(np.int64), column.astype(np.int64)
    upper, lower = ((1.0 - right) * values[r % n, j % n] + right * values[r % n, (j + 1) % n] for r in (i, i + 1))
    return np.asarray((1.0 - below) * upper + below * lower)
