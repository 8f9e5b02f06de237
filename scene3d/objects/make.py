"""Makes a kind from a description: its files, and the facts found on the way."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from air3d.scene3d.arrays import Floats, Ints, Pixels
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Kind
from air3d.scene3d.meshes.obj import obj_text
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.objects.apart import Apart, taken_apart
from air3d.scene3d.objects.description import IN_THE_MESH, ObjectDescription
from air3d.scene3d.objects.fidelity import Fidelity, fidelity
from air3d.scene3d.objects.footprint import cover
from air3d.scene3d.objects.looks import Painted, painted
from air3d.scene3d.objects.made import digest, recall, remember
from air3d.scene3d.objects.mesh_file import read_mesh
from air3d.scene3d.objects.nearest import apart_m
from air3d.scene3d.objects.raw_mesh import RawMesh
from air3d.scene3d.objects.shape import OBJECT, Shape, make_shape
from air3d.scene3d.objects.skin import coloured, filled, squared
from air3d.scene3d.objects.solids import solids_text
from air3d.scene3d.objects.turns import DOUBTFUL, HOLDS, Turns
from air3d.scene3d.own_kinds import MAX_TEXTURE_SIDE, install, own_kind, short_name
from air3d.scene3d.solids import hull_of
from air3d.scene3d.symmetry import Symmetry

# A larger share of its size by which the inference mesh is off is worth a warning.
_FAR = 0.03
# So are outlines that overlap less in some view, or colours that differ by more of the full scale.
_LEAST_IOU, _MOST_COLOUR = 0.9, 0.05
# Scans have a few open triangles; a mesh with a larger share of them has no inside.
_OPEN = 0.05


@dataclass(frozen=True)
class Facts:
    """The facts of a kind that was made.

    Attributes:
        kind: the full name, NAME@DIGEST.
        size_m: the extents along x, y, z.
        triangles: how many there are in the file, and in each of the two meshes.
        open_triangles: how many of the file's are part of no closed body.
        solids: how many convex bodies it collides as.
        solids_from: where they come from (`air3d.scene3d.solids`).
        deviation_m: the farthest that the inference mesh lies from the file's surface.
        silhouette_iou: how well the inference mesh's outlines cover the file's: the mean and the least of eight views.
        colour_difference: how much its colours differ, as a share of the full scale (`air3d.scene3d.objects.fidelity`).
        footprint_m: its discs as (x, y, radius).
        radius_m: the radius of the smallest disc about the origin that covers the footprint.
        symmetry: "none", "continuous", "n-fold", with the group of rotations about other axes, or "sphere".
        symmetry_declared: tells whether it was declared, not found.
        symmetry_error_m: the farthest that its turns about the vertical axis move the surface off itself.
        warnings: the warnings, one line each.
        source: the file that it was made of.
    """

    kind: str
    size_m: tuple[float, float, float]
    triangles: dict[str, int]
    open_triangles: int
    solids: int
    solids_from: str
    deviation_m: float
    silhouette_iou: tuple[float, float]
    colour_difference: float
    footprint_m: tuple[tuple[float, float, float], ...]
    radius_m: float
    symmetry: str
    symmetry_declared: bool
    symmetry_error_m: float
    warnings: tuple[str, ...]
    source: str = ""


def make_kind(description: ObjectDescription, raw: RawMesh | None = None) -> Facts:
    """Make a kind from its mesh and put it into the user's cache; a kind made before is not made again.

    Args:
        raw: its mesh, if it has been read.

    Raises:
        InputError: for a mesh, a texture or a symmetry that cannot be used; or if nothing can be written.
    """
    raw = read_mesh(description.mesh, description.where) if raw is None else raw
    looks = painted(raw, description)
    said = replace(description, mesh=Path(), where="", texture=description.texture and IN_THE_MESH)
    solids = [part for solid in raw.solids for part in solid]
    key = digest(said, raw.corners, raw.notes, *looks, *solids)
    facts = _known(recall(key), description.name)
    if facts is None:
        facts = _made(raw, looks, description)
        remember(key, config_to_dict(facts))
    return replace(facts, source=str(description.mesh))


def _known(data: dict[str, Any] | None, name: str) -> Facts | None:
    """Return the facts as they were kept, if their kind is still there and whole."""
    try:
        facts = config_from_dict(Facts, data, "facts")
        return facts if short_name(own_kind(facts.kind).name) == name else None
    except InputError:
        return None


def _made(raw: RawMesh, looks: Painted, description: ObjectDescription) -> Facts:
    values, texture = textured(looks, MAX_TEXTURE_SIDE // 2)
    shape = make_shape(raw.corners, values, description, texture)
    symmetry, error_m, warnings = _symmetry(shape, texture, description)
    both = np.concatenate([_corners(shape.display), _corners(shape.inference)])
    top = max(shape.display.positions_m[:, 2].max(), shape.inference.positions_m[:, 2].max())
    kind = Kind(
        name=description.name,
        colour=looks.colour,
        height_m=round(float(top), 6),
        footprint=cover(both, symmetry),
        symmetry=symmetry,
    )
    solids = Apart(list(raw.solids), "file") if raw.solids else _apart(shape, len(raw.corners))
    parts = parts_of(shape, description.name, solids)
    deviation_m = round(apart_m(_corners(shape.inference), shape.whole.corners), 6)
    strays = fidelity(shape.whole, texture, shape.inference, shape.textures[0] if shape.textures else None)
    warnings += _losses(shape, deviation_m, strays)
    warnings += [*raw.notes, *looks.notes, *shape.notes, *([solids.note] if solids.note else [])]
    if shape.open_faces:
        warnings.append(
            f"{shape.open_faces} triangles are part of no closed body: they are drawn from both sides, as walls "
            "without thickness"
        )
    x, y, z = (round(float(side), 6) for side in np.ptp(shape.whole.corners.reshape(-1, 3), axis=0))
    return Facts(
        kind=install(kind, parts),
        size_m=(x, y, z),
        triangles={
            "file": len(raw.corners),
            "display": len(shape.display.faces),
            "inference": len(shape.inference.faces),
        },
        open_triangles=shape.open_faces,
        solids=len(solids.bodies),
        solids_from=solids.source,
        deviation_m=deviation_m,
        silhouette_iou=(round(strays.iou, 4), round(strays.least_iou, 4)),
        colour_difference=round(strays.colour, 4),
        footprint_m=tuple((c.x_m, c.y_m, c.radius_m) for c in kind.footprint),
        radius_m=kind.radius_m,
        symmetry=symmetry_text(symmetry),
        symmetry_declared=description.symmetry is not None,
        symmetry_error_m=error_m,
        warnings=tuple(warnings),
    )


def _apart(shape: Shape, triangles: int) -> Apart:
    """Take a shape apart for collisions; what is open for the most part has no inside."""
    if shape.open_faces > _OPEN * triangles:
        return Apart([hull_of(shape.inference.positions_m)], "hull")
    return taken_apart(shape.display, shape.inference)


def symmetry_text(symmetry: Symmetry) -> str:
    """Write a symmetry in words."""
    if symmetry.spherical:
        return "sphere"
    text = {0: "continuous", 1: "none"}.get(symmetry.yaw_order, f"{symmetry.yaw_order}-fold")
    return text if symmetry.group == "trivial" else f"{text}, {symmetry.group}"


def textured(looks: Painted, most: int) -> tuple[Floats | None, Pixels | None]:
    """Give the values at corners and the texture, at most so many texels wide, that `make_shape` takes."""
    texture = None if looks.uvs is None or looks.picture is None else _texture(looks.picture, looks.uvs, most)
    values = looks.uvs
    if values is not None and looks.colours is not None:
        values = np.concatenate([values, looks.colours], axis=2)
    return values, texture


def parts_of(shape: Shape, name: str, solids: Apart) -> dict[str, bytes]:
    """Write the files of a kind, as `air3d.scene3d.own_kinds.install` takes them.

    Args:
        solids: its bodies for collisions; those of the file are in its coordinates.
    """
    parts = {f"{detail}.obj": _obj(name, detail, mesh) for detail, mesh in _details(shape)}
    if shape.textures is not None:
        coarse, fine = shape.textures
        parts["texture.png"] = _png(fine)
        if coarse is not fine:
            parts["inference.png"] = _png(coarse)
    if solids.bodies and solids.source != "hull":  # which follows from the mesh
        frame = shape.frame if solids.source == "file" else np.eye(4)
        parts["solids.json"] = solids_text(solids.bodies, frame, solids.source)
    return parts


def _symmetry(
    shape: Shape, texture: Pixels | None, description: ObjectDescription
) -> tuple[Symmetry, float, list[str]]:
    """Find the symmetry, or take the declared one; measure how far its turns move the surface, metres; and warnings.

    Raises:
        InputError: if a declared one does not hold.
    """
    whole, values = shape.whole, shape.whole.values

    def colour_at(face: Ints, weights: Floats) -> Floats:
        assert values is not None and texture is not None
        return coloured(texture, values, face, weights) / 255.0

    turns = Turns(whole.corners, None if values is None or texture is None else colour_at)
    declared, best = description.symmetry, turns.best()
    if declared is None:
        return best, turns.check(best).error_m, []
    found = turns.check(declared)
    text = symmetry_text(declared)
    turn_deg, error_mm = math.degrees(found.turn_rad) % 360.0, 1000.0 * found.error_m
    off = f"a turn by {turn_deg:.0f} degrees moves its surface by up to {error_mm:.1f} mm"
    share = f"{100 * found.share:.0f} % of its size"
    if found.share > DOUBTFUL:
        held = {0: '"continuous"', 1: '"none"'}.get(best.yaw_order, best.yaw_order)
        raise InputError(f"{description.where}: symmetry is {text}, but {off} ({share}); declare symmetry = {held}")
    if found.share > HOLDS:
        return declared, found.error_m, [f"symmetry is {text}, but {off} ({share})"]
    return declared, found.error_m, []


def _losses(shape: Shape, deviation_m: float, strays: Fidelity) -> list[str]:
    """Warn of parts of the surface that the two meshes cannot keep, if they are large."""
    count, shares = shape.bodies["file"], []
    for detail, most in (("display", OBJECT.display_faces), ("inference", OBJECT.inference_faces)):
        if (lost := count - shape.bodies[detail]) > 0:
            shares.append(
                f"{detail} leaves out {lost} of its {count} bodies, the smallest: {most} triangles are too few"
            )
    share = deviation_m / np.ptp(shape.whole.corners, axis=(0, 1)).max()
    if share > _FAR:
        shares.append(
            f"inference is off by up to {1000 * deviation_m:.1f} mm, {100 * share:.0f} % of its size: "
            f"{OBJECT.inference_faces} triangles are too few for its shape"
        )
    if strays.least_iou < _LEAST_IOU or strays.colour > _MOST_COLOUR:
        shares.append(
            f"inference looks different: outlines overlap by {strays.least_iou:.2f} in the worst view, "
            f"colours differ by {100 * strays.colour:.0f} %"
        )
    return shares


def _details(shape: Shape) -> tuple[tuple[str, Mesh], tuple[str, Mesh]]:
    return ("inference", shape.inference), ("display", shape.display)


def _corners(mesh: Mesh) -> Floats:
    return mesh.positions_m[mesh.faces]


def _obj(name: str, detail: str, mesh: Mesh) -> bytes:
    return obj_text(mesh, f"{name}.{detail}", "made from a mesh of the user's").encode("ascii")


def _texture(picture: Pixels, uvs: Floats, most: int) -> Pixels:
    """Make the picture a square whose side is a power of two, as every renderer takes it; its gutters are filled."""
    side = min(1 << round(math.log2(max(picture.shape[:2]))), most)
    if max(picture.shape) > MAX_TEXTURE_SIDE:
        picture = squared(picture, MAX_TEXTURE_SIDE)
    return squared(filled(picture, uvs), side)


def _png(picture: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
