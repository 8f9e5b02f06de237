"""What the training loops hand on: rates, bounds of gradients, places in schedules, parameters, and which images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.digits import train as digits
from air3d.digits.latents import AirConfig
from air3d.digits.store import make_model
from air3d.digits.train import DigitsTrainConfig
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.disturb import Disturbance
from air3d.scenes.elbo import Problem
from air3d.scenes.learner import EstimatorConfig, Learner, Step
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.sleep import Slips
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.wake import Wake
from air3d.scenes.wake_config import WakeConfig
from air3d.training import mean_image
from air3d.training import scenes as training
from air3d.training.config import TabletopTrainConfig, TrainConfig
from air3d.training.scenes import new_model, rate_factor, train

GUIDE = StepGuideConfig(16, (4, 6, 8), 16, (6, 8, 10), 12, 10, 8, 5, 4, feedback="marks")
WAKE = WakeConfig(candidates=3, own=2, cameras=2, prior_cameras=3, camera_only=1)
CONFIG = TabletopTrainConfig(
    iterations=5, batch=3, warm_up=2, hold=0.4, seed=7, likelihood=Likelihood(0.7), min_visible=0.25, dreams=2,
    guide=GUIDE, slips=Slips(yaw_rad=0.3), wake=WAKE,
    disturb=Disturbance(share=1.0), estimator=EstimatorConfig("lr", samples=2),
)  # fmt: skip


class Taken(NamedTuple):
    """One step of the optimiser: its rates, and the length of the gradient of its first group."""

    rates: list[float]
    norm: float


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Taken]:
    """The steps that Adam takes from now on."""
    steps: list[Taken] = []
    original = torch.optim.Adam.step

    def spy(self: torch.optim.Adam, closure: None = None) -> Any:
        first = [p.grad.flatten() for p in self.param_groups[0]["params"] if p.grad is not None]
        steps.append(Taken([float(group["lr"]) for group in self.param_groups], float(torch.cat(first).norm())))
        return original(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    return steps


def calls(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> list[tuple[Any, ...]]:
    """The arguments of every call of a function from now on."""
    seen: list[tuple[Any, ...]] = []
    original = getattr(where, name)

    def spy(*arguments: Any) -> Any:
        seen.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(where, name, spy)
    return seen


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SceneModel, Renderer, NDArray[np.uint8]]]:
    """An untrained model of tabletops, a renderer, and ten images."""
    monkeypatch.setattr(training, "_MEAN_DREAMS", 8)
    model = new_model(CONFIG, tabletop_prior(("mug", "bowl"), max_objects=2))
    with make_renderer(model.render_config, "analytic") as renderer:
        yield model, renderer, renderer.render(ScenePrior(model.prior).sample_batch(np.random.default_rng(0), 10))


def silent(record: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize("phase", ["sleep", "wake", "tune"])
def test_tabletops(drawn: Any, taken: list[Taken], monkeypatch: pytest.MonkeyPatch, phase: Any) -> None:
    model, renderer, images = drawn
    config = replace(CONFIG, phase=phase)
    monkeypatch.setattr(training, "GRADIENT_NORM", 0.01)
    dreams, losses, noise = (calls(monkeypatch, training, name) for name in ("dream", "sleep_loss", "disturbed"))
    means = calls(monkeypatch, mean_image, "dream")
    awake, tuned = calls(monkeypatch, Wake, "step"), calls(monkeypatch, Learner, "step")
    train(model, None if phase == "sleep" else images, renderer, config, None, {}, silent)
    assert [step.rates for step in taken] == [[pytest.approx(1.5e-3 * rate_factor(config, i))] for i in range(5)]
    assert all(step.norm == pytest.approx(0.01, rel=1e-3) for step in taken), "cut to the bound"
    size = 3 if phase == "sleep" else 2
    assert [(call[1], call[3]) for call in dreams] == 5 * [(size, 0.25)]
    assert [(call[1], call[3]) for call in means] == ([(8, 0.25)] if phase == "sleep" else [])
    assert len(losses) == 5 and all(call[4] == config.slips for call in losses)
    assert len(noise) == 5 and all(call[1] == config.disturb for call in noise)
    for disturbed, loss in zip(noise, losses, strict=True):
        assert not torch.equal(disturbed[0], loss[2]), "what is learned from is disturbed"
    if phase == "wake":
        assert [call[2] for call in awake] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8]) and not tuned
        assert all(call[0].config == WAKE and call[0].likelihood.sigma == 0.7 for call in awake)
        assert all(len(call[1]) == 3 + 1 for call in awake), "a batch, and what serves the camera alone"
    if phase == "tune":
        assert len(tuned) == 5 and not awake
        for learner, problem in tuned:
            assert learner.config == config.estimator and problem.schedule is None
            assert problem.likelihood.sigma == 0.7 and len(problem.images) == 3


def test_single_objects(
    taken: list[Taken], monkeypatch: pytest.MonkeyPatch, small_guide: Any, prior: Any, pictures: Any
) -> None:
    config = TrainConfig(iterations=20, batch=4, guide=small_guide, estimator=EstimatorConfig("lr", samples=2))
    problems: list[Problem] = []
    original = Learner.step

    def spy(self: Learner, problem: Problem) -> Step:
        problems.append(problem)
        assert self.config == config.estimator
        return original(self, problem)

    monkeypatch.setattr(Learner, "step", spy)
    monkeypatch.setattr(training, "GRADIENT_NORM", 0.01)
    images = pictures.images
    model = new_model(config, prior, images)
    with make_renderer(model.render_config, "analytic") as renderer:
        training.train(model, images, renderer, config, None, {}, silent)
    rates = [1e-3 * rate_factor(config, i) for i in range(20)]
    assert [step.rates[0] for step in taken] == pytest.approx(rates) and rates[-1] < 0.5 * rates[0]
    assert all(step.norm <= 0.01 * (1.0 + 1e-3) for step in taken)
    assert [problem.progress for problem in problems] == pytest.approx([i / 20 for i in range(20)])
    assert all(problem.schedule == config.schedule and len(problem.images) == 4 for problem in problems)


@pytest.mark.parametrize("estimator, groups", [("exact", [2e-3]), ("nvil", [2e-3, 0.05])])
def test_digits(taken: list[Taken], bytes_images: NDArray[np.uint8], estimator: Any, groups: list[float]) -> None:
    config = AirConfig(12, window=5, hidden=16, head=12, what=4, codec=10)
    how = DigitsTrainConfig(10, 4, 2e-3, 0.05, clip=0.01, estimator=estimator)
    model = make_model("air", config, 0)
    digits.train(model, torch.from_numpy(bytes_images), how, None, {}, silent)
    for i, step in enumerate(taken):
        factor = digits.learning_rate_factor(i / 10)
        assert step.rates == pytest.approx([rate * factor for rate in groups])
        assert step.norm == pytest.approx(0.0 if estimator == "nvil" and i == 0 else 0.01, rel=1e-3)
    assert len(taken) == 10 and taken[-1].rates[0] < 0.5 * groups[0]


@pytest.mark.parametrize("sleep_until, progress, warm", [(0.5, 0.05, True), (0.5, 0.2, False), (1.0, 0.15, True)])
def test_sleep_begins_with_squared_errors_of_position(
    monkeypatch: pytest.MonkeyPatch, model: Any, pictures: Any, sleep_until: float, progress: float, warm: bool
) -> None:
    """In the first fifth of the sleep that is asked for."""
    from air3d.scenes import one_object
    from air3d.scenes.painter import to_pixels

    fitted = calls(monkeypatch, one_object, "density_loss")
    config = TrainConfig(guide=model.guide.config)
    with make_renderer(model.render_config, "analytic") as renderer:
        images: Tensor = to_pixels(pictures.images[:3])
        problem = Problem(
            model.painter(renderer), images, model.likelihood, config.schedule, progress, torch.Generator()
        )
        Learner(model, EstimatorConfig("lr", samples=2, sleep_until=sleep_until)).step(problem)
    assert [call[3] for call in fitted] == [warm]
