"""The wake phase: weights and targets recomputed in float64 from the candidates it drew, and in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import optimize, special
from torch import Tensor

from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import Painter
from air3d.scenes.schedule import CoarseToFine
from air3d.scenes.soft_prior import object_log_prior
from air3d.scenes.wake import Wake
from air3d.scenes.wake_cameras import CameraStages
from air3d.scenes.wake_config import WakeConfig

MakeModel = Callable[..., SceneModel]
Floats = NDArray[np.float64]

SIGMA, WARM = 0.3, 0.8
# A likelihood that is warmer than the schedule asks the candidates to be: they are weighed by it all the same.
LOOSE = 4.0
# No blur, and candidates at a temperature of their own, WARM.
SHARP = CoarseToFine(blur_px=0.0, temperature="sigma", sigma_start=WARM, sigma_end=WARM)
CONFIG = WakeConfig(candidates=8, own=5, cameras=2, prior_cameras=5, camera_only=0, schedule=SHARP)


class Case(NamedTuple):
    wake: Wake
    images: Tensor
    viewpoint: Viewpoint
    done: Objects


@pytest.fixture(params=["marks", "difference"])
def case(request: pytest.FixtureRequest, two: PriorConfig, make_model: MakeModel, analytic: Renderer) -> Case:
    """Three images, of which the first object is explained; sizes are open."""
    model = make_model(replace(two, perturb=Perturbation(scale=0.1)), feedback=request.param)
    scenes = ScenePrior(replace(model.prior, min_objects=2)).sample_batch(np.random.default_rng(0), 3)
    latents = model.world.from_batch(scenes)
    painter = model.painter(analytic)
    images = painter.draw(latents)
    kind = latents.objects.kind.clone()
    kind[:, 1] = ABSENT
    step = Wake(model.guide, painter, CONFIG, Likelihood(SIGMA), torch.Generator().manual_seed(3))
    return Case(step, images, latents.viewpoint, latents.objects._replace(kind=kind))


def draw(case: Case, viewpoint: Viewpoint, objects: Objects) -> Floats:
    """Pictures (..., 3, S, S) in float64."""
    return case.wake.painter.draw(SceneLatents(viewpoint, objects)).double().numpy()


def errors(images: Tensor, pictures: Floats) -> Floats:
    """(B, K) squared errors."""
    return np.asarray(((pictures - images.double().numpy()[:, None]) ** 2).sum((-3, -2, -1)))


def pairs(case: Case, candidates: Objects) -> SceneLatents:
    """Scenes of the explained object and one candidate each, (3, K)."""
    k = candidates.kind.shape[1]
    done = (part[:, :1].expand(-1, k, *part.shape[2:]) for part in case.done)
    both = Objects(*(torch.stack([old, new], 2) for old, new in zip(done, candidates, strict=True)))
    return SceneLatents(Viewpoint(*(part[:, None].expand(-1, k, *part.shape[1:]) for part in case.viewpoint)), both)


def explained(case: Case, model: Wake) -> Any:
    """The second object's step, without blur."""
    scene = SceneLatents(case.viewpoint, case.done)
    return model._object(case.images, scene, model.painter.draw(scene), 1, 0.5, 0.0)


def saved(monkeypatch: pytest.MonkeyPatch, name: str, owner: type[Any] = Wake) -> list[Any]:
    """What a method of Wake, or of another class, returns, call by call."""
    results: list[Any] = []
    original = getattr(owner, name)

    def spy(self: Any, *arguments: Any) -> Any:
        results.append(original(self, *arguments))
        return results[-1]

    monkeypatch.setattr(owner, name, spy)
    return results


def number(value: Tensor) -> float:
    return float(value.detach())


def gradients(model: Wake, loss: Tensor) -> list[Tensor]:
    parameters = list(model.guide.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def same(one: list[Tensor], other: list[Tensor], tolerance: float = 2e-3) -> None:
    scale = max(float(part.abs().max()) for part in other)
    assert scale > 0.0
    for part, wanted in zip(one, other, strict=True):
        assert torch.allclose(part, wanted, atol=tolerance * scale)


@pytest.mark.parametrize("sigma", [SIGMA, LOOSE])
def test_objects_are_weighed_exactly(case: Case, monkeypatch: pytest.MonkeyPatch, sigma: float) -> None:
    """Self-normalised importance weights and the presence target; the gradient is that of constants in their place."""
    drawn = saved(monkeypatch, "_candidates")
    _, images, viewpoint, done = case
    model, beta = replace(case.wake, likelihood=Likelihood(sigma)), min(0.5 / WARM**2, 0.5 / sigma**2)
    stage = explained(case, model)
    (candidates,) = drawn
    assert candidates.kind.shape == (3, 8)
    before = errors(images, draw(case, viewpoint, done)[:, None])
    gain = before - errors(images, draw(case, *pairs(case, candidates)))
    step = model.guide.step(images, model.painter, SceneLatents(viewpoint, done))
    log_q = model.guide.log_prob(step, viewpoint, candidates)
    q, p = (
        log_q.detach().double().exp().numpy(),
        object_log_prior(model.painter.world, candidates, done).double().numpy(),
    )
    uniform = 1.0 / (math.pi * 0.2**2 * 2.0 * math.pi * 2.0)
    log_rest = p - np.log(5 / 8 * q + 3 / 8 * uniform)
    weight = special.softmax(beta * gain + log_rest, axis=-1)
    assert float(stage.samples) == pytest.approx((1.0 / (weight**2).sum(-1)).mean(), rel=1e-2)
    log_more = special.logsumexp(0.5 / sigma**2 * gain + log_rest, axis=-1) - math.log(8)
    # Of up to two objects, uniform: one before it, the second is as probable as none.
    more = special.expit(log_more + math.log((1 / 3) / (1 / 3)))
    objects_loss = -(torch.from_numpy(weight).float() * log_q).sum()
    target = torch.from_numpy(more).float()
    p_more = torch.sigmoid(step.presence)
    presence_loss = -(target * p_more.log() + (1.0 - target) * (1.0 - p_more).log()).sum()
    assert number(stage.objects_loss) == pytest.approx(number(objects_loss), rel=2e-3)
    assert number(stage.presence_loss) == pytest.approx(number(presence_loss), rel=2e-3, abs=1e-3)
    same(gradients(model, stage.objects_loss + stage.presence_loss), gradients(model, objects_loss + presence_loss))
    # The chosen one is a candidate, and what is said of it is true.
    for b in range(3):
        k = int((candidates.position_m[b] - stage.chosen.position_m[b]).norm(dim=-1).argmin())
        assert torch.equal(stage.chosen.kind[b], candidates.kind[b, k])
        assert bool(stage.better[b]) == bool(gain[b, k] > 0.0)
        assert float(stage.error_before[b]) == pytest.approx(before[b, 0], rel=1e-3)
        assert float(stage.error_after[b]) == pytest.approx(before[b, 0] - gain[b, k], rel=1e-3)


def test_candidates_are_those_of_the_guide_and_of_the_prior(case: Case) -> None:
    """The first few by the guide; the rest uniform on the disc, whatever the guide says."""
    model = replace(case.wake, config=replace(CONFIG, candidates=1000, own=1))
    step = model.guide.step(case.images, model.painter, SceneLatents(case.viewpoint, case.done))
    drawn = model._candidates(step, case.viewpoint)
    rest = Objects(*(part[:, 1:] for part in drawn))
    assert rest.kind.shape == (3, 999)
    radius = rest.place_m.norm(dim=-1) / 0.2
    assert float(radius.max()) < 1.0
    for share in (radius.square(), rest.yaw_rad / (2.0 * math.pi) + 0.5, rest.appearance[..., 0], rest.kind.float()):
        assert float(share.mean()) == pytest.approx(0.5, abs=0.05)
    for share in (radius.square(), rest.yaw_rad / (2.0 * math.pi) + 0.5, rest.appearance[..., 0]):
        assert float(share.var()) == pytest.approx(1.0 / 12.0, rel=0.1)


def test_the_best_candidate_is_chosen_where_the_likelihood_is_sharp(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = saved(monkeypatch, "_candidates")
    cold = replace(SHARP, sigma_start=0.003, sigma_end=0.003)
    model = replace(case.wake, config=replace(CONFIG, schedule=cold), likelihood=Likelihood(0.003))
    stage = explained(case, model)
    best = errors(case.images, draw(case, *pairs(case, drawn[0]))).argmin(-1)
    assert torch.equal(stage.chosen.position_m, drawn[0].position_m[torch.arange(3), torch.from_numpy(best)])


def by_kind(colours: Floats) -> Callable[[SceneBatch], Floats]:
    """Pictures that show of a scene only how many objects of each kind it has: kinds (2, 3) colours added up."""

    def picture(scenes: SceneBatch) -> Floats:
        count = (scenes.kind[:, :, None] == np.arange(2)).sum(1)
        return np.broadcast_to((count @ colours)[:, None, None], (len(scenes), 32, 32, 3)).copy()

    return picture


@pytest.mark.parametrize("own", [1, 1500])
def test_presence_has_the_exact_posterior_odds(
    two: PriorConfig, make_model: MakeModel, fake_renderer: Any, own: int
) -> None:
    """Where the picture shows the kind alone, the evidence of one object more is a sum of two terms."""
    colours = np.array([[0.1, 0.0, 0.05], [0.0, 0.2, 0.0]])
    sigma = 3.0  # pixels are many: so the odds are neither nought nor infinite
    model = make_model(two)
    with torch.no_grad():
        model.guide.presence_head[-1].bias.fill_(1.5)
    image = torch.tensor(0.8 * colours[0]).float()[:, None, None].expand(3, 32, 32)
    painter = model.painter(fake_renderer(by_kind(colours)))
    viewpoint = Viewpoint(torch.zeros(1), torch.full((1, 2), 0.5))
    target = image[:, 0, 0].double().numpy()
    pixels = 32 * 32
    for slot, done_kind, log_odds in ((0, ABSENT, math.log(2.0)), (1, 1, 0.0)):
        done = model.world.no_objects(viewpoint, 2)
        done.kind[0, 0] = done_kind
        done = done._replace(position_m=done.position_m + 5.0)  # far away: nothing overlaps
        config = replace(CONFIG, candidates=3000, own=own)
        step = Wake(model.guide, painter, config, Likelihood(sigma), torch.Generator().manual_seed(0))
        with torch.no_grad():
            presence = float(model.guide.step(image[None], painter, SceneLatents(viewpoint, done)).presence)
            scene = SceneLatents(viewpoint, done)
            stage = step._object(image[None], scene, painter.draw(scene), slot, 0.5, 0.0)
        found = (math.log1p(math.exp(presence)) - float(stage.presence_loss)) / presence
        # softplus(l) - l t is the cross-entropy of the target t; the rest is Bayes' rule.
        there = np.zeros(3) if done_kind == ABSENT else colours[done_kind]
        rounded = [np.rint(255.0 * (there + extra)) / 255.0 for extra in (np.zeros(3), *colours)]
        nats = [-0.5 / sigma**2 * pixels * ((target - colour) ** 2).sum() for colour in rounded]
        odds = 0.5 * (math.exp(nats[1] - nats[0]) + math.exp(nats[2] - nats[0])) * math.exp(log_odds)
        assert 0.1 < odds / (1.0 + odds) < 0.9, "no empty test"
        assert found == pytest.approx(odds / (1.0 + odds), abs=0.03)


@pytest.mark.parametrize("least, most", [(0, 3), (1, 3), (2, 2), (0, 1)])
def test_prior_odds_of_one_object_more(make_model: MakeModel, least: int, most: int) -> None:
    model = make_model(tabletop_prior(("mug", "bowl"), least, most))
    step = Wake(
        model.guide, Painter(model.world, None, torch.device("cpu")), CONFIG, Likelihood(SIGMA), torch.Generator()
    )  # type: ignore[arg-type]
    counts = range(least, most + 1)
    for slot in range(most):
        more = sum(n > slot for n in counts) / sum(n >= slot for n in counts)
        assert special.expit(step._log_odds(slot)) == pytest.approx(more, abs=1e-6)


def effective(beta: float, error: Floats) -> float:
    return float((1.0 / (special.softmax(-beta * error, axis=-1) ** 2).sum(-1)).mean())


@pytest.mark.parametrize("sigma", [SIGMA, LOOSE])
def test_cameras_of_the_empty_table_are_weighed_exactly(case: Case, sigma: float) -> None:
    """All candidates serve all images: the density they were drawn from is the mean over images, and the prior."""
    model, images = replace(case.wake, likelihood=Likelihood(sigma)), case.images
    seen: list[SceneLatents] = []
    painter = model.painter
    looks = model.guide.cameras(images, painter)
    original = Painter.draw

    def spy(self: Painter, latents: SceneLatents) -> Tensor:
        seen.append(latents)
        return original(self, latents)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Painter, "draw", spy)
        chosen, pictures, loss, samples, renders = model.cameras.alone(images, looks, 0.25, 0.0)
    ((cameras, empty),) = seen
    m = 3 * 2 + 5
    assert renders == m and cameras.azimuth_rad.shape == (m,) and (empty.kind == ABSENT).all()
    everyone = Viewpoint(*(part.expand(3, *part.shape) for part in cameras))
    log_qs = [look.expand(m).log_prob(everyone) for look in looks]
    q, p = log_qs[0].detach().double().exp().numpy(), 1.0 / (2.0 * math.pi)
    error = errors(images, draw(case, cameras, empty)[None])
    target = max(0.1 * (0.006 / 0.1) ** 0.5 * m, 1.5)  # halfway through the annealing
    beta = optimize.brentq(lambda b: effective(b, error) - target, 1e-6, 1e4)
    assert (beta > 0.5 / sigma**2) == (sigma == LOOSE)
    beta = min(beta, 0.5 / sigma**2)
    weight = special.softmax(-beta * error + np.log(p) - np.log(6 / m * q.mean(0) + 5 / m * p), axis=-1)
    fixed = torch.from_numpy(weight).float()
    expected = sum((fixed * soft(-log_q)).sum(-1).mean() for log_q in log_qs)
    assert isinstance(expected, Tensor)
    assert number(loss) == pytest.approx(number(expected), rel=5e-3)
    assert float(samples) == pytest.approx((1.0 / (weight**2).sum(-1)).mean(), rel=2e-2)
    same(gradients(model, loss), gradients(model, expected), 1e-2)
    for b in range(3):
        assert float((cameras.azimuth_rad - chosen.azimuth_rad[b]).abs().min()) == 0.0
    assert torch.equal(pictures, painter.draw(SceneLatents(chosen, painter.world.no_objects(chosen, 2))))


def soft(loss: Tensor) -> Tensor:
    """Beyond 3 nats by its logarithm."""
    return torch.where(loss > 3.0, 3.0 + (1.0 + (loss - 3.0).clamp_min(0.0)).log(), loss)


@pytest.mark.parametrize("sigma", [SIGMA, LOOSE])
def test_cameras_with_objects_are_weighed_exactly(case: Case, monkeypatch: pytest.MonkeyPatch, sigma: float) -> None:
    """First the shares, then the azimuth; half of the candidates from the wider guide."""
    moved = saved(monkeypatch, "_moved", CameraStages)
    _, images, viewpoint, done = case
    model, beta = replace(case.wake, likelihood=Likelihood(sigma)), min(0.5 / WARM**2, 0.5 / sigma**2)
    looks = model.guide.cameras(images, model.painter)
    cameras: list[Viewpoint] = []
    original = CameraStages._moved

    def spy(self: CameraStages, objects: Objects, at: Viewpoint, others: Viewpoint) -> Any:
        cameras.append(others)
        return original(self, objects, at, others)

    monkeypatch.setattr(CameraStages, "_moved", spy)
    loss, renders = model.cameras.with_objects(images, looks, viewpoint, done, 0.5, 0.0)
    assert renders == 2 * 3 * 8
    expected: Any = 0.0
    for what, others, (objects, area) in zip(("shares", "azimuth"), cameras, moved, strict=True):
        log_qs = [look.expand(8).log_prob_of(what, others) for look in looks]
        q = log_qs[-1].detach().double().exp().numpy()
        wider = looks[-1].widened().expand(8).log_prob_of(what, others).detach().double().exp().numpy()
        error = errors(images, draw(case, others, objects))
        log_weight = area.double().numpy() - beta * error - np.log(0.5 * q + 0.5 * wider)
        weight = torch.from_numpy(special.softmax(log_weight, axis=-1)).float()
        expected = expected + sum((weight * soft(-log_q)).sum(-1).mean() for log_q in log_qs)
    assert (cameras[0].azimuth_rad == viewpoint.azimuth_rad[:, None]).all(), "the azimuth waits"
    assert (cameras[1].shares == cameras[1].shares[:, :1]).all(), "under one choice of the shares"
    for b in range(3):
        assert (cameras[0].shares[b] == cameras[1].shares[b, 0]).all(-1).any(), "which was a candidate"
    assert number(loss) == pytest.approx(number(expected), rel=5e-3)
    same(gradients(model, loss), gradients(model, expected), 1e-2)


def test_moved_objects_keep_their_places_in_the_image(case: Case) -> None:
    """By the camera's own geometry; and the area is what a square pixel means on the table."""
    model, _, viewpoint, done = case
    world, generator = model.painter.world, torch.Generator().manual_seed(0)
    cameras = Viewpoint(
        2.0 * math.pi * torch.rand(3, 4, generator=generator) - math.pi, torch.rand(3, 4, 2, generator=generator)
    )
    objects, area = model.cameras._moved(done, viewpoint, cameras)
    assert torch.equal(objects.kind, done.kind[:, None].expand(-1, 4, -1))
    assert torch.equal(objects.appearance, done.appearance[:, None].expand(-1, 4, -1, -1))

    def camera(viewpoint: Viewpoint, *index: int) -> Orbit:
        elevation, distance = (
            float(world.shared_value(viewpoint, f"camera_{name}")[index]) for name in ("elevation_rad", "distance_m")
        )
        return Orbit(float(viewpoint.azimuth_rad[index]), elevation, distance, (0.0, 0.0, 0.0), math.radians(40.0))

    def pixel(place: Tensor, seen: Orbit, shift: tuple[float, float] = (0.0, 0.0)) -> Floats:
        x, y = (float(v) + s for v, s in zip(place, shift, strict=True))
        return seen.sized(32, 32).project([[x, y, world.height_m]])[0][0]

    for b in range(3):
        old = pixel(done.place_m[b, 0], camera(viewpoint, b))
        for k in range(4):
            new = camera(cameras, b, k)
            assert pixel(objects.place_m[b, k, 0], new) == pytest.approx(old, abs=1e-3)
            turn = objects.yaw_rad[b, k, 0] - new.azimuth_rad - done.yaw_rad[b, 0] + viewpoint.azimuth_rad[b]
            assert math.cos(float(turn)) == pytest.approx(1.0, abs=1e-5)
            h, place = 1e-5, objects.place_m[b, k, 0]
            columns = [
                (pixel(place, new, (h * i, h * (1 - i))) - pixel(place, new, (-h * i, -h * (1 - i)))) / (2.0 * h)
                for i in (1, 0)
            ]
            assert float(area[b, k]) == pytest.approx(-math.log(abs(np.linalg.det(np.array(columns)))), abs=1e-3)


def fresh(case: Case, seed: int = 5) -> Wake:
    return replace(case.wake, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("schedule", [SHARP, CoarseToFine(blur_px=3.0, temperature="samples", samples_start=0.6)])
def test_a_constant_in_all_errors_changes_nothing(case: Case, schedule: CoarseToFine) -> None:
    class Raised(Likelihood):
        def error(self, *pictures: Any) -> Tensor:
            return super().error(*pictures) + 40.0

        def pairwise_error(self, *pictures: Any) -> Tensor:
            return super().pairwise_error(*pictures) + 40.0

    config = replace(CONFIG, schedule=schedule)
    plain = replace(fresh(case), config=config).step(case.images, 0.25)
    shifted = replace(fresh(case), config=config, likelihood=Raised(SIGMA)).step(case.images, 0.25)
    assert number(shifted.loss) == pytest.approx(number(plain.loss), rel=2e-3)
    assert float(shifted.squared_error) == pytest.approx(float(plain.squared_error) + 40.0, rel=1e-4)
    same(gradients(case.wake, shifted.loss), gradients(case.wake, plain.loss), 2e-2)


def test_a_step_adds_up_and_reaches_every_parameter(case: Case) -> None:
    step = fresh(case).step(case.images, 0.25)
    assert number(step.loss) == pytest.approx(float(step.camera + step.objects + step.presence), rel=1e-5)
    assert all(not getattr(step, name).requires_grad for name in ("camera", "objects", "presence"))
    kinds = [name for name, _ in case.wake.guide.named_parameters() if name.startswith("pose_head")]
    for (name, _), gradient in zip(case.wake.guide.named_parameters(), gradients(case.wake, step.loss), strict=True):
        assert gradient.isfinite().all()
        assert (gradient != 0.0).any() or name in kinds, name
    again = fresh(case).step(case.images, 0.25)
    assert number(again.loss) == number(step.loss), "the generator decides"
    record = step.record()
    assert record["explained_1"] == pytest.approx(float(step.explained[0]))
    assert {"camera", "objects", "presence", "squared_error", "renders"} <= record.keys()


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("feedback", ["marks", "difference"])
def test_renders_are_counted(
    two: PriorConfig,
    make_model: MakeModel,
    analytic: Renderer,
    fake_renderer: Any,
    images: Tensor,
    feedback: str,
    progress: float,
) -> None:
    counting = fake_renderer(lambda scenes: analytic.render(scenes) / 255.0)
    model = make_model(two, feedback=feedback)
    config = replace(CONFIG, camera_only=1)
    step = Wake(model.guide, model.painter(counting), config, Likelihood(SIGMA), torch.Generator().manual_seed(1))
    assert step.step(images, progress).renders == counting.scenes


@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_no_scene_is_drawn_twice_and_the_guide_is_shown_the_scene_it_stands_at(
    case: Case, monkeypatch: pytest.MonkeyPatch, progress: float
) -> None:
    """What the step of every object is shown is the picture of its scene."""
    shown: list[tuple[SceneLatents, Tensor]] = []
    original = Wake._object

    def spy(self: Wake, images: Tensor, scene: SceneLatents, before: Tensor, *rest: Any) -> Any:
        shown.append((scene, before))
        return original(self, images, scene, before, *rest)

    drawn: list[SceneLatents] = []
    draw_it = Painter.draw

    def record(self: Painter, latents: SceneLatents) -> Tensor:
        drawn.append(latents)
        return draw_it(self, latents)

    monkeypatch.setattr(Wake, "_object", spy)
    monkeypatch.setattr(Painter, "draw", record)
    for seed in range(20):
        for calls in (shown, drawn):
            calls.clear()  # type: ignore[attr-defined]
        fresh(case, seed).step(case.images, progress)
        if len(shown) == 2:
            break
    assert len(shown) == 2, "some object explained something"
    seen = [tuple(scene) for latents in drawn for scene in scenes_of(latents)]
    assert len(set(seen)) == len(seen)
    for scene, before in shown:
        assert torch.equal(before, draw_it(case.wake.painter, scene))


def scenes_of(latents: SceneLatents) -> list[tuple[float, ...]]:
    """All that tells a scene's picture: its viewpoint, and its present objects."""
    viewpoint, objects = latents
    camera = torch.cat([viewpoint.azimuth_rad[..., None], viewpoint.shares], -1).reshape(-1, 3)
    here = (objects.kind != ABSENT)[..., None]
    parts = (objects.kind[..., None], objects.position_m, objects.yaw_rad[..., None], objects.appearance)
    rows = (torch.cat([part.float() for part in parts], -1) * here).flatten(-2)
    return [(*a, *b) for a, b in zip(camera.tolist(), rows.reshape(len(camera), -1).tolist(), strict=True)]


def test_objects_that_explain_nothing_end_a_scene(
    two: PriorConfig, make_model: MakeModel, fake_renderer: Any, images: Tensor
) -> None:
    """Where pictures do not show objects, no candidate is better than none; the camera goes on learning."""
    model = make_model(two)
    grey = fake_renderer(lambda scenes: np.full((len(scenes), 32, 32, 3), 0.4))
    step = Wake(model.guide, model.painter(grey), CONFIG, Likelihood(SIGMA), torch.Generator().manual_seed(1)).step(
        images, 0.5
    )
    assert step.explained.tolist() == [0.0, 0.0] and step.kind_share.tolist() == [0.0, 0.0]
    expected = float((images - 102.0 / 255.0).square().sum((1, 2, 3)).mean())
    assert float(step.squared_error) == pytest.approx(expected, rel=1e-4)


def test_objects_that_explain_are_put_on_the_table(two: PriorConfig, make_model: MakeModel, fake_renderer: Any) -> None:
    """Every object makes the picture lighter, as a white image wants it: all slots are filled."""
    model = make_model(two)
    lighter = fake_renderer(lambda scenes: np.broadcast_to(
        (0.2 + 0.3 * scenes.present.sum(1))[:, None, None, None], (len(scenes), 32, 32, 3)))  # fmt: skip
    step = Wake(model.guide, model.painter(lighter), CONFIG, Likelihood(SIGMA), torch.Generator().manual_seed(1))
    found = step.step(torch.ones(4, 3, 32, 32), 0.5)
    assert found.explained.tolist() == [1.0, 1.0]
    assert float(found.kind_share.sum()) == pytest.approx(1.0)
    assert float(found.squared_error) == pytest.approx(0.2**2 * 3 * 32 * 32, rel=0.02)


def test_further_images_serve_the_camera_alone(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    original = Wake._object

    def spy(self: Wake, images: Tensor, *rest: Any) -> Any:
        seen.append(images)
        return original(self, images, *rest)

    monkeypatch.setattr(Wake, "_object", spy)
    replace(fresh(case), config=replace(CONFIG, camera_only=1)).step(case.images, 0.5)
    assert torch.equal(seen[0], case.images[:2])
    seen.clear()
    replace(fresh(case), config=replace(CONFIG, camera_only=7)).step(case.images, 0.5)
    assert torch.equal(seen[0], case.images[:1]), "at least one is left"


def test_early_the_camera_is_that_of_the_empty_table_and_late_the_guides(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, scene = saved(monkeypatch, "alone", CameraStages), saved(monkeypatch, "with_objects", CameraStages)
    used: list[Viewpoint] = []
    original = Wake._object

    def spy(self: Wake, images: Tensor, scene: SceneLatents, *rest: Any) -> Any:
        used.append(scene.viewpoint)
        return original(self, images, scene, *rest)

    monkeypatch.setattr(Wake, "_object", spy)
    for progress, share in ((0.0, 0.0), (0.125, 0.25), (0.5, 1.0), (1.0, 1.0)):
        for calls in (alone, scene, used):
            calls.clear()
        step = fresh(case).step(case.images, progress)
        expected = (1.0 - share) * number(alone[0][2]) + share * number(scene[0][0])
        assert float(step.camera) == pytest.approx(expected, rel=1e-4)
        equal = used[0].azimuth_rad == alone[0][0].azimuth_rad
        assert equal.all() if share == 0.0 else not equal.all() if share == 1.0 else True


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"candidates": 1}, "own < candidates"),
        ({"own": 0}, "own < candidates"),
        ({"own": 16}, "own < candidates"),
        ({"candidates": 5000}, "own < candidates"),
        ({"cameras": 0}, "out of range"),
        ({"prior_cameras": 0}, "out of range"),
        ({"camera_only": -1}, "out of range"),
        ({"cameras_end": 0.0}, "cameras_end"),
        ({"cameras_start": 0.001}, "cameras_end"),
        ({"cameras_start": 1.5}, "cameras_end"),
    ],
)
def test_bad_parameters_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        WakeConfig(**change)
    assert "\n" not in str(caught.value)
