"""Mends triangles into closed bodies, wound outwards; the rest are sheets, which are drawn from both sides.

A set of triangles is closed where each of its edges is used an even number of times, however many bodies meet there.
"""

from __future__ import annotations

import numpy as np
import trimesh

from air3d.scene3d.arrays import Bools, Floats, Ints
from air3d.scene3d.objects.indexed import Indexed, distinct, welded
from air3d.scene3d.objects.nearest import face_areas

# More than so many walls behind one another in one body: what is left is drawn as sheets.
_ROUNDS = 100


def mended(corners: Floats, values: Floats | None) -> tuple[Indexed, Indexed]:
    """Sort triangles (F, 3, 3) into closed bodies and sheets: equal corners become one, useless triangles go.

    Args:
        values: the values at corners (F, 3, D), which triangles keep.
    """
    mesh, walls = _each_once(welded(corners, values))
    areas, edge = face_areas(mesh.corners), _edges(mesh.faces)
    closed, sheet = np.ones(len(mesh.faces), dtype=bool), np.zeros(len(mesh.faces), dtype=bool)
    for _ in range(_ROUNDS):
        border = _of_patches(edge, closed, _uses(edge, closed) == 1)
        if border.any():
            sheet |= border
            closed &= ~border
            continue
        wall = _least_wall(edge, closed, areas + areas.sum() * ~walls)
        if not wall.any():
            break
        # One that was there from both sides is what two closed bodies share: without it they are one.
        sheet |= wall & ~walls
        closed &= ~wall
    else:
        sheet, closed = sheet | closed, np.zeros_like(closed)
    back, twisted = _turned(mesh, edge, closed)
    sheet, closed = sheet | twisted, closed & ~twisted
    if sheet.any():
        back |= _turned(mesh, edge, sheet)[0]
    mesh.faces[back] = mesh.faces[back, ::-1]
    if mesh.values is not None:
        mesh.values[back] = mesh.values[back, ::-1]
    return mesh.only(closed), mesh.only(sheet)


def _each_once(mesh: Indexed) -> tuple[Indexed, Bools]:
    """Keep every triangle from one side, and tell whether it was there from both."""
    first, number = distinct(np.sort(mesh.faces, axis=1))
    sides, rows = np.bincount(number), np.sort(first)
    return mesh.only(rows), sides[number[rows]] > 1


def _edges(faces: Ints) -> Ints:
    """Number the edges (F, 3); side k of a triangle runs from its corner k to the next."""
    ends = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return distinct(ends)[1].reshape(-1, 3)


def _uses(edge: Ints, part: Bools) -> Ints:
    """Count the triangles of a part that use each side's edge, (F, 3); 0 for triangles that do not belong to it."""
    return np.bincount(edge[part].ravel(), minlength=edge.max(initial=0) + 1)[edge] * part[:, None]


def _pairs(edge: Ints, part: Bools) -> tuple[Ints, Ints]:
    """Find the two sides, as 3 f + k, of every edge that exactly two triangles of a part use."""
    sides = np.flatnonzero((_uses(edge, part) == 2).ravel())
    sides = sides[np.argsort(edge.ravel()[sides], kind="stable")]
    return sides[::2], sides[1::2]


def _patches(edge: Ints, part: Bools) -> Ints:
    """Number each triangle's patch: a patch hangs together over edges that just two triangles of a part use."""
    links = np.stack(_pairs(edge, part), axis=1) // 3
    return np.asarray(trimesh.graph.connected_component_labels(links, node_count=len(edge)))


def _of_patches(edge: Ints, part: Bools, marked: Bools) -> Bools:
    """Find all triangles of those patches of a part in which a side is marked (F, 3)."""
    patch = _patches(edge, part)
    hit = np.bincount(patch, weights=marked.any(axis=1), minlength=len(edge)) > 0.0
    return hit[patch] & part


def _least_wall(edge: Ints, part: Bools, weights: Floats) -> Bools:
    """Find, in all that hangs together over edges, the lightest patch at an edge used an odd number of times."""
    odd = _of_patches(edge, part, _uses(edge, part) % 2 == 1)
    if not odd.any():
        return odd
    rows = np.flatnonzero(part)
    links = np.stack([np.repeat(rows, 3), edge[rows].ravel() + len(edge)], axis=1)
    whole = trimesh.graph.connected_component_labels(links, node_count=len(edge) + int(edge.max()) + 1)[: len(edge)]
    patch = _patches(edge, part)
    weight = np.bincount(patch, weights=weights, minlength=len(edge))[patch]
    weight[~odd] = np.inf
    order = np.lexsort([patch, weight, whole])
    first = order[np.unique(whole[order], return_index=True)[1]]
    return np.isin(patch, patch[first[odd[first]]]) & odd


def _turned(mesh: Indexed, edge: Ints, part: Bools) -> tuple[Bools, Bools]:
    """Find the triangles of a part that look the wrong way, and those of a patch that has one side only.

    A closed patch looks outwards, an open one as most of it does in the file.
    """
    count = len(edge)
    here, there = _pairs(edge, part)
    side = np.roll(mesh.faces, -1, axis=1).ravel() > mesh.faces.ravel()
    alike = (side[here] == side[there]).astype(np.int64)
    f, g = here // 3, there // 3
    # Each triangle twice, as it is and turned; what hangs together there is wound alike.
    links = np.concatenate([np.stack([f, g + count * alike], 1), np.stack([f + count, g + count * (1 - alike)], 1)])
    label = np.asarray(trimesh.graph.connected_component_labels(links, node_count=2 * count)).reshape(2, -1)
    twisted = (label[0] == label[1]) & part
    patch, back = label.min(axis=0), label[0] > label[1]
    corners = mesh.corners
    areas = face_areas(corners)
    heavy = np.maximum(np.bincount(patch, weights=areas, minlength=2 * count), 1e-300)
    middle = [np.bincount(patch, weights=areas * corners.mean(axis=1)[:, k], minlength=2 * count) for k in range(3)]
    a, b, c = (corners - (np.stack(middle, axis=1) / heavy[:, None])[patch][:, None]).transpose(1, 0, 2)
    turn = np.where(back, -1.0, 1.0) * part
    volume = np.bincount(patch, weights=turn * (a * np.cross(b, c)).sum(1), minlength=2 * count)
    as_in_file = np.bincount(patch, weights=turn * areas, minlength=2 * count)
    uses, times = np.unique(patch[part, None] * (edge.max(initial=0) + 1) + edge[part], return_counts=True)
    is_open = np.zeros(2 * count, dtype=bool)
    is_open[uses[times % 2 == 1] // (edge.max(initial=0) + 1)] = True
    return (back ^ (np.where(is_open, as_in_file, volume) < 0.0)[patch]) & part & ~twisted, twisted
