"""Reading meshes back: every corner's position, normal and texture coordinates, or one line."""

from __future__ import annotations

import numpy as np
import pytest

from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.meshes.obj import obj_text, parse_obj
from air3d.scene3d.meshes.surface import Mesh

SQUARE = Mesh(
    positions_m=np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]),
    normals=np.array([[0.0, 0, 1], [0, 0.6, 0.8], [0, 0, 1], [0, 0, 1]]),
    faces=np.array([[0, 1, 2], [0, 2, 3]]),
    uvs=np.array([[0.0, 0], [0.5, 0], [0.5, 1], [0, 1]]),
)


@pytest.mark.parametrize("textured", [True, False])
def test_corners_survive(textured):
    mesh = SQUARE if textured else Mesh(SQUARE.positions_m, SQUARE.normals, SQUARE.faces)
    back = parse_obj(obj_text(mesh, "square"), "square")
    for name in ("positions_m", "normals", *(("uvs",) if textured else ())):
        np.testing.assert_array_equal(getattr(back, name)[back.faces], getattr(mesh, name)[mesh.faces])
    assert (back.uvs is None) != textured


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3",  # no normals
        "v 0 0 0\nvn 0 0 1\nf 1//1 1//1 1//1 1//1",  # four corners
        "v 0 0 0\nvn 0 0 1\nf 1//1 2//1 3//1",  # vertices that are not there
        "v 0 0 zero\nvn 0 0 1\nf 1//1 1//1 1//1",
    ],
)
def test_other_text_is_refused(text):
    with pytest.raises(InputError, match="thing: not a mesh of triangles with normals"):
        parse_obj(text, "thing")


def test_a_missing_mesh_is_one_line_and_a_mesh_is_shared():
    with pytest.raises(InputError, match=r"asset 'meshes/sofa\.display\.obj' is missing"):
        load_mesh("sofa", "display")
    mesh = load_mesh("mug", "display")
    assert load_mesh("mug", "display") is mesh and not mesh.positions_m.flags.writeable
