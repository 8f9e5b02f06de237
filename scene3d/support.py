"""Supports: regions of the table's plane, where objects may stand, to draw points from, test them, pull them back to.

Points (..., 2) are metres in the plane z = 0, numpy arrays or torch tensors; results are of the same
library, type and device.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from air3d.scene3d.arguments import check_number, tidy
from air3d.scene3d.arrays import Floats

# The open plane is squashed into this share of a support: far out, sums round to the rim.
_INSIDE = 1.0 - 1e-6
_CORNERS = 72


class Support(ABC):
    """A bounded region around the origin; `str` of it ends a sentence that starts with "objects stand ..."."""

    @property
    @abstractmethod
    def log_area(self) -> float:
        """The logarithm of the area in square metres."""

    @property
    @abstractmethod
    def half_extents_m(self) -> tuple[float, float]:
        """Half the sides of the rectangle that encloses it, along x and y."""

    @abstractmethod
    def outline(self) -> Floats:
        """The corners (P, 2) of a polygon that it looks like, counter-clockwise."""

    @abstractmethod
    def spread(self, u: Any) -> Any:
        """Map `u` (..., 2) to points (..., 2) that are uniform if `u` is uniform in [0, 1)."""

    @abstractmethod
    def contains(self, points: Any) -> Any:
        """Tell which points lie in it, the rim included: (...), bool."""

    @abstractmethod
    def clamp(self, points: Any) -> Any:
        """Pull points to the nearest in it, a hair inside the rim, so that rounding leaves them in it."""

    @abstractmethod
    def squash(self, u: Any) -> Any:
        """Map the plane (..., 2), without units, onto its inside by a smooth bijection; differentiable in `u`."""

    @abstractmethod
    def unsquash(self, points: Any) -> Any:
        """Invert `squash`."""

    @abstractmethod
    def log_squash(self, u: Any) -> Any:
        """The logarithm of the determinant of the Jacobian of `squash` at `u`: (...)."""

    def sample(self, rng: np.random.Generator, n: int) -> Floats:
        """Draw `n` uniform points (n, 2)."""
        return np.asarray(self.spread(rng.random((n, 2))))

    def beyond(self, points: Any) -> Any:
        """The distance from it in metres, 0 inside: (...)."""
        return _library(points).linalg.vector_norm(points - self.clamp(points), axis=-1)


@dataclass(frozen=True)
class Disc(Support):
    """A disc around the origin."""

    radius_m: float

    def __post_init__(self) -> None:
        tidy(self)
        check_number("disc", "radius_m", self.radius_m, 1e-6, 1e6)

    def __str__(self) -> str:
        return f"within {self.radius_m:g} m of the table's centre"

    @property
    def log_area(self) -> float:
        """The logarithm of pi R^2."""
        return math.log(math.pi * self.radius_m**2)

    @property
    def half_extents_m(self) -> tuple[float, float]:
        """The radius, twice."""
        return self.radius_m, self.radius_m

    def outline(self) -> Floats:
        """A regular polygon."""
        angle = np.linspace(0.0, 2.0 * math.pi, _CORNERS + 1)[:-1]
        return self.radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def spread(self, u: Any) -> Any:
        """Radius R sqrt(u_0), angle 2 pi u_1."""
        xp = _library(u)
        radius, angle = self.radius_m * xp.sqrt(u[..., 0]), 2.0 * math.pi * u[..., 1]
        return xp.stack([radius * xp.cos(angle), radius * xp.sin(angle)], -1)

    def contains(self, points: Any) -> Any:
        """Tell whether the distance from the centre is at most the radius."""
        return _library(points).hypot(points[..., 0], points[..., 1]) <= self.radius_m

    def clamp(self, points: Any) -> Any:
        """Points outside are drawn towards the centre."""
        limit = self.radius_m * _rounded_inside(points)
        radius = _library(points).hypot(points[..., 0], points[..., 1])[..., None]
        return points * (limit / radius.clip(limit))

    def squash(self, u: Any) -> Any:
        """R u / sqrt(1 + |u|^2)."""
        return self.radius_m * _INSIDE * u / _library(u).sqrt(1.0 + (u * u).sum(-1)[..., None])

    def unsquash(self, points: Any) -> Any:
        """v / sqrt(1 - |v|^2) with v = x / R."""
        v = points / (self.radius_m * _INSIDE)
        return v / _library(v).sqrt((1.0 - (v * v).sum(-1)[..., None]).clip(1e-9))

    def log_squash(self, u: Any) -> Any:
        """The logarithm of R^2 / (1 + |u|^2)^2."""
        return 2.0 * math.log(self.radius_m) - 2.0 * _library(u).log1p((u * u).sum(-1))


@dataclass(frozen=True)
class Rectangle(Support):
    """A rectangle around the origin with sides along x and y; its fields are half their lengths."""

    half_x_m: float
    half_y_m: float

    def __post_init__(self) -> None:
        tidy(self)
        for name in ("half_x_m", "half_y_m"):
            check_number("rectangle", name, getattr(self, name), 1e-6, 1e6)

    def __str__(self) -> str:
        return f"on the table's {2.0 * self.half_x_m:g} by {2.0 * self.half_y_m:g} m"

    @property
    def log_area(self) -> float:
        """The logarithm of the product of the sides."""
        return math.log(4.0 * self.half_x_m * self.half_y_m)

    @property
    def half_extents_m(self) -> tuple[float, float]:
        """Its fields."""
        return self.half_x_m, self.half_y_m

    def outline(self) -> Floats:
        """The four corners."""
        return np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]) * self.half_extents_m

    def spread(self, u: Any) -> Any:
        """Draw each coordinate by itself."""
        return self._each(2.0 * u - 1.0)

    def contains(self, points: Any) -> Any:
        """Tell whether each coordinate is within half its side."""
        return (abs(points[..., 0]) <= self.half_x_m) & (abs(points[..., 1]) <= self.half_y_m)

    def clamp(self, points: Any) -> Any:
        """Cut each coordinate."""
        inside, xp = _rounded_inside(points), _library(points)
        sides = [points[..., i].clip(-inside * h, inside * h) for i, h in enumerate(self.half_extents_m)]
        return xp.stack(sides, -1)

    def squash(self, u: Any) -> Any:
        """h u / sqrt(1 + u^2), each coordinate by itself."""
        return self._each(_INSIDE * u / _library(u).sqrt(1.0 + u * u))

    def unsquash(self, points: Any) -> Any:
        """v / sqrt(1 - v^2) with v = x / h."""
        xp = _library(points)
        v = xp.stack([points[..., 0] / self.half_x_m, points[..., 1] / self.half_y_m], -1) / _INSIDE
        return v / xp.sqrt((1.0 - v * v).clip(1e-9))

    def log_squash(self, u: Any) -> Any:
        """The sum of the logarithms of h / (1 + u^2)^(3/2)."""
        return math.log(self.half_x_m * self.half_y_m) - 1.5 * _library(u).log1p(u * u).sum(-1)

    def _each(self, shares: Any) -> Any:
        """Make points from coordinates in shares of half the sides."""
        return _library(shares).stack([shares[..., 0] * self.half_x_m, shares[..., 1] * self.half_y_m], -1)


def _library(points: Any) -> Any:
    """numpy, or torch for its tensors (scene3d imports none); the functions used here are called alike in both."""
    return np if isinstance(points, np.ndarray) else sys.modules["torch"]


def _rounded_inside(points: Any) -> float:
    """The share of a support that rounding in the points' precision cannot leave."""
    return 1.0 - 8.0 * float(_library(points).finfo(points.dtype).eps)
