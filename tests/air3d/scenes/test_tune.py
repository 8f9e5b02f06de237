"""Fine-tuning: the estimators' own surrogates on the log-probabilities and rewards of nested scenes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor, nn

from air3d.estimators import counts
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import ABSENT
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import Perturbation, PriorConfig
from air3d.scenes import tune
from air3d.scenes.guide import Draw
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.likelihood import Gaussian
from air3d.scenes.model import SceneModel
from air3d.scenes.soft_prior import scene_log_prior
from air3d.scenes.tune import TuneConfig, TuneEstimator, first, nested_errors, nested_log_prior, tune_step

MakeModel = Callable[..., SceneModel]
Fits = Callable[[float, str], None]

SIGMA = 0.5


@pytest.fixture
def model(two: PriorConfig, make_model: MakeModel) -> SceneModel:
    return make_model(replace(two, perturb=Perturbation(scale=0.1)), feedback="difference")


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def test_all_steps_are_drawn_and_each_has_its_density(model: SceneModel, images: Tensor, analytic: Renderer) -> None:
    """Step by step, given the objects before it; in the prior's units."""
    guide, world, painter = model.guide, model.world, model.painter(analytic)
    with torch.no_grad():
        drawn = guide.look(images[:2], painter).draw(3, seeded(), every=True)
        viewpoint, objects = drawn.latents
        assert (objects.kind != ABSENT).all() and drawn.presence.shape == drawn.log_q_objects.shape == (2, 3, 2)
        look = guide.cameras(images[:2], painter)[-1]
        for b, k in itertools.product(range(2), range(3)):
            one = Viewpoint(*(part[b, k][None] for part in viewpoint))
            camera = float(type(look)(*(type(p)(*(x[b : b + 1] for x in p)) for p in look)).log_prob(one))
            assert float(drawn.log_q_viewpoint[b, k]) == pytest.approx(camera - world.log_volume, abs=1e-3)
            for slot in range(2):
                done = first(Objects(*(part[b, k][None] for part in objects)), slot)
                step = guide.step(images[b : b + 1], painter, SceneLatents(one, done))
                assert float(drawn.presence[b, k, slot]) == pytest.approx(float(step.presence), abs=1e-3)
                found = Objects(*(part[b, k, slot][None, None] for part in objects))
                nats = float(guide.log_prob(step, one, found)) - math.log(0.2)  # sizes from 0.9 to 1.1
                assert float(drawn.log_q_objects[b, k, slot]) == pytest.approx(nats, abs=2e-3)


def test_the_least_count_is_certain(two: PriorConfig, make_model: MakeModel, images: Tensor) -> None:
    model = make_model(replace(two, min_objects=1))
    with torch.no_grad():
        drawn = model.guide.look(images, model.painter(None)).draw(4, seeded(), every=True)  # type: ignore[arg-type]
    q = counts.count_log_probs(drawn.presence).exp()
    assert float(q[..., 0].max()) < 1e-12
    assert torch.allclose(q.sum(-1), torch.ones(4, 4))


def test_errors_and_priors_are_those_of_the_partial_scenes(
    model: SceneModel, images: Tensor, analytic: Renderer
) -> None:
    painter = model.painter(analytic)
    with torch.no_grad():
        drawn = model.guide.look(images[:2], painter).draw(3, seeded(), every=True)
        error, prior = nested_errors(painter, images[:2], drawn, Gaussian(SIGMA)), nested_log_prior(painter, drawn)
        assert error.shape == prior.shape == (2, 3, 3)
        viewpoint, objects = drawn.latents
        for n in range(3):
            for b, k in itertools.product(range(2), range(3)):
                kind = objects.kind[b, k].clone()
                kind[n:] = ABSENT
                scene = SceneLatents(
                    Viewpoint(*(part[b, k][None] for part in viewpoint)),
                    Objects(kind[None], *(part[b, k][None] for part in objects[1:])),
                )
                picture = analytic.render(model.world.to_batch(scene))[0].transpose(2, 0, 1) / 255.0
                expected = np.square(picture - images[b].double().numpy()).sum()
                assert float(error[b, k, n]) == pytest.approx(expected, rel=1e-3)
                assert float(prior[b, k, n]) == pytest.approx(float(scene_log_prior(model.world, scene)), abs=1e-3)


def gradients(model: SceneModel, loss: Tensor) -> list[Tensor]:
    parameters = list(model.guide.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def test_lr_is_lr_on_whole_scenes(
    model: SceneModel, images: Tensor, analytic: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave-one-out advantages of log p(x, z) - log q(z | x), by hand, times d log q; counts drawn from q."""
    painter, chosen = model.painter(analytic), []
    original = tune._estimate

    def spy(*arguments: Any) -> Any:
        chosen.append(arguments[-1])
        return original(*arguments)

    monkeypatch.setattr(tune, "_estimate", spy)
    step = tune_step(model.guide, painter, images[:2], TuneConfig("lr", 4), Gaussian(SIGMA), seeded())
    drawn = model.guide.look(images[:2], painter).draw(4, seeded(), every=True)
    (count,) = chosen
    log_q = torch.zeros(2, 4)
    reward = np.zeros((2, 4, 3))
    error = nested_errors(painter, images[:2], drawn, Gaussian(SIGMA)).double().numpy()
    prior = nested_log_prior(painter, drawn).double().numpy()
    for n in range(3):
        p = drawn.presence
        stays = sum((nn.functional.logsigmoid(p[..., i]) for i in range(n)), torch.zeros(2, 4))
        stops = nn.functional.logsigmoid(-p[..., n]) if n < 2 else torch.zeros(2, 4)
        whole = drawn.log_q_viewpoint + stays + stops + drawn.log_q_objects[..., :n].sum(-1)
        reward[..., n] = -0.5 * error[..., n] / SIGMA**2 + prior[..., n] - whole.detach().double().numpy()
        log_q = torch.where(count == n, whole, log_q)
    chosen_reward = np.take_along_axis(reward, count.numpy()[..., None], -1)[..., 0]
    others = (chosen_reward.sum(-1, keepdims=True) - chosen_reward) / 3.0
    loss = -(torch.from_numpy(chosen_reward - others).float() * log_q).mean()
    assert float(step.loss.detach()) == pytest.approx(float(loss.detach()), rel=1e-3)
    for one, other in zip(gradients(model, step.loss), gradients(model, loss), strict=True):
        assert torch.allclose(one, other, rtol=1e-2, atol=1e-3 * float(other.abs().max()) + 1e-4)
    # What is logged is the expectation over the count.
    share = special.softmax(counts.count_log_probs(drawn.presence).detach().numpy(), -1)
    assert float(step.elbo) == pytest.approx((share * reward).sum(-1).mean(), rel=1e-3)
    assert float(step.squared_error) == pytest.approx((share * error).sum(-1).mean(), rel=1e-3)
    assert float(step.objects) == pytest.approx((share * np.arange(3)).sum(-1).mean(), rel=1e-3)
    assert float(step.reward_spread) == pytest.approx(chosen_reward.std(-1, ddof=1).mean(), rel=1e-2)


class Toy:
    """Two steps of binary objects and a count, all probabilities free: 1 + 2 parameters of objects, 1 + 2 of presence.

    The second step's probabilities depend on the first object. Its objective's gradient is known by enumeration.
    """

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        # Mostly two objects.
        self.theta = torch.tensor([0.3, -0.5, 0.8, -0.2, 1.5, 1.2, 0.9], dtype=torch.float64, requires_grad=True)
        self.table = 2.0 * torch.randn((2, 2, 2, 3), generator=g, dtype=torch.float64)  # viewpoint, z1, z2, n

    def log_probs(self, s: Tensor, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log q of the viewpoint, of the two steps (..., 2), and presence logits (..., 2)."""
        ls = nn.functional.logsigmoid
        t = self.theta
        viewpoint = ls(t[0] * (2 * s - 1))
        one, two = ls(t[1] * (2 * z1 - 1)), ls(t[2 + z1] * (2 * z2 - 1))
        presence = torch.stack([t[4].expand(z1.shape), t[5 + z1]], -1)
        return viewpoint, torch.stack([one, two], -1), presence

    def reward(self, s: Tensor, z1: Tensor, z2: Tensor, terms: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """R_n (..., 3): a table of what the partial scene is worth, less its log q."""
        value = torch.stack([self.table[s, 0, 0, 0], self.table[s, z1, 0, 1], self.table[s, z1, z2, 2]], -1)
        viewpoint, steps, presence = (term.detach() for term in terms)
        done = torch.cat([torch.zeros_like(steps[..., :1]), steps.cumsum(-1)], -1)
        return value - counts.count_log_probs(presence) - done - viewpoint[..., None]

    def exact(self) -> Tensor:
        """The gradient of E_q[R], by enumeration."""
        s, z1, z2 = torch.tensor(list(itertools.product((0, 1), repeat=3))).T
        terms = self.log_probs(s, z1, z2)
        viewpoint, steps, presence = terms
        log_q = counts.count_log_probs(presence) + (viewpoint + steps.sum(-1))[..., None]
        objective = (log_q.exp() * self.reward(s, z1, z2, terms)).sum()
        return torch.autograd.grad(objective, self.theta)[0]


@pytest.mark.parametrize("estimator", ["lr", "slotwise", "counts"])
def test_every_estimator_is_unbiased_on_a_toy(estimator: Any, fits: Fits) -> None:
    """The mean of many draws against enumeration, along every parameter."""
    toy, g, blocks = Toy(), torch.Generator().manual_seed(1), 60
    draws = []
    for _ in range(blocks):

        def coin(logit: Tensor) -> Tensor:
            return (torch.rand(300, 4, generator=g) < torch.sigmoid(logit)).long()

        s, z1 = coin(toy.theta[0]), coin(toy.theta[1])
        z2 = coin(toy.theta[2 + z1])
        terms = toy.log_probs(s, z1, z2)
        log_q_count = counts.count_log_probs(terms[2])
        count = torch.multinomial(log_q_count.detach().exp().flatten(0, 1), 1, generator=g).reshape(300, 4)
        nested = Draw(None, terms[0], terms[2], None, terms[1], [])  # type: ignore[arg-type]
        loss = tune._estimate(estimator, nested, log_q_count, toy.reward(s, z1, z2, terms), count).loss
        draws.append(-torch.autograd.grad(loss, toy.theta)[0])
    found = torch.stack(draws)
    error, exact = found.std(0) / math.sqrt(blocks), toy.exact()
    assert exact.abs().min() > 0.005 and (error < 0.1 * exact.abs().max()).all(), "no empty test"
    p_value = 2.0 * stats.t.sf(((found.mean(0) - exact) / error).abs().numpy(), blocks - 1)
    fits(7.0 * float(p_value.min()), f"gradient of {estimator} on a toy")


@pytest.mark.parametrize("estimator", get_args(TuneEstimator))
def test_a_step_reaches_every_parameter_and_repeats(
    model: SceneModel, images: Tensor, analytic: Renderer, estimator: Any
) -> None:
    painter, config = model.painter(analytic), TuneConfig(estimator, 4)
    step = tune_step(model.guide, painter, images, config, Gaussian(SIGMA), seeded())
    again = tune_step(model.guide, painter, images, config, Gaussian(SIGMA), seeded())
    assert float(step.loss.detach()) == float(again.loss.detach())
    unused = {"camera_encoder", "camera_head"}  # the second look is the answer; the first is where it starts from
    for (name, _), gradient in zip(model.guide.named_parameters(), gradients(model, step.loss), strict=True):
        assert gradient.isfinite().all()
        assert (gradient != 0.0).any() == (name.split(".")[0] not in unused), name
    assert {"elbo", "squared_error", "objects", "reward_spread", "renders"} == step.record().keys()


@pytest.mark.parametrize("estimator", ["vimco", "rws"])
def test_whole_scenes_are_weighed_by_their_importance(estimator: Any) -> None:
    """On the toy, by hand: log w = R of the drawn count, log q of viewpoint, count and the objects that are there."""
    toy, g = Toy(), torch.Generator().manual_seed(4)
    s, z1, z2 = torch.randint(2, (3, 5, 4), generator=g).unbind()
    terms = toy.log_probs(s, z1, z2)
    count = torch.randint(3, (5, 4), generator=g)
    log_q_count, reward = counts.count_log_probs(terms[2]), toy.reward(s, z1, z2, terms)
    nested = Draw(None, terms[0], terms[2], None, terms[1], [])  # type: ignore[arg-type]
    found = tune._estimate(estimator, nested, log_q_count, reward, count).loss
    log_q = terms[0] + log_q_count.gather(-1, count[..., None])[..., 0]
    log_q = log_q + torch.where(count > 0, terms[1][..., 0], 0.0) + torch.where(count > 1, terms[1][..., 1], 0.0)
    log_w = reward.gather(-1, count[..., None])[..., 0]
    share = torch.softmax(log_w, -1)
    if estimator == "rws":
        by_hand = -((share - 0.25) * log_q).sum(-1).mean()
    else:
        bound = torch.logsumexp(log_w, -1)
        others = (log_w.sum(-1, keepdim=True) - log_w) / 3.0
        replaced = [torch.where(torch.arange(4) == k, others[:, k : k + 1], log_w) for k in range(4)]
        without = torch.stack([torch.logsumexp(each, -1) for each in replaced], -1)
        by_hand = -((bound[:, None] - without - share) * log_q).sum(-1).mean()
    gradient, expected = (torch.autograd.grad(loss, toy.theta, retain_graph=True)[0] for loss in (found, by_hand))
    assert torch.allclose(gradient, expected, rtol=1e-6)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="use one of lr, vimco, rws, slotwise, counts"):
        TuneConfig("mixture")  # type: ignore[arg-type]
    for samples in (1, 5000):
        with pytest.raises(InputError, match=f"samples is {samples}"):
            TuneConfig(samples=samples)
