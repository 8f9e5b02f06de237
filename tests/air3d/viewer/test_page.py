"""What a page shows of an entry, and the geometry of its stage; no browser needed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject
from air3d.viewer.explainer import Samples
from air3d.viewer.gallery import Gallery
from air3d.viewer.shown import shown
from air3d.viewer.stage import eye_pose, field_of, label_place_m, overview

ROOT = Path(__file__).resolve().parents[3]


def test_the_answer_and_its_samples(gallery: Gallery) -> None:
    near, kind = gallery.entries[0], gallery.entries[1]
    assert near.truth is not None
    assert kind.truth is not None
    renders = np.stack([near.image, near.image + 9])
    samples = Samples(
        (kind.truth, near.truth), np.array([0.75, 0.25]), np.array([-3.0, -2.0]), renders, "1.6 effective of 2"
    )
    now = shown(near, samples, 0)
    assert (now.scene, now.errors, now.caption, now.note) == (near.inferred, near.errors, "inferred", "")
    now = shown(near, samples, 1)
    assert now.scene == kind.truth
    assert now.errors is not None
    assert now.errors.miscounted == 1, "errors are those of the sample"
    assert "Sample 1 of 2" in now.note
    assert "75.0 %" in now.note
    assert "-3.0 nats; 1.6 effective of 2." in now.note
    second = shown(near, samples, 2)
    assert second.errors is not None
    assert second.errors.position_m == 0.0
    np.testing.assert_array_equal(second.render, near.image + 9)
    assert shown(near, samples, 3).caption == "inferred", "no such sample"
    assert shown(near, None, 2).caption == "inferred"


@pytest.mark.parametrize(
    "orbit", [Orbit(), Orbit(azimuth_rad=2.0, elevation_rad=0.4, distance_m=1.3, look_at_m=(0.1, 0.0, 0.2))]
)
def test_frustums_stand_where_the_camera_is(orbit: Orbit) -> None:
    camera = orbit.sized(1, 1)
    position, (w, x, y, z) = eye_pose(camera)
    to_camera = camera.eye_pose("opencv")
    np.testing.assert_allclose(to_camera[:3, :3] @ position + to_camera[:3, 3], 0.0, atol=1e-12)
    np.testing.assert_allclose(Rotation.from_quat([x, y, z, w]).as_matrix(), to_camera[:3, :3].T, atol=1e-12)


@pytest.mark.parametrize(
    "orbit,tolerance",
    [
        (Orbit(), 1e-9),
        (Orbit(elevation_rad=0.7, roll_rad=0.3, fx_over_fy=1.2), 1e-9),
        (Orbit(shift=(0.1, -0.05), roll_rad=-0.2), 0.04),
    ],
)
def test_frustums_end_at_the_corners_of_the_picture(orbit: Orbit, tolerance: float) -> None:
    """Viser's frustum has corners (+-aspect t, +-t, 1), t = tan(fov / 2); a shift is approximated by a turn."""
    camera = orbit.sized(160, 120)
    (position, (w, x, y, z)), (fov, aspect) = eye_pose(camera), field_of(camera)
    signs = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    corners = np.c_[signs * math.tan(fov / 2) * [aspect, 1.0], np.ones(4)]
    pixels, depth = camera.project(Rotation.from_quat([x, y, z, w]).apply(corners) + position)
    assert (depth > 0).all()
    np.testing.assert_allclose(pixels, (signs + 1) / 2 * [160, 120] - 0.5, atol=max(120 * tolerance, 1e-6))


@pytest.mark.parametrize("elevation_deg,distance_m", [(30.0, 1.0), (75.0, 1.05), (89.0, 1.4), (5.0, 2.0)])
def test_the_overview_holds_table_and_camera(elevation_deg: float, distance_m: float) -> None:
    """By projection, wherever the camera stands."""
    camera = Orbit(elevation_rad=math.radians(elevation_deg), distance_m=distance_m, azimuth_rad=1.0)
    view = overview(Scene(camera=camera)).sized(100, 100)
    angle = np.linspace(0.0, 2.0 * math.pi, 16)
    rim = 0.32 * np.stack([np.cos(angle), np.sin(angle), np.zeros(16)], axis=1)
    pixels, depth = view.project(np.vstack([rim, [camera.eye_m]]))
    assert (depth > 0).all()
    assert 0.0 < pixels.min() < pixels.max() < 99.0
    assert np.ptp(pixels[:-1, 0]) > 20, "the table is no dot"


def test_labels_stand_above_tilted_objects() -> None:
    """The rim of a plate that stands on edge, by the vertices of its file."""
    half = math.sqrt(0.5)
    plate = SceneObject("plate", (0.0, 0.0, 0.2), (half, half, 0.0, 0.0), 1.5)
    points = trimesh.load(ROOT / "assets/meshes/plate.display.obj").vertices
    x, y, z = label_place_m(plate)
    assert x == pytest.approx(0.0, abs=1e-4)
    assert y == pytest.approx(-1.5 * points[:, 2].mean(), abs=0.02), "above the plate, which is thin, not its origin"
    assert z == pytest.approx(0.2 + 1.5 * points[:, 1].max() + 0.03)
