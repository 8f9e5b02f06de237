"""BOP's models: read by trimesh, measured by brute force, their symmetries applied as bop_toolkit applies them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial import ConvexHull, cKDTree
from scipy.spatial.transform import Rotation

from air3d.datasets.export.bop_models import bop_objects, bop_pose, model_info, model_ply
from air3d.scene3d.catalog import CATALOG

ROOT = Path(__file__).parents[3]
REFERENCE = json.loads((ROOT / "tests" / "air3d" / "evaluation" / "reference" / "bop.json").read_text())
OBJECTS = bop_objects(tuple(CATALOG))
DETAILS = ("inference", "display")


def model(name: str, detail: str, folder: Path) -> trimesh.Trimesh:
    path = folder / f"{name}.ply"
    path.write_bytes(model_ply(OBJECTS[name], detail))
    return trimesh.load(path, process=False)


def motions(info: dict[str, Any], step: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotations and shifts, mm: each discrete one and none, turned by each of ceil(pi / step) steps about each axis."""
    discrete = [(np.eye(3), np.zeros(3))]
    for values in info.get("symmetries_discrete", []):
        matrix = np.reshape(values, (4, 4))
        np.testing.assert_allclose(matrix[3], [0, 0, 0, 1])
        discrete.append((matrix[:3, :3], matrix[:3, 3]))
    count, turned = math.ceil(math.pi / step), []
    for entry in info.get("symmetries_continuous", []):
        axis, offset = np.array(entry["axis"]), np.array(entry["offset"])
        for k in range(count):
            turn = Rotation.from_rotvec(2 * math.pi * k / count * axis / np.linalg.norm(axis)).as_matrix()
            turned.append((turn, offset - turn @ offset))
    return [(r @ a, r @ b + t) for a, b in discrete for r, t in turned] if turned else discrete


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("name", CATALOG)
def test_the_model_is_the_mesh_in_millimetres(name, detail, tmp_path):
    made, source = model(name, detail, tmp_path), trimesh.load(ROOT / f"assets/meshes/{name}.{detail}.obj")
    centre = OBJECTS[name].centre_m
    assert len(made.faces) == len(source.faces)
    distance, _ = cKDTree(1000 * (source.vertices - centre)).query(made.vertices)
    assert distance.max() < 1e-3
    np.testing.assert_allclose(made.area, 1e6 * source.area, rtol=1e-5)
    merged = made.copy()
    merged.merge_vertices(merge_tex=True, merge_norm=True)
    assert merged.is_watertight and merged.volume > 0, "faces wound outwards"
    normals = np.loadtxt(
        model_ply(OBJECTS[name], detail).decode().split("end_header\n")[1].splitlines()[: len(made.vertices)]
    )[:, 3:6]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=2e-5)
    corners = normals[made.faces].mean(axis=1)
    assert np.mean((corners * made.face_normals).sum(axis=1) > 0.5) > 0.99, "normals point outwards"


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("name", CATALOG)
def test_sizes(name, detail, tmp_path):
    points, info = model(name, detail, tmp_path).vertices, model_info(OBJECTS[name], detail)
    low, high = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose([info[f"min_{axis}"] for axis in "xyz"], low, atol=1e-4)
    np.testing.assert_allclose([info[f"size_{axis}"] for axis in "xyz"], high - low, atol=1e-4)
    # BOP's origin is the middle of the box: exactly for display meshes, coarse ones have other corners.
    np.testing.assert_allclose((low + high) / 2, 0, atol=1e-3 if detail == "display" else 2.0)
    corners = points[ConvexHull(points).vertices]  # the farthest two are corners of the convex hull
    farthest = max(np.linalg.norm(points - point, axis=1).max() for point in corners)
    assert info["diameter"] == pytest.approx(farthest, abs=1e-3)


@pytest.mark.parametrize("name", CATALOG)
def test_symmetries_leave_the_model_as_it_is(name, tmp_path):
    info = model_info(OBJECTS[name], "display")
    points = model(name, "display", tmp_path).vertices
    for rotation, shift in motions(info, 0.2):
        moved = points @ rotation.T + shift
        if name == "sphere":
            np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 60.0, atol=0.01)
        elif "symmetries_continuous" in info:  # the profile stays; vertices move along its circles
            profile, turned = (np.c_[np.hypot(p[:, 0], p[:, 1]), p[:, 2]] for p in (points, moved))
            assert cKDTree(profile).query(turned)[0].max() < 0.01
        else:
            assert cKDTree(points).query(moved)[0].max() < 0.01
        assert np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize(
    "name, discrete, axes",
    [
        ("mug", 0, 0),
        ("pan", 0, 0),
        ("teapot", 0, 0),
        ("plate", 0, 1),
        ("bowl", 0, 1),
        ("glass", 0, 1),
        ("cube", 23, 0),
        ("cylinder", 3, 0),
        ("sphere", 0, 3),
    ],
)
def test_how_many_symmetries(name, discrete, axes):
    info = model_info(OBJECTS[name], "inference")
    assert len(info.get("symmetries_discrete", [])) == discrete
    assert len(info.get("symmetries_continuous", [])) == axes
    rotations = [np.reshape(values, (4, 4)) for values in info.get("symmetries_discrete", [])]
    assert not any(np.allclose(motion, np.eye(4)) for motion in rotations), "bop_toolkit adds the identity itself"
    if rotations:
        assert len(np.unique(np.round([np.eye(4), *rotations], 6), axis=0)) == discrete + 1


@pytest.mark.parametrize("name", sorted({row["kind"] for row in REFERENCE["poses"]}))
def test_errors_of_exported_poses_are_bop_toolkits(name, tmp_path):
    """bop_toolkit measured poses of our frames with symmetries listed by hand; the export must give the same."""
    item, points = OBJECTS[name], model(name, "inference", tmp_path).vertices
    info, checked = model_info(item, "inference"), 0
    for row in REFERENCE["poses"]:
        if row["kind"] == name:
            moved = []
            for key in ("pose", "true_pose"):
                rotation, shift = bop_pose(item, np.array(row[key]))
                moved.append((np.reshape(rotation, (3, 3)), np.array(shift)))
            (r, t), (true_r, true_t) = moved
            found = points @ r.T + t
            errors = [
                np.linalg.norm(found - ((points @ a.T + b) @ true_r.T + true_t), axis=1).max()
                for a, b in motions(info, 0.01)
            ]
            assert min(errors) == pytest.approx(1000 * row["mssd_m"], abs=2e-3)
            checked += 1
    assert checked == 4


@pytest.mark.parametrize("detail", DETAILS)
def test_the_texture_lies_as_on_the_cylinder(detail, tmp_path):
    """The side is light where sin(2 theta) (z - h/2) > 0; texture coordinates count from the picture's bottom left."""
    text = model_ply(OBJECTS["cylinder"], detail).decode()
    assert "comment TextureFile cylinder.png\n" in text
    head, body = text.split("end_header\n")
    names = [line.split()[-1] for line in head.splitlines() if line.startswith("property") and "list" not in line]
    count = int(head.split("element vertex ")[1].split()[0])
    values = np.loadtxt(body.splitlines()[:count])
    faces = np.loadtxt(body.splitlines()[count:], dtype=int)[:, 1:]
    points = values[:, :3][faces].mean(axis=1)
    u, v = (
        values[:, names.index("texture_u")][faces].mean(axis=1),
        values[:, names.index("texture_v")][faces].mean(axis=1),
    )
    pixels = np.asarray(Image.open(ROOT / "assets/textures/cylinder.png").convert("L"))
    side = np.abs(np.cross(*(values[:, :3][faces[:, k]] - values[:, :3][faces[:, 0]] for k in (1, 2)))[:, 2]) < 1e-6
    light = pixels[((1 - v) * 256).astype(int), (u * 256).astype(int) % 256] > 128
    # Faces span one sector, or lie across a border, where a centre says nothing.
    signed = np.sin(2 * np.arctan2(points[:, 1], points[:, 0])) * points[:, 2]
    clear = side & (np.abs(np.sin(2 * np.arctan2(points[:, 1], points[:, 0]))) > 0.2) & (np.abs(points[:, 2]) > 10)
    assert clear.sum() >= 16
    np.testing.assert_array_equal(light[clear], signed[clear] > 0)
