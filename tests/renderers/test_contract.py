"""One contract for every backend: what the protocol promises, checked against geometry."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_fill_holes
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation

from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl, probe_warp
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CATALOG, get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Cloth, Lamp, Light, Scene, SceneObject, Table
from air3d.scene3d.textures import texture_pixels

# The catalog's, and some made from mesh files: a closed body with a sheet above it, an open textured bowl without
# thickness, and three leaves that share one edge.
OWN = ("pyramid@b16745256486", "shell@c8f3e2c3a1d8", "fins@54de626240c4")
KINDS = (*CATALOG, *OWN)
SIZE = 64


def _available() -> list[Any]:
    backends: list[Any] = ["analytic", "raster"]
    if probe_gl().platform is not None:
        backends += ["gl", "gl_pool", "layers"]
    if devices := probe_warp().devices:
        # Warp draws on the GPU where there is one, so there `-m gpu` takes its part of the contract along.
        on_cuda = any(device.startswith("cuda") for device in devices)
        backends.append(pytest.param("warp", marks=[pytest.mark.gpu] if on_cuda else []))
    return backends


@pytest.fixture(scope="module", params=_available())
def renderer(request: pytest.FixtureRequest) -> Iterator[Renderer]:
    with make_renderer(RenderConfig(KINDS, max_objects=3, height=SIZE, width=SIZE), request.param) as made:
        yield made


def _batch(*scenes: Scene) -> SceneBatch:
    return SceneBatch.from_scenes(scenes, KINDS, 3)


def _random_scenes(seed: int, count: int) -> SceneBatch:
    prior = ScenePrior(PriorConfig(kinds=KINDS, min_objects=1))
    return prior.sample_batch(np.random.default_rng(seed), count)


def test_shapes_types_and_range(renderer: Renderer) -> None:
    batch = _random_scenes(0, 5)
    frames = renderer.render_frames(batch)
    assert frames.rgb.shape == (5, SIZE, SIZE, 3) and frames.rgb.dtype == np.uint8
    assert frames.depth_m.shape == (5, SIZE, SIZE) and frames.depth_m.dtype == np.float32
    assert frames.segmentation.shape == (5, SIZE, SIZE) and frames.segmentation.dtype == np.uint8
    assert frames.rgb.max() > 100, "pictures must not be black"
    assert frames.segmentation.max() <= 3
    assert np.isfinite(frames.depth_m[frames.segmentation > 0]).all()
    assert renderer.render(batch[:0]).shape == (0, SIZE, SIZE, 3)


def test_non_square_images(renderer: Renderer) -> None:
    config = RenderConfig(KINDS, max_objects=1, height=32, width=80)
    scene = Scene((SceneObject.upright("sphere", 0.12, 0.0),), camera=Orbit(azimuth_rad=-math.pi / 2))
    batch = SceneBatch.from_scenes([scene], KINDS, 1)
    with make_renderer(config, renderer.name) as wide:
        segmentation = wide.render_segmentation(batch)[0]
    rows, columns = np.nonzero(segmentation == 1)
    (expected,), _ = scene.camera.sized(80, 32).project([[0.12, 0.0, 0.06]])
    assert (columns.mean(), rows.mean()) == pytest.approx(tuple(expected), abs=0.7)


def test_same_scene_same_pixels_whatever_the_batch(renderer: Renderer) -> None:
    batch = _random_scenes(1, 6)
    first, again = renderer.render(batch), renderer.render(batch)
    assert np.array_equal(first, again)
    order = np.array([3, 0, 5, 1, 4, 2])
    assert np.array_equal(renderer.render(batch[order]), first[order])
    for b in range(6):
        assert np.array_equal(renderer.render(batch[b : b + 1])[0], first[b])
    assert np.array_equal(renderer.render_frames(batch).rgb, first)
    assert np.array_equal(renderer.render_segmentation(batch), renderer.render_frames(batch).segmentation)


def test_absent_objects_leave_no_pixels(renderer: Renderer) -> None:
    full = _random_scenes(2, 4)
    kind = full.kind.copy()
    kind[:, :] = -1
    empty = replace(full, kind=kind)
    bare = renderer.render_frames(empty)
    assert not bare.segmentation.any()
    # what stays in the arrays of an empty slot must not matter
    clean = replace(empty, **{name: 0 * getattr(empty, name) for name in ("position_m", "rotation_wxyz", "colour")})
    assert np.array_equal(renderer.render(clean), bare.rgb)
    # removing the objects changes nothing outside their silhouettes
    frames = renderer.render_frames(full)
    outside = frames.segmentation == 0
    assert np.array_equal(frames.rgb[outside], bare.rgb[outside])
    assert not np.array_equal(frames.rgb, bare.rgb)


def test_any_thread_may_draw_close_and_collect(renderer: Renderer) -> None:
    """One made here draws elsewhere, several at once, beside others that are made, left and collected there."""
    batch = _random_scenes(4, 12)
    expected = renderer.render_frames(batch)
    config, name = renderer.config, renderer.name

    def same(made: Renderer) -> bool:
        frames = made.render_frames(batch)
        return all(np.array_equal(a, b) for a, b in zip(frames, expected, strict=True))

    def make() -> Renderer:
        return make_renderer(config, name, workers=1 if name == "gl_pool" else None)

    def leave() -> bool:
        made = make()
        loop: list[Any] = [made]
        loop.append(loop)  # so that only the collector frees it, in whatever thread that runs
        return same(made)

    with ThreadPoolExecutor(3) as threads:
        assert all(threads.map(same, [renderer] * 3))
        elsewhere = threads.submit(make).result()
        assert same(elsewhere) and threads.submit(same, elsewhere).result()
        assert all(task.result() for task in [threads.submit(leave), threads.submit(same, renderer)])
        gc.collect()
        assert same(renderer) and same(elsewhere)
        elsewhere.close()
        threads.submit(elsewhere.close).result()
    assert same(renderer), "after the thread that drew last has ended"


@pytest.mark.parametrize("slots", [0, 1])
def test_nothing_to_draw_but_the_table(renderer: Renderer, slots: int) -> None:
    """No scenes, no objects, no kinds: the table alone, or pictures of the right shape and none of them."""
    empty = SceneBatch.from_scenes([Scene(), Scene(camera=Orbit(azimuth_rad=1.0))], KINDS, 3)
    expected = renderer.render_frames(empty)
    bare = SceneBatch.from_scenes(empty.to_scenes(), (), slots)
    with make_renderer(RenderConfig((), max_objects=slots, height=SIZE, width=SIZE), renderer.name) as nothing:
        for batch in (bare, SceneBatch.from_scenes(empty.to_scenes(), slots=slots)):
            for one, two in zip(nothing.render_frames(batch), expected, strict=True):
                assert np.array_equal(one, two)
            assert np.array_equal(nothing.render(batch), expected.rgb)
            assert np.array_equal(nothing.render_segmentation(batch), expected.segmentation)
        for one, two in zip(nothing.render_frames(bare[:0]), expected, strict=True):
            assert one.shape == (0, *two.shape[1:]) and one.dtype == two.dtype
        assert nothing.render_segmentation(bare[:0]).shape == (0, SIZE, SIZE)


def test_objects_may_be_listed_in_any_order(renderer: Renderer) -> None:
    batch = _random_scenes(3, 6)
    order = [2, 0, 1]
    swapped = replace(
        batch,
        **{f: getattr(batch, f)[:, order] for f in ("kind", "position_m", "rotation_wxyz", "scale", "colour")},
    )
    one, two = renderer.render_frames(batch), renderer.render_frames(swapped)
    assert np.array_equal(one.rgb, two.rgb)
    back = np.array([0, *(i + 1 for i in order)])
    assert np.array_equal(back[two.segmentation], one.segmentation)


def test_nearer_object_hides_farther(renderer: Renderer) -> None:
    camera = Orbit(azimuth_rad=0.0, elevation_rad=math.radians(25.0))
    near, far = SceneObject.upright("sphere", 0.08, 0.0), SceneObject.upright("plate", -0.08, 0.0)
    both = renderer.render_frames(_batch(Scene((near, far), camera), Scene((far, near), camera)))
    alone = renderer.render_frames(_batch(Scene((near,), camera), Scene((far,), camera)))
    overlap = (alone.segmentation[0] == 1) & (alone.segmentation[1] == 1)
    assert overlap.sum() >= 4
    assert (both.segmentation[0][overlap] == 1).all() and (both.segmentation[1][overlap] == 2).all()
    assert np.array_equal(both.rgb[0][overlap], alone.rgb[0][overlap])
    nearest = np.minimum(alone.depth_m[0], alone.depth_m[1])
    assert np.allclose(both.depth_m[0], nearest, rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("azimuth_deg", [0.0, 90.0, 200.0])
def test_projected_points_meet_the_pixels(renderer: Renderer, azimuth_deg: float) -> None:
    rng = np.random.default_rng(4)
    for look_at in ((0.0, 0.0, 0.0), (0.03, -0.02, 0.01)):
        orbit = Orbit(math.radians(azimuth_deg), math.radians(35.0), 0.97, look_at, math.radians(42.0))
        camera = orbit.sized(SIZE, SIZE)
        for _ in range(3):
            x, y = rng.uniform(-0.12, 0.12, 2)
            frames = renderer.render_frames(_batch(Scene((SceneObject.upright("sphere", x, y),), orbit)))
            rows, columns = np.nonzero(frames.segmentation[0] == 1)
            radius = get_kind("sphere").height_m / 2
            (pixel,), (depth,) = camera.project([[x, y, radius]])
            assert (columns.mean(), rows.mean()) == pytest.approx(tuple(pixel), abs=0.6)
            # a sphere's silhouette is an ellipse of about this area
            assert len(rows) == pytest.approx(math.pi * (camera.focal_px[0] * radius / depth) ** 2, rel=0.12)
            centre = frames.depth_m[0, round(float(pixel[1])), round(float(pixel[0]))]
            distance = np.linalg.norm(camera.frame[:3, 3] - [x, y, radius])
            assert centre == pytest.approx(depth * (1 - radius / distance), abs=0.004)


@pytest.mark.parametrize("stretch", [1.0, 1.25])
@pytest.mark.parametrize("size", [(64, 64), (96, 48), (320, 240)])
def test_a_camera_matrix_is_honoured(renderer: Renderer, size: tuple[int, int], stretch: float) -> None:
    """Spheres meet the pixels that K and the eye pose say, off-centre, rolled, at any aspect, also of one pixel."""
    if renderer.name == "gl_pool" and (size, stretch) != ((96, 48), 1.25):
        pytest.skip("draws by gl, and starts slowly")
    items = (
        SceneObject.upright("sphere", 0.09, -0.06),
        SceneObject.upright("cube", -0.1, 0.1),
        SceneObject.upright("sphere", -0.1, -0.1),
    )
    shift = (0.09 * size[0] / size[1], -0.13)
    orbits = (
        Orbit(0.4, 0.6, 1.1, roll_rad=math.radians(25.0), shift=shift, fx_over_fy=stretch),
        Orbit(2.0, math.pi / 2, 1.2, roll_rad=-0.3, shift=shift, fx_over_fy=stretch),
    )
    scenes, (width, height) = _batch(*(Scene(items, orbit) for orbit in orbits)), size
    config = RenderConfig(KINDS, max_objects=3, width=width, height=height)
    with make_renderer(config, renderer.name) as made:
        frames = made.render_frames(scenes)
    camera, radius = scenes.cameras(width, height), get_kind("sphere").height_m / 2
    for b in range(2):
        one = replace(camera, frame=camera.frame[b], matrix=camera.matrix[b])
        for n in (0, 2):
            (pixel,), (depth,) = one.project([[items[n].x_m, items[n].y_m, radius]])
            rows, columns = np.nonzero(frames.segmentation[b] == n + 1)
            assert (columns.mean(), rows.mean()) == pytest.approx(tuple(pixel), abs=0.7 * height / 64)
            area = math.pi * one.focal_px[0] * one.focal_px[1] * (radius / depth) ** 2
            assert len(rows) == pytest.approx(area, rel=0.2)
        # The plane of the table; its rim lies a little deeper.
        k, pose = one.matrix, one.frame
        v, u = np.nonzero((frames.segmentation[b] == 0) & np.isfinite(frames.depth_m[b]))
        rays = np.stack([(u - k[0, 2]) / k[0, 0], -(v - k[1, 2]) / k[1, 1], -np.ones(len(u))], -1) @ pose[:3, :3].T
        off = np.abs(frames.depth_m[b][v, u] + pose[2, 3] / rays[:, 2])
        assert len(v) > 300 and np.quantile(off, 0.75) < 1e-3


def test_depth_of_the_table_is_the_plane(renderer: Renderer) -> None:
    orbit = Orbit(0.7, math.radians(50.0), 1.0)
    depth = renderer.render_frames(_batch(Scene((), orbit))).depth_m[0]
    camera = orbit.sized(SIZE, SIZE)
    k, pose = camera.matrix, camera.frame
    rows, columns = np.meshgrid(np.arange(20, 44), np.arange(20, 44), indexing="ij")
    rays = np.stack([(columns - k[0, 2]) / k[0, 0], -(rows - k[1, 2]) / k[1, 1], -np.ones_like(rows)], -1)
    along = rays @ pose[:3, :3].T
    assert np.allclose(depth[20:44, 20:44], -pose[2, 3] / along[..., 2], rtol=2e-3)
    assert np.isinf(depth[0, 0]), "nothing is seen beside the table"


def test_scale_and_colour_reach_the_pixels(renderer: Renderer) -> None:
    small, large = (Scene((SceneObject.upright("sphere", 0.0, 0.0, scale=s),)) for s in (0.8, 1.2))
    green = Scene((SceneObject.upright("sphere", 0.0, 0.0, colour=(0.1, 0.9, 0.1)),))
    frames = renderer.render_frames(_batch(small, large, green))
    areas = (frames.segmentation[:2] == 1).sum(axis=(1, 2))
    assert areas[1] / areas[0] == pytest.approx((1.2 / 0.8) ** 2, rel=0.2)
    mean = frames.rgb[2][frames.segmentation[2] == 1].mean(axis=0)
    assert mean[1] > 3 * mean[0] and mean[1] > 3 * mean[2]


def test_further_lamps_add_up(renderer: Renderer) -> None:
    """What two lamps add is the sum of what each adds; a level surface gets brightness times the sine of elevation."""
    high, low = Lamp(0.3, 0.9, 0.3), Lamp(2.5, 0.4, 0.25)
    lights = [Light(diffuse=0.2, ambient=0.2, lamps=lamps) for lamps in ((), (high,), (low,), (high, low))]
    sphere = SceneObject.upright("sphere", 0.05, -0.05, colour=(0.5, 0.4, 0.3))
    batch = _batch(*(Scene((sphere,), light=light) for light in lights))
    with make_renderer(replace(renderer.config, varied=True), renderer.name) as varied:
        frames = varied.render_frames(batch)
        assert np.array_equal(varied.render(batch), frames.rgb)
        assert np.array_equal(varied.render(batch[:1]), renderer.render(batch[:1]))
    none, first, second, both = frames.rgb.astype(float)
    assert np.abs((both - none) - (first - none) - (second - none)).max() <= 2.0  # four roundings
    assert np.abs(first - second)[frames.segmentation[0] == 1].max() > 10.0
    table = (frames.segmentation[0] == 0) & (none > 0).any(axis=-1)
    gains = [(lit - none)[table].mean() for lit in (first, second)]
    assert gains[0] / gains[1] == pytest.approx(0.3 * math.sin(0.9) / (0.25 * math.sin(0.4)), rel=0.06)
    with pytest.raises(InputError, match="further lamps"):
        renderer.render(batch)


def test_cloths_and_textures_are_worn_where_they_belong(renderer: Renderer) -> None:
    """A cloth changes the table alone, a texture its wearer alone; both keep shapes, and both multiply the colour."""
    cube = SceneObject.upright("cube", 0.0, 0.0, colour=(0.6, 0.6, 0.6))
    sphere = SceneObject.upright("sphere", 0.12, 0.0, colour=(0.6, 0.6, 0.6))
    light = Light(diffuse=0.3, ambient=0.5)
    plain = Scene((cube, sphere), light=light)
    green = replace(plain, cloth=Cloth((0.0, 0.6, 0.0)))
    worn = replace(plain, objects=(replace(cube, texture="checker-2"), replace(sphere, texture="plain")))
    dotted = replace(plain, cloth=Cloth((0.0, 0.6, 0.0), "dots-2"))
    with make_renderer(replace(renderer.config, varied=True), renderer.name) as varied:
        frames = varied.render_frames(_batch(plain, green, worn, dotted))
    assert all(np.array_equal(frames.segmentation[0], other) for other in frames.segmentation)
    assert all(np.allclose(frames.depth_m[0], other, rtol=1e-5) for other in frames.depth_m)
    objects = frames.segmentation[0] > 0
    table = np.isfinite(frames.depth_m[0]) & ~objects
    bare, covered, checked, spots = frames.rgb.astype(int)
    assert np.array_equal(covered[objects], bare[objects]) and not covered[table][:, [0, 2]].any()
    assert (covered[table][:, 1] > 20).all()
    is_cube = frames.segmentation[0] == 1
    assert np.abs(checked - bare)[~is_cube].max() <= 1  # plain is the colour itself
    if renderer.name == "analytic":
        return  # it draws no patterns
    for name, wearer, image, plain_image in (("checker-2", is_cube, checked, bare), ("dots-2", table, spots, covered)):
        shares = image[wearer][:, 1] / plain_image[wearer][:, 1]
        expected = texture_pixels(name)[..., 1] / 255.0
        assert shares.mean() == pytest.approx(expected.mean(), abs=0.08)
        assert shares.std() > 0.3 * expected.std()


def test_yaw_turns_the_handle_in_the_image(renderer: Renderer) -> None:
    """The brighter or protruding side of a mug follows its yaw: the mirrored yaw gives the mirrored silhouette."""
    camera = Orbit(azimuth_rad=-math.pi / 2, elevation_rad=math.radians(30.0))
    light = Light(azimuth_rad=-math.pi / 2)  # behind the camera, so that the lighting is left-right symmetric
    right, left = (
        Scene((SceneObject.upright("mug", 0.0, 0.0, yaw),), camera, light=light) for yaw in (0.4, math.pi - 0.4)
    )
    frames = renderer.render_frames(_batch(right, left))
    assert not np.array_equal(frames.rgb[0], frames.rgb[1])
    a, b = frames.segmentation == 1
    assert (a ^ b[:, ::-1]).mean() < 0.004
    if renderer.name != "analytic":  # whose mug is an ellipsoid
        columns = np.nonzero(a)[1]
        assert columns.mean() > SIZE / 2 - 0.5, "yaw 0.4 points the handle to world +x, the image's right"


@pytest.mark.parametrize("kind", KINDS)
def test_a_tilted_lifted_object_meets_its_projected_corners(renderer: Renderer, kind: str) -> None:
    """Its silhouette touches the edges of the box around its mesh's corners, and fills their hull if it is convex."""
    rng, orbit = np.random.default_rng(5), Orbit(azimuth_rad=1.0)
    corners = trimesh.load(asset_path("meshes", f"{kind}.inference.obj"), process=False).vertices
    items = [
        SceneObject(kind, (x, y, 0.15 + z), np.roll(turn.as_quat(), 1), 1.2)  # type: ignore[arg-type]
        for turn, (x, y, z) in zip(Rotation.random(6, rng), rng.uniform(-0.05, 0.05, (6, 3)), strict=True)
    ]
    frames = renderer.render_frames(_batch(*(Scene((item,), orbit) for item in items)))
    camera = orbit.sized(SIZE, SIZE)
    for item, depth_m, mask in zip(items, frames.depth_m, frames.segmentation == 1, strict=True):
        turn = Rotation.from_quat(np.roll(item.rotation_wxyz, -1))
        points, depths = camera.project(turn.apply(1.2 * corners) + item.position_m)
        pixels = np.argwhere(mask)[:, ::-1]
        if renderer.name == "analytic":  # draws ellipsoids of about this size
            assert np.linalg.norm(pixels.mean(axis=0) - points.mean(axis=0)) < 6.0
            continue
        # The end of a pan's thin handle may cover no pixel's middle.
        low, high, within = points.min(axis=0), points.max(axis=0), 4.0 if kind == "pan" else 1.1
        assert pixels.min(axis=0) - low == pytest.approx(np.full(2, 0.4), abs=within)
        assert high - pixels.max(axis=0) == pytest.approx(np.full(2, 0.4), abs=within)
        assert depths.min() - 0.001 < depth_m[mask].min() < depth_m[mask].max() < depths.max() + 0.001
        if kind in ("cube", "sphere", "cylinder"):
            inside = Delaunay(points).find_simplex(np.argwhere(np.ones((SIZE, SIZE)))[:, ::-1]).reshape(SIZE, SIZE) >= 0
            assert (inside & mask).sum() > 0.97 * (inside | mask).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_lies_in_its_projected_box(renderer: Renderer, kind: str) -> None:
    item = SceneObject.upright(kind, 0.05, -0.04, yaw_rad=0.9)
    scene = Scene((item,), Orbit(azimuth_rad=1.0))
    mask = renderer.render_segmentation(_batch(scene))[0] == 1
    assert mask.sum() >= 12
    nominal = get_kind(kind)
    pose = item.frame()
    ring = np.linspace(0, 2 * np.pi, 24)
    outline = np.concatenate(
        [
            np.stack([c.x_m + c.radius_m * np.cos(ring), c.y_m + c.radius_m * np.sin(ring), 0 * ring + z], -1)
            for c in nominal.footprint
            for z in (0.0, nominal.height_m)
        ]
    )
    points, _ = scene.camera.sized(SIZE, SIZE).project(outline @ pose[:3, :3].T + pose[:3, 3])
    rows, columns = np.nonzero(mask)
    low, high = points.min(axis=0) - 1.0, points.max(axis=0) + 1.0
    assert columns.min() >= low[0] and columns.max() <= high[0]
    assert rows.min() >= low[1] and rows.max() <= high[1]


@pytest.mark.parametrize("azimuth_deg", [-90.0, 90.0])
def test_a_sheet_of_an_own_kind_is_seen_from_both_sides(renderer: Renderer, azimuth_deg: float) -> None:
    if renderer.name == "analytic":
        pytest.skip("draws ellipsoids")
    scene = Scene((SceneObject.upright(OWN[0], 0.0, 0.0),), Orbit(math.radians(azimuth_deg), math.radians(30.0)))
    # The middle of the sheet's triangle, which stands in the plane y = 0.
    (pixel,), (depth,) = scene.camera.sized(SIZE, SIZE).project([[0.025 / 3, 0.0, 0.245 / 3]])
    frames = renderer.render_frames(_batch(scene))
    column, row = np.rint(pixel).astype(int)
    assert frames.segmentation[0, row, column] == 1
    assert frames.depth_m[0, row, column] == pytest.approx(depth, abs=0.02)
    assert frames.rgb[0, row, column, 2] > 20, "lit from either side"


@pytest.mark.parametrize("kind", OWN[1:])
def test_sheets_are_as_bright_as_their_normals_say(renderer: Renderer, kind: str) -> None:
    """A sheet's two coincident sides must not fight: each pixel is lit by the one that faces the camera."""
    if renderer.name == "analytic":
        pytest.skip("draws ellipsoids")
    levels = ("inference",) if renderer.name in ("raster", "layers") else ("inference", "display")
    camera = Orbit(0.4, math.radians(70.0))
    # The lamp stands over the scene, so that every upper side is lit and neighbours are lit alike.
    scene = Scene((SceneObject.upright(kind, 0.0, 0.0),), camera, light=Light(0.4, math.radians(75.0)))
    for detail in levels:
        config = RenderConfig((kind,), max_objects=1, height=SIZE, width=SIZE, detail=detail)
        with make_renderer(config, renderer.name) as made:
            frames = made.render_frames(SceneBatch.from_scenes([scene], (kind,), 1))
        mask = frames.segmentation[0] == 1
        assert mask.sum() > 40
        assert np.array_equal(binary_fill_holes(mask), mask), "seen through nowhere"
        if detail == "inference":  # no shadows, no shine
            grey = frames.rgb[0].max(axis=-1)[mask].astype(float)
            assert np.median(grey) > 110, "lit"
            assert (grey < 0.5 * np.median(grey)).mean() < 0.05, "no dark speckles"


def test_extrinsics_of_both_conventions(renderer: Renderer) -> None:
    """The OpenCV pose sees a raised object above the image centre; both conventions agree through K."""
    orbit = Orbit(0.3, math.radians(30.0))
    camera = orbit.sized(SIZE, SIZE)
    cv, gl = camera.eye_pose("opencv"), camera.eye_pose("opengl")
    point = np.array([0.1, -0.05, 0.06, 1.0])
    assert (cv @ point)[2] > 0 > (gl @ point)[2]
    assert np.allclose((cv @ point)[1:3], -(gl @ point)[1:3])
    homogeneous = camera.matrix @ (cv @ point)[:3]
    pixel = homogeneous[:2] / homogeneous[2]
    mask = renderer.render_segmentation(_batch(Scene((SceneObject.upright("sphere", 0.1, -0.05),), orbit)))[0] == 1
    rows, columns = np.nonzero(mask)
    assert (columns.mean(), rows.mean()) == pytest.approx(tuple(pixel), abs=0.6)


def test_what_it_was_not_made_for_is_refused(renderer: Renderer) -> None:
    many = Scene(tuple(SceneObject.upright("mug", 0.0, 0.1 * i) for i in range(4)))
    with pytest.raises(InputError):
        renderer.render(SceneBatch.from_scenes([many], KINDS, 4))
    other = Scene((SceneObject.upright("mug", 0.0, 0.0),), table=Table(0.5, 0.3))
    with pytest.raises(InputError):
        renderer.render(_batch(other))
    config = RenderConfig(("mug",), max_objects=1, height=16, width=16)
    with make_renderer(config, renderer.name) as narrow, pytest.raises(InputError):
        narrow.render(SceneBatch.from_scenes([Scene((SceneObject.upright("bowl", 0.0, 0.0),))], ("bowl",), 1))


def test_unknown_backend_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="unknown renderer 'vulkan'"):
        make_renderer(RenderConfig(KINDS), "vulkan")


def test_a_bin_has_walls(renderer: Renderer) -> None:
    """Depth is where rays meet the bin's floor and the boxes of its walls, which physics knows."""
    table = Table(shape="bin")
    camera = Orbit(azimuth_rad=0.4, elevation_rad=0.8, distance_m=1.2)
    batch = SceneBatch.from_scenes([Scene((), camera, table)], KINDS, 1)
    with make_renderer(RenderConfig(KINDS, table, 1, SIZE, SIZE), renderer.name) as made:
        if renderer.name == "analytic":
            with pytest.raises(InputError, match="draws no walls"):
                made.render(batch)
            return
        depth = made.render_frames(batch).depth_m[0]
    seen = camera.sized(SIZE, SIZE)
    (fx, fy), (cx, cy) = seen.focal_px, seen.principal_px
    eye, (half, _) = seen.frame[:3, 3], table.top.half_extents_m
    boxes = [((-half, -half, -0.02), (half, half, 0.0))]
    boxes += [tuple(np.add(w.position_m, np.multiply(s, w.half_m)) for s in (-1, 1)) for w in table.ground.walls]
    nearest = []
    for shift in ((0.0, 0.0), (-0.4, -0.4), (0.4, -0.4), (-0.4, 0.4), (0.4, 0.4)):  # pixels at an edge are left out
        rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
        u, v = (columns + shift[0] - cx) / fx, (cy - rows - shift[1]) / fy
        rays = np.stack([u, v, -np.ones_like(u)], -1) @ seen.frame[:3, :3].T
        found = np.full((SIZE, SIZE), np.inf)
        for low, high in boxes:
            one, two = (low - eye) / rays, (high - eye) / rays
            enter, leave = np.minimum(one, two).max(axis=-1), np.maximum(one, two).min(axis=-1)
            found = np.where(enter <= leave, np.minimum(found, enter), found)
        nearest.append(found)
    spread = np.ptp(np.nan_to_num(nearest, posinf=9.0), axis=0)
    sure = spread < 0.02
    assert sure.mean() > 0.7
    assert (np.isinf(depth) == np.isinf(nearest[0]))[sure].all()
    hit = sure & np.isfinite(nearest[0])
    np.testing.assert_allclose(depth[hit], nearest[0][hit], atol=0.003)
    # Above the floor's plane.
    height = eye[2] + nearest[0] * (
        np.stack([(columns - cx) / fx, (cy - rows) / fy, -np.ones_like(u)], -1) @ seen.frame[2, :3]
    )
    assert (height[hit] > 0.02).sum() > 20, "walls are seen"


@pytest.mark.parametrize("shape", ["round", "rectangle", "square"])
def test_the_table_lies_where_its_top_does(renderer: Renderer, shape: Any) -> None:
    """What is seen of a bare table is its outline as the camera projects it; dark planks at -x, light ones at +x."""
    table = Table(shape=shape)
    camera = Orbit(azimuth_rad=0.4, elevation_rad=1.2, distance_m=1.0)
    batch = SceneBatch.from_scenes([Scene((), camera, table)], KINDS, 1)
    with make_renderer(RenderConfig(KINDS, table, 1, SIZE, SIZE), renderer.name) as made:
        rgb, depth = made.render(batch)[0].astype(float), made.render_frames(batch).depth_m[0]
    # The point of the plane z = 0 that the middle of each pixel sees.
    seen = camera.sized(SIZE, SIZE)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    (fx, fy), (cx, cy) = seen.focal_px, seen.principal_px
    rays = np.stack([(columns - cx) / fx, (cy - rows) / fy, -np.ones_like(rows)], -1) @ seen.frame[:3, :3].T
    away = -seen.frame[2, 3] / rays[..., 2]
    points = (seen.frame[:3, 3] + away[..., None] * rays)[..., :2]
    edge_m = 0.02  # a pixel is a centimetre
    inside = table.top.contains(points * (1.0 + edge_m / np.linalg.norm(points, axis=-1, keepdims=True)))
    outside = table.top.beyond(points) > edge_m + 0.02  # the side of the top is as high
    np.testing.assert_allclose(depth[inside], away[inside], atol=0.002)
    assert (np.abs(depth[outside] - away[outside]) > 0.01).all()
    if renderer.name != "analytic":
        side = table.top.half_extents_m[0]
        left, right = inside & (points[..., 0] < -0.4 * side), inside & (points[..., 0] > 0.4 * side)
        assert rgb[right].mean() > 1.3 * rgb[left].mean(), "the planks tell +x from -x"
