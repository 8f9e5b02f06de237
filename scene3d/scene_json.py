"""Writes scenes as JSON and reads them back exactly, checked field by field, with a schema version.

A scene stands by itself (`air3d-scene/1`) or within a sample of a dataset (`air3d-sample/1`, in its field `scene`, as
`air3d.datasets.samples` writes it); both are read.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from air3d.scene3d.arguments import as_path, check_is
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.own_kinds import adopt, is_own
from air3d.scene3d.scene import Scene

SCHEMA = "air3d-scene/1"
SAMPLE_SCHEMA = "air3d-sample/1"
MAX_OBJECTS = 1000
MAX_JSON_BYTES = 4 << 20


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """Convert the scene to plain JSON values; floats keep every bit (repr round-trips).

    Raises:
        InputError: for something that is no scene.
    """
    check_is("scene", "what is to be written", scene, Scene)
    return {
        "schema": SCHEMA,
        "table": config_to_dict(scene.table),
        "camera": config_to_dict(scene.camera),
        "light": config_to_dict(scene.light),
        "objects": [config_to_dict(item) for item in scene.objects],
    }


def scene_from_dict(data: object) -> Scene:
    """Invert `scene_to_dict`, also for the scene within a sample. Keys that begin with an underscore are ignored.

    Raises:
        InputError: for a wrong schema, a missing or unknown field, or a value out of range.
    """
    top = _unmarked(_without_sample(data))
    schema = top.pop("schema", None) if isinstance(top, dict) else SCHEMA
    if schema != SCHEMA:
        raise InputError(f"scene: schema is {shown(schema)}; this version reads '{SCHEMA}' and '{SAMPLE_SCHEMA}'")
    items = top.get("objects") if isinstance(top, dict) else None
    if isinstance(items, list) and len(items) > MAX_OBJECTS:
        raise InputError(f"scene: objects must be a list of at most {MAX_OBJECTS} entries")
    return config_from_dict(Scene, top, "scene")


def scene_to_json(scene: Scene, indent: int | None = 2) -> str:
    """Write the scene as JSON text."""
    return json.dumps(scene_to_dict(scene), indent=indent, allow_nan=False)


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
        if any(is_own(item["kind"]) for item in _items(data)):
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


def _without_sample(data: object) -> object:
    """Take the scene out of a sample of a dataset; anything else stays as it is."""
    return data.get("scene") if isinstance(data, dict) and data.get("schema") == SAMPLE_SCHEMA else data


def _items(data: object) -> list[dict[str, Any]]:
    """List the objects in a parsed scene file that name a kind."""
    data = _without_sample(data)
    items = data.get("objects") if isinstance(data, dict) else None
    found = items if isinstance(items, list) else []
    return [item for item in found if isinstance(item, dict) and isinstance(item.get("kind"), str)]


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
