"""Arrangements without overlap: bounded rejection, and the probability that it succeeds.

An arrangement of n objects is drawn whole, each object by itself, and redrawn until no two overlap. Given the kinds,
its density is therefore the density of the unconstrained draw divided by Z(kinds), the probability that an
unconstrained draw is free of overlap. How one is drawn, and what overlaps, says an `Arranging`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from air3d.scene3d.arrays import Bools, Floats
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Circle
from air3d.scene3d.support import Support
from air3d.scene3d.surface import Surfaces

Drawn = tuple[Any, ...]

_CHUNK = 128
_PARTICLES = 200_000


class Arranging(Protocol):
    """A way to draw arrangements; it is hashable, and equal to another that draws the same."""

    def draw(self, rng: np.random.Generator, tries: int, kinds: tuple[str, ...]) -> Drawn:
        """Draw unconstrained arrangements: arrays (tries, objects, ...)."""
        ...

    def free(self, kinds: tuple[str, ...], drawn: Drawn, newest_only: bool = False) -> Bools:
        """Tell which arrangements (T, n, ...) are free of overlap: (T,).

        `newest_only` checks only the last object against the others, which are known to be free of one another.
        """
        ...


def draw_arrangements(
    rng: np.random.Generator, tries: int, objects: int, support: Support | Surfaces
) -> tuple[Floats, Floats]:
    """Draw points of a support, (tries, objects, 2 or 3) in metres, and yaws (tries, objects) in radians."""
    u = rng.random((tries, objects, 3))
    return support.spread(u[..., :2]), 2.0 * np.pi * u[..., 2] - np.pi


def free_of_overlap(
    kinds: tuple[str, ...],
    position_m: Floats,
    yaw_rad: Floats,
    scale: float,
    gap_m: float,
    newest_only: bool = False,
) -> Bools:
    """Tell which upright arrangements keep every pair of footprints at least `gap_m` apart.

    Args:
        kinds: the names, one for each of n objects.
        position_m: (T, n, 2 or more); yaw_rad: (T, n).
        scale: the factor on every footprint (the largest that the prior may draw).
        gap_m: the clearance between footprints.
        newest_only: checks only the last object against the others, which are known to be free of one another.

    Returns:
        (T,) bool.
    """
    discs = [footprint_rows(name, scale) for name in kinds]
    return discs_apart(discs, position_m, yaw_rad, gap_m, newest_only)


@lru_cache(maxsize=4096)
def footprint_rows(kind: str, scale: float) -> Floats:
    """The footprint of a kind in a size as `disc_rows`, (1, C, 3); not to be written to."""
    rows = scale * disc_rows(get_kind(kind).footprint)[None]
    rows.setflags(write=False)
    return rows


def disc_rows(circles: Sequence[Circle]) -> Floats:
    """Discs as rows (C, 3) of x, y, radius, metres."""
    return np.array([(c.x_m, c.y_m, c.radius_m) for c in circles])


def discs_apart(
    discs: Sequence[Floats],
    position_m: Floats,
    yaw_rad: Floats,
    gap_m: float,
    newest_only: bool = False,
    spans_m: Sequence[Floats] | None = None,
) -> Bools:
    """Tell in which arrangements the discs of every pair of objects are at least `gap_m` apart.

    Args:
        discs: those of each of n objects, (T or 1, C, 3): x, y, radius in its own frame.
        position_m: (T, n, 2 or more); yaw_rad: (T, n).
        spans_m: each object begins and ends so far above its position, (T or 1, 2); those apart in height are
            free of each other. Without them all are in one plane.

    Returns:
        (T,) bool.
    """
    free = np.ones(len(position_m), dtype=bool)
    centres = []
    for n, disc in enumerate(discs):
        x, y = disc[..., 0], disc[..., 1]
        c, s = np.cos(yaw_rad[:, n, None]), np.sin(yaw_rad[:, n, None])
        centres.append(position_m[:, n, None, :2] + np.stack([c * x - s * y, s * x + c * y], axis=-1))
    for a in range(len(discs) - 1 if newest_only else 0, len(discs)):
        for b in range(a):
            gap = centres[a][:, :, None] - centres[b][:, None]
            reach = discs[a][:, :, None, 2] + discs[b][:, None, :, 2] + gap_m
            apart = ((gap**2).sum(axis=-1) >= reach**2).all(axis=(1, 2))
            if spans_m is not None:
                up = position_m[:, a, 2] - position_m[:, b, 2]
                apart |= up + spans_m[a][:, 0] >= spans_m[b][:, 1] + gap_m
                apart |= up + spans_m[a][:, 1] + gap_m <= spans_m[b][:, 0]
            free &= apart
    return free


def balls_apart(centre_m: Floats, radius_m: Floats, gap_m: float, newest_only: bool = False) -> Bools:
    """Tell in which arrangements (T, n, 3) the balls with radii (n,) are at least `gap_m` apart: (T,)."""
    free = np.ones(len(centre_m), dtype=bool)
    for a in range(len(radius_m) - 1 if newest_only else 0, len(radius_m)):
        away = centre_m[:, a, None] - centre_m[:, :a]
        free &= ((away**2).sum(axis=-1) >= (radius_m[a] + radius_m[:a] + gap_m) ** 2).all(axis=1)
    return free


def place(rng: np.random.Generator, kinds: tuple[str, ...], arranging: Arranging, max_tries: int) -> Drawn:
    """Draw one arrangement without overlap: arrays (n, ...).

    Raises:
        InputError: if `max_tries` arrangements all overlap.
    """
    tried = 0
    while tried < max_tries:
        # One object always fits, so it draws one arrangement; more objects draw many at once for speed.
        size = min(1 if len(kinds) < 2 else _CHUNK, max_tries - tried)
        drawn = arranging.draw(rng, size, kinds)
        free = np.flatnonzero(arranging.free(kinds, drawn))
        if free.size:
            return tuple(part[free[0]] for part in drawn)
        tried += size
    raise InputError(
        f"could not place {len(kinds)} objects ({', '.join(kinds)}) {arranging} "
        f"without overlap in {max_tries} tries; use fewer or smaller objects, or a larger table"
    )


@lru_cache(maxsize=4096)
def log_free_probability(kinds: tuple[str, ...], arranging: Arranging) -> float:
    """Estimate log Z(kinds), the log-probability that an unconstrained arrangement is free of overlap.

    Sequential Monte Carlo with 200,000 / (n - 1) particles from a fixed stream of its own, so it is a deterministic
    function of its arguments: objects are added one by one, Z is the product of the shares of particles that stay
    free, and those are resampled before the next (Del Moral et al. 2006; unbiased for Z, relative standard error
    about 1 %). Call it with sorted kinds: Z does not depend on their order.
    """
    if len(kinds) < 2:
        return 0.0
    rng, particles = np.random.Generator(np.random.PCG64(20160615)), _PARTICLES // (len(kinds) - 1)
    drawn = arranging.draw(rng, particles, kinds)
    log_z = 0.0
    for count in range(2, len(kinds) + 1):
        # Those before are free of one another already; the newest stands anew in every copy of a particle.
        free = np.flatnonzero(arranging.free(kinds[:count], tuple(p[:, :count] for p in drawn), newest_only=True))
        if not free.size:
            return -np.inf
        log_z += float(np.log(free.size / particles))
        kept = np.resize(free, particles)
        for part in drawn:
            part[:, :count] = part[kept, :count]
    return log_z
