"""The likelihood and the bound, end to end, against float64 NumPy on saved pictures and against enumeration."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from air3d.cli.main import main
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scene3d.scene_json import scene_to_json
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import Hypotheses, SceneModel, bounds
from air3d.scenes.painter import to_pixels
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.store import save_model

SIZE = 16


def log_normal(image: NDArray[np.uint8], render: NDArray[np.uint8], sigma: float) -> float:
    """log N(x | y, sigma^2 I) in float64, number by number."""
    z = (image.astype(np.float64) - render.astype(np.float64)) / 255.0 / sigma
    return float(np.sum(-0.5 * z * z - np.log(sigma) - 0.5 * np.log(2.0 * np.pi)))


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
        return np.asarray(picture)


def test_the_likelihood_of_the_command_line_is_that_of_the_saved_pictures(tmp_path: Path) -> None:
    """`infer --samples` tells log p(x | z) of every scene z that it writes; `render` draws z."""
    guide = StepGuideConfig(
        image_size=SIZE, camera_widths=(4, 6, 8), camera_code=16, widths=(6, 8, 10), head=12, window=10, glimpse=8,
        azimuth_components=5, yaw_components=4,
    )  # fmt: skip
    sigma = 0.17
    model = SceneModel.of(tabletop_prior(("mug", "bowl"), max_objects=2), guide, Likelihood(sigma))
    save_model(tmp_path / "model", model, {})
    truth = Scene((SceneObject.upright("mug", 0.05, -0.02, yaw_rad=0.4), SceneObject.upright("bowl", -0.1, 0.05)))
    (tmp_path / "truth.json").write_text(scene_to_json(truth))
    render = ["--size", str(SIZE), "--detail", "inference", "--renderer", "analytic"]
    assert main(["render", str(tmp_path / "truth.json"), str(tmp_path / "x.png"), *render]) == 0
    infer = ["infer", str(tmp_path / "model"), str(tmp_path / "x.png"), "--out", str(tmp_path / "out")]
    assert main([*infer, "--samples", "4", "--seed", "5", "--renderer", "analytic"]) == 0
    samples = json.loads((tmp_path / "out" / "x.samples.json").read_text())["samples"]
    assert len(samples) == 4
    seen = set()
    for k, sample in enumerate(samples):
        (tmp_path / f"{k}.json").write_text(json.dumps(sample["scene"]))
        assert main(["render", str(tmp_path / f"{k}.json"), str(tmp_path / f"{k}.png"), *render]) == 0
        expected = log_normal(pixels(tmp_path / "x.png"), pixels(tmp_path / f"{k}.png"), sigma)
        assert sample["log_likelihood"] == pytest.approx(expected, rel=1e-5, abs=1e-2)
        seen.add(round(expected))
    assert len(seen) > 1, "scenes that differ in likelihood"


@pytest.fixture(scope="module")
def toy() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eight scenes, equally likely: log p(x, z) of one noisy picture for each; and a guide's log q(z | x)."""
    scenes = ScenePrior(single_prior()).sample_batch(np.random.default_rng(8), 8)
    config = RenderConfig(scenes.kinds, scenes[np.array([0])].to_scenes()[0].table, scenes.slots, SIZE, SIZE)
    with make_renderer(config, "analytic") as renderer:
        renders = renderer.render(SceneBatch.from_scenes(scenes.to_scenes(), scenes.kinds, scenes.slots))
    noise = np.random.default_rng(9).normal(0.0, 25.0, renders[0].shape)
    image = np.clip(renders[3] + noise, 0, 255).astype(np.uint8)
    sigma = 1.5  # so wide that several scenes explain the picture
    error = Likelihood(sigma).error(to_pixels(image[None]), to_pixels(renders)[None])
    found = Likelihood(sigma).log_prob(error, image.size)[0].double().numpy()
    expected = [log_normal(image, render, sigma) for render in renders]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    log_q = np.log(np.random.default_rng(10).dirichlet(np.full(8, 2.0)))
    return found - math.log(8.0), log_q


def expected_bound(toy: Any, samples: int) -> float:
    """E[IWAE bound] of `samples` samples: every outcome, weighted by its probability. No chance is left."""
    log_p, log_q = toy
    outcomes = np.array(list(itertools.product(range(len(log_p)), repeat=samples)))
    log_weight = torch.from_numpy((log_p - log_q)[outcomes])
    found = bounds(Hypotheses(None, log_weight, log_weight)).iwae.numpy()  # type: ignore[arg-type]
    return float(np.sum(np.exp(log_q[outcomes].sum(1)) * found))


def test_the_bound_rises_with_every_sample_and_stays_below_the_marginal(toy: Any) -> None:
    log_p, log_q = toy
    marginal = float(np.logaddexp.reduce(log_p))
    rising = [expected_bound(toy, samples) for samples in (1, 2, 3, 4, 5)]
    assert rising[0] == pytest.approx(float(np.sum(np.exp(log_q) * (log_p - log_q)))), "one sample: the ELBO"
    assert all(more > less + 1e-4 for less, more in itertools.pairwise(rising))
    assert rising[-1] < marginal
    assert rising[-1] > marginal - 0.5 * (marginal - rising[0]), "it closes in on it"


def test_the_mean_weight_is_the_marginal_exactly(toy: Any) -> None:
    """E[exp(bound)] = p(x) for every K: the bound's constant is right."""
    log_p, log_q = toy
    for samples in (1, 3):
        outcomes = np.array(list(itertools.product(range(len(log_p)), repeat=samples)))
        log_weight = torch.from_numpy((log_p - log_q)[outcomes])
        found = bounds(Hypotheses(None, log_weight, log_weight)).iwae.numpy()  # type: ignore[arg-type]
        mean = np.logaddexp.reduce(log_q[outcomes].sum(1) + found)
        assert mean == pytest.approx(float(np.logaddexp.reduce(log_p)), abs=1e-9)
