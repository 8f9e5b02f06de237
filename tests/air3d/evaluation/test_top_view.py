"""The table from above: geometry against the projection of the cameras, outlines against the meshes."""

from __future__ import annotations

import math
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from PIL import Image

from air3d.evaluation.outline import outline_m, vertices_m
from air3d.evaluation.top_view import Shape, top_view_shapes, top_view_svg
from air3d.evaluation.top_view_figure import Panel, top_view_figure
from air3d.scene3d.catalog import CATALOG, get_kind
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene, SceneObject

Floats = NDArray[np.float64]
SVG = "{http://www.w3.org/2000/svg}"


def scene(*objects: SceneObject, **camera: float) -> Scene:
    return Scene(objects, Orbit(**camera))


def of(shapes: list[Shape], role: str) -> list[Floats]:
    return [shape.points for shape in shapes if shape.role == role]


def middle(points: Floats) -> Floats:
    """Of a cube's outline: the mean of its bounding box is its centre, whatever its yaw."""
    return (points.min(axis=0) + points.max(axis=0)) / 2.0


@pytest.mark.parametrize("name", CATALOG)
def test_outlines_hold_the_mesh_and_touch_it(name: str) -> None:
    outline, points = outline_m(name), vertices_m(name, "inference")[:, :2]
    x, y = outline.T
    assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0.0, "counter-clockwise"
    assert Polygon(outline).contains_points(points, radius=0.0004).all()
    assert 4 <= len(outline) < 60
    reach = np.linalg.norm(points, axis=1).max()
    assert np.linalg.norm(outline, axis=1).max() == pytest.approx(reach, rel=0.01)
    inside = [
        math.dist(corner, (c.x_m, c.y_m)) <= c.radius_m for corner in 0.99 * outline for c in get_kind(name).footprint
    ]
    assert np.array(inside).reshape(len(outline), -1).any(axis=1).all(), "within the kind's footprint"


def test_outlines_show_corners_and_handles() -> None:
    corners = {(round(abs(x), 4), round(abs(y), 4)) for x, y in outline_m("cube")}
    assert (0.05, 0.05) in corners
    for name, way in (("mug", 1.0), ("pan", 1.0), ("teapot", -1.0)):
        x, y = outline_m(name).T
        far = way * x > 0.9 * (way * x).max()
        assert np.abs(y[far]).max() < 0.02, "a handle or spout is narrow"
        assert np.abs(y).max() < 0.8 * (way * x).max()


@pytest.mark.parametrize("seed", range(4))
def test_left_and_right_nearer_and_farther_are_as_in_the_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cubes = [SceneObject.upright("cube", *rng.uniform(-0.2, 0.2, 2).tolist(), rng.uniform(-3, 3)) for _ in range(8)]
    true = scene(*cubes, azimuth_rad=rng.uniform(-3, 3), elevation_rad=0.8)
    places = np.array([middle(points) for points in of(top_view_shapes(true, None), "truth")[:-1]])
    image, depth = true.camera.sized(64, 64).project([(o.x_m, o.y_m, 0.0) for o in cubes])
    aside = (image[:, 0] - 31.5) * depth
    ratio = aside / places[:, 0]
    assert ratio == pytest.approx(np.full(8, ratio[0])) and ratio[0] > 0.0, "x is to scale with the image's right"
    assert np.polyfit(places[:, 1], depth, 1)[0] > 0.0 and np.corrcoef(places[:, 1], depth)[0, 1] == pytest.approx(1.0)


def test_positions_are_to_scale_and_stay_in_the_world() -> None:
    """With the camera at azimuth -90 degrees the picture is not turned: x is x."""
    one, other = SceneObject.upright("cube", 0.0, 0.0), SceneObject.upright("cube", 0.12, -0.06)
    shapes = top_view_shapes(scene(one, other), scene(one, azimuth_rad=0.0))
    radius = np.abs(of(shapes, "table")[0]).max()
    assert radius < 1.0
    metre = radius / 0.32
    assert middle(of(shapes, "truth")[1]) == pytest.approx([0.12 * metre, -0.06 * metre])
    assert np.ptp(of(shapes, "truth")[0], axis=0) == pytest.approx([0.1 * metre] * 2, rel=1e-3)
    assert middle(of(shapes, "inferred")[0]) == pytest.approx([0.0, 0.0], abs=1e-12)
    larger = top_view_shapes(scene(SceneObject.upright("cube", 0.0, 0.0, scale=1.3)), None)
    assert np.ptp(of(larger, "truth")[0], axis=0) == pytest.approx([0.13 * metre] * 2, rel=1e-3)
    turned = top_view_shapes(scene(SceneObject.upright("mug", 0.0, 0.0, math.pi / 2)), None)
    assert of(turned, "truth")[0][:, 1].max() == pytest.approx(get_kind("mug").radius_m * metre, rel=0.02)


def test_cameras_stand_at_their_azimuth_and_look_inwards() -> None:
    true, found = scene(azimuth_rad=2.0, distance_m=1.0), scene(azimuth_rad=2.3, distance_m=1.1)
    shapes = top_view_shapes(true, found, [found, true])
    (truth,), (red,) = of(shapes, "truth"), of(shapes, "inferred")
    assert truth[0] == pytest.approx([0.0, -np.linalg.norm(truth[0])]), "at the bottom"
    turn = math.atan2(red[0, 1], red[0, 0]) - math.atan2(truth[0, 1], truth[0, 0])
    assert turn == pytest.approx(0.3)
    assert np.linalg.norm(red[0]) > np.linalg.norm(truth[0]) > np.abs(of(shapes, "table")[0]).max()
    for eye, left, right in (truth, red):
        assert np.linalg.norm((left + right) / 2.0) < np.linalg.norm(eye)
        a, b = left - eye, right - eye
        opening = math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert opening == pytest.approx(math.radians(40.0)), "the field of view"
    assert [shape.role for shape in shapes] == ["table", "place", "truth", "drawn", "drawn", "inferred"]
    assert np.array_equal(of(shapes, "drawn")[0], red) and np.array_equal(of(shapes, "drawn")[1], truth)
    alone = top_view_shapes(None, found)
    assert of(alone, "inferred")[0][0, 0] == pytest.approx(0.0), "without a truth the inferred one is at the bottom"


def test_everything_that_a_prior_draws_fits_into_the_picture() -> None:
    batch = ScenePrior(tabletop_prior(tuple(CATALOG), 1, 3, perturb=True)).sample_batch(np.random.default_rng(0), 60)
    for drawn in batch.to_scenes():
        corners = np.concatenate([shape.points for shape in top_view_shapes(drawn, drawn)])
        assert np.abs(corners).max() <= 1.0


@pytest.mark.parametrize("name,shapes", [("cylinder", 3), ("cube", 1), ("mug", 1), ("plate", 1), ("sphere", 1)])
def test_spokes_tell_the_yaw_of_round_things_that_have_one(name: str, shapes: int) -> None:
    found = of(top_view_shapes(scene(SceneObject.upright(name, 0.05, 0.0, 0.7)), None), "truth")[:-1]
    assert len(found) == shapes
    for k, spoke in enumerate(found[1:]):
        way = spoke[1] - spoke[0]
        assert math.remainder(math.atan2(way[1], way[0]) - 0.7 - k * math.pi, 2.0 * math.pi) == pytest.approx(0.0)


def test_the_svg_stands_alone_and_has_a_label() -> None:
    true, found = scene(SceneObject.upright("bowl", 0.1, 0.0)), scene(SceneObject.upright("bowl", 0.11, 0.0))
    root = ElementTree.fromstring(top_view_svg(true, found, "a <bowl> & more", [found] * 3))
    assert root.tag == f"{SVG}svg" and root.get("aria-label") == "a <bowl> & more" and root.get("role") == "img"
    styles = [polygon.get("style") or "" for polygon in root.iter(f"{SVG}polygon")]
    bowl = "#" + "".join(f"{round(255 * c):02x}" for c in get_kind("bowl").colour)
    assert sum(f"fill:{bowl}" in style for style in styles) == 1, "only the truth is filled"
    assert sum("stroke:#e0142c;stroke-width:1.6" in style for style in styles) == 2, "bowl and camera"
    assert sum("stroke-opacity" in style for style in styles) == 6
    numbers = [
        float(n) for p in root.iter(f"{SVG}polygon") for c in (p.get("points") or "").split() for n in c.split(",")
    ]
    assert max(map(abs, numbers)) <= 100.0


def test_the_figure_shows_red_where_something_was_inferred() -> None:
    true = scene(SceneObject.upright("bowl", 0.1, 0.0))
    picture = np.full((8, 8, 3), 40, dtype=np.uint8)

    def red(*panels: Panel) -> int:
        with Image.open(BytesIO(top_view_figure(panels, ("input", "from above")))) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        return int(((pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 80)).sum())

    assert red(Panel([picture], true, None)) == 0
    assert red(Panel([picture], true, true)) > 100
    assert red(Panel([picture], true, None, [true] * 8)) > 100
    assert red(Panel([picture], true, true), Panel([picture], None, true)) > red(Panel([picture], true, true))
