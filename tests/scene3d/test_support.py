"""What every support promises: a new one is a line in SUPPORTS."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from air3d.scene3d.errors import InputError
from air3d.scene3d.support import Disc, Rectangle, Support

Fits = Callable[[float, str], None]
Floats = NDArray[np.float64]

SUPPORTS = [Disc(0.2), Disc(3.0), Rectangle(0.3, 0.2), Rectangle(0.05, 1.5)]
all_supports = pytest.mark.parametrize("support", SUPPORTS, ids=str)


def around(support: Support, count: int, reach: float = 1.0) -> Floats:
    """Points uniform in the rectangle that encloses it, `reach` times as large."""
    return np.random.default_rng(7).uniform(-reach, reach, (count, 2)) * support.half_extents_m


def lattice(support: Support, side: int) -> Floats:
    """The middles of side x side cells that tile the enclosing rectangle: (side, side, 2)."""
    middle = (np.arange(side) + 0.5) / side * 2.0 - 1.0
    return np.stack(np.meshgrid(middle, middle, indexing="ij"), -1) * support.half_extents_m


@all_supports
def test_samples_are_uniform(support: Support, fits: Fits) -> None:
    """The share of each of 8 x 8 cells is its share of the area, counted on a fine lattice."""
    count, cells = 40_000, 8
    points = support.sample(np.random.default_rng(0), count)
    assert points.shape == (count, 2) and support.contains(points).all()
    half_x, half_y = support.half_extents_m
    edges = [[-half_x, half_x], [-half_y, half_y]]
    found, *_ = np.histogram2d(*points.T, bins=cells, range=edges)
    inside = support.contains(lattice(support, 200 * cells)).reshape(cells, 200, cells, 200).sum((1, 3))
    expected = (inside / inside.sum() * count).ravel()
    large = expected > 20.0
    assert found.ravel()[~large].sum() <= expected[~large].sum() + 40.0
    shares = expected[large] / expected[large].sum()
    fits(stats.chisquare(found.ravel()[large], shares * found.ravel()[large].sum()).pvalue, f"uniform {support}")


@all_supports
def test_a_seed_gives_the_same_points(support: Support) -> None:
    a, b = (support.sample(np.random.default_rng(0), 5) for _ in range(2))
    assert np.array_equal(a, b) and not np.array_equal(a, support.sample(np.random.default_rng(1), 5))
    assert np.array_equal(support.spread(np.random.default_rng(0).random((5, 2))), a)


@all_supports
def test_the_area_is_the_share_of_random_points(support: Support, fits: Fits) -> None:
    count, (half_x, half_y) = 100_000, support.half_extents_m
    hits = int(support.contains(around(support, count)).sum())
    share = math.exp(support.log_area) / (4.0 * half_x * half_y)
    fits(stats.binomtest(hits, count, min(share, 1.0)).pvalue, f"area {support}")


@all_supports
def test_the_outline_encloses_it(support: Support) -> None:
    x, y = support.outline().T
    area = 0.5 * float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    assert area == pytest.approx(math.exp(support.log_area), rel=0.002), "counter-clockwise, and as large"
    assert np.abs(support.outline()).max(0) == pytest.approx(support.half_extents_m)
    assert support.contains(0.999 * support.outline()).all() and not support.contains(1.001 * support.outline()).any()


@all_supports
def test_clamp_gives_the_nearest_point(support: Support) -> None:
    points = around(support, 300, reach=2.0)
    inside = support.contains(points)
    assert 20 < inside.sum() < 200
    near = support.clamp(points)
    assert support.contains(near).all()
    assert np.array_equal(near[inside], points[inside])
    assert support.clamp(near) == pytest.approx(near, rel=1e-14)
    # No point of a fine lattice or of the rim is nearer.
    grid = lattice(support, 120).reshape(-1, 2)
    corners = support.outline()
    rim = [corners + t * (np.roll(corners, -1, 0) - corners) for t in np.linspace(0.0, 1.0, 40)]
    members = np.concatenate([grid[support.contains(grid)], *rim])
    least = np.linalg.norm(members[:, None] - points[~inside], axis=-1).min(0)
    distance = np.linalg.norm(near - points, axis=-1)[~inside]
    size = max(support.half_extents_m)
    assert (distance <= least + 1e-9).all() and distance == pytest.approx(least, abs=0.02 * size)
    assert support.beyond(points)[~inside] == pytest.approx(distance)
    assert (support.beyond(points)[inside] == 0.0).all()


@all_supports
def test_what_is_clamped_in_single_precision_lies_inside_in_double(support: Support) -> None:
    points = torch.from_numpy(around(support, 20_000, reach=3.0)).float()
    near = support.clamp(points)
    assert near.dtype == torch.float32 and support.contains(near.double()).all() and support.contains(near).all()


@all_supports
def test_torch_gives_what_numpy_gives(support: Support) -> None:
    points, u = around(support, 500, reach=1.5), np.random.default_rng(3).random((500, 2))
    inside = 0.99 * support.sample(np.random.default_rng(0), 500)
    for name, given in (
        ("spread", u),
        ("contains", points),
        ("clamp", points),
        ("beyond", points),
        ("squash", 4.0 * u - 2.0),
        ("unsquash", inside),
        ("log_squash", 4.0 * u - 2.0),
    ):
        ours, theirs = getattr(support, name)(given), getattr(support, name)(torch.from_numpy(given))
        assert isinstance(theirs, torch.Tensor), name
        np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-12, atol=1e-12, err_msg=name)


@all_supports
def test_squash_is_a_bijection_with_the_jacobian_it_says(support: Support) -> None:
    u = 2.0 * torch.randn((200, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = support.squash(u)
    assert support.contains(points).all()
    assert torch.allclose(support.unsquash(points), u, atol=1e-8)
    for one in u[:20]:
        jacobian = torch.autograd.functional.jacobian(support.squash, one)
        expected = math.log(abs(float(torch.linalg.det(jacobian))))
        assert float(support.log_squash(one)) == pytest.approx(expected, abs=1e-5)
    far = support.squash(torch.tensor([[1e6, 0.0], [-1e5, 1e7]]))
    assert support.contains(far.double()).all() and support.unsquash(far).isfinite().all()


@pytest.mark.parametrize("size", [0.0, -1.0, math.nan, math.inf, "large"])
def test_impossible_sizes_are_refused(size: float) -> None:
    for make in (lambda: Disc(size), lambda: Rectangle(size, 1.0), lambda: Rectangle(1.0, size)):
        with pytest.raises(InputError, match=r"radius_m|half_[xy]_m"):
            make()


def test_a_disc_is_drawn_by_radius_and_angle() -> None:
    """The stream of every dataset: radius R sqrt(u_0) at the angle 2 pi u_1."""
    u = np.random.default_rng(11).random((4, 3, 2))
    radius, angle = 0.2 * np.sqrt(u[..., 0]), 2.0 * np.pi * u[..., 1]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    assert np.array_equal(Disc(0.2).spread(u), expected)
