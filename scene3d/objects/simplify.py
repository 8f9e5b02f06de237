"""Simplifies meshes by quadric error (Garland & Heckbert, SIGGRAPH 1997): all bodies at once, the cheapest edge first.

fast_simplification has no queue, which makes it fast and good for the large reductions of dense meshes; but where one
body cannot be reduced any further it eats the others. The last reduction, to hundreds of triangles, is done here.
"""

from __future__ import annotations

import heapq
import math

import fast_simplification
import numpy as np

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.objects.indexed import Indexed, bodies, joined, welded
from air3d.scene3d.objects.nearest import apart_m, face_areas, face_normals

_Point = tuple[float, float, float]
# The ten different entries of a symmetric matrix (4, 4), row by row.
_Quadric = tuple[float, ...]

# An open border is held by planes across it, as heavy as faces with this many times the edge's length squared.
_BORDER = 4.0
# How far off, as shares of the whole's size, collapses may bring the surface, step by step: so small handles close
# before large walls bend. The last step takes what is left.
_LIMITS = (0.005, 0.01, 0.02, 0.04, 0.08, np.inf)
# In each step first only collapses that turn no normal by more than the angle of this cosine, and keep every handle;
# then more of them, and without regard to handles (parts full of holes, noise); at the very end any.
_TURNS = ((0.7, True), (0.2, True), (0.2, False))
_ANY = (-2.0, False)
# Bodies go that are smaller than this share, before others are bent as much.
_CRUMB = 0.05
# A mesh of no more triangles is thinned again with care if what came of it quickly is farther off than this share.
_PATIENCE, _FINE = 100_000, 0.005
_LEAST = 4  # triangles of the least body
_UPPER = np.triu_indices(4)


def thinned(meshes: list[Indexed], costs: list[int], budget: int) -> list[Indexed]:
    """Do the same as `simplified`, faster, for dense meshes and thousands of triangles."""
    if _total(meshes, costs) <= budget:
        return meshes
    meshes = _without_crumbs(meshes, costs, budget)
    whole = joined(meshes).corners
    share = budget / max(_total(meshes, costs), 1)
    found = simplified([_fast(mesh, share) for mesh in meshes], costs, budget)
    if len(whole) <= _PATIENCE and apart_m(joined(found).corners, whole) > _FINE * np.ptp(whole, axis=(0, 1)).max():
        return simplified(meshes, costs, budget)
    return found


def reduced(mesh: Indexed, triangles: int) -> Indexed:
    """Reduce one body to so many triangles: quickly to four times as many, then with care."""
    return simplified([_fast(mesh, 4.0 * triangles / max(len(mesh.faces), 1))], [1], triangles)[0]


def _fast(mesh: Indexed, share: float) -> Indexed:
    """Reduce a mesh to about this share of its triangles."""
    if share >= 1.0 or len(mesh.faces) <= _LEAST:
        return mesh
    target = max(int(share * len(mesh.faces)), _LEAST)
    used, faces = np.unique(mesh.faces, return_inverse=True)
    # In millimetres: the library's thresholds are absolute.
    points, triangles = 1000.0 * mesh.vertices[used], faces.reshape(-1, 3).astype(np.int32)
    for aggression in (3, 5, 7):
        found, few = fast_simplification.simplify(points, triangles, target_count=target, agg=aggression)
        if len(few) <= target:
            break
    return welded((found / 1000.0)[few])


def simplified(meshes: list[Indexed], costs: list[int], budget: int) -> list[Indexed]:
    """Reduce meshes until all together cost no more than a budget; `costs` has the price of a triangle of each."""
    if _total(meshes, costs) <= budget:
        return meshes
    meshes = _without_crumbs(meshes, costs, budget)
    whole, owner = joined(meshes), np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])
    collapse = _Collapse(whole.vertices, whole.faces, np.array(costs)[owner])
    size = float(np.ptp(whole.corners.reshape(-1, 3), axis=0).max())
    for limit in _LIMITS:
        for turn, handles in _TURNS if limit < np.inf else (*_TURNS, _ANY):
            collapse.until(budget, turn, handles, limit * size)
        collapse.leave_out_the_smallest(budget, min(limit, _CRUMB) * size)
    collapse.leave_out_the_smallest(budget, np.inf)
    vertices, found = collapse.vertices(), []
    for which in range(len(meshes)):
        own = [collapse.faces[f] for f in sorted(collapse.faces) if owner[f] == which]
        found.append(welded(vertices[np.array(own, dtype=np.int64).reshape(-1, 3)]))
    return found


def _total(meshes: list[Indexed], costs: list[int]) -> int:
    return sum(len(mesh.faces) * cost for mesh, cost in zip(meshes, costs, strict=True))


def _without_crumbs(meshes: list[Indexed], costs: list[int], budget: int) -> list[Indexed]:
    """Keep only the largest bodies, as many as fit the budget if each is as coarse as a body can be."""
    labels = [bodies(mesh.faces) for mesh in meshes]
    counts = [int(label.max(initial=-1)) + 1 for label in labels]
    prices = [np.minimum(np.bincount(label), _LEAST) * cost for label, cost in zip(labels, costs, strict=True)]
    if sum(int(price.sum()) for price in prices) <= budget:
        return meshes
    extents = [_extents(mesh, label, count) for mesh, label, count in zip(meshes, labels, counts, strict=True)]
    order = np.argsort(-np.concatenate(extents).round(6), kind="stable")
    price = np.cumsum(np.concatenate(prices)[order])
    kept = np.zeros(sum(counts), dtype=bool)
    kept[order[: max(int(np.searchsorted(price, budget, side="right")), 1)]] = True
    starts = np.cumsum([0, *counts])
    return [
        mesh if kept[start : start + count].all() else Indexed(mesh.vertices, mesh.faces[kept[start:][label]])
        for mesh, label, start, count in zip(meshes, labels, starts, counts, strict=False)
    ]


def _extents(mesh: Indexed, label: Ints, count: int) -> Floats:
    """The longest side of each body's box."""
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    for corner in range(3):
        np.minimum.at(low, label, mesh.vertices[mesh.faces[:, corner]])
        np.maximum.at(high, label, mesh.vertices[mesh.faces[:, corner]])
    return (high - low).max(axis=1) if count else np.zeros(0)


class _Collapse:
    """A mesh whose edges are collapsed one by one, in metres; vertices and faces keep their numbers.

    Plain numbers, not arrays: for three of them at a time numpy is ten times slower.
    """

    def __init__(self, vertices: Floats, faces: Ints, cost: Ints) -> None:
        self.faces: dict[int, tuple[int, int, int]] = {f: (a, b, c) for f, (a, b, c) in enumerate(faces.tolist())}
        self._cost = cost.tolist()
        self._left = int(cost.sum())
        self._at: list[_Point] = [(x, y, z) for x, y, z in vertices.tolist()]
        self._around: list[set[int]] = [set() for _ in self._at]
        for f, corners in self.faces.items():
            for v in corners:
                self._around[v].add(f)
        self._quadric: list[_Quadric] = list(map(tuple, _quadrics(vertices, faces)[:, _UPPER[0], _UPPER[1]].tolist()))
        self._limit = math.inf
        self._version = [0] * len(self._at)
        self._queue: list[tuple[float, int, int, int, int, _Point]] = []

    def vertices(self) -> Floats:
        """The vertices (V, 3); those of no face may be anywhere."""
        return np.array(self._at)

    def until(self, budget: int, turn: float, handles: bool, limit: float) -> None:
        """Collapse until the faces cost no more, or nothing can be collapsed.

        Args:
            turn: the cosine of the angle by which a triangle may turn.
            handles: keeps all handles.
            limit: about how far a collapse may move the surface, metres.
        """
        if self._left <= budget:
            return
        self._queue.clear()
        self._limit = limit
        for a, b in {(min(e), max(e)) for x, y, z in self.faces.values() for e in ((x, y), (y, z), (z, x))}:
            self._offer(a, b)
        while self._left > budget and self._queue:
            _, a, b, version_a, version_b, place = heapq.heappop(self._queue)
            fresh = (version_a, version_b) == (self._version[a], self._version[b])
            if fresh and not self._folds(a, b, place, turn, handles):
                self._merge(a, b, place)

    def leave_out_the_smallest(self, budget: int, below: float) -> None:
        """Drop whole bodies no larger than this, the smallest first, until the rest costs no more; never the last."""
        if self._left <= budget:
            return
        numbers = sorted(self.faces)
        mesh = Indexed(self.vertices(), np.array([self.faces[f] for f in numbers]))
        label = bodies(mesh.faces)
        extent = _extents(mesh, label, int(label.max()) + 1)
        for k in np.argsort(extent, kind="stable")[:-1]:
            if self._left <= budget or extent[k] > below:
                break
            for row in np.flatnonzero(label == k):
                self._drop(numbers[row])

    def _drop(self, face: int) -> None:
        self._left -= self._cost[face]
        for v in self.faces.pop(face):
            self._around[v].discard(face)

    def _offer(self, a: int, b: int) -> None:
        error, weight, place = _best_place(self._quadric[a], self._quadric[b], self._at[a], self._at[b])
        if error > self._limit**2 * weight:
            return
        # Ends and versions are never the same twice, so that places are not compared.
        heapq.heappush(self._queue, (error, a, b, self._version[a], self._version[b], place))

    def _folds(self, a: int, b: int, place: _Point, turn: float, handles: bool) -> bool:
        """Tell whether the surface would fold onto itself: get a fin, or have a triangle turn over or vanish."""
        here, there = self._around[a], self._around[b]
        both = here & there
        if len(here | there) - len(both) < (1 if len(both) == 1 else _LEAST - 1):  # a body's end
            return True
        shared = {v for f in both for v in self.faces[f]}
        if handles and (self._neighbours(a) & self._neighbours(b)) - shared:  # the link condition
            return True
        for v, own in ((a, here), (b, there)):
            for f in own - both:
                p, q, r = (self._at[c] for c in self.faces[f])
                before = _cross(p, q, r)
                after = _cross(*(place if c == v else self._at[c] for c in self.faces[f]))
                (ax, ay, az), (bx, by, bz) = before, after
                length = math.sqrt((ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz))
                if ax * bx + ay * by + az * bz <= turn * length:
                    return True
        return False

    def _neighbours(self, vertex: int) -> set[int]:
        return {v for f in self._around[vertex] for v in self.faces[f]}

    def _merge(self, a: int, b: int, place: _Point) -> None:
        """Merge vertex b into a, at `place`."""
        for f in self._around[a] & self._around[b]:
            self._drop(f)
        for f in self._around[b]:
            x, y, z = (a if v == b else v for v in self.faces[f])
            self.faces[f] = (x, y, z)
        self._around[a] |= self._around[b]
        self._around[b].clear()
        seen = set()
        for f in sorted(self._around[a]):  # faces that have become the same; a flat body's two sides stay
            corners = self.faces[f]
            start = corners.index(a)
            key = (corners[start - 2], corners[start - 1])
            if key in seen:
                self._drop(f)
            seen.add(key)
        self._at[a] = place
        self._quadric[a] = tuple(map(float.__add__, self._quadric[a], self._quadric[b]))
        self._version[a] += 1
        self._version[b] += 1
        for v in self._neighbours(a) - {a}:
            self._offer(a, v)


def _best_place(first: _Quadric, second: _Quadric, p: _Point, q: _Point) -> tuple[float, float, _Point]:
    """Find the place where an edge's ends best meet; return the error there, the weight of its planes, the place."""
    aa, ab, ac, ad, bb, bc, bd, cc, cd, dd = map(float.__add__, first, second)
    places = [p, q, (0.5 * (p[0] + q[0]), 0.5 * (p[1] + q[1]), 0.5 * (p[2] + q[2]))]
    span = (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2
    # Cramer's rule, unless the planes have a direction in common; then also far away places are as good.
    xx, xy, xz = bb * cc - bc * bc, ac * bc - ab * cc, ab * bc - ac * bb
    determinant = aa * xx + ab * xy + ac * xz
    if determinant > 1e-6 * (aa + bb + cc) ** 3:
        yy, yz, zz = aa * cc - ac * ac, ab * ac - aa * bc, aa * bb - ab * ab
        x = -(xx * ad + xy * bd + xz * cd) / determinant
        y = -(xy * ad + yy * bd + yz * cd) / determinant
        z = -(xz * ad + yz * bd + zz * cd) / determinant
        mx, my, mz = places[2]
        if (x - mx) ** 2 + (y - my) ** 2 + (z - mz) ** 2 <= 4.0 * span:
            places.append((x, y, z))
    least, best = math.inf, p
    for x, y, z in places:
        error = (
            aa * x * x + bb * y * y + cc * z * z + dd
            + 2.0 * (ab * x * y + ac * x * z + bc * y * z + ad * x + bd * y + cd * z)
        )  # fmt: skip
        if error < least:
            least, best = error, (x, y, z)
    # Of edges that cost the same the shortest goes first.
    return max(least, 0.0) + 1e-12 * span, aa + bb + cc, best


def _cross(p: _Point, q: _Point, r: _Point) -> _Point:
    ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


def _quadrics(vertices: Floats, faces: Ints) -> Floats:
    """Sum for every vertex the quadrics of its faces' planes, by area, and of planes across open borders, (V, 4, 4)."""
    corners = vertices[faces]
    normal = face_normals(corners)
    found = np.zeros((len(vertices), 4, 4))
    _add_planes(found, faces, normal, corners[:, 0], face_areas(corners))
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    _, index, uses = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    border = uses[index.reshape(-1)] == 1
    ends, across = edges[border], np.repeat(normal, 3, axis=0)[border]
    along = vertices[ends[:, 1]] - vertices[ends[:, 0]]
    outward = np.cross(along, across)
    size = np.linalg.norm(outward, axis=1, keepdims=True)
    _add_planes(found, ends, outward / np.maximum(size, 1e-300), vertices[ends[:, 0]], _BORDER * size[:, 0] ** 2)
    return found


def _add_planes(quadrics: Floats, users: Ints, normal: Floats, point: Floats, weight: Floats) -> None:
    plane = np.concatenate([normal, -(normal * point).sum(1, keepdims=True)], axis=1)
    outer = weight[:, None, None] * plane[:, :, None] * plane[:, None, :]
    for column in users.T:
        np.add.at(quadrics, column, outer)
