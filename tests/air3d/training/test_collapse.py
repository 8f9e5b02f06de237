"""Early warning of a collapse: when it speaks, and that an interruption does not change what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from air3d.training.collapse import CollapseWatch

KINDS = ("mug", "plate", "bowl")


def shares(*values: float) -> torch.Tensor:
    return torch.tensor(values)


@pytest.mark.parametrize(
    "share, problem",
    [
        ((0.98, 0.01, 0.01), "nearly every sample is a mug"),
        ((0.5, 0.5, 0.0), "bowl is hardly ever sampled"),
        ((0.4, 0.4, 0.2), None),
    ],
)
def test_it_names_what_is_wrong_once_the_run_is_under_way(share: tuple[float, ...], problem: str | None) -> None:
    watch = CollapseWatch(KINDS)
    assert watch.look(0.1, shares(*share)) is None, "the posterior knows little at first"
    said = watch.look(0.2, shares(*share))
    assert said is None if problem is None else said is not None and problem in said and "\n" not in said


def test_one_odd_record_is_no_collapse() -> None:
    watch = CollapseWatch(KINDS)
    for _ in range(20):
        assert watch.look(0.5, shares(0.4, 0.3, 0.3)) is None
    assert watch.look(0.5, shares(1.0, 0.0, 0.0)) is None
    assert [watch.look(0.5, shares(1.0, 0.0, 0.0)) is not None for _ in range(20)][-1]


def test_of_one_kind_nothing_is_said() -> None:
    assert CollapseWatch(("mug",)).look(0.9, shares(1.0)) is None


def test_a_resumed_run_warns_as_if_it_had_never_stopped() -> None:
    rows = [shares(0.4, 0.3, 0.3)] * 25 + [shares(0.99, 0.005, 0.005)] * 15
    straight = CollapseWatch(KINDS)
    expected = [straight.look(i / 40.0, row) for i, row in enumerate(rows)]
    assert expected[25] is None and expected[-1] is not None, "it takes a while to believe it"
    records: list[dict[str, Any]] = [
        {"iteration": i, "kind_share": dict(zip(KINDS, row.tolist(), strict=True))} for i, row in enumerate(rows[:25])
    ]
    records += [{"iteration": 25}, {"iteration": 25, "kind_share": {"other": 1.0}}]  # of other phases and models
    resumed = CollapseWatch(KINDS)
    resumed.remember(records)
    assert [resumed.look(i / 40.0, row) for i, row in enumerate(rows) if i >= 25] == expected[25:]
