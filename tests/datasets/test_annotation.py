"""Annotations against geometry that is worked out here: rays, spheres and matrices, not the code under test."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from air3d.datasets.annotation import check_annotations, mask_boxes, visible_fractions
from air3d.datasets.config import GenerateConfig
from air3d.datasets.generation import generate_scenes
from air3d.datasets.image_size import ImageSize
from air3d.datasets.samples import decode_sample, encode_sample, quantise_depth
from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior, tabletop_prior

needs_gl = pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL here")


def make(backend, prior, num=12, size=64):
    config = GenerateConfig("tabletop", num, 3, prior, size=size, renderer=backend)
    with make_renderer(config.render_config, backend) as renderer:
        return [
            decode_sample(encode_sample(item), ImageSize.of(size))
            for item in generate_scenes(config, range(num), renderer)
        ]


@pytest.fixture(scope="module", params=["analytic", pytest.param("gl", marks=needs_gl), "wide"])
def samples(request):
    """Wide ones are by rolled, shifted cameras that look beside the middle, without square pixels."""
    prior = tabletop_prior(kinds=("mug", "plate", "bowl"), perturb=True)
    if request.param != "wide":
        return make(request.param, prior, num=30)
    odd = {"roll_rad": (-0.5, 0.5), "aim_m": (0.05, 0.05), "shift_right": (0.1, 0.2), "shift_down": (-0.1, 0.0)}
    prior = replace(prior, camera=replace(prior.camera, distance_m=(1.2, 1.3), fx_over_fy=1.2, **odd))
    return make("analytic", prior, 30, (96, 72))


def each_object(samples):
    for sample in samples:
        yield from ((sample, n, item) for n, item in enumerate(sample["annotations"]["objects"]))


def test_boxes_are_tight_around_the_segmentation(samples):
    seen = 0
    for sample, n, item in each_object(samples):
        rows, columns = np.nonzero(sample["segmentation"] == n + 1)
        assert item["visible_box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert item["visible_pixels"] == len(rows)
        a, v = item["amodal_box"], item["visible_box"]
        assert a[0] <= v[0] and a[1] <= v[1] and a[2] >= v[2] and a[3] >= v[3]
        seen += 1
    assert seen > 20


def test_visible_fraction_is_the_share_of_pixels(samples):
    fractions = []
    for _, _, item in each_object(samples):
        assert item["visible_fraction"] == item["visible_pixels"] / item["amodal_pixels"]
        fractions.append(item["visible_fraction"])
    assert min(fractions) < 1.0 == max(fractions)


def test_poses_are_those_of_the_scene(samples):
    for sample, n, item in each_object(samples):
        thing = sample["scene"].objects[n]
        c, s = math.cos(thing.yaw_rad), math.sin(thing.yaw_rad)
        expected = [[c, -s, 0, thing.x_m], [s, c, 0, thing.y_m], [0, 0, 1, 0], [0, 0, 0, 1]]
        np.testing.assert_allclose(item["object_to_world"], expected, atol=1e-15)
        assert (item["kind"], item["scale"], item["yaw_rad"]) == (thing.kind, thing.scale, thing.yaw_rad)
        assert (item["position_m"], item["rotation_wxyz"]) == (list(thing.position_m), list(thing.rotation_wxyz))


def test_camera_matrices_agree_with_the_eye_and_each_other(samples):
    for sample in samples:
        camera, scene = sample["annotations"]["camera"], sample["scene"]
        opencv, opengl = np.array(camera["world_to_camera_opencv"]), np.array(camera["world_to_camera_opengl"])
        np.testing.assert_allclose(np.diag([1, -1, -1, 1]) @ opengl, opencv, atol=1e-15)
        np.testing.assert_allclose(opencv[:3, :3] @ opencv[:3, :3].T, np.eye(3), atol=1e-12)
        # What the camera looks at lies on the optical axis, `distance_m` ahead.
        np.testing.assert_allclose(opencv @ [*scene.camera.look_at_m, 1], [0, 0, scene.camera.distance_m, 1], atol=1e-9)
        # World up is up in the image, and the eye is `elevation` above the look-at point.
        assert (opencv[:3, :3] @ [0, 0, 1])[1] < 0
        eye = np.linalg.inv(opencv)[:3, 3]
        assert eye[2] == pytest.approx(scene.camera.distance_m * math.sin(scene.camera.elevation_rad))
        away = eye - scene.camera.look_at_m
        assert math.atan2(away[1], away[0]) == pytest.approx(scene.camera.azimuth_rad)


def test_origins_project_into_the_amodal_box(samples):
    """The origin lies inside the body's convex hull, on the table, and K [R|t] puts it inside the silhouette's box."""
    for sample, _, item in each_object(samples):
        local = np.array(item["object_to_camera"])[:3, 3]
        u, v, w = np.array(sample["annotations"]["camera"]["intrinsics"]) @ local
        x0, y0, x1, y1 = item["amodal_box"]
        assert x0 - 0.5 <= u / w <= x1 - 0.5
        assert y0 - 0.5 <= v / w <= y1 - 0.5


def back_projected(sample, n):
    """Points (P, 3) of the visible pixels of object n, in its own frame, metres, from depth, K and the pose alone."""
    rows, columns = np.nonzero(sample["segmentation"] == n + 1)
    depth = sample["depth_m"][rows, columns].astype(np.float64)
    k = np.array(sample["annotations"]["camera"]["intrinsics"])
    rays = np.linalg.solve(k, np.stack([columns, rows, np.ones_like(rows)]).astype(np.float64)).T
    points = np.hstack([rays * depth[:, None], np.ones((len(rows), 1))])
    pose = np.array(sample["annotations"]["objects"][n]["object_to_camera"])
    return (points @ np.linalg.inv(pose).T)[:, :3]


def test_depth_places_every_pixel_on_its_object(samples):
    height = {"mug": 0.100, "plate": 0.022, "bowl": 0.065}
    reach = {"mug": 0.086, "plate": 0.100, "bowl": 0.075}
    for sample, n, item in each_object(samples):
        points = back_projected(sample, n) / item["scale"]
        assert points[:, 2].min() > -0.002
        assert points[:, 2].max() < height[item["kind"]] + 0.002
        assert np.hypot(points[:, 0], points[:, 1]).max() < reach[item["kind"]] + 0.002


@pytest.mark.parametrize("backend, tolerance", [("analytic", 2e-4), pytest.param("gl", 0.004, marks=needs_gl)])
def test_depth_of_a_sphere_is_that_of_a_sphere(backend, tolerance):
    """|p - centre| = 6 cm for every pixel; tolerance: depth steps of 0.1 mm, and for gl the facets of the mesh."""
    for sample in make(backend, single_prior(kinds=("sphere",)), num=4):
        points = back_projected(sample, 0)
        radius = np.linalg.norm(points - [0, 0, 0.06], axis=1)
        np.testing.assert_allclose(radius, 0.06, atol=tolerance)


@pytest.mark.parametrize("backend", ["analytic", pytest.param("gl", marks=needs_gl)])
def test_table_pixels_lie_in_its_plane(backend):
    prior = replace(tabletop_prior(), max_objects=0)
    for sample in make(backend, prior, num=4):
        seen = np.isfinite(sample["depth_m"])
        assert 0.2 < seen.mean() < 0.9
        assert (sample["image"][~seen] == 0).all()
        rows, columns = np.nonzero(seen)
        k = np.array(sample["annotations"]["camera"]["intrinsics"])
        rays = np.linalg.solve(k, np.stack([columns, rows, np.ones_like(rows)]).astype(float))
        local = np.vstack([rays * sample["depth_m"][seen], np.ones(len(rows))])
        world = np.linalg.inv(sample["annotations"]["camera"]["world_to_camera_opencv"]) @ local
        top = world[2] > -0.002  # the others are the table's edge
        assert top.mean() > 0.9
        assert world[2].max() < 0.001
        assert np.hypot(*world[:2]).max() < 0.325


def test_depth_is_stored_to_a_tenth_of_a_millimetre():
    depth = np.array([[np.inf, 0.00001, 0.95004, 0.95006, 6.5535, 7.0]], dtype=np.float32)
    assert quantise_depth(depth).tolist() == [[0, 1, 9500, 9501, 65535, 65535]]


def test_boxes_of_hand_made_masks():
    masks = np.zeros((3, 5, 7), dtype=bool)
    masks[0, 2, 3] = True
    masks[1, 0, 0] = masks[1, 4, 6] = True
    assert mask_boxes(masks) == [(3, 2, 4, 3), (0, 0, 7, 5), None]
    assert mask_boxes(masks[:0]) == []
    assert visible_fractions(np.array([0, 3]), np.array([0, 4])).tolist() == [0.0, 0.75]


def test_malformed_annotations_are_refused(samples):
    good = next(sample for sample in samples if sample["annotations"]["objects"])
    plain = {"index": good["index"], **good["annotations"]}
    check_annotations(plain)
    paths = [
        ("index",),
        ("camera",),
        ("objects",),
        ("camera", "intrinsics"),
        ("camera", "height"),
        ("objects", 0),
        *(("objects", 0, key) for key in plain["objects"][0]),
    ]
    for path in paths:
        bad = json.loads(json.dumps(plain))
        at = bad
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = "x"
        if path != ("objects", 0, "kind"):  # any text is a kind here; the scene beside it is checked strictly
            with pytest.raises(InputError):
                check_annotations(bad)
