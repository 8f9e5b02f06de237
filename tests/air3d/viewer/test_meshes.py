"""The glTF files, read back by trimesh: metres, z up, outward, in linear colours."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import trimesh

from air3d.datasets.export.glb import Look, object_look, table_look
from air3d.evaluation.outline import vertices_m
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import SceneObject, Table
from air3d.viewer.meshes import GHOST, TRUTH_COLOUR, glb


def read(data: bytes) -> Any:
    scene = trimesh.load(io.BytesIO(data), file_type="glb", process=False)
    (geometry,) = scene.geometry.values()
    (node,) = scene.graph.nodes_geometry
    np.testing.assert_array_equal(scene.graph.get(node)[0], np.eye(4))
    return geometry


@pytest.mark.parametrize("kind", list(CATALOG))
def test_a_kind_keeps_its_frame(kind: str) -> None:
    mesh, points = read(glb(kind, object_look(SceneObject.upright(kind, 0.0, 0.0)))), vertices_m(kind, "display")
    np.testing.assert_allclose(mesh.bounds, [points.min(axis=0), points.max(axis=0)], atol=1e-6)
    outward = np.einsum("fi,fki->fk", mesh.face_normals, mesh.vertex_normals[mesh.faces])
    assert outward.min() > 0.5
    assert (mesh.visual.material.baseColorTexture is not None) == (CATALOG[kind].texture is not None)


def test_colours_are_linear_and_ghosts_are_seen_through() -> None:
    # sRGB 0.5 is 0.2140 in linear light.
    solid = read(glb("mug", Look((0.5, 0.0, 1.0)))).visual.material
    np.testing.assert_allclose(solid.baseColorFactor, [0.2140 * 255, 0, 255, 255], atol=1)
    assert solid.alphaMode in (None, "OPAQUE"), "which is the default"
    ghost = read(glb("mug", GHOST)).visual.material
    assert ghost.alphaMode == "BLEND"
    assert 0.1 < ghost.baseColorFactor[3] / 255 < 0.7
    assert np.argmax(ghost.baseColorFactor[:3]) == np.argmax(TRUTH_COLOUR)


def test_the_table_is_a_textured_disc_under_z_0() -> None:
    mesh = read(glb("table", table_look(Table(), None)))
    np.testing.assert_allclose(mesh.bounds[:, 2], [-1.0, 0.0], atol=1e-6)
    assert np.linalg.norm(mesh.vertices[:, :2], axis=1).max() == pytest.approx(1.0, abs=1e-3)
    assert mesh.visual.material.baseColorTexture is not None


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="jug"):
        glb("jug", GHOST)
