"""Posterior samples: against a posterior known in closed form, and each part against NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from air3d.estimators.common import effective_sample_size
from air3d.networks.encoder import EncoderConfig
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.latents import World
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.resample_move import ResampleMove, sorted_slots, systematic, tempered

SIZE, SIGMA, SLOPE = 16, 0.3, 2.0
IMAGES = 6


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model() -> SceneModel:
    guide = OneLookConfig(EncoderConfig(SIZE, (4,), 8), hidden=8, head=8, yaw_components=8, window=4, glimpse=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return SceneModel.of(single_prior(("cube",)), guide, Likelihood(SIGMA))


def test_samples_have_the_posteriors_mean_and_spread(model: SceneModel, fake_renderer: Any) -> None:
    """Pictures are grey, by how far to the right the object stands: x is Gaussian given the image, all else the prior.

    The guide is untrained and knows nothing: its 512 draws are worth some, the moves find the rest.
    """

    def picture(scenes: SceneBatch) -> np.ndarray:
        grey = 0.5 + SLOPE * scenes.position_m[:, 0, 0]
        return np.broadcast_to(grey[:, None, None, None], (len(scenes), SIZE, SIZE, 3))

    truth = np.linspace(-0.05, 0.05, IMAGES)
    grey = np.rint(255.0 * (0.5 + SLOPE * truth)).astype(np.uint8)
    images = np.broadcast_to(grey[:, None, None, None], (IMAGES, SIZE, SIZE, 3))
    renderer = fake_renderer(picture)
    found = model.posterior(images, renderer, ResampleMove(512, 40), seeded())
    x, y = (found.scenes.position_m[:, 0, i].reshape(IMAGES, -1) for i in (0, 1))
    spread = SIGMA / SLOPE / math.sqrt(SIZE * SIZE * 3)
    assert x.mean(1) == pytest.approx((grey / 255.0 - 0.5) / SLOPE, abs=4.0 * spread / math.sqrt(60.0))
    assert x.std(1) == pytest.approx(np.full(IMAGES, spread), rel=0.25)
    # Uniform on the chord of the disc.
    half = np.sqrt(0.15**2 - truth**2)
    assert y.std(1) == pytest.approx(half / math.sqrt(3.0), rel=0.2)
    assert (found.effective_samples > 10.0).all() and (found.effective_samples < 300.0).all()
    assert (found.accepted > 0.02).all() and found.renders == 512 * 41
    rendered = 255.0 * picture(found.scenes)
    error = (
        np.square(np.rint(rendered) / 255.0 - np.repeat(images, 512, axis=0) / 255.0).sum((1, 2, 3)).reshape(IMAGES, -1)
    )
    expected = model.likelihood.log_prob(torch.from_numpy(error), SIZE * SIZE * 3)
    assert found.log_likelihood.numpy() == pytest.approx(expected.numpy(), abs=0.05)


def test_without_moves_it_is_resampling_alone(model: SceneModel, fake_renderer: Any) -> None:
    renderer = fake_renderer(lambda scenes: np.full((len(scenes), SIZE, SIZE, 3), 0.5))
    pixels, painter = torch.full((2, 3, SIZE, SIZE), 128 / 255), model.painter(renderer)
    images = np.full((2, SIZE, SIZE, 3), 128, np.uint8)
    found = model.posterior(images, renderer, ResampleMove(64, 0), seeded(3))
    drawn = model.guide.look(pixels, painter).draw(64, seeded(3))
    known = {tuple(row) for row in drawn.latents.objects.position_m.reshape(-1, 3).tolist()}
    assert {tuple(np.float32(row).tolist()) for row in found.scenes.position_m[:, 0]} <= known
    assert not found.accepted.any()
    again = model.posterior(images, renderer, ResampleMove(64, 0), seeded(3))
    assert np.array_equal(found.scenes.position_m, again.scenes.position_m)


def test_weights_are_flattened_until_they_are_worth_enough() -> None:
    rng = np.random.default_rng(0)
    sharp = torch.from_numpy(100.0 * rng.normal(size=(1, 64)))
    mild = torch.from_numpy(0.3 * rng.normal(size=(1, 64)))
    barred = sharp.clone()
    barred[0, 5:] = -math.inf
    both = tempered(torch.cat([sharp, mild, barred]), 16.0)
    worth = effective_sample_size(both)
    assert float(worth[0]) == pytest.approx(16.0, rel=1e-6)
    assert torch.equal(both[0].argsort(), sharp[0].argsort()), "what weighed more still does"
    ratio = both[0] / sharp[0]
    assert ratio.numpy() == pytest.approx(np.full(64, float(ratio[0]))) and 0.0 < ratio[0] < 0.1
    assert torch.equal(both[1:2], mild) and float(worth[1]) > 16.0, "enough: as they are"
    weight = torch.softmax(both[2], -1)
    assert weight[5:].sum() == 0.0 and float(worth[2]) <= 5.0 + 1e-6, "all that are allowed"


def test_systematic_draws_are_as_many_as_the_weights_say() -> None:
    weight = torch.tensor([[0.5, 0.25, 0.0, 0.25], [0.0, 0.0, 0.0, 1.0]]).double()
    for seed in range(20):
        drawn = systematic(weight, seeded(seed))
        counts = torch.stack([torch.bincount(row, minlength=4) for row in drawn])
        assert counts.tolist() == [[2, 1, 0, 1], [0, 0, 0, 4]]
    uneven = torch.tensor([[0.3, 0.7]]).double()
    counts = [float((systematic(uneven, seeded(seed)) == 0).double().mean()) for seed in range(2000)]
    assert np.mean(counts) == pytest.approx(0.3, abs=0.03)


def test_slots_are_sorted_by_kind_then_place_and_nothing_is_lost() -> None:
    prior = tabletop_prior(("mug", "bowl"), 0, 4)
    world = World(prior)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(0), 50)
    latents = world.from_batch(scenes)
    found = sorted_slots(latents).objects
    for b in range(50):
        here = found.kind[b] != ABSENT
        assert (here.int().diff() <= 0).all(), "empty slots are last"
        rows = [(int(k), float(p[0])) for k, p in zip(found.kind[b][here], found.position_m[b][here], strict=True)]
        assert rows == sorted(rows)
        before, after = ({tuple(p.tolist()) for p in part.rotation_wxyz[b]} for part in (latents.objects, found))
        assert before == after


@pytest.mark.parametrize("change", [{"samples": 1}, {"moves": -1}, {"longest": 0.0}])
def test_bad_parameters_are_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        ResampleMove(**change)
