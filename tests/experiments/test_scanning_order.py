"""What decides the order of steps: mutual information and preferences against cases that are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.tabletop.order import first_of_pairs, grid_labels, step_information


def test_information_of_a_step_that_the_label_decides():
    labels = np.tile([2, 0, 1, 3], (50, 1))
    found = step_information(labels, np.random.default_rng(0))
    assert found["bits"] == pytest.approx(2.0)  # log2 of 4 steps
    assert found["most_bits"] == 2.0
    # Shuffled, only the plug-in estimate's bias is left: about (4 - 1) (4 - 1) / (2 * 200 ln 2).
    assert found["chance_bits"] == pytest.approx(9 / (400 * np.log(2)), rel=0.5)
    assert found["chance_bits"] < found["chance_95_bits"] < 0.1


def test_information_of_a_table_known_by_hand():
    # Step 1 says 0 in 3 of 4 scenes, step 2 the other one: 1 - H(1/4) bits.
    labels = np.array([[0, 1], [0, 1], [0, 1], [1, 0]] * 25)
    entropy = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert step_information(labels, np.random.default_rng(0))["bits"] == pytest.approx(1.0 - entropy)


def test_steps_in_any_order_tell_nothing_beyond_chance():
    rng = np.random.default_rng(1)
    found = step_information(rng.integers(3, size=(400, 3)), rng)
    assert found["bits"] < 2.0 * found["chance_95_bits"]


def test_grid_cells_hold_equally_many_in_each_row_and_column():
    place = np.random.default_rng(2).normal(size=(100, 4, 2)) * [1.0, 30.0]
    labels = grid_labels(place, 4)
    assert np.bincount(labels.ravel() // 4).tolist() == [100] * 4
    assert np.bincount(labels.ravel() % 4).tolist() == [100] * 4
    left, right = labels[place[..., 0] < -1.5], labels[place[..., 0] > 1.5]
    assert set(left // 4) == {0} and set(right // 4) == {3}


def test_who_is_first_by_place():
    place = np.random.default_rng(3).normal(size=(200, 3, 2))
    by_x = np.take_along_axis(place, place[..., :1].argsort(axis=1), axis=1)
    assert first_of_pairs(by_x)["accuracy"] > 0.99
    assert first_of_pairs(by_x)["pairs"] == 100 * 3
    anyhow = first_of_pairs(place)
    assert abs(anyhow["accuracy"] - 0.5) < 5.0 * 0.5 / 300**0.5 * 3**0.5


def test_a_preference_that_changes_between_the_halves_is_not_found():
    # What was fitted to the same images that are predicted would be right in every pair.
    place = np.random.default_rng(4).normal(size=(200, 3, 2))
    sorted_ = np.take_along_axis(place, place[..., :1].argsort(axis=1), axis=1)
    assert first_of_pairs(np.concatenate([sorted_[:100], sorted_[100:, ::-1]]))["accuracy"] < 0.01


def test_who_is_first_by_kind():
    kind = np.sort(np.random.default_rng(5).integers(3, size=(300, 3)), axis=1)
    same = kind[:, :, None] == kind[:, None, :]
    one_hot = np.eye(3)[kind]
    assert first_of_pairs(one_hot, ~same)["accuracy"] == 1.0
    assert first_of_pairs(one_hot, same)["accuracy"] == 0.5  # a tie is half right
    early, late = np.triu_indices(3, k=1)
    share = same[150:, early, late].mean()
    assert first_of_pairs(one_hot)["accuracy"] == pytest.approx(1.0 - 0.5 * share)


def test_without_pairs_there_is_no_number():
    kind = np.zeros((20, 2), dtype=np.int64)
    none = first_of_pairs(np.eye(2)[kind], kind[:, :, None] != kind[:, None, :])
    assert none == {"pairs": 0, "accuracy": None, "standard_error": None}
