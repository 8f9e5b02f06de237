"""The supervised rivals: what they decode is what they were taught, and order matters to one of them alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.networks.encoder import EncoderConfig
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes import supervised
from air3d.scenes.latents import Objects, SceneLatents, World
from air3d.scenes.painter import Painter
from air3d.scenes.supervised import (
    Prediction,
    SetNetwork,
    SupervisedConfig,
    SupervisedTabletop,
)
from air3d.training import supervised as training
from air3d.training.supervised import train_supervised_tabletop

SIZE = 16
TINY = EncoderConfig(SIZE, (4, 8), 16)


@pytest.fixture(scope="module")
def world() -> World:
    return World(tabletop_prior())


@pytest.fixture(scope="module")
def truth(world: World) -> SceneBatch:
    return ScenePrior(world.prior).sample_batch(np.random.default_rng(0), 24)


@pytest.fixture(scope="module")
def painter(world: World) -> Iterator[Painter]:
    config = RenderConfig(world.prior.kinds, world.prior.table, 3, SIZE, SIZE)
    with make_renderer(config, "analytic") as renderer:
        yield Painter(world, renderer, torch.device("cpu"))


@pytest.fixture
def network(world: World) -> SetNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = SetNetwork(SupervisedConfig(hidden=24, encoder=TINY), world)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return made


def said(network: SetNetwork, prediction: Prediction) -> SetNetwork:
    """The same network, but it says this whatever it sees."""
    network.forward = lambda images: prediction  # type: ignore[method-assign,assignment]
    return network


def true_prediction(world: World, scenes: SceneBatch, sure: float = 30.0) -> Prediction:
    """What a network that knows all would say, by the camera's own geometry; N slots as in the labels."""
    b, n = scenes.kind.shape
    place = np.zeros((b, n, 2))
    for i, j in itertools.product(range(b), range(n)):
        values = (float(getattr(scenes, f"camera_{v}")[i]) for v in ("azimuth_rad", "elevation_rad", "distance_m"))
        camera = Orbit(*values, (0.0, 0.0, 0.0), math.radians(40.0))
        (pixel,), _ = camera.sized(SIZE, SIZE).project([[*scenes.position_m[i, j], world.height_m]])
        place[i, j] = (pixel + 0.5) / SIZE - 0.5
    turn = scenes.yaw_rad - scenes.camera_azimuth_rad[:, None]
    elevation = (scenes.camera_elevation_rad - math.radians(25.0)) / math.radians(40.0)
    share = np.stack([elevation, (scenes.camera_distance_m - 0.97) / 0.08], -1)
    azimuth = scenes.camera_azimuth_rad
    camera_part = np.concatenate([np.stack([np.cos(azimuth), np.sin(azimuth)], -1), np.log(share / (1.0 - share))], -1)
    kind = np.where(scenes.kind[..., None] == np.arange(3), sure, -sure)
    presence = np.where(scenes.present, sure, -sure)
    arrays = (camera_part, presence, kind, place, np.stack([np.cos(turn), np.sin(turn)], -1))
    return Prediction(*(torch.from_numpy(array).float() for array in arrays))


def test_the_answer_decodes_what_the_labels_encode(network: SetNetwork, world: World, truth: SceneBatch) -> None:
    images = torch.zeros(24, 3, SIZE, SIZE)
    knowing = said(network, true_prediction(world, truth))
    found = world.to_batch(knowing.answer(images))
    here = truth.present
    assert np.array_equal(found.kind, truth.kind)
    assert found.position_m[here] == pytest.approx(truth.position_m[here], abs=1e-5)
    assert np.exp(1j * (found.yaw_rad - truth.yaw_rad))[here] == pytest.approx(np.ones(here.sum()), abs=1e-5)
    assert np.exp(1j * (found.camera_azimuth_rad - truth.camera_azimuth_rad)) == pytest.approx(np.ones(24), abs=1e-5)
    for name in ("camera_elevation_rad", "camera_distance_m"):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), abs=1e-5)
    for order in ("arbitrary", "matched"):
        assert float(knowing.loss(images, world.from_batch(truth), order)) == pytest.approx(0.0, abs=1e-4)


def shuffled(labels: SceneLatents, order: tuple[int, ...]) -> SceneLatents:
    return labels._replace(objects=Objects(*(part[:, list(order)] for part in labels.objects)))


def test_order_matters_to_the_arbitrary_one_alone(
    network: SetNetwork, world: World, truth: SceneBatch, painter: Painter
) -> None:
    """The matched loss is the least of the arbitrary losses over all orders of the labels, image by image."""
    labels = world.from_batch(truth)
    images = painter.draw(labels)
    orders = list(itertools.permutations(range(3)))
    with torch.no_grad():
        arbitrary = [
            [float(network.loss(*one(images, shuffled(labels, order), b), "arbitrary")) for order in orders]
            for b in range(24)
        ]
        matched = [
            [float(network.loss(*one(images, shuffled(labels, o), b), "matched")) for o in orders] for b in (0, 5)
        ]
        whole = {order: float(network.loss(images, labels, order)) for order in ("arbitrary", "matched")}
    best = np.array(arbitrary).min(1)
    assert whole["matched"] == pytest.approx(best.mean(), rel=1e-4)
    assert whole["arbitrary"] == pytest.approx(np.array(arbitrary)[:, 0].mean(), rel=1e-4)
    assert whole["matched"] < whole["arbitrary"] - 0.01
    for row, b in zip(matched, (0, 5), strict=True):
        assert row == pytest.approx([best[b]] * 6, rel=1e-4), "whatever the order of the labels"
    several = truth.present.sum(1) > 1
    assert (np.ptp(np.array(arbitrary), axis=1)[several] > 1e-3).all()


def one(images: Tensor, labels: SceneLatents, b: int) -> tuple[Tensor, SceneLatents]:
    parts = (type(part)(*(value[b : b + 1] for value in part)) for part in labels)
    return images[b : b + 1], SceneLatents(*parts)  # type: ignore[arg-type]


def test_the_loss_by_hand(network: SetNetwork, world: World) -> None:
    """One mug and one plate named wrong in known ways; the plate's direction costs nothing."""
    scenes = ScenePrior(replace(world.prior, min_objects=2)).sample_batch(np.random.default_rng(4), 1)
    scenes = replace(scenes, kind=np.array([[0, 1, ABSENT]]))
    right = true_prediction(world, scenes, sure=2.0)
    shift, turn = torch.tensor([0.03, -0.04]), right.direction[0, 0].flip(0) * torch.tensor([-1.0, 1.0])
    place, direction = right.place.clone(), right.direction.clone()
    place[0, 0] += shift
    direction[0, 0] = turn  # a quarter turn
    direction[0, 1] = 7.0
    camera = right.camera.clone()
    camera[0, :2] = 0.0
    wrong = said(network, right._replace(place=place, direction=direction, camera=camera))
    loss = float(wrong.loss(torch.zeros(1, 3, SIZE, SIZE), world.from_batch(scenes), "arbitrary"))
    presence = 3.0 * math.log(1.0 + math.exp(-2.0))
    names = 2.0 * math.log(1.0 + 2.0 * math.exp(-4.0))
    assert loss == pytest.approx(presence + names + 30.0 * 0.05**2 + 2.0 + 30.0 * 1.0, rel=1e-4)


def test_the_gradient_reaches_every_parameter(
    network: SetNetwork, world: World, truth: SceneBatch, painter: Painter
) -> None:
    labels = world.from_batch(truth)
    network.loss(painter.draw(labels), labels, "matched").backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and (parameter.grad != 0).any(), name


@pytest.mark.parametrize("order", ["arbitrary", "matched"])
def test_training_repeats_and_touches_no_global_state(
    painter: Painter, monkeypatch: pytest.MonkeyPatch, order: Any
) -> None:
    monkeypatch.setattr(training, "_MEAN_DREAMS", 16)
    before, losses = torch.get_rng_state(), []

    def run(seed: int) -> SupervisedTabletop:
        config = SupervisedConfig(order, 5, 8, hidden=24, seed=seed, encoder=TINY)
        return train_supervised_tabletop(painter, config, lambda i, loss: losses.append((i, loss)))

    first, again, other = run(3), run(3), run(4)
    assert torch.equal(before, torch.get_rng_state())
    assert [i for i, _ in losses[:5]] == list(range(1, 6)) and losses[:5] == losses[5:10] != losses[10:]
    images = painter.renderer.render(ScenePrior(painter.world.prior).sample_batch(np.random.default_rng(1), 5))
    answers = [model.infer(images) for model in (first, again, other)]
    assert np.array_equal(answers[0].position_m, answers[1].position_m)
    assert not np.array_equal(answers[0].position_m, answers[2].position_m)
    assert len(answers[0]) == 5 and answers[0].slots == 3
    mean = first.network.encoder.mean_image
    assert 0.05 < float(mean.mean()) < 0.6, "the mean of dreams is subtracted"


def test_training_learns(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight labelled scenes, shown again and again, are soon known."""
    few = training.dream(painter, 8, np.random.default_rng(0))
    monkeypatch.setattr(training, "dream", lambda *arguments: few)
    losses: list[float] = []
    config = SupervisedConfig("matched", 40, 12, learning_rate=1e-2, hidden=24, encoder=TINY)
    train_supervised_tabletop(painter, config, lambda i, loss: losses.append(loss))
    assert np.mean(losses[-8:]) < np.mean(losses[:4]) - 10.0


def test_chunks_do_not_change_the_answer(
    network: SetNetwork, truth: SceneBatch, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = painter.renderer.render(truth)
    whole = SupervisedTabletop(network).infer(images)
    monkeypatch.setattr(supervised, "_CHUNK", 7)
    parts = SupervisedTabletop(network).infer(images)
    assert np.array_equal(whole.kind, parts.kind)
    assert parts.position_m == pytest.approx(whole.position_m, abs=1e-4)


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"order": "sorted"}, "use 'arbitrary' or 'matched'"),
        ({"iterations": 0}, "must be at least 1"),
        ({"batch": 0}, "must be at least 1"),
        ({"hidden": 0}, "must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        SupervisedConfig(**change)
