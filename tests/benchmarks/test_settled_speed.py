"""The measurement of settled scenes, in miniature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_numbers_and_json(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module, path = script("settled_speed"), tmp_path / "speed.json"
    args = module.Args(kinds=("mug", "bowl"), max_objects=2, size=32, scenes=6, stepped=4, json=path)
    assert module.main(args) == 0
    found = json.loads(path.read_text())
    assert found["scenes"] == 6 and found["stepped"] == 4
    assert found["ratio"] == pytest.approx(found["loop_cpu_ms"] / found["settle_cpu_ms"])
    assert found["samples_per_second_2_cores"] == pytest.approx(2e3 / found["sample_cpu_ms"])
    assert found["largest_penetration_mm"] < 1.0 and found["largest_speed_mm_s"] < 1.0
    assert found["largest_move_in_2_s_mm"] < 2.0
