"""Loads the meshes that renderers draw as arrays, for exports of geometry."""

from __future__ import annotations

from functools import cache

from air3d.scene3d.assets import asset_path
from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.obj import parse_obj
from air3d.scene3d.meshes.surface import Mesh


@cache
def load_mesh(name: str, detail: str) -> Mesh:
    """Load the mesh of a kind, or of the table ("table", display detail alone): metres, z up, at size 1.

    Args:
        detail: "inference" or "display".

    Raises:
        InputError: if the file is missing or unreadable.
    """
    file = f"{name}.{detail}.obj"
    path = asset_path("meshes", file)
    try:
        mesh = parse_obj(path.read_text(encoding="utf-8"), file)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    for array in (mesh.positions_m, mesh.normals, mesh.faces, mesh.uvs):
        if array is not None:
            array.setflags(write=False)
    return mesh
