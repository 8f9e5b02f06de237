"""`air3d generate` with rolled cameras that are aimed beside the table's middle, and images of any size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.reader import SceneDataset
from air3d.datasets.torch_dataset import SceneTorchDataset
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene_json import scene_to_json
from air3d.viewer.source import Request, open_source


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


def test_images_of_any_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What follows from a dataset of wide images: tensors, sheets, a summary, renders, and refusals in one line."""
    out, scene = tmp_path / "data", tmp_path / "scene.json"
    command = ["generate", "tabletop", str(out), "--num", "3", "--seed", "0", "--renderer", "analytic", "--quiet"]
    assert main([*command, "--size", "96x64"]) == 0
    dataset = SceneTorchDataset(out)
    batch = dataset.collate([dataset[i] for i in range(3)])
    assert batch.image.shape == (3, 64, 96, 3) and batch.segmentation.shape == batch.depth_m.shape == (3, 64, 96)
    assert dataset.collate([]).image.shape == (0, 64, 96, 3)
    for sample in SceneDataset(out):
        camera = sample["annotations"]["camera"]
        assert (camera["width"], camera["height"]) == (96, 64)
        np.testing.assert_array_equal(sample["scene"].camera.sized(96, 64).matrix, camera["intrinsics"])
    capsys.readouterr()
    assert main(["inspect", str(out), "--sheet", str(tmp_path / "sheet.png")]) == 0
    shown = capsys.readouterr().out
    assert "96x64, analytic" in shown and "fx 87.92, fy 87.92, cx 47.50, cy 31.50 pixels" in shown
    assert "roll" in shown and "0.0 degrees" in shown
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (6 + 3 * (3 * 96 + 6), 6 + 3 * 64 + 6)
    scene.write_text(scene_to_json(SceneDataset(out)[0]["scene"], size=(96, 64)))
    for more, size in (([], (768, 512)), (["--size", "30"], (30, 30)), (["--size", "40x30"], (40, 30))):
        assert main(["render", str(scene), str(tmp_path / "p.png"), "--renderer", "analytic", *more]) == 0
        with Image.open(tmp_path / "p.png") as picture:
            assert picture.size == size
    for model in ("glb", "mjcf"):
        made = tmp_path / f"scene.{'glb' if model == 'glb' else 'xml'}"
        assert main(["export", model, str(scene), str(made)]) == 0
    assert b'"aspectRatio":1.5' in (tmp_path / "scene.glb").read_bytes().replace(b": ", b":")
    assert 'resolution="720 480"' in (tmp_path / "scene.xml").read_text()
    capsys.readouterr()
    for refused, words in (
        (
            ["train", "tabletop", "--data", str(out), "--run", str(tmp_path / "run"), "--train.phase", "wake"],
            "96x64 pixels; the guide reads 64x64",
        ),
        (["evaluate", "tabletop", "--data", str(out)], "images of 96x64 pixels; the model reads 64x64"),
    ):
        assert main(refused) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.strip().splitlines()) == 1, error
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="images of 96x64 pixels, it reads 64x64"):
        open_source(Request(str(out), model="tabletop"))
