"""The folder of a run: another run's, something else's, a damaged one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from air3d.scenes.guide import GuideConfig
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.single import new_model
from scene3d.errors import InputError
from scene3d.presets import single_prior

SOURCE = {"config_sha256": "of a test"}


@pytest.fixture
def config(small_guide: GuideConfig) -> TrainConfig:
    return TrainConfig(iterations=30, seed=7, guide=small_guide)


@pytest.fixture
def started(tmp_path: Path, config: TrainConfig, pictures: Any) -> Path:
    """A run of six iterations, as `train` leaves one that is interrupted."""
    guide, optimiser = parts(config, pictures)
    folder = RunFolder(tmp_path, config, SOURCE)
    for parameter in guide.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    folder.save_checkpoint(6, guide, optimiser, torch.Generator().manual_seed(3))
    for iteration in (2, 4, 6, 8):
        folder.log({"iteration": iteration})
    return tmp_path


def parts(config: TrainConfig, pictures: Any) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    guide = new_model(config, single_prior(), torch.from_numpy(pictures.images)).guide
    return guide, torch.optim.Adam(guide.parameters())


def resume(folder: Path, config: TrainConfig, pictures: Any) -> int:
    guide, optimiser = parts(config, pictures)
    return RunFolder(folder, config, SOURCE).resume(guide, optimiser, torch.Generator())


def test_resume_restores_the_checkpoint_and_drops_later_log_lines(
    started: Path, config: TrainConfig, pictures: Any
) -> None:
    assert RunFolder(started, config, SOURCE).iterations_done() == 6
    assert resume(started, config, pictures) == 6
    assert [record["iteration"] for record in read_log(started)] == [2, 4, 6]


def test_without_a_checkpoint_it_starts_over(started: Path, config: TrainConfig, pictures: Any) -> None:
    (started / "checkpoint.safetensors").unlink()
    assert RunFolder(started, config, SOURCE).iterations_done() == 0
    assert resume(started, config, pictures) == 0
    assert read_log(started) == []


@pytest.mark.parametrize(
    "change, field",
    [
        ({"iterations": 31}, "train.iterations 30, not 31"),
        ({"seed": 8}, "train.seed 7, not 8"),
        ({"learning_rate": 2e-3}, "train.learning_rate 0.001, not 0.002"),
        ({"guide": GuideConfig()}, "train.guide"),
    ],
)
def test_another_configuration_is_refused(
    tmp_path: Path, config: TrainConfig, change: dict[str, Any], field: str
) -> None:
    RunFolder(tmp_path / "run", config, SOURCE)
    with pytest.raises(InputError, match=field):
        RunFolder(tmp_path / "run", replace(config, **change), SOURCE)
    with pytest.raises(InputError, match="source"):
        RunFolder(tmp_path / "run", config, {"config_sha256": "other"})


def test_a_folder_of_something_else_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match="holds no run"):
            RunFolder(path, config, SOURCE)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "run.json").write_text("{broken")
    with pytest.raises(InputError, match=r"run\.json: not JSON"):
        RunFolder(tmp_path, config, SOURCE)


def damaged(data: bytes, how: str) -> bytes:
    tensors = load(data)
    if how == "cut":
        return data[: len(data) // 2]
    if how == "empty":
        return b""
    if how == "no iteration":
        del tensors["iteration"]
    elif how == "no generator":
        del tensors["generator"]
    elif how == "short generator":
        tensors["generator"] = tensors["generator"][:9].clone()
    elif how == "no weights":
        tensors = {key: value for key, value in tensors.items() if not key.startswith("guide.core")}
    elif how == "no moments":
        tensors = {key: value for key, value in tensors.items() if not key.startswith("optimiser.3.")}
    elif how == "wrong moments":
        tensors["optimiser.0.exp_avg"] = torch.zeros(3)
    elif how == "nan":
        tensors["guide.core.bias_ih"][0] = float("nan")
    return save(tensors)


@pytest.mark.parametrize(
    "how",
    [
        "cut",
        "empty",
        "no iteration",
        "no generator",
        "short generator",
        "no weights",
        "no moments",
        "wrong moments",
        "nan",
    ],
)
def test_a_damaged_checkpoint_is_one_line(started: Path, config: TrainConfig, pictures: Any, how: str) -> None:
    path = started / "checkpoint.safetensors"
    path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.raises(InputError) as caught:
        resume(started, config, pictures)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_damaged_log_is_one_line(started: Path, config: TrainConfig, pictures: Any) -> None:
    for line in ("not json", "[]", '{"iteration": null}'):
        (started / "log.jsonl").write_text(json.dumps({"iteration": 2}) + "\n" + line + "\n")
        with pytest.raises(InputError, match=r"log\.jsonl: line 2"):
            resume(started, config, pictures)
