"""The display meshes as binary glTF, which browsers draw: smooth, textured, in their own colour or as a ghost.

The meshes keep their frame: metres, z up, a handle along +x. Viser puts them into its scene as they are.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from scene3d.assets import asset_path
from scene3d.catalog import Rgb, get_kind

# sRGB of what belongs to the truth and to the inference, wherever it is drawn in one colour.
TRUTH_COLOUR: Rgb = (0.10, 0.62, 0.95)
INFERENCE_COLOUR: Rgb = (0.98, 0.45, 0.09)
_GHOST_OPACITY = 0.40
_ROUGHNESS = 0.45


@lru_cache(maxsize=64)  # perturbed colours never end
def object_glb(kind: str, colour: Rgb) -> bytes:
    """A kind's mesh in an sRGB colour, textured where the catalog says so.

    Raises:
        InputError: for an unknown kind or a missing mesh.
    """
    return _glb(f"{kind}.display.obj", colour, 1.0, get_kind(kind).texture)


@cache
def ghost_glb(kind: str) -> bytes:
    """A kind's mesh in the colour of the truth, to be seen through.

    Raises:
        InputError: for an unknown kind or a missing mesh.
    """
    return _glb(f"{get_kind(kind).name}.display.obj", TRUTH_COLOUR, _GHOST_OPACITY, None)


@cache
def table_glb() -> bytes:
    """The table of radius 1 and thickness 1, its top at z = 0.

    Raises:
        InputError: if its mesh is missing.
    """
    return _glb("table.display.obj", (1.0, 1.0, 1.0), 1.0, "table.png")


def _glb(mesh_file: str, colour: Rgb, opacity: float, texture: str | None) -> bytes:
    import trimesh
    from PIL import Image

    mesh: Any = trimesh.load(asset_path("meshes", mesh_file), process=False)
    material = trimesh.visual.material.PBRMaterial(
        name="air3d",
        baseColorFactor=[*(_linear(value) for value in colour), opacity],
        baseColorTexture=None if texture is None else Image.open(asset_path("textures", texture)),
        metallicFactor=0.0,
        roughnessFactor=_ROUGHNESS,
        alphaMode="OPAQUE" if opacity == 1.0 else "BLEND",
        doubleSided=False,
    )
    uv = None if texture is None else mesh.visual.uv
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return bytes(mesh.export(file_type="glb", include_normals=True))


def _linear(value: float) -> float:
    """sRGB to linear light, which glTF's colour factors are in (IEC 61966-2-1)."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
