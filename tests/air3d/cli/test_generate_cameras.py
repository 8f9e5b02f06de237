"""`air3d generate` with rolled cameras that are aimed beside the table's middle, and images of any size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from air3d.cli.main import main
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.camera_prior import CameraPrior


def test_rolled_and_aimed_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "data")
    command = ["generate", "tabletop", out, "--num", "40", "--seed", "0", "--size", "24", "--renderer", "analytic"]
    assert main([*command, "--camera-roll", "8", "--camera-aim", "3", "--quiet"]) == 0
    dataset = SceneDataset(out)
    orbits = [sample["scene"].camera for sample in dataset]
    roll = np.degrees([orbit.roll_rad for orbit in orbits])
    beside = np.array([orbit.look_at_m for orbit in orbits])
    assert np.ptp(roll) > 8.0 and abs(roll).max() <= 8.0
    most = math.tan(math.radians(3.0)) * sum(CameraPrior().distance_m) / 2.0
    assert np.ptp(beside[:, 0]) > most and abs(beside[:, :2]).max() <= most and not beside[:, 2].any()
    capsys.readouterr()
    assert main(["train", "tabletop", "--data", out, "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "upright cameras alone" in error and len(error.strip().splitlines()) == 1


def test_angles_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", "tabletop", str(tmp_path / "data"), "--num", "1", "--seed", "0"]
    assert main([*command, "--camera-roll", "181"]) == 2
    assert "camera_roll_rad is 3.15" in capsys.readouterr().err
    assert main([*command, "--camera-aim", "-1"]) == 2
    assert "camera_aim_rad is -0.01" in capsys.readouterr().err
