"""The benchmark of MuJoCo Warp: sizes double until the device gives up, and every batch is another one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from air3d.renderers.probe import probe_warp
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior

pytest.importorskip("mujoco_warp")

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[[str], ModuleType]

needs_cuda = pytest.mark.skipif(not any(d.startswith("cuda") for d in probe_warp().devices), reason="no CUDA here")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=[pytest.mark.gpu, needs_cuda])])
def test_from_the_command_line(device: str, tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    arguments = ["--device", device, "--size", "16", "--first", "2", "--most", "5", "--seconds", "0.01"]
    command = [sys.executable, "benchmarks/warp_cuda.py", *arguments, "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert [row["batch"] for row in result["rows"]] == [2, 4]
    assert (result["largest_batch"], result["stopped_by"]) == (4, "--most 5")
    for row in result["rows"]:
        assert row["images_per_second"] == pytest.approx(1e3 * row["batch"] / row["milliseconds"])
        assert row["differing"] == 0.0
        assert (row["device_milliseconds"] is None) == (device == "cpu")


def test_the_largest_batch_is_the_last_that_had_room(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("warp_cuda")

    def measure(config: object, device: object, scenes: object, batch: int, args: object) -> object:
        if batch > 20:
            raise RuntimeError("Failed to allocate 123 bytes on device 'cuda:0'")
        return module.Row(batch, 1.0, 1.0, None, 0.0, 0.0)

    monkeypatch.setattr(module, "measure", measure)
    out = tmp_path / "rows.json"
    assert module.main(module.Args(device="cpu", first=4, json=out)) == 0
    result = json.loads(out.read_text())
    assert [row["batch"] for row in result["rows"]] == [4, 8, 16] and result["largest_batch"] == 16
    assert "Failed to allocate" in result["stopped_by"]


def test_every_batch_is_another(script: Script) -> None:
    scenes = ScenePrior(tabletop_prior(min_objects=3)).sample_batch(np.random.default_rng(0), 8)
    rng = np.random.default_rng(1)
    one, two = (script("warp_cuda").varied(scenes, rng, 20) for _ in range(2))
    assert len(one) == len(two) == 20 and one.present.all()
    for name in ("kind", "position_m", "rotation_wxyz", "colour", "camera_azimuth_rad"):
        assert not np.array_equal(getattr(one, name), getattr(two, name))
