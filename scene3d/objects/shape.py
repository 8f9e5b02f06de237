"""Makes the two meshes of a kind from a file's triangles: upright, in metres, on the table, mended and simplified."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from air3d.scene3d.arrays import Floats, Pixels
from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.objects.atlas import unwrapped
from air3d.scene3d.objects.description import MODEL_SUFFIXES, ObjectDescription
from air3d.scene3d.objects.footprint import smallest_circle
from air3d.scene3d.objects.indexed import Indexed, bodies, joined, welded
from air3d.scene3d.objects.mend import mended
from air3d.scene3d.objects.nearest import Skin, Surface, face_areas, face_crosses, face_normals
from air3d.scene3d.objects.shares import set_apart, set_back, shared
from air3d.scene3d.objects.simplify import simplified, thinned
from air3d.scene3d.objects.skin import baked, reach_m, seamless, squared, transferred

MIN_SIDE_M, MAX_SIDE_M = 0.01, 0.5
MIN_THICKNESS_M = 0.0002
_LEAST_SIDE = 512  # of new pictures
# MuJoCo's OpenGL lights a corner whose normal is farther than this off its face as flat anyway.
_SMOOTH_RAD = math.acos(0.8)
_UPRIGHT = {
    "z": np.eye(3),
    "-z": np.diag([1.0, -1.0, -1.0]),
    "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "-y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "x": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    "-x": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]),
}


class Budget(NamedTuple):
    """The most that the two meshes may cost.

    Attributes:
        inference_faces, display_faces: the most triangles.
        inference_side, display_side: the most texels on a side of the pictures that are drawn anew for them.
        apart: whether bodies are simplified one by one, so that they stay where they touch, or all together.
    """

    inference_faces: int
    display_faces: int
    inference_side: int
    display_side: int
    apart: bool = False


# Inference renders millions of hypotheses, and looks at small images.
OBJECT = Budget(360, 8000, 512, 1024)


class Shape(NamedTuple):
    """The meshes of a kind, or of what stands around the objects.

    Attributes:
        inference, display: the two levels of detail, with texture coordinates if the file has them.
        whole: the mended surface, each side once, with the values at its corners; its bodies apart if the budget says.
        frame: (4, 4), from the file's coordinates to the object's: turned, scaled, moved.
        notes: lines that say how the file was understood.
        open_faces: how many of its triangles are part of no closed body and drawn from both sides.
        bodies: how many bodies there are, in the file, for display and for inference.
        textures: those of inference and display, squares whose sides are powers of two; the same one where the file's
            coordinates could be kept. None without.
    """

    inference: Mesh
    display: Mesh
    whole: Indexed
    frame: Floats
    notes: list[str]
    open_faces: int
    bodies: dict[str, int]
    textures: tuple[Pixels, Pixels] | None = None


def make_shape(
    corners: Floats, values: Floats | None, description: ObjectDescription, texture: Pixels | None = None
) -> Shape:
    """Make both meshes of a kind.

    The origin is the centre of the smallest circle around the object seen from above: with a symmetry about a
    vertical axis, it lies on that axis.

    Args:
        corners: (F, 3, 3), the file's triangles.
        values: (F, 3, D), their texture coordinates, and colours that multiply the texture if D is 5.
        texture: the texture of the file, a square whose side is a power of two.

    Raises:
        InputError: if the size is absurd, or no surface is left.
    """
    frame, notes = placement(corners, description)
    shape = make_levels(corners @ frame[:3, :3].T + frame[:3, 3], values, description.where, texture, OBJECT)
    inference, display = (_grounded(mesh) for mesh in (shape.inference, shape.display))
    return shape._replace(inference=inference, display=display, frame=frame, notes=notes)


def _grounded(mesh: Mesh) -> Mesh:
    """Set a mesh, whose lowest corner may have moved a little, onto the table again."""
    return replace(mesh, positions_m=mesh.positions_m - [0.0, 0.0, mesh.positions_m[:, 2].min()])


def make_levels(corners: Floats, values: Floats | None, where: str, texture: Pixels | None, budget: Budget) -> Shape:
    """Make both meshes of triangles that stand where they shall stand.

    Args:
        corners, values, texture: the arguments of `make_shape`, in metres.
        where: names the source in errors.

    Raises:
        InputError: if no surface is left.
    """
    closed, sheets = mended(corners, values)
    if budget.apart:
        closed, sheets = set_apart([closed, sheets])
    whole = joined([closed, sheets])
    if not len(whole.faces):
        raise InputError(f"{where}: the mesh has no surface (its triangles have no area)")
    # Sheets count double, since they are drawn from both sides.
    fine = (shared if budget.apart else thinned)([closed, sheets], [1, 2], budget.display_faces)
    coarse = (shared if budget.apart else simplified)(fine, [1, 2], budget.inference_faces)
    source = Surface(whole.corners)
    smooth = [_smooth_normals(mesh) for mesh in fine]
    # Coarse faces are lit as the fine surface under them.
    off_m = reach_m(source, joined(coarse))
    lent = [
        transferred(Skin(f.corners, off_m), n, c.corners) if len(c.faces) else np.zeros((0, 3, 3))
        for f, n, c in zip(fine, smooth, coarse, strict=True)
    ]
    levels = [
        _dressed(joined(parts), np.concatenate(normals), whole, texture, most)
        for parts, normals, most in ((coarse, lent, budget.inference_side), (fine, smooth, budget.display_side))
    ]
    (coarse_uvs, coarse_texture), (fine_uvs, fine_texture) = levels
    return Shape(
        inference=_in_place(_mesh(coarse, lent, coarse_uvs)),
        display=_in_place(_mesh(fine, smooth, fine_uvs)),
        whole=whole,
        frame=np.eye(4),
        notes=[],
        open_faces=len(sheets.faces),
        bodies={"file": _count(closed, sheets), "display": _count(*fine), "inference": _count(*coarse)},
        textures=None if coarse_texture is None or fine_texture is None else (coarse_texture, fine_texture),
    )


def _in_place(mesh: Mesh) -> Mesh:
    """Set bodies that were set apart back; others are not moved."""
    return replace(mesh, positions_m=set_back(mesh.positions_m))


def _count(*meshes: Indexed) -> int:
    """Count the bodies; those that touch are one."""
    return int(bodies(welded(joined(meshes).corners).faces).max(initial=-1)) + 1


def _dressed(
    level: Indexed, normals: Floats, whole: Indexed, texture: Pixels | None, most: int
) -> tuple[Floats | None, Pixels | None]:
    """Find texture coordinates (F, 3, 2) for a level's triangles, and the picture that they point into."""
    tinted = whole.values is not None and whole.values.shape[2] > 2
    if whole.values is None or (level.values is not None and not tinted):
        return level.values, texture
    skin = Skin(whole.corners, reach_m(Surface(whole.corners), level))
    if texture is None or (not tinted and seamless(whole)):
        return transferred(skin, whole.values, level.corners), texture
    side = most if tinted else min(max(len(texture), _LEAST_SIDE), most)
    # Vertices tint what may be one texel.
    picture = texture if len(texture) < _LEAST_SIDE else squared(texture, side)
    places = unwrapped(level._replace(vertices=set_back(level.vertices)), side)
    return places, baked(level, places, normals, skin, whole.values, picture, side)


def placement(corners: Floats, description: ObjectDescription) -> tuple[Floats, list[str]]:
    """Find the frame (4, 4) that places triangles (F, 3, 3) upright, in metres, on z = 0 about the origin; and notes.

    Raises:
        InputError: if they have no extent, or an absurd size.
    """
    where = description.where
    c, s = math.cos(description.turn_rad), math.sin(description.turn_rad)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ _UPRIGHT[description.up]
    upright = corners @ turn.T
    extent = np.ptp(upright.reshape(-1, 3), axis=0)
    if not np.isfinite(extent).all() or face_areas(upright / max(extent.max(), 1e-300)).sum() < 1e-9:
        raise InputError(f"{where}: the mesh has no surface (its triangles have no area)")
    thickness = _thickness(upright)
    if thickness < 1e-6 * extent.max():
        sides = " x ".join(f"{side:.3g}" for side in extent)
        raise InputError(
            f"{where}: is a flat sheet, {sides} in the file's units; a sheet has no body: make it at least "
            f"{1000 * MIN_THICKNESS_M:g} mm thick"
        )
    unit, said, notes = _unit(extent, description)
    size = extent * unit
    shown = " x ".join(f"{side:.3g}" for side in size)
    if thickness * unit < MIN_THICKNESS_M <= size.max():
        raise InputError(
            f"{where}: is {shown} m, flat: {1000 * thickness * unit:.2g} mm thick; it must be "
            f"{1000 * MIN_THICKNESS_M:g} mm thick at least"
        )
    if not MIN_SIDE_M <= size.max() <= MAX_SIDE_M:
        raise InputError(
            f"{where}: is {shown} m{said}; on this table it must be {MIN_SIDE_M:g} to {MAX_SIDE_M:g} m long (a file in "
            "millimetres wants scale = 0.001 in a TOML file; height_m and longest_m say its size, too)"
        )
    x, y, _ = smallest_circle(upright.reshape(-1, 3)[:, :2])
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = unit * turn, -unit * np.array([x, y, upright[..., 2].min()])
    return frame, notes


def _unit(extent: Floats, description: ObjectDescription) -> tuple[float, str, list[str]]:
    """Find the metres in a unit of the file; how that was said; and a note if it was guessed.

    MuJoCo's and glTF's unit is the metre, most scanners', CAD programs' and BOP's the millimetre; no mesh says.
    """
    if description.size is not None:
        key, value = description.size
        unit = {"height_m": extent[2], "longest_m": extent.max(), "scale": 1.0}[key]
        return value / unit, f" with {key} = {value:g}", []
    if description.mesh.suffix.lower() in MODEL_SUFFIXES or extent.max() <= MAX_SIDE_M:
        return 1.0, " if its unit is the metre", []
    millimetres = 0.001 * extent.max()
    if MIN_SIDE_M <= millimetres <= MAX_SIDE_M:
        return 0.001, "", ["its unit is taken for the millimetre; scale = ... in a TOML file says another"]
    return 1.0, " if its unit is the metre", []


def _thickness(corners: Floats) -> float:
    """The least extent of triangles (F, 3, 3) along an axis, or along the direction in which most of them look."""
    normals = face_crosses(corners)
    normals /= np.maximum(np.sqrt(np.linalg.norm(normals, axis=1, keepdims=True)), 1e-300)  # by area
    directions = np.column_stack([np.eye(3), np.linalg.eigh(normals.T @ normals)[1][:, 2]])
    return float(np.ptp(corners.reshape(-1, 3) @ directions, axis=0).min())


def _smooth_normals(mesh: Indexed) -> Floats:
    """Compute corners' normals (F, 3, 3): the mean, by area, of the faces around each that are not across a crease."""
    cross, unit = face_crosses(mesh.corners), face_normals(mesh.corners)
    normals = np.empty((len(mesh.faces), 3, 3))
    order = np.argsort(mesh.faces.ravel(), kind="stable")
    starts = np.flatnonzero(np.diff(mesh.faces.ravel()[order], prepend=-1))
    for corners in np.split(order, starts[1:]) if len(order) else ():
        face, place = np.divmod(corners, 3)
        alike = unit[face] @ unit[face].T > math.cos(_SMOOTH_RAD)
        normals[face, place] = alike @ cross[face] + 1e-12 * unit[face]
    return normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-300)


def _mesh(parts: list[Indexed], normals: list[Floats], uvs: Floats | None) -> Mesh:
    """Make a mesh of closed bodies, and of sheets once for each side: renderers draw a face from its front alone."""
    corners = [parts[0].corners, parts[1].corners, parts[1].corners[:, ::-1]]
    sides = [normals[0], normals[1], -normals[1][:, ::-1]]
    positions = np.concatenate(corners).reshape(-1, 3)
    directions = np.concatenate(sides).reshape(-1, 3)
    length = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = np.where(length > 1e-6, directions / np.maximum(length, 1e-300), [0.0, 0.0, 1.0])
    faces = np.arange(len(positions)).reshape(-1, 3)
    if uvs is None:
        return Mesh(positions, directions, faces)
    back = uvs[len(parts[0].faces) :, ::-1]
    return Mesh(positions, directions, faces, np.concatenate([uvs, back]).reshape(-1, 2))
