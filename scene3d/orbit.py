"""Orbits: cameras on spheres around points on their optical axes. Every perspective camera is one (`Orbit.of`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from air3d.scene3d.arguments import MAX_LENGTH_M, Vec3, check_number, check_vector, tidy
from air3d.scene3d.arrays import Floats
from air3d.scene3d.camera import Camera
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError
from air3d.scene3d.poses import Quaternion

Vec2 = tuple[float, float]

NEAREST_M = 0.05
# A camera whose right is this level, or that looks this straight down, is taken for one that is.
_LEVEL = 1e-12


@dataclass(frozen=True)
class Orbit:
    """A camera on a sphere around `look_at_m`, upright unless it is rolled.

    The eye is at look_at + distance * (cos el cos az, cos el sin az, sin el). Without roll, the image's right is
    (-sin az, cos az, 0), also for a camera that looks straight down or up.

    Attributes:
        azimuth_rad: the angle of the eye about the vertical axis, counter-clockwise seen from above, from world +x.
        elevation_rad: the angle of the eye above the horizontal plane, at most pi/2.
        distance_m: the distance from the eye to `look_at_m`.
        look_at_m: a world point on the optical axis, in the middle of the image unless that is shifted, metres.
        fovy_rad: the vertical field of view that the image would have if the optical axis met its middle.
        roll_rad: how far the camera is turned about its optical axis, counter-clockwise as seen from behind it; what
            it sees turns clockwise in the image.
        shift: how far to the right of the image's middle, and below it, the optical axis meets the image, in shares
            of the image's height (the principal point; a lens shift, or a cut-out of a larger picture).
        fx_over_fy: the horizontal focal length over the vertical one, pixels; 1 for square pixels.
    """

    azimuth_rad: float = -math.pi / 2
    elevation_rad: float = math.radians(40.0)
    distance_m: float = 1.0
    look_at_m: Vec3 = (0.0, 0.0, 0.0)
    fovy_rad: float = math.radians(40.0)
    roll_rad: float = field(default=0.0, metadata=LATER)
    shift: Vec2 = field(default=(0.0, 0.0), metadata=LATER)
    fx_over_fy: float = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        tidy(self)
        check_number("camera", "azimuth_rad", self.azimuth_rad, -100.0, 100.0)
        check_number("camera", "elevation_rad", self.elevation_rad, -math.pi / 2, math.pi / 2)
        check_number("camera", "distance_m", self.distance_m, NEAREST_M, MAX_LENGTH_M)
        check_vector("camera", "look_at_m", self.look_at_m, -MAX_LENGTH_M, MAX_LENGTH_M)
        check_number("camera", "fovy_rad", self.fovy_rad, math.radians(0.1), math.radians(170.0))
        check_number("camera", "roll_rad", self.roll_rad, -100.0, 100.0)
        check_vector("camera", "shift", self.shift, -100.0, 100.0, length=2)
        check_number("camera", "fx_over_fy", self.fx_over_fy, 0.01, 100.0)

    @staticmethod
    def of(camera: Camera, distance_m: float | None = None, plane_z_m: float | None = None) -> Orbit:
        """Convert one camera; `sized` gives it back, to rounding.

        Args:
            camera: the camera, with a frame (4, 4) and a matrix (3, 3).
            distance_m: the distance from the eye to `look_at_m`; default: that of the point of the optical axis, at
                least 5 cm before the eye, which is nearest to the world's origin.
            plane_z_m: in place of the distance, the height at which `look_at_m` is to lie.

        Raises:
            InputError: for a skewed camera matrix, a number that an orbit does not allow, or an optical axis that does
                not meet the plane.
        """
        (fx, fy), (left, top) = (np.array(pair).tolist() for pair in (camera.focal_px, camera.principal_px))
        if camera.matrix[0, 1] != 0.0 or not min(fx, fy) > 0.0:
            raise InputError("camera: its matrix must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx and fy above 0")
        right, up, backward, eye = camera.frame[:3].T
        if plane_z_m is not None:
            distance_m = float((eye[2] - plane_z_m) / backward[2]) if backward[2] else math.inf
        elif distance_m is None:
            distance_m = float(np.clip(backward @ eye, NEAREST_M, MAX_LENGTH_M))
        level = abs(right[2]) <= _LEVEL and up[2] >= -_LEVEL
        azimuth = math.atan2(-right[0], right[1]) if level else math.atan2(backward[1], backward[0])
        level_right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
        x, y, z = (eye - distance_m * backward).tolist()
        return Orbit(
            azimuth_rad=azimuth,
            elevation_rad=math.atan2(backward[2], math.hypot(backward[0], backward[1])),
            distance_m=distance_m,
            look_at_m=(x, y, z),
            fovy_rad=2.0 * math.atan(camera.height / 2.0 / fy),
            roll_rad=0.0 if level else math.atan2(-(level_right @ up), level_right @ right),
            shift=((left - camera.width / 2.0) / camera.height, (top - camera.height / 2.0) / camera.height),
            fx_over_fy=fx / fy,
        )

    @property
    def plain(self) -> bool:
        """Tell whether it is upright, and looks through the middle of square pixels."""
        return (self.roll_rad, self.shift, self.fx_over_fy) == (0.0, (0.0, 0.0), 1.0)

    @property
    def rotation_wxyz(self) -> Quaternion:
        """The eye's rotation, camera to world, axes as in `Camera.frame`: turns about z (roll), about x, about z."""
        turn, raised = (self.azimuth_rad + math.pi / 2.0) / 2.0, (math.pi / 2.0 - self.elevation_rad) / 2.0
        # A roll before the turn about x is a turn by the sum of both for one part of the quaternion, and by their
        # difference for the other.
        roll = self.roll_rad / 2.0
        c, s, c_less, s_less = (f(turn + sign * roll) for sign in (1.0, -1.0) for f in (math.cos, math.sin))
        w, x, y, z = c * math.cos(raised), c_less * math.sin(raised), s_less * math.sin(raised), s * math.cos(raised)
        return (-w, -x, -y, -z) if c < 0.0 else (w, x, y, z)

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
        values = (self.azimuth_rad, self.elevation_rad, self.distance_m, self.look_at_m, self.roll_rad)
        frame = orbit_frames(*([value] for value in values))[0]
        fy = height / 2.0 / math.tan(self.fovy_rad / 2.0)
        return Camera.pinhole(frame, fy, width, height, self.shift, self.fx_over_fy)


def orbit_frames(
    azimuth_rad: ArrayLike, elevation_rad: ArrayLike, distance_m: ArrayLike, look_at_m: ArrayLike, roll_rad: ArrayLike
) -> Floats:
    """The frames of cameras on spheres around the points that they look at.

    Args:
        azimuth_rad, elevation_rad, distance_m, roll_rad: (B,).
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
    roll = np.asarray(roll_rad, dtype=np.float64)
    if roll.any():  # else every bit stays, the signs of zeros too
        cr, sr = np.cos(roll)[..., None], np.sin(roll)[..., None]
        right, up = frames[..., :3, 0].copy(), frames[..., :3, 1].copy()
        frames[..., :3, 0], frames[..., :3, 1] = cr * right + sr * up, cr * up - sr * right
    return frames
