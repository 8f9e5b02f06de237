"""Takes a mesh apart into convex bodies for collisions, where its file has none: rings of wedges, or what coacd finds.

A surface of revolution is known by its half sections: they are alike at any angle, and enclose, revolved, the mesh's
volume.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.objects.indexed import welded
from air3d.scene3d.objects.raw_mesh import Solid
from air3d.scene3d.solids import Source, convex_pieces, hull_of, rings

# A mesh that fills this share of its convex hull has no hollow worth a cut.
_FULL = 0.9
# Half sections are cut at angles that fit no polygon's corners by chance: multiples of the golden angle.
_ANGLES_RAD = tuple(0.1 + k * np.pi * (3.0 - np.sqrt(5.0)) for k in range(5))
# In the middle their volumes are the mesh's within this share (a scan's thin walls are not even); the points of one lie
# on another within this share of the size.
_SAME_VOLUME, _SAME_OUTLINE = 0.15, 0.012
_SIDES = 16
# A bottom no higher at its middle stands on a disc.
_FOOT_M = 0.0003
# Outlines are followed within half a millimetre, or this share of the size.
_FOLLOWED_M, _FOLLOWED = 0.0005, 0.004
# A cup's 360 triangles take seconds so; coacd's own settings, minutes.
_COACD = {
    "threshold": 0.1, "max_convex_hull": 12, "preprocess_resolution": 20, "resolution": 500, "mcts_iterations": 10,
    "mcts_nodes": 6, "mcts_max_depth": 1, "seed": 0,
}  # fmt: skip


class Apart(NamedTuple):
    """Convex bodies, in the mesh's frame, where they come from, and a line to be said, if there is something to say."""

    bodies: list[Solid]
    source: Source
    note: str = ""


def taken_apart(fine: Mesh, coarse: Mesh) -> Apart:
    """Take a mesh apart.

    Args:
        fine, coarse: its two levels of detail, metres, z up; sections are cut through the one, hulls are of the other.
    """
    whole = Apart([hull_of(coarse.positions_m)], "hull")
    volume, around = _volume(fine.positions_m[fine.faces]), _hull_volume(coarse.positions_m)
    if volume >= _FULL * around:
        return whole
    outline = revolved_outline(fine)
    if outline is not None:
        foot, on_axis = outline[:, 1].min(), outline[outline[:, 0] < 1e-6, 1]
        bears = bool(on_axis.size and on_axis.min() < foot + _FOOT_M)
        return Apart(
            rings(convex_pieces(outline, _FOLLOWED_M), _SIDES, foot + _FOOT_M if bears else -np.inf), "revolved"
        )
    if importlib.util.find_spec("coacd") is None:
        return whole._replace(
            note=f"for collisions it is its convex hull, {around / max(volume, 1e-12):.1f} times as large: "
            "pip install 'air3d[solids]' takes it apart"
        )
    import coacd

    coacd.set_log_level("off")
    mesh = welded(coarse.positions_m[coarse.faces])
    hulls = coacd.run_coacd(coacd.Mesh(mesh.vertices, mesh.faces), **_COACD)
    return Apart([hull_of(np.asarray(points, dtype=np.float64)) for points, _ in hulls], "coacd") if hulls else whole


def revolved_outline(mesh: Mesh) -> Floats | None:
    """Find the outline (P, 2), radii and heights, that makes the mesh by turning about z; None if none does."""
    solid = welded(mesh.positions_m[mesh.faces])
    size, volume = float(np.ptp(solid.vertices, axis=0).max()), _volume(solid.corners)
    outlines = [half_section(solid.vertices, solid.faces, angle) for angle in _ANGLES_RAD]
    found = [outline for outline in outlines if outline is not None]
    if len(found) < len(outlines) or volume <= 0.0:
        return None
    volumes = [_revolved_volume(outline) for outline in found]
    if abs(float(np.median(volumes)) - volume) > _SAME_VOLUME * volume:
        return None
    outline = found[int(np.argsort(volumes)[len(found) // 2])]
    if any(_off(other, outline).max() > _SAME_OUTLINE * size for other in found):
        return None
    return _followed(outline, max(_FOLLOWED_M, _FOLLOWED * size))


def half_section(vertices: Floats, faces: Ints, angle_rad: float) -> Floats | None:
    """Cut a closed mesh by the half plane from the z axis at an angle; the outline (P, 2) of radii and heights.

    None if the section is not one region.
    """
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    x, y, height = vertices.T
    radius, across = x * c + y * s, y * c - x * s
    above = across >= 0.0
    crossed = faces[(above[faces].any(axis=1)) & ~above[faces].all(axis=1)]
    edges = np.sort(crossed[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 3, 2), axis=2)
    cut = above[edges[..., 0]] != above[edges[..., 1]]
    if not len(crossed):
        return None
    pairs = edges[cut].reshape(-1, 2, 2)
    keys, index = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    links = index.reshape(-1, 2)
    if (np.bincount(links.ravel()) != 2).any():
        return None  # not closed
    a, b = keys.T
    share = across[a] / (across[a] - across[b])
    points = np.stack(
        [radius[a] + share * (radius[b] - radius[a]), height[a] + share * (height[b] - height[a])], axis=1
    )
    regions = [_beyond_axis(points[loop]) for loop in _loops(links)]
    areas = np.array([abs(_area(region)) for region in regions])
    largest = int(areas.argmax())
    return regions[largest] if areas[largest] > 0.98 * areas.sum() > 0.0 else None


def _loops(links: Ints) -> list[list[int]]:
    """Follow pairs (E, 2) of points, each of which is in two, around."""
    beside: dict[int, list[int]] = {}
    for a, b in links.tolist():
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    loops, seen = [], set[int]()
    for start in beside:
        loop, at = [], start
        while at not in seen:
            seen.add(at)
            loop.append(at)
            at = next((other for other in beside[at] if other not in seen), at)
        if len(loop) > 2:
            loops.append(loop)
    return loops


def _beyond_axis(outline: Floats) -> Floats:
    """Keep the part of a polygon (P, 2) whose first coordinate is not negative."""
    kept: list[Floats] = []
    for here, there in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if here[0] >= 0.0:
            kept.append(here)
        if (here[0] >= 0.0) != (there[0] >= 0.0):
            kept.append(np.array([0.0, here[1] + here[0] / (here[0] - there[0]) * (there[1] - here[1])]))
    return np.array(kept).reshape(-1, 2)


def _followed(outline: Floats, tolerance_m: float) -> Floats:
    """Leave out corners of a polygon as long as it stays within a tolerance (Douglas & Peucker, 1973)."""
    far = int(((outline - outline[0]) ** 2).sum(axis=1).argmax())
    halves = (outline[: far + 1], np.concatenate([outline[far:], outline[:1]]))
    return np.concatenate([_thinner(half, tolerance_m)[:-1] for half in halves])


def _thinner(line: Floats, tolerance_m: float) -> Floats:
    if len(line) < 3:
        return line
    off = _off_segments(line[1:-1], line[:1], line[-1:])
    worst = int(off.argmax()) + 1
    if off[worst - 1] <= tolerance_m:
        return line[[0, -1]]
    return np.concatenate([_thinner(line[: worst + 1], tolerance_m)[:-1], _thinner(line[worst:], tolerance_m)])


def _off(points: Floats, outline: Floats) -> Floats:
    """The distances (P,) of points (P, 2) from a polygon's sides."""
    return np.array([_off_segments(point[None], outline, np.roll(outline, -1, axis=0)).min() for point in points])


def _off_segments(points: Floats, start: Floats, end: Floats) -> Floats:
    along = end - start
    share = ((points - start) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-18)
    return np.asarray(np.linalg.norm(points - start - np.clip(share, 0.0, 1.0)[:, None] * along, axis=1))


def _area(outline: Floats) -> float:
    (x, y), (u, v) = outline.T, np.roll(outline, -1, axis=0).T
    return float((x * v - u * y).sum()) / 2.0


def _revolved_volume(outline: Floats) -> float:
    """The volume of a polygon (P, 2) of radii and heights turned about the axis (Pappus' theorem)."""
    (r, z), (s, w) = outline.T, np.roll(outline, -1, axis=0).T
    return float(abs(((w - z) * (r * r + r * s + s * s)).sum())) * np.pi / 3.0


def _volume(corners: Floats) -> float:
    """The volume that triangles (F, 3, 3) enclose (by the divergence theorem)."""
    a, b, c = corners.transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum()) / 6.0


def _hull_volume(points: Floats) -> float:
    try:
        return float(ConvexHull(points).volume)
    except QhullError:
        return 0.0
