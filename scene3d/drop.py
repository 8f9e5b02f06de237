"""Poses to drop objects from: above where they are put, as low as they are clear of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from air3d.scene3d.arrays import Floats
from air3d.scene3d.poses import frames_of
from air3d.scene3d.stances import hull_corners
from air3d.scene3d.surface import Surfaces

_CLEAR_M = 0.002


def start_poses(
    rng: np.random.Generator, kinds: Sequence[str], scales: Sequence[float], places: Surfaces, tumbled: float
) -> tuple[Floats, Floats]:
    """Draw poses to drop N objects from.

    Each origin is above a uniform point of `places`, as low as leaves the upright cylinders around objects apart, and
    2 mm above the place.

    Args:
        tumbled: the probability that an object is turned uniformly; else it is upright with a uniform yaw.

    Returns:
        Positions (N, 3), metres, and rotations (N, 4), object to world.
    """
    count = len(kinds)
    position = places.sample(rng, count)
    rotation = rng.standard_normal((count, 4))
    upright = rng.random(count) >= tumbled
    rotation[upright, 1:3] = 0.0
    rotation /= np.linalg.norm(rotation, axis=1, keepdims=True)
    turns = frames_of(np.zeros(3), rotation)[:, :3, :3]
    axis, radius = np.zeros((count, 2)), np.zeros(count)
    bottom, top = np.zeros(count), np.zeros(count)
    for n in range(count):
        offset = scales[n] * hull_corners(kinds[n]) @ turns[n].T
        low, high = offset.min(axis=0), offset.max(axis=0)
        middle = (low[:2] + high[:2]) / 2.0
        axis[n], radius[n] = position[n, :2] + middle, np.linalg.norm(offset[:, :2] - middle, axis=1).max()
        bottom[n], height = position[n, 2] + _CLEAR_M, high[2] - low[2]
        for other in np.argsort(top[:n]):
            over = np.linalg.norm(axis[n] - axis[other]) < radius[n] + radius[other]
            if over and bottom[other] < bottom[n] + height and bottom[n] < top[other]:
                bottom[n] = top[other] + _CLEAR_M
        top[n] = bottom[n] + height
        position[n, 2] = bottom[n] - low[2]
    return position, rotation
