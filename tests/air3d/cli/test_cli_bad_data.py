"""Wrong data for `train`, `evaluate` and `demo`: exit code 2, exactly one line, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from air3d.cli.main import main
from air3d.scene3d.presets import single_prior
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.store import save_model

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small datasets: single (32 pixels), other (other kinds), perturbed, tabletop."""
    folder = tmp_path_factory.mktemp("data")
    common = ["--num", "3", "--seed", "0", "--size", "32", "--workers", "1", "--renderer", "analytic", "--quiet"]
    assert main(["generate", "single", str(folder / "single"), *common]) == 0
    assert main(["generate", "single", str(folder / "other"), *common, "--kinds", "mug", "plate"]) == 0
    assert main(["generate", "single", str(folder / "perturbed"), *common, "--perturb"]) == 0
    assert main(["generate", "tabletop", str(folder / "tabletop"), *common]) == 0
    return folder


def test_train_on_the_wrong_data(data: Path, tmp_path: Path, refused: Refused) -> None:
    def train(folder: object, *more: object) -> str:
        return refused("train", "single", "--data", folder, "--run", tmp_path / "run", "--renderer", "analytic", *more)

    assert "exactly 1 object, not 0 to 3" in train(data / "tabletop")
    assert "without --perturb" in train(data / "perturbed")
    assert "32x32 pixels; the guide reads 64x64" in train(data / "single")
    assert "no such folder" in train(data / "gone")
    assert "holds no dataset" in train(tmp_path)
    assert "samples is 1" in train(data / "single", "--train.estimator.samples", 1)
    assert "iterations 0" in train(data / "single", "--train.iterations", 0)
    assert "learning_rate is nan" in train(data / "single", "--train.learning-rate", "nan")
    assert "image_size 33" in train(data / "single", "--train.guide.encoder.image-size", 33)
    assert not (tmp_path / "run").exists()


def test_train_into_a_folder_of_something_else(data: Path, tmp_path: Path, refused: Refused, picture: Path) -> None:
    sizes = ("--train.guide.encoder.image-size", 32, "--renderer", "analytic")
    for run in (tmp_path, picture, data / "single"):
        assert str(run) in refused("train", "single", "--data", data / "single", "--run", run, *sizes)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_evaluate_on_the_wrong_data(
    data: Path, weights: Path, tmp_path: Path, refused: Refused, small_guide: OneLookConfig
) -> None:
    file = tmp_path / "metrics.json"

    def evaluate(model: object, folder: object, *more: object) -> str:
        return refused("evaluate", model, "--data", folder, "--json", file, "--renderer", "analytic", *more)

    assert "another prior" in evaluate(weights, data / "other")
    assert "another prior" in evaluate(weights, data / "perturbed")
    assert "another prior" in evaluate(weights, data / "tabletop")
    assert "no such folder" in evaluate(weights, data / "gone")
    assert "does not exist" in evaluate(tmp_path / "gone", data / "single")
    assert "limit is 0" in evaluate(weights, data / "single", "--limit", 0)
    assert "bound_samples is 0" in evaluate(weights, data / "single", "--bound-samples", 0)
    save_model(tmp_path / "large", SceneModel.of(single_prior(), OneLookConfig(), Likelihood()), {})
    assert "images of 32x32 pixels; the model reads 64x64" in evaluate(tmp_path / "large", data / "single")
    assert not file.exists()
    file.mkdir()
    assert str(file) in evaluate(weights, data / "single", "--quiet")
    assert list(file.iterdir()) == []


def test_demo_into_a_file(picture: Path, refused: Refused) -> None:
    assert f"{picture} is a file" in refused("demo", "--out", picture)
    assert "at least 1" in refused("demo", "--out", picture.parent / "demo", "--iterations", 0)
    assert not (picture.parent / "demo").exists()
