"""The model: importance weights by other means, bounds by hand, and the folder on disk."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special, stats

from air3d.cli.metrics_table import print_metrics
from air3d.evaluation.evaluate import evaluate
from air3d.evaluation.tables import facts_table
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.guide import Draw
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import Hypotheses, SceneModel, bounds
from air3d.scenes.painter import to_pixels
from air3d.scenes.store import load_model, save_model

MakeModel = Callable[..., SceneModel]

SIGMA = 0.4


@pytest.fixture(scope="module")
def model(two: PriorConfig, make_model: MakeModel) -> SceneModel:
    return make_model(two, sigma=SIGMA)


@pytest.fixture
def seen(two: PriorConfig, analytic: Renderer) -> NDArray[np.uint8]:
    return analytic.render(ScenePrior(two).sample_batch(np.random.default_rng(0), 3))


def log_likelihood(image: NDArray[np.uint8], renders: NDArray[np.uint8]) -> NDArray[np.float64]:
    """log N(x | y, sigma^2 I) by SciPy, in float64."""
    density = stats.norm.logpdf(image.astype(np.float64) / 255.0, renders.astype(np.float64) / 255.0, SIGMA)
    return np.asarray(density.sum((-3, -2, -1)))


def test_weights_are_prior_times_likelihood_over_proposal(
    model: SceneModel, seen: NDArray[np.uint8], analytic: Renderer
) -> None:
    found = model.sample(seen, analytic, 6, torch.Generator().manual_seed(4))
    assert len(found.scenes) == 18 and found.log_weight.shape == found.log_likelihood.shape == (3, 6)
    with torch.no_grad():
        looked = model.guide.look(to_pixels(seen), model.painter(analytic))
        drawn = looked.draw(6, torch.Generator().manual_seed(4))  # the same draws
    likelihood = log_likelihood(np.repeat(seen, 6, axis=0), analytic.render(found.scenes)).reshape(3, 6)
    expected = likelihood + ScenePrior(model.prior).log_prob(found.scenes).reshape(3, 6) - drawn.log_q.double().numpy()
    assert np.isfinite(expected).sum() >= 6, "the prior allows many of them"
    assert found.log_likelihood.numpy() == pytest.approx(likelihood, abs=0.05)
    assert found.log_weight.numpy() == pytest.approx(expected, abs=0.05)
    assert found.weight == pytest.approx(special.softmax(expected, axis=-1), abs=0.02)


def test_scenes_are_image_major_also_in_chunks(
    model: SceneModel, seen: NDArray[np.uint8], analytic: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for chunk in (1, 7, 512):
        monkeypatch.setattr("air3d.scenes.model._CHUNK_SAMPLES", chunk)
        found = model.sample(seen, analytic, 4, torch.Generator().manual_seed(5))
        again = log_likelihood(np.repeat(seen, 4, axis=0), analytic.render(found.scenes)).reshape(3, 4)
        assert found.log_likelihood.numpy() == pytest.approx(again, abs=0.05)


def test_a_forbidden_scene_weighs_nothing(model: SceneModel, seen: NDArray[np.uint8], analytic: Renderer) -> None:
    """Two objects in one place; beside it a scene that is allowed, and an image with nothing allowed."""
    viewpoint = Viewpoint(torch.zeros(2, 2), torch.full((2, 2, 2), 0.5))
    kind = torch.tensor([[[0, 1], [0, ABSENT]], [[1, 1], [0, 1]]])
    objects = Objects.upright(kind, torch.zeros(2, 2, 2, 2), torch.zeros(2, 2, 2), torch.zeros(2, 2, 2, 0))
    none = torch.zeros(2, 2, 2)
    drawn = Draw(SceneLatents(viewpoint, objects), torch.zeros(2, 2), none, none, none, [])
    found = model._weigh(to_pixels(seen[:2]), model.painter(analytic), drawn)
    assert found.log_weight.isfinite().tolist() == [[False, True], [False, False]]
    assert found.log_likelihood.isfinite().all()
    assert found.weight.tolist() == [[0.0, 1.0], [0.5, 0.5]], "equal where nothing is allowed"
    assert found.allowed.tolist() == [1, 0]
    assert found.effective_samples.tolist() == [1.0, 0.0], "and then they are worth nothing"
    assert "none of the 2 samples" in (found.doubt(1) or "")
    limits = bounds(found)
    assert limits.elbo.isfinite().tolist() == limits.iwae.isfinite().tolist() == [True, False]


def hypotheses(log_weight: Any) -> Hypotheses:
    weight = torch.as_tensor(log_weight, dtype=torch.float64)
    return Hypotheses(None, weight, torch.zeros_like(weight))  # type: ignore[arg-type]


def test_what_weighted_samples_are_worth() -> None:
    log_weight = [[0.0, 0.0, 0.0, 0.0], [0.0, math.log(3.0), -math.inf, -math.inf], [900.0, 0.0, -9.0, 0.0]]
    found = hypotheses([*log_weight, [-math.inf] * 4])
    assert found.effective_samples.tolist() == pytest.approx([4.0, 1.6, 1.0, 0.0]), "(1 + 3)^2 / (1 + 9)"
    assert found.allowed.tolist() == [4, 2, 4, 0]
    assert found.doubt(0) is None and found.doubt(1) is None
    assert "one sample outweighs the other 3 together" in (found.doubt(2) or "")
    assert "none of the 4 samples" in (found.doubt(3) or "")
    assert hypotheses([[0.0]]).doubt(0) is None, "of one sample there is no spread to be told"


def test_bounds_by_hand() -> None:
    """ELBO of the guide confined to what is allowed: mean over the allowed half, plus log 1/2."""
    found = bounds(hypotheses([[0.0, -math.inf, math.log(3.0), -math.inf], [2.0, 2.0, 2.0, 2.0], [-math.inf] * 4]))
    assert found.elbo.tolist() == pytest.approx([0.5 * math.log(3.0) - math.log(2.0), 2.0, -math.inf])
    assert found.iwae.tolist() == pytest.approx([0.0, 2.0, -math.inf])


def test_images_without_an_allowed_sample_are_counted_and_left_out(
    model: SceneModel, seen: NDArray[np.uint8], analytic: Renderer, two: PriorConfig,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The bounds are the others' means; the number stands in the metrics, on the terminal and on the report."""
    original, truth = model.sample, ScenePrior(two).sample_batch(np.random.default_rng(0), len(seen))
    given = torch.tensor([[-1.0, -3.0], [-math.inf, -math.inf], [-5.0, -math.inf]])

    def forbidden(self: SceneModel, *arguments: Any) -> Hypotheses:
        return original(*arguments)._replace(log_weight=given)

    monkeypatch.setattr(SceneModel, "sample", forbidden)
    found = evaluate(model, analytic, seen, truth, 2, 0).metrics
    assert (found["images_without_bound"], found["num_images"]) == (1, 3)
    # Of the third image half of the samples are allowed.
    assert found["elbo"] == pytest.approx((-2.0 + (-5.0 - math.log(2.0))) / 2.0, rel=1e-6)
    third = -5.0 - math.log(2.0)
    assert found["iwae_bound"] == pytest.approx((special.logsumexp([-1.0, -3.0]) - math.log(2.0) + third) / 2.0)
    print_metrics(found)
    assert "the bounds leave out 1 of 3 images" in " ".join(capsys.readouterr().out.split())
    assert "left out of both bounds</th><td>1</td>" in facts_table(found, truth)
    given[0] = given[2] = -math.inf
    found = evaluate(model, analytic, seen, truth, 2, 0).metrics
    assert (found["images_without_bound"], found["elbo"], found["iwae_bound"]) == (3, None, None)


def test_the_confined_elbo_is_the_free_energy_of_the_confined_guide() -> None:
    """By enumeration: q over 5 scenes, of which the prior allows 3; samples in the exact proportions of q."""
    q, p = np.array([0.1, 0.3, 0.2, 0.25, 0.15]), np.array([0.4, 0.0, 0.5, 0.0, 0.1])
    drawn = np.repeat(np.arange(5), np.rint(100 * q).astype(int))
    with np.errstate(divide="ignore"):
        found = bounds(hypotheses((np.log(p) - np.log(q))[drawn][None]))
    confined = np.where(p > 0.0, q, 0.0) / q[p > 0.0].sum()
    keep = confined > 0.0
    expected = (confined[keep] * (np.log(p[keep]) - np.log(confined[keep]))).sum()
    assert float(found.elbo) == pytest.approx(expected)
    assert float(found.iwae) == pytest.approx(math.log(p.sum())), "E_q[p / q] is the whole mass"


def test_iwae_is_above_the_elbo_and_rises_with_k(
    model: SceneModel, seen: NDArray[np.uint8], analytic: Renderer
) -> None:
    """By Jensen's inequality, for every image: groups of the same samples, averaged, never exceed the whole."""
    found = model.sample(seen, analytic, 16, torch.Generator().manual_seed(6))
    whole = bounds(found)
    assert (whole.iwae >= whole.elbo - 1e-9).all() and (whole.iwae > whole.elbo + 1e-3).any()
    last = whole.iwae
    for size in (8, 4, 2):
        groups = bounds(hypotheses(found.log_weight.reshape(3, 16 // size, size).flatten(0, 1)))
        mean = groups.iwae.reshape(3, -1).mean(-1)
        assert (mean <= last + 1e-9).all()
        last = mean


def test_answers_do_not_depend_on_the_chunks(
    model: SceneModel, seen: NDArray[np.uint8], analytic: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.infer(seen, analytic)
    monkeypatch.setattr("air3d.scenes.model._CHUNK", 2)
    parts = model.infer(seen, analytic)
    assert np.array_equal(whole.scenes.kind, parts.scenes.kind)
    assert parts.scenes.position_m == pytest.approx(whole.scenes.position_m, abs=1e-4)
    assert parts.presence == pytest.approx(whole.presence, abs=1e-5)
    assert whole.presence.shape == whole.scenes.kind.shape == (3, 2)
    assert ((whole.presence > 0.0) == whole.scenes.present).all()


def test_a_model_folder_round_trips(
    model: SceneModel, seen: NDArray[np.uint8], analytic: Renderer, tmp_path: Path
) -> None:
    model.guide.mean_image.copy_(to_pixels(seen).mean(0))
    save_model(tmp_path / "model", model, {"made_by": "a test"})
    stored = load_model(str(tmp_path / "model"))
    assert isinstance(stored.model, SceneModel) and not stored.model.guide.training
    assert stored.provenance == {"made_by": "a test"}
    assert (stored.model.prior, stored.model.guide.config, stored.model.likelihood) == (
        model.prior, model.guide.config, Likelihood(SIGMA),
    )  # fmt: skip
    state = model.guide.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in stored.model.guide.state_dict().items())
    one, other = model.infer(seen, analytic), stored.model.infer(seen, analytic)
    assert np.array_equal(one.scenes.position_m, other.scenes.position_m)


def test_a_model_that_looks_at_renders_needs_a_renderer(
    two: PriorConfig, make_model: MakeModel, seen: NDArray[np.uint8], analytic: Renderer
) -> None:
    blind, looking = make_model(two), make_model(two, feedback="difference")
    assert (blind.guide.renders, looking.guide.renders) == (0, 3), "the second look, and one before each of two steps"
    assert blind.infer(seen).scenes.to_scenes() == blind.infer(seen, analytic).scenes.to_scenes()
    with pytest.raises(InputError, match="give it a renderer"):
        looking.infer(seen)


def test_damage_is_noticed_and_named(model: SceneModel, tmp_path: Path) -> None:
    save_model(tmp_path / "model", model, {})
    config = tmp_path / "model" / "config.json"
    good = json.loads(config.read_text())
    for change, problem in (
        ({"track": "digits"}, "needed here"),
        ({"sigma": -1.0}, "sigma is -1.0"),
        ({"guide": good["guide"] | {"image_size": 22}}, "image_size 22"),
        ({"guide": good["guide"] | {"head": 13}}, "tensor 'camera_head"),
        ({"prior": good["prior"] | {"max_objects": 0}}, "at least one object"),
        ({"weights_sha256": hashlib.sha256(b"").hexdigest()}, "damaged"),
    ):
        config.write_text(json.dumps(good | change))
        with pytest.raises(InputError, match=problem) as caught:
            load_model(str(tmp_path / "model"))
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_bad_sigma_is_refused(model: SceneModel, sigma: float) -> None:
    with pytest.raises(InputError, match="sigma is"):
        SceneModel.of(model.prior, model.guide.config, Likelihood(sigma))


def test_a_prior_without_objects_is_refused(model: SceneModel) -> None:
    with pytest.raises(InputError, match="at least one object"):
        SceneModel.of(replace(model.prior, max_objects=0), model.guide.config, Likelihood())
