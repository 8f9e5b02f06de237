"""Scenes: a table, a camera, a light and objects. SI units, frozen, validated.

Numbers may be numpy's or torch's, and vectors lists or arrays; Python's own are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import numpy as np

from air3d.scene3d.arguments import MAX_LENGTH_M, Vec3, check_is, check_number, check_vector, natural, tidy
from air3d.scene3d.arrays import Floats
from air3d.scene3d.catalog import Rgb, get_kind
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.ground import Ground, Wall
from air3d.scene3d.meshes.table import WALL, WALL_TOP
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.own_kinds import is_own
from air3d.scene3d.poses import Quaternion, frames_of, tilt_of, unit_quaternion, yaw_of
from air3d.scene3d.support import Disc, Rectangle, Support
from air3d.scene3d.surface import Surface
from air3d.scene3d.textures import PLAIN, TEXTURES, is_texture

MAX_SCALE = 10.0

Shape = Literal["round", "rectangle", "square", "bin"]
# The long side over the short one.
_ASPECT = {"rectangle": 1.5, "square": 1.0, "bin": 1.0}
_MESHES = {"round": "table", "rectangle": "square_table", "square": "square_table", "bin": "bin"}
# How thick a table top is, and a bin's floor.
TABLE_THICKNESS_M = 0.02


@dataclass(frozen=True)
class Table:
    """A table top whose surface is the plane z = 0, centred on the origin; or a bin that is open above.

    Attributes:
        radius_m: the radius of the top; of one with corners, their distance from the centre.
        place_radius_m: object origins lie within this distance of the centre, or in a rectangle with its corners there.
        shape: "round"; "square"; "rectangle", half as long again along x as along y; or "bin", a square between walls
            8 cm high, which stand outside it.
        scenery: the full name of what stands around the objects (`air3d.scene3d.objects.scenery`), drawn at the world's
            origin in place of a table of air3d's own; or None. The rest then says where on it objects may stand.
    """

    radius_m: float = 0.32
    place_radius_m: float = 0.20
    shape: Shape = field(default="round", metadata=LATER)
    scenery: str | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        tidy(self)
        check_number("table", "radius_m", self.radius_m, 0.01, 10.0)
        check_number("table", "place_radius_m", self.place_radius_m, 0.001, self.radius_m)
        if self.shape not in get_args(Shape):
            raise InputError(f"table: shape is {shown(self.shape)}; use {', '.join(get_args(Shape))}")
        if self.scenery is not None:
            if not is_own(str(self.scenery)):
                raise InputError(f"table: scenery is {shown(self.scenery)}; use the full name of one, NAME@DIGEST")
            get_kind(self.scenery)

    def __str__(self) -> str:
        where = "" if self.scenery is None else f" in {self.scenery}"
        name = "bin" if self.shape == "bin" else f"{self.shape} table"
        return f"a {name} of radius {self.radius_m:g} m{where}"

    @property
    def top(self) -> Support:
        """The table top, seen from above."""
        return _support(self.shape, self.radius_m)

    @property
    def place(self) -> Support:
        """Where the origins of objects may stand."""
        return _support(self.shape, self.place_radius_m)

    @property
    def ground(self) -> Ground:
        """The ground that objects fall onto."""
        return Ground((Surface.of(self.top),), self._walls() if self.shape == "bin" else ())

    def _walls(self) -> tuple[Wall, ...]:
        """The bin's four walls, as its mesh has them; those across x at the ends of the others."""
        (x, y), foot, top = self.top.half_extents_m, -TABLE_THICKNESS_M, WALL_TOP * TABLE_THICKNESS_M
        half, middle = (top - foot) / 2.0, (top + foot) / 2.0
        across = [
            Wall((x * WALL / 2.0, y * (1.0 + WALL), half), (side * x * (1.0 + WALL / 2.0), 0.0, middle))
            for side in (-1.0, 1.0)
        ]
        along = [Wall((x, y * WALL / 2.0, half), (0.0, side * y * (1.0 + WALL / 2.0), middle)) for side in (-1.0, 1.0)]
        return (*across, *along)

    @property
    def reach_m(self) -> float:
        """The radius of a ball around its centre that holds its top, and a bin's walls."""
        if self.shape != "bin":
            return self.radius_m
        return math.hypot(self.radius_m * (1.0 + WALL), WALL_TOP * TABLE_THICKNESS_M)

    @property
    def own_kinds(self) -> tuple[str, ...]:
        """The parts that are kept as kinds of the user's own are: the scenery."""
        return () if self.scenery is None else (self.scenery,)

    @property
    def mesh(self) -> str:
        """The name of its own meshes, whose tops reach from -1 to 1 along x, y and from -1 to 0 along z."""
        return _MESHES[self.shape]


def _support(shape: Shape, radius_m: float) -> Support:
    if shape == "round":
        return Disc(radius_m)
    angle = math.atan2(1.0, _ASPECT[shape])
    return Rectangle(radius_m * math.cos(angle), radius_m * math.sin(angle))


@dataclass(frozen=True)
class Lamp:
    """A further distant lamp, which casts neither shadows nor highlights.

    Attributes:
        azimuth_rad, elevation_rad: the direction from the table towards it.
        diffuse: its brightness, above 0, up to 2.
    """

    azimuth_rad: float
    elevation_rad: float
    diffuse: float

    def __post_init__(self) -> None:
        tidy(self)
        check_number("lamp", "azimuth_rad", self.azimuth_rad, -100.0, 100.0)
        check_number("lamp", "elevation_rad", self.elevation_rad, 0.0, math.pi / 2)
        check_number("lamp", "diffuse", self.diffuse, 1e-6, 2.0)


MAX_LAMPS = 3


@dataclass(frozen=True)
class Light:
    """One directional light (a distant lamp) over an even ambient light, and up to three further lamps.

    Attributes:
        azimuth_rad, elevation_rad: the direction from the table towards the lamp.
        diffuse: the brightness of the lamp, 0 to 2.
        ambient: the brightness of the even light, 0 to 2.
        lamps: the further lamps.
    """

    azimuth_rad: float = math.radians(35.0)
    elevation_rad: float = math.radians(55.0)
    diffuse: float = 0.62
    ambient: float = 0.40
    lamps: tuple[Lamp, ...] = field(default=(), metadata=LATER)

    NUMBERS: ClassVar[tuple[str, ...]] = ("azimuth_rad", "elevation_rad", "diffuse", "ambient")

    def __post_init__(self) -> None:
        tidy(self)
        lamps: object = self.lamps
        if not isinstance(lamps, tuple) or len(lamps) > MAX_LAMPS:
            raise InputError(f"light: lamps is {shown(lamps)}; give a list of at most {MAX_LAMPS} Lamp")
        for lamp in lamps:
            check_is("light", "one of the lamps", lamp, Lamp)
        check_number("light", "azimuth_rad", self.azimuth_rad, -100.0, 100.0)
        check_number("light", "elevation_rad", self.elevation_rad, 0.0, math.pi / 2)
        check_number("light", "diffuse", self.diffuse, 0.0, 2.0)
        check_number("light", "ambient", self.ambient, 0.0, 2.0)


@dataclass(frozen=True)
class SceneObject:
    """An object, anywhere and in any pose.

    Attributes:
        kind: a name that `air3d.scene3d.catalog.get_kind` knows; kept as a full name.
        position_m: the world position (x, y, z) of the object's origin.
        rotation_wxyz: its rotation, object to world, a unit quaternion with w >= 0; see `unit_quaternion`.
        scale: the uniform scale about the origin; 1 is the catalog's size.
        colour: sRGB in [0, 1]; None means the catalog's colour.
        texture: a name in `air3d.scene3d.textures.TEXTURES`, worn in place of the kind's own; None means that.
    """

    kind: str
    position_m: Vec3
    rotation_wxyz: Quaternion = (1.0, 0.0, 0.0, 0.0)
    scale: float = 1.0
    colour: Rgb | None = None
    texture: str | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        tidy(self)
        if not isinstance(self.kind, str):
            raise InputError(f"object: kind must be a name, not {shown(self.kind)}")
        object.__setattr__(self, "kind", get_kind(self.kind).name)
        owner = f"object '{self.kind}'"
        check_vector(owner, "position_m", self.position_m, -MAX_LENGTH_M, MAX_LENGTH_M)
        object.__setattr__(self, "rotation_wxyz", unit_quaternion(owner, self.rotation_wxyz))
        check_number(owner, "scale", self.scale, 0.01, MAX_SCALE)
        if self.colour is not None:
            check_vector(owner, "colour", self.colour, 0.0, 1.0)
        if self.texture is not None:
            _check_texture(owner, self.texture)

    @staticmethod
    def upright(
        kind: str, x_m: float, y_m: float, yaw_rad: float = 0.0, scale: float = 1.0, colour: Rgb | None = None
    ) -> SceneObject:
        """Make an object that stands upright on the table, turned about +z, counter-clockwise seen from above.

        Raises:
            InputError: for a number out of range, or an unknown kind.
        """
        x_m, y_m, yaw_rad = natural(x_m), natural(y_m), natural(yaw_rad)
        for name, value, most in (("x_m", x_m, MAX_LENGTH_M), ("y_m", y_m, MAX_LENGTH_M), ("yaw_rad", yaw_rad, 100.0)):
            check_number(f"object {shown(kind)}", name, value, -most, most)
        w, z = math.cos(yaw_rad / 2.0), math.sin(yaw_rad / 2.0)
        # An object takes care of the sign.
        return SceneObject(kind, (x_m, y_m, 0.0), (w, 0.0, 0.0, z), scale, colour)

    @property
    def rgb(self) -> Rgb:
        """The colour to draw: its own, else the catalog's."""
        return get_kind(self.kind).colour if self.colour is None else self.colour

    @property
    def x_m(self) -> float:
        """The world x of its origin."""
        return self.position_m[0]

    @property
    def y_m(self) -> float:
        """The world y of its origin."""
        return self.position_m[1]

    @property
    def yaw_rad(self) -> float:
        """Its yaw in [-pi, pi]; of a tilted object, that of the nearest upright rotation (see `yaw_of`)."""
        return float(yaw_of(np.array(self.rotation_wxyz)))

    @property
    def tilt_rad(self) -> float:
        """The angle between its own z axis and the world's; 0 if it is upright."""
        return float(tilt_of(np.array(self.rotation_wxyz)))

    def frame(self) -> Floats:
        """Its pose, (4, 4) object to world without the scale, metres."""
        return frames_of(self.position_m, self.rotation_wxyz)


@dataclass(frozen=True)
class Cloth:
    """A cloth that covers the table top.

    Attributes:
        colour: sRGB in [0, 1].
        texture: a name in `air3d.scene3d.textures.TEXTURES`.
    """

    colour: Rgb
    texture: str = PLAIN

    def __post_init__(self) -> None:
        tidy(self)
        check_vector("cloth", "colour", self.colour, 0.0, 1.0)
        _check_texture("cloth", self.texture)


def _check_texture(owner: str, name: object) -> None:
    if not is_texture(name):
        raise InputError(f"{owner}: texture is {shown(name)}; use one of {', '.join(TEXTURES)}")


@dataclass(frozen=True)
class Scene:
    """A scene. The order of `objects` carries no meaning; they may be any iterable, or a single one."""

    objects: tuple[SceneObject, ...] = ()
    camera: Orbit = field(default_factory=Orbit)
    table: Table = field(default_factory=Table)
    light: Light = field(default_factory=Light)
    cloth: Cloth | None = None

    @property
    def textures(self) -> tuple[str, ...]:
        """The names of the textures that are worn in it."""
        worn = [item.texture for item in self.objects] + ([] if self.cloth is None else [self.cloth.texture])
        return tuple(name for name in worn if name is not None)

    def __post_init__(self) -> None:
        if isinstance(self.objects, SceneObject):
            object.__setattr__(self, "objects", (self.objects,))
        tidy(self)
        if not isinstance(self.objects, tuple):
            raise InputError(f"scene: objects is {shown(self.objects)}; give a list of SceneObject")
        for item in self.objects:
            check_is("scene", "one of the objects", item, SceneObject)
        for name, kind in (("camera", Orbit), ("table", Table), ("light", Light)):
            check_is("scene", name, getattr(self, name), kind)
        if self.cloth is not None:
            check_is("scene", "cloth", self.cloth, Cloth)
            if self.table.scenery is not None:
                raise InputError("scene: a cloth covers a table top, and scenery has none; leave out 'cloth'")
