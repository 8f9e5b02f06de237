"""Writes meshes as OBJ text, the same bytes on every platform, and reads it back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.profile import Array
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.textures import box_coordinates

_POSITION_DECIMALS = 6  # a micrometre
_NORMAL_DECIMALS = 5
_UV_DECIMALS = 5


def obj_text(mesh: Mesh, title: str, origin: str = "python -m air3d.scene3d.meshes.build, Apache-2.0") -> str:
    """Write `mesh` in Wavefront OBJ form: v, vt (if it has texture coordinates), vn, f; `origin` becomes a comment.

    Equal positions are written once, also across hard edges and texture seams, so that a reader
    which looks at positions alone sees a closed surface.

    Raises:
        ValueError: if a face degenerates when positions are rounded.
    """
    positions, v = _indexed(mesh.positions_m, _POSITION_DECIMALS)
    normals, vn = _indexed(mesh.normals, _NORMAL_DECIMALS)
    faces_v, faces_vn = v[mesh.faces] + 1, vn[mesh.faces] + 1
    if (faces_v == np.roll(faces_v, 1, axis=1)).any():
        raise ValueError(f"{title}: a face has two corners at one place after rounding")
    text = f"# air3d {title}: {origin}\no {title}\n" + _rows("v", positions, _POSITION_DECIMALS)
    if mesh.uvs is None:
        corners, template = np.stack([faces_v, faces_vn], axis=2), "f %d//%d %d//%d %d//%d\n"
    else:
        uvs, vt = _indexed(mesh.uvs, _UV_DECIMALS)
        text += _rows("vt", uvs, _UV_DECIMALS)
        corners = np.stack([faces_v, vt[mesh.faces] + 1, faces_vn], axis=2)
        template = "f %d/%d/%d %d/%d/%d %d/%d/%d\n"
    text += _rows("vn", normals, _NORMAL_DECIMALS)
    return text + template * len(corners) % tuple(corners.ravel().tolist())


def _indexed(values: Array, decimals: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different rows of `values` as integers in units of the last decimal, and the row number of each value."""
    # Rounding twice: the first, finer one removes a platform's last-bit noise, so that a value
    # which stands exactly between two decimals goes the same way everywhere.
    units = np.rint(np.round(values * 10.0**decimals, 3)).astype(np.int64)
    rows, first, inverse = np.unique(units, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rows[order], rank[inverse.reshape(-1)]


def _rows(keyword: str, units: NDArray[np.int64], decimals: int) -> str:
    row = keyword + f" %.{decimals}f" * units.shape[1] + "\n"
    return row * len(units) % tuple((units / 10.0**decimals).ravel().tolist())


def unwrapped(text: str, scale: tuple[float, float, float] = (1.0, 1.0, 1.0), anew: bool = False) -> str:
    """Give OBJ text of triangles `box_coordinates` at this scale; the rest stays.

    Args:
        anew: replaces texture coordinates that the text has; else it is left as it is if it has some.

    Raises:
        InputError: unless it is a triangle mesh with normals.
    """
    lines = text.splitlines()
    if not anew and any(line.startswith("vt ") for line in lines):
        return text
    faces = [[word.split("/") for word in line.split()[1:]] for line in lines if line.startswith("f ")]
    try:
        positions = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], dtype=np.float64)
        corners = positions[np.array([[int(corner[0]) - 1 for corner in face] for face in faces]).reshape(-1, 3)]
        normals = [corner[2] for face in faces for corner in face]
    except (ValueError, IndexError):
        raise InputError("not a mesh of triangles with normals") from None
    kept = [line for line in lines if not line.startswith(("f ", "vt "))]
    kept += [f"vt {u:.6f} {v:.6f}" for u, v in box_coordinates(corners * scale).reshape(-1, 2).tolist()]
    places = [corner[0] for face in faces for corner in face]
    words = [f"{v}/{k}/{vn}" for k, (v, vn) in enumerate(zip(places, normals, strict=True), start=1)]
    kept += ["f " + " ".join(words[k : k + 3]) for k in range(0, len(words), 3)]
    return "\n".join(kept) + "\n"


def parse_obj(text: str, title: str) -> Mesh:
    """The inverse of `obj_text`: a vertex for every different corner (position, texture coordinates, normal).

    Raises:
        InputError: unless it is a triangle mesh with normals; the message names `title`.
    """
    rows: dict[str, list[list[float]]] = {"v": [], "vt": [], "vn": []}
    corners: list[list[int]] = []
    try:
        for words in map(str.split, text.splitlines()):
            if words[:1] == ["f"]:
                if len(words) != 4:
                    raise ValueError
                corners += [[int(part or 0) for part in word.split("/")] for word in words[1:]]
            elif words and words[0] in rows:
                rows[words[0]].append([float(value) for value in words[1:]])
        v, vt, vn = np.array(corners, dtype=np.int64).reshape(-1, 3).T - 1
        different, faces = np.unique(np.stack([v, vt, vn]), axis=1, return_inverse=True)
        if not corners or different[[0, 2]].min() < 0:
            raise ValueError
        return Mesh(
            positions_m=np.array(rows["v"])[different[0]],
            normals=np.array(rows["vn"])[different[2]],
            faces=faces.reshape(-1, 3),
            uvs=np.array(rows["vt"])[different[1]] if rows["vt"] else None,
        )
    except (ValueError, IndexError):
        raise InputError(f"{title}: not a mesh of triangles with normals") from None
