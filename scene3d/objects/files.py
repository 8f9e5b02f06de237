"""Turns what a user names, a file or a folder, into descriptions of kinds: no TOML is needed, but one is understood.

A folder is that of a BOP data set's models (`models_info.json`), or it holds files of objects: MJCF and URDF, else
meshes, else folders of them. A file gets the name of its stem; stems that say nothing give way to the folder's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.description import (
    MESH_SUFFIXES,
    MODEL_SUFFIXES,
    ObjectDescription,
    read_descriptions,
    usual_up,
)

_ENDINGS = (*MODEL_SUFFIXES, *MESH_SUFFIXES)
_BOP = "models_info.json"
_MILLIMETRE = ("scale", 0.001)
_DEEPEST, _MOST_FILES = 4, 1000
# Stems that collections give to every object's file.
_SAYS_NOTHING = re.compile(
    r"(textured?|nontextured|textured_simple|model\w*|mesh|object|scene|visual\w*|base|main|google_\w+|poisson|tsdf|meshes|mjcf|urdf|assets)"
)


def described(path: Path) -> list[ObjectDescription]:
    """Describe the kinds of a TOML file, of an object's file, or of all such files in a folder.

    Raises:
        InputError: if there is no such file, or it is of no kind that is read.
    """
    if path.is_dir():
        found = list(_in_folder(path, _DEEPEST))
        if not found:
            raise InputError(f"{path}: this folder holds no objects: no {', '.join(_ENDINGS)}, no {_BOP}")
        if len(found) > _MOST_FILES:
            raise InputError(f"{path}: this folder holds {len(found)} objects, more than {_MOST_FILES}")
        return found
    if path.suffix.lower() == ".toml":
        return list(read_descriptions(path).values())
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(f"{path}: not the file of an object; its name must end in {', '.join(_ENDINGS)}, or .toml")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    return [_of_file(path)]


def names_a_file(word: str) -> bool:
    """Tell whether a word is a path, of a file or folder, and not a kind's name."""
    path = Path(word)
    return "/" in word or "\\" in word or path.suffix.lower() in (*_ENDINGS, ".toml") or path.is_dir()


def holds_objects(path: Path) -> bool:
    """Tell whether a path is named like the file of an object, or is a folder that holds some."""
    return next(_in_folder(path, _DEEPEST), None) is not None if path.is_dir() else names_a_file(path.name)


def kind_name(path: Path) -> str:
    """Make a kind's name of a file's: its stem, or the folder's where that says more, in letters that names may have.

    The names that air3d's own kinds have get an "own_" before them.
    """
    words = [path.stem, *(part.name for part in list(path.absolute().parents)[:3])]
    plain = [re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_") for word in words]
    name = next((word for word in plain if word and not _SAYS_NOTHING.fullmatch(word)), plain[0] or "thing")
    name = name if name[0].isalpha() else f"obj_{name}"
    return f"own_{name}"[:32] if name in CATALOG else name[:32]


def _of_file(path: Path) -> ObjectDescription:
    return ObjectDescription(kind_name(path), path, str(path), usual_up(path))


def _in_folder(folder: Path, deepest: int) -> Iterator[ObjectDescription]:
    if (folder / _BOP).is_file():
        yield from _of_bop(folder)
        return
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for endings in (MODEL_SUFFIXES, MESH_SUFFIXES):
        if mine := [path for path in files if path.suffix.lower() in endings and path.is_file()]:
            yield from map(_of_file, mine)
            return
    if deepest:
        for inner in files:
            if inner.is_dir():
                yield from _in_folder(inner, deepest - 1)


def _of_bop(folder: Path) -> Iterator[ObjectDescription]:
    """The models of a BOP data set (https://github.com/thodan/bop_toolkit says its format), in millimetres."""
    info = folder / _BOP
    try:
        numbers = sorted(int(key) for key in json.loads(info.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        raise InputError(f"{info}: not BOP's description of models") from None
    for number in numbers:
        mesh = folder / f"obj_{number:06d}.ply"
        if not mesh.is_file():
            raise InputError(f"{info}: names object {number}, but there is no {mesh.name} beside it")
        yield ObjectDescription(kind_name(mesh), mesh, str(mesh), size=_MILLIMETRE)
