"""None and one of everything: scenes, objects, images, samples have a natural answer, or a refusal in one line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import air3d
from air3d.datasets.export.glb import scene_glb
from air3d.digits.evaluate import evaluate_digits
from air3d.digits.infer import elbo, infer
from air3d.digits.store import load_digits_model
from air3d.evaluation.answers import answer
from air3d.evaluation.charts import curve_svg, histogram_svg
from air3d.evaluation.evaluate import answer_metrics, evaluate
from air3d.evaluation.posterior import posterior_metrics
from air3d.evaluation.report import Section, write_report
from air3d.evaluation.top_view import top_view_shapes
from air3d.evaluation.top_view_figure import Panel, top_view_figure
from air3d.renderers.choice import make_renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scenes.model import bounds
from air3d.scenes.refine import RefineConfig

KINDS = ("mug", "plate")
# Scenes, slots, objects of each.
SIZES = [(b, n, o) for b in (0, 1) for n in (0, 1) for o in range(n + 1)]


def batch(scenes: int, slots: int, objects: int) -> SceneBatch:
    return SceneBatch.from_scenes([Scene((SceneObject.upright("mug", 0.1, 0.0),) * objects)] * scenes, KINDS, slots)


def strict(values: Any) -> str:
    """As JSON, which knows neither NaN nor infinity."""
    return json.dumps(values, allow_nan=False)


@pytest.mark.parametrize("size, other", list(itertools.product(SIZES, SIZES)))
def test_metrics_of_little(size: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    truth, found = batch(*size), batch(size[0], *other[1:])
    images = np.zeros((len(truth), 16, 16, 3), np.uint8)
    metrics = answer_metrics(images, truth, found, images)
    strict(metrics)
    assert metrics["num_images"] == size[0]
    assert metrics["reconstruction_mse"] == (0.0 if size[0] else None)
    assert metrics["count_accuracy"] == (float(size[2] == other[2]) if size[0] else None)
    assert metrics["mssd_ap"] == (float(other[2]) if size[0] and size[2] else None)
    calibration = posterior_metrics(truth, found, np.ones((len(truth), 1)))
    strict(calibration)
    assert calibration["position_m"]["images"] == size[0] * size[2] * other[2]


def test_priors_of_little() -> None:
    prior = ScenePrior(PriorConfig(KINDS, 0, 0))
    rng = np.random.default_rng(0)
    assert air3d.generate(1, seed=3, prior=prior.config)[0].objects == ()
    for size in (0, 1):
        drawn = prior.sample_batch(rng, size)
        assert len(drawn) == size and drawn.table == prior.config.table
        assert prior.log_prob(drawn).shape == (size,) and np.isfinite(prior.log_prob(drawn)).all()


def test_pictures_of_little() -> None:
    (empty,) = air3d.generate(1, seed=1)
    assert empty.objects == ()
    image = air3d.render([empty], renderer="raster")
    assert image.shape == (1, 64, 64, 3) and image.max() > 0, "the bare table"
    none = air3d.render([], size=16, renderer="raster")
    assert none.shape == (0, 16, 16, 3) and none.dtype == np.uint8
    assert scene_glb(empty)
    assert top_view_shapes(None, empty)
    with pytest.raises(InputError, match="neither a true nor an inferred scene"):
        top_view_shapes(None, None)
    assert top_view_figure([Panel([], None, empty)], ["from above"])
    with pytest.raises(InputError, match="no panels"):
        top_view_figure([], ["from above"])
    assert histogram_svg(np.zeros(0), "error", "cm") == ""
    assert "median 0 cm" in histogram_svg(np.zeros(1), "error", "cm")
    assert "from 0 to 0 nats" in curve_svg([1], [0.0], "loss", "nats", True)
    with pytest.raises(InputError, match="no values"):
        curve_svg([], [], "loss", "nats", False)


@pytest.mark.parametrize("images", [0, 1])
@pytest.mark.parametrize("name", ["tabletop", "single-object"])
def test_answers_to_few_images(name: str, images: int, tmp_path: Path) -> None:
    model = air3d.load(name)
    scene = Scene((SceneObject.upright(model.prior.kinds[0], 0.0, 0.0),), table=model.prior.table)
    truth = SceneBatch.from_scenes([scene] * images, model.prior.kinds, model.prior.max_objects, model.prior.table)
    generator = torch.Generator().manual_seed(0)
    with make_renderer(model.render_config, "raster") as renderer:
        pixels = renderer.render(truth)
        for refinement in (None, RefineConfig(3)):
            found = answer(model, renderer, pixels, refinement)
            assert found.scenes.kind.shape == found.presence.shape == (images, model.prior.max_objects)
            assert np.isfinite(found.seconds_per_image)
        with pytest.raises(InputError, match="samples is 0"):
            evaluate(model, renderer, pixels, truth, bound_samples=0, seed=0)
        drawn = model.sample(pixels, renderer, 1, generator)
        assert drawn.weight.shape == (images, 1) and len(drawn.scenes) == images
        assert bounds(drawn).elbo.shape == (images,)
        result = evaluate(model, renderer, pixels, truth, bound_samples=1, seed=0)
    strict(result.metrics)
    assert (result.metrics["elbo"] is None) == (images == 0)
    page = tmp_path / "report.html"
    write_report(page, "t", pixels, truth, result, [Section("all", "all", range(images))], [], {})
    assert "nan" not in page.read_text()


@pytest.mark.parametrize("images", [0, 1])
def test_answers_to_few_digits(images: int) -> None:
    model = load_digits_model("multi-mnist").model
    size = model.config.canvas
    pixels = np.zeros((images, size, size), np.uint8)
    assert infer(model, pixels).reconstructions.shape == (images, size, size)
    result = evaluate_digits(model, pixels, np.zeros(images, np.int64), 1, 0)
    strict(result.metrics)
    assert (result.metrics["reconstruction_mse"] is None) == (images == 0)
    with pytest.raises(InputError, match="samples is 0"):
        elbo(model, pixels, 0, 0)
