"""The agents' table, in miniature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_table_and_json(
    script: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agents.json"
    options = ["--episodes", "4", "--steps", "3", "--proposals", "8", "--weights", "tabletop", "--renderer", "raster"]
    assert script("gym_agents").main([*options, "--json", str(path)]) == 0
    random, greedy, from_network = json.loads(path.read_text())["rows"]
    assert [row["agent"] for row in (random, greedy, from_network)] == ["random", "greedy", "greedy from tabletop"]
    assert random["explained_at_start"] == greedy["explained_at_start"] == 0.0, "a bare table"
    assert greedy["explained"] > max(random["explained"], 0.0)
    assert from_network["explained"] >= from_network["explained_at_start"] > 0.5
    # Target and bare table, then 3 steps of 1 scene and 8 proposals, of which one at least does nothing.
    assert greedy["renders"] <= 2 + 3 * (1 + 8)
    assert all(row["agent"] in printed for printed in [capsys.readouterr().out] for row in (random, greedy))
