"""Kinds as convex bodies, for collisions: what is hollow stays hollow, so that a ball falls into a bowl.

The crockery's turned parts are cut into rings of wedges, by approximate convex decomposition of their profile
(Lien & Amato, "Approximate convex decomposition of polygons", 2006) and as many sectors as the mesh has sides; its
swept handles into frusta. The catalog's other kinds are primitives. A kind of the user's own has its file's bodies if
there are any, else those that its mesh was taken apart into (`air3d.scene3d.objects.apart`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from air3d.scene3d.arrays import Bools, Floats
from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.families.crockery import vessel_of
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.meshes.primitives import CUBE_HALF_M, CYLINDER_HEIGHT_M, CYLINDER_RADIUS_M, SPHERE_RADIUS_M
from air3d.scene3d.meshes.surface import Part, Resolution, polygon_stretch
from air3d.scene3d.objects.raw_mesh import Solid
from air3d.scene3d.own_kinds import is_own

Source = Literal["profile", "primitive", "file", "revolved", "coacd", "hull"]

# Walls are 4 mm thick: their profile is followed within a millimetre, handles within three.
_TURNED = Resolution(sides=16, tolerance_m=0.001, tube_sides=6, tube_step_m=0.030)
_SWEPT = _TURNED._replace(tolerance_m=0.0025)
_HOLLOW_M = 0.0006
_FOOT_M = 0.0003
_THINNEST_M = 0.0005


class Solids(NamedTuple):
    """The convex bodies of a kind of size 1, in its own frame, metres, and where they come from.

    `source` is "profile" (crockery), "primitive"; of the user's own kinds "file", "revolved" (rings), "coacd" or "hull"
    (one, of all).
    """

    bodies: tuple[Solid, ...]
    source: Source

    def points_m(self) -> Floats:
        """Points (P, 3) whose convex hull is that of all bodies; of round primitives, that of polygons on them."""
        return np.concatenate([_points(body) @ body.frame[:3, :3].T + body.frame[:3, 3] for body in self.bodies])

    def centre_of_mass_m(self) -> Floats:
        """The centre of mass (3,) of bodies of one density; what lies in two of them counts twice, as in MuJoCo."""
        volumes, centres = zip(*(_volume(body) for body in self.bodies), strict=True)
        return np.asarray(np.average(centres, axis=0, weights=volumes))


@lru_cache(maxsize=256)
def solids(kind: str) -> Solids:
    """Find the bodies of a kind, of the catalog or of the user's own.

    Raises:
        InputError: if there is no such kind.
    """
    vessel = vessel_of(get_kind(kind))
    if vessel is not None:
        pairs = zip(vessel.parts(_TURNED), vessel.parts(_SWEPT), strict=True)
        parts = [_turned(fine) if fine.path is None else _swept(coarse) for fine, coarse in pairs]
        return Solids(tuple(body for part in parts for body in part), "profile")
    if kind in _PRIMITIVES:
        shape, size, height_m = _PRIMITIVES[kind]
        return Solids((Solid(shape, size, _at((0.0, 0.0, height_m)), np.zeros((0, 3))),), "primitive")
    return _own(kind)


_PRIMITIVES: dict[str, tuple[str, tuple[float, ...], float]] = {
    "cube": ("box", (CUBE_HALF_M,) * 3, CUBE_HALF_M),
    "sphere": ("sphere", (SPHERE_RADIUS_M,), SPHERE_RADIUS_M),
    "cylinder": ("cylinder", (CYLINDER_RADIUS_M, CYLINDER_HEIGHT_M / 2.0), CYLINDER_HEIGHT_M / 2.0),
}


def _at(position_m: Sequence[float] | Floats, turn: Floats | None = None) -> Floats:
    frame = np.eye(4)
    frame[:3, 3] = position_m
    if turn is not None:
        frame[:3, :3] = turn
    return frame


def _turned(part: Part) -> list[Solid]:
    """Cut a part that is revolved about z into whole discs and rings of wedges."""
    profile = part.profile.points_m
    return rings(_pieces(profile), part.sides, profile[:, 1].min() + _FOOT_M)


def rings(pieces: Sequence[Floats], sides: int, lowest_m: float = -math.inf) -> list[Solid]:
    """Turn convex polygons (P, 2) of radii and heights about z: into whole discs, or rings of wedges.

    Args:
        sides: how many wedges make a ring.
        lowest_m: no wedge reaches lower. A ring that touched the table beside a disc, which can bear alone, would cost
            dozens of contacts.
    """
    bodies = []
    half = math.pi / sides
    for piece in pieces:
        radius, height = piece.T * np.array([[polygon_stretch(sides)], [1.0]])
        angles = np.arange(sides) * 2.0 * half
        if _convex_about_axis(piece):
            ring = np.stack([np.outer(radius, np.cos(angles)), np.outer(radius, np.sin(angles))], axis=-1)
            points = np.concatenate([ring, np.broadcast_to(height[:, None, None], (*ring.shape[:2], 1))], axis=-1)
            bodies.append(Solid("hull", (), np.eye(4), _corners(points.reshape(-1, 3))))
            continue
        height = np.maximum(height, lowest_m)
        flanks = [
            np.stack([radius * math.cos(half), sign * radius * math.sin(half), height], axis=1) for sign in (-1, 1)
        ]
        wedge = _corners(np.concatenate(flanks))
        turns = Rotation.from_euler("z", (angles + half)[:, None]).as_matrix()
        bodies += [Solid("hull", (), _at(np.zeros(3), turn), wedge) for turn in turns]
    return bodies


def _pieces(outline: Floats) -> list[Floats]:
    """Cut a profile (P, 2) into convex pieces, of which one that is whole about the axis bears it."""
    pieces = convex_pieces(outline, _HOLLOW_M)
    if any(_foot_m(piece, outline) == _foot_m(outline, outline) and _convex_about_axis(piece) for piece in pieces):
        return pieces
    # Slanting cuts left none. Level ones do: at the floor, and below it wherever the foot steps in.
    floor_m = float(outline[-1, 1])
    base, rest = _cut_level(outline, floor_m)
    slices = []
    while (depths := _depths(base)).max() > _HOLLOW_M:
        lower, base = _cut_level(base, float(base[depths.argmax(), 1]))
        slices.append(lower)
    return [*slices, base, *(convex_pieces(rest, _HOLLOW_M) if len(rest) > 2 else [])]


def _foot_m(piece: Floats, outline: Floats) -> float:
    """The radius to which a piece of a profile bears it."""
    return float(piece[piece[:, 1] < outline[:, 1].min() + 1e-6, 0].max(initial=0.0))


def _cut_level(outline: Floats, height_m: float) -> tuple[Floats, Floats]:
    """Cut a profile, which rises outside and comes back to the axis, at a height: below it, and above."""
    above = np.flatnonzero(outline[:, 1] > height_m + 1e-9)
    if not len(above):
        return outline, outline[:0]
    first, last = int(above[0]), int(above[-1])
    (r0, z0), (r1, z1) = outline[first - 1], outline[first]
    edge = np.array([[r0 + (height_m - z0) / (z1 - z0) * (r1 - r0), height_m]])
    axis = np.array([[0.0, height_m]])
    lower = np.concatenate([outline[:first], edge, axis])
    return lower, np.concatenate([axis[: last == len(outline) - 1], edge, outline[first : last + 2]])


def _swept(part: Part) -> list[Solid]:
    """Cut a part that is swept along a path into the hulls of neighbouring sections."""
    mesh = part.mesh()
    sections = mesh.positions_m.reshape(-1, part.sides + 1, 3)
    arcs = part.profile.points_m[:, 1]
    steps = np.flatnonzero(np.diff(arcs) > 1e-6)
    return [Solid("hull", (), np.eye(4), _corners(sections[i : i + 2].reshape(-1, 3))) for i in steps.tolist()]


def convex_pieces(outline: Floats, tolerance_m: float) -> list[Floats]:
    """Cut a polygon (P, 2) into polygons that are nowhere deeper than the tolerance below their convex hulls."""
    keep = np.hypot(*(outline - np.roll(outline, 1, axis=0)).T) > 1e-9
    outline = outline[keep]
    depths = _depths(outline)
    if len(outline) < 4 or depths.max() <= tolerance_m:
        return [outline]
    notch = int(depths.argmax())
    best: tuple[float, Floats, Floats] | None = None
    for other in range(len(outline)):
        first, last = sorted((notch, other))
        one, two = outline[first : last + 1], np.concatenate([outline[last:], outline[: first + 1]])
        if min(len(one), len(two)) < 3 or not _inside(outline, first, last):
            continue
        length = float(np.linalg.norm(outline[first] - outline[last]))
        cost = float(max(_depths(one).max(), tolerance_m) + max(_depths(two).max(), tolerance_m)) + 1e-3 * length
        if best is None or cost < best[0]:
            best = cost, one, two
    if best is None:
        return [outline]
    return convex_pieces(best[1], tolerance_m) + convex_pieces(best[2], tolerance_m)


def _depths(outline: Floats) -> Floats:
    """How deep each corner (P, 2) lies inside the polygon's convex hull."""
    if len(outline) < 4 or np.linalg.svd(outline - outline.mean(axis=0), compute_uv=False)[1] < 1e-9:
        return np.zeros(len(outline))
    sides = ConvexHull(outline).equations
    return np.asarray(-(outline @ sides[:, :2].T + sides[:, 2]).max(axis=1))


def _inside(outline: Floats, first: int, last: int) -> bool:
    """Tell whether the diagonal between two corners runs inside the polygon."""
    a, b = outline[first], outline[last]
    following = np.roll(outline, -1, axis=0)

    def side(p: Floats, q: Floats, r: Floats) -> Floats:
        return np.asarray((q - p)[..., 0] * (r - p)[..., 1] - (q - p)[..., 1] * (r - p)[..., 0])

    crossed = side(a, b, outline) * side(a, b, following) < -1e-18
    crossing = side(outline, following, a) * side(outline, following, b) < -1e-18
    shares = np.array([0.25, 0.5, 0.75])[:, None]
    return not (crossed & crossing).any() and bool(_within(outline, a + shares * (b - a)).all())


def _within(outline: Floats, points: Floats) -> Bools:
    """Tell which points (Q, 2) are in the polygon, by the parity of crossings."""
    (x0, y0), (x1, y1) = outline.T, np.roll(outline, -1, axis=0).T
    x, y = points[:, :1], points[:, 1:]
    spans = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return np.asarray((spans & left).sum(axis=1) % 2 == 1)


def _convex_about_axis(piece: Floats) -> bool:
    """Tell whether a polygon (P, 2) of radii and heights, with an edge on the axis, makes a convex body."""
    on_axis = piece[:, 0] < 1e-9
    whole = np.concatenate([piece, piece * (-1.0, 1.0)])
    sides = ConvexHull(whole).equations
    depth = -(piece @ sides[:, :2].T + sides[:, 2]).max(axis=1)
    return on_axis.sum() >= 2 and bool((depth[~on_axis] <= _HOLLOW_M).all())


def _own(kind: str) -> Solids:
    """The bodies of a kind of the user's own."""
    file = asset_path("kinds", f"{kind}.json").parent.parent / "solids" / f"{kind}.json" if is_own(kind) else None
    if file is None or not file.exists():  # of a kind that was made before kinds had them
        return Solids((hull_of(load_mesh(kind, "inference").positions_m),), "hull")
    try:
        data = json.loads(file.read_bytes())
        return Solids(tuple(_read(solid) for solid in data["solids"]), data.get("source", "file"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{file}: bodies for collisions cannot be read ({error})") from None


def _read(solid: dict[str, Any]) -> Solid:
    if solid["kind"] == "hull":
        return hull_of(np.array(solid["points_m"], dtype=np.float64))
    turn = Rotation.from_quat(solid["rotation_wxyz"], scalar_first=True).as_matrix()
    return Solid(solid["kind"], tuple(solid["size_m"]), _at(solid["position_m"], turn), np.zeros((0, 3)))


def hull_of(points: Floats) -> Solid:
    """The convex hull of points; of flat ones, a box about them that is at least a millimetre thick."""
    centre = points.mean(axis=0)
    _, extents, axes = np.linalg.svd(points - centre, full_matrices=False)
    if len(points) > 3 and extents[-1] > 1e-4 * extents[0]:
        return Solid("hull", (), np.eye(4), _corners(points))
    axes = axes if len(axes) == 3 else np.eye(3)
    axes = axes * np.sign(np.linalg.det(axes))
    along = (points - centre) @ axes.T
    low, high = along.min(axis=0), along.max(axis=0)
    size = tuple(np.maximum((high - low) / 2.0, _THINNEST_M).tolist())
    return Solid("box", size, _at(centre + (low + high) / 2.0 @ axes, axes.T), np.zeros((0, 3)))


def _corners(points: Floats) -> Floats:
    """The corners of the convex hull, to a micrometre (as the compiler gets them)."""
    points = np.unique(points.round(6), axis=0)
    corners = points[ConvexHull(points).vertices]
    corners.setflags(write=False)
    return corners


def _points(body: Solid) -> Floats:
    """Points (P, 3) on a body, in its own frame."""
    size = np.array(body.size)
    if body.kind == "hull":
        return body.points
    if body.kind == "box":
        return np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * size
    angle = np.arange(32) * math.pi / 16.0
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(32)], axis=1)
    if body.kind == "cylinder":
        return np.concatenate([ring * size[0] + (0.0, 0.0, z) for z in (-size[1], size[1])])
    heights = np.sin(np.arange(-4, 5) * math.pi / 8.0)
    ball = np.concatenate([ring * math.sqrt(max(1.0 - z * z, 0.0)) + (0.0, 0.0, z) for z in heights])
    if body.kind == "capsule":
        return np.concatenate([ball * size[0] + (0.0, 0.0, z) for z in (-size[1], size[1])])
    return ball * (size[0] if body.kind == "sphere" else size)  # MJCF gives a sphere three numbers


def _volume(body: Solid) -> tuple[float, Floats]:
    """The volume and the centre (3,) of a body, in the kind's frame."""
    size = np.array(body.size)
    if body.kind == "hull":
        hull = ConvexHull(body.points)
        corners = body.points[hull.simplices]
        corners = np.concatenate([corners, np.broadcast_to(body.points.mean(axis=0), (len(corners), 1, 3))], axis=1)
        volumes = abs(np.linalg.det(corners[:, :3] - corners[:, 3:])) / 6.0
        centre = np.average(corners.mean(axis=1), axis=0, weights=volumes)
        return float(volumes.sum()), body.frame[:3, :3] @ centre + body.frame[:3, 3]
    ball = 4.0 / 3.0 * math.pi
    volume = {
        "box": lambda: 8.0 * size.prod(),
        "sphere": lambda: ball * size[0] ** 3,
        "ellipsoid": lambda: ball * size.prod(),
        "cylinder": lambda: 2.0 * math.pi * size[0] ** 2 * size[1],
        "capsule": lambda: 2.0 * math.pi * size[0] ** 2 * size[1] + ball * size[0] ** 3,
    }[body.kind]()
    return float(volume), body.frame[:3, 3]
