"""Reading scenes: whole draws whose density is that of their steps; the greedy answer; what the guide is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scenes.guide import Draw
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import Painter

Fits = Callable[[float, str], None]
MakeModel = Callable[..., SceneModel]


def painter_of(model: SceneModel, renderer: Any = None) -> Painter:
    """With marks as feedback, nothing is rendered."""
    return Painter(model.world, renderer, torch.device("cpu"))


def at(latents: SceneLatents, b: int, k: int) -> SceneLatents:
    """One scene of (B, K, ...), as a batch of one."""
    viewpoint, objects = latents
    return SceneLatents(
        Viewpoint(*(part[b, k][None] for part in viewpoint)), Objects(*(part[b, k][None] for part in objects))
    )


def step_by_step(model: SceneModel, painter: Painter, image: Tensor, latents: SceneLatents) -> float:
    """log q of one scene, object by object, per metre and radian."""
    guide, world = model.guide, model.world
    viewpoint, objects = latents
    n, slots = int((objects.kind != ABSENT).sum()), objects.kind.shape[1]
    total = float(guide.cameras(image, painter)[-1].log_prob(viewpoint)) - sum(
        math.log(high - low) for _, (low, high) in world.shared
    )
    for slot in range(min(n + 1, slots)):
        done = objects._replace(kind=torch.where(torch.arange(slots) < slot, objects.kind, ABSENT))
        step = guide.step(image, painter, SceneLatents(viewpoint, done))
        if slot >= world.prior.min_objects:
            p = 1.0 / (1.0 + math.exp(-float(step.presence)))
            total += math.log(p if slot < n else 1.0 - p)
        if slot < n:
            one = Objects(*(part[:, slot : slot + 1] for part in objects))
            total += float(guide.log_prob(step, viewpoint, one))
            if world.prior.perturb.scale:
                total -= math.log(2.0 * world.prior.perturb.scale)
    return total


@pytest.mark.parametrize("feedback", ["marks", "difference"])
@pytest.mark.parametrize("least", [0, 1])
def test_the_density_of_a_scene_is_that_of_its_steps(
    two: PriorConfig, make_model: MakeModel, images: Tensor, analytic: Renderer, feedback: str, least: int
) -> None:
    model = make_model(replace(two, min_objects=least, perturb=Perturbation(scale=0.2)), feedback=feedback)
    painter = painter_of(model, analytic)
    with torch.no_grad():
        drawn = model.guide.look(images[:3], painter).draw(5, torch.Generator().manual_seed(1))
        assert drawn.log_q.shape == (3, 5)
        count = (drawn.latents.objects.kind != ABSENT).sum(-1)
        assert set(count.flatten().tolist()) == set(range(least, 3)), "every count occurs"
        expected = [
            [step_by_step(model, painter, images[b : b + 1], at(drawn.latents, b, k)) for k in range(5)]
            for b in range(3)
        ]
    assert drawn.log_q.numpy() == pytest.approx(np.array(expected), abs=2e-3)


def test_slots_are_filled_in_order_and_draws_repeat(two: PriorConfig, make_model: MakeModel, images: Tensor) -> None:
    model = make_model(two)
    first, again, other = (
        model.guide.look(images, painter_of(model)).draw(6, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    present = first.latents.objects.kind != ABSENT
    assert (present[..., 1] <= present[..., 0]).all()
    assert torch.equal(first.log_q, again.log_q) and not torch.equal(first.log_q, other.log_q)
    for part, same in zip(flat(first), flat(again), strict=True):
        assert torch.equal(part, same) and not part.requires_grad
    assert ((first.latents.viewpoint.shares > 0.0) & (first.latents.viewpoint.shares < 1.0)).all()


def flat(drawn: Draw) -> tuple[Tensor, ...]:
    return (*drawn.latents.viewpoint, *drawn.latents.objects)


def test_the_gradient_reaches_every_parameter(two: PriorConfig, make_model: MakeModel, images: Tensor) -> None:
    model = make_model(replace(two, perturb=Perturbation(scale=0.2)))
    drawn = model.guide.look(images, painter_of(model)).draw(8, torch.Generator().manual_seed(1))
    assert (drawn.latents.objects.kind == 0).any(), "a mug, whose yaw is seen"
    drawn.log_q.sum().backward()
    for name, parameter in model.guide.named_parameters():
        assert parameter.grad is not None and (parameter.grad != 0).any(), name


def test_the_prior_is_covered_in_its_own_units(
    two: PriorConfig, make_model: MakeModel, images: Tensor, fits: Fits
) -> None:
    """E_q[p / q, n objects] = p(n), with p in metres and radians: over scenes of no object and of one."""
    camera = CameraPrior(elevation_rad=(0.5, 0.9), distance_m=(0.97, 1.2))
    prior = replace(two, max_objects=1, camera=camera, perturb=Perturbation(scale=0.05, light_angle_rad=0.1))
    model, count = make_model(prior), 2500
    with torch.no_grad():
        model.guide.camera_head[-1].bias[-4:] += 3.0  # of the four shares the widest scale: 1 / q has light tails
        drawn = model.guide.look(images[:1], painter_of(model)).draw(count, torch.Generator().manual_seed(2))
    scenes = model.world.to_batch(SceneLatents(*(type(p)(*(x[0] for x in p)) for p in drawn.latents)))
    ratio = np.exp(ScenePrior(prior).log_prob(scenes) - drawn.log_q[0].double().numpy())
    worst = 1.0
    for objects in (0, 1):
        part = ratio * (scenes.present.sum(1) == objects)
        error = part.std(ddof=1) / math.sqrt(count)
        assert error < 0.08 * 0.5, "the bound is worth something"
        worst = min(worst, 2.0 * stats.norm.sf(abs(part.mean() - 0.5) / error))
    fits(2.0 * worst, "mass of the prior under whole draws")


def with_presence(model: SceneModel, bias: float) -> SceneModel:
    with torch.no_grad():
        model.guide.presence_head[-1].bias.fill_(bias)
        model.guide.presence_head[-1].weight.zero_()
    return model


@pytest.mark.parametrize("least", [0, 1])
@pytest.mark.parametrize("bias", [-8.0, 8.0])
def test_presence_decides_the_count(
    two: PriorConfig, make_model: MakeModel, images: Tensor, least: int, bias: float
) -> None:
    model = with_presence(make_model(replace(two, min_objects=least)), bias)
    expected = 2 if bias > 0.0 else least
    latents, score = model.guide.look(images, painter_of(model)).mode()
    assert ((latents.objects.kind != ABSENT).sum(-1) == expected).all()
    p = 1.0 / (1.0 + math.exp(-bias))
    assert score[:, :expected].numpy() == pytest.approx(np.full((4, expected), p), rel=1e-4)
    assert (score[:, expected:] == 0.0).all()
    drawn = model.guide.look(images, painter_of(model)).draw(20, torch.Generator().manual_seed(0))
    assert ((drawn.latents.objects.kind != ABSENT).sum(-1) == expected).float().mean() > 0.9


def test_counts_are_drawn_with_the_probability_of_presence(
    two: PriorConfig, make_model: MakeModel, images: Tensor
) -> None:
    """P(n) = (1 - p), p (1 - p), p^2 with p = 0.4; five standard errors."""
    model = with_presence(make_model(two), math.log(0.4 / 0.6))
    with torch.no_grad():
        drawn = model.guide.look(images, painter_of(model)).draw(200, torch.Generator().manual_seed(0))
    count = (drawn.latents.objects.kind != ABSENT).sum(-1).flatten()
    for n, share in enumerate((0.6, 0.24, 0.16)):
        assert float((count == n).float().mean()) == pytest.approx(share, abs=5.0 * math.sqrt(0.25 / 800))


def test_the_greedy_answer_is_the_steps_most_probable(
    two: PriorConfig, make_model: MakeModel, images: Tensor, analytic: Renderer
) -> None:
    model = with_presence(make_model(two, feedback="difference"), 0.0)
    with torch.no_grad():
        model.guide.presence_head[-1].weight.normal_(0.0, 3.0, generator=torch.Generator().manual_seed(3))
        painter = painter_of(model, analytic)
        viewpoint = model.guide.cameras(images, painter)[-1].mode()
        none = model.world.no_objects(viewpoint, 2)
        logits = model.guide.step(images, painter, SceneLatents(viewpoint, none)).presence
        model.guide.presence_head[-1].bias.fill_(-float(logits.median()) - 1e-4)
        latents, score = model.guide.look(images, painter).mode()
        counts = (latents.objects.kind != ABSENT).sum(-1)
        assert len(set(counts.tolist())) > 1, "images differ"
        for b in range(4):
            one = images[b : b + 1]
            viewpoint = model.guide.cameras(one, painter)[-1].mode()
            assert torch.allclose(viewpoint.azimuth_rad[0], latents.viewpoint.azimuth_rad[b], atol=1e-5)
            done = model.world.no_objects(viewpoint, 2)
            for slot in range(2):
                step = model.guide.step(one, painter, SceneLatents(viewpoint, done))
                if step.presence <= 0.0:
                    assert counts[b] == slot
                    break
                assert float(score[b, slot]) == pytest.approx(float(step.presence.sigmoid()), abs=1e-4)
                found = model.guide.most_probable(step, viewpoint)
                for part, value, answer in zip(done, found, latents.objects, strict=True):
                    assert torch.allclose(value[0], answer[b, slot], atol=1e-4)
                    part[0, slot] = value[0]


def test_the_guide_is_shown_what_is_unexplained(
    two: PriorConfig, make_model: MakeModel, images: Tensor, fake_renderer: Any
) -> None:
    """By difference: the image minus the render of what is on the table. By marks: no render."""
    scene = np.random.default_rng(0).random((2, 32, 32, 3))
    renderer = fake_renderer(lambda scenes: scene[: len(scenes)])
    model = make_model(two, feedback="difference")
    painter = painter_of(model, renderer)
    viewpoint = Viewpoint(torch.zeros(2), torch.full((2, 2), 0.5))
    none = model.world.no_objects(viewpoint, 2)
    step = model.guide.step(images[:2], painter, SceneLatents(viewpoint, none))
    unexplained = images[:2] - torch.from_numpy(scene).permute(0, 3, 1, 2)
    assert step.pictures[:, 3:].numpy() == pytest.approx(unexplained.numpy(), abs=0.5 / 255.0 + 1e-6)
    assert torch.equal(step.pictures[:, :3], images[:2])
    assert renderer.scenes == 2
    marks = make_model(two)
    marks.guide.step(images[:2], painter_of(marks, renderer), SceneLatents(viewpoint, none))
    assert renderer.scenes == 2


def test_the_second_look_is_beside_the_empty_table_of_the_first(
    two: PriorConfig, make_model: MakeModel, images: Tensor, analytic: Renderer
) -> None:
    model = make_model(two, feedback="difference")
    painter = painter_of(model, analytic)
    with torch.no_grad():
        first, second = model.guide.cameras(images, painter)
        viewpoint = model.guide.first_look(images).mode()
        empty = painter.draw(SceneLatents(viewpoint, model.world.no_objects(viewpoint, 2)))
        expected = model.guide.second_look(images, empty, viewpoint)
    assert torch.equal(first.mode().azimuth_rad, viewpoint.azimuth_rad)
    assert torch.equal(second.azimuth.loc, expected.azimuth.loc)
    assert torch.equal(second.shares.loc, expected.shares.loc)
    marks = make_model(two)
    assert len(marks.guide.cameras(images, painter_of(marks))) == 1


def test_a_painter_draws_batches_of_any_shape(two: PriorConfig, make_model: MakeModel, analytic: Renderer) -> None:
    model = make_model(two)
    scenes = ScenePrior(two).sample_batch(np.random.default_rng(1), 6)
    latents = model.world.from_batch(scenes)
    folded = SceneLatents(
        *(type(part)(*(x.reshape(2, 3, *x.shape[1:]) for x in part)) for part in latents)  # type: ignore[arg-type]
    )
    pictures = painter_of(model, analytic).draw(folded)
    assert pictures.shape == (2, 3, 3, 32, 32)
    expected = analytic.render(scenes).astype(np.float32).transpose(0, 3, 1, 2) / 255.0
    difference = np.abs(pictures.flatten(0, 1).numpy() - expected)
    assert difference.mean() < 1e-3, "but for a pixel at an edge, by rounding to float32"


def test_renders_are_those_of_the_images_still_at_it(
    two: PriorConfig, make_model: MakeModel, images: Tensor, analytic: Renderer, fake_renderer: Any
) -> None:
    seen: list[SceneBatch] = []

    def picture(scenes: SceneBatch) -> Any:
        seen.append(scenes)
        return analytic.render(scenes) / 255.0

    renderer = fake_renderer(picture)
    model = with_presence(make_model(two, feedback="difference"), -8.0)
    model.guide.look(images, painter_of(model, renderer)).mode()
    assert renderer.scenes == 2 * 4 and not any(scenes.present.any() for scenes in seen), "the camera; the first step"
    with_presence(model, 8.0)
    model.guide.look(images, painter_of(model, renderer)).mode()
    assert renderer.scenes == 2 * 4 + 3 * 4 and seen[-1].present.sum(1).tolist() == [1] * 4


@pytest.mark.parametrize("feedback", ["marks", "difference"])
@pytest.mark.parametrize("least", [0, 1])
def test_the_density_of_given_scenes_is_that_of_draws(
    two: PriorConfig, make_model: MakeModel, images: Tensor, analytic: Renderer, feedback: str, least: int
) -> None:
    model = make_model(replace(two, min_objects=least, perturb=Perturbation(scale=0.2)), feedback=feedback)
    painter = painter_of(model, analytic)
    with torch.no_grad():
        drawn = model.guide.look(images[:3], painter).draw(5, torch.Generator().manual_seed(1))
        given = model.guide.look(images[:3], painter).score(drawn.latents)
    assert torch.allclose(given.log_q, drawn.log_q, atol=1e-3)
    assert torch.allclose(given.log_q_presence, drawn.log_q_presence, atol=1e-4)


@pytest.mark.parametrize("every", [False, True])
def test_what_the_guide_was_shown_comes_with_the_draws(
    two: PriorConfig, make_model: MakeModel, images: Tensor, analytic: Renderer, every: bool
) -> None:
    model = make_model(two, feedback="difference")
    painter = painter_of(model, analytic)
    with torch.no_grad():
        drawn = model.guide.look(images[:3], painter).draw(4, torch.Generator().manual_seed(2), every)
    viewpoint, objects = drawn.latents
    slots, enough = torch.arange(2), (objects.kind != ABSENT).sum(-1)
    for n in range(2):
        some = objects._replace(kind=torch.where(slots < n, objects.kind, ABSENT))
        pictures = drawn.shown(n)
        assert pictures is not None
        assert torch.equal(pictures, painter.draw(SceneLatents(viewpoint, some))[enough >= n])
    assert drawn.shown(2) is None and every == (len(drawn.drawn[1]) == 12)
