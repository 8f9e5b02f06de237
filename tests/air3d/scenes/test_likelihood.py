"""Likelihoods, their blur and their temperature, against SciPy; the contract of every noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import integrate, stats
from scipy.ndimage import gaussian_filter1d

from air3d.distributions.pixel_noise import NOISES
from air3d.environments import likelihood as environments
from air3d.environments.config import EnvironmentConfig
from air3d.scene3d.errors import InputError
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.schedule import CoarseToFine, beta_for_effective_samples, beta_for_spread

GAUSSIAN = Likelihood(0.3)


@pytest.fixture(params=NOISES)
def likelihood(request: pytest.FixtureRequest) -> Likelihood:
    return Likelihood(0.3, request.param)


def pair(height: int = 24, width: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images, (2, 3, H, W), and three renders each, (2, 3, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand((2, 3, height, width), generator=generator),
        torch.rand((2, 3, 3, height, width), generator=generator),
    )


def difference(images: torch.Tensor, renders: torch.Tensor) -> NDArray[np.float64]:
    return renders.double().numpy() - images.double().numpy()[:, None]


def test_without_blur_it_is_the_plain_sum() -> None:
    images, renders = pair()
    expected = np.square(difference(images, renders)).sum((2, 3, 4))
    assert GAUSSIAN.error(images, renders).numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("blur_px", [0.35, 0.5, 0.7, 1.0, 2.5, 6.0, 12.0, 40.0])
def test_the_blur_is_a_gaussian_filter_of_the_padded_difference(blur_px: float) -> None:
    """Outside the picture counts as equal, so the difference is filtered with zeros around it.

    Neglected eigenvalues are below 1e-3 on each axis, so the norm is right to about 1e-3 of the unblurred one.
    """
    images, renders = pair()
    images = images.clone()
    images[:, :, 5:15, 8:20] = 0.0  # something that a wide blur keeps
    filtered = difference(images, renders)
    for axis in (-2, -1):
        filtered = gaussian_filter1d(filtered, blur_px, axis=axis, mode="constant", cval=0.0, truncate=10.0)
    expected = np.sqrt(np.square(filtered).sum((2, 3, 4)))
    unblurred = GAUSSIAN.error(images, renders).sqrt().max().item()
    found = GAUSSIAN.error(images, renders, blur_px).sqrt().numpy()
    assert found == pytest.approx(expected, rel=1e-4, abs=2e-3 * unblurred)


def test_the_blur_runs_along_both_axes_of_oblong_pictures() -> None:
    images, renders = torch.zeros(1, 3, 10, 30), torch.zeros(1, 2, 3, 10, 30)
    renders[0, 0, 0, 5, :] = 1.0  # a horizontal line survives blurring along itself
    renders[0, 1, 0, :, 15] = 1.0
    lone = np.zeros(41)
    lone[20] = 1.0
    share = float(np.square(gaussian_filter1d(lone, 1.5)).sum())
    found = GAUSSIAN.error(images, renders, 1.5)[0].numpy()
    assert found[0] == pytest.approx(30 * share, rel=0.1), "30 pixels, a little lost at the ends"
    assert found[1] == pytest.approx(10 * share, rel=0.25)


def test_blurred_a_near_miss_pays() -> None:
    """The reason for the blur: unblurred a displaced object costs twice as much as none."""
    images, renders = torch.zeros(1, 3, 32, 32), torch.zeros(1, 2, 3, 32, 32)
    images[..., 12:16, 10:14] = 1.0
    renders[0, 0, :, 12:16, 16:20] = 1.0  # beside it; render 1 is empty
    sharp, blurred = GAUSSIAN.error(images, renders)[0], GAUSSIAN.error(images, renders, 6.0)[0]
    assert sharp[0] == 2 * sharp[1]
    assert blurred[0] < blurred[1]


def test_the_log_likelihood_is_scipys() -> None:
    images, renders = pair(8, 8)
    sigma = 0.3
    found = Likelihood(sigma).log_prob(Likelihood(sigma).error(images, renders), images[0].numel())
    expected = stats.norm.logpdf(difference(images, renders), 0.0, sigma).sum((2, 3, 4))
    assert found.numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spread", [0.5, 6.0])
def test_the_temperature_gives_the_spread(spread: float) -> None:
    error = 40.0 * torch.rand((16, 8), generator=torch.Generator().manual_seed(1))
    beta = beta_for_spread(error, spread)
    assert float((beta * error).std(-1).mean()) == pytest.approx(spread, rel=1e-5)
    assert np.isfinite(float(beta_for_spread(torch.ones(4, 3), spread))), "equal renders divide by no zero"


def test_the_schedule_goes_from_coarse_to_fine() -> None:
    schedule = CoarseToFine(blur_px=10.0, blur_power=1.5, spread_start=0.5, spread_end=8.0, anneal=0.6)
    times = np.linspace(0.0, 1.0, 101)
    blur = [schedule.blur(t, 64) for t in times]
    spread = [schedule.target(t) for t in times]
    assert blur[0] == 10.0 and blur == sorted(blur, reverse=True)
    assert spread[0] == 0.5 and spread == sorted(spread)
    assert all(b == 0.0 for b, t in zip(blur, times, strict=True) if t >= 0.6)
    assert spread[60:] == pytest.approx([8.0] * 41)
    assert schedule.target(0.3) == pytest.approx(2.0), "geometric: half way is the geometric mean"
    assert schedule.blur(0.3, 64) == pytest.approx(10.0 * 0.5**1.5)
    assert schedule.blur(0.0, 32) == 5.0, "in proportion to the picture"
    assert min(b for b in blur if b > 0.0) >= 0.3


@pytest.mark.parametrize(
    "change",
    [
        {"blur_px": -1.0},
        {"blur_px": math.nan},
        {"blur_power": 0.0},
        {"spread_start": 0.0},
        {"spread_start": 9.0},
        {"spread_end": math.nan},
        {"spread_end": math.inf},
        {"anneal": 0.0},
        {"anneal": 1.5},
    ],
)
def test_bad_schedules_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="schedule"):
        CoarseToFine(**change)


def test_the_effective_samples_are_the_target() -> None:
    error = torch.from_numpy(np.random.default_rng(5).gamma(2.0, 10.0, (6, 16)))
    for target in (1.5, 4.0, 12.0):
        weight = torch.softmax(-beta_for_effective_samples(error, target) * error, dim=-1)
        assert float((1.0 / weight.square().sum(-1)).mean()) == pytest.approx(target, rel=1e-3)


def test_rule_sigma_is_the_likelihoods_own_temperature() -> None:
    schedule = CoarseToFine(temperature="sigma", sigma_start=2.0, sigma_end=0.5, anneal=0.5)
    error = torch.ones(2, 3)
    for t, sigma in ((0.0, 2.0), (0.25, 1.0), (0.5, 0.5), (1.0, 0.5)):
        assert float(schedule.inverse_temperature(error, t)) == pytest.approx(0.5 / sigma**2, rel=1e-6)


@pytest.mark.parametrize("blur_px", [0.0, 2.5])
def test_pairs_by_one_product_are_the_pairs_one_by_one(blur_px: float) -> None:
    rng = np.random.default_rng(6)
    images = torch.from_numpy(rng.random((3, 3, 16, 16))).float()
    renders = torch.from_numpy(rng.random((5, 3, 16, 16))).float()
    each = GAUSSIAN.error(images, renders[None].expand(3, -1, -1, -1, -1), blur_px)
    assert torch.allclose(GAUSSIAN.pairwise_error(images, renders, blur_px), each, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("blur_px", [0.0, 2.0])
def test_the_contract_of_a_likelihood(likelihood: Likelihood, blur_px: float) -> None:
    images, renders = pair()
    error = likelihood.error(images, renders, blur_px)
    assert torch.allclose(likelihood.residuals(images, renders, blur_px).flatten(2).square().sum(-1), error, rtol=1e-5)
    assert (error > 0.0).all() and float(likelihood.error(images, images[:, None], blur_px).max()) < 1e-9
    pairs = likelihood.pairwise_error(images, renders[0], blur_px)
    assert torch.allclose(pairs[0], error[0], rtol=1e-4, atol=1e-3)
    gap = likelihood.log_prob(error, 7) - likelihood.log_prob(torch.zeros_like(error), 7)
    assert torch.allclose(gap, -likelihood.beta * error)


def test_a_noise_is_a_density_and_its_residuals_are_odd_and_rise(likelihood: Likelihood) -> None:
    def density(difference: float) -> float:
        return math.exp(likelihood.log_prob(float(likelihood.residual(np.float64(difference))) ** 2, 1))

    assert integrate.quad(density, -math.inf, math.inf)[0] == pytest.approx(1.0, rel=1e-6)
    differences = np.linspace(-1.0, 1.0, 201)
    residuals = likelihood.residual(differences)
    assert (np.diff(residuals) > 0.0).all() and residuals == pytest.approx(-residuals[::-1])
    assert likelihood.residual(torch.from_numpy(differences)).numpy() == pytest.approx(residuals)


@pytest.mark.parametrize("blur_px", [0.0, 1.5])
def test_environments_compare_pictures_by_the_same_noise(likelihood: Likelihood, blur_px: float) -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), dtype=np.uint8)
    config = EnvironmentConfig(image_size=16, sigma=0.3, blur_px=blur_px, noise=likelihood.noise)
    ours = environments.Likelihood(config)
    images, renders = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255.0 for x in (a, b))
    error = likelihood.error(images, renders[:, None], blur_px)[:, 0]
    assert ours.squared_error(a, b) / 255.0**2 == pytest.approx(error.numpy(), rel=2e-3)
    found = ours.log_prob(ours.squared_error(a, b))
    assert found == pytest.approx(likelihood.log_prob(error, 3 * 16 * 16).numpy(), rel=2e-3, abs=1.0)


def test_hyperbolic_noise_is_scipys() -> None:
    found = Likelihood(0.2, "hyperbolic")
    assert found.residual(1e-3) == pytest.approx(1e-3, rel=1e-4), "small differences count as under Gaussian noise"
    differences = np.linspace(-1.0, 1.0, 11)
    expected = stats.genhyperbolic.logpdf(differences, p=1.0, a=1.0, b=0.0, scale=0.2)
    assert found.log_prob(found.residual(differences) ** 2, 1) == pytest.approx(expected, rel=1e-9)


def test_an_unknown_noise_is_refused() -> None:
    with pytest.raises(InputError, match="noise is 'salt'; use gaussian or "):
        Likelihood(0.3, "salt")
