"""The shipped 2D weights, on digits of another origin than those they were trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from air3d.cli.main import main
from air3d.scene3d.assets import asset_path

pytest.importorskip("sklearn", reason="scikit-learn brings the digits: pip install 'air3d[digits]'")


def test_the_shipped_weights_count_digits_that_they_have_not_seen(tmp_path: Path) -> None:
    """UCI's digits: other writers, another scanner, eight pixels enlarged to MNIST's size."""
    data, found = tmp_path / "uci", tmp_path / "metrics.json"
    assert main(["generate", "digits", str(data), "--num", "200", "--source", "uci", "--seed", "31", "--quiet"]) == 0
    assert main(["evaluate", "multi-mnist", "--data", str(data), "--json", str(found), "--quiet"]) == 0
    assert json.loads(found.read_text())["count_accuracy"] >= 0.97


def test_they_are_as_small_as_promised() -> None:
    assert asset_path("weights", "multi-mnist", "weights.safetensors").stat().st_size <= 5_000_000
