"""Surfaces: level regions anywhere in the world, on which objects may be put; several together are one region."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from air3d.scene3d.arguments import MAX_LENGTH_M, Vec3, check_number, check_vector, tidy
from air3d.scene3d.arrays import Bools, Floats, Ints
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.poses import UPRIGHT
from air3d.scene3d.support import Disc, Rectangle, Support


@dataclass(frozen=True)
class Surface:
    """A level region: a disc or a rectangle, moved and turned about the vertical.

    Attributes:
        size_m: one number, the radius of a disc; or two, half the sides of a rectangle along its own x and y.
        position_m: its centre in the world.
        yaw_rad: how far it is turned, counter-clockwise seen from above.
    """

    size_m: tuple[float, ...]
    position_m: Vec3 = (0.0, 0.0, 0.0)
    yaw_rad: float = 0.0

    def __post_init__(self) -> None:
        tidy(self)
        size: object = self.size_m
        if not isinstance(size, tuple) or len(size) not in (1, 2):
            raise InputError(f"surface: size_m is {shown(size)}; give a disc's radius, or half a rectangle's sides")
        check_vector("surface", "size_m", size, 1e-3, MAX_LENGTH_M, length=len(size))
        check_vector("surface", "position_m", self.position_m, -MAX_LENGTH_M, MAX_LENGTH_M)
        check_number("surface", "yaw_rad", self.yaw_rad, -100.0, 100.0)

    @cached_property
    def region(self) -> Support:
        """The region around its own centre."""
        return Disc(*self.size_m) if len(self.size_m) == 1 else Rectangle(*self.size_m)

    @staticmethod
    def of(region: Support) -> Surface:
        """Make the surface of a region around the origin."""
        return Surface((region.radius_m,) if isinstance(region, Disc) else region.half_extents_m)

    def spread(self, u: Floats) -> Floats:
        """Map `u` (..., 2) to points (..., 3) that are uniform if `u` is uniform in [0, 1)."""
        flat = np.asarray(self.region.spread(u))
        points = np.zeros((*flat.shape[:-1], 3))
        if self.yaw_rad == 0.0 and self.position_m == (0.0, 0.0, 0.0):  # as every table is, on the way of every scene
            points[..., :2] = flat
            return points
        x, y = flat[..., 0], flat[..., 1]
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        east, north, points[..., 2] = self.position_m
        points[..., 0], points[..., 1] = c * x - s * y + east, s * x + c * y + north
        return points

    def local(self, points_m: Floats) -> Floats:
        """Points of the world (..., 2 or more), seen from above, in the surface's own x and y: (..., 2)."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        x, y = points_m[..., 0] - self.position_m[0], points_m[..., 1] - self.position_m[1]
        return np.stack([c * x + s * y, c * y - s * x], axis=-1)

    def contains(self, points_m: Floats) -> Bools:
        """Tell which points (..., 2 or more) lie in it, seen from above: (...), bool."""
        return np.asarray(self.region.contains(self.local(points_m)))


class Surfaces(NamedTuple):
    """One or several surfaces, from which points are drawn uniformly by area."""

    parts: tuple[Surface, ...]

    def __str__(self) -> str:
        one = len(self.parts) == 1 and self.parts[0] == Surface(self.parts[0].size_m)
        return str(self.parts[0].region) if one else f"on {len(self.parts)} of the world's surfaces"

    @property
    def log_area(self) -> float:
        """The logarithm of the sum of the areas in square metres."""
        areas = [part.region.log_area for part in self.parts]
        return areas[0] if len(areas) == 1 else float(np.logaddexp.reduce(areas))

    @property
    def level(self) -> bool:
        """Whether all lie in one plane."""
        return len({part.position_m[2] for part in self.parts}) == 1

    def spread(self, u: Floats) -> Floats:
        """Map `u` (..., 2) to points (..., 3) that are uniform by area if `u` is uniform in [0, 1)."""
        if len(self.parts) == 1:
            return self.parts[0].spread(u)
        shares = np.exp([part.region.log_area - self.log_area for part in self.parts])
        ends = np.cumsum(shares)
        chosen = np.minimum(np.searchsorted(ends, u[..., 0], side="right"), len(shares) - 1)
        # What is left of the number that chose is uniform again.
        rest = np.clip((u[..., 0] - (ends - shares)[chosen]) / shares[chosen], 0.0, np.nextafter(1.0, 0.0))
        u = np.stack([rest, u[..., 1]], axis=-1)
        each = np.stack([part.spread(u) for part in self.parts])
        return np.asarray(np.take_along_axis(each, chosen[None, ..., None], axis=0)[0])

    def sample(self, rng: np.random.Generator, n: int) -> Floats:
        """Draw `n` uniform points (n, 3)."""
        return self.spread(rng.random((n, 2)))

    def holding(self, points_m: Floats) -> Ints:
        """Count the surfaces that each point (..., 3) lies on, to 1e-6 m of height: (...)."""
        held = [p.contains(points_m) & (abs(points_m[..., 2] - p.position_m[2]) <= UPRIGHT) for p in self.parts]
        return np.asarray(np.sum(held, axis=0))
