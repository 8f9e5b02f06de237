"""Both ways of stepping many environments, in miniature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_table_and_json(
    script: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "speed.json"
    options = ["--envs", "2", "3", "--steps", "8", "--rounds", "2", "--image-size", "16", "--renderer", "raster"]
    assert script("gym_speed").main([*options, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [(row["envs"], row["steps"]) for row in rows] == [(2, 2 * 8), (3, 2 * 9)], "whole batches"
    for row in rows:
        assert row["ratio"] == pytest.approx(row["native_per_second"] / row["single_per_second"])
        assert row["cpu_ratio"] == pytest.approx(row["single_cpu_ms"] / row["native_cpu_ms"])
    assert capsys.readouterr().out.count("\n") == 4
