"""Meshes of MuJoCo's primitive geoms, and where its textures lie on a geom.

The rules are those of MuJoCo's renderer, found out from pictures whose colours are their coordinates: a 2D texture lies
on each face of a box and around what is round; on a mesh without coordinates it is seen along z. A cube texture is
looked up by direction, as OpenGL lays it down (version 4.6, section 8.13).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from air3d.scene3d.arrays import Floats, Ints

_SIDES, _RINGS = 48, 24
_SQUARE_M = 1.0  # of planes, so that what is far can be left out
_CUTS = 3  # times that a triangle is halved where it shows several sides of a cube texture
# Of each side of a cube texture, in the order of its files: the axis, its sign, and (axis, sign) along u and along v.
_CUBE = (
    (0, 1, (2, -1), (1, 1)), (0, -1, (2, 1), (1, 1)), (1, 1, (0, 1), (2, -1)),
    (1, -1, (0, 1), (2, 1)), (2, 1, (0, 1), (1, 1)), (2, -1, (0, -1), (1, 1)),
)  # fmt: skip


class Patches(NamedTuple):
    """Triangles of a geom in its own frame: corners (F, 3, 3), metres; coordinates of a 2D texture (F, 3, 2), v up."""

    corners: Floats
    uvs: Floats


def box(size: Floats) -> Patches:
    """Make a box of half sides (3,); on each face u runs along x (or y), v along z (or y)."""
    square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    corners, uvs = [], []
    for across, u, v in ((2, 0, 1), (1, 0, 2), (0, 1, 2)):
        for side in (-1.0, 1.0):
            quad = np.full((4, 3), side)
            quad[:, u], quad[:, v] = square.T
            # x, y, z and y, z, x are right-handed, x, z, y is not.
            order = np.array([0, 1, 2, 3] if (side > 0.0) == (across != 1) else [3, 2, 1, 0])
            for k in ([0, 1, 2], [0, 2, 3]):
                corners.append(quad[order[k]])
                uvs.append((square[order[k]] + 1.0) / 2.0)
    return Patches(np.array(corners) * size, np.array(uvs))


def ellipsoid(size: Floats) -> Patches:
    """Make an ellipsoid of half axes (3,)."""
    angle = np.linspace(-np.pi / 2.0, np.pi / 2.0, _RINGS + 1)
    radius = np.cos(angle)
    radius[[0, -1]] = 0.0
    return _revolved(np.stack([radius, np.sin(angle), angle / np.pi + 0.5], axis=1), size)


def cylinder(size: Floats) -> Patches:
    """Make a cylinder of radius and half height (2,) about z; on its ends the picture is seen from above."""
    whole = np.array([size[0], size[0], size[1]])
    body = _revolved(np.array([[1.0, -1.0, 0.0], [1.0, 1.0, 1.0]]), whole)
    bottom = _revolved(np.array([[0.0, -1.0, 0.0], [1.0, -1.0, 0.0]]), whole)
    top = _revolved(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]), whole)
    ends = np.concatenate([bottom.corners, top.corners])
    seen = 0.5 + ends[..., :2] * [0.5, -0.5] / size[0]
    return Patches(np.concatenate([body.corners, ends]), np.concatenate([body.uvs, seen]))


def capsule(size: Floats) -> Patches:
    """Make a capsule of radius and half length (2,) about z."""
    angle = np.linspace(0.0, np.pi / 2.0, _RINGS // 2 + 1)
    radius, z = size[0] * np.cos(angle), size[1] + size[0] * np.sin(angle)
    radius[-1] = 0.0
    half = np.stack([radius, z, 0.5 + 0.5 * z / z[-1]], axis=1)
    return _revolved(np.concatenate([half[::-1] * [1.0, -1.0, -1.0] + [0.0, 0.0, 1.0], half]), np.ones(3))


def plane(size: Floats, middle: Floats, reach_m: float) -> Floats:
    """Make a plane z = 0 of half sides (2 or more,), 0 for endless ones, as squares: triangles (F, 3, 3).

    Args:
        middle: (2,), the point of the plane that it must reach around.
        reach_m: how far it is made, along x and y.
    """
    low, high = plane_ends(size, middle, reach_m)
    if (high <= low).any():
        return np.zeros((0, 3, 3))
    count = np.ceil((high - low) / _SQUARE_M).astype(int)
    x, y = (np.linspace(*ends) for ends in zip(low, high, count + 1, strict=True))
    return _grid(x, y, np.zeros((len(y), len(x))))


def plane_ends(size: Floats, middle: Floats, reach_m: float) -> tuple[Floats, Floats]:
    """The least and greatest x and y, each (2,), of a plane that is made as `plane` makes it."""
    half = np.where(size[:2] > 0.0, size[:2], np.inf)
    return np.maximum(-half, middle - reach_m), np.minimum(half, middle + reach_m)


def height_field(heights: Floats, size: Floats) -> Floats:
    """Make triangles (F, 3, 3) of heights (R, C) from 0 to 1; size (4,): half sides along x, y, the top, the base."""
    rows, columns = heights.shape
    x, y = np.linspace(-size[0], size[0], columns), np.linspace(-size[1], size[1], rows)
    return _grid(x, y, size[2] * heights)


def _grid(x: Floats, y: Floats, z: Floats) -> Floats:
    """Triangles (F, 3, 3), seen from above, over a grid of columns x (C,) and rows y (R,) with heights z (R, C)."""
    points = np.stack([*np.meshgrid(x, y), z], axis=-1)
    a, b, c, d = (p.reshape(-1, 3) for p in (points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]))
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def seen_along_z(corners: Floats, repeat: Floats) -> Floats:
    """Compute coordinates (F, 3, 2) of a 2D texture on a mesh without any; `repeat` (2,) is per two metres."""
    return np.asarray(0.5 + 0.5 * corners[..., :2] * repeat)


def cube_sides(corners: Floats, stretch: Floats) -> tuple[Floats, Ints, Floats]:
    """Look a cube texture up by the directions from the geom's middle, stretched along its axes by (3,).

    Triangles (F, 3, 3) that show several sides are cut into smaller ones.

    Returns:
        the triangles (G, 3, 3), the side (G,) that each shows, and its coordinates (G, 3, 2) there.
    """
    for _ in range(_CUTS):
        across = np.ptp(_side(corners * stretch), axis=1) > 0
        a, b, c = corners[across].transpose(1, 0, 2)
        ab, bc, ca = (a + b) / 2.0, (b + c) / 2.0, (c + a) / 2.0
        four = [np.stack(three, axis=1) for three in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        corners = np.concatenate([corners[~across], *four])
    directions = corners * stretch
    side = _side(directions.mean(axis=1))
    uvs = np.zeros((len(corners), 3, 2))
    for k, (main, sign, *along) in enumerate(_CUBE):
        own = directions[side == k]
        # A corner beyond the edge of the triangle's side is near it.
        depth = np.maximum(sign * own[..., main], 1e-3 * np.abs(own).max(axis=-1) + 1e-12)
        for column, (axis, turn) in enumerate(along):
            uvs[side == k, :, column] = 0.5 + 0.5 * np.clip(turn * own[..., axis] / depth, -1.0, 1.0)
    return corners, side, uvs


def _side(directions: Floats) -> Ints:
    """The number of the side that directions (..., 3) meet."""
    axis = np.abs(directions).round(9).argmax(axis=-1)
    return 2 * axis + (np.take_along_axis(directions, axis[..., None], axis=-1)[..., 0] < 0.0)


def _revolved(profile: Floats, size: Floats) -> Patches:
    """Revolve rows of radius, height and v, from the bottom up, about z, scaled by (3,); u runs once around from +x."""
    u = np.arange(_SIDES + 1) / _SIDES
    turn = 2.0 * np.pi * (np.arange(_SIDES + 1) % _SIDES) / _SIDES
    radius, z, v = (np.repeat(column[:, None], _SIDES + 1, axis=1) for column in profile.T)
    grid = np.stack([radius * np.cos(turn), radius * np.sin(turn), z, np.broadcast_to(u, z.shape), v], axis=-1)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    found = np.concatenate([np.stack(three, axis=2).reshape(-1, 3, 5) for three in ((a, b, c), (a, c, d))])
    cross = np.cross(found[:, 1, :3] - found[:, 0, :3], found[:, 2, :3] - found[:, 0, :3])
    found = found[np.linalg.norm(cross, axis=1) > 1e-12]
    return Patches(found[..., :3] * size, found[..., 3:])
