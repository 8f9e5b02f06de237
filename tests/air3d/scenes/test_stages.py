"""The wake phase by other estimators than weights: each stage's loss from its candidates, and turns by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.distributions.parts import each
from air3d.estimators import lr, nvil, vimco
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.learner import EstimatorConfig
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.schedule import CoarseToFine
from air3d.scenes.soft_prior import object_log_prior
from air3d.scenes.stages import StageEstimator
from air3d.scenes.wake import Wake
from air3d.scenes.wake_cameras import CameraStages
from air3d.scenes.wake_config import WakeConfig
from air3d.training.config import TabletopTrainConfig, recommended_for

SIGMA, WARM, K = 0.3, 0.8, 6
SHARP = CoarseToFine(blur_px=0.0, temperature="sigma", sigma_start=WARM, sigma_end=WARM, anneal=1.0)
CONFIG = WakeConfig(candidates=K, own=2, cameras=2, prior_cameras=5, camera_only=0, schedule=SHARP)
BETA = 0.5 / WARM**2


class Case(NamedTuple):
    wake: Wake
    images: Tensor
    scene: SceneLatents
    before: Tensor


@pytest.fixture
def case(two: PriorConfig, make_model: Callable[..., SceneModel], analytic: Renderer) -> Case:
    """Three images of two objects, of which the first is explained."""
    torch.manual_seed(2)
    model = make_model(two, feedback="difference")
    latents = model.world.from_batch(
        ScenePrior(replace(model.prior, min_objects=2)).sample_batch(np.random.default_rng(0), 3)
    )
    painter = model.painter(analytic)
    images = painter.draw(latents)
    kind = latents.objects.kind.clone()
    kind[:, 1] = ABSENT
    scene = SceneLatents(latents.viewpoint, latents.objects._replace(kind=kind))
    wake = Wake(model.guide, painter, CONFIG, Likelihood(SIGMA), torch.Generator().manual_seed(3))
    return Case(wake, images, scene, painter.draw(scene))


def by(case: Case, name: str, **changes: Any) -> Wake:
    return replace(case.wake, estimator=StageEstimator(name, ImageSize(32, 32)), config=replace(CONFIG, **changes))


def gradients(wake: Wake, loss: Tensor) -> Tensor:
    parameters = list(wake.guide.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(parameters, found, strict=True)]
    )


def kept(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    results: list[Any] = []
    original = getattr(owner, name)

    def spy(self: Any, *arguments: Any) -> Any:
        results.append(original(self, *arguments))
        return results[-1]

    monkeypatch.setattr(owner, name, spy)
    return results


@pytest.mark.parametrize("name", ["lr", "vimco"])
def test_an_object_is_learned_from_draws_of_the_guide_alone(
    case: Case, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The reward is what a candidate gains over the scene as it is, by hand."""
    wake, drawn = by(case, name), kept(monkeypatch, Wake, "_candidates")
    stage = wake._object(case.images, case.scene, case.before, 1, 0.5, 0.0)
    (candidates,) = drawn
    assert candidates.kind.shape == (3, K)
    log_q = wake.guide.log_prob(
        wake.guide.step(case.images, wake.painter, case.scene), case.scene.viewpoint, candidates
    )
    viewpoint, done = case.scene
    gain = torch.empty(3, K)
    for k in range(K):
        objects = Objects(*(part.clone() for part in done))
        for part, value in zip(objects, candidates, strict=True):
            part[:, 1] = value[:, k]
        picture = wake.painter.draw(SceneLatents(viewpoint, objects))
        gain[:, k] = ((case.images - case.before) ** 2 - (case.images - picture) ** 2).sum((1, 2, 3))
    reward = BETA * gain + object_log_prior(wake.painter.world, candidates, done) - log_q.detach()
    surrogate = {"lr": lr.surrogate, "vimco": vimco.surrogate}[name]
    expected = 3.0 * surrogate(log_q, reward).loss
    assert float(stage.objects_loss.detach()) == pytest.approx(float(expected.detach()), rel=2e-3, abs=1e-3)
    found, wanted = gradients(wake, stage.objects_loss), gradients(wake, expected)
    assert float((found - wanted).norm() / wanted.norm()) < 5e-3


def test_a_learned_baseline_belongs_to_its_stage(case: Case) -> None:
    wake = by(case, "lr-nvil")
    baselines = wake.estimator.baselines
    before = {name: baseline.moments.clone() for name, baseline in baselines.items()}
    wake._object(case.images, case.scene, case.before, 1, 0.5, 0.0)
    changed = {name for name, baseline in baselines.items() if not torch.equal(baseline.moments, before[name])}
    assert changed == {"object"} and set(baselines) == {"camera", "object", "scene"}
    log_q, reward = torch.randn(3, K, requires_grad=True), torch.randn(3, K)
    moments = nvil.RunningMoments(*baselines["scene"].moments.clone().unbind())
    found = wake.estimator.loss("scene", case.images, log_q, reward)
    expected, _ = nvil.surrogate(log_q, reward, baselines["scene"].network(case.images)[:, 0], moments)
    assert float(found.detach()) == pytest.approx(float(expected.loss.detach()))


def test_cameras_of_the_empty_table_are_each_images_own(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    wake = by(case, "lr")
    looks = wake.guide.cameras(case.images, wake.painter)
    drawn = kept(monkeypatch, type(looks[0]), "sample")
    chosen, picture, loss, _, renders = wake.cameras.alone(case.images, looks, 0.5, 0.0)
    assert renders == 2 * 3 * K and len(drawn) == 2
    expected = torch.zeros(())
    for look, cameras in zip(looks, drawn, strict=True):
        log_q = look.expand(K).log_prob(cameras)
        empty = wake.painter.draw(SceneLatents(cameras, wake.painter.world.no_objects(cameras, 2)))
        error = ((case.images[:, None] - empty) ** 2).sum((2, 3, 4))
        expected = expected + lr.surrogate(log_q, -BETA * error - math.log(2.0 * math.pi) - log_q.detach()).loss
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-3, abs=1e-3)
    wanted = gradients(wake, expected)
    assert float((gradients(wake, loss) - wanted).norm() / wanted.norm()) < 5e-3
    assert (drawn[-1].azimuth_rad == chosen.azimuth_rad[:, None]).any(1).all()
    assert torch.equal(picture, wake.painter.draw(SceneLatents(chosen, wake.painter.world.no_objects(chosen, 2))))


def test_cameras_with_objects_are_draws_of_the_last_look(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    wake = by(case, "lr")
    looks, (viewpoint, done) = wake.guide.cameras(case.images, wake.painter), case.scene
    seen: list[Viewpoint] = []
    original = CameraStages._moved

    def moving(self: CameraStages, objects: Objects, at: Viewpoint, others: Viewpoint) -> Any:
        seen.append(others)
        return original(self, objects, at, others)

    monkeypatch.setattr(CameraStages, "_moved", moving)
    given = kept(monkeypatch, CameraStages, "_moved")
    rewards: list[tuple[str, Tensor, Tensor]] = []
    monkeypatch.setattr(
        StageEstimator,
        "loss",
        lambda self, stage, pictures, log_q, log_weight: rewards.append((stage, log_q, log_weight)) or log_q.mean(),
    )
    wake.cameras.with_objects(case.images, looks, viewpoint, done, 0.5, 0.0)
    assert [stage for stage, _, _ in rewards] == ["scene", "scene"] and len(given) == 2
    for _, log_q, log_weight in rewards:
        assert log_q.requires_grad and not log_weight.requires_grad and log_q.shape == log_weight.shape == (3, K)
    # From the moved scenes, by hand: log w = area - beta error - log q of the last look alone.
    for (_, log_q, log_weight), (moved, area), cameras in zip(rewards, given, seen, strict=True):
        error = ((case.images[:, None] - wake.painter.draw(SceneLatents(cameras, moved))) ** 2).sum((2, 3, 4))
        expected = area - BETA * error - log_q.detach()
        assert log_weight.numpy() == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("name", ["rws", "lr"])
def test_turns_are_fitted_to_what_the_picture_says_of_them(
    case: Case, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Against quadrature over the circle, where an error that depends on the turn alone stands in for renders."""
    turns = 4000
    wake = by(case, name, turns=turns)
    chosen = Objects(*(part[:, 0].clone() for part in case.scene.objects))
    chosen.kind[:] = 0  # a mug
    step = wake.guide.step(case.images, wake.painter, case.scene)

    def error_of(angle: Tensor) -> Tensor:
        return 2.0 - torch.cos(angle - 1.0) - torch.cos(3.0 * angle)

    def drawn(self: Wake, viewpoint: Viewpoint, done: Objects, candidates: Objects, slot: int) -> Tensor:
        return error_of(candidates.yaw_rad - viewpoint.azimuth_rad[:, None])[..., None, None, None]

    monkeypatch.setattr(Wake, "_draw", drawn)
    monkeypatch.setattr(Likelihood, "error", lambda self, images, pictures, blur=0.0: pictures[..., 0, 0, 0])
    beta = torch.tensor(0.9)
    loss, after, _, renders = wake._turn(
        case.images, step, case.scene, 1, chosen, case.before[:, :1, :1, :1].clone(), torch.ones(3).bool(), beta, 0.0
    )
    assert renders == 3 * turns
    posterior, _ = wake.guide.turning(step, case.scene.viewpoint, each(chosen, lambda part: part[:, None]))
    grid = torch.linspace(-math.pi, math.pi, 2001)[:-1].expand(3, -1)
    log_q = posterior.log_prob(grid)
    reward = -beta * error_of(grid) - log_q.detach()
    if name == "rws":  # -sum over the circle of p(turn | x) log q
        expected = -(torch.softmax(-beta * error_of(grid), -1) * log_q).sum()
    else:  # minus E_q[R], by the score function
        share = torch.softmax(log_q.detach(), -1)
        centred = reward - (share * reward).sum(-1, keepdim=True)
        expected = -(share * centred * log_q).sum()
    found, wanted = gradients(wake, loss), gradients(wake, expected)
    assert float(wanted.norm()) > 0.0
    assert float((found - wanted).norm() / wanted.norm()) < 0.1
    assert torch.equal(after.position_m, chosen.position_m) and torch.equal(after.kind, chosen.kind)
    assert not torch.equal(after.rotation_wxyz, chosen.rotation_wxyz)


def test_what_shows_no_turn_is_left_alone_and_costs_nothing(case: Case) -> None:
    wake = by(case, "rws", turns=8)
    chosen = Objects(*(part[:, 0].clone() for part in case.scene.objects))
    chosen.kind[:] = 1  # a bowl
    step = wake.guide.step(case.images, wake.painter, case.scene)
    loss, after, picture, renders = wake._turn(
        case.images, step, case.scene, 1, chosen, case.before, torch.ones(3).bool(), torch.tensor(1.0), 0.0
    )
    assert float(loss.detach()) == 0.0 and renders == 0 and torch.equal(picture, case.before) and after is chosen
    # Nor is what does not stay on the table.
    chosen.kind[:] = 0
    kept = torch.tensor([False, True, False])
    _, _, picture, renders = wake._turn(
        case.images, step, case.scene, 1, chosen, case.before, kept, torch.tensor(1.0), 0.0
    )
    assert renders == 8
    assert torch.equal(picture[~kept], case.before[~kept]) and not torch.equal(picture[kept], case.before[kept])


def test_with_turns_of_their_own_the_joint_loss_leaves_them_out(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wake, "_turn", lambda self, *a: (torch.zeros(()), a[4], a[5], 0))
    for turns, learned in ((0, True), (8, False)):
        wake = replace(by(case, "rws", turns=turns), generator=torch.Generator().manual_seed(3))
        stage = wake._object(case.images, case.scene, case.before, 1, 0.5, 0.0)
        head = list(wake.guide.pose_head.parameters())
        found = torch.autograd.grad(stage.objects_loss, head, allow_unused=True)
        assert any(g is not None and float(g.abs().max()) > 0.0 for g in found) == learned


def test_what_the_phase_offers() -> None:
    wake = recommended_for("wake")
    assert wake.estimator.name == TabletopTrainConfig(phase="wake").estimator.name == "rws"
    assert TabletopTrainConfig(phase="tune").estimator == TabletopTrainConfig().estimator == EstimatorConfig("lr", 8)
    for name in ("counts", "slotwise"):
        with pytest.raises(InputError, match=f"stage by stage, not by the estimator {name}; use rws, lr"):
            replace(wake, estimator=replace(wake.estimator, name=name))
    for change, reason in (
        ({"turns": 1}, "turns is 1; use 0, or 2"),
        ({"cold": 0.0}, "cold is 0.0, a share of the run"),
        ({"visits": 0}, "remembered 128 and visits 0"),
        ({"remembered": 0}, "remembered 0 and visits 16"),
    ):
        with pytest.raises(InputError, match=reason):
            WakeConfig(**change)
    with pytest.raises(InputError, match="visits 16 cannot be split into 32 equal shares"):
        TabletopTrainConfig(phase="wake", batch=32, shares=32, wake=WakeConfig(cold=0.5))
