"""Poses: where an object's origin stands in the world, metres, and how it is turned.

A rotation is a unit quaternion (w, x, y, z), object to world. q and -q are the same rotation; those made here have
w >= 0. An object is upright where its tilt is 0: then its yaw says all of its rotation. All functions take arrays of
any batch shape (...).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from air3d.scene3d.arguments import check_vector
from air3d.scene3d.arrays import Floats
from air3d.scene3d.errors import InputError, shown

Quaternion = tuple[float, float, float, float]

# How far the length of a rotation's quaternion may be from 1.
UNIT = 1e-6
# From here on a tilt is no rounding error; heights are compared with the same number of metres.
UPRIGHT = 1e-6


def unit_quaternion(owner: str, value: tuple[float, ...]) -> Quaternion:
    """Make a quaternion that is a unit one up to 1e-6 exactly that, with w >= 0; what is so already keeps every bit.

    Raises:
        InputError: for anything else.
    """
    check_vector(owner, "rotation_wxyz", value, -2.0, 2.0, length=4)
    norm = math.hypot(*value)
    if abs(norm - 1.0) > UNIT:
        raise InputError(f"{owner}: rotation_wxyz is {shown(value)}, of length {norm:.6g}; give a unit quaternion")
    # Once divided it is nearer to 1 than this, so it is never divided twice.
    divisor = norm if abs(norm - 1.0) > 1e-15 else 1.0
    w, x, y, z = (part / (-divisor if value[0] < 0.0 else divisor) for part in value)
    return w, x, y, z


def unit(rotation_wxyz: Floats) -> Floats:
    """Divide quaternions (..., 4) by their lengths, and turn their signs so that w >= 0."""
    length = np.linalg.norm(rotation_wxyz, axis=-1, keepdims=True)
    return np.asarray(rotation_wxyz / np.where(rotation_wxyz[..., :1] < 0.0, -length, length))


def about_z(angle_rad: float) -> Floats:
    """The rotation (3, 3) about z, counter-clockwise seen from above."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def yawed(yaw_rad: ArrayLike) -> Floats:
    """The rotations (..., 4) of upright objects, turned about z by `yaw_rad` (...), counter-clockwise from above."""
    half = np.asarray(yaw_rad, dtype=np.float64) / 2.0
    rotation = np.zeros((*half.shape, 4))
    w = np.cos(half)
    rotation[..., 0], rotation[..., 3] = abs(w), np.copysign(1.0, w) * np.sin(half)
    return rotation


def product(a: Floats, b: Floats) -> Floats:
    """The quaternions (..., 4) of first `b`, then `a`."""
    aw, ax, ay, az = (a[..., i] for i in range(4))
    bw, bx, by, bz = (b[..., i] for i in range(4))
    parts = (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
    return np.stack(parts, axis=-1)


def turned(position_m: Floats, rotation_wxyz: Floats, angle_rad: Floats) -> tuple[Floats, Floats]:
    """Turn poses, (..., 3) and (..., 4), about the world's vertical by angles (...), counter-clockwise from above."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    x, y, z = (position_m[..., i] for i in range(3))
    return np.stack([c * x - s * y, s * x + c * y, z], axis=-1), unit(product(yawed(angle_rad), rotation_wxyz))


def yaw_of(rotation_wxyz: Floats) -> Floats:
    """The yaws (...) in [-pi, pi]: of a tilted object, that of the upright rotation nearest to its own.

    It is the angle of the twist about z (Dobrowolski, "Swing-twist decomposition in Clifford algebra", 2015), and 0 for
    half turns about a horizontal axis, which have no nearest one.
    """
    sign = np.copysign(1.0, rotation_wxyz[..., 0])
    return np.asarray(2.0 * np.arctan2(sign * rotation_wxyz[..., 3], sign * rotation_wxyz[..., 0]))


def tilt_of(rotation_wxyz: Floats) -> Floats:
    """The angles (...) in [0, pi] between the objects' own z axes and the world's."""
    w, x, y, z = (rotation_wxyz[..., i] for i in range(4))
    return np.asarray(2.0 * np.arctan2(np.hypot(x, y), np.hypot(w, z)))


def on_table(place_m: ArrayLike) -> Floats:
    """The positions (..., 3) of places x, y (..., 2) on the plane z = 0."""
    place = np.asarray(place_m, dtype=np.float64)
    return np.concatenate([place, np.zeros((*place.shape[:-1], 1))], axis=-1)


def frames_of(position_m: ArrayLike, rotation_wxyz: ArrayLike) -> Floats:
    """The poses as matrices (..., 4, 4), object to world."""
    q = np.asarray(rotation_wxyz, dtype=np.float64)
    w, x, y, z = (q[..., i] for i in range(4))
    frames, dz, dwz = np.zeros((*q.shape[:-1], 4, 4)), 2.0 * z, 2.0 * w * z
    frames[..., 0, 0] = frames[..., 1, 1] = 1.0 - dz * z
    frames[..., 1, 0], frames[..., 0, 1] = dwz, -dwz
    frames[..., 2, 2] = frames[..., 3, 3] = 1.0
    frames[..., :3, 3] = position_m
    if q[..., 1:3].any():  # most batches are upright, and done in a third of the time
        dx, dy = 2.0 * x, 2.0 * y
        frames[..., 0, 0] -= dy * y
        frames[..., 1, 1] -= dx * x
        frames[..., 2, 2] -= dx * x + dy * y
        frames[..., 0, 1] += dx * y
        frames[..., 1, 0] += dx * y
        frames[..., 0, 2], frames[..., 2, 0] = dz * x + dy * w, dz * x - dy * w
        frames[..., 1, 2], frames[..., 2, 1] = dz * y - dx * w, dz * y + dx * w
    return frames
