"""Rotational symmetries of a kind, in the form that BOP pose metrics use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.errors import InputError


@dataclass(frozen=True)
class Symmetry:
    """The proper rotations about the object's origin that leave its look unchanged.

    Attributes:
        yaw_order: the number of rotations about the vertical z axis that leave an upright object
            unchanged; 0 means every angle (continuous symmetry about z).
        group: the name of the full discrete rotation group in the body frame: "trivial" (identity
            only), "dihedral2" (half turns about x, y, z) or "octahedral" (a cube's 24 rotations).
        spherical: True if every rotation about every axis leaves the object unchanged.
    """

    yaw_order: int = 1
    group: str = "trivial"
    spherical: bool = False

    def __post_init__(self) -> None:
        if self.yaw_order < 0:
            raise InputError(f"symmetry: yaw_order is {self.yaw_order}; use 0 (continuous) or a positive order")
        if self.group not in _GROUPS:
            raise InputError(f"symmetry: unknown group '{self.group}'; use one of {', '.join(_GROUPS)}")

    @property
    def continuous_yaw(self) -> bool:
        """True if turning the object about z by any angle changes nothing."""
        return self.yaw_order == 0 or self.spherical

    def rotations(self) -> NDArray[np.float64]:
        """The discrete rotations of the group, shape (G, 3, 3), identity first."""
        return _group_rotations(self.group).copy()

    def yaw_error_rad(self, a_rad: NDArray[np.float64], b_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the smallest absolute angle between two yaws modulo the symmetry, element by element.

        Args:
            a_rad, b_rad: the yaws in radians, of broadcastable shapes.

        Returns:
            Radians in [0, pi / yaw_order]; zeros where the yaw symmetry is continuous.
        """
        difference = np.asarray(a_rad, dtype=np.float64) - np.asarray(b_rad, dtype=np.float64)
        if self.continuous_yaw:
            return np.zeros_like(difference)
        period = 2.0 * np.pi / self.yaw_order
        return np.abs((difference + period / 2.0) % period - period / 2.0)

    def rotation_error_rad(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the smallest angle in SO(3) between two rotations modulo the symmetry, element by element.

        It is the least over S of the angle of (a S)^T b, where S runs over the turns about z combined with the discrete
        group. Over a continuous turn by t the trace of Rz(-t) N is greatest at N22 + hypot(N00 + N11, N10 - N01).

        Args:
            a, b: object to world, (..., 3, 3), of broadcastable shapes.

        Returns:
            Radians in [0, pi], (...).
        """
        relative = np.swapaxes(np.asarray(a, dtype=np.float64), -1, -2) @ np.asarray(b, dtype=np.float64)
        if self.spherical:
            return np.zeros(relative.shape[:-2])
        turned = relative[..., None, :, :] @ np.swapaxes(self.rotations(), -1, -2)
        across = turned[..., 0, 0] + turned[..., 1, 1]
        along = turned[..., 1, 0] - turned[..., 0, 1]
        if self.yaw_order == 0:
            most = np.hypot(across, along)
        else:
            angle = 2.0 * np.pi / self.yaw_order * np.arange(self.yaw_order)
            most = (np.cos(angle) * across[..., None] + np.sin(angle) * along[..., None]).max(axis=-1)
        trace = (most + turned[..., 2, 2]).max(axis=-1)
        # Half angles: the arc cosine loses small ones.
        return np.asarray(2.0 * np.arcsin(np.clip(np.sqrt(np.maximum(3.0 - trace, 0.0)) / 2.0, 0.0, 1.0)))


_GROUPS = ("trivial", "dihedral2", "octahedral")


@cache
def _group_rotations(group: str) -> NDArray[np.float64]:
    if group == "trivial":
        return np.eye(3)[None]
    signs = [np.diag(row) for row in product((1.0, -1.0), repeat=3)]
    orders = permutations(range(3)) if group == "octahedral" else [(0, 1, 2)]
    signed = (sign @ np.eye(3)[list(order)] + 0.0 for order in orders for sign in signs)
    return np.stack([matrix for matrix in signed if np.linalg.det(matrix) > 0.0])
