"""Simulation-based calibration: right where the posterior is, and told where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import stats

from air3d.evaluation.evaluate import simulated_calibration
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.resample_move import ResampleMove, Samples

SCENES, SAMPLES = 300, 40


class Known:
    """A model whose posterior of the camera's distance is known: the true one, or one that is too narrow."""

    device = torch.device("cpu")
    likelihood = Likelihood(0.1)

    def __init__(self, truth: SceneBatch, wide: float) -> None:
        self.truth, self.wide, self.seen = truth, wide, torch.zeros(0)

    def pixels(self, images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0

    def posterior(self, pixels: torch.Tensor, renderer: Any, config: ResampleMove, generator: Any) -> Samples:
        self.seen = pixels
        rng, scenes = np.random.default_rng(1), self.truth[np.repeat(np.arange(SCENES), SAMPLES)]
        middle = np.repeat(rng.normal(size=SCENES), SAMPLES)
        scenes.camera_distance_m[:] += 0.01 * (middle + self.wide * rng.normal(size=len(scenes)))
        worth = np.where(np.arange(SCENES) < 90, 10.0, 30.0)
        return Samples(scenes, torch.zeros(SCENES, SAMPLES), worth, np.full(SCENES, 0.25), 0)


def measured(wide: float) -> tuple[dict[str, Any], Known]:
    truth = ScenePrior(tabletop_prior()).sample_batch(np.random.default_rng(0), SCENES)
    model, images = Known(truth, wide), np.full((SCENES, 4, 6, 3), 128, np.uint8)
    found = simulated_calibration(model, None, images, truth, ResampleMove(SAMPLES, 2), 5)  # type: ignore[arg-type]
    return found, model


def test_it_covers_as_it_should_and_says_what_the_samples_were_worth(fits: Any) -> None:
    found, model = measured(1.0)
    for level, share in found["camera_distance_m"]["coverage"].items():
        fits(stats.binomtest(round(share * SCENES), SCENES, float(level)).pvalue, level)
    assert (found["samples"], found["moves"], found["accepted"]) == (SAMPLES, 2, 0.25)
    assert found["effective_samples"] == {"median": 30.0, "p10": 10.0, "share_from_20": 0.7}
    fits(stats.kstest(((model.seen - 128 / 255) / 0.1).flatten().numpy(), "norm").pvalue, "the images have the noise")


def test_a_posterior_that_is_too_sure_is_told() -> None:
    assert measured(0.2)[0]["camera_distance_m"]["coverage"]["0.9"] < 0.5
