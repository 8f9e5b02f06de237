"""Further lamps: where their light comes from, and their prior, none to three anywhere above the table."""

from __future__ import annotations

import math

import numpy as np

from air3d.scene3d.arrays import Floats
from air3d.scene3d.batch import SceneBatch, lamp_rows
from air3d.scene3d.scene import MAX_LAMPS, Lamp, Light


def directions(azimuth_rad: Floats, elevation_rad: Floats) -> Floats:
    """The unit vectors (..., 3) along which light travels that comes from there."""
    level = np.cos(elevation_rad)
    return -np.stack([level * np.cos(azimuth_rad), level * np.sin(azimuth_rad), np.sin(elevation_rad)], axis=-1)


def lamp_directions(batch: SceneBatch) -> Floats:
    """The unit vectors (B, MAX_LAMPS, 3) along which the light of the further lamps travels."""
    return directions(batch.lamps[..., 0], batch.lamps[..., 1])


def draw_lamps(rng: np.random.Generator, most: float) -> tuple[Lamp, ...]:
    """Draw their number, then azimuth, elevation and brightness of each, all uniform; `most` is the brightest."""
    count = int(rng.integers(MAX_LAMPS + 1))
    shares = rng.random((count, 3)).tolist()
    return tuple(
        Lamp(math.pi * (2.0 * azimuth - 1.0), math.pi / 2.0 * elevation, max(most * diffuse, 1e-6))
        for azimuth, elevation, diffuse in shares
    )


def log_prob_lamps(lamps: Floats, most: float, nominal: Light) -> Floats:
    """The log-density (B,) of `SceneBatch.lamps`, over radians and brightness.

    Where `most` is 0, only the nominal light's lamps have a density.
    """
    if not most:
        return np.where((lamps == lamp_rows(nominal)).all(axis=(1, 2)), 0.0, -np.inf)
    azimuth, elevation, diffuse = np.moveaxis(lamps, 2, 0)
    shines = diffuse > 0.0
    inside = (np.abs(azimuth) <= math.pi) & (elevation >= 0.0) & (elevation <= math.pi / 2.0) & (diffuse <= most)
    # They come first, in the order that they were drawn in.
    packed = shines[:, :-1] >= shines[:, 1:]
    possible = (inside | ~shines).all(axis=1) & packed.all(axis=1)
    each = -math.log(math.pi**2 * most)
    return np.where(possible, shines.sum(axis=1) * each - math.log(MAX_LAMPS + 1), -np.inf)
