"""It learns, from images alone: quickly on ellipsoids, and slowly on MuJoCo's pictures to what is claimed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from air3d.evaluation.metrics import scene_metrics
from air3d.networks.encoder import EncoderConfig
from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl
from air3d.scene3d.presets import single_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.learner import EstimatorConfig
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.schedule import CoarseToFine
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.scenes import new_model, train


def learn(folder: Path, config: TrainConfig, backend: str, scenes: int, held_out: int) -> list[dict[str, Any]]:
    """Metrics on held-out scenes before and after training."""
    prior = single_prior()
    truth = ScenePrior(prior).sample_batch(np.random.default_rng(0), scenes + held_out)
    with make_renderer(SceneModel.of(prior, config.guide, config.likelihood).render_config, backend) as renderer:
        images = renderer.render(truth)
        model = new_model(config, prior, images[:scenes])
        before = scene_metrics(truth[scenes:], model.infer(images[scenes:]).scenes)
        train(
            model,
            images[:scenes],
            renderer,
            config,
            RunFolder(folder, config, {}),
            {},
            lambda record: None,
        )
    return [before, scene_metrics(truth[scenes:], model.infer(images[scenes:]).scenes)]


def test_it_learns_ellipsoids(tmp_path: Path) -> None:
    """Chance is a third of the kinds and 10 cm; other seeds reach .7 to .96 and 2.4 to 4.1 cm."""
    encoder = EncoderConfig(32, (16, 24), 64)
    guide = OneLookConfig(encoder, hidden=64, head=64, yaw_components=8, window=12, glimpse=16)
    schedule = CoarseToFine(spread_start=1.0, spread_end=8.0, anneal=0.8)
    config = TrainConfig(
        iterations=150,
        batch=16,
        estimator=EstimatorConfig("lr", samples=8),
        learning_rate=3e-3,
        schedule=schedule,
        guide=guide,
    )
    before, after = learn(tmp_path / "run", config, "analytic", 500, 150)
    assert before["kinds_accuracy"] < 0.55
    assert before["position_error_m"]["median"] > 0.08
    assert after["kinds_accuracy"] > 0.6
    assert after["position_error_m"]["median"] < 0.055
    log = read_log(tmp_path / "run")
    assert log[-1]["squared_error"] < 0.7 * log[0]["squared_error"]
    assert log[-1]["entropy"] < log[0]["entropy"] - 1.0, "nats"


@pytest.fixture
def _all_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("_all_threads")
@pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL")
def test_it_learns_mujocos_pictures(tmp_path: Path) -> None:
    """A third of the default number of iterations, from random weights, without labels."""
    _, after = learn(tmp_path / "run", TrainConfig(iterations=500), "gl", 2000, 300)
    assert after["kinds_accuracy"] >= 0.95
    assert after["position_error_m"]["median"] <= 0.02
