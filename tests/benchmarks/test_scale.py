"""The model of scale: its arithmetic by hand, and its measurements in miniature."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEP = {
    "name": "sleep", "batch": 100, "scenes": 1e-3, "render": 2e-3, "network": 5e-3, "flops": 1e9, "operations": 1000,
    "gradient_bytes": 8_000_000, "renders": 3.0,
}  # fmt: skip
MADE = {
    "seconds": {"drawing": 1e-4, "PNG": 3e-4}, "bytes": 10_000.0, "check": 1e-6,
    "workers": [{"workers": "1", "cpu": 5e-4, "wall": 1e-3}],
}  # fmt: skip


@pytest.fixture
def scale(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("scale")


def test_a_step_is_the_sum_of_its_parts(scale: ModuleType) -> None:
    """100 images: 1 ms and 2 ms each over 10 cores; 10^11 operations at 10^12/s against 1000 launches of 10 us."""
    assumed = scale.Assumptions(cores_per_gpu=10, gpu_flops=1e12, launch=1e-5, network=1e9, latency=1e-5)
    alone = scale.step_parts(STEP, 100, 1, assumed)
    expected = {"scenes": 0.01, "rendering": 0.02, "arithmetic": 0.1, "launches": 0.0, "all-reduce": 0.0}
    assert alone == pytest.approx(expected)
    # 8 GPUs: 2 * 7/8 * 8 MB at 1 GB/s is 14 ms; there and back over three levels of a tree, 10 us each.
    assert scale.step_parts(STEP, 100, 8, assumed)["all-reduce"] == pytest.approx(0.014 + 6e-5)
    # A fast GPU waits for its launches.
    fast = scale.Assumptions(gpu_flops=1e15, launch=1e-5)
    waiting = scale.step_parts(STEP, 100, 1, fast)
    assert waiting["launches"] == pytest.approx(0.01) and waiting["arithmetic"] == 0.0


def test_tables_of_a_measurement(scale: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scale.json"
    path.write_text(json.dumps({"machine": {}, "generation": MADE, "training": [STEP]}))
    options = "--node-cores 100 --disk 1e9 --link 5e8 --cores-per-gpu 10 --gpu-flops 1e12 --launch 1e-5"
    assert scale.main([str(path), *options.split()]) == 0
    printed = capsys.readouterr().out
    # 10^8 scenes of 0.4 ms on 100 cores: 400 s. 10^12 bytes at 1 GB/s: 1000 s; at 0.5 GB/s: 2000 s; read at 1 GB/s and
    # checked: 1100 s.
    assert "| 1 | 100 | 0.11 | 0.28 | 0.56 | 0.31 | last part's check |" in printed
    # 100 images in 130 ms are 769/s, and 10^8 of them 36.11 h.
    assert "| sleep | 100 | 1 | 10.00 | 20.00 | 100.00 | 0.00 | 0.00 | 769 | 1.00 | 36.11 | arithmetic |" in printed
    assert "| sleep | 800 | 1 | 80.00 | 160.00 | 800.00 |" in printed
    assert "| 1 | 500 | 50 % |" in printed


@pytest.mark.slow
def test_measurements_in_miniature(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    costs = script("scale_costs")
    made = costs.scene_costs(70)
    assert all(value > 0.0 for value in made["seconds"].values()) and 2_000 < made["bytes"] < 50_000
    row = costs.sleep_costs(2, 1)
    assert min(row["scenes"], row["render"], row["network"], row["flops"]) > 0.0
    model = costs.new_model(costs.recommended_for("sleep"), costs.PRIOR)
    assert row["gradient_bytes"] == 4 * sum(p.numel() for p in model.guide.parameters())
    assert "scale_costs" not in sys.modules
