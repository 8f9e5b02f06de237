"""A stand-in for the density of settled scenes, which has none that can be computed."""

from __future__ import annotations

import math

import numpy as np

from air3d.scene3d.arrays import Floats
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.poses import frames_of
from air3d.scene3d.resting import away_rad
from air3d.scene3d.stances import stances
from air3d.scene3d.surface import Surface, Surfaces

# How far what rests may be tilted and lifted, the share of what leans or lies on others, and how high that lies.
_TILT_RAD, _LIFT_M = 0.03, 0.003
_PILED, _PILE_M = 0.2, 0.05


def log_settled(batch: SceneBatch, tops: tuple[Surface, ...]) -> Floats:
    """Score each scene's poses, (B,), by a surrogate that is no density: objects count as independent of each other.

    An object rests in one of its stances, by their probabilities, up to normal errors of tilt (0.03 rad) and height
    (3 mm); or, with probability 0.2, it leans or lies on others: turned in any way, its height above the top falling
    off exponentially (50 mm). It is uniform on the tops and in yaw. The number is finite wherever all origins are over
    the tops, as in all settled scenes, whether objects touch, overlap or hang in the air; else -inf. Units are cubic
    metres and cubic radians of rotation, which fill 8 pi^2. Where stances look alike, it counts them as one.
    """
    surfaces = Surfaces(tops)
    score = np.zeros(batch.kind.shape)
    for k, kind in enumerate(batch.kinds):
        mine = batch.kind == k
        score[mine] = _each(kind, batch.position_m[mine], batch.rotation_wxyz[mine], batch.scale[mine], surfaces)
    return np.asarray(score.sum(axis=1))


def _each(kind: str, position_m: Floats, rotation_wxyz: Floats, scale: Floats, surfaces: Surfaces) -> Floats:
    ways = stances(kind)
    up = frames_of(np.zeros(3), rotation_wxyz)[:, 2, :3]
    tilt = away_rad(up, ways.up, get_kind(kind).symmetry)
    logs = np.full(len(position_m), -np.inf)
    for part in surfaces.parts:
        height = position_m[:, 2] - part.position_m[2]
        lift = height[:, None] - scale[:, None] * ways.height_m
        rests = np.log(ways.probability) - 0.5 * ((tilt / _TILT_RAD) ** 2 + (lift / _LIFT_M) ** 2)
        rests -= 1.5 * math.log(2.0 * math.pi) + math.log(_TILT_RAD**2 * _LIFT_M) + math.log(2.0 * math.pi)
        leans = -abs(height) / _PILE_M - math.log(2.0 * _PILE_M * 8.0 * math.pi**2)
        both = np.logaddexp(math.log1p(-_PILED) + np.logaddexp.reduce(rests, axis=1), math.log(_PILED) + leans)
        logs = np.logaddexp(logs, np.where(part.contains(position_m), both, -np.inf))
    return np.asarray(logs - surfaces.log_area)
