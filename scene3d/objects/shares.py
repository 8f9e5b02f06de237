"""Simplifies a scenery body by body, and shares a number of triangles among them.

Simplified together, a robot's thousand screws would eat the table, and what touches would come to lie in each other.
Here bodies are set far apart, along x, and back in the end; each gets triangles by the angle under which it is seen
from near the origin. One that has no more than that stays as it is, as boxes and planes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from air3d.scene3d.arrays import Floats, Ints
from air3d.scene3d.objects.indexed import Indexed, bodies, joined
from air3d.scene3d.objects.simplify import reduced

# From where bodies are seen, metres from the origin.
_EYE_M = 0.7
# Of a body that is kept at all; a closed one needs four.
_LEAST = 12
_APART_M = 64.0  # more than twice as large as a scenery


class _Body(NamedTuple):
    """A body where it belongs: the number of its mesh, the price of a triangle, how far it was set apart, its angle."""

    owner: int
    cost: int
    mesh: Indexed
    away_m: float
    angle: float

    @property
    def price(self) -> int:
        """The price of all of its triangles."""
        return self.cost * len(self.mesh.faces)


def set_apart(meshes: Sequence[Indexed]) -> list[Indexed]:
    """Set the bodies of meshes apart: none touches another."""
    found, first = [], 0
    for mesh in meshes:
        label = bodies(mesh.faces)
        vertices = mesh.vertices.copy()
        # Bodies share no vertices.
        vertices[mesh.faces.ravel(), 0] += _APART_M * (first + np.repeat(label, 3))
        first += int(label.max(initial=-1)) + 1
        found.append(mesh._replace(vertices=vertices))
    return found


def set_back(points: Floats) -> Floats:
    """Set points (..., 3) of bodies that were set apart back to where they belong."""
    away = _APART_M * np.rint(points[..., :1] / _APART_M)
    return points - away * [1.0, 0.0, 0.0]


def shared(meshes: Sequence[Indexed], costs: Sequence[int], budget: int) -> list[Indexed]:
    """Reduce meshes that are set apart until all together cost no more than a budget; see `simplified`."""
    if sum(len(mesh.faces) * cost for mesh, cost in zip(meshes, costs, strict=True)) <= budget:
        return list(meshes)
    found = [body for owner, mesh in enumerate(meshes) for body in _bodies(owner, costs[owner], mesh)]
    # The most that can be kept, however coarse.
    found.sort(key=lambda body: -body.angle)
    least = np.cumsum([min(body.price, _LEAST * body.cost) for body in found])
    found = found[: max(int(np.searchsorted(least, budget, side="right")), 1)]
    quotas = _quotas(np.array([body.price for body in found]), np.array([body.angle for body in found]), budget)
    kept: list[list[Indexed]] = [[] for _ in meshes]
    for body, quota in zip(found, quotas.tolist(), strict=True):
        small = body.mesh if quota >= body.price else reduced(body.mesh, max(int(quota / body.cost), 4))
        kept[body.owner].append(small._replace(vertices=small.vertices + [body.away_m, 0.0, 0.0]))
    return [joined(parts) if parts else meshes[owner].only(np.zeros(0, np.int64)) for owner, parts in enumerate(kept)]


def _bodies(owner: int, cost: int, mesh: Indexed) -> list[_Body]:
    label = bodies(mesh.faces)
    order = np.argsort(label, kind="stable")
    found = []
    for faces in np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(label) else []:
        part = mesh.only(faces)
        used, corners = np.unique(part.faces, return_inverse=True)
        points = mesh.vertices[used]
        back = set_back(points)
        own = Indexed(back, corners.reshape(-1, 3), part.values)
        found.append(_Body(owner, cost, own, float(points[0, 0] - back[0, 0]), _angle(back)))
    return found


def _angle(points: Floats) -> float:
    """How large a body with such vertices (V, 3) is over how far it is."""
    low, high = points.min(axis=0), points.max(axis=0)
    near = np.linalg.norm(np.clip(0.0, low, high))
    return float(np.linalg.norm(high - low) / (_EYE_M + near))


def _quotas(price: Ints, angle: Floats, budget: int) -> Floats:
    """Share a budget by angle, so that no body (B,) gets more than it costs, nor less than the least."""
    low, high = 0.0, budget / max(float(angle.min()), 1e-9)
    for _ in range(60):
        middle = (low + high) / 2.0
        quota = np.minimum(price, np.maximum(middle * angle, _LEAST))
        low, high = (middle, high) if quota.sum() <= budget else (low, middle)
    return np.minimum(price, np.maximum(low * angle, _LEAST))
