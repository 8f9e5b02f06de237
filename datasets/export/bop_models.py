"""The objects of a BOP dataset: models in millimetres, their sizes and symmetries, and poses of their frames.

BOP puts a model's origin into the middle of its bounding box, ours stands on the table. So the two frames differ by a
shift: p_air3d = p_bop + centre, and a pose (R, t) of ours is (R, t + R centre) there. The centre is that of the
display mesh whatever the detail, so that two exports agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import pdist

from air3d.scene3d.arrays import Floats
from air3d.scene3d.catalog import Kind, get_kind
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.poses import about_z

MM = 1000.0


class BopObject(NamedTuple):
    """A kind, numbered as an object of a BOP dataset.

    Attributes:
        number: the object's ID, from 1.
        kind: its kind.
        centre_m: (3,), BOP's origin in our frame of the object, metres.
    """

    number: int
    kind: Kind
    centre_m: Floats

    @property
    def file(self) -> str:
        """The file name of its model."""
        return f"obj_{self.number:06d}.ply"


def bop_objects(kinds: Sequence[str]) -> dict[str, BopObject]:
    """Number the objects by kind, from 1 in this order. Raises InputError for unknown kinds or missing meshes."""
    found = {}
    for number, name in enumerate(kinds, 1):
        points = load_mesh(name, "display").positions_m
        # Meshes are written to a micrometre; this removes the last bits of the division.
        centre = np.round((points.min(axis=0) + points.max(axis=0)) / 2.0, 7) + 0.0
        found[name] = BopObject(number, get_kind(name), centre)
    return found


def bop_pose(item: BopObject, object_to_camera: Floats) -> tuple[list[float], list[float]]:
    """Turn our pose (4, 4), metres, into BOP's rotation (9, row after row) and translation (3, millimetres)."""
    rotation = object_to_camera[:3, :3]
    shift = object_to_camera[:3, 3] + rotation @ item.centre_m
    return rotation.ravel().tolist(), (MM * shift).tolist()


def points_mm(item: BopObject, detail: str) -> Floats:
    """(V, 3) vertices of the model in its own frame, millimetres."""
    return MM * (load_mesh(item.kind.name, detail).positions_m - item.centre_m)


def model_ply(item: BopObject, detail: str) -> bytes:
    """The model as PLY text, as bop_toolkit reads it: positions, normals, and a colour or texture coordinates."""
    mesh, kind = load_mesh(item.kind.name, detail), item.kind
    textured = kind.texture is not None and mesh.uvs is not None
    head = ["ply", "format ascii 1.0"]
    head += [f"comment TextureFile {kind.texture}"] if textured else []
    head += [f"element vertex {len(mesh.positions_m)}"]
    head += [f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")]
    colour = "".join(f" {round(255 * value)}" for value in kind.colour)
    head += [f"property uchar {name}" for name in ("red", "green", "blue")]
    head += ["property float texture_u", "property float texture_v"] if textured else []
    head += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header"]
    points, lines = points_mm(item, detail), []
    for row, (point, normal) in enumerate(zip(points.tolist(), mesh.normals.tolist(), strict=True)):
        uv = "".join(f" {value:.5f}" for value in mesh.uvs[row]) if textured and mesh.uvs is not None else ""
        lines.append(_numbers(point, 4) + " " + _numbers(normal, 5) + colour + uv)
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh.faces.tolist()]
    return ("\n".join(head + lines) + "\n").encode()


def _numbers(values: Sequence[float], decimals: int) -> str:
    # Adding zero turns -0.0 into 0.0.
    return " ".join(f"{round(value, decimals) + 0.0:.{decimals}f}" for value in values)


def model_info(item: BopObject, detail: str) -> dict[str, Any]:
    """The model's entry in models_info.json: bounding box, diameter (largest distance of two vertices), symmetries."""
    points = np.round(points_mm(item, detail), 4)
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    info: dict[str, Any] = {"diameter": float(pdist(np.unique(points, axis=0)).max())}
    info |= {f"min_{axis}": float(value) for axis, value in zip("xyz", low, strict=True)}
    info |= {f"size_{axis}": float(value) for axis, value in zip("xyz", size, strict=True)}
    return info | symmetries(item)


def symmetries(item: BopObject) -> dict[str, Any]:
    """`symmetries_discrete` (4x4 row after row, without the identity) and `symmetries_continuous` (axis, offset).

    bop_toolkit turns each discrete motion by every step of each continuous one. It cannot say that every rotation of
    a sphere is one; three axes through the centre come nearest.
    """
    symmetry = item.kind.symmetry
    pivot = MM * (np.array([0.0, 0.0, item.kind.height_m / 2.0]) - item.centre_m)
    pivot = np.round(pivot, 4) + 0.0
    axes = np.eye(3) if symmetry.spherical else np.eye(3)[2:] if symmetry.continuous_yaw else np.empty((0, 3))
    turns = 1 if symmetry.continuous_yaw else symmetry.yaw_order
    seen, motions = set(), []
    for rotation in (_turn(k, turns) @ r for k in range(turns) for r in symmetry.rotations()):
        # With a continuous symmetry about z, rotations that differ by a turn about z are one and the same.
        telling = rotation[2] if symmetry.continuous_yaw else rotation
        key = tuple(np.rint(1e6 * telling).astype(int).ravel().tolist())
        if key not in seen:
            seen.add(key)
            motion = np.eye(4)
            motion[:3, :3], motion[:3, 3] = rotation, pivot - rotation @ pivot
            motions.append(motion.ravel().tolist())
    found: dict[str, Any] = {}
    if len(motions) > 1 and not symmetry.spherical:
        found["symmetries_discrete"] = motions[1:]  # the first is the identity
    if len(axes):
        found["symmetries_continuous"] = [{"axis": axis.tolist(), "offset": pivot.tolist()} for axis in axes]
    return found


def _turn(k: int, turns: int) -> Floats:
    """The rotation (3, 3) by k of so many equal turns about z; quarter turns come out exact."""
    return np.round(about_z(2.0 * np.pi * k / turns), 15) + 0.0
