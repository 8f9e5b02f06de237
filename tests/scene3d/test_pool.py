"""Pools of scenes: any number of threads make the same, and what is drawn is an arrangement, turned, seen anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.pool import ScenePool
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior

SETTLED = tabletop_prior(("mug", "bowl"), 1, 2, pose="settled")


def test_an_arrangement_depends_on_its_number_alone() -> None:
    told: list[int] = []
    one, three = ScenePool.fill(SETTLED, 5, 3, 1), ScenePool.fill(SETTLED, 8, 3, 3, told.append)
    assert len(one.arrangements) == 5 and sum(told) == 8
    for name in ("kind", "position_m", "rotation_wxyz"):
        assert np.array_equal(getattr(one.arrangements, name), getattr(three.arrangements, name)[:5]), name
    other = ScenePool.fill(SETTLED, 5, 4, 1).arrangements
    assert not np.array_equal(one.arrangements.position_m, other.position_m)


@pytest.mark.parametrize("table, turns", [("round", 0), ("square", 4), ("rectangle", 2), ("bin", 4)])
def test_arrangements_are_turned_as_the_table_allows(table: str, turns: int) -> None:
    prior = tabletop_prior(("mug", "bowl"), 2, 2, table=table, pose="resting")  # type: ignore[arg-type]
    pool = ScenePool.fill(prior, 6, 0, 1)
    drawn, orders = pool.sample_batch(np.random.default_rng(1), 40), set[int]()
    for b in range(40):
        fits = []
        for a in range(12):
            order = np.tile([0, 1] if a < 6 else [1, 0], (6, 1))
            kept, a = pool.arrangements.reordered(order), a % 6
            about = drawn.frames()[b, :, :3, :3] @ np.swapaxes(kept.frames()[a, :, :3, :3], 1, 2)
            alike = np.array_equal(kept.kind[a], drawn.kind[b]) and np.allclose(about[0], about[1], atol=1e-9)
            moved = np.allclose(kept.position_m[a] @ about[0].T, drawn.position_m[b], atol=1e-9)
            upright = np.allclose(about[0] @ [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], atol=1e-9)
            angle = np.arctan2(about[0][1, 0], about[0][0, 0]) / (2.0 * np.pi) * max(turns, 1)
            fits.append(alike and moved and upright and (not turns or abs(angle - round(angle)) < 1e-9))
        assert any(fits), b
        orders.add(int(np.argmax(fits)) // 6)
        assert prior.table.ground.tops[0].contains(drawn.position_m[b]).all()
    assert orders == {0, 1}, "in any order"


def test_empty_slots_stay_last() -> None:
    pool = ScenePool.fill(tabletop_prior(("mug",), 0, 4, pose="resting"), 8, 0, 1)
    here = pool.sample_batch(np.random.default_rng(1), 60).present
    assert (here[:, :-1] >= here[:, 1:]).all() and not here.all()


def test_cameras_and_lights_are_the_priors(fits: Callable[[float, str], None]) -> None:
    prior = replace(tabletop_prior(("mug",), 1, 1, perturb=True), pose="resting")
    drawn = ScenePool.fill(prior, 3, 0, 1).sample_batch(np.random.default_rng(2), 2000)
    low, high = prior.orbits.elevation_rad
    fits(stats.kstest((drawn.camera_elevation_rad - low) / (high - low), "uniform").pvalue, "elevation")
    fits(stats.kstest(drawn.camera_azimuth_rad / (2.0 * np.pi) + 0.5, "uniform").pvalue, "azimuth")
    low, high = prior.light_ranges["diffuse"]
    fits(stats.kstest((drawn.light_diffuse - low) / (high - low), "uniform").pvalue, "light")


def test_a_pool_of_empty_tables() -> None:
    prior = tabletop_prior(("mug",), 0, 0)
    drawn = ScenePool.fill(prior, 2, 0, 1).sample_batch(np.random.default_rng(0), 3)
    assert isinstance(drawn, SceneBatch) and len(drawn) == 3 and not drawn.present.any()
    assert np.isfinite(ScenePrior(prior).log_prob(drawn)).all()
