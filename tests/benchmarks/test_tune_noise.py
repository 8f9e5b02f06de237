"""The noise of fine-tuning's estimators, in miniature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_table_and_json(
    script: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "noise.json"
    assert script("tune_noise").main(["--images", "3", "--samples", "2", "--draws", "3", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["estimator"] for row in rows] == ["lr", "lr-nvil", "vimco", "rws", "slotwise", "counts"]
    assert all(row["variance"] > 0.0 for row in rows)
    # The shipped guide is shown every partial scene: at most the whole ones are left to draw, one a sample.
    assert all(row["renders"] <= 6 for row in rows) and rows[-1]["renders"] == 6
    printed = capsys.readouterr().out
    assert all(f"| {row['estimator']} |" in printed for row in rows)
