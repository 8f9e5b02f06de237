"""DRAW and the convolutional autoencoder."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from air3d.digits.cae import Cae, CaeConfig
from air3d.digits.draw import Draw, DrawConfig, gaussian_filters
from air3d.digits.store import make_model
from air3d.scene3d.errors import InputError

DRAW = DrawConfig(12, steps=3, hidden=10, code=4, read=4, write=3, sigma=0.4)


def test_filters_are_those_of_the_paper():
    """Equations 19 to 26 of Gregor et al. 2015, written in numpy with pixels counted from 1 as there."""
    rng = np.random.default_rng(0)
    parameters = 0.5 * rng.standard_normal((6, 5))
    rows, columns, strength = gaussian_filters(torch.from_numpy(parameters), 4, 12)
    for b, (gx, gy, log_variance, log_delta, log_gamma) in enumerate(parameters):
        delta = (12 - 1) / (4 - 1) * math.exp(log_delta)
        for found, g in ((columns, gx), (rows, gy)):
            centre = (12 + 1) / 2 * (g + 1)
            for i in range(1, 5):
                mu = centre + (i - 4 / 2 - 0.5) * delta
                weights = np.exp(-((np.arange(1, 13) - mu) ** 2) / (2 * math.exp(log_variance)))
                assert found[b, i - 1].numpy() == pytest.approx(weights / weights.sum(), abs=1e-5)
        assert float(strength[b]) == pytest.approx(math.exp(log_gamma))


def test_the_bound_is_likelihood_minus_kl():
    model, images = make_model("draw", DRAW, seed=0), torch.rand(5, 12, 12)
    assert isinstance(model, Draw)
    seen = []
    model.posterior.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    painting = model(images, torch.randn(5, 3, 4))
    kl = 0.0
    for out in seen:
        q = torch.distributions.Normal(out[:, :4], torch.nn.functional.softplus(out[:, 4:]))
        kl = kl + torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    likelihood = stats.norm.logpdf(images, painting.picture.detach(), 0.4).sum(axis=(1, 2))
    expected = torch.from_numpy(likelihood) - kl
    assert torch.allclose(model.elbo(images, painting).double(), expected, rtol=1e-4)
    assert len(seen) == 3 and painting.codes.shape == (5, 3, 4)


def test_an_empty_canvas_is_dark_and_every_weight_learns():
    model = make_model("draw", DRAW, seed=0)
    assert isinstance(model, Draw)
    painting = model(torch.rand(5, 12, 12), torch.randn(5, 3, 4))
    assert painting.picture.mean() < 0.1
    model.elbo(torch.rand(5, 12, 12), painting).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("side", [8, 12, 13, 33, 50])
def test_the_autoencoder_fits_every_size(side):
    model = make_model("cae", CaeConfig(side, channels=(4, 6), code=5), seed=0)
    assert isinstance(model, Cae)
    images = torch.rand(3, side, side)
    found = model(images).detach()
    assert found.shape == images.shape
    assert model.encode(images).shape == (3, 5)
    assert torch.equal(found, model.decode(model.encode(images)))
    assert 0.0 <= float(found.min()) and float(found.max()) <= 1.0


def test_bad_sizes_are_refused():
    for config, change in ((DrawConfig, {"steps": 0}), (DrawConfig, {"sigma": 0.0}), (DrawConfig, {"read": 65})):
        with pytest.raises(InputError, match=f"(draw|likelihood): {next(iter(change))}"):
            config(**change)
    for change in ({"canvas": 4}, {"code": 0}, {"channels": ()}, {"channels": (0,)}):
        with pytest.raises(InputError, match="cae"):
            CaeConfig(**change)
