"""What teaches and what is measured never draw from one random stream, whatever seeds they are given."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from air3d.datasets.generation import scene_rng
from air3d.renderers.choice import make_renderer
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.supervised import TabletopSupervisedConfig
from air3d.training import learning_film, mean_image, supervised
from air3d.training import scenes as training
from air3d.training.config import TabletopTrainConfig
from air3d.training.processes import ALONE
from air3d.training.scenes import new_model, train
from air3d.training.shares import Shares
from air3d.training.supervised import train_supervised_tabletop
from experiments.multi_mnist import plan as multi_mnist
from experiments.single_object import plan as single_object
from experiments.tabletop import plan

SEEDS = (0, 1, 2, 7, 200, 300, 302, 2**31, 2**32 - 1, 2**32, 2**40 + 3)
INDICES = (0, 1, 2, 3, 31, 32, 1000)
GUIDE = StepGuideConfig(16, (4, 6, 8), 16, (6, 8, 10), 12, 10, 8, 5, 4, feedback="marks")


def begins(rng: np.random.Generator) -> bytes:
    """256 bits, which two streams share only if they are one."""
    return rng.bytes(32)


def scenes_of_datasets() -> Iterator[tuple[str, np.random.Generator]]:
    for seed, index in itertools.product(SEEDS, INDICES):
        yield f"scene {index} of a dataset with seed {seed}", scene_rng(seed, index)


def dreams_of_a_run(seed: int) -> Iterator[tuple[str, np.random.Generator]]:
    shares = Shares(4, seed, torch.Generator(), ALONE)
    for iteration, share in itertools.product(INDICES, range(4)):
        yield f"iteration {iteration}, share {share} of a run with seed {seed}", shares.rng(share, iteration)
    yield f"the mean image of a run with seed {seed}", np.random.default_rng((seed, 0, 1))


def test_no_scene_of_a_dataset_is_another_or_is_dreamt() -> None:
    """Also where a run has the seed of the dataset that it learns from, or is measured on."""
    seen: dict[bytes, str] = {}
    for name, rng in scenes_of_datasets():
        assert seen.setdefault(begins(rng), name) == name
    datasets = dict(seen)
    film = np.random.default_rng(learning_film._SEED)
    for run in (*(dreams_of_a_run(seed) for seed in SEEDS), iter([("the film", film)])):
        own = dict(datasets)
        for name, rng in run:
            assert own.setdefault(begins(rng), name) == name


def test_what_is_dreamt_in_training_is_in_no_dataset_of_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the scenes that the trainings themselves dream: AIR's, in two shares, and a supervised rival's."""
    azimuths: list[NDArray[np.float64]] = []
    for module in (training, supervised, mean_image):
        original: Callable[..., Any] = module.dream  # type: ignore[attr-defined]

        def spy(*arguments: Any, original: Callable[..., Any] = original) -> Any:
            pictures, latents = original(*arguments)
            azimuths.append(latents.viewpoint.azimuth_rad.double().numpy())
            return pictures, latents

        monkeypatch.setattr(module, "dream", spy)
    for module in (training, supervised):
        monkeypatch.setattr(module, "_MEAN_DREAMS", 8)
    prior, seed = tabletop_prior(("mug", "bowl"), max_objects=2), 5
    config = TabletopTrainConfig(iterations=3, batch=4, seed=seed, shares=2, guide=GUIDE)
    model = new_model(config, prior)
    with make_renderer(model.render_config, "analytic") as renderer:
        train(model, None, renderer, config, None, {}, lambda record: None)
        assert len(azimuths) == 1 + 3 * 2, "a mean image, and a dream for each iteration and share"
        dreamt = np.concatenate(azimuths)
        assert len(np.unique(dreamt.round(6))) == len(dreamt), "no dream twice"
        rival = TabletopSupervisedConfig(iterations=2, batch=4, seed=seed, guide=GUIDE)
        train_supervised_tabletop(model.painter(renderer), rival)
    dreamt = np.concatenate(azimuths)
    generated = [ScenePrior(prior).sample(scene_rng(seed, index)).camera.azimuth_rad for index in range(200)]
    gap = np.abs(dreamt[:, None] - np.array(generated))
    assert gap.min() > 1e-6, "an azimuth that was generated was dreamt"


def test_experiments_have_a_seed_for_each_set() -> None:
    for seeds in (
        (single_object.TRAIN_SEED, single_object.VALIDATION_SEED, single_object.TEST_SEED),
        (plan.TRAIN_SEED, plan.VALIDATION_SEED, plan.TEST_SEED),
        tuple(multi_mnist.SEEDS.values()),
    ):
        assert len(set(seeds)) == len(seeds) == 3
