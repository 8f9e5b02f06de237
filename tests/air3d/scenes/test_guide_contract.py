"""What every guide must do, whatever it looks at and however it is unrolled. A new guide is a name in `CASES`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.distributions.so3 import LOG_VOLUME
from air3d.networks.encoder import EncoderConfig
from air3d.renderers.choice import make_renderer
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scenes.guide import Draw, Posterior
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.painter import Painter, to_pixels
from air3d.scenes.pose_space import AnyPose
from tests.air3d.scenes.conftest import tiny_guide

B, K, SIZE = 3, 40, 32
ONE_LOOK = OneLookConfig(EncoderConfig(SIZE, channels=(8, 8, 8), code=16), hidden=16, head=16, window=8, glimpse=8)
APART = tabletop_prior(("mug", "bowl"), 0, 2)


def single() -> SceneModel:
    return SceneModel.of(single_prior(), ONE_LOOK, Likelihood())


def steps(prior: PriorConfig, feedback: str) -> Callable[[], SceneModel]:
    return lambda: SceneModel.of(prior, replace(tiny_guide(SIZE), feedback=feedback), Likelihood())  # type: ignore[arg-type]


def wide() -> SceneModel:
    """Settled things (lying, here) in images of 48x32 pixels, whose optical axis is not in the middle."""
    camera = CameraPrior(shift_right=(0.07, 0.07), shift_down=(-0.05, -0.05), fx_over_fy=1.1)
    guide = replace(tiny_guide(), image_size=(48, 32), feedback="difference")
    return SceneModel.of(replace(APART, pose="resting", camera=camera), guide, Likelihood())


CASES: dict[str, Callable[[], Any]] = {
    "one look": single,
    "steps, marks": steps(APART, "marks"),
    "steps, difference": steps(APART, "difference"),
    "steps, one or two, perturbed": steps(replace(APART, min_objects=1, perturb=Perturbation(scale=0.1)), "marks"),
    "steps, free": steps(replace(APART, pose="free"), "marks"),
    "steps, resting, difference": steps(replace(APART, pose="resting", perturb=Perturbation(colour=0.1)), "difference"),
    "steps, wide and off-centre": wide,
    "steps, just one": steps(replace(APART, min_objects=1, max_objects=1), "marks"),
    "steps, just one, free": steps(replace(APART, pose="free", min_objects=1, max_objects=1), "marks"),
}


class Case(NamedTuple):
    model: Any
    painter: Painter
    images: Tensor
    posterior: Posterior


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(5)
    model = CASES[request.param]()
    with make_renderer(model.render_config, "analytic") as renderer:
        scenes = ScenePrior(model.prior).sample_batch(np.random.default_rng(2), B)
        images, painter = to_pixels(renderer.render(scenes)), model.painter(renderer)
        yield Case(model, painter, images, model.guide.look(images, painter))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shapes(case: Case) -> None:
    drawn, slots = case.posterior.draw(K, seeded()), case.model.prior.max_objects
    assert drawn.latents.viewpoint.azimuth_rad.shape == drawn.log_q.shape == drawn.log_q_viewpoint.shape == (B, K)
    for part in (drawn.latents.objects.kind, drawn.presence, drawn.log_q_presence, drawn.log_q_objects):
        assert part.shape == (B, K, slots)
    assert drawn.latents.objects.position_m.shape == (B, K, slots, 3)
    mode, presence = case.posterior.mode()
    assert mode.viewpoint.azimuth_rad.shape == (B,) and mode.objects.kind.shape == presence.shape == (B, slots)
    assert case.painter.draw(drawn.latents).shape == (B, K, *case.images.shape[1:])


def test_a_draw_is_scored_as_it_was_drawn(case: Case) -> None:
    drawn = case.posterior.draw(K, seeded())
    assert torch.allclose(case.posterior.log_prob(drawn.latents), drawn.log_q, atol=2e-3)
    count = (drawn.latents.objects.kind != ABSENT).sum(-1)
    least = case.model.prior.min_objects
    assert int(count.min()) >= least and (drawn.log_q_presence[..., :least] == 0.0).all()
    absent = torch.arange(case.model.prior.max_objects) >= count[..., None]
    assert (drawn.log_q_objects[absent] == 0.0).all() and (drawn.latents.objects.kind[absent] == ABSENT).all()


def test_draws_repeat_and_leave_no_gradient_in_the_latents(case: Case) -> None:
    one, same, other = (case.posterior.draw(K, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.log_q, same.log_q) and not torch.equal(one.log_q, other.log_q)
    assert one.log_q.requires_grad and not one.latents.objects.position_m.requires_grad
    one.log_q.sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0.0 for p in case.model.guide.parameters())


def test_an_image_is_read_alike_alone_and_among_others(case: Case) -> None:
    alone = case.model.guide.look(case.images[1:2], case.painter)
    latents = case.posterior.draw(4, seeded()).latents
    second = SceneLatents(
        Viewpoint(*(part[1:2] for part in latents.viewpoint)), Objects(*(part[1:2] for part in latents.objects))
    )
    assert torch.allclose(alone.log_prob(second), case.posterior.log_prob(latents)[1:2], atol=2e-3)
    assert torch.equal(alone.mode().latents.objects.kind, case.posterior.mode().latents.objects.kind[1:2])


def test_the_mode_is_an_answer_and_leaves_nothing_to_chance(case: Case) -> None:
    (mode, presence), (again, _) = (case.posterior.mode(), case.model.guide.look(case.images, case.painter).mode())
    assert all(torch.equal(a, b) for a, b in zip(mode.objects, again.objects, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(mode.viewpoint, again.viewpoint, strict=True))
    one = SceneLatents(
        Viewpoint(*(part[:, None] for part in mode.viewpoint)), Objects(*(part[:, None] for part in mode.objects))
    )
    with torch.no_grad():
        assert case.posterior.log_prob(one).isfinite().all()
    here = mode.objects.kind != ABSENT
    assert ((presence > 0.5) == here)[:, case.model.prior.min_objects :].all() and (presence[~here] == 0.0).all()
    assert (presence[here] > 0.0).all() and (presence <= 1.0).all()
    if case.model.world.upright:
        assert (case.model.prior.table.place.beyond(mode.objects.place_m)[here] < 0.06).all(), "at most its margin off"
    assert (here.sum(-1) >= case.model.prior.min_objects).all() and (here.int().diff(dim=-1) <= 0).all()


@pytest.mark.parametrize("name", ["one look", "steps, marks", "steps, just one", "steps, just one, free"])
def test_the_density_is_normalised(name: str) -> None:
    """E_q[u(z) / q(z)] = 1 for a density u within the reach of q, here that of objects which ignore each other.

    An untrained guide is nearly flat, so the average settles quickly.
    """
    torch.manual_seed(5)
    model = CASES[name]()
    prior = model.prior
    with make_renderer(model.render_config, "analytic") as renderer:
        scenes = ScenePrior(prior).sample_batch(np.random.default_rng(2), 1)
        looked = model.guide.look(to_pixels(renderer.render(scenes)), model.painter(renderer))
        with torch.no_grad():
            drawn: Draw = looked.draw(20_000, seeded(3))
    objects = drawn.latents.objects
    here = objects.kind != ABSENT
    each = -prior.table.place.log_area - math.log(2.0 * math.pi) - math.log(len(prior.kinds))
    if model.world.upright:
        on = (prior.table.place.beyond(objects.place_m) == 0.0) | ~here
    else:  # cores in a slab above the place, rotations anyhow
        middle = AnyPose(model.world).core(objects)
        on = (prior.table.place.beyond(middle[..., :2]) == 0.0) & (abs(middle[..., 2] - 0.06) < 0.03) | ~here
        each += math.log(2.0 * math.pi) - math.log(0.06) - LOG_VOLUME
    log_u = each * here.sum(-1) - math.log(prior.max_objects - prior.min_objects + 1)
    if not model.world.azimuth_known:
        log_u = log_u - math.log(2.0 * math.pi) - model.world.log_volume
    ratio = ((log_u - drawn.log_q).exp() * on.all(-1)).double()[0]
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert error < 0.1 and float(ratio.mean()) == pytest.approx(1.0, abs=4.0 * error)
