"""Estimators on the real objective, in small: they agree in expectation, cost what they say, and nothing leaks."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.estimators import mixture
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.errors import InputError
from air3d.scenes import one_object
from air3d.scenes.elbo import Problem, Step
from air3d.scenes.latents import Objects
from air3d.scenes.learner import EstimatorConfig, EstimatorName, Learner
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import to_pixels
from air3d.scenes.schedule import CoarseToFine
from air3d.training.collapse import CollapseWatch
from air3d.training.config import TrainConfig
from air3d.training.scenes import curriculum_share, easiest_first, new_model

NAMES = get_args(EstimatorName)
# A fixed, warm temperature: the objective is then the same for every estimator and every draw.
SCHEDULE = CoarseToFine(blur_px=3.0, temperature="sigma", sigma_start=3.0, sigma_end=3.0)


@pytest.fixture(scope="module")
def model(prior: Any, small_guide: Any, pictures: Any) -> SceneModel:
    config = TrainConfig(seed=3, guide=small_guide)
    made = new_model(config, prior, pictures.images)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # away from the start, where many gradients vanish
        for value in made.guide.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=generator))
    return made


def step(model: SceneModel, pictures: Any, config: EstimatorConfig, seed: int, progress: float = 0.4) -> Step:
    torch.manual_seed(0)
    with make_renderer(model.render_config, "raster") as renderer:
        images = to_pixels(pictures.images[:6])
        generator = torch.Generator().manual_seed(seed)
        return Learner(model, config).step(
            Problem(model.painter(renderer), images, model.likelihood, SCHEDULE, progress, generator)
        )


def gradient(model: SceneModel, step: Step) -> Tensor:
    model.guide.zero_grad()
    step.loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in model.guide.parameters()])


@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_steps_and_counts_its_renders(model: Any, pictures: Any, name: EstimatorName) -> None:
    config = EstimatorConfig(name, samples=6)
    one, again = (step(model, pictures, config, 7) for _ in range(2))
    assert torch.isfinite(one.loss)
    assert torch.equal(one.loss, again.loss), "the generator decides everything"
    assert one.renders == {"fd": 7 * 36}.get(name, 36)
    assert one.kind_share.sum() == pytest.approx(1.0)
    flat = gradient(model, one)
    assert torch.isfinite(flat).all()
    if name != "lr-nvil":  # whose first step only measures
        assert flat.norm() > 0.0


def test_the_exact_expectation_over_the_kind_has_the_same_mean_and_less_noise(model: Any, pictures: Any) -> None:
    """Both estimate the gradient of the same ELBO without bias."""

    def moments(name: EstimatorName, samples: int, draws: int) -> tuple[Tensor, Tensor]:
        config = EstimatorConfig(name, samples=samples)
        rows = torch.stack([gradient(model, step(model, pictures, config, seed)) for seed in range(draws)])
        return rows.mean(0), rows.var(0).sum() / draws

    (sampled, noise), (exact, less) = moments("lr", 24, 60), moments("lr-kind", 24, 60)
    assert less < noise
    # The squared distance of two means of independent draws is the sum of their variances, give or take.
    assert (sampled - exact).square().sum() < 3.0 * (noise + less)
    assert exact.square().sum() > 5.0 * less, "there is a signal to agree about"


class ByHand:
    """A step of a fixed temperature on four images, and what its parts are, recomputed from the latents it drew."""

    beta = 0.5 / 3.0**2

    def __init__(self, model: SceneModel, pictures: Any, renderer: Renderer) -> None:
        self.model, self.images = copy.deepcopy(model), to_pixels(pictures.images[:4])
        self.guide = self.model.guide
        last = self.guide.kind_head[-1]
        assert isinstance(last, torch.nn.Linear)
        with torch.no_grad():  # the guide leans towards some kinds
            last.bias += torch.tensor([1.0, 0.0, -1.0])
        self.problem = Problem(model.painter(renderer), self.images, model.likelihood, SCHEDULE, 0.4, self.generator())
        assert self.problem.blur_px == 0.0

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(3)

    def step(self, config: EstimatorConfig) -> Step:
        return Learner(self.model, config).step(self.problem._replace(generator=self.generator()))

    def error(self, latents: Objects) -> Tensor:
        """(B, K) sums of squared pixel differences, in float64."""
        latents = Objects(*(part.detach() for part in latents))
        pictures = one_object.render(self.problem, latents).double()
        return (pictures - self.images.double()[:, None]).square().sum((2, 3, 4))

    def log_prior(self, latents: Objects) -> Tensor:
        return one_object.log_prior(self.problem, Objects(*(part.detach() for part in latents))).double()


@pytest.fixture
def by_hand(model: SceneModel, pictures: Any) -> Iterator[ByHand]:
    with make_renderer(model.render_config, "raster") as renderer:
        yield ByHand(model, pictures, renderer)


def same_gradient(model: SceneModel, step: Step, expected: Tensor) -> None:
    """Of every parameter, within float32."""
    found = gradient(model, step)
    wanted = gradient(model, step._replace(loss=expected))
    assert float((found - wanted).norm()) < 1e-3 * float(wanted.norm())


def others_mean(reward: Tensor) -> Tensor:
    """(..., K): the mean of the other samples' rewards."""
    k = reward.shape[-1]
    return torch.stack([torch.cat([reward[..., :i], reward[..., i + 1 :]], -1).mean(-1) for i in range(k)], -1)


def test_lr_kind_is_the_formula_on_its_page(by_hand: ByHand) -> None:
    """q(c) in front of both sums: of what a kind is worth, and of the poses' likelihood ratios."""
    guide, kinds, each = by_hand.guide, 3, 4
    found = by_hand.step(EstimatorConfig("lr-kind", samples=kinds * each))
    state = guide(by_hand.images)
    kind = torch.arange(kinds).repeat_interleave(each).expand(4, -1)
    latents = guide.sample(state, kinds * each, by_hand.generator(), kind)
    log_pose = guide.log_prob_parts(state, latents)[1].double()
    reward = -by_hand.beta * by_hand.error(latents) + by_hand.log_prior(latents) - log_pose.detach()
    reward, log_pose = reward.unflatten(1, (kinds, each)), log_pose.unflatten(1, (kinds, each))
    q = torch.softmax(guide.kind_logits(state).double(), -1)
    assert (q[:, 0] > 1.5 * q[:, 1]).all() and (q[:, 1] > 1.5 * q[:, 2]).all()
    worth = (q * (reward.mean(-1) - q.log())).sum(-1)
    poses = (q.detach() * ((reward - others_mean(reward)) * log_pose).mean(-1)).sum(-1)
    same_gradient(by_hand.model, found, -(worth + poses).mean())
    torch.testing.assert_close(found.kind_share.double(), q.detach().mean(0), rtol=1e-4, atol=1e-6)


def test_fd_is_the_formula_on_its_page(by_hand: ByHand) -> None:
    """Likelihood ratio of what is discrete, differences through the renderer, and the entropy along the samples."""
    guide, config = by_hand.guide, EstimatorConfig("fd", samples=3)
    found = by_hand.step(config)
    state = guide(by_hand.images)
    latents, log_discrete = guide.rsample(state, 3, by_hand.generator())
    log_q = guide.log_prob(state, latents).double()
    reward = -by_hand.beta * by_hand.error(latents) + by_hand.log_prior(latents) - log_q.detach()
    steps = (config.step_m, config.step_m, config.step_rad)
    slopes = []
    for i, size in enumerate(steps):
        shift = size * torch.eye(3)[i]
        ends = [
            by_hand.error(Objects.upright(latents.kind, latents.place_m + s[:2], latents.yaw_rad + s[2]))
            for s in (shift, -shift)
        ]
        slopes.append(-by_hand.beta * (ends[0] - ends[1]) / (2.0 * size))
    along = torch.cat([latents.place_m, latents.yaw_rad[..., None]], -1).double()
    discrete = (reward - others_mean(reward)) * log_discrete.double()
    objective = discrete + (torch.stack(slopes, -1) * along).sum(-1) - log_q
    same_gradient(by_hand.model, found, -objective.mean())
    without = gradient(by_hand.model, found._replace(loss=-(objective + log_q).mean()))
    whole = gradient(by_hand.model, found._replace(loss=-objective.mean()))
    assert float((without - whole).norm()) > 0.05 * float(whole.norm()), "the entropy is a part that matters"


@pytest.mark.parametrize("name", ["lr", "vimco", "rws"])
def test_rewards_are_those_of_the_samples(by_hand: ByHand, name: Any) -> None:
    """Each estimator on log p(x, z) - log q(z | x) of what the guide drew, at the schedule's temperature."""
    found = by_hand.step(EstimatorConfig(name, samples=4))
    state = by_hand.guide(by_hand.images)
    latents = by_hand.guide.sample(state, 4, by_hand.generator())
    log_q = by_hand.guide.log_prob(state, latents).double()
    reward = -by_hand.beta * by_hand.error(latents) + by_hand.log_prior(latents) - log_q.detach()
    weight = torch.softmax(reward, -1)
    if name == "lr":
        loss = -((reward - others_mean(reward)) * log_q).mean()
    elif name == "rws":
        loss = -((weight - 0.25) * log_q).sum(-1).mean()  # centred, as it is by default
    else:
        without = torch.stack(
            [torch.cat([reward[:, :i], others_mean(reward)[:, i : i + 1], reward[:, i + 1 :]], 1) for i in range(4)], 1
        )
        gain = torch.logsumexp(reward, -1, keepdim=True) - torch.logsumexp(without, -1)
        loss = -((gain - weight) * log_q).sum(-1).mean()
    same_gradient(by_hand.model, found, loss)


@pytest.mark.parametrize("prior_share", [0.0, 0.25])
def test_shared_candidates_are_weighed_by_how_they_were_drawn(
    by_hand: ByHand, monkeypatch: pytest.MonkeyPatch, prior_share: float
) -> None:
    """The mixture's density is the guides' mean, and the prior's where a share of the candidates is drawn from it."""
    given: list[tuple[Tensor, ...]] = []
    original = mixture.surrogate

    def spy(*arguments: Any) -> Any:
        given.append(tuple(part.detach() for part in arguments[:3]))
        return original(*arguments)

    monkeypatch.setattr(mixture, "surrogate", spy)
    by_hand.step(EstimatorConfig("mixture", samples=8, prior_share=prior_share))
    ((log_q, log_target, log_mixture),) = given
    assert log_q.shape == (4, 32)
    own = 32 if prior_share == 0.0 else 24
    with torch.no_grad():
        state = by_hand.guide(by_hand.images)
        generator = by_hand.generator()
        latents = by_hand.guide.sample(state, own // 4, generator)
    flat = Objects(*(part.flatten(0, 1) for part in latents))
    every = Objects(*(part.expand(4, *part.shape) for part in flat))
    log_prior = float(by_hand.log_prior(latents)[0, 0])  # uniform: the same for all
    torch.testing.assert_close(log_q[:, :own].double(), by_hand.guide.log_prob(state, every).detach().double())
    wanted = -by_hand.beta * by_hand.error(every) + log_prior
    torch.testing.assert_close(log_target[:, :own].double(), wanted, rtol=1e-4, atol=1e-2)
    density = (1.0 - prior_share) * log_q.double().exp().mean(0) + prior_share * np.exp(log_prior)
    torch.testing.assert_close(log_mixture.double(), density.log(), rtol=1e-4, atol=1e-4)


def test_sleep_needs_no_image_of_the_batch(model: Any, pictures: Any) -> None:
    config = EstimatorConfig("lr", samples=4, sleep_until=0.5)
    asleep, awake = step(model, pictures, config, 1, 0.4), step(model, pictures, config, 1, 0.6)
    assert asleep.renders == 6
    assert awake.renders == 24
    dreams = step(model, type(pictures)(255 - pictures.images, pictures.truth), config, 1, 0.4)
    assert torch.equal(asleep.loss, dreams.loss)


def test_sleep_beside_wake_draws_a_picture_more_for_each_image(model: Any, pictures: Any) -> None:
    wake, both, sleep = (
        step(model, pictures, EstimatorConfig("rws", samples=4, sleep_share=share), 1) for share in (0.0, 0.25, 1.0)
    )
    assert (wake.renders, both.renders, sleep.renders) == (24, 30, 30)
    awake, mixed, asleep = (float(one.loss.detach()) for one in (wake, both, sleep))
    assert mixed == pytest.approx(0.75 * awake + 0.25 * asleep, rel=1e-4), "the samples are the same for any share"


def test_prior_candidates_stay_in_the_budget(model: Any, pictures: Any) -> None:
    one = step(model, pictures, EstimatorConfig("mixture", samples=8, prior_share=0.25), 2)
    assert one.renders == 48
    assert torch.isfinite(one.loss)


def test_the_baseline_of_nvil_learns_and_stays_out_of_the_guide(model: Any, pictures: Any) -> None:
    torch.manual_seed(0)
    taught = Learner(model, EstimatorConfig("lr-nvil", samples=4))
    with make_renderer(model.render_config, "raster") as renderer:
        images = to_pixels(pictures.images[:6])
        for seed in range(2):
            taught.zero_grad()
            generator = torch.Generator().manual_seed(seed)
            problem = Problem(model.painter(renderer), images, model.likelihood, SCHEDULE, 0.4, generator)
            taught.step(problem).loss.backward()
    assert float(taught.running[0][2]) == 2.0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in taught.memory.parameters())


@pytest.mark.parametrize(
    "change",
    [{"samples": 1}, {"sleep_share": 1.5}, {"prior_share": -0.1}, {"step_m": 0.0}, {"sleep_until": float("nan")}],
)
def test_bad_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="estimator: "):
        EstimatorConfig(**change)


def test_a_collapse_is_said_and_only_then() -> None:
    watch = CollapseWatch(("cube", "sphere", "cylinder"))
    even, one = torch.tensor([0.3, 0.4, 0.3]), torch.tensor([0.0, 1.0, 0.0])
    assert watch.look(0.05, one) is None, "early shares say nothing"
    watch = CollapseWatch(("cube", "sphere", "cylinder"))
    assert all(watch.look(0.5, even) is None for _ in range(20))
    assert watch.look(0.5, one) is None, "one odd batch is not a collapse"
    said = [watch.look(0.5, one) for _ in range(30)]
    assert "sphere" in str(said[-1])
    lost = [watch.look(0.6, torch.tensor([0.5, 0.5, 0.0])) for _ in range(60)]
    assert "cylinder is hardly ever" in str(lost[-1])
    assert CollapseWatch(("cube",)).look(0.9, torch.tensor([1.0])) is None


def test_the_curriculum_starts_with_the_emptiest_images() -> None:
    images = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
    for n, size in enumerate((3, 1, 2, 0)):
        images[n, :size, :size] = 200
    assert easiest_first(images.numpy(), torch.zeros(3, 8, 8)).tolist() == [3, 1, 2, 0]
    assert [curriculum_share(0.2, t) for t in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.2, 0.6, 1.0, 1.0])
