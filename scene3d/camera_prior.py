"""Priors over cameras: orbits around a point (`CameraPrior`), or eyes in boxes that look at boxes (`CameraBoxes`).

Both draw orbits, and give log-densities in which dimensions of zero width carry none, metres and radians:

- `CameraPrior`: with respect to the fields of an orbit that vary. `look_at_m` lies in the plane of the prior's own; an
  orbit through that plane is one camera and no other, `Orbit.of(camera, plane_z_m=...)` finds it.
- `CameraBoxes`: with respect to eye, `look_at_m`, roll and field of view. For azimuth, elevation and distance in place
  of the eye add log(distance^2 cos(elevation)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from air3d.scene3d.arguments import MAX_LENGTH_M, Vec3, check_is, check_vector, natural, tidy
from air3d.scene3d.arrays import Floats
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.orbit import NEAREST_M, Orbit, Vec2
from air3d.scene3d.ranges import Range, check_ranges, log_uniform, uniform

_ORBIT = ("azimuth_rad", "elevation_rad", "distance_m", "fovy_rad")
_LATER = ("roll_rad", "shift_right", "shift_down")
# An eye goes through azimuth and elevation, and back.
_ROUNDING_M = 1e-9
_TURN = 2.0 * math.pi + 1e-9


@dataclass(frozen=True)
class CameraPrior:
    """Uniform ranges of orbits (radians, metres); equal ends fix the value.

    The defaults keep the whole table in view, with a pixel to spare at 64x64: for that the distance must be at least
    1.03 times the table radius / sin(fovy / 2).

    Attributes:
        azimuth_rad, elevation_rad, distance_m, fovy_rad: the ranges of `Orbit`'s fields.
        look_at_m: the middle of the points that are looked at.
        roll_rad: the range of `Orbit`'s field.
        aim_m: how far the point that is looked at may lie from `look_at_m` along x, and along y, at the same height.
        shift_right, shift_down: the two parts of `Orbit.shift`.
        fx_over_fy: the same for all.
    """

    azimuth_rad: Range = (-math.pi, math.pi)
    elevation_rad: Range = (math.radians(25.0), math.radians(65.0))
    distance_m: Range = (0.97, 1.05)
    fovy_rad: Range = (math.radians(40.0), math.radians(40.0))
    look_at_m: Vec3 = (0.0, 0.0, 0.0)
    roll_rad: Range = field(default=(0.0, 0.0), metadata=LATER)
    aim_m: Vec2 = field(default=(0.0, 0.0), metadata=LATER)
    shift_right: Range = field(default=(0.0, 0.0), metadata=LATER)
    shift_down: Range = field(default=(0.0, 0.0), metadata=LATER)
    fx_over_fy: float = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        tidy(self)
        check_ranges("camera prior", self, (*_ORBIT, *_LATER))
        _check_turns("camera prior", self, ("azimuth_rad", "roll_rad"))
        check_vector("camera prior", "aim_m", self.aim_m, 0.0, MAX_LENGTH_M, length=2)
        for end in (0, 1):  # the ends make valid orbits, so everything between does
            self._orbit({name: getattr(self, name)[end] for name in (*_ORBIT, *_LATER)}, (2.0 * end - 1.0,) * 2)

    @staticmethod
    def fixed(camera: Orbit) -> CameraPrior:
        """Make the prior that has all mass on one camera."""
        numbers: dict[str, Any] = {name: (getattr(camera, name),) * 2 for name in (*_ORBIT, "roll_rad")}
        right, down = ((part, part) for part in camera.shift)
        return CameraPrior(
            look_at_m=camera.look_at_m, shift_right=right, shift_down=down, fx_over_fy=camera.fx_over_fy, **numbers
        )

    @property
    def straight(self) -> bool:
        """Tell whether all its cameras are upright, and look at `look_at_m`."""
        return self.roll_rad == (0.0, 0.0) and self.aim_m == (0.0, 0.0)

    @property
    def lens(self) -> tuple[Range, Range, Range, float]:
        """All that its cameras' matrices depend on: field of view, shift to the right and down, shape of the pixels."""
        return self.fovy_rad, self.shift_right, self.shift_down, self.fx_over_fy

    def middle(self) -> Orbit:
        """The orbit in the middle of all ranges."""
        return self._orbit({name: sum(getattr(self, name)) / 2.0 for name in (*_ORBIT, *_LATER)}, (0.0, 0.0))

    def sample(self, rng: np.random.Generator) -> Orbit:
        """Draw one."""
        numbers = {name: uniform(rng, getattr(self, name)) for name in _ORBIT}
        # What came later costs a draw only where it varies, so that the scenes of older priors stay as they are.
        for name in _LATER:
            low, high = getattr(self, name)
            numbers[name] = uniform(rng, (low, high)) if high > low else low
        x, y = (uniform(rng, (-1.0, 1.0)) if half else 0.0 for half in self.aim_m)
        return self._orbit(numbers, (x, y))

    def _orbit(self, numbers: dict[str, float], beside: Vec2) -> Orbit:
        """Make an orbit of a number from each range, and of shares of `aim_m` by which it looks beside the middle."""
        (x, y, z), (far_x, far_y), (right, left) = self.look_at_m, self.aim_m, beside
        chosen: dict[str, Any] = {name: numbers[name] for name in (*_ORBIT, "roll_rad")}
        return Orbit(
            look_at_m=(x + far_x * right, y + far_y * left, z),
            shift=(numbers["shift_right"], numbers["shift_down"]),
            fx_over_fy=self.fx_over_fy,
            **chosen,
        )

    def log_prob(self, batch: SceneBatch) -> Floats:
        """The log-density of each scene's camera, (B,); -inf where it is zero. See the module."""
        total = np.where(batch.camera_fx_over_fy == self.fx_over_fy, 0.0, -np.inf)
        for name in _ORBIT:
            total += log_uniform(getattr(batch, f"camera_{name}"), getattr(self, name), periodic=name == "azimuth_rad")
        total += log_uniform(batch.camera_roll_rad, self.roll_rad, periodic=True)
        for axis, span in enumerate((self.shift_right, self.shift_down)):
            total += log_uniform(batch.camera_shift[:, axis], span)
        return total + _log_box(batch.camera_look_at_m, self.look_at_m, (*self.aim_m, 0.0))


@dataclass(frozen=True)
class CameraBox:
    """Cameras whose eye is uniform in one box, and a point on the optical axis in another; half-widths may be 0.

    Attributes:
        eye_m, eye_spread_m: the middle of the eyes' box in the world, and half its widths along x, y and z.
        look_at_m, look_at_spread_m: the same of the points that are looked at.
        roll_rad, fovy_rad: ranges; equal ends fix the value. As in `Orbit`.
        shift, fx_over_fy: the same for all; as in `Orbit`.
    """

    eye_m: Vec3
    eye_spread_m: Vec3 = (0.0, 0.0, 0.0)
    look_at_m: Vec3 = (0.0, 0.0, 0.0)
    look_at_spread_m: Vec3 = (0.0, 0.0, 0.0)
    roll_rad: Range = (0.0, 0.0)
    fovy_rad: Range = (math.radians(40.0), math.radians(40.0))
    shift: Vec2 = (0.0, 0.0)
    fx_over_fy: float = 1.0

    def __post_init__(self) -> None:
        tidy(self)
        for name in ("eye_m", "look_at_m"):
            check_vector("camera box", name, getattr(self, name), -MAX_LENGTH_M, MAX_LENGTH_M)
        for name in ("eye_spread_m", "look_at_spread_m"):
            check_vector("camera box", name, getattr(self, name), 0.0, MAX_LENGTH_M)
        check_ranges("camera box", self, ("roll_rad", "fovy_rad"))
        _check_turns("camera box", self, ("roll_rad",))
        apart = np.abs(np.subtract(self.eye_m, self.look_at_m)) - np.add(self.eye_spread_m, self.look_at_spread_m)
        if np.linalg.norm(np.maximum(apart, 0.0)) < NEAREST_M:
            raise InputError(
                f"camera box: eyes around {shown(self.eye_m)} come nearer than {NEAREST_M:g} m to the points around "
                f"{shown(self.look_at_m)} that they look at; make the boxes smaller, or move them apart"
            )
        for end in (0, 1):
            self._orbit(self.eye_m, self.look_at_m, self.roll_rad[end], self.fovy_rad[end])

    @staticmethod
    def around(
        camera: Orbit, eye_spread_m: Vec3 = (0.0, 0.0, 0.0), aim_rad: float = 0.0, roll_rad: float = 0.0
    ) -> CameraBox:
        """Make the box of cameras that differ from one by so much.

        Args:
            camera: the camera in the middle; its field of view, shift and pixels are those of all.
            eye_spread_m: half the widths of the eyes' box.
            aim_rad: how far beside `camera.look_at_m`, along each world axis, the point looked at may lie, as an angle
                seen from the eye.
            roll_rad: how far the roll may be from the camera's.

        Raises:
            InputError: for a number out of range.
        """
        far = camera.distance_m * math.tan(aim_rad)
        return CameraBox(
            eye_m=camera.eye_m,
            eye_spread_m=eye_spread_m,
            look_at_m=camera.look_at_m,
            look_at_spread_m=(far, far, far),
            roll_rad=(camera.roll_rad - roll_rad, camera.roll_rad + roll_rad),
            fovy_rad=(camera.fovy_rad, camera.fovy_rad),
            shift=camera.shift,
            fx_over_fy=camera.fx_over_fy,
        )

    def middle(self) -> Orbit:
        """The camera in the middle of the boxes and ranges."""
        return self._orbit(self.eye_m, self.look_at_m, sum(self.roll_rad) / 2.0, sum(self.fovy_rad) / 2.0)

    def sample(self, rng: np.random.Generator) -> Orbit:
        """Draw one."""
        eye, look_at = (
            np.array(middle) + np.array(spread) * [uniform(rng, (-1.0, 1.0)) for _ in range(3)]
            for middle, spread in ((self.eye_m, self.eye_spread_m), (self.look_at_m, self.look_at_spread_m))
        )
        return self._orbit(eye, look_at, uniform(rng, self.roll_rad), uniform(rng, self.fovy_rad))

    def _orbit(self, eye_m: ArrayLike, look_at_m: ArrayLike, roll_rad: float, fovy_rad: float) -> Orbit:
        x, y, z = np.subtract(eye_m, look_at_m).tolist()
        return Orbit(
            azimuth_rad=math.atan2(y, x),
            elevation_rad=math.atan2(z, math.hypot(x, y)),
            distance_m=math.hypot(x, y, z),
            look_at_m=natural(look_at_m),
            fovy_rad=fovy_rad,
            roll_rad=roll_rad,
            shift=self.shift,
            fx_over_fy=self.fx_over_fy,
        )

    def log_prob(self, batch: SceneBatch) -> Floats:
        """The log-density of each scene's camera, (B,); -inf where it is zero. See the module."""
        same = (batch.camera_shift == self.shift).all(axis=1) & (batch.camera_fx_over_fy == self.fx_over_fy)
        eyes = batch.cameras(1, 1).frame[:, :3, 3]
        total = np.where(same, 0.0, -np.inf) + _log_box(eyes, self.eye_m, self.eye_spread_m)
        total += _log_box(batch.camera_look_at_m, self.look_at_m, self.look_at_spread_m)
        total += log_uniform(batch.camera_roll_rad, self.roll_rad, periodic=True)
        return total + log_uniform(batch.camera_fovy_rad, self.fovy_rad)

    @property
    def varies(self) -> tuple[bool, ...]:
        """Tell of each of its eight numbers (eye, point looked at, roll, field of view) whether it varies."""
        ranges = (low < high for low, high in (self.roll_rad, self.fovy_rad))
        return (*(half > 0.0 for half in (*self.eye_spread_m, *self.look_at_spread_m)), *ranges)


@dataclass(frozen=True)
class CameraBoxes:
    """A mixture of boxes in equal shares: one box for a camera that may stand anywhere in it, or one a camera's place.

    All boxes vary in the same numbers, so that their densities are of one kind.
    """

    boxes: tuple[CameraBox, ...]

    def __post_init__(self) -> None:
        tidy(self)
        boxes: object = self.boxes  # from outside, it may be anything
        if not isinstance(boxes, tuple) or not boxes:
            raise InputError(f"camera boxes: boxes is {shown(boxes)}; give a list of CameraBox")
        for box in boxes:
            check_is("camera boxes", "one of the boxes", box, CameraBox)
        if len({box.varies for box in self.boxes}) > 1:
            raise InputError(
                "camera boxes: one varies where another is fixed; give all boxes a width, or none, in the same numbers"
            )

    def middle(self) -> Orbit:
        """The camera in the middle of the first box."""
        return self.boxes[0].middle()

    def sample(self, rng: np.random.Generator) -> Orbit:
        """Draw one: a box, then a camera of it."""
        return self.boxes[int(rng.integers(len(self.boxes)))].sample(rng)

    def log_prob(self, batch: SceneBatch) -> Floats:
        """The log-density of each scene's camera, (B,); -inf where it is zero. See the module."""
        each = np.stack([box.log_prob(batch) for box in self.boxes])
        return np.asarray(logsumexp(each, axis=0) - math.log(len(self.boxes)))


def _check_turns(owner: str, config: object, names: tuple[str, ...]) -> None:
    for name in names:
        low, high = getattr(config, name)
        if high - low > _TURN:
            raise InputError(f"{owner}: {name} spans more than a full turn; use at most (-pi, pi)")


def _log_box(points_m: Floats, middle_m: Vec3, spread_m: Vec3) -> Floats:
    """The log-density (B,) of points (B, 3) in a box; dimensions of zero width carry none."""
    total = np.zeros(len(points_m))
    for axis, (at, half) in enumerate(zip(middle_m, spread_m, strict=True)):
        total += log_uniform(points_m[:, axis], (at - half, at + half), tolerance=_ROUNDING_M)
    return total
