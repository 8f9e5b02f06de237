"""Writes the display meshes as binary glTF, which browsers draw: smooth, textured, coloured or as a ghost.

The meshes keep their frame: metres, z up, a handle along +x. Viser puts them into its scene as they are.
"""

from __future__ import annotations

from functools import cache, lru_cache

from air3d.datasets.export.glb import TABLE_TEXTURE, mesh_glb
from air3d.scene3d.catalog import Rgb, get_kind

# sRGB of what belongs to the truth and to the inference, wherever it is drawn in one colour.
TRUTH_COLOUR: Rgb = (0.10, 0.62, 0.95)
INFERENCE_COLOUR: Rgb = (0.98, 0.45, 0.09)
_GHOST_OPACITY = 0.40


@lru_cache(maxsize=64)  # perturbed colours never end
def object_glb(kind: str, colour: Rgb) -> bytes:
    """Encode a kind's mesh in an sRGB colour, textured where the catalog says so.

    Raises:
        InputError: for an unknown kind or a missing mesh.
    """
    return mesh_glb(kind, colour, get_kind(kind).texture)


@cache
def ghost_glb(kind: str) -> bytes:
    """Encode a kind's mesh in the colour of the truth, to be seen through.

    Raises:
        InputError: for an unknown kind or a missing mesh.
    """
    return mesh_glb(get_kind(kind).name, TRUTH_COLOUR, opacity=_GHOST_OPACITY)


@cache
def table_glb(mesh: str = "table") -> bytes:
    """Encode a table's mesh, of radius 1 and thickness 1, its top at z = 0.

    Raises:
        InputError: if its mesh is missing.
    """
    return mesh_glb(mesh, (1.0, 1.0, 1.0), TABLE_TEXTURE)
