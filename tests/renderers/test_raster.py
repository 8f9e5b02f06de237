"""The software rasteriser against OpenGL, and against geometry where OpenGL is missing."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from air3d.renderers.choice import choose_backend
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.renderers.raster import RasterRenderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene, SceneObject, Table
from tests.painted_cup import painted_cup
from tests.renderers.round_cube import round_cube

KINDS = tuple(CATALOG)
OWN = ("pyramid@b16745256486", "shell@c8f3e2c3a1d8", "fins@54de626240c4")
needs_gl = pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL context can be made here")


@needs_gl
@pytest.mark.parametrize("size", [32, 64, 200])
@pytest.mark.parametrize(
    "make_prior",
    [
        partial(tabletop_prior, KINDS, 0, 3, perturb=True),
        partial(single_prior, perturb=True),
        partial(PriorConfig, kinds=OWN, min_objects=1),
        partial(PriorConfig, kinds=KINDS, min_objects=1, perturb=Perturbation(colour=0.3, lamps=0.5)),
    ],
    ids=["tabletop", "single", "own", "lamps"],
)
def test_draws_what_opengl_draws(make_prior: Callable[[], PriorConfig], size: int) -> None:
    from air3d.renderers.gl import GlRenderer

    prior = make_prior()
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(size), 64)
    config = RenderConfig(prior.kinds, prior.table, 3, size, size, varied=prior.varied)
    with GlRenderer(config) as reference, RasterRenderer(config) as raster:
        want, got = reference.render_frames(scenes), raster.render_frames(scenes)
    off = np.abs(want.rgb.astype(int) - got.rgb).max(axis=-1)
    assert (off > 8).mean() < 5e-4
    assert off.mean() < 0.05
    assert (want.segmentation != got.segmentation).mean() < 2e-5
    both = np.isfinite(want.depth_m) & np.isfinite(got.depth_m)
    assert both.mean() > 0.2
    assert (np.isfinite(want.depth_m) != np.isfinite(got.depth_m)).mean() < 2e-5
    assert np.quantile(np.abs(want.depth_m[both] - got.depth_m[both]), 0.999) < 1e-3
    assert mean_ssim(want.rgb, got.rgb) >= 0.98


@needs_gl
def test_draws_textured_kinds_as_opengl_does(tmp_path: Path) -> None:
    """A thin-walled cup of two pictures, whose few triangles are lit as the surface that they stand for."""
    from air3d.renderers.gl import GlRenderer

    kind, *_ = resolve_kinds((str(painted_cup(tmp_path)),))
    prior = PriorConfig(kinds=(kind,), min_objects=3)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(0), 32)
    config = RenderConfig(prior.kinds, prior.table, 3, 128, 128)
    with GlRenderer(config) as reference, RasterRenderer(config) as raster:
        want, got = reference.render_frames(scenes), raster.render_frames(scenes)
    assert (want.segmentation != got.segmentation).mean() < 2e-5
    on_cups = want.segmentation > 0
    assert ssim(want.rgb, got.rgb)[on_cups].mean() > 0.99
    assert np.abs(want.rgb[on_cups].astype(int) - got.rgb[on_cups]).mean() < 2.0


@needs_gl
@pytest.mark.parametrize("textured", [False, True])
def test_normals_that_are_far_off_light_as_in_opengl(textured: bool) -> None:
    """MuJoCo takes a face's own normal in place of such ones, unless the mesh has texture coordinates."""
    from air3d.renderers.gl import GlRenderer

    kind = round_cube(textured)
    scenes = SceneBatch.from_scenes([Scene((SceneObject.upright(kind, 0.0, 0.0, 0.1 * k),)) for k in range(8)])
    config = RenderConfig((kind,), max_objects=1)
    with GlRenderer(config) as reference, RasterRenderer(config) as raster:
        want, got = reference.render_frames(scenes), raster.render_frames(scenes)
    off = np.abs(want.rgb.astype(int) - got.rgb).max(axis=-1)[want.segmentation > 0]
    assert len(off) > 500 and off.mean() < 3.0 and (off > 12).mean() < 0.01


@needs_gl
@pytest.mark.parametrize("size", [32, 128])
def test_draws_patterns_and_cloths_nearly_as_opengl_does(size: int) -> None:
    """Of a large triangle it blurs the whole texture alike, where OpenGL looks at every pixel."""
    from air3d.renderers.gl import GlRenderer

    prior = PriorConfig(kinds=KINDS, min_objects=1, perturb=Perturbation(colour=0.3, texture=0.7))
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(size), 48)
    config = RenderConfig(prior.kinds, prior.table, 3, size, size, varied=True)
    with GlRenderer(config) as reference, RasterRenderer(config) as raster:
        want, got = reference.render_frames(scenes), raster.render_frames(scenes)
    off = np.abs(want.rgb.astype(int) - got.rgb).max(axis=-1)
    assert off.mean() < 1.0 and (off > 24).mean() < 5e-3
    assert (want.segmentation != got.segmentation).mean() < 2e-5
    assert mean_ssim(want.rgb, got.rgb) >= 0.99


def mean_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The structural similarity, averaged over all pixels."""
    return float(ssim(a, b).mean())


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004) of grey pictures, Gaussian window of 1.5 pixels, pixel by pixel."""
    from scipy.ndimage import gaussian_filter

    def blur(x: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(x, sigma=(0, 1.5, 1.5)))

    x, y = a.mean(axis=-1), b.mean(axis=-1)
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.asarray((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))


def test_the_number_of_threads_changes_nothing() -> None:
    scenes = ScenePrior(tabletop_prior()).sample_batch(np.random.default_rng(0), 100)
    config = RenderConfig(scenes.kinds)
    with RasterRenderer(config, workers=1) as one, RasterRenderer(config, workers=3) as three:
        assert np.array_equal(one.render(scenes), three.render(scenes))


def test_no_pixel_is_left_out_between_triangles() -> None:
    """Planks and their triangles share edges: on the bare table, everything inside the rim is covered."""
    scenes = ScenePrior(tabletop_prior(max_objects=0)).sample_batch(np.random.default_rng(1), 100)
    with RasterRenderer(RenderConfig(scenes.kinds, height=96, width=96)) as renderer:
        seen = np.isfinite(renderer.render_frames(scenes).depth_m)
    for mask in seen:
        for row in mask[mask.any(axis=1)]:
            columns = np.flatnonzero(row)
            assert len(columns) == columns[-1] - columns[0] + 1, "a convex shape has no holes"


def test_a_camera_among_the_objects_does_no_harm() -> None:
    """Vertices behind the eye and far off the picture must neither crash nor smear over it."""
    near = Orbit(0.3, math.radians(3.0), 0.06, (0.05, 0.0, 0.05))
    scene = Scene(tuple(SceneObject.upright(kind, 0.05 * n, 0.03 * n) for n, kind in enumerate(KINDS)), near)
    config = RenderConfig(KINDS, max_objects=len(KINDS))
    with RasterRenderer(config) as renderer:
        frames = renderer.render_frames(SceneBatch.from_scenes([scene], KINDS))
    assert (frames.depth_m >= 0.019).all()


def test_bright_lights_saturate() -> None:
    scene = Scene((SceneObject.upright("sphere", 0.0, 0.0, colour=(1.0, 1.0, 1.0)),))
    batch = SceneBatch.from_scenes([scene], KINDS)
    batch = replace(batch, light_ambient=np.array([2.0]), light_diffuse=np.array([2.0]))
    with RasterRenderer(RenderConfig(KINDS)) as renderer:
        frames = renderer.render_frames(batch)
    assert (frames.rgb[frames.segmentation == 1] == 255).all()


def test_display_detail_and_bad_workers_are_refused() -> None:
    with pytest.raises(InputError, match="inference detail only"):
        RasterRenderer(RenderConfig(KINDS, detail="display"))
    with pytest.raises(InputError, match="workers is 0"):
        RasterRenderer(RenderConfig(KINDS), workers=0)


def test_auto_takes_it_and_opengl_is_never_touched() -> None:
    assert choose_backend().backend in ("raster", "warp")
    code = (
        "import sys; from air3d.renderers.protocol import RenderConfig\n"
        "from air3d.renderers.raster import RasterRenderer\n"
        "from air3d.scene3d.batch import SceneBatch; from air3d.scene3d.scene import Scene\n"
        "RasterRenderer(RenderConfig(('mug',))).render(SceneBatch.from_scenes([Scene()], ('mug',)))\n"
        "assert not [m for m in sys.modules if m.startswith('OpenGL')]\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_near_plane_crosses_is_cut_there():
    """From just above the table its near triangles reach behind the eye; depth is that of the plane all the same."""
    table = Table(radius_m=0.6, place_radius_m=0.3)
    camera = Orbit(0.3, math.radians(8.0), 0.25, fovy_rad=math.radians(90.0))
    batch = SceneBatch.from_scenes([Scene((), camera, table)])
    with RasterRenderer(RenderConfig((), table, 1, 64, 96)) as renderer:
        frames = renderer.render_frames(batch)
    view = camera.sized(96, 64)
    v, u = np.indices((64, 96))
    rays = np.stack([u - view.matrix[0, 2], view.matrix[1, 2] - v, np.full(u.shape, -view.focal_px[0])], axis=-1)
    rays = (rays / view.focal_px[0]) @ view.frame[:3, :3].T
    eye = view.frame[:3, 3]
    depth = np.where(rays[..., 2] < 0.0, -eye[2] / np.minimum(rays[..., 2], -1e-9), np.inf)
    hit = eye + depth[..., None] * rays
    # Well within a table of 32 corners, and in sight.
    seen = (np.hypot(hit[..., 0], hit[..., 1]) < 0.55) & (depth > 0.03)
    assert seen[-1].all() and seen.mean() > 0.3
    assert frames.depth_m[0][seen] == pytest.approx(depth[seen], rel=1e-3)
    assert frames.rgb[0][seen].min(axis=0).min() > 10
