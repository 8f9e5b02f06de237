"""The contract of gradient estimators: with both guides, and against the gradient of the ELBO by enumeration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize
from air3d.distributions.z_pres import count_log_probs
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import Perturbation, PriorConfig
from air3d.scenes.elbo import Problem, Step
from air3d.scenes.guide import CERTAIN, Draw
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.learner import ESTIMATORS, EstimatorConfig, Learner
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import to_pixels
from air3d.scenes.schedule import CoarseToFine
from air3d.scenes.soft_prior import scene_log_prior

Fits = Callable[[float, str], None]

ALL = [name for name, estimator in ESTIMATORS.items() if estimator.alone is None]
ALONE = [name for name in ESTIMATORS if name not in ALL]
SIGMA = 0.5


class Setting:
    """A small model, pictures for it, and one step of learning."""

    def __init__(self, model: Any, renderer: Renderer, images: Tensor) -> None:
        self.model, self.renderer, self.images = model, renderer, images

    def problem(self, seed: int = 2, schedule: CoarseToFine | None = None) -> Problem:
        generator = torch.Generator().manual_seed(seed)
        return Problem(self.model.painter(self.renderer), self.images, Likelihood(SIGMA), schedule, 0.5, generator)

    def learner(self, name: str) -> Learner:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            learner = Learner(self.model, EstimatorConfig(name, samples=4))
        if name == "lr-nvil":
            learner.step(self.problem(seed=1))  # which only measures
        return learner


@pytest.fixture
def one(model: SceneModel[Any], pictures: Any) -> Iterator[Setting]:
    with make_renderer(model.render_config, "analytic") as renderer:
        yield Setting(model, renderer, to_pixels(pictures.images[:4]))


@pytest.fixture(params=["difference", "marks"])
def several(
    request: pytest.FixtureRequest, two: PriorConfig, make_model: Any, images: Tensor, analytic: Renderer
) -> Setting:
    return Setting(make_model(replace(two, perturb=Perturbation(scale=0.1)), feedback=request.param), analytic, images)


def gradients(learner: Learner, step: Step) -> dict[str, Tensor]:
    learner.zero_grad()
    step.loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in learner.guide.named_parameters()}
    assert all(gradient.isfinite().all() for gradient in found.values())
    return found


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("schedule", [None, CoarseToFine()])
def test_on_whole_scenes(several: Setting, name: str, schedule: CoarseToFine | None) -> None:
    """Finite, repeatable, and every parameter that the answer depends on hears of it."""
    learner = several.learner(name)
    step = learner.step(several.problem(schedule=schedule))
    again = several.learner(name).step(several.problem(schedule=schedule))
    assert step.loss.isfinite() and float(step.loss.detach()) == float(again.loss.detach())
    # Where there are two looks for the camera, the second is the answer; the first is where it starts from.
    unused = {"camera_encoder", "camera_head"} if several.model.guide.config.feedback == "difference" else set()
    for parameter, gradient in gradients(learner, step).items():
        assert (gradient != 0.0).any() == (parameter.split(".")[0] not in unused), parameter
    assert 0 < step.renders <= 4 * 4 * 3 and 0.0 < float(step.objects) < 2.0
    assert float(step.kind_share.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_on_one_object(one: Setting, name: str) -> None:
    learner = one.learner(name)
    step, again = learner.step(one.problem()), one.learner(name).step(one.problem())
    assert step.loss.isfinite() and float(step.loss.detach()) == float(again.loss.detach())
    for parameter, gradient in gradients(learner, step).items():  # a first step of the LSTM knows no state
        assert (gradient != 0.0).any() == (parameter != "core.weight_hh"), parameter
    assert step.renders == {"fd": 7, "lr-kind": 6 / 4}.get(name, 1) * 16 and float(step.objects) == 1.0


@pytest.mark.parametrize("name", ["slotwise", "counts"])
def test_on_one_object_the_count_and_the_slot_add_nothing(one: Setting, name: str) -> None:
    """The count is certain, and the scene before the slot is the empty table, the same for all samples: it is lr."""
    learner = one.learner("lr")
    for schedule in (None, CoarseToFine()):
        wanted = gradients(learner, learner.step(one.problem(schedule=schedule)))
        step = one.learner(name).step(one.problem(schedule=schedule))
        found = gradients(learner, step)
        scale = max(float(gradient.abs().max()) for gradient in wanted.values())
        assert all(torch.allclose(found[p], wanted[p], atol=1e-4 * scale) for p in wanted)
        assert step.renders == 16, "the empty table is not drawn"


@pytest.mark.parametrize("name", ALONE)
def test_what_is_for_one_object_alone_says_why(several: Setting, name: str) -> None:
    reason = ESTIMATORS[name].alone
    with pytest.raises(InputError, match="is for one object under a known camera: ") as caught:
        Learner(several.model, EstimatorConfig(name))
    said = str(caught.value)
    assert said.startswith(f"estimator {name} is") and str(reason) in said and said.endswith(f"; use {', '.join(ALL)}")
    assert "\n" not in said


@pytest.mark.parametrize("change", [{"sleep_share": 0.1}, {"sleep_until": 0.1}])
def test_the_sleep_of_one_object_is_not_that_of_scenes(several: Setting, change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="sleep_share and sleep_until are for one object"):
        Learner(several.model, EstimatorConfig("rws", **change))  # type: ignore[arg-type]


# ---- a guide of which every scene can be enumerated ----

PLACES = torch.tensor([[-0.1, 0.0], [0.1, 0.05]])


class ToyGuide(nn.Module):
    """A camera that is one of two, up to two objects of two kinds at fixed places; seven or five free probabilities.

    The second object depends on the first, and so does whether there is one.
    """

    def __init__(self, world: World, shows: bool) -> None:
        super().__init__()
        self.world, self.shows = world, shows
        self.theta = nn.Parameter(torch.tensor([0.3, -0.5, 0.8, -0.2, 1.0, 0.7, 0.4]))

    def look(self, images: Tensor, painter: Any) -> ToyPosterior:
        return ToyPosterior(self, painter, len(images))

    def terms(self, s: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log q of the camera s (...) and of both objects z (..., 2), and the logits of their presence (..., 2)."""
        log = nn.functional.logsigmoid
        t = self.theta
        known = self.world.azimuth_known
        camera = torch.zeros(s.shape) if known else log(t[0] * (2 * s - 1))
        objects = torch.stack([log(t[1] * (2 * z[..., 0] - 1)), log(t[2 + z[..., 0]] * (2 * z[..., 1] - 1))], -1)
        least = self.world.prior.min_objects
        first = t[4].expand(s.shape) if least < 1 else torch.full(s.shape, CERTAIN)
        return camera, objects, torch.stack([first, t[5 + z[..., 0]]], -1)

    def scenes(self, s: Tensor, z: Tensor, count: Tensor) -> SceneLatents:
        slots, s = self.world.prior.max_objects, s * (not self.world.azimuth_known)
        kind = torch.where(torch.arange(slots) < count[..., None], z[..., :slots], ABSENT)
        flat = torch.zeros(kind.shape)
        place = PLACES[:slots].expand(*kind.shape, 2)
        objects = Objects.upright(kind, place, flat, flat[..., None][..., :0])
        return SceneLatents(Viewpoint(s.float(), torch.zeros(*s.shape, 0)), objects)


class ToyPosterior:
    def __init__(self, guide: ToyGuide, painter: Any, images: int) -> None:
        self.guide, self.painter, self.images = guide, painter, images

    def draw(self, samples: int, generator: torch.Generator, every: bool = False) -> Draw:
        guide, slots, shape = self.guide, self.guide.world.prior.max_objects, (self.images, samples)

        def coin(logit: Tensor) -> Tensor:
            return (torch.rand(shape, generator=generator) < torch.sigmoid(logit)).long()

        with torch.no_grad():
            s, first = coin(guide.theta[0]), coin(guide.theta[1])
            z = torch.stack([first, coin(guide.theta[2 + first])], -1)
            presence = guide.terms(s, z)[2]
            here = torch.stack([coin(presence[..., 0]), coin(presence[..., 1])], -1).cumprod(-1)[..., :slots]
            count = torch.full(shape, slots) if every else here.sum(-1)
        camera, objects, presence = guide.terms(s, z)
        slot = torch.arange(slots)
        asked, there = slot <= count[..., None], slot < count[..., None]
        log_presence = nn.functional.logsigmoid(torch.where(there, presence[..., :slots], -presence[..., :slots]))
        latents = guide.scenes(s, z, count)
        shown: list[Tensor | None] = []
        for n in range(slots if guide.shows else 0):
            partial = guide.scenes(s, z, torch.full(shape, n))
            shown.append(self.painter.draw(partial)[count >= n])
        return Draw(
            latents,
            camera,
            torch.where(asked, presence[..., :slots], 0.0),
            torch.where(asked, log_presence, 0.0),
            torch.where(there, objects[..., :slots], 0.0),
            shown,
        )


class ToyPainter:
    """Pictures of 8 x 8 pixels of one grey, which depends on the camera, the kinds and their number."""

    def __init__(self, world: World) -> None:
        self.world, self.drawn = world, 0
        self.grey = 0.02 + 0.28 * torch.rand((2, 3, 3), generator=torch.Generator().manual_seed(5))

    def draw(self, latents: SceneLatents) -> Tensor:
        kind = latents.objects.kind + 1
        kind = torch.cat([kind, torch.zeros(*kind.shape[:-1], 2 - kind.shape[-1], dtype=torch.int64)], -1)
        self.drawn += kind[..., 0].numel()
        camera = (latents.viewpoint.azimuth_rad > 0.5).long()
        grey = self.grey[camera, kind[..., 0], kind[..., 1]]
        return grey[..., None, None, None].expand(*grey.shape, 3, 8, 8)


class Toy:
    """The problem, and the gradient of its ELBO by enumeration."""

    sigma = 0.7

    def __init__(self, prior: PriorConfig, shows: bool) -> None:
        self.world = World(prior)
        self.guide, self.painter = ToyGuide(self.world, shows), ToyPainter(self.world)

    def step(self, name: str, images: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Step]:
        """One draw of the gradient that is maximised, and the step."""
        model = SimpleNamespace(world=self.world, guide=self.guide, image_size=ImageSize(8, 8))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            learner = Learner(model, EstimatorConfig(name, samples=samples))
        for moments in learner.running:  # some batches were seen, and their spread was below one: the scale is one
            moments.copy_(torch.tensor([-3.0, 0.5, 4.0]))
        black = torch.zeros(images, 3, 8, 8)
        problem = Problem(self.painter, black, Likelihood(self.sigma), None, 0.0, generator)  # type: ignore[arg-type]
        step = learner.step(problem)
        return -torch.autograd.grad(step.loss, self.guide.theta)[0], step

    def exact(self) -> tuple[Tensor, float]:
        """The gradient of the ELBO, and its value."""
        slots = self.world.prior.max_objects
        s, first, second = torch.tensor(list(itertools.product((0, 1), repeat=3))).T
        z = torch.stack([first, second], -1)
        camera, objects, presence = self.guide.terms(s, z)
        log_count = count_log_probs(presence[:, :slots])
        total = torch.zeros(())
        twice = int(self.world.azimuth_known) + 2 - slots  # where camera or second object are not there, all come twice
        for n in range(slots + 1):
            scenes = self.guide.scenes(s, z, torch.full(s.shape, n))
            error = self.painter.draw(scenes).square().sum((1, 2, 3))
            value = -0.5 * error / self.sigma**2 + scene_log_prior(self.world, scenes)
            log_q = camera + log_count[:, n] + objects[:, :n].sum(-1)
            value = value - log_q  # differentiated too: that its score has mean zero is the estimators' claim
            share = (camera + objects[:, :slots].sum(-1) + log_count[:, n]).exp() / 2.0**twice
            total = total + (share * value).sum()
        return torch.autograd.grad(total, self.guide.theta)[0], float(total.detach())


@pytest.fixture(scope="module", params=["shown", "not shown", "one object", "one or two"])
def toy(request: pytest.FixtureRequest, two: PriorConfig, prior: PriorConfig) -> Toy:
    if request.param == "one object":
        return Toy(replace(prior, kinds=prior.kinds[:2]), False)
    return Toy(replace(two, min_objects=1 if request.param == "one or two" else 0), request.param == "shown")


@pytest.mark.parametrize("name", ["lr", "lr-nvil", "slotwise", "counts"])
def test_the_mean_gradient_is_that_of_the_elbo(toy: Toy, name: str, fits: Fits) -> None:
    """The mean of many draws against enumeration, along every parameter; so are the logged numbers."""
    generator, blocks = torch.Generator().manual_seed(1), 60
    draws, values = [], []
    for _ in range(blocks):
        gradient, step = toy.step(name, 150, 4, generator)
        draws.append(gradient.double())
        values.append(float(step.diagnostics.reward))
    found, (exact, elbo) = torch.stack(draws), toy.exact()
    error = found.std(0) / math.sqrt(blocks)
    free = exact != 0.0
    assert torch.equal(free, error > 0.0) and int(free.sum()) >= 1, "no parameter is forgotten"
    assert (error[free] < 0.2 * exact.abs().max()).all() and exact[free].abs().min() > 1e-3, "no empty test"
    p_value = 2.0 * stats.t.sf(((found.mean(0) - exact)[free] / error[free]).abs().numpy(), blocks - 1)
    fits(float(int(free.sum()) * p_value.min()), f"gradient of {name} on a toy")
    spread = float(np.std(values, ddof=1)) / math.sqrt(blocks)
    fits(float(2.0 * stats.t.sf(abs(np.mean(values) - elbo) / spread, blocks - 1)), f"bound of {name} on a toy")


def test_what_a_guide_was_shown_is_not_drawn_again(two: PriorConfig) -> None:
    drawn = {}
    for shows in (True, False):
        toy = Toy(two, shows)
        drawn[shows] = {name: toy.step(name, 20, 4, torch.Generator().manual_seed(3))[1] for name in ("lr", "slotwise")}
        scenes = 20 * 4
        whole = drawn[shows]["lr"].renders
        assert whole == scenes if not shows else 0 < whole < scenes, "scenes of two objects were not shown whole"
    objects = float(drawn[True]["lr"].objects)
    assert drawn[True]["slotwise"].renders == drawn[True]["lr"].renders
    assert drawn[False]["slotwise"].renders == 80 + round(80 * objects), "the scene before each object"
    assert all(
        torch.allclose(drawn[True][name].loss, drawn[False][name].loss, rtol=1e-4) for name in ("lr", "slotwise")
    )
