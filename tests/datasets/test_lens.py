"""Lens distortion: OpenCV's formulas, and pictures freed of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import fsolve

from air3d.datasets.lens import Lens
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera import Camera
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject

WIDE = Lens(60.0, 55.0, 40.0, 28.0, (-0.25, 0.07, 0.004, -0.006, -0.01))


def test_points_by_hand() -> None:
    """At (1, 2), r^2 is 5: each coefficient alone, by the published formulas."""
    point = [1.0, 2.0]
    for n, expected in enumerate([[1.5, 3.0], [3.5, 7.0], [1.4, 3.3], [1.7, 2.4], [13.5, 27.0]]):
        numbers: Any = [0.0] * 5
        numbers[n] = 0.1
        np.testing.assert_allclose(Lens(1.0, 1.0, 0.0, 0.0, tuple(numbers)).distort(point), expected)
    np.testing.assert_array_equal(Lens(1.0, 1.0, 0.0, 0.0).distort([point, point]), [point, point])


def pattern(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth picture on the plane z = 1, in three colours."""
    return 128.0 + 90.0 * np.stack([np.sin(5.0 * x + 1.0), np.cos(4.0 * y), np.sin(4.0 * (x + y))], axis=-1)


def photograph(lens: Lens, width: int, height: int) -> NDArray[np.uint8]:
    """What a lens makes of the pattern: for each pixel SciPy finds the ray that it sees."""
    rows, columns = np.mgrid[:height, :width]
    goal = np.stack([(columns - lens.cx) / lens.fx, (rows - lens.cy) / lens.fy], axis=-1)

    def away(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        return (lens.distort(flat.reshape(1, 2)) - target).ravel()

    rays = np.empty_like(goal)
    for at in np.ndindex(height, width):
        target = goal[at]
        rays[at] = fsolve(away, target, xtol=1e-10)
    return np.rint(pattern(rays[..., 0], rays[..., 1])).astype(np.uint8)


def test_a_distorted_picture_becomes_that_of_a_pinhole_camera() -> None:
    taken = photograph(WIDE, 80, 56)
    rows, columns = np.mgrid[:56, :80]
    ideal = pattern((columns - WIDE.cx) / WIDE.fx, (rows - WIDE.cy) / WIDE.fy)
    found = WIDE.undistort(taken).astype(float)
    seen = found.any(axis=-1)
    assert seen[4:-4, 4:-4].all() and abs(found - ideal)[seen][:].max() < 3.0
    assert abs(taken - ideal).max() > 20.0, "without it, they differ"


def test_another_pinhole_camera_in_its_place() -> None:
    """Smaller, with a principal point and a field of view of its own; many pixels are averaged."""
    taken = photograph(WIDE, 80, 56)
    matrix = np.array([[20.0, 0.0, 12.0], [0.0, 25.0, 9.0], [0.0, 0.0, 1.0]])
    found = WIDE.view(taken, Camera(np.eye(4), matrix, 22, 18)).astype(float)
    # Of a smooth pattern, the mean over a pixel, by many points.
    rows, columns = (np.arange(10 * n) / 10.0 - 0.45 for n in (18, 22))
    u, v = np.meshgrid(columns, rows)
    ideal = pattern((u - 12.0) / 20.0, (v - 9.0) / 25.0).reshape(18, 10, 22, 10, 3).mean(axis=(1, 3))
    assert found.shape == (18, 22, 3) and abs(found - ideal)[3:-3, 3:-3].max() < 4.0


@pytest.mark.parametrize("side", [20, 300, 1500])
def test_a_renders_view_is_the_other_cameras_render(side: int) -> None:
    """A photograph of a scene by an off-centre camera, seen by the model's own camera from the same place."""
    objects = SceneObject.upright("mug", 0.05, 0.0), SceneObject.upright("plate", -0.08, 0.05)
    orbit = Orbit(0.4, 0.7, 1.0)
    camera = Orbit(0.4, 0.7, 1.0, fovy_rad=0.9, shift=(0.1, -0.05), fx_over_fy=1.1).sized(side, side)
    drawn = []
    for width, eye in ((side, Orbit(0.4, 0.7, 1.0, fovy_rad=0.9, shift=(0.1, -0.05), fx_over_fy=1.1)), (64, orbit)):
        batch = SceneBatch.from_scenes([Scene(objects, eye)])
        with make_renderer(RenderConfig(batch.kinds, max_objects=2, height=width, width=width), "analytic") as made:
            drawn.append(made.render(batch)[0])
    (fx, fy), (cx, cy) = camera.focal_px, camera.matrix[:2, 2]
    found = Lens(float(fx), float(fy), float(cx), float(cy)).view(drawn[0], orbit.sized(64, 64))
    error = abs(found.astype(float) - drawn[1])
    assert error.mean() < (12.0 if side == 20 else 1.5)


def test_the_pictures_edge_is_seen_up_to_its_end() -> None:
    """Without distortion a picture stays what it is, and enlarged it is bright up to its edge and black beyond."""
    lens, white = Lens(50.0, 50.0, 19.5, 9.5), np.full((20, 40, 3), 255, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    np.testing.assert_array_equal(lens.undistort(noise), noise)
    larger = np.array([[150.0, 0.0, 69.5], [0.0, 150.0, 29.5], [0.0, 0.0, 1.0]])
    found = lens.view(white, Camera(np.eye(4), larger, 140, 60))
    assert (found[:, 10:130] == 255).all() and not found[:, :10].any() and not found[:, 130:].any()


def test_where_the_model_folds_over_nothing_is_seen() -> None:
    """With k1 = -1/3 rays beyond r = 1 would land inside again."""
    lens = Lens(10.0, 10.0, 19.5, 19.5, (-1.0 / 3.0, 0.0, 0.0, 0.0, 0.0))
    assert lens.reach == pytest.approx(1.0) and WIDE.reach > 1.0 and Lens(1.0, 1.0, 0.0, 0.0).reach == math.inf
    found = lens.undistort(np.full((40, 40, 3), 255, np.uint8))
    rows, columns = np.mgrid[:40, :40]
    np.testing.assert_array_equal(found[..., 0] == 255, np.hypot(rows - 19.5, columns - 19.5) < 10.0)


@pytest.mark.parametrize(
    "numbers, words",
    [
        ((0.0, 50.0, 20.0, 20.0), "fx is 0.0"),
        ((50.0, 50.0, math.nan, 20.0), "cx is nan"),
        ((50.0, 50.0, 20.0, 20.0, (0.1, 0.2)), "distortion must hold 5 numbers"),
        ((50.0, 50.0, 20.0, 20.0, (0.1, 0.2, 0.0, 0.0, math.inf)), "distortion is inf"),
    ],
)
def test_lenses_that_mean_nothing(numbers: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Lens(*numbers)


def test_a_matrix_of_another_size_is_noticed() -> None:
    with pytest.raises(InputError, match="the picture: has 64x48 pixels, but the lens's cx 320, cy 240 lie outside"):
        Lens(600.0, 600.0, 320.0, 240.0).undistort(np.zeros((48, 64, 3), np.uint8))
