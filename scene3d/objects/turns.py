"""Measures symmetries about the vertical axis: how far a turn moves a mesh's surface off itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from air3d.scene3d.arrays import Floats
from air3d.scene3d.objects.nearest import Surface, spread_points
from air3d.scene3d.own_kinds import MAX_YAW_ORDER
from air3d.scene3d.symmetry import Symmetry

# Shares of the object's size. A round body of 16 sides is off by 2 % of its radius, 1 % of its size, after half a side.
HOLDS, DOUBTFUL = 0.02, 0.04
_SUGGESTED = 0.01
_POINTS = 3000
# No low number of these angles fits a polygon of few sides by chance: multiples of the golden angle.
_ANY_TURNS_RAD = tuple(k * np.pi * (3.0 - np.sqrt(5.0)) for k in range(1, 6))


class TurnCheck(NamedTuple):
    """Says how well a symmetry holds.

    Attributes:
        error_m: the farthest that a point of the surface, turned, lies from the surface (a Hausdorff distance).
        share: that distance over the object's largest extent.
        turn_rad: the turn that moves it so far.
    """

    error_m: float
    share: float
    turn_rad: float


class Turns:
    """The turns about the z axis of a surface (F, 3, 3), in metres."""

    def __init__(self, corners: Floats) -> None:
        self._surface = Surface(corners)
        self._size_m = float(np.ptp(corners.reshape(-1, 3), axis=0).max())
        points = np.concatenate([corners.reshape(-1, 3), spread_points(corners, _POINTS)[0]])
        self._points = np.unique(points.round(6), axis=0)
        if len(self._points) > 2 * _POINTS:
            self._points = self._points[:: len(self._points) // (2 * _POINTS) + 1]

    def check(self, symmetry: Symmetry) -> TurnCheck:
        """Check how well a symmetry about z holds; 0 means none."""
        if symmetry.continuous_yaw:
            return max(map(self._turn, _ANY_TURNS_RAD))
        return TurnCheck(0.0, 0.0, 0.0) if symmetry.yaw_order == 1 else self._turn(2.0 * np.pi / symmetry.yaw_order)

    def best(self) -> Symmetry:
        """Find the richest symmetry that clearly holds."""
        for order in (0, *range(MAX_YAW_ORDER // 3, 1, -1)):
            if self.check(Symmetry(yaw_order=order)).share <= _SUGGESTED:
                return Symmetry(yaw_order=order)
        return Symmetry()

    def _turn(self, angle_rad: float) -> TurnCheck:
        c, s = np.cos(angle_rad), np.sin(angle_rad)
        turned = self._points @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]).T
        error_m = float(self._surface.nearest(turned).distance_m.max())
        return TurnCheck(error_m, error_m / self._size_m, float(angle_rad))
