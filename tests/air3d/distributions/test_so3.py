"""The mixture over rotations: against SciPy's rotations, quadrature over SO(3), sums over wraps, moments of draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special, stats
from scipy.spatial.transform import Rotation
from torch import Tensor

from air3d.distributions.axes import FisherMixture
from air3d.distributions.circle import WrappedNormalMixture, wrap
from air3d.distributions.so3 import (
    LOG_VOLUME,
    RotationMixture,
    about_z,
    conjugate,
    exponential,
    from_matrix,
    logarithm,
    multiply,
    rotate,
    shortest_to,
    upper,
    yaw_of,
)
from air3d.scene3d import poses

Fits = Callable[[float, str], None]


def rotations(seed: int, count: int) -> Tensor:
    return torch.from_numpy(Rotation.random(count, np.random.default_rng(seed)).as_quat(scalar_first=True))


def random_mixture(seed: int, count: int = 1, kind: str = "any") -> RotationMixture:
    """Of `count` rotations, all alike; the turn's mixture depends on the axis."""
    rng = np.random.default_rng(seed)
    axes = FisherMixture(
        torch.from_numpy(rng.normal(size=4)).expand(count, 4),
        torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(4, 3))), dim=-1).expand(count, 4, 3),
        torch.from_numpy(rng.uniform(0.5, 8.0, 4)).expand(count, 4),
    )
    weight, loc, scale = (torch.from_numpy(rng.normal(size=(3, 2))) for _ in range(3))

    def turn(axis: Tensor) -> WrappedNormalMixture:
        return WrappedNormalMixture(axis @ weight, 2.0 * (axis @ loc), 0.35 + 0.3 * torch.sigmoid(axis @ scale))

    flags = (torch.full((count,), kind == name) for name in ("round", "ball"))
    return RotationMixture(axes, turn, *flags)


def quadrature(turns: int = 48) -> tuple[Tensor, Tensor]:
    """Euler angles z, y, z: equidistant in both turns, Gauss and Legendre's points in the cosine between them."""
    turn = 2.0 * math.pi * np.arange(turns) / turns
    cosine, weight = special.roots_legendre(turns // 2)
    a, b, c = np.meshgrid(turn, np.arccos(cosine), turn, indexing="ij")
    each = np.broadcast_to(weight[None, :, None] * (2.0 * math.pi / turns) ** 2, a.shape)
    points = Rotation.from_euler("ZYZ", np.stack([a, b, c], -1).reshape(-1, 3)).as_quat(scalar_first=True)
    return torch.from_numpy(points), torch.from_numpy(each.reshape(-1).copy())


def test_products_exponentials_and_logarithms_are_scipys() -> None:
    a, b = rotations(1, 50), rotations(2, 50)
    left, right = (Rotation.from_quat(q, scalar_first=True) for q in (a, b))
    product = Rotation.from_quat(multiply(a, b), scalar_first=True)
    assert (product.inv() * (left * right)).magnitude() == pytest.approx(0.0, abs=1e-12)
    assert (Rotation.from_quat(conjugate(a), scalar_first=True) * left).magnitude() == pytest.approx(0.0, abs=1e-12)
    assert logarithm(-a).numpy() == pytest.approx(left.as_rotvec(), abs=1e-12)
    vectors = torch.tensor(
        [[0.0, 0.0, 0.0], [1e-9, 0.0, -1e-9], [0.3, -2.0, 1.0], [0.0, math.pi, 0.0]], dtype=torch.float64
    )
    assert logarithm(exponential(vectors)).numpy() == pytest.approx(vectors.numpy(), abs=1e-12)
    assert (upper(-a)[:, 0] >= 0.0).all()


def test_vectors_are_turned_and_matrices_read_as_scipy_does() -> None:
    half_turns = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    q = torch.cat([rotations(12, 40), half_turns.double()])
    turn, vectors = Rotation.from_quat(q, scalar_first=True), np.random.default_rng(0).normal(size=(44, 3))
    assert rotate(q, torch.from_numpy(vectors)).numpy() == pytest.approx(turn.apply(vectors), abs=1e-12)
    assert rotate(q[:, None], torch.from_numpy(vectors)[:3]).shape == (44, 3, 3)
    back = Rotation.from_quat(from_matrix(torch.from_numpy(turn.as_matrix())), scalar_first=True)
    assert (back.inv() * turn).magnitude() == pytest.approx(0.0, abs=1e-12)


def test_yaws_are_those_of_turns_about_the_vertical() -> None:
    angle = torch.linspace(-9.0, 9.0, 41).double()
    turn = Rotation.from_quat(about_z(angle), scalar_first=True)
    assert turn.as_rotvec()[:, 2] == pytest.approx(wrap(angle).numpy(), abs=1e-12)
    assert yaw_of(-about_z(angle)).numpy() == pytest.approx(wrap(angle).numpy(), abs=1e-12)
    tilted = rotations(11, 20)
    assert yaw_of(tilted).numpy() == pytest.approx(poses.yaw_of(tilted.numpy()), abs=1e-12)
    angle.requires_grad_()
    yaw_of(about_z(angle)).sum().backward()
    assert angle.grad is not None and angle.grad.numpy() == pytest.approx(np.ones(41), abs=1e-9)


def test_the_shortest_rotation_to_a_direction_is_scipys() -> None:
    axis = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3))), dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0]).double().expand(50, 3)
    turned = shortest_to(axis)
    assert rotate(turned, up).numpy() == pytest.approx(axis.numpy(), abs=1e-12)
    angle = Rotation.from_quat(turned.numpy(), scalar_first=True).magnitude()
    assert angle == pytest.approx(np.arccos(axis[:, 2].numpy()), abs=1e-12), "no turn but the one that is needed"
    down = torch.tensor([0.0, 0.0, -1.0])
    assert rotate(shortest_to(down), up[0].float()).numpy() == pytest.approx(down.numpy(), abs=1e-5)


@pytest.mark.parametrize("kind", ["any", "round", "ball"])
@pytest.mark.parametrize("seed", range(3))
def test_the_density_integrates_to_one(seed: int, kind: str) -> None:
    points, weight = quadrature()
    density = random_mixture(seed, kind=kind).log_prob(points).exp()
    assert float((density * weight).sum()) == pytest.approx(1.0, abs=2e-3)
    if kind == "ball":
        assert density.log().numpy() == pytest.approx(np.full(len(density), -LOG_VOLUME))


def test_a_round_body_looks_the_same_however_it_is_turned_about_its_axis() -> None:
    q, rotation = random_mixture(0, kind="round"), rotations(0, 20)
    turned = multiply(rotation, about_z(torch.linspace(-3.0, 3.0, 20).double()))
    assert q.log_prob(turned).numpy() == pytest.approx(q.log_prob(rotation).numpy(), abs=1e-9)
    assert not np.allclose(random_mixture(0).log_prob(turned), random_mixture(0).log_prob(rotation), atol=0.1)


def test_either_sign_of_a_quaternion_has_the_same_density() -> None:
    q, rotation = random_mixture(1), rotations(1, 20)
    assert q.log_prob(-rotation).numpy() == pytest.approx(q.log_prob(rotation).numpy(), abs=1e-9)


@pytest.mark.parametrize("kind", ["any", "round", "ball"])
def test_draws_have_the_moments_of_the_density(kind: str, fits: Fits) -> None:
    """The mean matrix, entry by entry, against quadrature."""
    points, weight = quadrature()
    one, count = random_mixture(2, kind=kind), 4000
    share = (one.log_prob(points).exp() * weight).numpy()
    matrix = Rotation.from_quat(points.numpy(), scalar_first=True).as_matrix()
    mean = (share[:, None, None] * matrix).sum(0)
    spread = np.sqrt((share[:, None, None] * matrix**2).sum(0) - mean**2)
    drawn = random_mixture(2, count, kind).sample(torch.Generator().manual_seed(0))
    assert drawn.shape == (count, 4) and (drawn[:, 0] >= 0.0).all()
    found = Rotation.from_quat(drawn.numpy(), scalar_first=True).as_matrix().mean(0)
    z = (found - mean) / (spread / np.sqrt(count))
    for i, j in itertools.product(range(3), range(3)):
        fits(2.0 * stats.norm.sf(abs(z[i, j])), f"{kind} {i}{j}")


def test_the_mode_is_a_centre_of_both_and_a_blur_prefers_mass() -> None:
    """A sharp peak of a tenth of the mass has the highest density; within a tenth of a radian most is elsewhere."""
    axes = FisherMixture(
        torch.tensor([[0.9, 0.1]]).log(),
        torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]),
        torch.tensor([[50.0, 1e4]]),
    )

    def turn(axis: Tensor) -> WrappedNormalMixture:
        shape = (*axis.shape[:-1], 2)
        loc, scale = torch.tensor([0.5, -2.0]).expand(shape), torch.tensor([0.2, 0.01]).expand(shape)
        return WrappedNormalMixture(torch.tensor([0.8, 0.2]).log().expand(shape), loc, scale)

    no = torch.zeros(1, dtype=torch.bool)
    q = RotationMixture(axes, turn, no, no)
    sharp, wide = q.mode()[0], q.mode(0.1)[0]
    assert sharp.numpy() == pytest.approx(upper(about_z(torch.tensor(-2.0))).numpy(), abs=1e-5)
    expected = multiply(shortest_to(torch.tensor([1.0, 0.0, 0.0])), about_z(torch.tensor(0.5)))
    assert wide.numpy() == pytest.approx(upper(expected).numpy(), abs=1e-5)


def test_gradients_are_finite() -> None:
    q = random_mixture(3, 4)
    logits, loc, k = (part.clone().requires_grad_() for part in q.axis)
    at = torch.cat([rotations(4, 3), torch.tensor([[0.0, 1.0, 0.0, 0.0]]).double()])  # the last takes z to -z
    RotationMixture(FisherMixture(logits, loc, k), q.turn, q.round, q.ball).log_prob(at).sum().backward()
    for part in (logits, loc, k):
        assert part.grad is not None and part.grad.isfinite().all()
