"""The noise of fine-tuning's estimators, in miniature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from air3d.scenes.tune import TuneEstimator


def test_table_and_json(
    script: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "noise.json"
    assert script("tune_noise").main(["--images", "3", "--samples", "2", "--draws", "3", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["estimator"] for row in rows] == list(get_args(TuneEstimator))
    assert all(row["variance"] > 0.0 for row in rows)
    # lr, vimco and rws render one scene a sample; the others all N + 1 partial ones.
    assert [row["renders"] for row in rows] == [6, 6, 6, 24, 24]
    printed = capsys.readouterr().out
    assert all(f"| {row['estimator']} |" in printed for row in rows)
