"""Pictures with depth: told apart where unknown, compared by a density of their own, and read by guides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from air3d.datasets.sensor import MAX_DEPTH_SD_PER_M, beside_step
from air3d.renderers.choice import make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import tabletop_prior
from air3d.scenes.depth import NOTHING_M, deeper, has_depth, sensed, with_depth, without_depth
from air3d.scenes.feedback import Difference
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import to_pixels
from air3d.scenes.refine import RefineConfig, refine
from air3d.scenes.settle import settle
from air3d.scenes.sleep import Slips, dream, sleep_loss
from air3d.scenes.step_guide import StepGuideConfig
from air3d.training.config import recommended_for
from air3d.training.scenes import new_model

PRIOR = tabletop_prior(("mug", "plate"), 0, 2)
SIZES = StepGuideConfig(
    image_size=(32, 24), camera_widths=(4, 4, 4), camera_code=8, widths=(4, 4, 4), head=8, window=8, glimpse=8,
    azimuth_components=2, depth=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> SceneModel:
    torch.manual_seed(0)
    made = SceneModel.of(PRIOR, SIZES, Likelihood())
    for parameter in made.guide.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made


def pictures(depth_m: list[list[float]]) -> Tensor:
    """A picture (1, 5, H, W) of nothing but depth."""
    depth = np.array(depth_m, dtype=np.float32)
    return to_pixels(with_depth(np.zeros((1, *depth.shape, 3), np.uint8), depth[None]))


def test_unknown_depth_is_told_from_known() -> None:
    images = np.full((1, 1, 5, 3), 51, np.uint8)
    joined = with_depth(images, np.array([[[0.5, 0.0, np.inf, np.nan, -1.0]]], np.float32))
    assert has_depth(joined) and not has_depth(images)
    pixels = to_pixels(joined)
    assert (
        pixels[0, :, 0].T.tolist()
        == [pytest.approx([0.2, 0.2, 0.2, 0.5, 1.0])] + [pytest.approx([0.2, 0.2, 0.2, 0.0, 0.0])] * 4
    )
    assert torch.equal(pixels[:, :3], to_pixels(images)), "colours are those of pictures without depth"
    assert without_depth(to_pixels(images))[0, 3:].abs().sum() == 0


def test_what_shows_nothing_counts_as_too_deep_and_what_is_not_measured_as_nothing() -> None:
    further, there = deeper(pictures([[0.6, 0.6, 0.0, 0.0]]), pictures([[0.5, 0.0, 0.5, 0.0]]))
    assert further.flatten().tolist() == pytest.approx([0.1, 0.0, NOTHING_M, 0.0])
    assert there.flatten().tolist() == pytest.approx([0.5, 0.0, 0.5, 0.0])


@pytest.mark.parametrize("depth", [0.5, 2.0])
@pytest.mark.parametrize("noise", ["gaussian", "hyperbolic"])
def test_the_density_of_depth_is_normalised(depth: float, noise: str) -> None:
    """Over what the render may be, at one known pixel: the colours' part is that of the same picture without depth."""
    likelihood = Likelihood(0.2, noise, depth_sd_per_m=0.02)
    image = pictures([[depth, 0.0]])

    def log_density(steps: np.ndarray) -> np.ndarray:
        """At renders so many scales deeper than the image."""
        depths = np.stack([depth + 0.02 * depth**2 * steps, np.full(len(steps), 0.7)], -1)
        renders = to_pixels(with_depth(np.zeros((len(steps), 1, 2, 3), np.uint8), depths[:, None].astype(np.float32)))
        error = likelihood.error(image, renders[None])
        bare = likelihood.log_density(image[:, :3], torch.zeros(1, 1))
        return (likelihood.log_density(image, error) - bare)[0].double().numpy()

    steps = np.linspace(-20.0, 20.0, 20_001)
    total = np.trapezoid(np.exp(log_density(steps)), 0.02 * depth**2 * steps)
    assert total == pytest.approx(1.0, abs=2e-3)
    # Far off it falls like the exponential of the distance, not of its square.
    near, far = log_density(np.array([9.0, 10.0]))
    assert near - far == pytest.approx(1.0, abs=0.02)


def test_colours_count_as_without_depth() -> None:
    rng, likelihood = np.random.default_rng(0), Likelihood()
    images = rng.integers(0, 256, (2, 6, 8, 3)).astype(np.uint8)
    renders = to_pixels(rng.integers(0, 256, (2, 6, 8, 3)).astype(np.uint8))[:, None]
    plain = likelihood.error(to_pixels(images), renders)
    assert likelihood.error(without_depth(to_pixels(images)), without_depth(renders)) == pytest.approx(plain)
    blind = likelihood.log_density(without_depth(to_pixels(images)), plain)
    assert blind == pytest.approx(likelihood.log_prob(plain, 6 * 8 * 3))


def test_dreams_are_measured_as_sensors_do(fits: Callable[[float, str], None]) -> None:
    depth = np.full((400, 12, 16), 1.5, np.float32)
    depth[:, :, 8:] = 1.0
    depth[:, 0] = np.inf
    clean = to_pixels(with_depth(np.zeros((400, 12, 16, 3), np.uint8), depth))
    measured = sensed(clean, torch.Generator().manual_seed(0))
    known = measured[:, 4] > 0
    assert torch.equal(measured[:, :3], clean[:, :3])
    assert (measured[:, 3][~known] == 0).all() and not known[:, 0].any()
    told = known.flatten(1).any(1)
    fits(stats.binomtest(int(told.sum()), 400, 0.5).pvalue, "half are told")
    step = torch.from_numpy(beside_step(depth[0]))
    flat = ~step & torch.from_numpy(np.isfinite(depth[0]))
    assert known[told][:, flat].all(), "depth is lost beside steps alone"
    lost = 1.0 - known[told][:, step & torch.from_numpy(np.isfinite(depth[0]))].double().mean(1)
    assert lost.mean() == pytest.approx(0.5, abs=0.1) and lost.min() < 0.1 and lost.max() > 0.9
    sd = (measured[:, 3] - clean[:, 3])[told][:, flat].std(1)
    ratio = ((measured[:, 3] - clean[:, 3])[told] / clean[:, 3][told].square())[:, flat].std(1) / MAX_DEPTH_SD_PER_M
    fits(stats.kstest(ratio.numpy(), "uniform").pvalue, "the noise is uniform up to the most")
    assert sd.max() > 3 * sd.min()


def test_feedback_shows_how_much_deeper(model: SceneModel) -> None:
    image = pictures([[0.60, 0.5, 0.0, 0.5]])
    render = pictures([[0.57, 1.5, 1.5, 0.0]])
    shown = Difference(model.world, depth=True).show(image, None, None, render)  # type: ignore[arg-type]
    assert shown.channels[0, 3].flatten().tolist() == pytest.approx([0.3, -1.0, 0.0, -1.0], abs=1e-5)
    assert shown.channels.shape[1] == Difference(model.world, depth=True).channels == 4


def test_one_guide_reads_both(model: SceneModel) -> None:
    """Depth changes the answer; where none is known, the answer is that to the colours."""
    with make_renderer(model.render_config, "raster") as renderer:
        painter = model.painter(renderer)
        seen, _ = dream(painter, 4, np.random.default_rng(0))
        assert seen.shape == (4, 5, 24, 32) and seen[:, 4].mean() > 0.3
        images = (255 * seen[:, :3]).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        depth = np.where(seen[:, 4] > 0, seen[:, 3], np.inf).astype(np.float32)
        joined = with_depth(images, np.zeros_like(depth)), with_depth(images, depth)
        plain, blind, sighted = (model.infer(each, renderer).scenes.camera_azimuth_rad for each in (images, *joined))
        assert np.array_equal(plain, blind) and not np.array_equal(plain, sighted)
        found = model.sample(with_depth(images, depth), renderer, 3, torch.Generator().manual_seed(0))
        assert found.log_likelihood.isfinite().all()


def test_both_are_learned_from(model: SceneModel) -> None:
    with make_renderer(model.render_config, "raster") as renderer:
        painter = model.painter(renderer)
        seen, latents = dream(painter, 4, np.random.default_rng(0))
        loss = sleep_loss(model.guide, painter, seen, latents, Slips(), torch.Generator().manual_seed(0))
        loss.total.backward()
    for name in ("camera_encoder.convolutions.0", "second_encoder.convolutions.0", "trunk.down.0", "window.layers.0"):
        gradient = model.guide.get_parameter(f"{name}.weight").grad
        assert gradient is not None and (gradient.abs().sum((0, 2, 3)) > 0).all(), "every channel is read"


def test_a_guide_of_colours_refuses_depth(model: SceneModel) -> None:
    plain = SceneModel.of(PRIOR, replace(SIZES, depth=False), Likelihood())
    images = np.zeros((1, 24, 32, 3), np.uint8)
    with pytest.raises(InputError, match="reads colours alone"):
        plain.infer(with_depth(images, np.ones((1, 24, 32), np.float32)))


def test_refinement_and_falling_compare_depth(model: SceneModel) -> None:
    """An object that colours do not tell from another place along the ray is put right by depth."""
    likelihood = Likelihood(depth_sd_per_m=0.002)
    with make_renderer(model.render_config, "raster") as renderer:
        latents = dream(model.painter(renderer), 6, np.random.default_rng(3))[1]
        truth = model.world.to_batch(latents)
        frames = renderer.render_frames(truth)
        images = with_depth(frames.rgb, frames.depth_m)
        start = replace(truth, position_m=truth.position_m + [0.01, -0.008, 0.0])
        off = []
        for given in (frames.rgb, images):
            done = refine(given, start, model.world, renderer, RefineConfig(60), likelihood)
            off.append(np.median(np.linalg.norm(done.scenes.position_m - truth.position_m, axis=-1)[truth.present]))
        assert off[1] < 0.7 * off[0]
        assert settle(images, truth, renderer, likelihood).fell.any()
    with pytest.raises(InputError, match="images are float32"):
        refine(images[..., :3], start, model.world, renderer, RefineConfig(5), likelihood)


def test_every_image_meets_every_render_with_depth() -> None:
    images = torch.cat([pictures([[0.6, 0.5]]), pictures([[0.7, 0.0]])])
    renders = torch.cat([pictures([[0.61, 0.5]]), pictures([[0.0, 0.5]]), pictures([[0.7, 0.9]])])
    likelihood = Likelihood()
    each = torch.stack([likelihood.error(image[None], renders[None])[0] for image in images])
    assert torch.allclose(likelihood.pairwise_error(images, renders), each)


def test_images_alone_are_learned_from_without_depth() -> None:
    for phase in ("wake", "tune"):
        with pytest.raises(InputError, match="learns from colours alone"):
            new_model(replace(recommended_for(phase), guide=SIZES), PRIOR)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_a_bad_scale_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="depth_sd_per_m is"):
        Likelihood(depth_sd_per_m=value)


def test_the_noise_drawn_is_that_of_the_density(fits: Callable[[float, str], None]) -> None:
    likelihood = Likelihood(0.2, depth_sd_per_m=0.01)
    clean = pictures([[2.0] * 40 + [0.0] * 10] * 50)
    noisy = likelihood.noisy(clean, torch.Generator().manual_seed(0))
    fits(stats.kstest((noisy[:, :3] / 0.2).flatten().numpy(), "norm").pvalue, "colours")
    assert torch.equal(noisy[..., 40:][:, 3:], clean[..., 40:][:, 3:]), "unknown depth stays so"
    scaled = ((noisy[0, 3, :, :40] - 2.0) / 0.04).flatten().numpy()
    grid = np.linspace(-30.0, 30.0, 60_001)
    density = np.exp(1.0 - np.sqrt(1.0 + grid**2))
    cumulated = np.cumsum(density) / density.sum()
    fits(stats.kstest(scaled, lambda x: np.interp(x, grid, cumulated)).pvalue, "depth")
    with pytest.raises(InputError, match="only Gaussian noise can be drawn"):
        Likelihood(noise="hyperbolic").noisy(clean, torch.Generator())
