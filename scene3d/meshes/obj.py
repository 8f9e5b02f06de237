"""Meshes as OBJ text, the same bytes on every platform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene3d.meshes.profile import Array
from scene3d.meshes.surface import Mesh

_POSITION_DECIMALS = 6  # a micrometre
_NORMAL_DECIMALS = 5
_UV_DECIMALS = 5


def obj_text(mesh: Mesh, title: str) -> str:
    """`mesh` in Wavefront OBJ form: v, vt (where the mesh has texture coordinates), vn, f.

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
    lines = [f"# air3d {title}: python -m scene3d.meshes.build, Apache-2.0", f"o {title}"]
    lines += _rows("v", positions, _POSITION_DECIMALS)
    if mesh.uvs is None:
        corners = np.stack([faces_v, faces_vn], axis=2)
        template = "{}//{}"
    else:
        uvs, vt = _indexed(mesh.uvs, _UV_DECIMALS)
        lines += _rows("vt", uvs, _UV_DECIMALS)
        corners = np.stack([faces_v, vt[mesh.faces] + 1, faces_vn], axis=2)
        template = "{}/{}/{}"
    lines += _rows("vn", normals, _NORMAL_DECIMALS)
    lines += ["f " + " ".join(template.format(*corner) for corner in face) for face in corners.tolist()]
    return "\n".join(lines) + "\n"


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


def _rows(keyword: str, units: NDArray[np.int64], decimals: int) -> list[str]:
    scale = 10.0**decimals
    return [keyword + "".join(f" {value / scale:.{decimals}f}" for value in row) for row in units.tolist()]
