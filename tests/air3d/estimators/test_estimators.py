"""What holds for all estimators: names, shared helpers, diagnostics, float32, and that they know tensors only."""

from __future__ import annotations

import ast
import importlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.distributions.z_pres import count_log_probs
from air3d.estimators import common, counts, fd, lr, mixture, nvil, rws, slotwise, vimco
from air3d.estimators.common import Surrogate
from air3d.scenes.learner import ESTIMATORS

Call = Callable[[Tensor, Tensor], Surrogate]

SEEN = nvil.RunningMoments(*(torch.tensor(value) for value in (-300.0, 400.0, 9.0)))


def _nvil(log_q: Tensor, reward: Tensor) -> Surrogate:
    return nvil.surrogate(log_q, reward, torch.zeros(len(log_q)), SEEN)[0]


def _fd(log_q: Tensor, reward: Tensor) -> Surrogate:
    z = torch.zeros(*log_q.shape, 3, requires_grad=True)
    return fd.surrogate(log_q, reward, z, torch.ones_like(z))


def _mixture(log_q: Tensor, reward: Tensor) -> Surrogate:
    return mixture.surrogate(log_q, reward, mixture.mixture_log_density(log_q))


def _slotwise(log_q: Tensor, reward: Tensor) -> Surrogate:
    slots = log_q[..., None].expand(*log_q.shape, 2)
    return slotwise.surrogate(slots, reward, slotwise.removal_baseline(reward, torch.zeros_like(slots)))


def _counts(log_q: Tensor, reward: Tensor) -> Surrogate:
    log_count = count_log_probs(torch.zeros(*log_q.shape, 2))
    return counts.surrogate(
        log_count,
        log_q[..., None].expand(*log_q.shape, 2),
        torch.cumsum(reward[..., None].expand(*reward.shape, 3), -1),
    )


CALLS: dict[str, Call] = {
    "lr": lr.surrogate,
    "lr-nvil": _nvil,
    "vimco": vimco.surrogate,
    "rws": rws.surrogate,
    "mixture": _mixture,
    "fd": _fd,
    "slotwise": _slotwise,
    "counts": _counts,
}


def test_every_name_has_its_module() -> None:
    """But lr-kind, which is made of lr's parts."""
    assert set(CALLS) == set(ESTIMATORS) - {"lr-kind"}
    for name in CALLS:
        module = importlib.import_module(f"air3d.estimators.{name.removeprefix('lr-')}")
        assert f"`{name}`" in (module.__doc__ or ""), "the docstring names it"
        assert callable(module.surrogate)


@pytest.mark.parametrize("name", CALLS)
def test_large_rewards_in_float32(name: str) -> None:
    """Rewards of -1e4 +- 30 nats, as of a picture at a low temperature: finite, and the offset does no harm."""
    call = CALLS[name]
    generator = torch.Generator().manual_seed(0)
    log_q = torch.randn(4, 6, generator=generator).requires_grad_()
    reward = torch.round(30.0 * torch.randn(4, 6, generator=generator)) - 10_000.0
    estimate = call(log_q, reward)
    assert isinstance(estimate, Surrogate)
    assert estimate.loss.shape == ()
    estimate.loss.backward()
    assert log_q.grad is not None
    for value in (log_q.grad, estimate.loss.detach(), *estimate.diagnostics):
        assert bool(torch.isfinite(value).all())
        assert not value.requires_grad
    assert 1.0 <= float(estimate.diagnostics.effective_samples) <= 6.0
    double = log_q.detach().double().requires_grad_()
    if name not in ("fd", "lr-nvil", "slotwise", "counts"):
        call(double, reward.double()).loss.backward()
        assert double.grad is not None
        assert torch.allclose(log_q.grad.double(), double.grad, rtol=1e-3, atol=1e-5)


def test_better_samples_become_more_probable() -> None:
    """Every estimator raises log q of a sample that is better than all others."""
    reward = torch.tensor([[0.0, 0.0, 8.0, 0.0]])
    for name, call in CALLS.items():
        if name == "counts":  # whose steps are shared by the scenes of all counts
            continue
        log_q = torch.full((1, 4), -1.0, requires_grad=True)
        call(log_q, reward + (-300.0 if name == "lr-nvil" else 0.0)).loss.backward()
        assert log_q.grad is not None
        assert float(log_q.grad[0, 2]) < float(log_q.grad[0, [0, 1, 3]].min()), name
        assert float(log_q.grad[0, 2]) < 0.0, name


def test_effective_sample_size_and_weights() -> None:
    log_weight = torch.tensor([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0], [0.0, 0.0, -80.0]], requires_grad=True)
    assert common.effective_sample_size(log_weight).tolist() == pytest.approx([3.0, 1.0, 2.0])
    weights = common.normalised_weights(log_weight)
    assert weights.sum(-1).tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert not weights.requires_grad


def test_diagnostics_of_one_sample() -> None:
    found = common.diagnose(torch.tensor([[1.0], [3.0]]), torch.tensor([[3.0], [-4.0]]))
    assert [float(value) for value in found] == pytest.approx([2.0, 0.0, math.sqrt(12.5), 1.0])


def test_gradient_moments() -> None:
    """Draws of N(m, s^2 I): variance P s^2, signal |m|^2; the signal's estimate is unbiased where |mean|^2 is not."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([3.0, -4.0, 0.0, 0.0], dtype=torch.float64)
    draws = mean + 2.0 * torch.randn(4000, 4, generator=generator, dtype=torch.float64)
    found = common.gradient_moments(draws)
    assert float(found.variance) == pytest.approx(16.0, rel=0.05)
    assert float(found.signal) == pytest.approx(25.0, rel=0.05)
    assert float(found.signal_to_noise) == pytest.approx(5.0 / 4.0, rel=0.05)
    by_hand = common.gradient_moments(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    assert [float(value) for value in by_hand] == pytest.approx([2.0, 3.0, math.sqrt(1.5)])
    noise = common.gradient_moments(torch.tensor([[1.0], [-1.0]]))
    assert [float(value) for value in noise] == pytest.approx([2.0, -1.0, 0.0])
    pairs = torch.randn(3000, 2, 1, generator=generator, dtype=torch.float64)
    signals = np.array([float(common.gradient_moments(pair).signal) for pair in pairs])
    assert abs(signals.mean()) < 6.0 * signals.std() / math.sqrt(len(signals)), "no signal, and none is invented"
    with pytest.raises(ValueError, match="the variance of a gradient needs at least 2 samples, not 1"):
        common.gradient_moments(torch.zeros(1, 3))


def test_estimators_know_tensors_only() -> None:
    """They import torch, the standard library and each other: no scenes, no renderers, no numpy."""
    allowed = {"__future__", "collections.abc", "math", "typing", "torch", "torch.nn.functional"}
    for file in Path(common.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert all(name in allowed or name.startswith("air3d.estimators") for name in names), (file.name, names)
