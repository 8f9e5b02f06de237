"""Holds what all families of crockery share: numbers with ranges, drawn at a strength, and parts made of them.

Radii are nominal, those of the smooth object. Coarse rings are stretched to keep their area
(`surface.polygon_stretch`) and at the default numbers still stay inside the catalog's footprint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np

from air3d.scene3d.arguments import check_number, tidy
from air3d.scene3d.arrays import Floats
from air3d.scene3d.meshes.profile import Corner, rounded_profile, subdivided
from air3d.scene3d.meshes.surface import Mesh, Part, Path, Resolution, merged

_OUTLINE_TOLERANCE_M = 2e-5
_SLOPE_M = 1e-3


def ranged(default: float, low: float, high: float) -> Any:
    """Make a field of a vessel: its default, and the range that it may have and is drawn from."""
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True)
class Vessel(ABC):
    """A piece of crockery in numbers. It stands with its origin on the table; a handle points along +x.

    Attributes:
        decorated: the sides of the body that patterns are painted on, "outside" or "inside".
        like_the_body: the numbers of the other parts that have the body's colour.
    """

    decorated: ClassVar[tuple[str, ...]] = ("outside",)
    like_the_body: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        tidy(self)
        for name, (low, high) in self.ranges().items():
            check_number(type(self).__name__.lower(), name, getattr(self, name), low, high)

    @classmethod
    def ranges(cls) -> dict[str, tuple[float, float]]:
        """The range of every number. Any numbers within them make a whole vessel."""
        return {f.name: f.metadata["range"] for f in fields(cls)}

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float = 1.0) -> Self:
        """Draw each number uniformly: at strength 1 from its range, at less from as much less about the default."""
        usual = cls()
        at = {name: low + (high - low) * rng.random() for name, (low, high) in cls.ranges().items()}
        return cls(**{name: (1.0 - strength) * getattr(usual, name) + strength * value for name, value in at.items()})

    @abstractmethod
    def parts(self, detail: Resolution) -> tuple[Part, ...]:
        """List the parts, the turned body first, from which meshes and bodies for collisions are made."""

    def mesh(self, detail: Resolution) -> Mesh:
        """Make the mesh: the closed surfaces of all parts."""
        return merged([part.mesh() for part in self.parts(detail)])

    @property
    def turned(self) -> bool:
        """True if all of it is turned about the vertical."""
        return all(part.path is None for part in self.parts(_COARSE))


_COARSE = Resolution(sides=8, tolerance_m=0.0025, tube_sides=4, tube_step_m=0.05)


def turned(outline: list[Corner], tolerance_m: float, sides: int) -> Part:
    """Revolve an outline about the vertical."""
    return Part(rounded_profile(outline, tolerance_m), sides)


def bar(detail: Resolution, radius_m: float, path: tuple[tuple[float, float], ...]) -> Part:
    """Make a round bar with flat ends along a Bezier curve in the xz plane, metres."""
    axis = Path(np.array(path))
    end_m = axis.length_m()
    outline = [Corner(0.0, 0.0), Corner(radius_m, 0.0), Corner(radius_m, end_m), Corner(0.0, end_m)]
    profile = subdivided(rounded_profile(outline, detail.tolerance_m), detail.tube_step_m)
    return Part(profile, detail.tube_sides, axis)


def underside(radius_m: float, depth_m: float, detail: Resolution) -> list[Corner]:
    """The bottom inside the foot ring: hollow for display, flat where nobody would see the difference."""
    if depth_m > 2.0 * detail.tolerance_m:
        return [Corner(0.0, depth_m), Corner(radius_m - depth_m, depth_m), Corner(radius_m, 0.0)]
    return [Corner(0.0, 0.0)]


class Wall:
    """The outside of a turned body, where handles are fixed.

    Args:
        outline: the corners of the body, as given to `turned`.
    """

    def __init__(self, outline: list[Corner]) -> None:
        points = rounded_profile(outline, _OUTLINE_TOLERANCE_M).points_m
        top = int(points[:, 1].argmax())
        foot = int(np.flatnonzero(points[: top + 1, 1] <= points[: top + 1, 1].min())[-1])
        self._outside = points[foot : top + 1]

    def radius_m(self, height_m: float) -> float:
        """The outer radius at a height."""
        return float(np.interp(height_m, self._outside[:, 1], self._outside[:, 0]))

    def normal(self, height_m: float) -> Floats:
        """The unit outward normal (radius, height) at a height."""
        rise = self.radius_m(height_m + _SLOPE_M) - self.radius_m(height_m - _SLOPE_M)
        across = np.array([2.0 * _SLOPE_M, -rise])
        return np.asarray(across / np.linalg.norm(across))
