"""The content of a mesh file, before anything is made of it: polygons, texture coordinates, materials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.kind import Rgb

WHITE: Rgb = (1.0, 1.0, 1.0)


class UnreadableError(ValueError):
    """Says what is wrong with a mesh file, in words that follow its name: "is cut off"."""


class Picture(NamedTuple):
    """A picture of a material.

    Attributes:
        file: a path, or the content of a file.
        name: the name in errors.
        wrap: how it goes on beyond its borders, along u and v: "repeat", "clamp" or "mirror".
        as_stored: ignores its colour profile and orientation.
    """

    file: Path | bytes
    name: str
    wrap: tuple[str, str] = ("repeat", "repeat")
    as_stored: bool = False


class Material(NamedTuple):
    """The material of some of the triangles.

    Attributes:
        name: its name in the file.
        colour: sRGB in [0, 1], where there is no picture.
        picture: its picture, or None.
        tint: multiplies the picture, in linear light.
        clear: says whether it is see-through in the file.
        problem: says why the file's picture cannot be had; empty if it can, or if there is none.
    """

    name: str = ""
    colour: Rgb = WHITE
    picture: Picture | None = None
    tint: Rgb = WHITE
    clear: bool = False
    problem: str = ""


class Solid(NamedTuple):
    """A convex body that the file means for collisions.

    Attributes:
        kind: "box", "sphere", "ellipsoid", "cylinder", "capsule", as MuJoCo has them, or "hull".
        size: MuJoCo's numbers of the size, in the file's units; none of a hull.
        frame: (4, 4), its place in the file's axes.
        points: (P, 3), whose convex hull it is, in its own frame; none otherwise.
    """

    kind: str
    size: tuple[float, ...]
    frame: Floats
    points: Floats


class Polygons(NamedTuple):
    """The polygons that a reader finds.

    Attributes:
        points: (V, 3), in the file's units and axes.
        sizes: (P,), the numbers of corners of the polygons.
        corners: (sizes.sum(),), rows of `points`, polygon by polygon.
        uvs: the texture coordinates of the corners, v upward, NaN where there are none; None without any.
        material: (P,), rows of `materials`.
        materials: the materials, at least one.
        notes: lines that say what cannot be kept of the file.
        colours: sRGB in [0, 1] of the corners, (sizes.sum(), 3), which multiply the materials; None without any.
        solids: the bodies for collisions; none if the file has none.
    """

    points: Floats
    sizes: Ints
    corners: Ints
    uvs: Floats | None
    material: Ints
    materials: list[Material]
    notes: list[str]
    colours: Floats | None = None
    solids: Sequence[Solid] = ()


class RawMesh(NamedTuple):
    """Triangles as they are in a file.

    Attributes:
        corners: (F, 3, 3), in the file's units and axes.
        uvs: (F, 3, 2), texture coordinates, v upward, NaN where there are none; None without any.
        material: (F,), rows of `materials`.
        materials: the materials, at least one.
        notes: lines that say what cannot be kept of the file.
        colours: (F, 3, 3), sRGB in [0, 1], which multiply the materials; None without any.
        solids: the bodies for collisions; none if the file has none.
    """

    corners: Floats
    uvs: Floats | None
    material: Ints
    materials: tuple[Material, ...]
    notes: tuple[str, ...]
    colours: Floats | None = None
    solids: tuple[Solid, ...] = ()


def described(material: Material) -> bool:
    """Tell whether somebody has said what a material looks like."""
    return material._replace(name="", problem="") != Material()


def painted_over(colours: Floats, material: Ints, materials: list[Material]) -> Floats:
    """Let the colours of corners (C, 3) replace the colours of their materials (C,), but give way to pictures.

    So OBJ and PLY are meant, where programs write colours beside a picture, or beside materials that nobody has set.
    """
    pictured = np.array([bool(m.picture or m.problem) for m in materials])
    for k in np.flatnonzero(~pictured).tolist():
        materials[k] = materials[k]._replace(colour=WHITE)
    return np.where(pictured[material][:, None], 1.0, np.clip(np.nan_to_num(colours), 0.0, 1.0))


def unmarked(data: bytes) -> bytes:
    """Give a text file in UTF-8, without the mark that tells its encoding; a file without one comes as it is."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def plain(points: Floats, sizes: Ints, corners: Ints, notes: list[str]) -> Polygons:
    """Make polygons without materials."""
    return Polygons(points, sizes, corners, None, np.zeros(len(sizes), np.int64), [Material()], notes)


def strip(corners: Ints) -> Ints:
    """Turn a strip's corners (N,) into its triangles (T, 3), all wound as the first."""
    if len(corners) < 3:
        return np.zeros((0, 3), np.int64)
    triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    triangles[1::2] = triangles[1::2, [1, 0, 2]]
    return triangles
