"""The sensor against the formulas it names: blur, photons, JPEG, depth."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from scipy.stats import chi2

from air3d.datasets.sensor import (
    BEST_JPEG,
    FEWEST_ELECTRONS,
    MAX_BLUR_PX,
    MAX_DEPTH_SD_PER_M,
    READ_NOISE_ELECTRONS,
    WORST_JPEG,
    Exposure,
    Sensor,
    beside_step,
    blurred,
    compressed,
    draw_exposure,
    expose,
    measured_depth,
    noisy,
)
from air3d.scene3d.errors import InputError
from air3d.scene3d.srgb import linear

NAMES = ("blur", "noise", "jpeg", "depth_noise")


def _rngs(seed: int) -> dict[str, np.random.Generator]:
    return {name: np.random.default_rng([seed, k]) for k, name in enumerate(NAMES)}


def test_blur_keeps_the_mean_and_spreads_a_point_by_its_variance():
    light = np.random.default_rng(0).random((40, 30, 3))
    assert np.allclose(blurred(light, 1.7).mean((0, 1)), light.mean((0, 1)), atol=1e-12)
    point = np.zeros((61, 61, 1))
    point[30, 30] = 1.0
    spread, at = blurred(point, 1.7)[..., 0], np.arange(61) - 30
    assert spread.sum(1) @ at**2 == pytest.approx(1.7**2, rel=0.01)


@pytest.mark.parametrize("light", [0.0, 0.1, 0.5, 1.0])
def test_noise_has_the_mean_and_variance_of_the_model(light, fits):
    electrons, n = 300.0, 200_000
    found = noisy(np.full(n, light), electrons, np.random.default_rng(7))
    variance = light / electrons + (READ_NOISE_ELECTRONS / electrons) ** 2
    assert found.mean() == pytest.approx(light, abs=6.0 * np.sqrt(variance / n))
    # Poisson numbers are nearly normal here; their fourth moment adds at most 1 / (E x) to the variance of s^2.
    p = 2.0 * min(chi2.sf(n * found.var() / variance, n), chi2.cdf(n * found.var() / variance, n))
    fits(p, f"variance at {light}")


def test_exposed_pictures_have_noise_in_linear_light():
    rgb = np.full((200, 200, 3), 160, np.uint8)
    taken = expose(rgb, Exposure(white_electrons=500.0), np.random.default_rng(3))
    light = linear(np.array(160 / 255.0))
    expected = light / 500.0 + (READ_NOISE_ELECTRONS / 500.0) ** 2
    assert linear(taken / 255.0).var() == pytest.approx(expected, rel=0.05)
    assert linear(taken / 255.0).mean() == pytest.approx(light, rel=0.01)


def test_jpeg_is_jpeg():
    """Every block of 8x8 holds multiples of the table's steps in its cosine transform, up to rounding of pixels."""
    quality = 30
    grey = np.random.default_rng(0).integers(60, 200, (64, 64)).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    taken = compressed(rgb, quality)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "JPEG", quality=quality)
    table = np.array(Image.open(file).quantization[0]).reshape(8, 8)
    assert table.min() > 8, "steps far above the rounding of pixels"
    blocks = taken[..., 0].reshape(8, 8, 8, 8).transpose(0, 2, 1, 3) - 128.0
    steps = dctn(blocks, axes=(2, 3), norm="ortho") / table
    assert np.abs(steps - np.rint(steps)).max() < 0.25
    assert (
        np.abs(
            dctn(grey.reshape(8, 8, 8, 8).transpose(0, 2, 1, 3) - 128.0, axes=(2, 3), norm="ortho") / table % 1.0 - 0.5
        ).min()
        < 0.05
    ), "the picture itself has others"
    assert expose(rgb, Exposure(jpeg_quality=quality), np.random.default_rng(0)).tobytes() == taken.tobytes()


@pytest.mark.parametrize("z", [0.5, 1.0, 3.0])
def test_depth_noise_grows_with_the_square_of_depth(z, fits):
    sd, n = 1.425e-3, 200
    found = measured_depth(
        np.full((n, n), z, np.float32), Exposure(depth_sd_per_m=sd, hole_share=0.0), np.random.default_rng(5)
    )
    statistic = ((found.astype(np.float64) - z) ** 2).sum() / (sd * z * z) ** 2
    fits(2.0 * min(chi2.sf(statistic, n * n), chi2.cdf(statistic, n * n)), f"depth noise at {z} m")


def test_holes_are_beside_steps_alone():
    depth = np.full((20, 20), 1.0, np.float32)
    depth[:, 10:] = 1.5
    depth[15:] = np.inf
    edge = beside_step(depth)
    expected = np.zeros((20, 20), bool)
    expected[:15, 9:11] = True
    expected[14:16] = True
    assert np.array_equal(edge, expected)
    found = measured_depth(depth, Exposure(depth_sd_per_m=1e-6, hole_share=1.0), np.random.default_rng(0))
    assert np.array_equal(np.isinf(found), edge | np.isinf(depth))
    slope = np.broadcast_to(np.linspace(1.0, 1.5, 30, dtype=np.float32), (30, 30))
    assert not beside_step(slope).any()


def test_what_is_off_is_not_drawn_and_changes_nothing():
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    depth = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    off = draw_exposure(Sensor(), {})
    assert off == Exposure()
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert np.array_equal(expose(rgb, off, rng), rgb)
    assert np.array_equal(measured_depth(depth, off, rng), depth)
    assert rng.bit_generator.state == before


def test_one_effect_does_not_shift_another():
    every = draw_exposure(Sensor(1.0, 1.0, 1.0, 1.0), _rngs(4))
    one = draw_exposure(Sensor(jpeg=1.0), _rngs(4))
    assert one == Exposure(jpeg_quality=every.jpeg_quality)


def test_strength_bounds_what_is_drawn():
    drawn = [draw_exposure(Sensor(0.5, 0.5, 0.5, 0.5), _rngs(seed)) for seed in range(300)]
    most = np.array([(e.blur_sd_px, e.white_electrons**-0.5, -e.jpeg_quality, e.depth_sd_per_m) for e in drawn]).max(0)
    quality = (BEST_JPEG + WORST_JPEG) / 2
    bounds = np.array([MAX_BLUR_PX / 2, FEWEST_ELECTRONS**-0.5 / 2, -quality, MAX_DEPTH_SD_PER_M / 2])
    assert (most <= bounds + 1e-12).all()
    assert (most[[0, 1, 3]] > 0.95 * bounds[[0, 1, 3]]).all() and most[2] >= -quality - 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "much"])
def test_bad_strengths_are_refused(name, value):
    with pytest.raises(InputError, match=f"sensor: {name}"):
        Sensor(**{name: value})
