"""Meshes as arrays, and the two ways to make one: a surface of revolution and a sweep along a bent axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.meshes.profile import Array, Profile

_PATH_SAMPLES = 2048


class Resolution(NamedTuple):
    """The numbers behind a level of detail, which say how finely surfaces are sampled.

    Attributes:
        sides: the polygon corners of a body of revolution.
        tolerance_m: the distance that the sampled profile may have from the smooth one, metres.
        tube_sides: the polygon corners of the cross-section of a handle or spout.
        tube_step_m: the longest step along a handle or spout, metres.
    """

    sides: int
    tolerance_m: float
    tube_sides: int
    tube_step_m: float


INFERENCE = Resolution(sides=16, tolerance_m=0.0025, tube_sides=6, tube_step_m=0.018)
DISPLAY = Resolution(sides=64, tolerance_m=0.00005, tube_sides=24, tube_step_m=0.003)
DETAILS: dict[str, Resolution] = {"inference": INFERENCE, "display": DISPLAY}


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh; counter-clockwise faces look outward.

    Attributes:
        positions_m: (V, 3), metres.
        normals: (V, 3), unit, outward; a position at a hard edge stands once for each normal.
        faces: (F, 3), indices into the vertices.
        uvs: (V, 2), texture coordinates, v upward, or None.
    """

    positions_m: Array
    normals: Array
    faces: NDArray[np.int64]
    uvs: Array | None = None


class Path(NamedTuple):
    """A planar axis for a sweep: a cubic Bezier curve in the xz plane, `controls_m` (4, 2) as (x, z)."""

    controls_m: Array

    def length_m(self) -> float:
        """The arc length, metres."""
        return float(self._table()[0][-1])

    def at(self, arc_m: Array) -> tuple[Array, Array]:
        """Points (P, 3) and unit tangents (P, 3) at arc lengths (P,) from the start; straight on beyond the ends."""
        arcs, curve, tangents = self._table()
        inside = np.clip(arc_m, 0.0, arcs[-1])
        flat = np.stack([np.interp(inside, arcs, curve[:, k]) for k in (0, 1)], axis=1)
        along = np.stack([np.interp(inside, arcs, tangents[:, k]) for k in (0, 1)], axis=1)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        flat = flat + (arc_m - inside)[:, None] * along
        zero = np.zeros(len(arc_m))
        return np.stack([flat[:, 0], zero, flat[:, 1]], axis=1), np.stack([along[:, 0], zero, along[:, 1]], axis=1)

    def _table(self) -> tuple[Array, Array, Array]:
        t = np.linspace(0.0, 1.0, _PATH_SAMPLES)[:, None]
        p = self.controls_m
        curve = (1 - t) ** 3 * p[0] + 3 * t * (1 - t) ** 2 * p[1] + 3 * t**2 * (1 - t) * p[2] + t**3 * p[3]
        tangents = (1 - t) ** 2 * (p[1] - p[0]) + 2 * t * (1 - t) * (p[2] - p[1]) + t**2 * (p[3] - p[2])
        steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)]), curve, tangents


class Part(NamedTuple):
    """A part of a kind: a profile (radius, height) revolved about z, or swept (radius, arc length) along a path.

    Attributes:
        sides: the polygon corners of its sections.
        widen: scales sections along y.
    """

    profile: Profile
    sides: int
    path: Path | None = None
    widen: float = 1.0

    def mesh(self) -> Mesh:
        """Its closed surface."""
        if self.path is None:
            return revolve(self.profile, self.sides)
        return sweep(self.profile, self.path, self.sides, self.widen)


def polygon_stretch(sides: int) -> float:
    """The circumradius of the regular polygon whose area is that of the unit circle; a little above 1.

    Every ring is stretched by it, so that coarse and fine meshes cover the same area of an image.
    """
    return float(np.sqrt(2.0 * np.pi / (sides * np.sin(2.0 * np.pi / sides))))


def revolve(profile: Profile, sides: int) -> Mesh:
    """Revolve `profile` (radius, height) about the z axis; the first corner lies in direction +x."""
    heights = profile.points_m[:, 1]
    centres = np.stack([np.zeros_like(heights), np.zeros_like(heights), heights], axis=1)
    tangents = np.tile([0.0, 0.0, 1.0], (len(heights), 1))
    return _tube(profile, centres, tangents, sides, widen=1.0)


def sweep(profile: Profile, path: Path, sides: int, widen: float = 1.0) -> Mesh:
    """Revolve `profile` (radius, arc length) about the bent axis `path`; `widen` scales the section along y."""
    centres, tangents = path.at(profile.points_m[:, 1])
    return _tube(profile, centres, tangents, sides, widen)


def _tube(profile: Profile, centres_m: Array, tangents: Array, sides: int, widen: float) -> Mesh:
    """Join rings of `sides` corners about `centres_m` (P, 3); each repeats its first corner, for a texture's seam."""
    rings = len(centres_m)
    turn = np.arange(sides + 1) % sides * (2.0 * np.pi / sides)
    # In the section plane `across` comes first, then y: across x y = tangent, a right-handed frame.
    across = np.stack([tangents[:, 2], np.zeros(rings), -tangents[:, 0]], axis=1)
    y = np.array([0.0, 1.0, 0.0])
    cos, sin = np.cos(turn)[None, :, None], np.sin(turn)[None, :, None]
    radii = profile.points_m[:, 0, None, None] * polygon_stretch(sides)
    positions = centres_m[:, None] + radii * (cos * across[:, None] + widen * sin * y)
    # What stretches positions along y shrinks normals along y.
    outward = cos * across[:, None] + sin / widen * y
    normals = profile.normals[:, 0, None, None] * outward + profile.normals[:, 1, None, None] * tangents[:, None]
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    faces = []
    on_axis = profile.points_m[:, 0] == 0.0
    steps = np.linalg.norm(np.diff(profile.points_m, axis=0), axis=1)
    corner = np.arange(sides)
    for i in range(rings - 1):
        a, b = i * (sides + 1) + corner, (i + 1) * (sides + 1) + corner
        if steps[i] == 0.0:
            continue
        if not on_axis[i]:
            faces.append(np.stack([a, a + 1, b + 1], axis=1))
        if not on_axis[i + 1]:
            faces.append(np.stack([a, b + 1, b], axis=1))
    return Mesh(positions.reshape(-1, 3), normals.reshape(-1, 3), np.concatenate(faces))


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """Merge meshes into one, as separate components; texture coordinates are kept if all have some."""
    uvs = [mesh.uvs for mesh in meshes if mesh.uvs is not None]
    offsets = np.cumsum([0] + [len(mesh.positions_m) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([mesh.positions_m for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)]),
        None if len(uvs) < len(meshes) else np.concatenate(uvs),
    )
