"""Reads STL files: binary, whatever their header begins with, and text."""

from __future__ import annotations

import re

import numpy as np

from air3d.scene3d.objects.raw_mesh import Polygons, UnreadableError, plain, unmarked

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)


def read_stl(data: bytes) -> Polygons:
    """Read the triangles of an STL file.

    Raises:
        UnreadableError: if it is cut off, or no STL file.
    """
    count = int.from_bytes(data[80:84], "little")
    whole = len(data) >= 84 and len(data) == 84 + _RECORD.itemsize * count
    text = data if whole else unmarked(data)
    head = text[:1024].lstrip()
    if not whole and head[:5].lower() == b"solid" and b"\0" not in head:
        return _text(text)
    if len(data) < 84:
        raise UnreadableError(
            f"is not an STL file, or is cut off: it has {len(data)} bytes, and the header alone takes 84"
        )
    there = (len(data) - 84) // _RECORD.itemsize
    if there < count:
        raise UnreadableError(f"is cut off, or not an STL file: its header says {count} triangles, {there} are there")
    records = np.frombuffer(data, _RECORD, count, 84)
    notes = []
    if over := len(data) - 84 - _RECORD.itemsize * count:
        notes.append(f"the file has {over} bytes after its last triangle; they are ignored")
    if b"COLOR=" in data[:80] or records["attribute"].any():
        notes.append("the colours of its triangles are not read")
    return _soup(records["corners"].astype(np.float64), notes)


def _text(data: bytes) -> Polygons:
    found = _VERTEX.findall(data)
    facets = len(re.findall(rb"\bendfacet\b", data, re.IGNORECASE))
    if len(found) != 3 * facets:
        raise UnreadableError(f"is cut off or damaged: it has {len(found)} vertices, but 'endfacet' {facets} times")
    if not re.search(rb"\bendsolid\b", data, re.IGNORECASE):
        raise UnreadableError(f"is cut off: {facets} triangles are whole, then it ends without 'endsolid'")
    try:
        return _soup(np.array(found, dtype=np.float64), [])
    except ValueError:
        raise UnreadableError("has a vertex that is not three numbers") from None


def _soup(points: np.ndarray, notes: list[str]) -> Polygons:
    corners = points.reshape(-1, 3)
    return plain(corners, np.full(len(corners) // 3, 3), np.arange(len(corners)), notes)
