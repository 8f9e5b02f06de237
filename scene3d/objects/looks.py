"""Paints the materials of a mesh into one picture where there are several, or pictures that do not simply repeat.

Each material gets a square cell of the picture. Its own picture is drawn there as often as it repeats on the surface,
and a little beyond on every side, so that a renderer that blurs does not mix it with its neighbours.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.sparse import csgraph

from air3d.scene3d import srgb
from air3d.scene3d.arrays import Floats, Ints, Pixels
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import Rgb
from air3d.scene3d.objects.description import IN_THE_MESH, ObjectDescription
from air3d.scene3d.objects.raw_mesh import WHITE, Material, Picture, RawMesh, described
from air3d.scene3d.own_kinds import MAX_TEXTURE_SIDE
from air3d.scene3d.picture_file import read_rgb

# Texture coordinates are written with five decimals and read as single precision: repeats beyond this would blur.
_MAX_REPEATS = 256
_MAX_MATERIALS = 256
_LEAST_CELL, _PLAIN = 8, 32
_GREY: Rgb = (0.7, 0.7, 0.7)  # of what nobody has given a colour


class Painted(NamedTuple):
    """The painted materials.

    Attributes:
        uvs: (F, 3, 2), finite coordinates in the picture, which repeats; None without a picture.
        picture: (H, W, 3), sRGB; None without.
        notes: lines that say what was left out.
        colour: sRGB in [0, 1], which multiplies all.
        colours: (F, 3, 3), sRGB in [0, 1], of corners, which multiply the picture; None without any.
    """

    uvs: Floats | None
    picture: Pixels | None
    notes: tuple[str, ...]
    colour: Rgb = WHITE
    colours: Floats | None = None


def painted(raw: RawMesh, description: ObjectDescription) -> Painted:
    """Paint as a description asks: one colour, a picture of its own, or what the mesh file has.

    Raises:
        InputError: if a picture is missing or cannot be read, or there are no texture coordinates for it.
    """
    where, file = description.where, description.mesh.name
    used = [raw.materials[k] for k in np.unique(raw.material)]
    pictured = any(material.picture or material.problem for material in used)
    colour = description.colour or WHITE
    if description.texture is None and description.colour is not None:
        unused = pictured or raw.colours is not None or len({material.colour for material in used}) > 1
        note = 'its colour is given: the looks in the file are not used (texture = "mesh" uses them)'
        return Painted(None, None, (note,) if unused else (), colour)
    if description.texture == IN_THE_MESH:
        if not pictured and raw.colours is None and len({_key(material) for material in used}) == 1:
            rgb = "".join(f"{round(255 * value):02x}" for value in used[0].colour)
            raise InputError(
                f'{where}: texture is "mesh", but {file} carries none; give one colour instead, colour = "#{rgb}"'
            )
        found = _of_the_mesh(raw, where, file, strict=True)
        return found if description.colour is None else found._replace(colour=colour)
    if description.texture is None:
        lost = [material.problem for material in used if material.problem]
        raw = raw._replace(materials=tuple(material._replace(problem="") for material in raw.materials))
        if raw.colours is None and not any(map(described, used)):
            return Painted(None, None, (), _GREY)
        found = _of_the_mesh(raw, where, file, strict=False)
        return found._replace(notes=(*lost[:4], *found.notes))
    uvs, notes = raw.uvs, []
    if uvs is None or np.isnan(uvs).all():
        raise InputError(f"{where}: texture is given, but {file} has no texture coordinates")
    if len({material.picture for material in used}) > 1:
        notes.append(f"the file has {len(used)} materials: the texture that is given covers all of them")
    if missing := int(np.isnan(uvs).any(axis=(1, 2)).sum()):
        notes.append(f"{missing} triangles have no texture coordinates: they show the texture's corner")
        uvs = np.nan_to_num(uvs)
    picture = _read(Picture(Path(description.texture), f"texture {description.texture}"), where, notes)
    return Painted(_near_zero(raw.corners, uvs, where, ("repeat", "repeat")), picture, tuple(notes), colour)


def _of_the_mesh(raw: RawMesh, where: str, file: str, strict: bool) -> Painted:
    keys = {k: _key(raw.materials[k]) for k in np.unique(raw.material).tolist()}
    different = list(dict.fromkeys(keys.values()))
    materials = [raw.materials[next(k for k, key in keys.items() if key == found)] for found in different]
    cell = np.array([different.index(keys[k]) for k in raw.material.tolist()], dtype=np.int64)
    problems = [material.problem for material in materials if material.problem]
    if problems:
        more = f", and {len(problems) - 1} more like it" if len(problems) > 1 else ""
        raise InputError(f'{where}: texture is "mesh", but {problems[0]}{more}')
    colours = raw.colours
    notes = [f"material {shown(m.name)} is see-through in the file; it is drawn solid" for m in materials if m.clear]
    even = colours is None or np.ptp(colours, axis=(0, 1)).max() < 1.0 / 255.0
    if len(materials) == 1 and materials[0].picture is None and even:
        plain = materials[0].colour if colours is None else _times(materials[0].colour, colours[0, 0])
        return Painted(None, None, tuple(notes), plain)
    if len(materials) > _MAX_MATERIALS:
        raise InputError(
            f"{where}: {file} has {len(materials)} materials, more than {_MAX_MATERIALS}; bake them into one texture"
        )
    uvs = np.full((*raw.corners.shape[:2], 2), np.nan) if raw.uvs is None else raw.uvs.copy()
    for k, material in enumerate(materials):
        mine = cell == k
        if material.picture is None:
            uvs[mine] = 0.5
        elif (lost := np.isnan(uvs[mine])).any():
            count = int(lost.any(axis=(1, 2)).sum())
            said = f"{count} triangles of {file} have a picture ({shown(material.name)}), but no texture coordinates"
            if strict:
                raise InputError(f"{where}: {said}; give one colour instead of texture")
            notes.append(f"{said}: they show its corner")
            uvs[mine] = _near_zero(raw.corners[mine], np.nan_to_num(uvs[mine]), where, material.picture.wrap)
        else:
            uvs[mine] = _near_zero(raw.corners[mine], uvs[mine], where, material.picture.wrap)
    tiles = [_tile(material, where, notes) for material in materials]
    first = materials[0].picture
    if len(materials) == 1 and first is not None:
        inside = uvs.min(axis=(0, 1)) >= 0.0, uvs.max(axis=(0, 1)) <= 1.0
        if all(first.wrap[k] == "repeat" or (inside[0][k] and inside[1][k]) for k in (0, 1)):
            return Painted(uvs, tiles[0], tuple(notes), colours=colours)
    picture, uvs = _atlas(materials, tiles, uvs, cell)
    return Painted(uvs, picture, tuple(notes), colours=colours)


def _times(first: Rgb, second: Floats) -> Rgb:
    """Multiply two colours in linear light."""
    r, g, b = srgb.encoded(srgb.linear(np.array(first)) * srgb.linear(second)).tolist()
    return r, g, b


def _key(material: Material) -> object:
    """The key of a material's cell: materials that look the same share one."""
    if material.picture is None or material.problem:
        return material.colour, material.problem
    return material.picture._replace(name=""), material.tint


def _read(picture: Picture, where: str, notes: list[str]) -> Pixels:
    try:
        return read_rgb(picture.file, picture.name, alpha="ignore", as_stored=picture.as_stored, notes=notes)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _tile(material: Material, where: str, notes: list[str]) -> Pixels:
    """Multiply a material's picture by its tint, in linear light; without a picture it is the colour."""
    if material.picture is None:
        return np.full((1, 1, 3), np.rint(255.0 * np.array(material.colour)), np.uint8)
    pixels = _read(material.picture, where, notes)
    if material.tint == (1.0, 1.0, 1.0):
        return pixels
    table = srgb.encoded(srgb.linear(np.arange(256) / 255.0)[:, None] * material.tint)
    return np.stack([np.rint(255.0 * table[:, k]).astype(np.uint8)[pixels[..., k]] for k in range(3)], axis=-1)


def _near_zero(corners: Floats, uvs: Floats, where: str, wrap: tuple[str, str]) -> Floats:
    """Take from texture coordinates (F, 3, 2), chart by chart, the whole numbers that do not show.

    Raises:
        InputError: if one chart goes over hundreds of repeats.
    """
    if not (np.abs(uvs) < 1e7).all():
        raise InputError(f"{where}: a texture coordinate is {np.abs(uvs).max():g}; the file is damaged")
    period = np.array([{"repeat": 1.0, "mirror": 2.0, "clamp": 0.0}[mode] for mode in wrap])
    low, high = uvs.min(axis=(0, 1)), uvs.max(axis=(0, 1))
    if (low < 0.0).any() or (high > 1.0).any():
        chart = _charts(corners, uvs)
        least = np.full((chart.max() + 1, 2), np.inf)
        np.minimum.at(least, chart, uvs.min(axis=1))
        # A hair below a whole number is that number.
        whole = np.floor((least + 1e-4) / np.maximum(period, 1.0)) * period
        uvs = uvs - whole[chart][:, None]
        # Clamped, all beyond the border is the border.
        uvs = np.where(period == 0.0, np.clip(uvs, -0.5, 1.5), uvs)
    if (reach := float(np.abs(uvs).max())) > _MAX_REPEATS:
        raise InputError(
            f"{where}: its texture coordinates go over {reach:.0f} repeats of the picture, more than {_MAX_REPEATS}; "
            "its texture would be a blur: scale them down"
        )
    return uvs


def _charts(corners: Floats, uvs: Floats) -> Ints:
    """Number the chart of each triangle, (F,): triangles of one share corners, in space and in the picture."""
    count = len(corners)
    rows = np.concatenate([corners, uvs], axis=2).reshape(3 * count, 5)
    rows = np.ascontiguousarray(rows + 0.0)  # no negative zeros: bytes are compared
    _, corner = np.unique(rows.view(np.dtype((np.void, rows.itemsize * 5))).reshape(-1), return_inverse=True)
    face = np.repeat(np.arange(count), 3)
    size = count + int(corner.max()) + 1
    graph = sparse.coo_matrix((np.ones(3 * count, bool), (face, count + corner.reshape(-1))), shape=(size, size))
    labels = csgraph.connected_components(graph, directed=False)[1][:count]
    found: Ints = np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return found


def _atlas(materials: list[Material], tiles: list[Pixels], uvs: Floats, cell: Ints) -> tuple[Pixels, Floats]:
    """Draw one picture (S, S, 3) of all materials; return texture coordinates (F, 3, 2) into it, too."""
    across = math.ceil(math.sqrt(len(materials)))
    lows, highs, wanted = [], [], [_LEAST_CELL]
    for k, (material, tile) in enumerate(zip(materials, tiles, strict=True)):
        mine = uvs[cell == k].reshape(-1, 2)
        low, high = mine.min(axis=0), mine.max(axis=0)
        lows.append(low)
        highs.append(np.maximum(high, low + 1e-3))
        pixels = (highs[-1] - low) * (tile.shape[1], tile.shape[0])
        wanted.append(1.15 * pixels.max() if material.picture is not None else _PLAIN)
    side = min(1 << math.ceil(math.log2(max(wanted) * across)), MAX_TEXTURE_SIDE)
    size = side // across
    margin = size // 16
    picture = np.zeros((side, side, 3), np.uint8)
    for k, (material, tile) in enumerate(zip(materials, tiles, strict=True)):
        row, column = divmod(k, across)
        at = np.array([column, row]) * size
        scale = (size - 2 * margin) / (highs[k] - lows[k])  # pixels of the cell in a repeat
        drawn = _drawn(tile, material, lows[k], scale, size, margin)
        picture[at[1] : at[1] + size, at[0] : at[0] + size] = drawn
        mine = cell == k
        inside = margin + (uvs[mine] - lows[k]) * scale
        # Rows run down, v runs up.
        uvs[mine] = np.stack([at[0] + inside[..., 0], side - at[1] - size + inside[..., 1]], axis=-1) / side
    return picture, uvs


def _drawn(tile: Pixels, material: Material, low: Floats, scale: Floats, size: int, margin: int) -> Pixels:
    """Draw a cell (size, size, 3): the tile repeated, clamped or mirrored from texture coordinates `low` on."""
    wrap = material.picture.wrap if material.picture is not None else ("clamp", "clamp")
    # Scaled to the cell first, by a filter that knows of areas; then picked by the nearest.
    height, width = tile.shape[:2]
    wide, high = (max(round(min(float(s), n)), 1) for s, n in zip(scale, (width, height), strict=True))
    if (wide, high) != (width, height):
        tile = np.asarray(Image.fromarray(tile).resize((wide, high), Image.Resampling.BOX))
    centre = np.arange(size) + 0.5 - margin
    column = _wrapped(low[0] + centre / scale[0], wrap[0], wide)
    row = _wrapped(1.0 - (low[1] + (size - 2 * margin - centre) / scale[1]), wrap[1], high)
    return tile[row[:, None], column[None]]


def _wrapped(at: Floats, mode: str, count: int) -> Ints:
    """Find the pixels (N,) of a picture of `count` at coordinates (N,) from 0 to 1 and beyond."""
    if mode == "clamp":
        at = np.clip(at, 0.0, 1.0)
    elif mode == "mirror":
        at = 1.0 - np.abs(1.0 - at % 2.0)
    else:
        at = at % 1.0
    return np.minimum((at * count).astype(np.int64), count - 1)
