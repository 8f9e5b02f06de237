"""One draw from the objective: what is drawn, scored and rendered, and what is not rendered again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.distributions.z_pres import count_log_probs
from air3d.estimators.common import Surrogate, diagnose
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.prior import Perturbation, PriorConfig
from air3d.scenes.elbo import Problem, Rollout, first, roll_out
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import to_pixels
from air3d.scenes.schedule import CoarseToFine
from air3d.scenes.soft_prior import scene_log_prior

MakeModel = Callable[..., SceneModel[Any]]

SIGMA = 0.5


@pytest.fixture(params=["difference", "marks"])
def model(request: pytest.FixtureRequest, two: PriorConfig, make_model: MakeModel) -> SceneModel[Any]:
    return make_model(replace(two, perturb=Perturbation(scale=0.1)), feedback=request.param)


class Counting:
    """A renderer that counts its pictures."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer, self.count = renderer, 0

    def render(self, scenes: Any) -> Any:
        self.count += len(scenes)
        return self.renderer.render(scenes)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def problem(model: Any, renderer: Any, images: Tensor, schedule: CoarseToFine | None = None) -> Problem:
    return Problem(model.painter(renderer), images, Likelihood(SIGMA), schedule, 0.5, seeded())


def one(latents: SceneLatents, b: int, k: int, n: int) -> SceneLatents:
    """The scene of the first n objects of one of (B, K) scenes, as a batch of one."""
    kind = latents.objects.kind[b, k].clone()
    kind[n:] = ABSENT
    return SceneLatents(
        Viewpoint(*(part[b, k][None] for part in latents.viewpoint)),
        Objects(kind[None], *(part[b, k][None] for part in latents.objects[1:])),
    )


def test_all_steps_are_drawn_and_each_has_its_density(
    two: PriorConfig, make_model: MakeModel, images: Tensor, analytic: Renderer
) -> None:
    """Step by step, given the objects before it; in the prior's units."""
    model = make_model(replace(two, perturb=Perturbation(scale=0.1)), feedback="difference")
    guide, world, painter = model.guide, model.world, model.painter(analytic)
    with torch.no_grad():
        drawn = guide.look(images[:2], painter).draw(3, seeded(), every=True)
        viewpoint, objects = drawn.latents
        assert (objects.kind != ABSENT).all() and drawn.presence.shape == drawn.log_q_objects.shape == (2, 3, 2)
        look = guide.cameras(images[:2], painter)[-1]
        for b, k in itertools.product(range(2), range(3)):
            here = Viewpoint(*(part[b, k][None] for part in viewpoint))
            camera = float(type(look)(*(type(p)(*(x[b : b + 1] for x in p)) for p in look)).log_prob(here))
            assert float(drawn.log_q_viewpoint[b, k]) == pytest.approx(camera - world.log_volume, abs=1e-3)
            for slot in range(2):
                step = guide.step(images[b : b + 1], painter, one(drawn.latents, b, k, slot))
                assert float(drawn.presence[b, k, slot]) == pytest.approx(float(step.presence), abs=1e-3)
                found = Objects(*(part[b, k, slot][None, None] for part in objects))
                nats = float(guide.log_prob(step, here, found)) - math.log(0.2)  # sizes from 0.9 to 1.1
                assert float(drawn.log_q_objects[b, k, slot]) == pytest.approx(nats, abs=2e-3)


def test_the_least_count_is_certain(two: PriorConfig, make_model: MakeModel, images: Tensor) -> None:
    model = make_model(replace(two, min_objects=1))
    with torch.no_grad():
        drawn = model.guide.look(images, model.painter(None)).draw(4, seeded(), every=True)  # type: ignore[arg-type]
    q = count_log_probs(drawn.presence).exp()
    assert float(q[..., 0].max()) < 1e-12
    assert torch.allclose(q.sum(-1), torch.ones(4, 4))


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("schedule", [None, CoarseToFine(blur_px=8.0, temperature="sigma")])
def test_every_scene_and_every_partial_one_has_its_error_and_densities(
    model: SceneModel[Any], images: Tensor, analytic: Renderer, every: bool, schedule: CoarseToFine | None
) -> None:
    """Against each scene rendered by itself: blurred for the reward, plain for the log; no picture is drawn twice."""
    renderer = Counting(analytic)
    given = problem(model, renderer, images[:2], schedule)
    with torch.no_grad():
        posterior = model.guide.look(images[:2], given.painter)
        shown = posterior.draw(6, seeded(), every)
        before, renderer.count = renderer.count, 0
        rollout = roll_out(posterior, 6, given, every)
        nested = rollout.nested
    count = (shown.latents.objects.kind != ABSENT).sum(-1)
    assert torch.equal(rollout.latents.objects.kind, shown.latents.objects.kind)
    if not every:
        assert {0, 1, 2} == set(count.flatten().tolist())
    assert nested.error.shape == nested.log_weight.shape == (2, 6, 3)
    assert rollout.images.shape == (2, 6, 3, 32, 32)
    guided = sum(len(part) for part in shown.drawn if part is not None)  # of those, nothing is drawn for the reward
    scenes = int((count + 1).sum())
    assert renderer.count == rollout.renders + nested.renders + guided == scenes
    assert before >= guided
    beta = 0.5 / SIGMA**2 if schedule is None else 0.5 / 0.3**2
    assert float(rollout.beta) == pytest.approx(beta)
    for b, k, n in itertools.product(range(2), range(6), range(3)):
        scene = one(rollout.latents, b, k, n)
        picture = torch.from_numpy(analytic.render(model.world.to_batch(scene))[0].transpose(2, 0, 1) / 255.0).float()
        plain = float((picture.double() - images[b].double()).square().sum())
        assert float(nested.plain_error[b, k, n]) == pytest.approx(plain, rel=1e-3)
        blur = 0.0 if schedule is None else schedule.blur(0.5, 32)
        error = float(Likelihood(SIGMA).error(images[b : b + 1], picture[None, None], blur))
        assert float(nested.error[b, k, n]) == pytest.approx(error, rel=1e-3, abs=1e-3)
        prior = float(scene_log_prior(model.world, scene))
        assert float(rollout.log_priors[b, k, n]) == pytest.approx(prior, abs=1e-3)
        if n <= int(count[b, k]):
            with torch.no_grad():
                log_q = float(alone(model, analytic, images[b : b + 1], scene))
            assert float(nested.log_weight[b, k, n]) == pytest.approx(prior - beta * error - log_q, rel=1e-3, abs=0.05)
        if n == 2:
            assert float(rollout.error[b, k]) == pytest.approx(error, rel=1e-3, abs=1e-3)
    assert torch.allclose(nested.log_weight.gather(-1, count[..., None])[..., 0], rollout.log_weight, atol=0.02)


def alone(model: SceneModel[Any], renderer: Renderer, image: Tensor, scene: SceneLatents) -> Tensor:
    """log q(z | x) of one scene, scored by itself."""
    single = SceneLatents(*(type(p)(*(x[None] for x in p)) for p in scene))  # type: ignore[arg-type]
    return model.guide.look(image, model.painter(renderer)).log_prob(single)


def test_the_blur_of_the_reward_is_the_schedules(model: SceneModel[Any], images: Tensor, analytic: Renderer) -> None:
    blurred = problem(model, analytic, images, CoarseToFine(blur_px=8.0, anneal=1.0))
    assert blurred.blur_px == pytest.approx(4.0 * 0.5**1.5)
    assert problem(model, analytic, images).blur_px == 0.0


def test_the_empty_table_of_a_known_camera_is_not_drawn(prior: PriorConfig, small_guide: Any, pictures: Any) -> None:
    """It is a baseline that is the same for all samples of an image."""
    model, pixels = SceneModel.of(prior, small_guide, Likelihood(SIGMA)), to_pixels(pictures.images[:3])
    with make_renderer(model.render_config, "analytic") as analytic:
        renderer = Counting(analytic)
        given = problem(model, renderer, pixels)
        rollout = roll_out(model.guide.look(pixels, given.painter), 4, given)
    assert rollout.nested.renders == 0 and renderer.count == rollout.renders == 12
    assert torch.equal(rollout.nested.error[..., 1], rollout.error)
    first_column = rollout.nested.log_weight[..., 0]
    assert torch.equal(first_column, first_column[:1, :1].expand(3, 4))


def test_the_first_objects_of_scenes() -> None:
    kind = torch.tensor([[0, 1, 2], [1, ABSENT, ABSENT]])
    latents = SceneLatents(
        Viewpoint(torch.zeros(2), torch.zeros(2, 0)),
        Objects.upright(kind, torch.zeros(2, 3, 2), torch.zeros(2, 3), torch.zeros(2, 3, 0)),
    )
    assert first(latents, 2).objects.kind.tolist() == [[0, 1, ABSENT], [1, ABSENT, ABSENT]]
    assert (first(latents, 0).objects.kind == ABSENT).all()


@pytest.mark.parametrize("every", [False, True])
def test_what_is_logged(model: SceneModel[Any], images: Tensor, analytic: Renderer, every: bool) -> None:
    """Means over the scenes drawn; where the count is summed over, expectations under it."""
    given = problem(model, analytic, images)
    with torch.no_grad():
        rollout: Rollout = roll_out(model.guide.look(images, given.painter), 5, given, every)
        loss = Surrogate(torch.zeros(()), diagnose(rollout.log_weight, rollout.log_weight))
        step = rollout.expected_step(loss) if every else rollout.nested_step(loss)
    nested = rollout.nested
    log_q = rollout.log_priors - rollout.beta * nested.error - nested.log_weight
    count = (rollout.latents.objects.kind != ABSENT).sum(-1)
    share = nested.log_q_count.exp() if every else torch.nn.functional.one_hot(count, 3)
    assert torch.allclose(share.sum(-1).float(), torch.ones(4, 5), atol=1e-5)
    for value, column in (
        (step.squared_error, nested.error), (step.entropy, -log_q), (step.objects, torch.arange(3).expand(4, 5, 3)),
    ):  # fmt: skip
        expected = float(torch.where(share > 0, share * column, 0.0).sum(-1).mean())
        assert float(value) == pytest.approx(expected, rel=1e-3)
    kinds = rollout.latents.objects.kind
    assert step.kind_share.tolist() == pytest.approx([float((kinds == i).sum() / (kinds >= 0).sum()) for i in range(2)])
    assert step.renders == rollout.renders + nested.renders
    assert np.isfinite([float(value) for value in step.record().values()]).all()
