"""Finds the surface of a world on which objects may be put: the level one beneath its free bodies, where it is clear.

The surface is looked at from above on a grid, so it may be the top of anything. What stands on it, a robot's foot for
instance, is left out: found is the largest rectangle, with sides along x and y, or a disc where all is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.ndimage import label

from air3d.scene3d.arrays import Bools, Floats

Look = Callable[[Floats, bool], tuple[Floats, Floats]]
_CLEAR_M = 0.25  # above the surface
_LEVEL_M = 0.004
_FLAT = 0.98  # how far up a surface must look, as the cosine of its slope
_LONGEST_DROP_M = 2.0
_MARGIN_M, _CELLS = 0.6, 160
_LEAST_CELL_M = 0.01
_MOST_ABOVE = 12  # surfaces above a point that are looked at
_ROUND = 0.96  # the share that a disc and the surface must have in common


class Found(NamedTuple):
    """A surface: its centre (3,), half its sides, or a radius; and the numbers of the bodies that are on it."""

    centre_m: Floats
    size_m: tuple[float, ...]
    bodies: tuple[int, ...]


def find_surfaces(middle_m: Floats, look: Look) -> list[Found]:
    """Find the surfaces beneath free bodies, that with the most bodies first.

    Args:
        middle_m: (N, 3), the middles of the bodies: a body may reach a little into what it rests on.
        look: tells how far it is from points (P, 3), down or up, to what stands still, and how far that looks up.
    """
    drop, up = look(middle_m, True)
    held = (drop <= _LONGEST_DROP_M) & (up > _FLAT)
    level = middle_m[:, 2] - np.where(held, drop, 0.0)
    found = []
    left = held
    while left.any():
        # The height that most of them share.
        near = held & (np.abs(level[:, None] - level) <= _LEVEL_M)
        best = int(np.where(left, (near & left).sum(axis=1), -1).argmax())
        own = left & near[best]
        surface = _around(middle_m[own, :2], float(np.median(level[own])), look)
        left = left & ~own
        if surface is not None:
            found.append(surface._replace(bodies=tuple(np.flatnonzero(own).tolist())))
    return found


def _around(places_m: Floats, level_m: float, look: Look) -> Found | None:
    """Find the clear part of the surface at a height, around places (N, 2)."""
    low, high = places_m.min(axis=0) - _MARGIN_M, places_m.max(axis=0) + _MARGIN_M
    cell = max(_LEAST_CELL_M, float((high - low).max()) / _CELLS)
    x, y = (np.arange(a + cell / 2.0, b, cell) for a, b in zip(low, high, strict=True))
    grid = np.stack([*np.meshgrid(x, y), np.full((len(y), len(x)), level_m)], axis=-1).reshape(-1, 3)
    beneath, up = look(grid + [0.0, 0.0, _CLEAR_M], True)
    clear = (np.abs(beneath - _CLEAR_M) <= _LEVEL_M) & (up > _FLAT)
    clear[clear] = _outside(grid[clear] + [0.0, 0.0, 2.0 * _LEVEL_M], look)
    clear = clear.reshape(len(y), len(x))
    parts, _ = label(clear)
    column, row = np.clip(((places_m - low) / cell).astype(int), 0, [[len(x) - 1, len(y) - 1]]).T
    under = parts[row, column]
    if not (under > 0).any():
        return None
    mine = parts == np.bincount(under[under > 0]).argmax()
    disc = _disc(mine, cell)
    if disc is not None:
        at, radius = disc
        return Found(np.array([*(low + at * cell), level_m]), (radius,), ())
    top, left, bottom, right = _rectangle(mine, row, column)
    ends = low + cell * np.array([[left, top], [right, bottom]])
    half = (ends[1] - ends[0]) / 2.0
    return Found(np.array([*ends.mean(axis=0), level_m]), tuple((half - cell / 2.0).round(3).tolist()), ())


def _outside(points_m: Floats, look: Look) -> Bools:
    """Tell which points (P, 3) are within nothing, and have nothing close above them: (P,).

    Within something, more surfaces look up above a point than down.
    """
    at, left = points_m.copy(), np.arange(len(points_m))
    free, within = np.ones(len(at), dtype=bool), np.zeros(len(at))
    for _ in range(_MOST_ABOVE):
        above, up = look(at[left], False)
        hit = np.isfinite(above)
        left, above, up = left[hit], above[hit], up[hit]
        if not len(left):
            break
        at[left, 2] += above + 1e-5
        free[left] &= (at[left, 2] > points_m[left, 2] + _CLEAR_M) | (up > 0.0)
        within[left] += np.sign(up)
    return free & (within <= 0.0)


def _disc(mask: Bools, cell: float) -> tuple[Floats, float] | None:
    """The centre (x, y), in cells, and the radius in metres of a mask that is a disc; None if it is none."""
    rows, columns = np.nonzero(mask)
    centre = np.array([columns.mean(), rows.mean()]) + 0.5
    radius = float(np.sqrt(mask.sum() / np.pi))
    y, x = np.indices(mask.shape) + 0.5
    disc = np.hypot(x - centre[0], y - centre[1]) <= radius
    share = (disc & mask).sum() / max(int((disc | mask).sum()), 1)
    return (centre, round((radius - 1.0) * cell, 3)) if share >= _ROUND and radius > 3.0 else None


def _rectangle(mask: Bools, row: Floats, column: Floats) -> tuple[int, int, int, int]:
    """The best rectangle of a mask, (top, left, bottom, right) in cells: large, with many of the given cells in it."""
    best, found = -1.0, (0, 0, 1, 1)
    height = np.zeros(mask.shape[1] + 1, dtype=int)
    for bottom in range(mask.shape[0]):
        height[:-1] = np.where(mask[bottom], height[:-1] + 1, 0)
        stack: list[int] = []
        for right in range(len(height)):
            while stack and height[stack[-1]] >= height[right]:
                tall = int(height[stack.pop()])
                left = stack[-1] + 1 if stack else 0
                area = tall * (right - left)
                if area <= 0 or area * (len(row) + 1.0) <= best:
                    continue
                top = bottom - tall + 1
                inside = (row >= top) & (row <= bottom) & (column >= left) & (column < right)
                if (score := area * (1.0 + inside.sum())) > best:
                    best, found = score, (top, left, bottom + 1, right)
            stack.append(right)
    return found
