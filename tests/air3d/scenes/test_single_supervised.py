"""The supervised rivals: squared error fails where the answer is ambiguous, maximum likelihood does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from air3d.evaluation.metrics import match, scene_metrics
from air3d.networks.encoder import EncoderConfig
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Table
from air3d.scenes.latents import Objects
from air3d.scenes.one_look import OneLookConfig, single_world
from air3d.scenes.painter import Painter, to_pixels
from air3d.scenes.supervised import Density, Regressor, SupervisedConfig, SupervisedModel
from air3d.training.supervised import train_supervised

SIZE, CHANCE_RAD = 32, np.pi / 8.0


@pytest.fixture(scope="module")
def cubes() -> PriorConfig:
    """A cube, seen from near: four yaws of each picture are equally right. A mug has one."""
    camera = Orbit(distance_m=0.35, elevation_rad=0.9, look_at_m=(0.0, 0.0, 0.05))
    return PriorConfig(("cube", "mug"), 1, 1, table=Table(0.25, 0.02), camera=CameraPrior.fixed(camera))


@pytest.fixture(scope="module")
def toy(cubes: PriorConfig) -> Any:
    scenes = ScenePrior(cubes).sample_batch(np.random.default_rng(0), 1200)
    with make_renderer(RenderConfig(cubes.kinds, cubes.table, 1, SIZE, SIZE), "raster") as renderer:
        return renderer.render(scenes), scenes


@pytest.fixture(scope="module")
def guide() -> OneLookConfig:
    encoder = EncoderConfig(SIZE, (12, 24), 48)
    return OneLookConfig(encoder, hidden=48, head=48, yaw_components=16, window=24, glimpse=48)


def test_regression_fails_on_the_cube_and_the_density_does_not(
    cubes: PriorConfig, toy: Any, guide: OneLookConfig
) -> None:
    images, scenes = toy
    yaw = {}
    for method in ("regression", "density"):
        config = SupervisedConfig(method, iterations=300, batch=48, learning_rate=3e-3, guide=guide)  # type: ignore[arg-type]
        model = train_supervised(images[:1000], scenes[:1000], cubes, config)
        matches, truth = match(scenes[1000:], model.infer(images[1000:])), scenes[1000:]
        assert scene_metrics(truth, model.infer(images[1000:]))["kinds_accuracy"] > 0.98
        assert np.median(matches.position_error_m) < 0.004
        for name in cubes.kinds:
            chosen = (np.array(matches.kind) == name) & matches.same_kind
            yaw[method, name] = float(np.median(matches.yaw_error_rad[chosen]))
    # The error of a uniform guess is uniform between 0 and 45 degrees; its median is 22.5.
    assert yaw["regression", "cube"] > 0.5 * CHANCE_RAD
    assert yaw["density", "cube"] < 0.25 * CHANCE_RAD
    assert yaw["regression", "mug"] < 0.5 * CHANCE_RAD, "where one answer is right, squared error finds it"
    assert yaw["density", "mug"] < 0.5 * CHANCE_RAD


def test_the_minimum_of_squared_error_is_the_mean_direction() -> None:
    """Why it fails: over four labels a quarter turn apart the best constant direction is none at all."""
    labels = 0.3 + torch.arange(4) * torch.pi / 2.0
    direction = torch.zeros(2, requires_grad=True)
    target = torch.stack([labels.cos(), labels.sin()], -1)
    (direction - target).square().sum(-1).mean().backward()
    assert direction.grad is not None
    assert direction.grad.abs().max() < 1e-6


def test_the_networks_are_of_one_size(cubes: PriorConfig, guide: OneLookConfig) -> None:
    """All parts equal those of the guide, but for the last layer of the yaw's head."""
    regressor = Regressor(guide, single_world(cubes))
    ours = {name: tuple(p.shape) for name, p in regressor.guide.named_parameters()}
    theirs = {name: tuple(p.shape) for name, p in Density(guide, single_world(cubes)).guide.named_parameters()}
    assert ours.keys() == theirs.keys()
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert {name.split(".")[0] for name in differing} == {"yaw_head"}
    assert len(differing) == 2, "a weight and a bias"


@pytest.mark.parametrize("method", ["regression", "density"])
def test_training_repeats_and_touches_no_global_state(
    cubes: PriorConfig, toy: Any, guide: OneLookConfig, method: Any
) -> None:
    images, scenes = toy[0][:40], toy[1][:40]
    before, losses = torch.get_rng_state(), []

    def run(seed: int) -> Any:
        config = SupervisedConfig(method, iterations=12, batch=8, seed=seed, guide=guide)
        return train_supervised(images, scenes, cubes, config, lambda i, loss: losses.append((i, loss))).infer(images)

    first, again, other = run(3), run(3), run(4)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(first.position_m, again.position_m) and np.array_equal(first.yaw_rad, again.yaw_rad)
    assert not np.array_equal(first.position_m, other.position_m)
    assert losses[:12] == losses[12:24] != losses[24:]
    assert [i for i, _ in losses[:12]] == list(range(1, 13))
    assert len(first) == 40 and first.slots == 1
    assert np.isfinite(ScenePrior(cubes).log_prob(first)).all()


def test_the_regression_answers_with_the_angle_of_its_direction(cubes: PriorConfig, guide: OneLookConfig) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        regressor = Regressor(guide, single_world(cubes))
    last = regressor.guide.yaw_head[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([-0.2, 0.2]))
    images = np.random.default_rng(2).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    assert SupervisedModel(single_world(cubes), regressor).infer(images).yaw_rad == pytest.approx(
        np.full((3, 1), 0.75 * np.pi)
    )
    pixels = to_pixels(images)
    painter = Painter(single_world(cubes), None, torch.device("cpu"))  # type: ignore[arg-type]
    with torch.no_grad():
        answer = Objects(*(part[:, 0] for part in regressor.answer(pixels, painter).objects))
        exact = Objects.upright(answer.kind, answer.place_m, torch.full((3,), 0.75 * torch.pi))
        kind = torch.nn.functional.cross_entropy(regressor.guide.kind_logits(regressor.guide(pixels)), answer.kind)
        loss = regressor.loss(pixels, exact, 30.0, False)
    short = 1.0 - 0.2 * np.sqrt(2.0)  # right angle, wrong length
    assert float(loss - kind) == pytest.approx(short**2, abs=1e-5)


def test_bad_input_is_refused(cubes: PriorConfig, toy: Any, guide: OneLookConfig) -> None:
    images, scenes = toy[0][:4], toy[1][:4]
    config = SupervisedConfig(iterations=1, guide=guide)
    with pytest.raises(InputError, match="the guide reads at least one of 32x32x3"):
        train_supervised(images[:, :16], scenes, cubes, config)
    with pytest.raises(InputError, match="the guide reads at least one"):
        train_supervised(images[:0], scenes[:0], cubes, config)
    with pytest.raises(InputError, match="needs 4 scenes of one object"):
        train_supervised(images, toy[1][:3], cubes, config)
    with pytest.raises(InputError, match="needs 4 scenes of one object"):
        train_supervised(images, scenes.with_slots(2), cubes, config)
    for values, message in (
        ({"method": "x"}, "use 'regression' or 'density'"),
        ({"iterations": 0}, "iterations 0"),
        ({"batch": 0}, "batch 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"position_weight": float("nan")}, "position_weight is nan"),
        ({"seed": -1}, "seed is -1"),
    ):
        bad: dict[str, Any] = values  # type: ignore[assignment]
        with pytest.raises(InputError, match=message):
            SupervisedConfig(**bad)
