"""How far the coarse mesh strays: against areas and colours that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from air3d.scene3d.meshes.surface import Mesh
from air3d.scene3d.objects.fidelity import fidelity
from air3d.scene3d.objects.indexed import Indexed


def ball(subdivisions: int, radius: float = 0.05) -> tuple[Indexed, Mesh]:
    sphere = trimesh.creation.icosphere(subdivisions, radius)
    uvs = 0.5 + sphere.vertices[:, 1:] * 8
    whole = Indexed(np.array(sphere.vertices), np.array(sphere.faces), uvs[sphere.faces])
    return whole, Mesh(whole.vertices, np.array(sphere.vertex_normals), whole.faces, uvs)


def test_the_same_mesh_is_the_same():
    whole, mesh = ball(3)
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert fidelity(whole, picture, mesh, picture) == (1.0, 1.0, 0.0)
    assert fidelity(whole, None, mesh, None) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("share", [0.9, 0.7])
def test_a_smaller_ball_covers_its_share_of_the_disc(share):
    """Of two discs about one centre the smaller has (r / R) squared of the larger's area."""
    found = fidelity(ball(4)[0], None, ball(4, 0.05 * share)[1], None)
    assert found.iou == pytest.approx(share**2, abs=0.02) and found.least_iou <= found.iou


def test_colours_differ_by_what_the_pictures_differ():
    whole, mesh = ball(3)
    grey, lighter = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 151, np.uint8)
    assert fidelity(whole, grey, mesh, lighter).colour == pytest.approx(0.2)
    red = lighter.copy()
    red[..., 1:] = 100
    assert fidelity(whole, grey, mesh, red).colour == pytest.approx(0.2 / 3)


def test_what_lies_behind_does_not_count():
    """Two walls: of the nearer one alone the colours are seen, whichever is named first."""
    wall = np.array([[[0.0, -1, -1], [0, 1, -1], [0, 0, 1]]])
    walls = np.concatenate([wall - [0.2, 0, 0], wall * 1.2 + [0.2, 0, 0]])
    for order in ([0, 1], [1, 0]):
        corners = walls[order]
        values = np.full((2, 3, 2), 0.25)
        values[order.index(1), :, 0] = 0.75
        whole = Indexed(corners.reshape(-1, 3), np.arange(6).reshape(2, 3), values)
        mesh = Mesh(whole.vertices, np.zeros((6, 3)), whole.faces, np.tile([0.75, 0.25], (6, 1)))
        picture = np.zeros((2, 2, 3), np.uint8)
        picture[:, 1] = 200
        front = fidelity(whole, picture, mesh, picture)
        # From the four directions on the other side, and where the far one peeps out, the other wall is seen.
        assert 0.2 < front.colour < 0.6
