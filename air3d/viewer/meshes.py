"""Writes the display meshes as binary glTF, which browsers draw: smooth, textured, coloured or as a ghost.

The meshes keep their frame: metres, z up, a handle along +x. Viser puts them into its scene as they are.
"""

from __future__ import annotations

from functools import lru_cache

from air3d.datasets.export.glb import Look, mesh_glb
from air3d.scene3d.catalog import Rgb

# sRGB of what belongs to the truth and to the inference, wherever it is drawn in one colour.
TRUTH_COLOUR: Rgb = (0.10, 0.62, 0.95)
INFERENCE_COLOUR: Rgb = (0.98, 0.45, 0.09)
GHOST = Look(TRUTH_COLOUR, opacity=0.40)


@lru_cache(maxsize=128)  # perturbed colours never end
def glb(mesh: str, look: Look) -> bytes:
    """Encode the mesh of a kind or a table; those of tables have radius 1 and thickness 1, their tops at z = 0.

    Raises:
        InputError: if the mesh or a texture is missing.
    """
    return mesh_glb(mesh, look)
