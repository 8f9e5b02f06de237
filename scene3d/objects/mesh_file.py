"""Reads a file as triangles: OBJ, STL, GLB, glTF, PLY, MJCF, URDF. Nothing changes but that polygons are cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.description import MODEL_SUFFIXES
from air3d.scene3d.objects.gltf_file import read_glb
from air3d.scene3d.objects.obj_file import read_obj
from air3d.scene3d.objects.ply_file import read_ply
from air3d.scene3d.objects.polygons import cut
from air3d.scene3d.objects.raw_mesh import Polygons, RawMesh, UnreadableError
from air3d.scene3d.objects.stl_file import read_stl
from air3d.scene3d.wrong_file import wrong_file

MAX_FACES = 1_000_000
_MAX_BYTES = 256 << 20
_FARTHEST = 1e12

_READERS: dict[str, Callable[[bytes, Path], Polygons]] = {
    ".obj": read_obj,
    ".stl": lambda data, _: read_stl(data),
    ".glb": read_glb,
    ".gltf": read_glb,
    ".ply": read_ply,
}


def read_mesh(path: Path, where: str) -> RawMesh:
    """Read a file of one object; all its parts together.

    Args:
        where: names the description in errors.

    Raises:
        InputError: if the file is not a mesh, damaged, empty, too large or not finite.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise InputError(f"{where}: mesh has {size >> 20} MB, more than {_MAX_BYTES >> 20}; simplify it first")
        if not size:
            raise UnreadableError("is empty: it holds no triangles")
        data = path.read_bytes()
        if wrong := wrong_file(data[:100]):
            raise UnreadableError(wrong)
        with np.errstate(all="ignore"):
            found = _read(data, path, where)
    except UnreadableError as error:
        raise InputError(f"{where}: {path.name} {error}") from None
    except OSError as error:
        raise InputError(f"{where}: {error.filename or path}: {error.strerror or error}") from None
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes of a parser
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{where}: {path.name} is damaged, or not a mesh ({reason})") from None
    return cut_up(found, f"{where}: {path.name}")


def cut_up(found: Polygons, file: str) -> RawMesh:
    """Cut polygons into triangles.

    Args:
        file: names the file in errors.

    Raises:
        InputError: if there are none, too many, or some are not finite.
    """
    triangles = int((found.sizes - 2).sum())
    if not triangles:
        raise InputError(f"{file} holds no triangles")
    if triangles > MAX_FACES:
        raise InputError(f"{file} has {triangles} triangles; simplify it to at most {MAX_FACES}")
    points = found.points[found.corners]
    if not np.isfinite(points).all():
        raise InputError(f"{file} has a vertex that is not finite")
    if (far := float(np.abs(points).max())) > _FARTHEST:
        raise InputError(f"{file} is damaged: it has a vertex at {far:.3g}")
    rows, owner = cut(found.points, found.sizes, found.corners, file)
    uvs, colours = (None if values is None else values[rows] for values in (found.uvs, found.colours))
    materials, notes, solids = tuple(found.materials), tuple(found.notes), tuple(found.solids)
    return RawMesh(points[rows], uvs, found.material[owner], materials, notes, colours, solids)


def _read(data: bytes, path: Path, where: str) -> Polygons:
    suffix = path.suffix.lower()
    if suffix not in MODEL_SUFFIXES:
        return _READERS[suffix](data, path)
    from air3d.scene3d.objects.mjcf_file import read_mujoco  # only these need MuJoCo

    return read_mujoco(data, path, lambda file: read_mesh(file, where))
