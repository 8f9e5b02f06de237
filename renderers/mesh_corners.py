"""The corners of a compiled model's meshes, with the normals that MuJoCo's OpenGL renderer lights them by."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arrays import Floats


def face_meshes(model: mujoco.MjModel) -> NDArray[np.int64]:
    """(faces,) the mesh that each face of the model belongs to."""
    return np.searchsorted(model.mesh_faceadr, np.arange(model.nmeshface), side="right") - 1


def corner_normals(model: mujoco.MjModel) -> Floats:
    """The normals (faces, 3, 3) of all faces' corners, by the rule of MuJoCo's OpenGL renderer.

    A vertex normal that is more than about 37 degrees off its face is replaced by the face's, unless the mesh has
    texture coordinates.
    """
    face, mesh = _face_normals(model), face_meshes(model)
    normals = model.mesh_normal[model.mesh_facenormal + model.mesh_normaladr[mesh][:, None]]
    off = (normals * face[:, None]).sum(axis=2) < 0.8
    off &= (model.mesh_texcoordadr[mesh] < 0)[:, None]
    return np.where(off[..., None], face[:, None], normals)


def _face_normals(model: mujoco.MjModel) -> Floats:
    corners = model.mesh_vert[model.mesh_face + model.mesh_vertadr[face_meshes(model)][:, None]].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
