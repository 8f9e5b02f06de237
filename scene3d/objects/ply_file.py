"""Reads PLY files: text and binary of both byte orders, polygons and strips, texture coordinates of either kind."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.errors import shown
from air3d.scene3d.objects.found_file import found_file
from air3d.scene3d.objects.raw_mesh import (
    Material,
    Picture,
    Polygons,
    UnreadableError,
    painted_over,
    strip,
    unmarked,
)

_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"}
_TYPES |= {"double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
_TYPES |= {"float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"}
_UVS = (("u", "v"), ("s", "t"), ("texture_u", "texture_v"), ("texture_s", "texture_t"), ("texcoord_u", "texcoord_v"))


class _Property(NamedTuple):
    name: str
    kind: str
    counted: str | None  # the type of the count of a list


class _Element(NamedTuple):
    name: str
    rows: int
    properties: list[_Property]


_Lists = tuple[Ints, NDArray[Any]]  # how many values each has, and all values
_Column = NDArray[Any] | _Lists


def read_ply(data: bytes, path: Path) -> Polygons:
    """Read the polygons of a PLY file.

    Raises:
        UnreadableError: if it is cut off, damaged, without faces, or no PLY file.
    """
    order, elements, pictures, body = _header(unmarked(data))
    columns = _text(body, elements) if order is None else _binary(body, elements, order)
    vertex, face = columns.get("vertex", {}), columns.get("face", {})
    if not all(isinstance(vertex.get(axis), np.ndarray) for axis in "xyz"):
        raise UnreadableError("has no vertices with x, y and z")
    points = np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=1)
    lists = face.get("vertex_indices", face.get("vertex_index"))
    if not isinstance(lists, tuple):
        lists = _strips(columns.get("tristrips", {}))
    if lists is None or not len(lists[0]):
        raise UnreadableError("holds points alone, no faces; make a surface of them first")
    sizes, corners = lists[0].astype(np.int64), lists[1].astype(np.int64)
    if len(corners) and not 0 <= corners.min() <= corners.max() < len(points):
        raise UnreadableError(f"has a face with a corner that is not among its {len(points)} vertices")
    uvs, material = _uvs(vertex, face, sizes, corners), np.zeros(len(sizes), np.int64)
    materials = [_material(name, path) for name in pictures] or [Material()]
    number = face.get("texnumber")
    if isinstance(number, np.ndarray) and len(materials) > 1:
        material = np.clip(number.astype(np.int64), 0, len(materials) - 1)
    keep = sizes >= 3
    if not keep.all():  # two corners are an edge
        whole = np.repeat(keep, sizes)
        sizes, corners, material, uvs = sizes[keep], corners[whole], material[keep], None if uvs is None else uvs[whole]
    tints = _tints(vertex, len(points))
    colours = None if tints is None else tints[corners]
    of_faces = None if colours is not None else _tints(face, len(lists[0]))
    if of_faces is not None:
        colours = np.repeat(of_faces[keep], sizes, axis=0)
    if colours is not None:
        colours = painted_over(colours, np.repeat(material, sizes), materials)
    return Polygons(points, sizes, corners, uvs, material, materials, [], colours)


def _header(data: bytes) -> tuple[str | None, list[_Element], list[str], bytes]:
    """Read the header: byte order (None for text), elements, names of pictures; return the rest of the file, too."""
    end = re.search(rb"(?:^|[\r\n])end_header[ \t]*(?:\r\n|\n|\r)", data[: 1 << 20])
    if not data.startswith(b"ply") or end is None:
        raise UnreadableError("is not a PLY file, or is cut off within its header")
    order, elements, pictures = "", list[_Element](), list[str]()
    for line in re.split(r"\r\n|\n|\r", data[: end.start()].decode("utf-8", "surrogateescape")):
        words = line.split()
        match words:
            case ["format", kind, *_]:
                order = kind
            case ["comment", "TextureFile" | "texturefile", _, *_]:
                pictures.append(line.split(None, 2)[2])
            case ["element", name, count] if count.isdigit():
                elements.append(_Element(name, int(count[:12]), []))
            case ["property", "list", counted, kind, name] if elements and {counted, kind} <= _TYPES.keys():
                elements[-1].properties.append(_Property(name, _TYPES[kind], _TYPES[counted]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1].properties.append(_Property(name, _TYPES[kind], None))
            case ["element" | "property", *_]:
                raise UnreadableError(f"has a header line that is not understood: {shown(line)}")
    orders = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}
    if order not in orders:
        raise UnreadableError(f"is a PLY file of format {shown(order)}; ascii and binary are read")
    return orders[order], elements, pictures, data[end.end() :]


def _binary(body: bytes, elements: list[_Element], order: str) -> dict[str, dict[str, _Column]]:
    found, at = {}, 0
    for element in elements:
        cursor = _Cursor(body, at, order, element)
        found[element.name] = _table(cursor, element) if element.rows else {}
        at = cursor.at
    return found


class _Cursor:
    """Takes value after value out of a binary file, from byte `at` on."""

    def __init__(self, body: bytes, at: int, order: str, element: _Element) -> None:
        self.body, self.at, self.order, self._element = body, at, order, element

    def __call__(self, kind: str, count: int) -> list[float]:
        form = np.dtype(self.order + kind)
        if count < 0 or self.at + form.itemsize * count > len(self.body):
            raise _cut_off(self._element)
        found: list[float] = np.frombuffer(self.body, form, count, self.at).tolist()
        self.at += form.itemsize * count
        return found


def _table(cursor: _Cursor, element: _Element) -> dict[str, _Column]:
    """Read one element's rows; fast where all lists are as long as those of the first row, which is usual."""
    start, order = cursor.at, cursor.order
    lengths = {}
    for k, (_, kind, counted) in enumerate(element.properties):
        if counted:
            lengths[k] = int(cursor(counted, 1)[0])
        cursor(kind, lengths.get(k, 1))
    fields: list[tuple[str, Any]] = []
    for k, (_, kind, counted) in enumerate(element.properties):
        if counted:
            fields.append((f"#{k}", order + counted))
        fields.append((f"{k}", (order + kind, (lengths[k],)) if counted else order + kind))
    row = np.dtype(fields)
    if row.itemsize and start + element.rows * row.itemsize <= len(cursor.body):
        table = np.frombuffer(cursor.body, row, element.rows, start)
        if all((table[f"#{k}"] == n).all() for k, n in lengths.items()):
            cursor.at = start + element.rows * row.itemsize
            return {
                p.name: (table[f"#{k}"].astype(np.int64), table[f"{k}"].reshape(-1)) if p.counted else table[f"{k}"]
                for k, p in enumerate(element.properties)
            }
    if not lengths:
        raise _cut_off(element)
    cursor.at = start
    return _by_rows(element, itertools.repeat(cursor, element.rows))


def _by_rows(element: _Element, rows: Iterable[Callable[[str, int], list[float]]]) -> dict[str, _Column]:
    """Read an element row by row; each row is asked for so many values of a type, from left to right."""
    values: list[list[float]] = [[] for _ in element.properties]
    counts: list[list[int]] = [[] for _ in element.properties]
    for row in rows:
        for k, (_, kind, counted) in enumerate(element.properties):
            counts[k].append(int(row(counted, 1)[0]) if counted else 1)
            values[k] += row(kind, counts[k][-1])
    return {
        p.name: (np.array(counts[k], np.int64), np.array(values[k])) if p.counted else np.array(values[k])
        for k, p in enumerate(element.properties)
    }


def _cut_off(element: _Element) -> UnreadableError:
    return UnreadableError(f"is cut off or damaged: its header says {element.rows} of element {shown(element.name)}")


def _text(body: bytes, elements: list[_Element]) -> dict[str, dict[str, _Column]]:
    rows = [line.split() for line in re.split(rb"\r\n|\n|\r", body) if line.strip()]
    found: dict[str, dict[str, _Column]] = {}
    at = 0
    for element in elements:
        mine = rows[at : at + element.rows]
        at += element.rows
        if len(mine) < element.rows:
            raise _cut_off(element)
        try:
            found[element.name] = _text_table(mine, element)
        except (ValueError, IndexError):
            raise UnreadableError(
                f"has a line of element {shown(element.name)} that is not as its header says"
            ) from None
    return found


def _text_table(rows: list[list[bytes]], element: _Element) -> dict[str, _Column]:
    if not any(counted for _, _, counted in element.properties):
        table = np.array([row[: len(element.properties)] for row in rows], dtype=np.float64)
        table = table.reshape(len(rows), len(element.properties))
        return {p.name: table[:, k] for k, p in enumerate(element.properties)}
    return _by_rows(element, map(_words, rows))


def _words(row: list[bytes]) -> Callable[[str, int], list[float]]:
    words = map(float, row)

    def take(_: str, count: int) -> list[float]:
        found = list(itertools.islice(words, count))
        if len(found) < count:
            raise IndexError
        return found

    return take


def _strips(table: dict[str, _Column]) -> _Lists | None:
    """Turn strips of triangles, ended by -1, into triangles."""
    lists = next((column for column in table.values() if isinstance(column, tuple)), None)
    if lists is None:
        return None
    values = lists[1].astype(np.int64)
    ends = np.concatenate([np.cumsum(lists[0]), np.flatnonzero(values < 0)])
    triangles = []
    for start, end in itertools.pairwise(sorted({0, *ends.tolist(), *(np.flatnonzero(values < 0) + 1).tolist()})):
        if start < end and values[start:end].min() >= 0:
            triangles.append(strip(values[start:end]))
    corners = np.concatenate([*triangles, np.zeros((0, 3), np.int64)])
    return np.full(len(corners), 3), corners.reshape(-1)


def _uvs(vertex: dict[str, _Column], face: dict[str, _Column], sizes: Ints, corners: Ints) -> Floats | None:
    of_faces = face.get("texcoord")
    if isinstance(of_faces, tuple) and (of_faces[0] == 2 * sizes).all() and len(of_faces[1]):
        return of_faces[1].astype(np.float64).reshape(-1, 2)
    for u, v in _UVS:
        first, second = vertex.get(u), vertex.get(v)
        if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
            return np.stack([first, second], axis=1).astype(np.float64)[corners]
    return None


def _tints(table: dict[str, _Column], count: int) -> Floats | None:
    """Read the colours of vertices or faces (N, 3), from 0 to 1."""
    for prefix in ("", "diffuse_"):
        columns = [table.get(f"{prefix}{name}") for name in ("red", "green", "blue")]
        if all(isinstance(column, np.ndarray) and len(column) == count for column in columns):
            values = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
            whole = any(np.asarray(column).dtype.kind in "iu" for column in columns) or values.max(initial=0.0) > 1.0
            return np.clip(np.nan_to_num(values / (255.0 if whole else 1.0)), 0.0, 1.0)
    return None


def _material(name: str, path: Path) -> Material:
    file = found_file(name, [path.parent])
    if file is None:
        return Material(name, problem=f"{path.name} names {shown(name)}; there is no such file in {path.parent}")
    return Material(name, picture=Picture(file, str(file)))
