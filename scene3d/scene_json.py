"""Writes scenes as JSON and reads them back exactly, checked field by field, with a schema version.

A scene stands by itself (`air3d-scene/2`) or within a sample of a dataset (`air3d-sample/2`, in its field `scene`, as
`air3d.datasets.samples` writes it); both are read, and so is version 1, whose objects are upright (x, y, yaw) and whose
camera is an orbit.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from air3d.scene3d.arguments import MAX_LENGTH_M, Vec3, as_path, check_is, check_number, check_vector
from air3d.scene3d.camera import Camera
from air3d.scene3d.config_json import ADDED, LATER, config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import Rgb
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.own_kinds import adopt, is_own
from air3d.scene3d.poses import Quaternion, frames_of, unit_quaternion
from air3d.scene3d.scene import Cloth, Light, Scene, SceneObject, Table

SCHEMA = "air3d-scene/2"
SAMPLE_SCHEMA = "air3d-sample/2"
SAMPLE_SCHEMAS = ("air3d-sample/1", SAMPLE_SCHEMA)
MAX_OBJECTS = 1000
MAX_JSON_BYTES = 4 << 20
MAX_PIXELS = 65535


@dataclass(frozen=True)
class _Camera:
    """A camera as schema 2 writes it: `air3d.scene3d.camera.Camera` in numbers.

    Attributes:
        fx, fy, cx, cy: the camera matrix, pixels.
        width, height: the size of the images, pixels.
        position_m, rotation_wxyz: the eye's pose, camera to world, in OpenGL's axes.
        orbit: the orbit that it was made from, which keeps every bit; else it is made of the pose and the matrix.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    position_m: Vec3
    rotation_wxyz: Quaternion
    orbit: Orbit | None = field(default=None, metadata=ADDED)

    def __post_init__(self) -> None:
        for name, low, high in (("fx", 1e-3, 1e9), ("fy", 1e-3, 1e9), ("cx", -1e9, 1e9), ("cy", -1e9, 1e9)):
            check_number("camera", name, getattr(self, name), low, high)
        for name in ("width", "height"):
            check_number("camera", name, getattr(self, name), 1, MAX_PIXELS)
        check_vector("camera", "position_m", self.position_m, -2.0 * MAX_LENGTH_M, 2.0 * MAX_LENGTH_M)
        object.__setattr__(self, "rotation_wxyz", unit_quaternion("camera", self.rotation_wxyz))

    @staticmethod
    def of(orbit: Orbit, size: tuple[int, int]) -> _Camera:
        width, height = size
        (fx, _, cx), (_, fy, cy), _ = orbit.sized(width, height).matrix.tolist()
        return _Camera(fx, fy, cx, cy, width, height, orbit.eye_m, orbit.rotation_wxyz, orbit)

    def now(self) -> Orbit:
        """Return the orbit that this is: the one beside it if there is one, else by the pose and the matrix.

        Raises:
            InputError: if the orbit beside it is another camera, or a number is out of an orbit's range.
        """
        if self.orbit is None:
            frame = frames_of(self.position_m, self.rotation_wxyz)
            matrix = np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])
            return Orbit.of(Camera(frame, matrix, self.width, self.height))
        own = _Camera.of(self.orbit, (self.width, self.height))
        turn = sum(a * b for a, b in zip(self.rotation_wxyz, own.rotation_wxyz, strict=True))
        pairs = [*zip(self.position_m, own.position_m, strict=True), (self.fx, own.fx), (self.fy, own.fy)]
        pairs += [(self.cx, own.cx), (self.cy, own.cy)]
        if abs(turn) < 1.0 - 1e-12 or not all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for a, b in pairs):
            raise InputError("scene: camera and its orbit are different cameras; leave out 'orbit', or correct it")
        return self.orbit


@dataclass(frozen=True)
class _Scene:
    """A scene as schema 2 writes it."""

    table: Table
    camera: _Camera
    light: Light
    objects: tuple[SceneObject, ...]
    cloth: Cloth | None = field(default=None, metadata=LATER)

    def now(self) -> Scene:
        return Scene(self.objects, self.camera.now(), self.table, self.light, self.cloth)


@dataclass(frozen=True)
class _UprightObject:
    """An object of schema 1."""

    kind: str
    x_m: float
    y_m: float
    yaw_rad: float
    scale: float
    colour: Rgb | None

    def __post_init__(self) -> None:
        self.now()

    def now(self) -> SceneObject:
        return SceneObject.upright(**vars(self))


@dataclass(frozen=True)
class _UprightScene:
    """A scene of schema 1."""

    table: Table
    camera: Orbit
    light: Light
    objects: tuple[_UprightObject, ...]

    def now(self) -> Scene:
        return Scene(tuple(item.now() for item in self.objects), self.camera, self.table, self.light)


_SCHEMAS: dict[str, type[_Scene | _UprightScene]] = {"air3d-scene/1": _UprightScene, SCHEMA: _Scene}


def scene_to_dict(scene: Scene, size: tuple[int, int] = (64, 64)) -> dict[str, Any]:
    """Convert the scene to plain JSON values; floats keep every bit (repr round-trips).

    Args:
        size: the width and height of the images that the camera's numbers are written for, pixels.

    Raises:
        InputError: for something that is no scene.
    """
    check_is("scene", "what is to be written", scene, Scene)
    return {"schema": SCHEMA} | config_to_dict(
        _Scene(scene.table, _Camera.of(scene.camera, size), scene.light, scene.objects, scene.cloth)
    )


def scene_from_dict(data: object) -> Scene:
    """Invert `scene_to_dict`, also for the scene within a sample. Keys that begin with an underscore are ignored.

    Raises:
        InputError: for a wrong schema, a missing or unknown field, or a value out of range.
    """
    top = _unmarked(_without_sample(data))
    schema = top.pop("schema", None) if isinstance(top, dict) else SCHEMA
    form = _SCHEMAS.get(schema if isinstance(schema, str) else "")
    if form is None:
        raise InputError(f"scene: schema is {shown(schema)}; this version reads '{SCHEMA}' and '{SAMPLE_SCHEMA}'")
    items = top.get("objects") if isinstance(top, dict) else None
    if isinstance(items, list) and len(items) > MAX_OBJECTS:
        raise InputError(f"scene: objects must be a list of at most {MAX_OBJECTS} entries")
    return config_from_dict(form, top, "scene").now()


def scene_to_json(scene: Scene, indent: int | None = 2, size: tuple[int, int] = (64, 64)) -> str:
    """Write the scene as JSON text; `size` as for `scene_to_dict`."""
    return json.dumps(scene_to_dict(scene, size), indent=indent, allow_nan=False)


def scene_from_json(text: str) -> Scene:
    """Parse JSON text into a scene.

    Raises:
        InputError: if `scene_from_dict` raises it, or if the text is not JSON or holds NaN or infinity.
    """
    return scene_from_dict(parse_json(text, "scene"))


def load_scene(path: Path | str, own: Mapping[str, str] | None = None) -> Scene:
    """Read a scene file. Own kinds that it names are looked for beside it, too, in the folder `objects`.

    Args:
        own: the full names of own kinds, by the names that the scene may use.

    Raises:
        InputError: if it cannot be read or is not a scene; the message names the file.
    """
    path = as_path("the scene file", path)
    with _named(path):
        data = parse_json(_text(path), "scene")
        if any(map(is_own, (*(item["kind"] for item in _items(data)), _scenery(data), *_textures(data)))):
            adopt(path.parent)
        for item in _items(data):
            item["kind"] = (own or {}).get(item["kind"], item["kind"])
        return scene_from_dict(data)


def kinds_of(path: Path) -> tuple[str, ...]:
    """List the kinds that a scene file names, whether they are known or not.

    Raises:
        InputError: if it cannot be read or is not JSON; the message names the file.
    """
    with _named(path):
        return tuple(item["kind"] for item in _items(parse_json(_text(path), "scene")))


def picture_size(path: Path, height: int) -> tuple[int, int]:
    """The width and height of pictures of so many rows, in the aspect of a scene file's camera; square without one.

    Raises:
        InputError: if it cannot be read or is not JSON; the message names the file.
    """
    with _named(path):
        data = _without_sample(parse_json(_text(path), "scene"))
    camera = data.get("camera") if isinstance(data, dict) else None
    across, down = (camera.get("width"), camera.get("height")) if isinstance(camera, dict) else (1, 1)
    if not (isinstance(across, int) and isinstance(down, int) and 0 < min(across, down)):
        return height, height
    return max(round(height * across / down), 1), height


def _without_sample(data: object) -> object:
    """Take the scene out of a sample of a dataset; anything else stays as it is."""
    return data.get("scene") if isinstance(data, dict) and data.get("schema") in SAMPLE_SCHEMAS else data


def _items(data: object) -> list[dict[str, Any]]:
    """List the objects in a parsed scene file that name a kind."""
    data = _without_sample(data)
    items = data.get("objects") if isinstance(data, dict) else None
    found = items if isinstance(items, list) else []
    return [item for item in found if isinstance(item, dict) and isinstance(item.get("kind"), str)]


def _textures(data: object) -> list[str]:
    """The names of the textures that are worn in a parsed scene file."""
    top = _without_sample(data)
    worn = [*_items(data), top.get("cloth") if isinstance(top, dict) else None]
    names = [item.get("texture") for item in worn if isinstance(item, dict)]
    return [name for name in names if isinstance(name, str)]


def _scenery(data: object) -> str:
    """The name of the scenery in a parsed scene file; empty without one."""
    data = _without_sample(data)
    table = data.get("table") if isinstance(data, dict) else None
    name = table.get("scenery") if isinstance(table, dict) else None
    return name if isinstance(name, str) else ""


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise InputError(f"{size} bytes is too large for a scene")
    return path.read_text(encoding="utf-8-sig")


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in errors."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def parse_json(text: str, what: str) -> object:
    """Parse strict JSON: no NaN, no infinity, bounded nesting.

    Raises:
        InputError: if it is something else; the message has the place of the first error.
    """

    def refuse(token: str) -> object:
        raise InputError(f"{what}: {token} is not a JSON number; write finite numbers only")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InputError(f"{what}: not JSON ({error.msg} at line {error.lineno} column {error.colno})") from None
    except RecursionError:
        raise InputError(f"{what}: JSON is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what}: not JSON ({error})") from None


def _unmarked(data: object, depth: int = 3) -> Any:
    """Leave out the keys that begin with an underscore, of objects in a scene and of those within them."""
    if isinstance(data, dict):
        return {key: _unmarked(value, depth - 1) for key, value in data.items() if not key.startswith("_")}
    return [_unmarked(item, depth - 1) for item in data] if isinstance(data, list) and depth > 0 else data
