"""Measures symmetries: how far a rotation moves a surface off itself, and how much the colours there differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.objects.nearest import Skin, Surface, closest_weights, face_normals, spread_points
from air3d.scene3d.own_kinds import MAX_YAW_ORDER
from air3d.scene3d.symmetry import Symmetry

# The colours (P, 3), sRGB in [0, 1], at triangles (P,) and barycentric coordinates (P, 3).
ColourAt = Callable[[Ints, Floats], Floats]

# Shares of the object's size. A round body of 16 sides is off by 2 % of its radius, 1 % of its size, after half a side.
HOLDS, DOUBTFUL = 0.02, 0.04
# A symmetry is found if it holds and 99 % of the surface is off by no more than this: the rim of a scan is not even.
_FOUND = 0.01
# Scanners leave highlights on the surface: of YCB's plain plate and bowl 95 % of the patches differ by less than 0.11,
# and none by more than 0.25, whichever way they are turned; of its printed tins and boxes 95 % by 0.26 to 0.62.
SAME_COLOUR, _WORST_COLOUR = 0.12, 0.3
_PATCH = 0.06  # radius of a patch, as a share of the size
_PATCHES = 300
_POINTS = 3000
# No low number of these angles fits a polygon of few sides by chance: multiples of the golden angle.
_ANY_TURNS_RAD = tuple(k * np.pi * (3.0 - np.sqrt(5.0)) for k in range(1, 6))
# Nor do these about any axis.
_ANY_AXES = np.array([[0.3, 0.5, 0.8], [-0.7, 0.2, 0.4], [0.9, -0.4, 0.1], [0.1, 0.8, -0.6]])


class TurnCheck(NamedTuple):
    """Says how well a symmetry holds.

    Attributes:
        error_m: the farthest that a point of the surface, turned, lies from the surface (a Hausdorff distance).
        share: that distance over the object's largest extent.
        most: the share that 99 % of the points do not exceed.
        colour: how much the colours of patches differ that come to lie on each other, from 0 to 1: that which 95 % of
            them do not exceed, or a share of the largest difference, if that is more.
        turn_rad: the turn that moves it so far; 0 if it is not about the z axis.
    """

    error_m: float
    share: float
    most: float = 0.0
    colour: float = 0.0
    turn_rad: float = 0.0


class Turns:
    """The rotations of a surface (F, 3, 3), in metres, whose axis is z.

    Args:
        colour_at: its colours; None if it has one.
    """

    def __init__(self, corners: Floats, colour_at: ColourAt | None = None) -> None:
        self._surface = Surface(corners)
        self._size_m = float(np.ptp(corners.reshape(-1, 3), axis=0).max())
        self._height_m = float(corners[..., 2].max())
        spread, face = spread_points(corners, _POINTS)
        points = np.unique(np.concatenate([corners.reshape(-1, 3), spread]).round(6), axis=0)
        self._points = points[:: len(points) // (2 * _POINTS) + 1] if len(points) > 2 * _POINTS else points
        self._colour_at = colour_at
        if colour_at is not None:
            some = slice(None, None, len(spread) // (4 * _POINTS) + 1)
            self._places, face = spread[some], face[some]
            self._normals = face_normals(corners)[face]
            self._colours = colour_at(face, closest_weights(corners[face], self._places))
            self._skin = Skin(corners, 0.01 * self._size_m)
            radius_m = _PATCH * self._size_m
            # The two sides of a wall are two patches.
            sided = np.concatenate([self._places, radius_m * self._normals], axis=1)
            self._patches = cKDTree(sided).query_ball_point(sided[:: len(sided) // _PATCHES + 1], radius_m)

    def check(self, symmetry: Symmetry) -> TurnCheck:
        """Check how well a symmetry about z holds; 0 means none."""
        if symmetry.continuous_yaw:
            return max(map(self._turn, _ANY_TURNS_RAD))
        if symmetry.yaw_order == 1:
            return TurnCheck(0.0, 0.0)
        return self._turn(2.0 * np.pi / symmetry.yaw_order)

    def best(self) -> Symmetry:
        """Find the richest symmetry that clearly holds, of shape and colours: about z first, then about other axes."""
        order = next((n for n in (0, *range(MAX_YAW_ORDER // 3, 1, -1)) if self._holds(self.check(Symmetry(n)))), 1)
        centre = np.array([0.0, 0.0, self._height_m / 2.0])
        if order == 0 and all(self._holds(self._rotated(_about(axis, 2.4), centre)) for axis in _ANY_AXES):
            return Symmetry(yaw_order=0, spherical=True)
        groups = {"octahedral": order == 4, "dihedral2": order % 2 == 0}
        for group in (name for name, possible in groups.items() if possible):
            found = Symmetry(yaw_order=order, group=group)
            if all(self._holds(self._rotated(turn, centre)) for turn in found.rotations()[1:]):
                return found
        return Symmetry(yaw_order=order)

    def _holds(self, found: TurnCheck) -> bool:
        return found.share <= HOLDS and found.most <= _FOUND and found.colour <= SAME_COLOUR

    def _turn(self, angle_rad: float) -> TurnCheck:
        return self._rotated(_about(np.array([0.0, 0.0, 1.0]), angle_rad), np.zeros(3))._replace(turn_rad=angle_rad)

    def _rotated(self, turn: Floats, centre: Floats) -> TurnCheck:
        off_m = self._surface.nearest((self._points - centre) @ turn.T + centre).distance_m
        error_m, most_m = (float(value) for value in np.quantile(off_m, (1.0, 0.99)))
        found = TurnCheck(error_m, error_m / self._size_m, most_m / self._size_m)
        if self._colour_at is None or found.share > DOUBTFUL:
            return found
        face, weights = self._skin.match((self._places - centre) @ turn.T + centre, self._normals @ turn.T)
        difference = self._colour_at(face, weights) - self._colours
        apart = [float(np.abs(difference[patch].mean(axis=0)).max()) for patch in self._patches]
        usual, worst = np.quantile(apart, (0.95, 1.0))
        return found._replace(colour=max(float(usual), float(worst) * SAME_COLOUR / _WORST_COLOUR))


def _about(axis: Floats, angle_rad: float) -> Floats:
    return Rotation.from_rotvec(angle_rad * axis / np.linalg.norm(axis)).as_matrix()
