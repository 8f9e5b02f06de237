"""The bound and its estimators against sums over all outcomes, written out again in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from air3d.digits.latents import draw_noise
from air3d.digits.learner import make_learner
from air3d.digits.objective import (
    Terms,
    exact_loss,
    nested_squared_errors,
    nvil_loss,
    terms,
)
from air3d.digits.store import make_model
from air3d.distributions.circle import gumbel_max
from air3d.distributions.pixel_noise import PixelNoise
from air3d.estimators.nvil import RunningMoments


@pytest.fixture
def noise(small):
    return draw_noise(small, 7, torch.Generator().manual_seed(5)).double()


def written_out(images, trace, config):
    """The bound by enumeration of z_pres, one sequence after the other: (B,), and log q, R of every one."""
    p = torch.sigmoid(trace.presence)
    prior_where = torch.distributions.Normal(
        torch.tensor([np.log(config.scale), 0.0, 0.0], dtype=torch.float64),
        torch.tensor([config.scale_spread, config.place_spread, config.place_spread], dtype=torch.float64),
    )
    rho = config.count.success
    weights = [rho**n for n in range(config.steps + 1)]
    total, parts = 0.0, []
    for n in range(config.steps + 1):
        q = torch.ones(len(images)).double()
        for i in range(config.steps):
            if i < n:
                q = q * p[:, i]
            elif i == n:
                q = q * (1 - p[:, i])
        canvas = sum((trace.objects[:, i] for i in range(n)), torch.zeros_like(images))
        reward = torch.distributions.Normal(canvas, config.sigma).log_prob(images).sum((1, 2))
        reward = reward + np.log(weights[n] / sum(weights))
        for i in range(n):
            for q_z, prior in (
                (trace.q_where, prior_where),
                (trace.q_what, torch.distributions.Normal(torch.zeros(()).double(), 1.0)),
            ):
                normal = torch.distributions.Normal(q_z.loc[:, i], q_z.scale[:, i])
                reward = reward - torch.distributions.kl_divergence(normal, prior).sum(-1)
        total = total + q * (reward - q.log())
        parts.append((q, reward))
    return total, parts


@pytest.mark.parametrize("name", ["air", "dair"])
def test_exact_is_the_enumeration(name, small, images, noise, request):
    model, x = request.getfixturevalue(name).double(), images.double()
    parts = terms(x, model(x, noise), small)
    expected, _ = written_out(x, model(x, noise), small)
    assert torch.allclose(parts.elbo, expected)
    loss = exact_loss(parts)
    assert torch.allclose(loss, -expected.mean())
    found = torch.autograd.grad(loss, list(model.parameters()))
    wanted = torch.autograd.grad(-expected.mean(), list(model.parameters()))
    for a, b, (label, _) in zip(found, wanted, model.named_parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-10), label
        assert b.abs().max() > 0, label


@pytest.mark.parametrize("name", ["air", "dair"])
@pytest.mark.parametrize("variance", [0.0, 0.25, 1.0, 25.0, 400.0])
def test_nvil_has_the_exact_gradient_in_expectation(name, variance, small, images, noise, request):
    """Over all counts that may be drawn for two images, weighted with q(n), however far the rewards scatter."""
    model, x = request.getfixturevalue(name).double(), images.double()[:2]
    parameters = list(model.parameters())
    parts = terms(x, model(x, noise[:2]), small)
    wanted = flat(torch.autograd.grad(-parts.elbo.mean(), parameters, retain_graph=True))
    q = parts.log_q_count.exp().detach()
    seen = RunningMoments(*(torch.tensor(v).double() for v in (-3.0, variance, 5.0)))
    baseline = torch.tensor([12.0, -7.0]).double()  # knows nothing of the counts
    mean = torch.zeros_like(wanted)
    for counts in itertools.product(range(4), repeat=2):
        # A uniform number far above the others has its count drawn.
        uniform = torch.full((2, 4), 1e-12, dtype=torch.float64)
        uniform[range(2), counts] = 1.0 - 1e-12
        loss, after = nvil_loss(parts, baseline, seen, uniform)
        mean += q[range(2), counts].prod() * flat(torch.autograd.grad(loss, parameters, retain_graph=True))
        assert float(after.batches) == 6.0
    assert torch.allclose(mean, wanted, rtol=1e-9, atol=1e-9)
    assert float(torch.cosine_similarity(mean, wanted, dim=0)) == pytest.approx(1.0, abs=1e-12)
    assert float(mean.norm() / wanted.norm()) == pytest.approx(1.0, abs=1e-9)


def flat(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients])


def test_the_first_loss_of_nvil_moves_nothing(air, small, images, noise):
    """Neither the count nor the latents: half a gradient would point elsewhere."""
    model, x = air.double(), images.double()
    baseline = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    uniform = torch.rand(7, 4, generator=torch.Generator().manual_seed(0)).double()
    loss, after = nvil_loss(terms(x, model(x, noise), small), baseline, RunningMoments.initial(x), uniform)
    assert not flat(torch.autograd.grad(loss, [*model.parameters(), baseline])).any()
    assert float(after.batches) == 1.0 and float(after.variance) > 0.0


def test_nvil_draws_the_count_from_the_guide(air, small, images, noise, fits):
    x = images[:1].expand(20_000, -1, -1)
    parts = terms(x, air(x, noise[:1].float().expand(20_000, -1, -1)), small)
    drawn = gumbel_max(parts.log_q_count, torch.rand(20_000, 4, generator=torch.Generator().manual_seed(0)))
    expected = 20_000 * parts.log_q_count[0].exp().detach().double().numpy()
    assert expected.min() > 20
    found = np.bincount(drawn.numpy(), minlength=4)
    fits(stats.chisquare(found, expected / expected.sum() * 20_000).pvalue, "counts drawn by nvil")


def test_the_baseline_learns_and_the_model_does_not_feel_it(air, small, images, noise):
    x, one = images.double(), noise
    model = air.double()
    level = torch.full((7,), 3.0, dtype=torch.float64, requires_grad=True)
    moments = RunningMoments.initial(x)._replace(batches=torch.tensor(1.0).double())
    loss, _ = nvil_loss(terms(x, model(x, one), small), level, moments, torch.rand(7, 4).double())
    (gradient,) = torch.autograd.grad(loss, [level])
    assert (gradient != 0).all()


def test_likelihood_is_scipys():
    rng = np.random.default_rng(0)
    image, objects = rng.random((2, 6, 6)), rng.random((2, 3, 6, 6))
    error = nested_squared_errors(torch.from_numpy(image), torch.from_numpy(objects))
    found = PixelNoise(0.3).log_prob(error, 36)
    for b, n in itertools.product(range(2), range(4)):
        canvas = objects[b, :n].sum(0)
        expected = stats.norm.logpdf(image[b], canvas, 0.3).sum()
        assert float(found[b, n]) == pytest.approx(expected, rel=1e-12)


def test_float32_is_close_enough_for_training(small):
    rng = np.random.default_rng(1)
    image, objects = rng.random((4, 50, 50)), 0.3 * rng.random((4, 3, 50, 50))
    double = nested_squared_errors(torch.from_numpy(image), torch.from_numpy(objects))
    single = nested_squared_errors(torch.from_numpy(image).float(), torch.from_numpy(objects).float())
    assert torch.allclose(single.double(), double, rtol=1e-5)


def test_steps_beyond_the_count_do_not_matter(air, small, images, noise):
    """The parts for n objects depend on the first n steps alone."""
    x = images
    before = terms(x, air(x, noise.float()), small)
    changed = noise.float().clone()
    changed[:, 1:] += 1.0
    after = terms(x, air(x, changed), small)
    assert torch.equal(before.reward[:, :2], after.reward[:, :2])
    assert not torch.allclose(before.reward[:, 2:], after.reward[:, 2:])
    assert torch.equal(before.log_q_count[:, :2], after.log_q_count[:, :2])


def test_the_prior_is_annealed(air, small, images, noise):
    from dataclasses import replace

    from air3d.distributions.z_pres import CountPrior

    config = replace(small, count=CountPrior(0.01, 2.0, 0.5))
    trace = air(images, noise.float())
    learner = make_learner(make_model("air", config, seed=0), "exact", "float32")
    start, end = (learner.draw(7, progress, torch.Generator())[1] for progress in (0.0, 0.5))
    for given, used in ((start, start), (None, end)):
        assert torch.equal(terms(images, trace, config, given).log_prior_count, used)
    assert torch.allclose(start.diff(), torch.tensor(2.0).log())
    assert torch.allclose(end.diff(), torch.tensor(0.01).log())


def test_exploring_changes_what_the_latents_learn_and_not_what_the_count_does() -> None:
    """The gradient in log q(n) is that of the bound; the one in R_n is the mixture of q(n) and the uniform."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, generator=generator, requires_grad=True)
    likelihood = (30.0 * torch.randn(5, 4, generator=generator)).requires_grad_()

    def gradients(explore: float) -> tuple[torch.Tensor, torch.Tensor]:
        parts = Terms(torch.log_softmax(logits, 1), likelihood, torch.zeros(4), torch.zeros(5, 4))
        found = torch.autograd.grad(exact_loss(parts, explore), (logits, likelihood))
        return found[0], found[1]

    q = torch.softmax(logits, 1).detach()
    bound = -(torch.softmax(logits, 1) * (likelihood.detach() - torch.log_softmax(logits, 1))).sum(1).mean()
    (expected,) = torch.autograd.grad(bound, logits)
    for explore in (0.0, 0.3, 1.0):
        count, path = gradients(explore)
        torch.testing.assert_close(count, expected)
        torch.testing.assert_close(path, -((1.0 - explore) * q + explore / 4.0) / 5.0)
