"""The weights of settled tabletops and of real objects, on scenes nobody has seen."""

from __future__ import annotations

import numpy as np
import pytest

from air3d.evaluation.answers import answer, likeliest_place
from air3d.evaluation.evaluate import answer_metrics
from air3d.renderers.choice import make_renderer
from air3d.scene3d.pool import ScenePool
from air3d.scenes.depth import with_depth
from air3d.scenes.refine import RefineConfig
from air3d.scenes.store import load_model


@pytest.mark.parametrize("table", ["round", "rectangle", "square"])
def test_settled_crockery_is_read_on_every_table(table: str) -> None:
    model = load_model("tabletop-settled").model
    number, place = next((i, p) for i, p in enumerate(model.places) if p.prior.table.shape == table)
    truth = ScenePool.fill(place.prior, 48, 727272, 2).sample_batch(np.random.default_rng(0), 48)
    with make_renderer(place.render_config) as renderer:
        images = renderer.render(truth)
        metrics = []
        for refinement in (None, RefineConfig(300)):
            found = answer(place, renderer, images, refinement)
            metrics.append(answer_metrics(images, truth, found.scenes, renderer.render(found.scenes), found.presence))
    before, after = metrics
    assert truth.present.sum(1).max() == 6 and (truth.tilt_rad[truth.present] > 0.1).mean() > 0.2
    assert before["camera_error_rad"]["azimuth"] < np.radians(0.5)
    assert before["count_accuracy"] > 0.6 and before["position_error_m"]["median"] < 0.015
    assert after["position_error_m"]["median"] < before["position_error_m"]["median"]
    assert after["mssd_ap"] > before["mssd_ap"] + 0.01
    renderers = [make_renderer(each.render_config) for each in model.places]
    assert (likeliest_place(model, renderers, images) == number).mean() > 0.95
    for each in renderers:
        each.close()


def test_real_objects_are_read_from_colours_alone_and_better_with_depth() -> None:
    model = load_model("ycb").model
    truth = ScenePool.fill(model.prior, 40, 626262, 2).sample_batch(np.random.default_rng(0), 40)
    with make_renderer(model.render_config) as renderer:
        frames = renderer.render_frames(truth)
        found = []
        for pictures in (frames.rgb, with_depth(frames.rgb, frames.depth_m)):
            seen = answer(model, renderer, pictures)
            metrics = answer_metrics(frames.rgb, truth, seen.scenes, renderer.render(seen.scenes), seen.presence)
            found.append((metrics, seen))
    (colours, _), (depth, _) = found
    assert truth.present.sum(1).min() == 1 and model.image_size == (160, 120)
    for metrics in (colours, depth):
        assert metrics["count_accuracy"] > 0.6 and metrics["camera_error_rad"]["azimuth"] < np.radians(2.0)
    assert depth["position_error_m"]["median"] < colours["position_error_m"]["median"] + 0.002
