"""Places objects on the table without overlap: bounded rejection, and the probability that it succeeds.

An arrangement of n objects is drawn whole (each origin uniform on the support, each yaw uniform on
the circle) and redrawn until no two footprints touch. Given the kinds, its density is therefore the density
of the unconstrained draw divided by Z(kinds), the probability that an unconstrained draw is free of overlap.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.support import Support

_CHUNK = 128
_PARTICLES = 200_000


def draw_arrangements(rng: np.random.Generator, tries: int, objects: int, support: Support) -> tuple[Floats, Floats]:
    """Draw unconstrained arrangements: positions (tries, objects, 2) in metres, yaws (tries, objects) in radians."""
    u = rng.random((tries, objects, 3))
    return support.spread(u[..., :2]), 2.0 * np.pi * u[..., 2] - np.pi


def free_of_overlap(
    kinds: tuple[str, ...],
    position_m: Floats,
    yaw_rad: Floats,
    scale: float,
    gap_m: float,
    newest_only: bool = False,
) -> NDArray[np.bool_]:
    """Tell which arrangements keep every pair of footprints at least `gap_m` apart.

    Args:
        kinds: the names, one for each of n objects.
        position_m: (T, n, 2); yaw_rad: (T, n).
        scale: the factor on every footprint (the largest that the prior may draw).
        gap_m: the clearance between footprints.
        newest_only: checks only the last object against the others, which are known to be free of one another.

    Returns:
        (T,) bool.
    """
    free = np.ones(len(position_m), dtype=bool)
    centres, radii = [], []
    for n, name in enumerate(kinds):
        circles = get_kind(name).footprint
        local = scale * np.array([(c.x_m, c.y_m) for c in circles])
        c, s = np.cos(yaw_rad[:, n, None]), np.sin(yaw_rad[:, n, None])
        turned = np.stack([c * local[:, 0] - s * local[:, 1], s * local[:, 0] + c * local[:, 1]], axis=-1)
        centres.append(position_m[:, n, None, :] + turned)
        radii.append(scale * np.array([circle.radius_m for circle in circles]))
    for a in range(len(kinds) - 1 if newest_only else 0, len(kinds)):
        for b in range(a):
            gap = centres[a][:, :, None] - centres[b][:, None]
            reach = radii[a][:, None] + radii[b][None] + gap_m
            free &= ((gap**2).sum(axis=-1) >= reach**2).all(axis=(1, 2))
    return free


def place(
    rng: np.random.Generator, kinds: tuple[str, ...], support: Support, scale: float, gap_m: float, max_tries: int
) -> tuple[Floats, Floats]:
    """Draw one arrangement without overlap: positions (n, 2) and yaws (n,).

    Raises:
        InputError: if `max_tries` arrangements all overlap.
    """
    tried = 0
    while tried < max_tries:
        # One object always fits, so it draws one arrangement; more objects draw many at once for speed.
        size = min(1 if len(kinds) < 2 else _CHUNK, max_tries - tried)
        position, yaw = draw_arrangements(rng, size, len(kinds), support)
        free = np.flatnonzero(free_of_overlap(kinds, position, yaw, scale, gap_m))
        if free.size:
            return position[free[0]], yaw[free[0]]
        tried += size
    raise InputError(
        f"could not place {len(kinds)} objects ({', '.join(kinds)}) {support} "
        f"without overlap in {max_tries} tries; use fewer or smaller objects, or a larger table"
    )


@lru_cache(maxsize=4096)
def log_free_probability(kinds: tuple[str, ...], support: Support, scale: float, gap_m: float) -> float:
    """Estimate log Z(kinds), the log-probability that an unconstrained arrangement is free of overlap.

    Sequential Monte Carlo with 200,000 / (n - 1) particles from a fixed stream of its own, so it is a deterministic
    function of its arguments: objects are added one by one, Z is the product of the shares of particles that stay
    free, and those are resampled before the next (Del Moral et al. 2006; unbiased for Z, relative standard error
    about 1 %). Call it with sorted kinds: Z does not depend on their order.
    """
    if len(kinds) < 2:
        return 0.0
    rng, particles = np.random.Generator(np.random.PCG64(20160615)), _PARTICLES // (len(kinds) - 1)
    position, yaw = draw_arrangements(rng, particles, len(kinds), support)
    log_z = 0.0
    for count in range(2, len(kinds) + 1):
        # Those before are free of one another already; the newest stands anew in every copy of a particle.
        free = np.flatnonzero(
            free_of_overlap(kinds[:count], position[:, :count], yaw[:, :count], scale, gap_m, newest_only=True)
        )
        if not free.size:
            return -np.inf
        log_z += float(np.log(free.size / particles))
        kept = np.resize(free, particles)
        position[:, :count], yaw[:, :count] = position[kept, :count], yaw[kept, :count]
    return log_z
