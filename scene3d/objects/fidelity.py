"""Measures how far a coarse mesh strays from the surface that it stands for: outlines and colours, seen from around."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from air3d.scene3d.arrays import Bools, Floats, Ints, Pixels
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.objects.atlas import texels
from air3d.scene3d.objects.indexed import Indexed
from air3d.scene3d.objects.skin import coloured

_SIDE = 128  # pixels of a picture across the object's diagonal
_VIEWS = [(math.radians(45.0 * k), math.radians(25.0 if k % 2 else 55.0)) for k in range(8)]


class Fidelity(NamedTuple):
    """The comparison of eight parallel projections from above, 25 and 55 degrees high, 128 pixels wide.

    Attributes:
        iou: the mean over the views of the outlines' intersection over their union.
        least_iou: the least of them.
        colour: the mean absolute difference of the unlit colours where both are seen, as a share of the full scale.
    """

    iou: float
    least_iou: float
    colour: float


def fidelity(whole: Indexed, texture: Pixels | None, coarse: Mesh, coarse_texture: Pixels | None) -> Fidelity:
    """Compare a mesh with the surface; without textures colours are the same."""
    corners = coarse.positions_m[coarse.faces]
    values = None if coarse.uvs is None else coarse.uvs[coarse.faces]
    scale = 0.98 * _SIDE / float(np.linalg.norm(np.ptp(whole.corners.reshape(-1, 3), axis=0)))
    middle = (whole.corners.min(axis=(0, 1)) + whole.corners.max(axis=(0, 1))) / 2.0
    ious, differences = [], [0.0]
    for azimuth, elevation in _VIEWS:
        turn = scale * _seen_from(azimuth, elevation)
        (first, face, at), (second, other, there) = (_drawn((c - middle) @ turn.T) for c in (whole.corners, corners))
        both = first & second
        ious.append(both.sum() / max((first | second).sum(), 1))
        if texture is None or coarse_texture is None or whole.values is None or values is None:
            continue
        if both.any():
            here = coloured(texture, whole.values, face[both], at[both]).astype(np.float64)
            differences.append(float(np.abs(here - coloured(coarse_texture, values, other[both], there[both])).mean()))
    colour = sum(differences) / (255.0 * max(len(differences) - 1, 1))
    return Fidelity(float(np.mean(ious)), float(min(ious)), colour)


def _seen_from(azimuth: float, elevation: float) -> Floats:
    """The rotation (3, 3) to x right, y up, z towards the eye."""
    c, s = math.cos(azimuth), math.sin(azimuth)
    back = np.array([math.cos(elevation) * c, math.cos(elevation) * s, math.sin(elevation)])
    right = np.array([-s, c, 0.0])
    return np.stack([right, np.cross(back, right), back])


def _drawn(seen: Floats) -> tuple[Bools, Ints, Floats]:
    """Draw triangles (F, 3, 3), in pixels: which pixels they cover, by which triangle, and where in it."""
    mask = np.zeros(_SIDE * _SIDE, dtype=bool)
    face, weights, depth = np.zeros(len(mask), np.int64), np.zeros((len(mask), 3)), np.full(len(mask), -np.inf)
    for triangle, x, y, at in texels(seen[..., :2] + _SIDE / 2.0):
        inside = (x >= 0) & (x < _SIDE) & (y >= 0) & (y < _SIDE)
        triangle, at, pixel = triangle[inside], at[inside], (y * _SIDE + x)[inside]
        height = np.einsum("pk,pk->p", at, seen[triangle, :, 2])
        order = np.lexsort([height, pixel])
        last = order[np.flatnonzero(np.diff(pixel[order], append=-1))]
        nearer = last[height[last] > depth[pixel[last]]]
        where = pixel[nearer]
        mask[where], face[where], weights[where], depth[where] = True, triangle[nearer], at[nearer], height[nearer]
    return mask, face, weights
