"""Puts the picture on a mesh: keeps it where the triangles are the file's, else draws it anew for the new triangles.

A scanner cuts a surface into charts, whose borders run anywhere. A larger triangle that crosses one has no coordinates
on the scan's picture; it gets a place of its own on a new picture, and there the colours of the surface beneath it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt

from air3d.scene3d import srgb
from air3d.scene3d.arrays import Floats, Ints, Pixels
from air3d.scene3d.objects.atlas import neighbours, texels
from air3d.scene3d.objects.indexed import Indexed, bodies
from air3d.scene3d.objects.nearest import Skin, Surface, face_normals, spread_points

_SAME_UV = 1e-5
_MOST_TEXELS = 1 << 27


def reach_m(source: Surface, level: Indexed) -> float:
    """About the farthest that a mesh lies from the surface that it stands for, metres."""
    return float(source.nearest(spread_points(level.corners, 2000)[0]).distance_m.max())


def transferred(skin: Skin, values: Floats, corners: Floats) -> Floats:
    """Interpolate values (F, 3, D) at a surface's corners at the corners (G, 3, 3) of another near it.

    Each corner is looked up a little inside its own triangle, so that at a crease it finds its own side.
    """
    inside = corners + 0.05 * (corners.mean(axis=1, keepdims=True) - corners)
    face, weights = skin.match(inside.reshape(-1, 3), np.repeat(face_normals(corners), 3, axis=0))
    return np.einsum("pk,pkd->pd", weights, values[face]).reshape(*corners.shape[:2], values.shape[-1])


def seamless(mesh: Indexed) -> bool:
    """Tell whether texture coordinates are continuous over a mesh, which must be one body."""
    assert mesh.values is not None
    if bodies(mesh.faces).max(initial=0) > 0:
        return False
    here, there = neighbours(mesh.faces)
    ends = [_ends(mesh.faces, mesh.values, sides) for sides in (here, there)]
    return bool(np.abs(ends[0] - ends[1]).max(initial=0.0) <= _SAME_UV)


def _ends(faces: Ints, uvs: Floats, sides: Ints) -> Floats:
    """The coordinates (E, 2, 2) at the ends of sides 3 f + k, the end of the lower number first."""
    face, k = np.divmod(sides, 3)
    ends = np.stack([k, (k + 1) % 3], axis=1)
    swap = faces[face, ends[:, 0]] > faces[face, ends[:, 1]]
    ends[swap] = ends[swap, ::-1]
    return uvs[face[:, None], ends]


def baked(
    level: Indexed, places: Floats, normals: Floats, skin: Skin, values: Floats, picture: Pixels, side: int
) -> Pixels:
    """Bake a picture of side x side texels for a mesh, with the colours of another.

    Args:
        places: coordinates (F, 3, 2) on the picture, as `unwrapped` gives them.
        normals: (F, 3, 3), at the mesh's corners.
        skin, values, picture: the surface that has the colours, and its values at corners, which `coloured` reads.
    """
    found = np.zeros((side, side, 3), dtype=np.uint8)
    used = np.zeros((side, side), dtype=bool)
    for face, x, y, weights in texels(places * side, every=True):
        point = np.einsum("pk,pkd->pd", weights, level.corners[face])
        normal = np.einsum("pk,pkd->pd", weights, normals[face])
        hit, at = skin.match(point, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300))
        found[side - 1 - y, x] = coloured(picture, values, hit, at)
        used[side - 1 - y, x] = True
    return _spread(found, used)


def coloured(picture: Pixels, values: Floats, face: Ints, weights: Floats) -> Pixels:
    """Look up the colours (P, 3) at places of a surface: triangles (P,) and barycentric coordinates (P, 3).

    Args:
        picture, values: (H, W, 3), and (F, 3, D) at corners: coordinates on it, and colours that multiply it if D is 5.
    """
    found = np.einsum("pk,pkd->pd", weights, values[face])
    colours = sampled(picture, found[:, :2])
    if values.shape[2] == 2:
        return colours
    light = srgb.linear(colours / 255.0) * srgb.linear(np.clip(found[:, 2:], 0.0, 1.0))
    return np.rint(255.0 * srgb.encoded(light)).astype(np.uint8)


def sampled(picture: Pixels, uvs: Floats) -> Pixels:
    """Sample colours (P, 3) at coordinates (P, 2), between the four texels around each; the picture repeats."""
    height, width = picture.shape[:2]
    x, y = uvs[:, 0] * width - 0.5, (1.0 - uvs[:, 1]) * height - 0.5
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, down = (x - column)[:, None], (y - row)[:, None]
    a, b, c, d = (
        picture[(row + i) % height, (column + j) % width].astype(np.float64)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    mixed = (a * (1.0 - right) + b * right) * (1.0 - down) + (c * (1.0 - right) + d * right) * down
    return np.rint(mixed).astype(np.uint8)


def filled(picture: Pixels, uvs: Floats) -> Pixels:
    """Fill the texels that no triangle (F, 3, 2) uses with the colour of the nearest used one.

    Otherwise the gaps between charts, often black, show at their borders, and from afar everywhere.
    """
    height, width = picture.shape[:2]
    triangles = (uvs - np.floor(uvs.min(axis=1, keepdims=True))) * [width, height]
    if np.ptp(triangles, axis=1).prod(axis=1).sum() > _MOST_TEXELS:
        return picture
    used = np.zeros((height, width), dtype=bool)
    for _, x, y, _ in texels(triangles, every=True):
        used[(height - 1 - y) % height, x % width] = True
    # At a border the picture's own maker has often mixed in what lies beyond.
    block = np.ones((3, 3), dtype=bool)
    inner = binary_erosion(used, block, border_value=1)
    return _spread(picture, inner | (used & ~binary_dilation(inner, block)))


def _spread(picture: Pixels, used: NDArray[np.bool_]) -> Pixels:
    if used.all() or not used.any():
        return picture
    row, column = distance_transform_edt(~used, return_distances=False, return_indices=True)
    return np.asarray(picture[row, column])


def squared(picture: Pixels, side: int) -> Pixels:
    """Resize a picture (H, W, 3) to side x side texels."""
    if picture.shape[:2] == (side, side):
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
