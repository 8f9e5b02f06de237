"""The pool of settled scenes of a run: made once, read again, made again where it is damaged, always the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from air3d.scene3d.presets import tabletop_prior
from air3d.training.arrangements import arranged, needs_arrangements
from air3d.training.config import TabletopTrainConfig

PRIOR = tabletop_prior(("mug", "plate"), 0, 2, pose="settled")
CONFIG = TabletopTrainConfig(arrangements=4, seed=3)


def test_only_dreams_of_settled_scenes_need_arrangements() -> None:
    assert needs_arrangements(CONFIG, PRIOR)
    assert not needs_arrangements(CONFIG, replace(PRIOR, pose="upright"))
    assert not needs_arrangements(replace(CONFIG, phase="tune"), PRIOR)
    assert needs_arrangements(replace(CONFIG, phase="tune", dreams=8), PRIOR)


def test_they_are_kept_and_made_again_if_damaged_or_of_another_number(tmp_path: Path) -> None:
    told: list[int] = []

    def positions(config: TabletopTrainConfig = CONFIG, folder: Path | None = tmp_path) -> np.ndarray:
        told.clear()
        return arranged(config, PRIOR, config.arrangements, folder, 1, told.append).arrangements.position_m

    first, (file,) = positions(), list(tmp_path.iterdir())
    assert told == [1] * 4
    kept = file.read_bytes()
    half = kept.index(b"position_m.npy") + 200  # among the numbers
    assert np.array_equal(positions(), first) and told == [4], "read, not made"
    for damage in (b"", kept[: len(kept) // 2], b"x" * 100, kept[:half] + bytes([kept[half] ^ 1]) + kept[half + 1 :]):
        file.write_bytes(damage)
        assert np.array_equal(positions(), first) and told == [1] * 4
        assert np.array_equal(positions(), first) and told == [4], "mended"
    assert np.array_equal(positions(replace(CONFIG, arrangements=2)), first[:2]) and told == [1] * 2
    assert np.array_equal(positions(folder=None), first)
    assert not np.array_equal(positions(replace(CONFIG, seed=4), None), first)


def test_a_pool_read_back_draws_the_same_scenes(tmp_path: Path) -> None:
    made, again = (arranged(CONFIG, PRIOR, 4, tmp_path, 1, lambda number: None) for _ in range(2))
    one, two = (pool.sample_batch(np.random.default_rng(0), 5) for pool in (made, again))
    for name in ("kind", "position_m", "rotation_wxyz", "scale", "colour", "camera_azimuth_rad", "light_diffuse"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert list(made.arrangements) != [] and made.prior == PRIOR


def test_no_arrangement_is_refused() -> None:
    with pytest.raises(ValueError, match="arrangements is 0; it must be 1 to 10000000"):
        TabletopTrainConfig(arrangements=0)
