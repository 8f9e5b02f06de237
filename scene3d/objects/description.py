"""Reads the TOML file that describes kinds of the user's own: one table for each kind, checked key by key.

[cow]
mesh = "spot.obj"        # MJCF, URDF, OBJ, STL, GLB, glTF or PLY, relative to this file; all else may be left out
height_m = 0.09          # or longest_m = ..., or scale = ... (metres in a unit of the file)
up = "y"                 # x, -x, y, -y, z, -z; glTF: y unless told, others: z
turn_deg = 90            # about the vertical axis, so that its front points along +x at yaw 0
colour = "#e8dcc8"       # or [r, g, b] from 0 to 1
texture = "spot.png"     # or "mesh": the one in the file, which must have one
symmetry = "none"        # or a number n: n-fold about the vertical axis; or "continuous"
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from air3d.scene3d.catalog import CATALOG, Rgb
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.own_kinds import MAX_YAW_ORDER, SHORT_NAME
from air3d.scene3d.symmetry import Symmetry
from air3d.scene3d.toml_file import read_toml

MESH_SUFFIXES = (".obj", ".stl", ".glb", ".gltf", ".ply")
MODEL_SUFFIXES = (".xml", ".urdf")
UPS = ("x", "-x", "y", "-y", "z", "-z")
SIZES = ("height_m", "longest_m", "scale")
KEYS = ("mesh", *SIZES, "up", "turn_deg", "colour", "texture", "symmetry")
IN_THE_MESH = "mesh"
_MAX_TOML_BYTES, _MAX_KINDS = 1 << 20, 64


@dataclass(frozen=True)
class ObjectDescription:
    """The user's description of one kind.

    Attributes:
        name: its short name.
        mesh: the file of its shape.
        where: the file, or file and table, which errors name.
        up: the file's axis that points up.
        size: one of `SIZES`, and its value: metres, or metres in a unit of the file; None for what the file says.
        turn_rad: the turn about the vertical axis that brings its front to +x.
        colour: sRGB in [0, 1]; it multiplies a texture. None for the file's.
        texture: a picture file; IN_THE_MESH for the one in the mesh file, which must have one; None for the looks of
            the file, unless there is a colour.
        symmetry: its symmetry; None for the one that is found.
    """

    name: str
    mesh: Path
    where: str
    up: str = "z"
    size: tuple[str, float] | None = None
    turn_rad: float = 0.0
    colour: Rgb | None = None
    texture: Path | str | None = None
    symmetry: Symmetry | None = None


def read_descriptions(path: Path) -> dict[str, ObjectDescription]:
    """Read the kinds that a TOML file describes, by short name. Meshes are not looked at.

    Raises:
        InputError: if it cannot be read, or has an unusable entry.
    """
    data = read_toml(path, _MAX_TOML_BYTES, "a description of objects", "objects")
    if not data or len(data) > _MAX_KINDS:
        raise InputError(f"{path}: describes {len(data)} kinds; write 1 to {_MAX_KINDS} tables such as [cow]")
    return {name: _described(path, name, table) for name, table in data.items()}


def _described(path: Path, name: str, table: object) -> ObjectDescription:
    where = f"{path}: [{name[:40]}]"
    if not isinstance(table, dict):
        raise InputError(
            f"{path}: {shown(name)} stands outside a table; write a line with the kind's name first: [cow]"
        )
    if not SHORT_NAME.fullmatch(name):
        raise InputError(f"{where}: a name is a small letter, then up to 31 small letters, digits or _")
    if name in CATALOG:
        raise InputError(f"{where}: is the name of a kind that air3d brings along; choose another")
    for key in table:
        if key not in KEYS:
            raise InputError(f"{where}: unknown key {shown(key)}: {_hint(key, KEYS)}keys are {', '.join(KEYS)}")
    mesh = _path(where, path, "mesh", table.get("mesh"))
    if mesh.suffix.lower() not in MESH_SUFFIXES + MODEL_SUFFIXES:
        endings = ", ".join(MESH_SUFFIXES + MODEL_SUFFIXES)
        raise InputError(f"{where}: mesh is {shown(str(mesh.name))}; its name must end in {endings}")
    return ObjectDescription(
        name=name,
        mesh=mesh,
        size=_size(where, table),
        up=_up(where, table, mesh),
        turn_rad=math.radians(_number(where, "turn_deg", table.get("turn_deg", 0.0), -360.0, 360.0)),
        colour=_colour(where, table),
        texture=_texture(where, path, table),
        symmetry=None if "symmetry" not in table else _symmetry(where, table["symmetry"]),
        where=where,
    )


def _hint(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{near[0]}'? " if near else ""


def _path(where: str, toml: Path, key: str, value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{where}: {key} is {shown(value)}; name a file, relative to the folder of {toml.name}")
    path = toml.parent / value
    if not os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long
        raise InputError(f"{where}: {key} is {shown(value)}; there is no such file in {toml.parent}")
    return path


def _number(where: str, key: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{where}: {key} is {shown(value)}; it must be a number from {low:g} to {high:g}")
    return float(value)


def _size(where: str, table: Mapping[str, Any]) -> tuple[str, float] | None:
    given = [key for key in SIZES if key in table]
    if not given:
        return None
    if len(given) > 1:
        raise InputError(f"{where}: give its size by one of {', '.join(SIZES)}, not by {' and '.join(given)}")
    return given[0], _number(where, given[0], table[given[0]], 1e-6, 1e6)


def usual_up(mesh: Path) -> str:
    """The axis that points up where nobody has said so: glTF lays down +y, MuJoCo +z, the other formats nothing."""
    return "y" if mesh.suffix.lower() in (".glb", ".gltf") else "z"


def _up(where: str, table: Mapping[str, Any], mesh: Path) -> str:
    up = table.get("up", usual_up(mesh))
    if up not in UPS:
        raise InputError(f"{where}: up is {shown(up)}; use one of {', '.join(UPS)}")
    return str(up)


def _colour(where: str, table: Mapping[str, Any]) -> Rgb | None:
    value = table.get("colour")
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        value = [round(int(value[i : i + 2], 16) / 255.0, 4) for i in (1, 3, 5)]
    ok = isinstance(value, list) and len(value) == 3
    if not ok or not all(type(v) in (int, float) and 0.0 <= v <= 1.0 for v in value):
        raise InputError(
            f"{where}: colour is {shown(value)}; write three numbers from 0 to 1, [0.9, 0.7, 0.1], or '#e6b31a'"
        )
    return float(value[0]), float(value[1]), float(value[2])


def _texture(where: str, toml: Path, table: Mapping[str, Any]) -> Path | str | None:
    value = table.get("texture")
    return value if value is None or value == IN_THE_MESH else _path(where, toml, "texture", value)


def _symmetry(where: str, value: object) -> Symmetry:
    if value == "none":
        return Symmetry()
    if value == "continuous":
        return Symmetry(yaw_order=0)
    if type(value) is int and 1 <= value <= MAX_YAW_ORDER:
        return Symmetry(yaw_order=value)
    hint = _hint(value, ("none", "continuous")) if isinstance(value, str) else ""
    raise InputError(
        f"{where}: symmetry is {shown(value)}: {hint}use 'none', 'continuous', or the number of turns about the "
        f"vertical axis that leave it as it is (2 to {MAX_YAW_ORDER})"
    )
