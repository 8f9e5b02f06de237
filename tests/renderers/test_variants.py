"""Variants of crockery in pictures: they differ from each other, and the backends agree on them."""

from __future__ import annotations

import numpy as np
import pytest

from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.families.crockery import FAMILIES
from air3d.scene3d.families.variants import variants
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject, Table

VIEW = Orbit(azimuth_rad=-0.9, elevation_rad=0.6, distance_m=0.55, look_at_m=(0.0, 0.0, 0.04))
TABLE = Table(0.3, 0.2)


def drawn(family: str, backend: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks of the first six variants, each alone."""
    kinds = variants(family, 6)
    scenes = [Scene((SceneObject.upright(kind, 0.0, 0.0),), VIEW, TABLE) for kind in kinds]
    config = RenderConfig(kinds=kinds, table=TABLE, max_objects=1, height=96, width=96)
    with make_renderer(config, backend=backend, workers=1) as renderer:  # type: ignore[arg-type]
        frames = renderer.render_frames(SceneBatch.from_scenes(scenes, kinds, 1))
    return frames.rgb.astype(int), frames.segmentation > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_no_two_variants_look_alike(family: str) -> None:
    images, masks = drawn(family, "raster")
    for a in range(6):
        for b in range(a):
            either = masks[a] | masks[b]
            outline = (masks[a] & masks[b]).sum() / either.sum()
            colour = abs(images[a] - images[b])[either].mean()
            assert outline < 0.95 or colour > 10.0, (family, a, b)
        assert masks[a].sum() > 300


@pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL context can be made here")
@pytest.mark.parametrize("family", ["mug", "plate", "teapot"])
def test_raster_draws_them_as_opengl_does(family: str) -> None:
    (fast, fast_mask), (reference, mask) = drawn(family, "raster"), drawn(family, "gl")
    overlap = (fast_mask & mask).sum(axis=(1, 2)) / (fast_mask | mask).sum(axis=(1, 2))
    assert overlap.min() > 0.97
    inside = fast_mask & mask
    assert abs(fast - reference)[inside].mean() < 4.0
