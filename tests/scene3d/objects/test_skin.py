"""Colours of simplified surfaces against closed form: pictures in charts with black between them, as of scanners."""

from __future__ import annotations

import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.objects.atlas import texels, unwrapped
from air3d.scene3d.objects.indexed import Indexed
from air3d.scene3d.objects.make import make_kind
from air3d.scene3d.objects.nearest import face_areas
from air3d.scene3d.objects.skin import filled, sampled

OUTER, INNER = 0.05, 0.047


def colour(points: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """sRGB (P, 3) of a bowl of radius OUTER about the origin: smooth; light outside, dark blue within."""
    way = points / np.linalg.norm(points, axis=1, keepdims=True)
    return np.where(inside[:, None], [30, 40, 120] + 25 * way, [190, 170, 110] + 40 * way)


def bowl(rings: int, sides: int) -> trimesh.Trimesh:
    """A half sphere with a wall of 3 mm."""
    t = np.linspace(0.0, np.pi / 2, rings)
    outer = np.stack([OUTER * np.sin(t), -OUTER * np.cos(t)], axis=1)
    inner = np.stack([INNER * np.sin(t), -INNER * np.cos(t)], axis=1)[::-1]
    mesh = trimesh.creation.revolve(np.concatenate([outer, inner]), sections=sides)
    assert mesh.is_watertight
    return mesh


def scanned(mesh: trimesh.Trimesh, side: int, seed: int) -> trimesh.Trimesh:
    """The mesh with an atlas: charts with ragged borders, each seen along an axis, in cells of a black picture."""
    rng = np.random.default_rng(seed)
    middles, normals = mesh.triangles_center, mesh.face_normals
    inside = (np.linalg.norm(middles, axis=1) < (OUTER + INNER) / 2) & (np.abs(normals[:, 2]) < 0.999)
    axis = (normals @ np.concatenate([np.eye(3), -np.eye(3)]).T + rng.normal(0.0, 0.1, (len(normals), 6))).argmax(
        axis=1
    )
    chart = np.unique(axis * 2 + inside, return_inverse=True)[1]
    cells = 4
    pixels, uvs = np.zeros((side, side, 3), np.uint8), np.zeros((len(mesh.faces), 3, 2))
    for f, (corners, k) in enumerate(zip(mesh.triangles, axis, strict=True)):
        flat = corners[:, [(k + 1) % 3, (k + 2) % 3]] / (2.0 * OUTER) + 0.5
        place = np.array([chart[f] % cells, chart[f] // cells])
        uvs[f] = (place + 0.08 + 0.84 * flat) / cells
    for face, x, y, weights in texels(uvs * side, every=True):
        points = np.einsum("pk,pkd->pd", weights, mesh.triangles[face])
        pixels[side - 1 - y, x] = colour(points, inside[face]).astype(np.uint8)
    loose = trimesh.Trimesh(mesh.triangles.reshape(-1, 3), np.arange(3 * len(uvs)).reshape(-1, 3), process=False)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(pixels))
    loose.visual = trimesh.visual.TextureVisuals(uv=uvs.reshape(-1, 2), material=material)
    return loose


def share_off(kind: str, detail: str) -> float:
    """Share of a level's area whose colour is farther than 40 of 255 from the bowl's at that place."""
    mesh, known = load_mesh(kind, detail), get_kind(kind)
    name = known.inference_texture if detail == "inference" else None
    picture = np.asarray(Image.open(asset_path("textures", name or known.texture)).convert("RGB"))
    corners, uvs = mesh.positions_m[mesh.faces], mesh.uvs[mesh.faces]
    rng = np.random.default_rng(0)
    face = rng.choice(len(corners), 20000, p=face_areas(corners) / face_areas(corners).sum())
    weights = rng.dirichlet([1, 1, 1], len(face))
    points = np.einsum("pk,pkd->pd", weights, corners[face]) - [0.0, 0.0, OUTER]
    found = sampled(picture, np.einsum("pk,pkd->pd", weights, uvs[face])).astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[face]
    inside = (normals * points).sum(axis=1) < 0.0
    wall = np.abs(normals[:, 2]) < 0.98 * np.linalg.norm(normals, axis=1)
    rim = points[:, 2] > -0.004  # between inside and outside
    off = np.abs(found - colour(points, inside)).max(axis=1) > 40.0
    return float(off[wall | ~rim][~rim[wall | ~rim]].mean())


@pytest.mark.parametrize("rings, sides", [(14, 40), (40, 160)])
def test_a_scanned_bowl_has_no_cracks(describe, rings, sides):
    """Few triangles, all kept for display, and many: 12,480, thinned."""
    mesh = scanned(bowl(rings, sides), 512, rings)
    file = io.BytesIO(mesh.export(file_type="glb"))
    facts = make_kind(describe(file.getvalue(), suffix=".glb", up="z", texture="mesh", colour=None))
    assert share_off(facts.kind, "display") < 0.01
    assert share_off(facts.kind, "inference") < 0.02
    assert not any("closed" in warning for warning in facts.warnings)


def spiral() -> trimesh.Trimesh:
    """A ramp of three turns, which lies over itself seen from above."""
    t = np.linspace(0.0, 6.0 * np.pi, 91)
    rails = [np.stack([r * np.cos(t), r * np.sin(t), 0.001 * t], axis=1) for r in (0.02, 0.04)]
    k = np.arange(90)
    faces = np.concatenate([np.stack([k, k + 91, k + 92], 1), np.stack([k, k + 92, k + 1], 1)])
    return trimesh.Trimesh(np.concatenate(rails), faces, process=False)


def test_what_no_triangle_uses_has_the_colour_of_what_is_nearest():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[8:24, 8:24], picture[40:56, 30:46] = [250, 10, 10], [10, 250, 10]
    square = np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]], dtype=float)
    uvs = np.concatenate([square / 4 + [8 / 64, 1 - 24 / 64], square / 4 + [30 / 64, 1 - 56 / 64]])
    found = filled(picture, uvs).reshape(-1, 3)
    y, x = np.divmod(np.arange(64 * 64), 64)
    red = np.hypot(np.maximum(np.abs(x - 15.5) - 7.5, 0), np.maximum(np.abs(y - 15.5) - 7.5, 0))
    green = np.hypot(np.maximum(np.abs(x - 37.5) - 7.5, 0), np.maximum(np.abs(y - 47.5) - 7.5, 0))
    assert (found[red < green - 2.0] == [250, 10, 10]).all() and (found[green < red - 2.0] == [10, 250, 10]).all()
    # Coordinates beyond the picture's borders repeat it; a picture that is used everywhere stays as it is.
    assert (filled(picture, uvs + [3.0, -2.0]).reshape(-1, 3) == found).all()
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    assert (filled(noise, 3.0 * square) == noise).all()


def test_a_palette_of_single_texels_is_kept():
    """Low-poly models map whole triangles onto points of a palette."""
    palette = np.random.default_rng(1).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    middles = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2)[::3]
    uvs = np.repeat((middles[:, None] + 0.5) / 8.0, 3, axis=1)
    assert (sampled(filled(palette, uvs), uvs[:, 0]) == palette[7 - middles[:, 1], middles[:, 0]]).all()


@pytest.mark.parametrize(
    "mesh",
    [
        trimesh.creation.icosphere(3, 0.03),
        trimesh.creation.torus(0.03, 0.01),
        bowl(8, 24),
        trimesh.creation.box([0.01, 0.02, 0.03]),
        spiral(),
    ],
)
def test_every_triangle_has_a_place_of_its_own(mesh):
    """No texel's middle lies in two triangles, all fit on the picture, and none is flattened away."""
    places = unwrapped(Indexed(np.asarray(mesh.vertices), np.asarray(mesh.faces)), 256)
    assert 0.0 <= places.min() and places.max() <= 1.0
    cells = [np.stack([x, y], 1)[w.min(axis=1) > 1e-6] for _, x, y, w in texels(places * 256)]
    _, uses = np.unique(np.concatenate(cells), axis=0, return_counts=True)
    assert uses.max() == 1 and len(uses) > 0.25 * 256**2
