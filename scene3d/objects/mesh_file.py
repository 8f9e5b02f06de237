"""A mesh file as arrays: read by trimesh, checked, nothing changed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scene3d.errors import InputError

Floats = NDArray[np.float64]

MAX_FACES = 1_000_000
_MAX_BYTES = 256 << 20


class RawMesh(NamedTuple):
    """Triangles as they are in the file.

    Attributes:
        corners: (F, 3, 3) in the file's units and axes.
        uvs: (F, 3, 2) texture coordinates, v upward; None without.
        picture: the texture in the file; None without.
    """

    corners: Floats
    uvs: Floats | None
    picture: Image.Image | None


def read_mesh(path: Path, where: str) -> RawMesh:
    """Read OBJ, STL, GLB or PLY; all its parts together.

    Args:
        where: names the description in errors.

    Raises:
        InputError: if trimesh is missing, or the file is not a mesh, empty, too large or not finite.
    """
    try:
        import trimesh
    except ModuleNotFoundError:
        raise InputError("own objects need the package 'trimesh': pip install 'air3d[objects]'") from None
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise InputError(f"{where}: mesh has {size >> 20} MB, more than {_MAX_BYTES >> 20}; simplify it first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mesh: Any = trimesh.load_scene(path, process=False).to_mesh()
            corners = np.asarray(mesh.triangles, dtype=np.float64)
            uvs, picture = _look(mesh)
    except Exception as error:  # whatever a parser makes of a damaged file
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{where}: {path.name} is not a mesh that trimesh can read ({reason})") from None
    if not len(corners):
        raise InputError(f"{where}: {path.name} holds no triangles")
    if len(corners) > MAX_FACES:
        raise InputError(f"{where}: {path.name} has {len(corners)} triangles; simplify it to at most {MAX_FACES}")
    if not np.isfinite(corners).all():
        raise InputError(f"{where}: {path.name} has a vertex that is not finite")
    if uvs is not None and (uvs.shape != (*corners.shape[:2], 2) or not np.isfinite(uvs).all()):
        uvs = None
    return RawMesh(corners, uvs, picture)


def _look(mesh: Any) -> tuple[Floats | None, Image.Image | None]:
    """Texture coordinates (F, 3, 2) and the texture, if the mesh has them."""
    if getattr(mesh.visual, "kind", None) != "texture" or mesh.visual.uv is None:
        return None, None
    material = mesh.visual.material
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    # Where there is none, trimesh puts a grey one of 2x2 pixels.
    own = picture is not None and max(picture.size) > 2
    return np.asarray(mesh.visual.uv, dtype=np.float64)[mesh.faces], picture if own else None
