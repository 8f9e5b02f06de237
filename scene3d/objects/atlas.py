"""Lays a mesh out flat: charts seen along an axis, side by side on a square picture; finds the texels of triangles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import trimesh

from air3d.scene3d.arrays import Bools, Floats, Ints
from air3d.scene3d.objects.indexed import Indexed, distinct
from air3d.scene3d.objects.nearest import face_normals

_AXES = np.concatenate([np.eye(3), -np.eye(3)])
# What a triangle's axis gains from a neighbour that has it, too: fewer, larger charts.
_TOGETHER = 0.25
_STEEPEST = 0.3  # cosine of a triangle's normal and its chart's axis
_ROUNDS = 10
_CELLS = 300.0  # of the grid on which charts may not lie over themselves, along the mesh
_MARGIN = 2.0  # texels around a chart
_CHUNK = 1 << 20


def unwrapped(mesh: Indexed, side: int) -> Floats:
    """Give every triangle its own place on a picture of side x side texels; return texture coordinates (F, 3, 2)."""
    axis = _axes(mesh)
    flat = np.zeros((len(mesh.faces), 3, 2))
    depth = np.zeros(len(mesh.faces))
    for k in range(6):
        own = axis == k
        corners = mesh.corners[own]
        flat[own] = corners[..., [(k + 1) % 3, (k + 2) % 3]]
        depth[own] = corners.mean(axis=1) @ _AXES[k]
    chart = _apart(mesh, axis, flat, depth)
    low, high = np.full((chart.max() + 1, 2), np.inf), np.full((chart.max() + 1, 2), -np.inf)
    for corner in range(3):
        np.minimum.at(low, chart, flat[:, corner])
        np.maximum.at(high, chart, flat[:, corner])
    scale, places, upright = _packed(high - low, side)
    flat = flat - low[chart][:, None]
    flat[upright[chart]] = flat[upright[chart]][..., ::-1]
    return np.asarray((flat * scale + places[chart][:, None]) / side)


def _axes(mesh: Indexed) -> Ints:
    """Choose the axis, 0 to 5, along which each triangle is seen: near its normal, if possible its neighbours' too."""
    fit = face_normals(mesh.corners) @ _AXES.T
    here, there = (side // 3 for side in neighbours(mesh.faces))
    axis = fit.argmax(axis=1)
    for _ in range(_ROUNDS):
        gain = np.zeros_like(fit)
        np.add.at(gain, (here, axis[there]), _TOGETHER)
        np.add.at(gain, (there, axis[here]), _TOGETHER)
        axis = np.where(fit >= np.minimum(_STEEPEST, fit.max(axis=1, keepdims=True)), fit + gain, -np.inf).argmax(1)
    return axis


def neighbours(faces: Ints) -> tuple[Ints, Ints]:
    """Find pairs of sides that are one edge; 3 f + k is the side of triangle f from its corner k to the next."""
    edge = distinct(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1))[1]
    order = np.argsort(edge, kind="stable")
    same = edge[order[1:]] == edge[order[:-1]]
    return order[:-1][same], order[1:][same]


def _apart(mesh: Indexed, axis: Ints, flat: Floats, depth: Floats) -> Ints:
    """Number the charts: the triangles of one hang together, have one axis, and do not lie over each other."""
    here, there = (side // 3 for side in neighbours(mesh.faces))
    layer, doubtful = axis.copy(), np.arange(len(axis))
    grid = flat / max(float(np.ptp(mesh.corners.reshape(-1, 3), axis=0).max()), 1e-300) * _CELLS
    rounds = 0
    while True:
        alike = layer[here] == layer[there]
        links = np.stack([here[alike], there[alike]], axis=1)
        chart = np.asarray(trimesh.graph.connected_component_labels(links, node_count=len(layer)))
        chart = np.unique(chart, return_inverse=True)[1]
        below = doubtful[_covered(grid[doubtful], chart[doubtful], depth[doubtful])]
        if not len(below):
            return chart
        # What lies over itself very often is taken apart at once.
        layer[below] += 6 if rounds < _ROUNDS else 6 * np.arange(1, len(below) + 1)
        doubtful = np.flatnonzero(np.isin(chart, chart[below]))
        rounds += 1


def _covered(grid: Floats, chart: Ints, depth: Floats) -> Bools:
    """Find the triangles that lie under another of their chart in some cell; the topmost of a chart never does."""
    face, cell = [], []
    for faces, x, y, weights in texels(grid):
        inside = weights.min(axis=1) > 1e-6
        face.append(faces[inside])
        cell.append(np.stack([chart[faces], x, y], axis=1)[inside])
    faces, cells = np.concatenate(face), distinct(np.concatenate(cell))[1]
    order = np.lexsort([-faces, depth[faces], cells])
    last = np.flatnonzero(np.diff(cells[order], append=-1))
    below = np.ones(len(order), dtype=bool)
    below[last] = False
    found = np.zeros(len(chart), dtype=bool)
    found[faces[order[below]]] = True
    return found


def _packed(sizes: Floats, side: int) -> tuple[float, Floats, Bools]:
    """Pack boxes (C, 2) in rows on a square: the largest scale that fits, their places (C, 2), which are laid over."""
    over = sizes[:, 1] > sizes[:, 0]
    wide = np.where(over[:, None], sizes[:, ::-1], sizes)
    order = np.argsort(-wide[:, 1], kind="stable").tolist()
    low, high = 0.0, side / max(float(wide.max()), 1e-300)
    places = np.full_like(sizes, _MARGIN)
    for _ in range(24):
        scale = (low + high) / 2.0
        found = _rows((wide * scale + 2.0 * _MARGIN).tolist(), order, side)
        if found is None:
            high = scale
        else:
            low, places = scale, np.array(found) + _MARGIN
    return low, places, over


def _rows(boxes: list[list[float]], order: list[int], side: int) -> list[tuple[float, float]] | None:
    """Place boxes, one row after another, highest first; None if they do not fit."""
    places = [(0.0, 0.0)] * len(boxes)
    x = y = row = 0.0
    for k in order:
        width, height = boxes[k]
        if x + width > side:
            x, y, row = 0.0, y + row, 0.0
        row = max(row, height)
        if width > side or y + row > side:
            return None
        places[k] = (x, y)
        x += width
    return places


def texels(triangles: Floats, every: bool = False) -> Iterator[tuple[Ints, Ints, Ints, Floats]]:
    """Find the texels whose middles lie in triangles (F, 3, 2), given in texels: some triangles at a time.

    Args:
        every: gives a triangle without any the texel in which its own middle lies.

    Yields:
        face (P,), column and row (P,), and barycentric coordinates (P, 3) of the texel's middle.
    """
    first = np.ceil(triangles.min(axis=1) - 0.5).astype(np.int64)
    size = np.maximum(np.floor(triangles.max(axis=1) - 0.5).astype(np.int64) - first + 1, 0)
    count = size.prod(axis=1)
    empty = np.ones(len(count), dtype=bool)
    for faces in np.split(np.arange(len(count)), np.flatnonzero(np.diff(np.cumsum(count) // _CHUNK)) + 1):
        face = np.repeat(faces, count[faces])
        if not len(face):
            continue
        number = np.arange(len(face)) - np.repeat(np.cumsum(count[faces]) - count[faces], count[faces])
        x, y = first[face, 0] + number % size[face, 0], first[face, 1] + number // size[face, 0]
        a, b, c = triangles[face].transpose(1, 0, 2)
        point = np.stack([x, y], axis=1) + 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = _double_area(a, b, c)
            weights = np.stack([_double_area(point, b, c), _double_area(a, point, c), _double_area(a, b, point)], 1)
            weights /= whole[:, None]
        inside = (weights >= -1e-9).all(axis=1)  # false where it is not a number
        empty[face[inside]] = False
        yield face[inside], x[inside], y[inside], weights[inside]
    if every and empty.any():
        x, y = np.floor(triangles[empty].mean(axis=1)).astype(np.int64).T
        yield np.flatnonzero(empty), x, y, np.full((len(x), 3), 1.0 / 3.0)


def _double_area(a: Floats, b: Floats, c: Floats) -> Floats:
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
