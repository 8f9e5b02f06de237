"""Meshes taken apart: what is hollow holds a ball, by MuJoCo; what is full is its hull; rings fill what meshes fill."""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Sequence

import mujoco
import numpy as np
import pytest
import trimesh
from matplotlib.path import Path
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from air3d.scene3d.contacts import add_bodies, set_options
from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.objects import apart
from air3d.scene3d.objects.raw_mesh import Solid
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.solids import hull_of, rings, solids
from tests.painted_cup import OUTLINE_M, painted_cup

Floats = NDArray[np.float64]


def as_mesh(body: trimesh.Trimesh) -> Mesh:
    return Mesh(np.array(body.vertices), np.array(body.vertex_normals), np.array(body.faces))


# A bowl with a wall of 4 mm and a foot ring.
BOWL_M = np.array(
    [(0.0, 0.004), (0.03, 0.004), (0.03, 0.0), (0.035, 0.0), (0.06, 0.025), (0.075, 0.055), (0.071, 0.055),
     (0.057, 0.028), (0.03, 0.008), (0.0, 0.008)]
)  # fmt: skip


def bowl(sides: int = 48) -> trimesh.Trimesh:
    return trimesh.creation.revolve(BOWL_M, sections=sides)


def within(bodies: Sequence[Solid], points: Floats) -> NDArray[np.bool_]:
    found = np.zeros(len(points), dtype=bool)
    for body in bodies:
        hull = ConvexHull(body.points @ body.frame[:3, :3].T + body.frame[:3, 3])
        found |= (points @ hull.equations[:, :3].T + hull.equations[:, 3] <= 1e-9).all(axis=1)
    return found


def test_a_bowls_rings_fill_what_it_fills() -> None:
    made = bowl()
    found = apart.taken_apart(as_mesh(made), as_mesh(made))
    assert found.source == "revolved" and len(found.bodies) > 16
    points = np.random.default_rng(0).uniform(made.bounds[0], made.bounds[1], (4000, 3))
    profile = np.stack([np.hypot(points[:, 0], points[:, 1]), points[:, 2]], axis=1)
    far = np.min([_distance(profile, a, b) for a, b in itertools.pairwise([*BOWL_M, BOWL_M[0]])], axis=0) > 0.0014
    inside = Path(BOWL_M).contains_points(profile)
    assert (inside & far).sum() > 50
    assert np.array_equal(within(found.bodies, points)[far], inside[far])


def _distance(points: Floats, a: Floats, b: Floats) -> Floats:
    share = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
    return np.asarray(np.linalg.norm(points - a - share[:, None] * (b - a), axis=1))


def test_half_sections_are_the_profile() -> None:
    made = bowl(sides=200)
    section = apart.half_section(made.vertices, made.faces, 0.7)
    assert section is not None
    volume = apart._revolved_volume(section)
    assert volume == pytest.approx(made.volume, rel=1e-2)
    open_bowl = made.faces[:-40]
    assert any(apart.half_section(made.vertices, open_bowl, a) is None for a in np.linspace(0.0, 6.0, 60))


@pytest.mark.parametrize("scale", [(1.0, 0.85, 1.0), (1.0, 1.0, 1.0)])
def test_an_oval_bowl_is_none_of_revolution(scale: tuple[float, float, float]) -> None:
    made = bowl()
    made.vertices *= scale
    assert (apart.revolved_outline(as_mesh(made)) is None) == (scale[1] != 1.0)


def test_a_ring_is_hollow() -> None:
    outline = np.array([(0.03, 0.0), (0.04, 0.0), (0.04, 0.01), (0.03, 0.01)])
    bodies = rings([outline], 16)
    assert len(bodies) == 16 and not within(bodies, np.zeros((1, 3)) + [0.0, 0.0, 0.005]).any()


def test_a_box_is_its_hull_and_a_corner_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    box = as_mesh(trimesh.creation.box((0.1, 0.05, 0.05)))
    assert apart.taken_apart(box, box).source == "hull"
    corner = _corner()
    monkeypatch.setattr(apart.importlib.util, "find_spec", lambda name: None)
    found = apart.taken_apart(as_mesh(corner), as_mesh(corner))
    assert found.source == "hull" and "air3d[solids]" in found.note
    assert ConvexHull(hull_of(corner.vertices).points).volume > 1.4 * corner.volume


def test_coacd_takes_a_corner_apart() -> None:
    pytest.importorskip("coacd")
    corner = _corner()
    found = apart.taken_apart(as_mesh(corner), as_mesh(corner))
    assert found.source == "coacd" and len(found.bodies) >= 2
    assert sum(ConvexHull(body.points).volume for body in found.bodies) == pytest.approx(corner.volume, rel=0.1)


def _corner() -> trimesh.Trimesh:
    outline = [(0.0, 0.0), (0.1, 0.0), (0.1, 0.02), (0.02, 0.02), (0.02, 0.1), (0.0, 0.1)]
    points = np.array([(x, y, z) for z in (0.0, 0.03) for x, y in outline])
    low = [(0, 2, 1), (0, 3, 2), (0, 5, 4), (0, 4, 3)]
    faces = [*low, *((a + 6, c + 6, b + 6) for a, b, c in low)]
    for k in range(6):
        a, b = k, (k + 1) % 6
        faces += [(a, b, b + 6), (a, b + 6, a + 6)]
    return trimesh.Trimesh(points, faces)


def test_a_ball_falls_into_an_imported_cup(tmp_path: pathlib.Path) -> None:
    """Through the whole import: file, kind, bodies. On a convex hull the ball would lie at the rim's height."""
    kind, *_ = resolve_kinds((str(painted_cup(tmp_path)),))
    assert solids(kind).source == "revolved"
    spec = mujoco.MjSpec()
    set_options(spec, 0.002)
    add_bodies(spec, spec.worldbody.add_body(), kind, 1.0)
    ball = spec.worldbody.add_body(name="ball", pos=[0.004, 0.002, 0.09])
    ball.add_freejoint()
    ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.01, 0.0, 0.0], density=1000.0, condim=6)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 1000)
    x, y, z = data.body("ball").xpos
    floor_m = OUTLINE_M[-1][1]
    assert z == pytest.approx(floor_m + 0.01, abs=0.002) and math.hypot(x, y) < 0.02
