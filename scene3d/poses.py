"""Poses as matrices: (4, 4) rigid motions from an object's frame to the world, metres."""

from __future__ import annotations

import math

import numpy as np

from air3d.scene3d.arrays import Floats


def about_z(angle_rad: float) -> Floats:
    """The rotation (3, 3) about z, counter-clockwise seen from above."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def upright(x_m: float, y_m: float, yaw_rad: float) -> Floats:
    """The pose (4, 4) of an object that stands upright on the plane z = 0."""
    pose = np.eye(4)
    pose[:3, :3] = about_z(yaw_rad)
    pose[:2, 3] = x_m, y_m
    return pose
