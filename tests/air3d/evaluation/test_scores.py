"""Scores for detection: what fits its own pixels comes first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from air3d.evaluation.scores import detection_scores
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.poses import yawed
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior


def test_an_object_that_is_turned_wrongly_scores_below_the_others_of_its_picture() -> None:
    prior = tabletop_prior(("mug", "bowl"), 2, 3)
    truth = ScenePrior(prior).sample_batch(np.random.default_rng(0), 40)
    first = truth.kind[:, 0] == 0  # a mug, which can be seen to be turned
    yaw = truth.yaw_rad.copy()
    yaw[:, 0] += np.pi / 2.0
    wrong = replace(truth, rotation_wxyz=yawed(yaw))
    with make_renderer(RenderConfig(prior.kinds, prior.table, 3, 96, 96), "raster") as renderer:
        images, frames = renderer.render(truth), renderer.render_frames(wrong)
        exact = renderer.render_frames(truth)
    presence = np.where(truth.present, 0.9, 0.0)
    scores = detection_scores(images, frames.rgb, frames.segmentation, wrong, presence)
    assert (scores <= presence).all() and np.array_equal(scores > 0.0, truth.present)
    others = np.where(truth.present[:, 1:], scores[:, 1:], 0.0).max(axis=1)
    assert (scores[first, 0] < others[first]).mean() > 0.9
    right = detection_scores(images, exact.rgb, exact.segmentation, truth, presence)
    assert right == pytest.approx(presence)


def test_the_score_is_that_of_the_formula() -> None:
    """Two pixels of ten are wrong by a known amount, one of them beside the outline, a third far away."""
    prior = tabletop_prior(("mug",), 1, 1)
    scene = ScenePrior(prior).sample_batch(np.random.default_rng(0), 1)
    segmentation = np.zeros((1, 64, 64), np.uint8)
    segmentation[0, 10, 10:20] = 1
    renders, images = np.zeros((2, 1, 64, 64, 3), np.uint8)
    images[0, 10, 12] = images[0, 11, 15] = images[0, 40, 40] = 51  # 0.2 in each channel
    scores = detection_scores(images, renders, segmentation, scene, np.array([[0.8]]))
    assert scores[0, 0] == pytest.approx(0.8 * np.exp(-(2 * 3 * 0.2**2 / 10) / 0.1))
