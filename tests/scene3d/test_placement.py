"""Placement without overlap against closed forms and brute force."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.ground import Ground
from air3d.scene3d.placement import draw_arrangements, free_of_overlap, log_free_probability, place
from air3d.scene3d.pose_models import Room, Upright
from air3d.scene3d.support import Disc
from air3d.scene3d.surface import Surface, Surfaces

Fits = Callable[[float, str], None]
Array = NDArray[np.float64]

PARTICLES = 200_000  # as log_free_probability documents


def upright(radius_m: float, scale: float = 1.0, gap_m: float = 0.0) -> Upright:
    disc = Surface((radius_m,))
    return Upright(Room(Surfaces((disc,)), Ground((disc,)), scale, gap_m, 20_000, 0.2))


def disc_line_cdf(distance: Array, radius: float) -> Array:
    """P(|a - b| <= distance) for a, b uniform in a disc ("disk line picking", Solomon 1978)."""
    t = np.clip(np.asarray(distance) / radius, 0.0, 2.0)
    return (
        1.0
        + 2.0 / np.pi * (t**2 - 1.0) * np.arccos(t / 2.0)
        - t / np.pi * (1.0 + t**2 / 2.0) * np.sqrt(1.0 - t**2 / 4.0)
    )


def clearance(kind: str, pose: Array, other: str, other_pose: Array, scale: float) -> float:
    """Smallest distance from points sampled on one footprint's circles to the discs of the other; negative inside."""
    turn = np.exp(1j * np.linspace(0.0, 2.0 * np.pi, 720, endpoint=False))

    def world(p: Array, x: complex) -> complex:
        return complex(p[0], p[1]) + np.exp(1j * p[2]) * scale * x

    best = math.inf
    for a in CATALOG[kind].footprint:
        rim = world(pose, complex(a.x_m, a.y_m)) + scale * a.radius_m * turn
        for b in CATALOG[other].footprint:
            centre = world(other_pose, complex(b.x_m, b.y_m))
            best = min(best, float(np.abs(rim - centre).min()) - scale * b.radius_m)
            # A disc that swallows the other has its rim far outside it.
            if abs(world(pose, complex(a.x_m, a.y_m)) - centre) < scale * a.radius_m:
                best = min(best, -scale * b.radius_m)
    return best


def test_the_closed_form_is_the_known_one() -> None:
    # Mean distance of two uniform points in the unit disc: 128 / (45 pi).
    mean, _ = integrate.quad(lambda s: 1.0 - float(disc_line_cdf(np.array(s), 1.0)), 0.0, 2.0)
    assert mean == pytest.approx(128.0 / (45.0 * math.pi), rel=1e-9)


def test_unconstrained_arrangements_are_uniform(fits: Fits) -> None:
    position, yaw = draw_arrangements(np.random.default_rng(0), 5000, 2, Disc(0.3))
    assert position.shape == (5000, 2, 2) and yaw.shape == (5000, 2)
    radius, angle = np.linalg.norm(position, axis=-1), np.arctan2(position[..., 1], position[..., 0])
    fits(stats.kstest(radius.ravel() ** 2 / 0.09, "uniform").pvalue, "radius squared")
    fits(stats.kstest((angle.ravel() + np.pi) / (2 * np.pi), "uniform").pvalue, "polar angle")
    fits(stats.kstest((yaw.ravel() + np.pi) / (2 * np.pi), "uniform").pvalue, "yaw")
    distance = np.linalg.norm(position[:, 0] - position[:, 1], axis=-1)
    fits(stats.kstest(distance, lambda d: disc_line_cdf(d, 0.3)).pvalue, "distance of two")


@pytest.mark.parametrize("kinds", [("mug", "mug"), ("pan", "teapot"), ("plate", "pan"), ("glass", "mug")])
@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_overlap_agrees_with_points_sampled_on_the_circles(kinds: tuple[str, str], scale: float) -> None:
    gap, step = 0.01, 2.0 * math.pi / 720 * 0.12
    position, yaw = draw_arrangements(np.random.default_rng(1), 200, 2, Disc(0.22))
    poses = np.concatenate([position, yaw[..., None]], axis=-1)
    free = free_of_overlap(kinds, position, yaw, scale, gap)
    distance = np.array([clearance(kinds[0], p[0], kinds[1], p[1], scale) for p in poses])
    clear = np.abs(distance - gap) > step
    assert clear.sum() > 180 and 20 < free.sum() < 180
    np.testing.assert_array_equal(free[clear], (distance > gap)[clear])


def test_overlap_of_three_is_overlap_of_some_pair() -> None:
    kinds = ("mug", "glass", "bowl")
    position, yaw = draw_arrangements(np.random.default_rng(2), 500, 3, Disc(0.2))
    pairs = [(0, 1), (0, 2), (1, 2)]
    each = [free_of_overlap((kinds[a], kinds[b]), position[:, [a, b]], yaw[:, [a, b]], 1.0, 0.004) for a, b in pairs]
    np.testing.assert_array_equal(free_of_overlap(kinds, position, yaw, 1.0, 0.004), np.all(each, axis=0))
    assert free_of_overlap((), np.zeros((3, 0, 2)), np.zeros((3, 0)), 1.0, 0.0).all()


@pytest.mark.parametrize(
    "kinds, radius, scale, gap",
    [
        (("glass", "glass"), 0.20, 1.0, 0.004),
        (("plate", "plate"), 0.20, 1.0, 0.004),
        (("bowl", "plate"), 0.15, 1.1, 0.02),
        (("cube", "sphere"), 0.08, 1.0, 0.0),
    ],
)
def test_probability_of_two_free_discs(
    kinds: tuple[str, str], radius: float, scale: float, gap: float, fits: Fits
) -> None:
    reach = scale * sum(CATALOG[kind].footprint[0].radius_m for kind in kinds) + gap
    exact = 1.0 - float(disc_line_cdf(np.array(reach), radius))
    estimate = math.exp(log_free_probability(kinds, upright(radius, scale, gap)))
    error = math.sqrt(exact * (1.0 - exact) / PARTICLES)
    fits(2.0 * stats.norm.sf(abs(estimate - exact) / error), f"free probability of {kinds}")


def test_probability_does_not_depend_on_order_or_call_and_is_certain_for_one(fits: Fits) -> None:
    assert log_free_probability((), upright(0.2, 1.0, 0.0)) == 0.0
    assert log_free_probability(("pan",), upright(0.2, 1.0, 0.0)) == 0.0
    one = math.exp(log_free_probability(("glass", "pan"), upright(0.2, 1.0, 0.004)))
    log_free_probability.cache_clear()
    assert one == math.exp(log_free_probability(("glass", "pan"), upright(0.2, 1.0, 0.004)))
    other = math.exp(log_free_probability(("pan", "glass"), upright(0.2, 1.0, 0.004)))
    error = math.sqrt(2.0 * one * (1.0 - one) / PARTICLES)
    fits(2.0 * stats.norm.sf(abs(one - other) / error), "free probability in the other order")


def test_no_room_has_no_probability() -> None:
    # Two plates 0.2 m wide within 5 cm of the centre always overlap.
    assert log_free_probability(("plate", "plate"), upright(0.05, 1.0, 0.0)) == -math.inf


def test_place_returns_free_arrangements_distributed_as_conditioned(fits: Fits) -> None:
    rng, reach = np.random.default_rng(3), 0.204
    drawn = [place(rng, ("plate", "plate"), upright(0.2, 1.0, 0.004), 10_000) for _ in range(3000)]
    position = np.array([p for p, _ in drawn])
    distance = np.linalg.norm(position[:, 0] - position[:, 1], axis=-1)
    assert distance.min() >= reach
    low = disc_line_cdf(np.array(reach), 0.2)
    fits(stats.kstest(distance, lambda d: (disc_line_cdf(d, 0.2) - low) / (1 - low)).pvalue, "distance given free")


def test_place_is_bounded_and_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"could not place 8 objects \(pan, pan.*in 300 tries; use fewer or smaller"):
        place(np.random.default_rng(0), ("pan",) * 8, upright(0.2, 1.0, 0.0), 300)


def test_place_of_none() -> None:
    position, yaw = place(np.random.default_rng(0), (), upright(0.2, 1.0, 0.0), 1)
    assert position.shape == (0, 3) and yaw.shape == (0,)


def test_probability_of_many_is_that_of_whole_arrangements(fits: Fits) -> None:
    """The sequential estimate against plain rejection, on a table where about one arrangement in ten is free."""
    kinds = ("bowl", "glass", "glass", "mug", "pan", "plate")
    tries = 60_000
    position, yaw = draw_arrangements(np.random.default_rng(3), tries, len(kinds), Disc(0.5))
    share = float(free_of_overlap(kinds, position, yaw, 1.0, 0.004).mean())
    estimate = math.exp(log_free_probability(kinds, upright(0.5, 1.0, 0.004)))
    # Of each of the five shares that are multiplied, and of plain rejection; copies of a particle add to the former.
    spread = math.sqrt(share * (1.0 - share) / tries + (5.0 * share / math.sqrt(PARTICLES / 5)) ** 2)
    assert 0.02 < share < 0.5
    fits(2.0 * stats.norm.sf(abs(estimate - share) / spread), "free probability of six")


def test_only_the_newest_is_checked_when_the_others_are_free() -> None:
    kinds = ("mug", "bowl", "plate")
    position, yaw = draw_arrangements(np.random.default_rng(4), 2000, 3, Disc(0.25))
    before = free_of_overlap(kinds[:2], position[:, :2], yaw[:, :2], 1.1, 0.0)
    newest = free_of_overlap(kinds, position, yaw, 1.1, 0.0, newest_only=True)
    np.testing.assert_array_equal(before & newest, free_of_overlap(kinds, position, yaw, 1.1, 0.0))
    assert (newest & ~before).any()
