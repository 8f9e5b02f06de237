"""Makes scenery: all that stands still around the objects, as one kind that is drawn at the world's origin.

It is kept as own kinds are, by content, with two meshes, one texture, and the bodies for collisions; but it stands
where its file has it, may be as large as a room, and has no symmetry. It is never an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from air3d.scene3d.arrays import Bools
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Circle, Kind
from air3d.scene3d.objects.apart import Apart
from air3d.scene3d.objects.description import ObjectDescription
from air3d.scene3d.objects.looks import painted
from air3d.scene3d.objects.made import digest, recall, remember
from air3d.scene3d.objects.make import parts_of, textured
from air3d.scene3d.objects.raw_mesh import RawMesh
from air3d.scene3d.objects.shape import Budget, make_levels
from air3d.scene3d.objects.solids import solids_text
from air3d.scene3d.own_kinds import MAX_TEXTURE_SIDE, install, own_kind
from air3d.scene3d.symmetry import Symmetry

REACH_M = 10.0  # from the origin, along each axis; renderers see 20 m far
_BUDGET = Budget(5_000, 20_000, 1024, MAX_TEXTURE_SIDE, apart=True)


@dataclass(frozen=True)
class SceneryFacts:
    """The facts of scenery that was made.

    Attributes:
        kind: the full name, NAME@DIGEST.
        triangles: how many there are in the file, and in each of the two meshes.
        notes: lines that say what could not be kept.
    """

    kind: str
    triangles: dict[str, int]
    notes: tuple[str, ...]


def make_scenery(raw: RawMesh, name: str, where: str) -> SceneryFacts:
    """Make scenery of triangles in metres and put it into the user's cache; one made before is not made again.

    Args:
        name: its short name.
        where: names the source in errors.

    Raises:
        InputError: if nothing of it is within reach, a picture cannot be read, or nothing can be written.
    """
    near: Bools = np.asarray((np.abs(raw.corners) <= REACH_M).all(axis=(1, 2)))
    if not near.any():
        raise InputError(f"{where}: nothing stands within {REACH_M:g} m of the objects' support")
    notes = list(raw.notes)
    if far := int((~near).sum()):
        notes.append(f"{far} triangles farther than {REACH_M:g} m are left out")
    raw = _only(raw, near)
    description = ObjectDescription(name, Path(), where)
    looks = painted(raw, description)
    solids = [part for solid in raw.solids for part in solid]
    key = digest("scenery", name, raw.corners, *looks, *solids)
    facts = _known(key)
    if facts is None:
        values, texture = textured(looks, MAX_TEXTURE_SIDE)
        shape = make_levels(raw.corners, values, where, texture, _BUDGET)
        points = raw.corners.reshape(-1, 3)
        radius = min(float(np.hypot(points[:, 0], points[:, 1]).max()), REACH_M)
        height = round(float(np.clip(points[:, 2].max(), 0.0, REACH_M)), 6)
        kind = Kind(name, looks.colour, height, (Circle(0.0, 0.0, round(radius, 6)),), Symmetry())
        triangles = {
            "file": len(raw.corners),
            "display": len(shape.display.faces),
            "inference": len(shape.inference.faces),
        }
        parts = parts_of(shape, name, Apart(list(raw.solids), "file"))
        # Without a list of bodies the convex hull of all would be one.
        parts.setdefault("solids.json", solids_text([], np.eye(4), "file"))
        facts = SceneryFacts(install(kind, parts), triangles, (*notes, *looks.notes))
        remember(key, config_to_dict(facts))
    return facts


def _known(key: str) -> SceneryFacts | None:
    """Return the facts as they were kept, if the scenery is still there and whole."""
    try:
        facts = config_from_dict(SceneryFacts, recall(key), "facts")
        own_kind(facts.kind)
        return facts
    except InputError:
        return None


def _only(raw: RawMesh, faces: Bools) -> RawMesh:
    uvs, colours = (None if values is None else values[faces] for values in (raw.uvs, raw.colours))
    return raw._replace(corners=raw.corners[faces], uvs=uvs, material=raw.material[faces], colours=colours)
