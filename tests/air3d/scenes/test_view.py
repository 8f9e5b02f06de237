"""Between image and table: against the camera's own geometry, and its Jacobian against automatic differentiation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.scene3d.orbit import Orbit
from air3d.scenes.view import Pinhole, View

CAMERAS = [
    Orbit(0.0, 0.5, 1.0),
    Orbit(2.1, 0.44, 0.97, (0.02, -0.05, 0.03), 0.8),
    Orbit(-3.0, 1.13, 1.05, (-0.1, 0.07, -0.04), math.radians(40.0)),
    Orbit(5.0, 1.5, 0.6, (0.3, 0.2, 0.1), 1.2),
    Orbit(0.7, 0.9, 1.2, (0.02, 0.0, 0.01), 0.7, shift=(0.1, -0.07), fx_over_fy=1.15),
]
HEIGHT_M, SIZE = 0.05, 48


def double(values: object) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def view_of(camera: Orbit, height_m: float = HEIGHT_M) -> View:
    angles = (camera.azimuth_rad, camera.elevation_rad, camera.distance_m)
    lens = Pinhole.of(camera.sized(SIZE, SIZE))
    return View(*(double([value]) for value in angles), lens, camera.look_at_m, height_m)


def places(count: int = 40) -> Tensor:
    return double(np.random.default_rng(0).uniform(-0.22, 0.22, (count, 2)))


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("height_m", [0.0, HEIGHT_M])
def test_a_place_is_seen_where_the_camera_says(camera: Orbit, height_m: float) -> None:
    points = np.column_stack([places().numpy(), np.full(40, height_m)])
    expected, depth = camera.sized(SIZE, SIZE).project(points)
    assert (depth > 0.0).all()
    assert view_of(camera, height_m).project(places()).numpy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("camera", CAMERAS)
def test_there_and_back(camera: Orbit) -> None:
    view = view_of(camera)
    assert torch.allclose(view.unproject(view.project(places())), places(), atol=1e-10)
    pixel = double(np.random.default_rng(1).uniform(0.3 * SIZE, SIZE, (40, 2)))
    assert torch.allclose(view.project(view.unproject(pixel)), pixel, atol=1e-8)


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_area_of_a_place_is_the_jacobians_determinant(camera: Orbit) -> None:
    view = view_of(camera)
    jacobian = torch.autograd.functional.jacobian(lambda p: view.project(p).sum(0), places())  # (2, 40, 2)
    expected = torch.linalg.det(jacobian.transpose(0, 1)).abs().log()
    assert view.log_pixels_per_area(places()).numpy() == pytest.approx(expected.numpy(), abs=1e-9)


def test_single_precision_is_enough_for_a_fiftieth_of_a_pixel() -> None:
    """The narrowest posterior has a standard deviation of 0.02 pixels."""
    camera = CAMERAS[1]
    single = View(*(part.float() for part in view_of(camera)[:3]), *view_of(camera)[3:])
    again = single.project(single.unproject(single.project(places().float())))
    assert again.double().numpy() == pytest.approx(view_of(camera).project(places()).numpy(), abs=1e-3)


def test_each_camera_has_its_own_points() -> None:
    """`each` pairs cameras (B,) with points (B, K, 2)."""
    views = [view_of(camera) for camera in CAMERAS]
    lens = Pinhole.of(Orbit(fovy_rad=0.7).sized(SIZE, SIZE))
    joined = View(*(torch.cat([view[i] for view in views]) for i in range(3)), lens, (0.0, 0.0, 0.0), HEIGHT_M)
    wide = joined.each()
    assert wide.azimuth_rad.shape == (5, 1)
    found = wide.project(places().expand(5, -1, -1))
    for row, camera in enumerate(CAMERAS):
        alone = Orbit(camera.azimuth_rad, camera.elevation_rad, camera.distance_m, (0.0, 0.0, 0.0), 0.7)
        assert torch.allclose(found[row], view_of(alone).project(places()), atol=1e-12)


def test_above_the_horizon_some_finite_point() -> None:
    low = view_of(Orbit(0.3, 0.1, 1.0, fovy_rad=1.2))
    assert low.unproject(double([[10.0, 0.0], [40.0, 3.0]])).isfinite().all()


def points_near(count: int = 30) -> Tensor:
    return double(np.random.default_rng(2).uniform((-0.2, -0.2, 0.0), (0.2, 0.2, 0.15), (count, 3)))


@pytest.mark.parametrize("camera", CAMERAS)
def test_points_are_seen_where_and_as_deep_as_the_camera_says(camera: Orbit) -> None:
    view, sized = view_of(camera), camera.sized(SIZE, SIZE)
    pixel, depth = view.see(points_near())
    expected = sized.project(points_near().numpy())
    assert pixel.numpy() == pytest.approx(expected[0], abs=1e-9) and depth.numpy() == pytest.approx(expected[1])
    assert view.axes()[0].numpy() == pytest.approx(sized.frame[:3, :3], abs=1e-12)
    assert view.point(pixel, depth).numpy() == pytest.approx(points_near().numpy(), abs=1e-12)


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_camera_turned_to_a_ray_looks_along_it_and_is_turned_no_further(camera: Orbit) -> None:
    middle = camera.sized(SIZE, SIZE).matrix[:2, 2].tolist()
    view, pixel = view_of(camera), double([middle, [3.0, 40.0], [44.0, 10.0]])
    turned = view.ray_axes(pixel)
    eye, along = camera.sized(SIZE, SIZE).frame[:3, 3], view.point(pixel, double([1.0, 2.0, 0.5])).numpy()
    ray = (along - eye) / np.linalg.norm(along - eye, axis=1, keepdims=True)
    assert -turned[..., 2].numpy() == pytest.approx(ray, abs=1e-12)
    assert turned[0].numpy() == pytest.approx(view.axes()[0].numpy(), abs=1e-12)
    relative = view.axes().mT @ turned
    angle = torch.arccos(((relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0) / 2.0).clamp(-1.0, 1.0))
    between = torch.arccos(relative[..., 2, 2].clamp(-1.0, 1.0))
    assert angle.numpy() == pytest.approx(between.numpy(), abs=1e-7)


@pytest.mark.parametrize("camera", CAMERAS[:3])
def test_rays_meet_the_plane_at_its_depth(camera: Orbit) -> None:
    view, at = view_of(camera), torch.cat([places(), torch.full((40, 1), HEIGHT_M).double()], 1)
    pixel, depth = view.see(at)
    near = (depth > 0.5 * camera.distance_m) & (depth < 2.0 * camera.distance_m)
    assert near.any() and torch.allclose(view.plane_depth(pixel, at[:, 2])[near], depth[near])
    sky = double([[23.5, -4000.0]])
    assert camera.distance_m * 0.5 <= float(view.plane_depth(sky, at[:1, 2])) <= camera.distance_m * 2.0
