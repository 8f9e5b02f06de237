"""Meshes of every build, from one triangle to thousands, made into kinds: within the limits, or one line.

What cannot be kept is said: the inference mesh is within 3 % of the size of the file's surface, or a warning tells how
far off it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import trimesh

from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.objects import make
from air3d.scene3d.objects.description import ObjectDescription
from air3d.scene3d.objects.looks import Painted
from air3d.scene3d.objects.make import Facts, make_kind
from air3d.scene3d.objects.raw_mesh import Material, RawMesh
from air3d.scene3d.symmetry import Symmetry

Soup = np.ndarray


def _revolved(rng: np.random.Generator) -> Soup:
    heights = np.cumsum(rng.uniform(0.02, 0.3, rng.integers(3, 30)))
    outline = np.stack([rng.uniform(0.1, 1.0, len(heights)), heights], axis=1)
    outline[[0, -1], 0] = 0.0
    return trimesh.creation.revolve(outline, sections=int(rng.integers(3, 120))).triangles


def _tube(points: np.ndarray, radius: float, sides: int, ends: bool) -> Soup:
    """A tube along points (P, 3), closed at its ends or not."""
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, [0.3, 0.5, 0.8])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    turn = np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)[:, None, None]
    rings = points + radius * (np.cos(turn) * across + np.sin(turn) * np.cross(along, across))
    after = np.roll(rings, -1, axis=0)
    a, b, c, d = rings[:, :-1], after[:, :-1], after[:, 1:], rings[:, 1:]
    faces = [np.stack([a, b, c], 2).reshape(-1, 3, 3), np.stack([a, c, d], 2).reshape(-1, 3, 3)]
    for end in (0, -1) if ends else ():
        tip = np.broadcast_to(points[end], rings[:, end].shape)
        faces.append(np.stack([rings[:, end], after[:, end], tip], axis=1))
    return np.concatenate(faces)


def _spring(rng: np.random.Generator) -> Soup:
    t = np.linspace(0.0, rng.uniform(4.0, 60.0), int(rng.integers(60, 300)))
    points = np.stack([np.cos(t), np.sin(t), rng.uniform(0.05, 0.4) * t], axis=1)
    return _tube(points, rng.uniform(0.02, 0.2), int(rng.integers(3, 12)), bool(rng.integers(2)))


def _gear(rng: np.random.Generator) -> Soup:
    """Teeth and a bore; an annulus of 2 x n corners, its top, bottom and both walls."""
    n = 4 * int(rng.integers(8, 120))
    t = np.linspace(0.0, 2.0 * np.pi, n, endpoint=False)
    radius = np.where(np.arange(n) % 4 < 2, 1.0, rng.uniform(0.7, 0.95))
    flat = np.stack([np.cos(t), np.sin(t)], axis=1)
    rings = [
        np.c_[s * flat, np.full(n, z)]
        for s, z in ((radius[:, None], 0.0), (radius[:, None], 0.3), (0.3, 0.3), (0.3, 0.0))
    ]
    faces = []
    for one, two in zip(rings, rings[1:] + rings[:1], strict=True):
        a, b, c, d = one, np.roll(one, -1, 0), np.roll(two, -1, 0), two
        faces += [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
    return np.concatenate(faces)


def _crumbs(rng: np.random.Generator) -> Soup:
    one = trimesh.creation.icosphere(int(rng.integers(0, 2)), 1.0).triangles
    at = rng.uniform(-1.0, 1.0, (int(rng.integers(2, 300)), 1, 1, 3)) * rng.uniform(5.0, 60.0)
    return (one[None] * rng.uniform(0.2, 1.5, (len(at), 1, 1, 1)) + at).reshape(-1, 3, 3)


def _blocks(rng: np.random.Generator) -> Soup:
    """Cells of a grid, each a closed box: they touch in faces, edges and corners."""
    cells = np.argwhere(rng.random(rng.integers(1, 9, 3)) < rng.uniform(0.1, 1.0))
    box = trimesh.creation.box([1, 1, 1]).triangles
    return (box[None] + (cells if len(cells) else np.zeros((1, 3)))[:, None, None]).reshape(-1, 3, 3)


def _soup(rng: np.random.Generator) -> Soup:
    """Triangles anywhere: not closed, and through each other."""
    return rng.normal(size=(int(rng.integers(1, 3000)), 3, 3)) * rng.choice([0.05, 1.0]) + rng.normal(size=(1, 1, 3))


def _book(rng: np.random.Generator) -> Soup:
    """Many pages on one edge."""
    t = np.linspace(0.0, 2.0 * np.pi, int(rng.integers(3, 1500)), endpoint=False)
    tips = np.stack([np.cos(t), np.sin(t), rng.uniform(0.2, 0.8, len(t))], axis=1)
    return np.stack([np.zeros_like(tips), np.broadcast_to([0.0, 0.0, 1.0], tips.shape), tips], axis=1)


def _rough(rng: np.random.Generator) -> Soup:
    """A ball with noise on it, so that it goes through itself."""
    ball = trimesh.creation.icosphere(int(rng.integers(2, 5)), 1.0)
    return (ball.vertices * rng.lognormal(0.0, rng.uniform(0.0, 0.4), (len(ball.vertices), 1)))[ball.faces]


def _plate(rng: np.random.Generator) -> Soup:
    mesh = trimesh.creation.box([1.0, rng.uniform(0.01, 1.0), rng.uniform(0.002, 0.02)])
    for _ in range(rng.integers(0, 6)):
        mesh = mesh.subdivide()
    return mesh.triangles


def _torus(rng: np.random.Generator) -> Soup:
    sizes = [int(n) for n in rng.integers(3, 70, 2)]
    return trimesh.creation.torus(
        1.0, rng.uniform(0.02, 0.9), major_sections=sizes[0], minor_sections=sizes[1]
    ).triangles


BUILDS: tuple[Callable[[np.random.Generator], Soup], ...] = (
    _revolved, _spring, _gear, _crumbs, _blocks, _soup, _book, _rough, _plate, _torus,
)  # fmt: skip


def _damaged(corners: Soup, rng: np.random.Generator) -> Iterator[tuple[str, Soup]]:
    """The same with what files do to it."""
    count = len(corners)
    some = rng.random(count) < rng.uniform(0.02, 0.5)
    yield "whole", corners
    yield "some turned", np.where(some[:, None, None], corners[:, ::-1], corners)
    yield "inside out", corners[:, ::-1]
    yield "some twice", np.concatenate([corners, corners[some], corners[some][:, ::-1][::2]])
    yield "holes", corners[~some] if (~some).any() else corners
    yield "slivers", np.concatenate([corners, corners[some][:, [0, 1, 1]], corners[some][:, [0, 0, 0]]])
    yield "walls inside", np.concatenate([corners, 0.5 * corners, np.roll(corners[some], 1, axis=2)])
    yield "not welded", corners + 1e-9 * rng.normal(size=corners.shape) * np.ptp(corners)


def made_or_refused(said: ObjectDescription) -> tuple[Facts | None, str]:
    try:
        return make_kind(said), ""
    except InputError as error:
        return None, str(error)


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__.strip("_"))
def test_shapes(build, tmp_path, monkeypatch, tried):
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path))
    refused = total = 0
    rng = np.random.default_rng(BUILDS.index(build))
    whole, *damaged = _damaged(np.asarray(build(rng), dtype=float), rng)
    for name, corners in (whole, *(damaged[k] for k in rng.choice(len(damaged), 2, replace=False))):
        total += 1
        where = f"{build.__name__}: {name}"
        raw = RawMesh(corners * 10.0 ** rng.uniform(-6, 6), None, np.zeros(len(corners), int), (Material(),), ())
        monkeypatch.setattr(make, "read_mesh", lambda *_, raw=raw: raw)
        monkeypatch.setattr(make, "painted", lambda *_: Painted(None, None, ()))
        size, colour = ("longest_m", 0.1), (1.0, 0.5, 0.2)
        said = ObjectDescription("thing", tmp_path, size, "z", 0.0, colour, None, Symmetry(), where)
        facts, line = made_or_refused(said)
        if facts is None:
            assert "\n" not in line and where in line
            refused += 1
            continue
        assert facts.triangles["display"] <= 8000 and 0 < facts.triangles["inference"] <= 360, where
        assert facts.deviation_m <= 0.003 or any("off by up to" in line for line in facts.warnings), where
        mesh = load_mesh(facts.kind, "inference")
        assert np.isfinite(mesh.positions_m).all() and np.isfinite(mesh.normals).all(), where
    assert refused < total
    tried("meshes of every build, whole and damaged: a kind within the limits, or one line", total)
