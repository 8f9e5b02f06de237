"""The mixture over rotations: against SciPy's rotations, quadrature over SO(3), sums over wraps, moments of draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special, stats
from scipy.spatial.transform import Rotation
from torch import Tensor

from air3d.distributions.circle import wrap
from air3d.distributions.so3 import (
    LOG_VOLUME,
    MAX_SCALE,
    RotationMixture,
    about_z,
    conjugate,
    exponential,
    flat_scale,
    from_matrix,
    logarithm,
    multiply,
    rotate,
    spread,
    upper,
    yaw_of,
)
from air3d.scene3d import poses

Fits = Callable[[float, str], None]


def rotations(seed: int, count: int) -> Tensor:
    return torch.from_numpy(Rotation.random(count, np.random.default_rng(seed)).as_quat(scalar_first=True))


def random_mixture(seed: int, components: int, least: float = 0.25) -> RotationMixture:
    rng = np.random.default_rng(seed)
    return RotationMixture(
        torch.from_numpy(rng.normal(0.0, 1.0, components)),
        rotations(seed, components),
        torch.from_numpy(rng.uniform(least, MAX_SCALE, (components, 3))),
    )


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


def test_gradients_are_finite_at_a_components_centre() -> None:
    q = random_mixture(3, 4)
    for part in q:
        part.requires_grad_()
    at = q.loc.detach().clone().requires_grad_()
    q_at = RotationMixture(q.logits.expand(4, -1), q.loc.expand(4, -1, -1), q.scale.expand(4, -1, -1))
    q_at.log_prob(at).sum().backward()
    assert all(torch.isfinite(part.grad).all() for part in (*q, at) if part.grad is not None)
    assert q.scale.grad is not None and q.logits.grad is not None


@pytest.mark.parametrize("seed", range(4))
def test_the_density_integrates_to_one(seed: int) -> None:
    points, weight = quadrature(96 if seed == 3 else 48)
    q = random_mixture(seed, 5, least=0.15 if seed == 3 else 0.3)
    assert float((q.log_prob(points).exp() * weight).sum()) == pytest.approx(1.0, abs=2e-4)
    assert float(weight.sum()) == pytest.approx(math.exp(LOG_VOLUME))


def test_the_density_is_that_of_all_wrapped_vectors() -> None:
    """Independently: every vector v + 2 pi k v / |v|, its Gaussian density over its stretch, in SciPy."""
    q, at = random_mixture(5, 6), rotations(6, 40)
    total = np.zeros(40)
    for weight, loc, scale in zip(special.softmax(q.logits.numpy()), q.loc.numpy(), q.scale.numpy(), strict=True):
        vector = (
            Rotation.from_quat(loc, scalar_first=True).inv() * Rotation.from_quat(at, scalar_first=True)
        ).as_rotvec()
        angle = np.linalg.norm(vector, axis=1)
        for k in range(-20, 21):
            length = angle + 2.0 * math.pi * k
            density = stats.norm.pdf(vector * (length / angle)[:, None], scale=scale).prod(axis=1)
            total += weight * density * length**2 / (2.0 - 2.0 * np.cos(length))
    assert q.log_prob(at).numpy() == pytest.approx(np.log(total), abs=1e-4)
    assert q.log_prob(-at).numpy() == pytest.approx(np.log(total), abs=1e-4)


def test_draws_have_the_moments_of_the_density(fits: Fits) -> None:
    """Hotelling's test of the mean rotation matrix and its squared trace, whose expectations are by quadrature."""
    q, count = random_mixture(7, 5), 40_000

    def features(rotation: Tensor) -> np.ndarray:
        matrix = Rotation.from_quat(rotation, scalar_first=True).as_matrix().reshape(-1, 9)
        return np.column_stack([matrix, matrix[:, [0, 4, 8]].sum(1) ** 2])

    points, weight = quadrature()
    expected = ((q.log_prob(points).exp() * weight).numpy()[:, None] * features(points)).sum(0)
    wide = RotationMixture(*(part.expand(count, *part.shape) for part in q))
    drawn = features(wide.sample(torch.Generator().manual_seed(0)))
    off = drawn.mean(0) - expected
    statistic = count * off @ np.linalg.solve(np.cov(drawn.T), off)
    fits(float(stats.chi2.sf(statistic, len(off))), "moments of drawn rotations")


def test_a_sharp_component_is_a_gaussian_about_the_objects_own_axes() -> None:
    scale = torch.tensor([[0.01, 0.02, 0.5]]).double()
    q = RotationMixture(torch.zeros(1).double(), rotations(8, 1), scale)
    step = torch.tensor([0.004, -0.01, 0.2]).double()
    gaussian = stats.norm.logpdf(step.numpy(), scale=scale[0].numpy()).sum()
    stretch = math.log((2.0 - 2.0 * math.cos(float(step.norm()))) / float(step.norm()) ** 2)
    assert float(q.log_prob(multiply(q.loc[0], exponential(step)))) == pytest.approx(gaussian - stretch, abs=1e-9)
    assert q.mode().numpy() == pytest.approx(upper(q.loc[0]).numpy())


def test_the_mode_is_the_highest_of_all_centres() -> None:
    q = random_mixture(9, 12)
    both = RotationMixture(*(torch.stack([part, part.flip(0)]) for part in q))
    heights = [float(q.log_prob(centre)) for centre in q.loc]
    best = upper(q.loc[int(np.argmax(heights))]).numpy()
    assert both.mode().numpy() == pytest.approx(np.stack([best, best]))


@pytest.mark.parametrize("group, count", [("O", 24), ("I", 60)])
def test_a_spread_mixture_begins_flat(group: str, count: int) -> None:
    centres = spread(group)  # type: ignore[arg-type]
    scale = flat_scale(torch.zeros(count, 3), 0.01, count)
    q = RotationMixture(torch.zeros(count), centres, scale)
    assert len(centres) == count and float((centres @ centres.T).abs().fill_diagonal_(0.0).max()) < 0.96
    assert (q.log_prob(rotations(10, 3000).float()) + LOG_VOLUME).abs().max() < 0.035
    low, high = (flat_scale(torch.full((1,), value), 0.01, count) for value in (-60.0, 60.0))
    assert float(low) == pytest.approx(0.01) and float(high) == pytest.approx(MAX_SCALE)
