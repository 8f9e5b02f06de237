"""The ELBO and the IWAE bound against the marginal likelihood, on pictures so small that it can be estimated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special, stats

from air3d.networks.encoder import EncoderConfig
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import Bounds, SceneModel
from air3d.scenes.model import bounds as bounds_of
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.painter import to_pixels

Fits = Callable[[float, str], None]

SIZE, SIGMA, PRIOR_SAMPLES, REPEATS = 8, 0.6, 5000, 150


class Setting(NamedTuple):
    model: SceneModel
    renderer: Renderer
    image: NDArray[np.uint8]
    weights: NDArray[np.float64]  # p(x | z) for z from the prior, times exp(-shift)
    shift: float


@pytest.fixture(scope="module")
def setting() -> Iterator[Setting]:
    encoder = EncoderConfig(SIZE, (4,), 8)
    guide = OneLookConfig(encoder, hidden=8, head=8, yaw_components=8, window=4, glimpse=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = SceneModel.of(single_prior(), guide, Likelihood(SIGMA))
        with torch.no_grad():
            for parameter in model.guide.parameters():
                parameter.add_(0.15 * torch.randn(parameter.shape))
    prior = ScenePrior(model.world.prior)
    with make_renderer(model.render_config, "analytic") as renderer:
        image = renderer.render(prior.sample_batch(np.random.default_rng(2), 1))
        others = renderer.render(prior.sample_batch(np.random.default_rng(3), PRIOR_SAMPLES))
        log_p = log_likelihood(image, others)
        yield Setting(model, renderer, image, np.exp(log_p - log_p.max()), float(log_p.max()))


def log_likelihood(image: NDArray[np.uint8], renders: NDArray[np.uint8]) -> NDArray[np.float64]:
    """log N(x | y, sigma^2 I) by SciPy, in float64, of (B, S, S, 3) renders."""
    density = stats.norm.logpdf(image.astype(np.float64) / 255.0, renders.astype(np.float64) / 255.0, SIGMA)
    return np.asarray(density.sum((1, 2, 3)))


def bounds(setting: Setting, samples: int, seed: int) -> Bounds:
    """REPEATS independent estimates for the one image."""
    images = np.repeat(setting.image, REPEATS, axis=0)
    return bounds_of(setting.model.sample(images, setting.renderer, samples, torch.Generator().manual_seed(seed)))


def test_one_sample_by_hand(setting: Setting) -> None:
    """log p(x | z) + log p(z) - log q(z | x), each recomputed in float64 by other means."""
    model = setting.model
    found = bounds_of(model.sample(setting.image, setting.renderer, 5, torch.Generator().manual_seed(0)))
    with torch.no_grad():
        state = model.guide(to_pixels(setting.image))
        latents = model.guide.sample(state, 5, torch.Generator().manual_seed(0))
        log_q = model.guide.log_prob(state, latents)[0].double().numpy()
    renders = setting.renderer.render(model.world.to_batch(model.world.of_one(latents)))
    log_prior = -math.log(3.0) - math.log(math.pi * 0.15**2) - math.log(2.0 * math.pi)
    log_weight = log_likelihood(setting.image, renders) + log_prior - log_q
    assert float(found.elbo[0]) == pytest.approx(log_weight.mean(), abs=2e-3)
    assert float(found.iwae[0]) == pytest.approx(special.logsumexp(log_weight) - math.log(5), abs=2e-3)


def test_the_elbo_is_never_above_the_iwae_bound(setting: Setting) -> None:
    few, one = bounds(setting, 6, 1), bounds(setting, 1, 2)
    assert (few.elbo <= few.iwae + 1e-4).all()
    assert (few.elbo < few.iwae - 1e-3).any()
    assert torch.allclose(one.elbo, one.iwae), "one sample: they are the same"


def test_importance_weights_estimate_the_marginal_without_bias(setting: Setting, fits: Fits) -> None:
    """E[exp(IWAE)] = p(x) for every K: a wrong constant in any density would show here."""
    weight = np.exp(bounds(setting, 20, 3).iwae.double().numpy() - setting.shift)
    p, error = setting.weights.mean(), setting.weights.std(ddof=1) / math.sqrt(PRIOR_SAMPLES)
    q, other = weight.mean(), weight.std(ddof=1) / math.sqrt(len(weight))
    assert math.hypot(error, other) < 0.06 * p, "the bound is worth something"
    fits(2.0 * stats.norm.sf(abs(p - q) / math.hypot(error, other)), f"p(x) is {p:.4f} or {q:.4f}")


def test_the_iwae_bound_grows_towards_the_marginal(setting: Setting) -> None:
    log_p = math.log(setting.weights.mean()) + setting.shift
    slack = 4.0 * setting.weights.std(ddof=1) / math.sqrt(PRIOR_SAMPLES) / setting.weights.mean()
    found = {samples: bounds(setting, samples, 10 + samples).iwae.double().numpy() for samples in (1, 4, 16)}
    mean = {samples: value.mean() for samples, value in found.items()}
    error = {samples: value.std(ddof=1) / math.sqrt(REPEATS) for samples, value in found.items()}
    for less, more in ((1, 4), (4, 16)):
        assert mean[more] - mean[less] > 2.0 * math.hypot(error[less], error[more])
    assert mean[16] - 4.0 * error[16] < log_p + slack
    assert mean[1] < log_p - 0.05, "the ELBO leaves a gap"


def test_chunks_do_not_change_the_answer(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("air3d.scenes.model._CHUNK", 7)
    monkeypatch.setattr("air3d.scenes.model._CHUNK_SAMPLES_OF_ONE", 7)
    found = bounds(setting, 2, 4)
    assert found.elbo.shape == found.iwae.shape == (REPEATS,)
    assert found.elbo.isfinite().all()
    inferred = setting.model.infer(np.repeat(setting.image, 20, axis=0)).scenes
    assert len(inferred) == 20
    assert np.ptp(inferred.position_m[:, 0], axis=0) == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_bad_sigma_is_refused(setting: Setting, sigma: float) -> None:
    with pytest.raises(InputError, match="sigma is"):
        SceneModel.of(setting.model.world.prior, setting.model.guide.config, Likelihood(sigma))
