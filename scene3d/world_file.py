"""Reads `world.toml`: all that is known before an image is seen, as a person can write it down.

It names the scenery, the kinds and how many there are, the surfaces that they are put on, how they are posed, the
cameras and the light. Angles are in degrees, lengths in metres, paths relative to the file. `air3d world import` writes
such a file (`air3d.scene3d.world_text`); what is left out has the default that its class here says.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from air3d.scene3d.arguments import Vec3, check_number
from air3d.scene3d.camera_prior import CameraBox, CameraBoxes, CameraPrior
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.config_json import ADDED, LATER, config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.objects.files import names_a_file
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.own_kinds import OBJECTS_FOLDER, SHORT_NAME, adopt, is_own
from air3d.scene3d.pose_models import PoseModelName
from air3d.scene3d.prior import PriorConfig
from air3d.scene3d.ranges import Range
from air3d.scene3d.scene import Lamp, Light, Table
from air3d.scene3d.surface import Surface
from air3d.scene3d.toml_file import read_toml

SCHEMA = "air3d-world/1"
_MAX_BYTES = 1 << 20
_ORBIT_FOVY_DEG, _ORBIT_ELEVATION_DEG = 45.0, (25.0, 65.0)
# How much farther than it must be a camera is that sees all of the surfaces.
_NEAR, _FAR = 1.05, 1.25


@dataclass(frozen=True)
class KindEntry:
    """A kind: a name of the catalog, a full name out of the folder `objects` beside the file, or a file or folder."""

    kind: str


@dataclass(frozen=True)
class SupportEntry:
    """A level surface: a disc, or a rectangle with sides along its own x and y."""

    centre_m: Vec3 = field(default=(0.0, 0.0, 0.0), metadata=ADDED)
    radius_m: float | None = field(default=None, metadata=ADDED)
    sides_m: tuple[float, float] | None = field(default=None, metadata=ADDED)
    yaw_deg: float = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        if (self.radius_m is None) == (self.sides_m is None):
            raise InputError("give radius_m, of a disc, or sides_m, of a rectangle")
        check_number("support", "yaw_deg", self.yaw_deg, -360.0, 360.0)
        self.surface()

    def surface(self) -> Surface:
        """Make the surface."""
        size = (self.radius_m,) if self.radius_m is not None else tuple(side / 2.0 for side in self.sides_m or ())
        return Surface(size, self.centre_m, math.radians(self.yaw_deg))


@dataclass(frozen=True)
class CameraEntry:
    """A camera at a place: it looks at a point, upright unless it is rolled.

    `shift` is that of the principal point, to the right and down, in shares of the image's height.
    """

    position_m: Vec3
    look_at_m: Vec3
    name: str = field(default="", metadata=ADDED)
    roll_deg: float = field(default=0.0, metadata=ADDED)
    fovy_deg: float = field(default=45.0, metadata=ADDED)
    shift: tuple[float, float] = field(default=(0.0, 0.0), metadata=LATER)
    fx_over_fy: float = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        check_number("camera", "roll_deg", self.roll_deg, -360.0, 360.0)
        check_number("camera", "fovy_deg", self.fovy_deg, 1.0, 150.0)

    def box(self, jitter: JitterEntry) -> CameraBox:
        """Make the box of cameras around it."""
        fovy, roll = math.radians(self.fovy_deg), math.radians(self.roll_deg)
        middle = CameraBox(
            self.position_m,
            look_at_m=self.look_at_m,
            roll_rad=(roll, roll),
            fovy_rad=(fovy, fovy),
            shift=self.shift,
            fx_over_fy=self.fx_over_fy,
        )
        spread, aim = (jitter.eye_m,) * 3, math.radians(jitter.aim_deg)
        return CameraBox.around(middle.middle(), spread, aim, math.radians(jitter.roll_deg))


@dataclass(frozen=True)
class JitterEntry:
    """How far every camera may be from its place: along each axis, its aim along each axis, and its roll."""

    eye_m: float = field(default=0.0, metadata=ADDED)
    aim_deg: float = field(default=0.0, metadata=ADDED)
    roll_deg: float = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        check_number("jitter", "eye_m", self.eye_m, 0.0, 10.0)
        check_number("jitter", "aim_deg", self.aim_deg, 0.0, 60.0)
        check_number("jitter", "roll_deg", self.roll_deg, 0.0, 180.0)


@dataclass(frozen=True)
class OrbitEntry:
    """Ranges of upright cameras on a sphere around a point, where the file names no cameras."""

    distance_m: Range
    azimuth_deg: Range = field(default=(-180.0, 180.0), metadata=ADDED)
    elevation_deg: Range = field(default=_ORBIT_ELEVATION_DEG, metadata=ADDED)
    fovy_deg: Range = field(default=(_ORBIT_FOVY_DEG, _ORBIT_FOVY_DEG), metadata=ADDED)
    look_at_m: Vec3 = field(default=(0.0, 0.0, 0.0), metadata=ADDED)

    def __post_init__(self) -> None:
        self.prior()

    def prior(self) -> CameraPrior:
        """Make the prior over cameras."""
        azimuth, elevation, fovy = (
            (math.radians(low), math.radians(high))
            for low, high in (self.azimuth_deg, self.elevation_deg, self.fovy_deg)
        )
        return CameraPrior(azimuth, elevation, self.distance_m, fovy, self.look_at_m)


@dataclass(frozen=True)
class LampEntry:
    """A further distant lamp, the direction towards it, and its brightness."""

    azimuth_deg: float
    elevation_deg: float
    diffuse: float

    def __post_init__(self) -> None:
        self.lamp()

    def lamp(self) -> Lamp:
        """Make the lamp."""
        return Lamp(math.radians(self.azimuth_deg), math.radians(self.elevation_deg), self.diffuse)


@dataclass(frozen=True)
class LightEntry:
    """A distant lamp, the direction towards it, over an even light; and further lamps."""

    azimuth_deg: float = field(default=35.0, metadata=ADDED)
    elevation_deg: float = field(default=55.0, metadata=ADDED)
    diffuse: float = field(default=Light.diffuse, metadata=ADDED)
    ambient: float = field(default=Light.ambient, metadata=ADDED)
    lamps: tuple[LampEntry, ...] = field(default=(), metadata=ADDED)

    def __post_init__(self) -> None:
        self.light()

    def light(self) -> Light:
        """Make the light."""
        lamps = tuple(entry.lamp() for entry in self.lamps)
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        return Light(azimuth, elevation, self.diffuse, self.ambient, lamps=lamps)


@dataclass(frozen=True)
class WorldEntry:
    """A whole file.

    Attributes:
        name: a short name, as kinds have them.
        kinds: those that objects are drawn from.
        objects: the fewest and the most in a scene.
        repeat: whether a kind may occur more than once in a scene.
        pose: the pose model.
        scenery: the full name of what stands around the objects; None for a table of air3d's own.
        supports: the surfaces that objects are put on; none for the table.
        cameras, jitter: cameras at places.
        orbit: cameras anywhere around, where there are none; None for some that see all of the surfaces.
        light: the lamp and the even light.
        origin_m: where this world's origin is in the file that it was made from; informs only.
        size_px: the width and height that its images have unless --size says another; None for any.
    """

    schema: str
    name: str
    kinds: tuple[KindEntry, ...]
    objects: tuple[int, int] = field(default=(0, 3), metadata=ADDED)
    repeat: bool = field(default=True, metadata=ADDED)
    pose: str = field(default="upright", metadata=ADDED)
    scenery: str | None = field(default=None, metadata=ADDED)
    supports: tuple[SupportEntry, ...] = field(default=(), metadata=ADDED)
    cameras: tuple[CameraEntry, ...] = field(default=(), metadata=ADDED)
    jitter: JitterEntry = field(default_factory=JitterEntry, metadata=ADDED)
    orbit: OrbitEntry | None = field(default=None, metadata=ADDED)
    light: LightEntry = field(default_factory=LightEntry, metadata=ADDED)
    origin_m: Vec3 | None = field(default=None, metadata=ADDED)
    size_px: tuple[int, int] | None = field(default=None, metadata=ADDED)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise InputError(f"schema is {shown(self.schema)}; this version reads '{SCHEMA}'")
        if not SHORT_NAME.fullmatch(self.name):
            raise InputError(
                f"name is {shown(self.name)}; a name is a small letter, then up to 31 small letters, digits or _"
            )
        if self.pose not in get_args(PoseModelName):
            raise InputError(f"pose is {shown(self.pose)}; use {', '.join(get_args(PoseModelName))}")
        if self.cameras and self.orbit is not None:
            raise InputError("it has cameras and an orbit; leave out one")
        if self.scenery is not None and not self.supports:
            raise InputError("it has scenery, but no supports: say where on it objects are put")

    def table(self) -> Table:
        """The table, or the scenery with the disc about the origin that holds all supports."""
        surfaces = [entry.surface() for entry in self.supports]
        if not surfaces:
            return Table(scenery=self.scenery)
        reach = max(math.hypot(*s.position_m[:2]) + math.hypot(*s.size_m) for s in surfaces)
        reach = min(max(reach, 0.01), 10.0)
        return Table(radius_m=reach, place_radius_m=reach, scenery=self.scenery)

    def camera(self) -> CameraPrior | CameraBoxes:
        """The prior over cameras."""
        if self.cameras:
            return CameraBoxes(tuple(entry.box(self.jitter) for entry in self.cameras))
        if self.orbit is not None:
            return self.orbit.prior()
        near = self.table().radius_m / math.sin(math.radians(_ORBIT_FOVY_DEG) / 2.0)
        middle = tuple(sum(axis) / len(axis) for axis in zip(*(e.centre_m for e in self.supports), strict=True))
        x, y, z = middle or (0.0, 0.0, 0.0)
        return OrbitEntry((_NEAR * near, _FAR * near), look_at_m=(x, y, z)).prior()

    def prior(self, kinds: tuple[str, ...]) -> PriorConfig:
        """Make the prior of its scenes, of kinds by their full names.

        Raises:
            InputError: for values that `PriorConfig` refuses.
        """
        known = PriorConfig(
            kinds=kinds,
            min_objects=self.objects[0],
            max_objects=self.objects[1],
            repeat=self.repeat,
            table=self.table(),
            camera=self.camera(),
            light=self.light.light(),
            pose=self.pose,  # type: ignore[arg-type]  # it is one of them
            supports=tuple(entry.surface() for entry in self.supports),
        )
        text = json.dumps(config_to_dict(known), sort_keys=True, separators=(",", ":"))
        return replace(known, world=f"{self.name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}")


def parse_world(path: Path) -> WorldEntry:
    """Read a file, without its kinds.

    Raises:
        InputError: if it cannot be read, or has an unusable entry; one line that names it.
    """
    data = read_toml(path, _MAX_BYTES, "a world", "a world")
    return config_from_dict(WorldEntry, data, str(path))


def read_world(path: Path, say: Callable[[str], None] = lambda _: None) -> PriorConfig:
    """Read a file as the prior of its scenes; its own kinds are made, or found in the folder `objects` beside it.

    Args:
        say: is told what was left out of folders.

    Raises:
        InputError: if it cannot be read, or has an unusable entry; one line that names it.
    """
    entry = parse_world(path)
    if (path.parent / OBJECTS_FOLDER).is_dir():
        adopt(path.parent)
    try:
        return entry.prior(resolve_kinds(kind_words(path, entry), say=say))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def world_arguments(path: Path) -> dict[str, Any]:
    """The part of a file that `air3d generate tabletop` has options for, by their names; kinds as words.

    Raises:
        InputError: if `parse_world` raises it.
    """
    entry = parse_world(path)
    size = {} if entry.size_px is None else {"size": "{}x{}".format(*entry.size_px)}
    return size | {
        "kinds": kind_words(path, entry),
        "min_objects": entry.objects[0],
        "max_objects": entry.objects[1],
        "repeat": entry.repeat,
        "pose": entry.pose,
    }


def kind_words(path: Path, entry: WorldEntry) -> tuple[str, ...]:
    """The kinds of a file as words that `resolve_kinds` knows: paths that were relative to it can be opened."""
    return tuple(_beside(path, item.kind) for item in entry.kinds)


def _beside(path: Path, word: str) -> str:
    """Make a path relative to the file's folder one that can be opened; a name stays as it is."""
    return word if word in CATALOG or is_own(word) or not names_a_file(word) else str(path.parent / word)
