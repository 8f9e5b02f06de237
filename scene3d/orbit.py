"""Orbits: upright cameras on spheres around the points that they look at, one way to make a `Camera`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from air3d.scene3d.arguments import MAX_LENGTH_M, Vec3, check_number, check_vector, tidy
from air3d.scene3d.arrays import Floats
from air3d.scene3d.camera import Camera
from air3d.scene3d.poses import Quaternion


@dataclass(frozen=True)
class Orbit:
    """A camera on a sphere around `look_at_m`, upright.

    The eye is at look_at + distance * (cos el cos az, cos el sin az, sin el).

    Attributes:
        azimuth_rad: the angle of the eye about the vertical axis, counter-clockwise seen from above, from world +x.
        elevation_rad: the angle of the eye above the horizontal plane, below pi/2.
        distance_m: the distance from the eye to `look_at_m`.
        look_at_m: the world point in the centre of the image, metres.
        fovy_rad: the vertical field of view.
    """

    azimuth_rad: float = -math.pi / 2
    elevation_rad: float = math.radians(40.0)
    distance_m: float = 1.0
    look_at_m: Vec3 = (0.0, 0.0, 0.0)
    fovy_rad: float = math.radians(40.0)

    def __post_init__(self) -> None:
        tidy(self)
        check_number("camera", "azimuth_rad", self.azimuth_rad, -100.0, 100.0)
        # Straight down leaves the image's up direction undefined.
        check_number("camera", "elevation_rad", self.elevation_rad, math.radians(-89.0), math.radians(89.0))
        check_number("camera", "distance_m", self.distance_m, 0.05, MAX_LENGTH_M)
        check_vector("camera", "look_at_m", self.look_at_m, -MAX_LENGTH_M, MAX_LENGTH_M)
        check_number("camera", "fovy_rad", self.fovy_rad, math.radians(1.0), math.radians(150.0))

    @property
    def rotation_wxyz(self) -> Quaternion:
        """The eye's rotation, camera to world, axes as in `Camera.frame`: a turn about x, then one about z."""
        turn, raised = (self.azimuth_rad + math.pi / 2.0) / 2.0, (math.pi / 2.0 - self.elevation_rad) / 2.0
        c, s = math.cos(turn), math.sin(turn)
        if c < 0.0:
            c, s = -c, -s
        return c * math.cos(raised), c * math.sin(raised), s * math.sin(raised), s * math.cos(raised)

    @property
    def eye_m(self) -> Vec3:
        """Where the eye is in the world, metres."""
        flat, (x, y, z) = self.distance_m * math.cos(self.elevation_rad), self.look_at_m
        return (
            x + flat * math.cos(self.azimuth_rad),
            y + flat * math.sin(self.azimuth_rad),
            z + self.distance_m * math.sin(self.elevation_rad),
        )

    def sized(self, width: int, height: int) -> Camera:
        """The camera whose images have this size, pixels."""
        orbit = ([value] for value in (self.azimuth_rad, self.elevation_rad, self.distance_m, self.look_at_m))
        return Camera.pinhole(orbit_frames(*orbit)[0], height / 2.0 / math.tan(self.fovy_rad / 2.0), width, height)


def orbit_frames(
    azimuth_rad: ArrayLike, elevation_rad: ArrayLike, distance_m: ArrayLike, look_at_m: ArrayLike
) -> Floats:
    """The frames of upright cameras on spheres around the points that they look at.

    Args:
        azimuth_rad, elevation_rad, distance_m: (B,).
        look_at_m: (B, 3).

    Returns:
        (B, 4, 4), as in `Camera.frame`; the last column is the eye in world metres.
    """
    az, el = np.asarray(azimuth_rad, dtype=np.float64), np.asarray(elevation_rad, dtype=np.float64)
    ca, sa, ce, se = np.cos(az), np.sin(az), np.cos(el), np.sin(el)
    frames = np.zeros((*az.shape, 4, 4))
    # Columns: right, up, backward, eye.
    frames[..., 0, 0], frames[..., 1, 0] = -sa, ca
    frames[..., 0, 1], frames[..., 1, 1], frames[..., 2, 1] = -se * ca, -se * sa, ce
    frames[..., 0, 2], frames[..., 1, 2], frames[..., 2, 2] = ce * ca, ce * sa, se
    frames[..., :3, 3] = np.asarray(look_at_m) + np.asarray(distance_m)[..., None] * frames[..., :3, 2]
    frames[..., 3, 3] = 1.0
    return frames
