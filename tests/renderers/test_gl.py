"""What holds for OpenGL beyond the common contract."""

from __future__ import annotations

import gc
import math
from dataclasses import dataclass, replace

import mujoco
import numpy as np
import pytest

from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera import Camera
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.compiler import compile_model
from air3d.scene3d.poses import yawed
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene, SceneObject, Table

pytestmark = pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL context can be made here")

KINDS = tuple(CATALOG)


def test_a_mugs_handle_covers_three_pixels_wherever_it_stands() -> None:
    """At 64x64, pointing at the camera or across the view, from the farthest camera, anywhere on the table."""
    from air3d.renderers.gl import GlRenderer

    prior = tabletop_prior(("mug",), 1, 1)
    batch = ScenePrior(prior).sample_batch(np.random.default_rng(0), 200)
    batch = replace(batch, camera_distance_m=np.full(200, prior.camera.distance_m[1]))
    with GlRenderer(RenderConfig(("mug",), max_objects=1)) as renderer:
        towards = batch.camera_azimuth_rad[:, None]
        away = renderer.render_frames(replace(batch, rotation_wxyz=yawed(towards + math.pi)))
        facing = renderer.render_frames(replace(batch, rotation_wxyz=yawed(towards)))
        across = renderer.render_frames(replace(batch, rotation_wxyz=yawed(towards + math.pi / 2)))
        both = (facing.segmentation == 1) & (away.segmentation == 1)
        nearer = np.zeros_like(away.depth_m)
        np.subtract(away.depth_m, facing.depth_m, out=nearer, where=both)
    in_front = (nearer > 0.01) | ((facing.segmentation == 1) & (away.segmentation == 0))
    beside = (across.segmentation == 1) & (away.segmentation == 0)
    assert in_front.sum(axis=(1, 2)).min() >= 3
    assert beside.sum(axis=(1, 2)).min() >= 3


@pytest.mark.parametrize("prior", [tabletop_prior(), single_prior()], ids=["tabletop", "single"])
def test_the_whole_table_stays_in_view(prior: PriorConfig) -> None:
    from air3d.renderers.gl import GlRenderer

    batch = ScenePrior(prior).sample_batch(np.random.default_rng(1), 200)
    empty = replace(batch, kind=np.full_like(batch.kind, -1))
    with GlRenderer(RenderConfig(prior.kinds, prior.table)) as renderer:
        seen = np.isfinite(renderer.render_frames(empty).depth_m)
    assert not (seen[:, 0].any() or seen[:, -1].any() or seen[:, :, 0].any() or seen[:, :, -1].any())


@dataclass(frozen=True)
class Shifted(SceneBatch):
    """Scenes whose cameras do not look through the middle of the image."""

    def cameras(self, width: int, height: int) -> Camera:
        camera = super().cameras(width, height)
        return replace(camera, matrix=camera.matrix + [[0.0, 0.0, 9.0], [0.0, 0.0, -14.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("detail", ["inference", "display"])
def test_same_pixels_as_mujocos_own_renderer(detail: str, shifted: bool) -> None:
    """Writing the scene structs directly must draw what `mujoco.Renderer` draws of the same model."""
    from air3d.renderers.gl import GlRenderer

    prior = tabletop_prior(
        KINDS, 3, 3, perturb=Perturbation(scale=0.1, colour=0.1, light_level=0.15, lamps=0.5, texture=0.7)
    )
    batch = ScenePrior(prior).sample_batch(np.random.default_rng(2), 12)
    batch = Shifted(**vars(batch)) if shifted else batch
    config = RenderConfig(KINDS, detail=detail, height=96, width=96, varied=True)  # type: ignore[arg-type]
    with GlRenderer(config) as ours:
        images = ours.render(batch)
        flags = {name: ours._scene.flags[getattr(mujoco.mjtRndFlag, name)] for name in _FLAGS}
        compiled = compile_model(KINDS, 3, Table(), config.detail, varied=True)
        compiled.model.vis.global_.offwidth = compiled.model.vis.global_.offheight = 96
        data = mujoco.MjData(compiled.model)
        ours._context.make_current()
        scene = mujoco.MjvScene(compiled.model, 100)
        for b in range(12):
            compiled.apply(data, batch, b, 96, 96)
            camera = mujoco.MjvCamera()
            camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
            mask = mujoco.mjtCatBit.mjCAT_ALL.value
            mujoco.mjv_updateScene(compiled.model, data, mujoco.MjvOption(), None, camera, mask, scene)
            scene.flags[:] = 0
            for name, value in flags.items():
                scene.flags[getattr(mujoco.mjtRndFlag, name)] = value
            pixels = np.empty((96, 96, 3), np.uint8)
            viewport = mujoco.MjrRect(0, 0, 96, 96)
            mujoco.mjr_render(viewport, scene, ours._mjr)
            mujoco.mjr_readPixels(pixels, None, viewport, ours._mjr)
            off = np.abs(pixels[::-1].astype(int) - images[b]).max(axis=-1)
            # Poses pass through quaternions on one side only: silhouettes may move by a rounding error.
            assert (off > 2).mean() < 2e-3


_FLAGS = ("mjRND_SHADOW", "mjRND_CULL_FACE", "mjRND_SKYBOX")


def test_display_casts_shadows() -> None:
    from air3d.renderers.gl import GlRenderer

    scenes = SceneBatch.from_scenes([Scene((SceneObject.upright("glass", 0.0, 0.0),)), Scene()], ("glass",), 1)
    with GlRenderer(RenderConfig(("glass",), max_objects=1, height=128, width=128, detail="display")) as renderer:
        frames = renderer.render_frames(scenes)
    table = frames.segmentation[0] == 0
    darker = frames.rgb[1].astype(int).sum(-1) - frames.rgb[0].astype(int).sum(-1)
    assert ((darker > 60) & table).sum() > 50


def test_a_closed_renderer_says_so() -> None:
    from air3d.renderers.gl import GlRenderer

    renderer = GlRenderer(RenderConfig(("mug",), max_objects=1, height=16, width=16))
    batch = SceneBatch.from_scenes([Scene()], ("mug",), 1)
    renderer.render(batch)
    renderer.close()
    renderer.close()
    with pytest.raises(RuntimeError, match="closed"):
        renderer.render(batch)


def test_a_forgotten_renderer_does_not_disturb_another() -> None:
    from air3d.renderers.gl import GlRenderer

    batch = ScenePrior(tabletop_prior(min_objects=3)).sample_batch(np.random.default_rng(3), 4)
    with GlRenderer(RenderConfig(batch.kinds)) as kept:
        before = kept.render(batch)
        GlRenderer(RenderConfig(("mug",), max_objects=1, height=16, width=16))
        gc.collect()
        assert np.array_equal(kept.render(batch), before)
