"""Fewer triangles by quadric error (Garland & Heckbert, SIGGRAPH 1997): all bodies at once, the cheapest edge first.

fast_simplification has no queue, which makes it fast and good for the large reductions of dense meshes; but where one
body cannot be reduced any further it eats the others. The last reduction, to hundreds of triangles, is done here.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import fast_simplification
import numpy as np
import trimesh
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MICROMETRES = 6
# An open border is held by planes across it, as heavy as faces with this many times the edge's length squared.
_BORDER = 4.0
# A collapse may not turn a triangle's normal by more than the angle of this cosine.
_TURN = 0.7


class Indexed(NamedTuple):
    """A mesh: vertices (V, 3), metres, and faces (F, 3)."""

    vertices: Floats
    faces: Ints

    @property
    def corners(self) -> Floats:
        """Triangles (F, 3, 3)."""
        return self.vertices[self.faces]


def thinned(mesh: Indexed, share: float) -> Indexed:
    """About this share of a dense mesh's triangles."""
    if share >= 1.0 or not len(mesh.faces):
        return mesh
    target = max(int(share * len(mesh.faces)), 4)
    used, faces = np.unique(mesh.faces, return_inverse=True)
    # In millimetres: the library's thresholds are absolute.
    points, triangles = 1000.0 * mesh.vertices[used], faces.reshape(-1, 3).astype(np.int32)
    for aggression in (3, 5, 7):
        found, few = fast_simplification.simplify(points, triangles, target_count=target, agg=aggression)
        if len(few) <= target:
            break
    return welded((found / 1000.0)[few])


def simplified(meshes: list[Indexed], costs: list[int], budget: int) -> list[Indexed]:
    """Meshes with so few triangles that all together cost no more than a budget; one's triangle costs `costs`."""
    total = sum(len(mesh.faces) * cost for mesh, cost in zip(meshes, costs, strict=True))
    if total <= budget:
        return meshes
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)])
    cost = np.repeat(costs, [len(mesh.faces) for mesh in meshes])
    collapse = _Collapse(np.concatenate([mesh.vertices for mesh in meshes]), faces, cost)
    collapse.until(budget)
    collapse.leave_out_the_smallest(budget)
    vertices, owner = collapse.vertices(), np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])
    found = []
    for which in range(len(meshes)):
        own = [collapse.faces[f] for f in sorted(collapse.faces) if owner[f] == which]
        found.append(welded(vertices[np.array(own, dtype=np.int64).reshape(-1, 3)]))
    return found


def welded(corners: Floats) -> Indexed:
    """Triangles (F, 3, 3) as a mesh: equal corners, to a micrometre, are one; useless triangles are left out."""
    vertices, index = np.unique(corners.reshape(-1, 3).round(_MICROMETRES), axis=0, return_inverse=True)
    return Indexed(vertices.reshape(-1, 3), _without_useless(index.reshape(-1, 3)))


def _without_useless(faces: Ints) -> Ints:
    """Triangles with three different corners, each set of corners once."""
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return faces[np.sort(first)]


class _Collapse:
    """A mesh whose edges are collapsed one by one, in metres; vertices and faces keep their numbers."""

    def __init__(self, vertices: Floats, faces: Ints, cost: Ints) -> None:
        self.faces: dict[int, tuple[int, int, int]] = {f: (a, b, c) for f, (a, b, c) in enumerate(faces.tolist())}
        self._cost = cost.tolist()
        self._left = int(cost.sum())
        self._at = [*vertices]
        self._around: list[set[int]] = [set() for _ in self._at]
        for f, corners in self.faces.items():
            for v in corners:
                self._around[v].add(f)
        self._quadric = _quadrics(vertices, faces)
        self._version = [0] * len(self._at)
        self._queue: list[tuple[float, int, int, int, int, Floats]] = []
        for a, b in np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0).tolist():
            self._offer(a, b)

    def vertices(self) -> Floats:
        """(V, 3); those of no face are anywhere."""
        return np.array(self._at)

    def until(self, budget: int) -> None:
        """Collapse until the faces cost no more, or nothing can be collapsed without folding the surface over."""
        while self._left > budget and self._queue:
            _, a, b, version_a, version_b, place = heapq.heappop(self._queue)
            fresh = (version_a, version_b) == (self._version[a], self._version[b])
            if fresh and not self._folds(a, b, place):
                self._merge(a, b, place)

    def leave_out_the_smallest(self, budget: int) -> None:
        """Drop whole bodies, the smallest first, until the rest costs no more."""
        if self._left <= budget:
            return
        numbers = sorted(self.faces)
        faces = np.array([self.faces[f] for f in numbers])
        pairs = trimesh.graph.face_adjacency(faces)
        label = trimesh.graph.connected_component_labels(pairs, node_count=len(faces))
        points = self.vertices()[faces]
        extent = [np.ptp(points[label == k].reshape(-1, 3), axis=0).max() for k in range(label.max() + 1)]
        for k in np.argsort(extent, kind="stable"):
            if self._left <= budget:
                break
            for row in np.flatnonzero(label == k):
                self._drop(numbers[row])

    def _drop(self, face: int) -> None:
        self._left -= self._cost[face]
        for v in self.faces.pop(face):
            self._around[v].discard(face)

    def _offer(self, a: int, b: int) -> None:
        error, place = self._best_place(a, b)
        # Ends and versions are never the same twice, so that places are not compared.
        heapq.heappush(self._queue, (error, a, b, self._version[a], self._version[b], place))

    def _best_place(self, a: int, b: int) -> tuple[float, Floats]:
        """Where the edge's ends would best meet, and the error there."""
        quadric = self._quadric[a] + self._quadric[b]
        places = [self._at[a], self._at[b], 0.5 * (self._at[a] + self._at[b])]
        matrix, vector = quadric[:3, :3], quadric[:3, 3]
        if np.linalg.cond(matrix) < 1e6:
            places.append(np.linalg.solve(matrix, -vector))
        points = np.array([[*place, 1.0] for place in places])
        errors = ((points @ quadric) * points).sum(1)
        best = int(errors.argmin())
        # Of edges that cost the same the shortest goes first.
        return max(float(errors[best]), 0.0) + 1e-12 * float(((self._at[a] - self._at[b]) ** 2).sum()), places[best]

    def _folds(self, a: int, b: int, place: Floats) -> bool:
        """Whether the surface would fold onto itself: a fin would come to be, or a triangle turn over or vanish."""
        shared = {v for f in self._around[a] & self._around[b] for v in self.faces[f]}
        if (self._neighbours(a) & self._neighbours(b)) - shared:  # the link condition
            return True
        for v, other in ((a, b), (b, a)):
            for f in self._around[v]:
                corners = self.faces[f]
                if other in corners:
                    continue
                before = np.array([self._at[c] for c in corners])
                after = np.array([place if c == v else self._at[c] for c in corners])
                old, new = (np.cross(t[1] - t[0], t[2] - t[0]) for t in (before, after))
                if old @ new <= _TURN * np.linalg.norm(old) * np.linalg.norm(new):
                    return True
        return False

    def _neighbours(self, vertex: int) -> set[int]:
        return {v for f in self._around[vertex] for v in self.faces[f]}

    def _merge(self, a: int, b: int, place: Floats) -> None:
        """b becomes a, at `place`."""
        for f in [f for f in self._around[a] if b in self.faces[f]]:
            self._drop(f)
        for f in list(self._around[b]):
            x, y, z = (a if v == b else v for v in self.faces[f])
            self.faces[f] = (x, y, z)
            self._around[a].add(f)
        self._around[b].clear()
        seen = set()
        for f in list(self._around[a]):  # two faces that have become the same, or a fold's two sides
            key = frozenset(self.faces[f])
            if key in seen:
                self._drop(f)
            seen.add(key)
        self._at[a] = place
        self._quadric[a] = self._quadric[a] + self._quadric[b]
        self._version[a] += 1
        self._version[b] += 1
        for v in self._neighbours(a) - {a}:
            self._offer(a, v)


def _quadrics(vertices: Floats, faces: Ints) -> list[Floats]:
    """Of every vertex: the planes of its faces, by area, and those across open borders, (4, 4) each."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    normal = cross / np.maximum(length, 1e-300)
    found = np.zeros((len(vertices), 4, 4))
    _add_planes(found, faces, normal, corners[:, 0], length[:, 0] / 2.0)
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    _, index, uses = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    border = uses[index.reshape(-1)] == 1
    ends, across = edges[border], np.repeat(normal, 3, axis=0)[border]
    along = vertices[ends[:, 1]] - vertices[ends[:, 0]]
    outward = np.cross(along, across)
    size = np.linalg.norm(outward, axis=1, keepdims=True)
    _add_planes(found, ends, outward / np.maximum(size, 1e-300), vertices[ends[:, 0]], _BORDER * size[:, 0] ** 2)
    return [*found]


def _add_planes(quadrics: Floats, users: Ints, normal: Floats, point: Floats, weight: Floats) -> None:
    plane = np.concatenate([normal, -(normal * point).sum(1, keepdims=True)], axis=1)
    outer = weight[:, None, None] * plane[:, :, None] * plane[:, None, :]
    for column in users.T:
        np.add.at(quadrics, column, outer)
