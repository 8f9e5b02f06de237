"""Layers put together by depth are the plain picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior

pytestmark = pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL context can be made here")

KINDS = tuple(CATALOG)


def test_pixel_for_pixel_the_plain_renderer() -> None:
    from air3d.renderers.gl import GlRenderer
    from air3d.renderers.layers import LayersRenderer

    prior = tabletop_prior(KINDS, 0, 4, perturb=True)
    config = RenderConfig(KINDS, prior.table, max_objects=4)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(0), 150)
    # Also objects that stand in one another, which no prior draws but a guide may.
    crowded = replace(scenes, position_m=scenes.position_m * 0.4)
    with GlRenderer(config) as plain, LayersRenderer(config) as layers:
        for batch in (scenes, crowded):
            assert np.array_equal(layers.render(batch), plain.render(batch))
            assert np.array_equal(layers.render_segmentation(batch), plain.render_segmentation(batch))


def test_removing_and_exchanging_objects_costs_no_render() -> None:
    from air3d.renderers.gl import GlRenderer
    from air3d.renderers.layers import LayersRenderer, composite

    config = RenderConfig(KINDS)
    prior = ScenePrior(tabletop_prior(KINDS, 3, 3))
    one = prior.sample_batch(np.random.default_rng(1), 20)
    other = prior.sample_batch(np.random.default_rng(2), 20)
    other = replace(one, **{f: getattr(other, f) for f in ("kind", "position_m", "rotation_wxyz", "scale", "colour")})
    kind = one.kind.copy()
    kind[:, 1] = -1
    swapped = replace(
        one,
        **{
            f: np.where(
                np.arange(3).reshape(1, 3, *[1] * (getattr(one, f).ndim - 2)) == 2, getattr(other, f), getattr(one, f)
            )
            for f in ("kind", "position_m", "rotation_wxyz", "scale", "colour")
        },
    )
    with GlRenderer(config) as plain, LayersRenderer(config) as renderer:
        a, b = renderer.render_layers(one), renderer.render_layers(other)
        absent = a.nearness.copy()
        absent[:, 1] = 0.0
        assert np.array_equal(composite(a._replace(nearness=absent)), plain.render(replace(one, kind=kind)))
        rgb, nearness = a.rgb.copy(), a.nearness.copy()
        rgb[:, 2], nearness[:, 2] = b.rgb[:, 2], b.nearness[:, 2]
        exchanged = a._replace(rgb=rgb, nearness=nearness)
        assert np.array_equal(composite(exchanged), plain.render(swapped))


def test_shadows_are_refused() -> None:
    from air3d.renderers.layers import LayersRenderer

    with pytest.raises(InputError, match="shadows"):
        LayersRenderer(RenderConfig(KINDS, detail="display"))
