"""Backend `warp`: the same pictures as `gl`, from any chunking of the batch, and on a machine without OpenGL."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl, probe_warp
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Detail
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene, SceneObject

pytest.importorskip("mujoco_warp")

from air3d.renderers.warp import WarpRenderer

ROOT = Path(__file__).resolve().parents[2]
KINDS = tuple(CATALOG)
SIZE = 64
CONFIG = RenderConfig(KINDS, max_objects=3, height=SIZE, width=SIZE)
STRONG = Perturbation(scale=0.4, colour=0.3, light_angle_rad=0.5, light_level=0.5)

needs_gl = pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL here")
needs_cuda = pytest.mark.skipif(not any(d.startswith("cuda") for d in probe_warp().devices), reason="no CUDA here")

WITHOUT_GL = """
import hashlib, sys
from air3d.renderers.choice import choose_backend, make_renderer
from air3d.renderers.probe import probe_gl, probe_warp
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.scene import Scene, SceneObject

if probe_gl().platform is not None:
    sys.exit(77)
assert choose_backend("display").backend == "warp", choose_backend("display")
scenes = SceneBatch.from_scenes([Scene((SceneObject.upright("mug", 0.0, 0.0),))])
with make_renderer(RenderConfig(("mug",), max_objects=1), "warp") as renderer:
    frames = renderer.render_frames(scenes)
assert (frames.segmentation == 1).sum() > 50
assert "OpenGL" not in sys.modules
print(renderer.name, hashlib.sha256(frames.rgb.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda:0", marks=[pytest.mark.gpu, needs_cuda])])
def renderer(request: pytest.FixtureRequest) -> Iterator[WarpRenderer]:
    with WarpRenderer(CONFIG, request.param) as made:
        yield made


def random_scenes(seed: int, count: int, perturb: Perturbation = STRONG) -> SceneBatch:
    prior = ScenePrior(PriorConfig(kinds=KINDS, min_objects=1, perturb=perturb))
    return prior.sample_batch(np.random.default_rng(seed), count)


def mean_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(B,) structural similarity (Wang et al. 2004) over 7x7 windows, each channel by itself."""

    def mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return uniform_filter(x, (1, 7, 7, 1))[:, 3:-3, 3:-3]

    x, y = a.astype(np.float64), b.astype(np.float64)
    mx, my, sample = mean(x), mean(y), 49.0 / 48.0
    vx, vy, cov = (sample * (mean(p * q) - mean(p) * mean(q)) for p, q in ((x, x), (y, y), (x, y)))
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    similar = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return similar.mean(axis=(1, 2, 3))


@needs_gl
@pytest.mark.parametrize("detail", ["inference", "display"])
@pytest.mark.parametrize("kind", ["pyramid@b16745256486", "shell@c8f3e2c3a1d8", "fins@54de626240c4"])
def test_own_kinds_look_as_in_opengl(kind: str, detail: Detail) -> None:
    """Sheets, textures and leaves on one edge: what the catalog, all closed, has not."""
    scenes = ScenePrior(PriorConfig(kinds=(kind,), min_objects=1)).sample_batch(np.random.default_rng(3), 8)
    config = RenderConfig((kind,), max_objects=3, height=96, width=96, detail=detail)
    with make_renderer(config, "gl") as gl, make_renderer(config, "warp") as warp:
        want, got = gl.render_frames(scenes), warp.render_frames(scenes)
    assert (want.segmentation != got.segmentation).mean() <= 1e-3
    assert mean_ssim(want.rgb, got.rgb).mean() >= (0.98 if detail == "inference" else 0.92)


def share_off(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Share of pixels of which a channel differs by more than 8 of 255."""
    return float((np.abs(a.astype(int) - b) > 8).any(axis=-1).mean())


@needs_gl
@pytest.mark.parametrize("perturb", [Perturbation(), STRONG], ids=["catalog", "perturbed"])
def test_pictures_agree_with_opengl(renderer: WarpRenderer, perturb: Perturbation) -> None:
    scenes = random_scenes(0, 64, perturb)
    with make_renderer(CONFIG, "gl") as reference:
        want = reference.render_frames(scenes)
    got = renderer.render_frames(scenes)
    ssim = mean_ssim(want.rgb, got.rgb)
    # measured: 0.9989 (0.9942), 0.0016 to 0.0018
    assert ssim.mean() >= 0.995 and ssim.min() >= 0.98
    assert share_off(want.rgb, got.rgb) <= 0.005
    assert (want.segmentation != got.segmentation).mean() <= 3e-4
    seen = np.isfinite(want.depth_m) & np.isfinite(got.depth_m)
    assert (np.isfinite(want.depth_m) != np.isfinite(got.depth_m)).mean() <= 3e-4
    off = np.abs(want.depth_m[seen] - got.depth_m[seen]) > 1e-4
    assert off.mean() <= 3e-4, "beyond the pixels on a silhouette, depth is the same number"


@needs_gl
@pytest.mark.parametrize("kind", ["bowl", "teapot", "sphere"])
def test_a_large_object_is_shaded_like_a_small_one(kind: str) -> None:
    """The ray caster's rule for vertex normals compares lengths, which a scale changes."""
    config = RenderConfig((kind,), max_objects=1, height=128, width=128)
    scenes = SceneBatch.from_scenes(
        [Scene((SceneObject.upright(kind, 0.0, 0.0, scale=scale),)) for scale in (0.6, 1.4)]
    )
    with make_renderer(config, "gl") as gl, make_renderer(config, "warp") as warp:
        want, got = gl.render_frames(scenes), warp.render_frames(scenes)
    both = (want.segmentation == 1) & (got.segmentation == 1)
    # measured: 0.01 (sphere) to 0.09 (bowl); with MuJoCo Warp's own normals 0.15 to 0.31 where the scale is 1.4
    assert share_off(want.rgb[1][both[1]], got.rgb[1][both[1]]) <= 0.12
    assert share_off(want.rgb[0][both[0]], got.rgb[0][both[0]]) <= 0.12


@needs_gl
def test_display_pictures_agree_with_opengl() -> None:
    scenes = random_scenes(1, 6)
    config = replace(CONFIG, detail="display", height=96, width=96)
    with make_renderer(config, "gl") as gl, make_renderer(config, "warp") as warp:
        want, got = gl.render_frames(scenes), warp.render_frames(scenes)
    # measured: 0.97; what remains is anti-aliasing, and OpenGL's shadow map on the bowl and the plate
    assert mean_ssim(want.rgb, got.rgb).mean() >= 0.94
    assert (want.segmentation != got.segmentation).mean() <= 3e-4


def test_display_casts_shadows() -> None:
    scenes = SceneBatch.from_scenes([Scene((SceneObject.upright("sphere", 0.0, 0.0),)), Scene()], ("sphere",), 1)
    with make_renderer(RenderConfig(("sphere",), max_objects=1, detail="display"), "warp") as warp:
        frames = warp.render_frames(scenes)
    table = np.isfinite(frames.depth_m[0]) & (frames.segmentation[0] == 0)
    darker = frames.rgb[1].astype(int).sum(axis=-1) - frames.rgb[0].astype(int).sum(axis=-1)
    assert (darker[table] > 60).sum() >= 30


def test_chunks_do_not_show(renderer: WarpRenderer) -> None:
    scenes = random_scenes(2, 7)
    whole = renderer.render_frames(scenes)
    with WarpRenderer(CONFIG, renderer.device, worlds=3) as small:
        pieces = small.render_frames(scenes)
        again = small.render(scenes[4:5])
    for one, other in zip(whole, pieces, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(again[0], whole.rgb[4])


def test_a_colour_of_middle_grey_is_an_objects_own(renderer: WarpRenderer) -> None:
    """MuJoCo reads exactly this grey as "no colour given"."""
    grey, nearly = (Scene((SceneObject.upright("mug", 0.0, 0.0, colour=(c, 0.5, 0.5)),)) for c in (0.5, 0.501))
    a, b = renderer.render(SceneBatch.from_scenes([grey, nearly], KINDS, 3)).astype(int)
    assert np.abs(a - b).max() <= 2


def test_only_present_objects_count_against_the_slots(renderer: WarpRenderer) -> None:
    scenes = random_scenes(3, 5)
    wide = scenes.with_slots(6)
    order = [5, 0, 4, 1, 3, 2]
    moved = replace(
        wide,
        **{name: getattr(wide, name)[:, order] for name in ("kind", "position_m", "rotation_wxyz", "scale", "colour")},
    )
    want, got = renderer.render_frames(scenes), renderer.render_frames(moved)
    assert np.array_equal(got.rgb, want.rgb)
    back = np.array([0, *(n + 1 for n in order)])
    assert np.array_equal(back[got.segmentation], want.segmentation)


def test_an_empty_table_needs_no_slots(renderer: WarpRenderer) -> None:
    scenes = SceneBatch.from_scenes([Scene()], KINDS, 2)
    with WarpRenderer(replace(CONFIG, max_objects=0), renderer.device) as bare:
        assert np.array_equal(bare.render(scenes), renderer.render(scenes))


@needs_gl
def test_wide_images_and_views_from_below() -> None:
    config = RenderConfig(KINDS, max_objects=3, height=40, width=72)
    item = SceneObject.upright("teapot", 0.1, 0.05, 0.4)
    cameras = (Orbit(), Orbit(azimuth_rad=1.0, elevation_rad=math.radians(-30.0)))
    scenes = SceneBatch.from_scenes([Scene((item,), camera) for camera in cameras], KINDS, 3)
    with make_renderer(config, "gl") as gl, make_renderer(config, "warp") as warp:
        want, got = gl.render_frames(scenes), warp.render_frames(scenes)
    assert (want.segmentation != got.segmentation).sum() <= 2
    assert mean_ssim(want.rgb, got.rgb).min() >= 0.97


def test_a_closed_renderer_says_so() -> None:
    made = WarpRenderer(replace(CONFIG, height=8, width=8))
    assert made.device in ("cpu", "cuda:0")
    made.close()
    made.close()
    with pytest.raises(RuntimeError, match="closed"):
        made.render(random_scenes(4, 1))


def test_an_unknown_device_is_one_clear_line() -> None:
    with pytest.raises(InputError, match=r"no device 'cuda:99' here; use one of .*cpu"):
        WarpRenderer(CONFIG, "cuda:99")


def test_without_a_place_for_kernels_it_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = "from air3d.renderers.warp import *; WarpRenderer(RenderConfig(('mug',)))"
    env = {**os.environ, "WARP_CACHE_PATH": str(tmp_path / "file" / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT, check=False, timeout=120
    )
    assert "InputError: renderer 'warp' cannot keep its kernels" in done.stderr.splitlines()[-1]


def test_without_opengl_auto_draws_with_warp_and_says_nothing() -> None:
    env = {**os.environ, "__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent-vendor-folder"}
    env.pop("MUJOCO_GL", None)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GL], capture_output=True, text=True, env=env, cwd=ROOT, check=False, timeout=120
    )
    if done.returncode == 77:
        pytest.skip("OpenGL without EGL works here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    scenes = SceneBatch.from_scenes([Scene((SceneObject.upright("mug", 0.0, 0.0),))])
    with make_renderer(RenderConfig(("mug",), max_objects=1), "warp") as warp:
        want = hashlib.sha256(warp.render(scenes).tobytes()).hexdigest()
    assert done.stdout.split() == ["warp", want]


COMPILE_FOR_CUDA = """
import sys
import warp as wp
from warp._src import context
from air3d.renderers.protocol import RenderConfig
from air3d.renderers.warp import WarpRenderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.scene import Scene, SceneObject

scenes = SceneBatch.from_scenes([Scene((SceneObject.upright("mug", 0.0, 0.0),))])
with WarpRenderer(RenderConfig(("mug",), max_objects=1, height=8, width=8), "cpu") as renderer:
    renderer.render_frames(scenes)
if not context.runtime.toolkit_version:
    sys.exit(77)
used = [module for module in context.user_modules.values() if module.execs]
for module in used:
    for path in wp.compile_aot_module(module, arch=90, module_dir=sys.argv[1], use_ptx=False):
        assert path.suffix == ".cubin", path
        print(module.name, path.stat().st_size)
"""


def test_every_kernel_of_a_picture_compiles_for_an_h200(tmp_path: Path) -> None:
    """NVIDIA's compiler comes with Warp and needs no GPU: to machine code of compute capability 9.0."""
    command = [sys.executable, "-c", COMPILE_FOR_CUDA, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    if done.returncode == 77:
        pytest.skip("this Warp was built without CUDA's compiler")
    assert done.returncode == 0, done.stderr
    sizes = {name: int(size) for name, size in (line.split() for line in done.stdout.splitlines())}
    assert sizes["air3d.renderers.warp_kernels"] > 0
    assert any("render_megakernel" in name for name in sizes)
    assert all(size > 0 for size in sizes.values())
