"""Makes a world of an MJCF file: scenery, kinds, surfaces, cameras and a lamp, as `world.toml` says them.

The world's origin is in the middle of the surface with the most free bodies on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from air3d.scene3d.arguments import Vec3
from air3d.scene3d.arrays import Floats
from air3d.scene3d.catalog import CATALOG, CROCKERY, get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.description import ObjectDescription
from air3d.scene3d.objects.made import digest
from air3d.scene3d.objects.make import make_kind
from air3d.scene3d.objects.mesh_file import cut_up, read_mesh
from air3d.scene3d.objects.mjcf_world import MjcfWorld
from air3d.scene3d.objects.raw_mesh import Solid, UnreadableError
from air3d.scene3d.objects.scenery import make_scenery
from air3d.scene3d.objects.world_surface import Found, find_surfaces
from air3d.scene3d.own_kinds import carry, short_name
from air3d.scene3d.world_file import (
    SCHEMA,
    KindEntry,
    SupportEntry,
    WorldEntry,
)  # fmt: skip
from air3d.scene3d.world_text import plain, world_text
from air3d.scene3d.world_views import cameras_of, light_of

_MOST_KINDS, _MOST_OBJECTS = 64, 16
_MOST_BYTES = 64 << 20
# Surfaces are made smaller by the objects' radius, so that they stand on them wholly, but not by more than this share.
_MOST_MARGIN = 0.4
_LEAST_SIDE_M = 0.02
# Where the room above a surface is probed.
_GRID, _ABOVE_M = np.linspace(0.05, 0.95, 7), 0.03

Say = Callable[[str], None]


class Imported(NamedTuple):
    """A world that was made.

    Attributes:
        entry: the text of its file.
        text: the file.
        taken: lines that say what was taken.
        notes: lines that say what was approximated or left out.
    """

    entry: WorldEntry
    text: str
    taken: list[str]
    notes: list[str]


class _Kinds(NamedTuple):
    names: list[str]
    counts: list[int]


def import_world(file: Path, out: Path, name: str, at_m: Vec3 | None = None, say: Say = lambda _: None) -> Imported:
    """Make a world of an MJCF file; its kinds and scenery go into the folder `objects` beside `out`.

    Args:
        out: where the text is to be written, by the caller.
        name: its short name.
        at_m: a point of the file, above the surface that objects are to be put on; None for beneath its free bodies.
        say: is told what is being done.

    Raises:
        InputError: if the file cannot be used, or there is no surface.
    """
    world = _opened(file)
    middles = np.array([world.middle_m(body) for body in world.free]).reshape(-1, 3)
    surfaces = find_surfaces(middles if at_m is None else np.array([at_m]), world.look)
    notes: list[str] = []
    if not surfaces:
        what = f"no level surface lies beneath {at_m}" if at_m is not None else "no free body is above a level surface"
        raise InputError(f"{file}: {what}; name a point above one with --at X Y Z, in the file's coordinates")
    kinds = _kinds(world, file, notes, say)
    origin = surfaces[0].centre_m.round(4)
    widest = max(get_kind(kind).radius_m for kind in kinds.names)
    supports = tuple(part for found in surfaces if (part := _support(found, origin, widest)) is not None)
    scenery = _scenery(world, file, name, origin, supports, notes, say)
    cameras, size = cameras_of(world, origin, notes)
    total = sum(kinds.counts)
    repeat = max(kinds.counts) > 1 or not world.free
    most = min(total, _MOST_OBJECTS) if world.free else 3
    x, y, z = origin.tolist()
    entry = WorldEntry(
        schema=SCHEMA,
        name=name,
        kinds=tuple(KindEntry(kind) for kind in kinds.names),
        objects=(min(1, most), most if repeat else min(most, len(kinds.names))),
        repeat=repeat,
        scenery=scenery,
        supports=supports if scenery is not None else (),
        cameras=cameras,
        light=light_of(world, origin, notes),
        origin_m=(x, y, z),
        size_px=size,
    )
    entry.prior(tuple(kinds.names))  # what it refuses is said before anything is written
    carry([*kinds.names, *([scenery] if scenery else [])], out.parent)
    text = world_text(entry, plain(file.name), plain(out.name), kinds.counts)
    taken = [
        f"kinds: {', '.join(map(short_name, kinds.names))}",
        f"surfaces: {', '.join(map(_size_text, supports))}",
        f"cameras: {', '.join(camera.name for camera in cameras) or 'none; an orbit around the surfaces'}",
    ]
    return Imported(entry, text, taken, world.notes + notes)


def _opened(file: Path) -> MjcfWorld:
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    if file.stat().st_size > _MOST_BYTES:
        raise InputError(f"{file}: {file.stat().st_size >> 20} MB is too large for MJCF")
    try:
        return MjcfWorld(file.read_bytes(), file, lambda path: read_mesh(path, str(path)))
    except UnreadableError as error:
        raise InputError(f"{file} {error}") from None


def world_name(stem: str) -> str:
    """Make a short name of a file's."""
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    return (name if name[:1].isalpha() else f"world_{name}")[:32].rstrip("_")


def _kinds(world: MjcfWorld, file: Path, notes: list[str], say: Say) -> _Kinds:
    """Make a kind of every free body that differs from those before; without any, air3d's crockery."""
    known: dict[str, int] = {}
    names: list[str] = []
    counts: list[int] = []
    for number, body in enumerate(world.free):
        called = world.name(body) or f"body {body}"
        where = f"{file}: body '{called}'"
        try:
            raw = cut_up(world.object(body), where)
            looks = tuple(material._replace(name="") for material in raw.materials)
            same = digest(raw.corners.round(6), raw.material, looks, () if raw.colours is None else raw.colours)
            if same in known:
                counts[known[same]] += 1
                continue
            if len(names) == _MOST_KINDS:
                notes.append(f"body '{called}' and those after it are left out: {_MOST_KINDS} kinds are the most")
                break
            say(f"body {number + 1} of {len(world.free)}: {called}")
            facts = make_kind(ObjectDescription(_free_name(called, names), file, where), raw)
        except (InputError, UnreadableError) as error:
            notes.append(f"body '{called}' is left out: {str(error).removeprefix(where).lstrip(': ')}")
            continue
        known[same] = len(names)
        names.append(facts.kind)
        counts.append(1)
    if not names:
        notes.append("no free body can be a kind: air3d's crockery stands in")
        return _Kinds(list(CROCKERY[:3]), [1, 1, 1])
    return _Kinds(names, counts)


def _free_name(called: str, names: list[str]) -> str:
    """Make a kind's short name that none has yet."""
    name = re.sub(r"[^a-z0-9]+", "_", called.lower()).strip("_")
    name = (name if name[:1].isalpha() else f"obj_{name}")[:28].rstrip("_")
    used = {*CATALOG, *(known.partition("@")[0] for known in names)}
    return next(free for k in range(1, 999) if (free := name if k == 1 else f"{name}_{k}") not in used)


def _scenery(
    world: MjcfWorld,
    file: Path,
    name: str,
    origin: Floats,
    supports: tuple[SupportEntry, ...],
    notes: list[str],
    say: Say,
) -> str | None:
    polygons = world.scenery(origin)
    if polygons is None:
        notes.append("nothing that is seen stands still: a table of air3d's is drawn")
        return None
    raw = cut_up(polygons, str(file))
    kept = tuple(solid for solid in raw.solids if not _covers(solid, supports))
    if len(kept) < len(raw.solids):
        notes.append(
            f"{len(raw.solids) - len(kept)} meshes, whose convex hulls cover a surface, are not in the way of objects"
        )
        raw = raw._replace(solids=kept)
    say(f"scenery: {len(raw.corners)} triangles")
    facts = make_scenery(raw, name, str(file))
    notes += facts.notes
    if facts.triangles["inference"] < len(raw.corners):
        notes.append(
            f"scenery of {facts.triangles['file']} triangles has {facts.triangles['display']} for display, "
            f"{facts.triangles['inference']} for inference"
        )
    return facts.kind


def _covers(solid: Solid, supports: tuple[SupportEntry, ...]) -> bool:
    """Tell whether the hull of a mesh holds room above a surface, as that of a room or a box does."""
    if solid.kind != "hull":
        return False
    try:
        sides = ConvexHull(solid.points).equations
    except (QhullError, ValueError):
        return False
    u = np.stack(np.meshgrid(_GRID, _GRID), axis=-1).reshape(-1, 2)
    points = np.concatenate([entry.surface().spread(u) + [0.0, 0.0, _ABOVE_M] for entry in supports])
    local = (points - solid.frame[:3, 3]) @ solid.frame[:3, :3]
    return bool((local @ sides[:, :3].T + sides[:, 3] < 0.0).all(axis=1).any())


def _support(found: Found, origin: Floats, widest_m: float) -> SupportEntry | None:
    """Make the surface smaller, so that objects whose origins are on it stand on it wholly; None if nothing is left."""
    x, y, z = (found.centre_m - origin).round(4).tolist()
    size = [max(half - min(widest_m, _MOST_MARGIN * half), 0.0) for half in found.size_m]
    if min(size) < _LEAST_SIDE_M / 2.0:
        return None
    if len(size) == 1:
        return SupportEntry((x, y, z), radius_m=round(size[0], 3))
    return SupportEntry((x, y, z), sides_m=(round(2.0 * size[0], 3), round(2.0 * size[1], 3)))


def _size_text(support: SupportEntry) -> str:
    if support.radius_m is not None:
        return f"a disc of radius {100.0 * support.radius_m:.0f} cm"
    return "{:.0f} x {:.0f} cm".format(*(100.0 * side for side in support.sides_m or ()))
