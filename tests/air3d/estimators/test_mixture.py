"""Candidates shared across the batch: exact expectations by enumeration of everything that could be drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.estimators import rws
from air3d.estimators.mixture import mixture_log_density, surrogate

# Two images, three values of z; image 0 hardly ever draws value 2, which is what it shows.
LOGITS = torch.tensor([[1.5, 0.5, -2.0], [-0.5, 0.2, 0.9]], dtype=torch.float64)
LOG_TARGET = torch.tensor([[-1.0, -2.0, 1.0], [0.3, -0.4, 0.1]], dtype=torch.float64)
LOG_PRIOR = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()


def draws(each: int, from_prior: int) -> Iterator[tuple[Tensor, float]]:
    """All candidate sets of `each` values from either image's q and some of the prior, with their probabilities."""
    log_q = torch.log_softmax(LOGITS, -1)
    sources = torch.cat([log_q.repeat_interleave(each, 0), LOG_PRIOR.expand(from_prior, 3)])
    for outcome in product(range(3), repeat=len(sources)):
        z = torch.tensor(outcome)
        yield z, float(sources.gather(-1, z[:, None]).sum().exp())


def expectation(each: int, from_prior: int = 0, centred: bool = False) -> tuple[NDArray[np.float64], float]:
    """Exact mean (2, 3) and total variance of the ascent direction, for the sum over the two images."""
    share = from_prior / (2 * each + from_prior)
    mean, square = np.zeros((2, 3)), 0.0
    for z, probability in draws(each, from_prior):
        logits = LOGITS.clone().requires_grad_()
        log_q = torch.log_softmax(logits, -1)[:, z]
        log_mixture = mixture_log_density(log_q, LOG_PRIOR[z], share)
        surrogate(log_q, LOG_TARGET[:, z], log_mixture, centred).loss.backward()
        assert logits.grad is not None
        direction = -2.0 * logits.grad.numpy()
        mean += probability * direction
        square += probability * float((direction**2).sum())
    return mean, square - float((mean**2).sum())


def inclusive_gradient() -> NDArray[np.float64]:
    return (torch.softmax(LOG_TARGET, -1) - torch.softmax(LOGITS, -1)).numpy()


@pytest.mark.parametrize("each, from_prior", [(1, 0), (2, 0), (1, 1), (1, 2)])
def test_the_density_is_that_of_how_candidates_were_drawn(each: int, from_prior: int) -> None:
    """E[mean_c f(z_c) / m(z_c)] = sum_z f(z), for any f."""
    share = from_prior / (2 * each + from_prior)
    f, total = np.array([2.0, -3.0, 5.0]), 0.0
    for z, probability in draws(each, from_prior):
        log_q = torch.log_softmax(LOGITS, -1)[:, z]
        mixture = mixture_log_density(log_q, LOG_PRIOR[z], share).exp().numpy()
        total += probability * float((f[z.numpy()] / mixture).mean())
    assert total == pytest.approx(4.0, abs=1e-10)


def test_the_self_normalised_expectation() -> None:
    """Written out in numpy for one candidate from each image."""
    q, target = torch.softmax(LOGITS, -1).numpy(), LOG_TARGET.exp().numpy()
    expected = np.zeros((2, 3))
    for z in product(range(3), repeat=2):
        weight = np.array([[target[b, i] / q[:, i].mean() for i in z] for b in range(2)])
        weight /= weight.sum(1, keepdims=True)
        score = np.array([[np.eye(3)[i] - q[b] for i in z] for b in range(2)])
        expected += q[0, z[0]] * q[1, z[1]] * np.einsum("bc,bcd->bd", weight, score)
    assert expectation(1)[0] == pytest.approx(expected, abs=1e-10)
    assert expectation(1, centred=True)[0] == pytest.approx(expected, abs=1e-10), "a control variate"


@pytest.mark.parametrize("from_prior", [0, 1])
def test_the_bias_falls_with_more_candidates(from_prior: int) -> None:
    error = [np.linalg.norm(expectation(each, from_prior)[0] - inclusive_gradient()) for each in (1, 2, 3)]
    assert error[0] > error[1] > error[2]
    assert error[2] < 0.5 * error[0]


def test_candidates_of_other_images_reach_what_its_own_do_not() -> None:
    """Image 0 alone, with as many candidates of its own, is further from the truth."""
    log_q = torch.log_softmax(LOGITS[:1], -1)
    own = np.zeros(3)
    for outcome in product(range(3), repeat=4):
        logits = LOGITS[:1].clone().requires_grad_()
        z = torch.tensor([outcome])
        log_q = torch.log_softmax(logits, -1).gather(-1, z)
        rws.wake(log_q, LOG_TARGET[:1].gather(-1, z) - log_q).backward()
        assert logits.grad is not None
        own += float(log_q.detach().sum().exp()) * -logits.grad.numpy()[0]
    truth = inclusive_gradient()[0]
    assert np.linalg.norm(expectation(2)[0][0] - truth) < 0.5 * np.linalg.norm(own - truth)


def test_centring_leaves_nothing_where_the_guide_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    log_q = torch.randn(3, 8, generator=generator, dtype=torch.float64).requires_grad_()
    # Target = q: after normalisation over C the weights are q / m up to their sum.
    log_mixture = mixture_log_density(log_q)
    ratio = (log_q.detach() - log_mixture).exp()
    surrogate(log_q, log_q - 5.0, log_mixture, centred=True).loss.backward()
    assert log_q.grad is not None
    assert torch.allclose(log_q.grad, -(ratio / ratio.sum(-1, keepdim=True) - ratio / 8.0) / 3.0)
    assert expectation(2, centred=True)[1] < expectation(2)[1]


def test_factors_of_the_control_variate_are_bounded() -> None:
    log_q = 30.0 * torch.randn(3, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ratio = (log_q - mixture_log_density(log_q)).exp()
    assert float(ratio.max()) <= 3.0 + 1e-12


def test_invariant_to_a_constant_for_each_image_and_no_gradient_leaks() -> None:
    generator = torch.Generator().manual_seed(0)
    log_q = torch.randn(3, 8, generator=generator, dtype=torch.float64).requires_grad_()
    target = torch.randn(3, 8, generator=generator, dtype=torch.float64).requires_grad_()
    density = mixture_log_density(log_q, torch.zeros(8, dtype=torch.float64, requires_grad=True), 0.3)
    assert not density.requires_grad
    loss = surrogate(log_q, target - log_q, density).loss
    loss.backward()
    assert target.grad is None
    assert log_q.grad is not None
    assert torch.allclose(log_q.grad, -torch.softmax((target - log_q - density).detach(), -1) / 3.0)
    constant = 100.0 * torch.randn(3, 1, generator=generator, dtype=torch.float64)
    moved = surrogate(log_q, target - log_q + constant, density).loss
    assert float(moved.detach()) == pytest.approx(float(loss.detach()), abs=1e-10)


def test_mixture_density_by_hand() -> None:
    log_q = torch.tensor([[0.1, 0.4], [0.3, 0.2]], dtype=torch.float64).log()
    prior = torch.tensor([0.5, 0.25], dtype=torch.float64).log()
    assert mixture_log_density(log_q).exp().numpy() == pytest.approx([0.2, 0.3])
    assert mixture_log_density(log_q, prior, 0.0).exp().numpy() == pytest.approx([0.2, 0.3])
    assert mixture_log_density(log_q, prior, 0.2).exp().numpy() == pytest.approx([0.26, 0.29])
    assert mixture_log_density(log_q, prior, 1.0).exp().numpy() == pytest.approx([0.5, 0.25])


def test_diagnostics() -> None:
    log_target = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, -1e4, -1e4, -1e4]])
    found = surrogate(torch.zeros(2, 4), log_target, torch.zeros(4)).diagnostics
    assert float(found.effective_samples) == pytest.approx((4.0 + 1.0) / 2)
    assert float(found.advantage_scale) == pytest.approx(math.sqrt((4 * 1 + 16) / 8))


def test_refused() -> None:
    with pytest.raises(ValueError, match="candidates need at least 2 samples, not 1"):
        surrogate(torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(1))
    with pytest.raises(ValueError, match=r"log_mixture has shape \(3, 4\); it must be \(4,\)"):
        surrogate(torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"log_target has shape"):
        surrogate(torch.zeros(3, 4), torch.zeros(4), torch.zeros(4))
    with pytest.raises(ValueError, match="above 0 it needs log_prior"):
        mixture_log_density(torch.zeros(3, 4), None, 0.5)
    with pytest.raises(ValueError, match=r"prior_share is 1\.1"):
        mixture_log_density(torch.zeros(3, 4), torch.zeros(4), 1.1)
