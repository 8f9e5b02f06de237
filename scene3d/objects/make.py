"""Makes a kind from a description: its files, and the facts found on the way."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from air3d.scene3d.arrays import Floats, Pixels
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Kind
from air3d.scene3d.meshes.obj import obj_text
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.objects.description import IN_THE_MESH, ObjectDescription
from air3d.scene3d.objects.footprint import cover
from air3d.scene3d.objects.looks import Painted, painted
from air3d.scene3d.objects.made import digest, recall, remember
from air3d.scene3d.objects.mesh_file import read_mesh
from air3d.scene3d.objects.nearest import apart_m
from air3d.scene3d.objects.raw_mesh import RawMesh
from air3d.scene3d.objects.shape import DISPLAY_FACES, INFERENCE_FACES, Shape, make_shape
from air3d.scene3d.objects.skin import filled, squared
from air3d.scene3d.objects.turns import DOUBTFUL, HOLDS, Turns
from air3d.scene3d.own_kinds import MAX_TEXTURE_SIDE, install, own_kind, short_name
from air3d.scene3d.symmetry import Symmetry

# A larger share of its size by which the inference mesh is off is worth a warning.
_FAR = 0.03


@dataclass(frozen=True)
class Facts:
    """The facts of a kind that was made.

    Attributes:
        kind: the full name, NAME@DIGEST.
        size_m: the extents along x, y, z.
        triangles: how many there are in the file, and in each of the two meshes.
        open_triangles: how many of the file's are part of no closed body.
        deviation_m: the farthest that the inference mesh lies from the file's surface.
        footprint_m: its discs as (x, y, radius).
        radius_m: the radius of the smallest disc about the origin that covers the footprint.
        symmetry: the declared symmetry: "none", "continuous" or "n-fold".
        symmetry_error_m: the farthest that the declared turns move the surface off itself.
        warnings: the warnings, one line each.
    """

    kind: str
    size_m: tuple[float, float, float]
    triangles: dict[str, int]
    open_triangles: int
    deviation_m: float
    footprint_m: tuple[tuple[float, float, float], ...]
    radius_m: float
    symmetry: str
    symmetry_error_m: float
    warnings: tuple[str, ...]


def make_kind(description: ObjectDescription) -> Facts:
    """Make a kind from its mesh and put it into the user's cache; a kind made before is not made again.

    Raises:
        InputError: for a mesh, a texture or a symmetry that cannot be used; or if nothing can be written.
    """
    raw = read_mesh(description.mesh, description.where)
    looks = painted(raw, description)
    said = replace(description, mesh=Path(), where="", texture=description.texture and IN_THE_MESH)
    key = digest(said, raw.corners, raw.notes, looks.uvs, looks.picture, looks.notes)
    facts = _known(recall(key), description.name)
    if facts is None:
        facts = _made(raw, looks, description)
        remember(key, config_to_dict(facts))
    return facts


def _known(data: dict[str, Any] | None, name: str) -> Facts | None:
    """Return the facts as they were kept, if their kind is still there and whole."""
    try:
        facts = config_from_dict(Facts, data, "facts")
        return facts if short_name(own_kind(facts.kind).name) == name else None
    except InputError:
        return None


def _made(raw: RawMesh, looks: Painted, description: ObjectDescription) -> Facts:
    texture = None if looks.uvs is None or looks.picture is None else _texture(looks.picture, looks.uvs)
    shape = make_shape(raw._replace(uvs=looks.uvs), description, texture)
    error_m, warnings = _check_symmetry(shape.corners, description)
    both = np.concatenate([_corners(shape.display), _corners(shape.inference)])
    top = max(shape.display.positions_m[:, 2].max(), shape.inference.positions_m[:, 2].max())
    kind = Kind(
        name=description.name,
        colour=description.colour,
        height_m=round(float(top), 6),
        footprint=cover(both, description.symmetry),
        symmetry=description.symmetry,
    )
    parts = {f"{detail}.obj": _obj(description.name, detail, mesh) for detail, mesh in _details(shape)}
    if shape.textures is not None:
        coarse, fine = shape.textures
        parts["texture.png"] = _png(fine)
        if coarse is not fine:
            parts["inference.png"] = _png(coarse)
    deviation_m = round(apart_m(_corners(shape.inference), shape.corners), 6)
    warnings += _losses(shape, deviation_m)
    warnings += [*raw.notes, *looks.notes]
    if shape.open_faces:
        warnings.append(
            f"{shape.open_faces} triangles are part of no closed body: they are drawn from both sides, as walls "
            "without thickness"
        )
    x, y, z = (round(float(side), 6) for side in np.ptp(shape.corners.reshape(-1, 3), axis=0))
    return Facts(
        kind=install(kind, parts),
        size_m=(x, y, z),
        triangles={
            "file": len(raw.corners),
            "display": len(shape.display.faces),
            "inference": len(shape.inference.faces),
        },
        open_triangles=shape.open_faces,
        deviation_m=deviation_m,
        footprint_m=tuple((c.x_m, c.y_m, c.radius_m) for c in kind.footprint),
        radius_m=kind.radius_m,
        symmetry=symmetry_text(description.symmetry),
        symmetry_error_m=error_m,
        warnings=tuple(warnings),
    )


def symmetry_text(symmetry: Symmetry) -> str:
    """Write a symmetry about the vertical axis as it is written in TOML."""
    return {0: "continuous", 1: "none"}.get(symmetry.yaw_order, f"{symmetry.yaw_order}-fold")


def _check_symmetry(corners: Floats, description: ObjectDescription) -> tuple[float, list[str]]:
    """Measure how far the declared turns move the surface, metres; warn if that is much, or more would hold.

    Raises:
        InputError: if it does not hold.
    """
    turns, declared = Turns(corners), description.symmetry
    found, best = turns.check(declared), turns.best()
    text = symmetry_text(declared)
    turn_deg, error_mm = math.degrees(found.turn_rad) % 360.0, 1000.0 * found.error_m
    off = f"a turn by {turn_deg:.0f} degrees moves its surface by up to {error_mm:.1f} mm"
    share = f"{100 * found.share:.0f} % of its size"
    if found.share > DOUBTFUL:
        held = '"none"' if best.yaw_order == 1 else '"continuous"' if best.yaw_order == 0 else best.yaw_order
        raise InputError(f"{description.where}: symmetry is {text}, but {off} ({share}); declare symmetry = {held}")
    if found.share > HOLDS:
        return found.error_m, [f"symmetry is {text}, but {off} ({share})"]
    richer = best.yaw_order == 0 or (declared.yaw_order > 0 and best.yaw_order > declared.yaw_order)
    if richer and best != declared:
        held = '"continuous"' if best.yaw_order == 0 else best.yaw_order
        looks = " if its texture looks the same, too" if description.texture is not None else ""
        return found.error_m, [f"its shape is {symmetry_text(best)}: declare symmetry = {held}{looks}"]
    return found.error_m, []


def _losses(shape: Shape, deviation_m: float) -> list[str]:
    """Warn of parts of the surface that the two meshes cannot keep, if they are large."""
    count, shares = shape.bodies["file"], []
    for detail, most in (("display", DISPLAY_FACES), ("inference", INFERENCE_FACES)):
        if (lost := count - shape.bodies[detail]) > 0:
            shares.append(
                f"{detail} leaves out {lost} of its {count} bodies, the smallest: {most} triangles are too few"
            )
    share = deviation_m / np.ptp(shape.corners, axis=(0, 1)).max()
    if share > _FAR:
        shares.append(
            f"inference is off by up to {1000 * deviation_m:.1f} mm, {100 * share:.0f} % of its size: "
            f"{INFERENCE_FACES} triangles are too few for its shape"
        )
    return shares


def _details(shape: Shape) -> tuple[tuple[str, Mesh], tuple[str, Mesh]]:
    return ("inference", shape.inference), ("display", shape.display)


def _corners(mesh: Mesh) -> Floats:
    return mesh.positions_m[mesh.faces]


def _obj(name: str, detail: str, mesh: Mesh) -> bytes:
    return obj_text(mesh, f"{name}.{detail}", "made from a mesh of the user's").encode("ascii")


def _texture(picture: Pixels, uvs: Floats) -> Pixels:
    """Make the picture a square whose side is a power of two, as every renderer takes it; its gutters are filled."""
    side = min(1 << round(math.log2(max(picture.shape[:2]))), MAX_TEXTURE_SIDE // 2)
    if max(picture.shape) > MAX_TEXTURE_SIDE:
        picture = squared(picture, MAX_TEXTURE_SIDE)
    return squared(filled(picture, uvs), side)


def _png(picture: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
