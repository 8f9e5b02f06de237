"""The folder of a run: another run's, something else's, a damaged one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior
from air3d.scenes.one_look import OneLookConfig
from air3d.training.checkpoint import content_sha256, read_checkpoint, write_checkpoint
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.scenes import new_model

SOURCE = {"config_sha256": "of a test"}


@pytest.fixture
def config(small_guide: OneLookConfig) -> TrainConfig:
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
    guide = new_model(config, single_prior(), pictures.images).guide
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
        ({"guide": OneLookConfig()}, "train.guide"),
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
    (tmp_path / "run.json").write_text(json.dumps({"schema": [0] * 10_000}))
    with pytest.raises(InputError) as caught:
        RunFolder(tmp_path, config, SOURCE)
    assert len(str(caught.value)) < 1000, "however long what is found there"
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


def test_a_run_of_another_kind_of_device_is_not_called_damaged(
    started: Path, config: TrainConfig, pictures: Any
) -> None:
    path = started / "checkpoint.safetensors"
    on_cuda = torch.zeros(16, dtype=torch.uint8)  # the state of CUDA's generator: a seed and an offset
    write_checkpoint(path, {**read_checkpoint(path), "generator": on_cuda})
    before = path.read_bytes()
    with pytest.raises(InputError, match="--device") as caught:
        resume(started, config, pictures)
    assert "damaged" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_damaged_log_is_one_line(started: Path, config: TrainConfig, pictures: Any) -> None:
    for line in ("not json", "[]", '{"iteration": null}'):
        (started / "log.jsonl").write_text(json.dumps({"iteration": 2}) + "\n" + line + "\n")
        with pytest.raises(InputError, match=r"log\.jsonl: line 2"):
            resume(started, config, pictures)


def later(folder: Path, config: TrainConfig, pictures: Any) -> None:
    """A second checkpoint, at iteration 8, with other weights."""
    guide, optimiser = parts(config, pictures)
    run = RunFolder(folder, config, SOURCE)
    run.resume(guide, optimiser, torch.Generator())
    for parameter in guide.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    run.save_checkpoint(8, guide, optimiser, torch.Generator().manual_seed(4))


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    tensors = {"b": torch.linspace(0.0, 1.0, 5), "a": torch.tensor(7), "c": torch.tensor([True, False])}
    write_checkpoint(path, tensors)
    whole = path.read_bytes()
    found = read_checkpoint(path)
    assert found.keys() == tensors.keys() and all(torch.equal(found[key], tensors[key]) for key in tensors)
    unnoticed = []
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            read = read_checkpoint(path)
        except InputError as error:
            message = str(error)
            if not message.startswith(f"{path}: ") or "\n" in message:
                raise
        else:
            assert content_sha256(read) == content_sha256(tensors), "what is accepted is what was written"
            unnoticed.append(bit)
    assert len(unnoticed) <= 8 * 8, "only such as do not touch the content: blanks that fill up the header"


def test_the_digest_covers_names_types_shapes_and_bits() -> None:
    one = {"a": torch.zeros(2, 3)}
    others: list[dict[str, Tensor]] = [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)},
        {"a": -torch.zeros(2, 3)},
        {"a": torch.zeros(2, 3), "b": torch.zeros(0)},
    ]
    assert len({content_sha256(tensors) for tensors in [one, *others]}) == 1 + len(others)
    assert content_sha256({"a": torch.eye(2), "b": torch.ones(1)}) == content_sha256(
        {"b": torch.ones(1), "a": torch.eye(2)}
    )


def test_a_checkpoint_without_a_digest_is_read(started: Path, config: TrainConfig, pictures: Any) -> None:
    path = started / "checkpoint.safetensors"
    path.write_bytes(save(load(path.read_bytes())))  # as they were written before there were digests
    assert resume(started, config, pictures) == 6


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "gone"])
def test_the_one_before_stands_in_for_a_damaged_checkpoint(
    started: Path, config: TrainConfig, pictures: Any, how: str
) -> None:
    path = started / "checkpoint.safetensors"
    before = load(path.read_bytes())
    later(started, config, pictures)
    data = bytearray(path.read_bytes())
    data[-5] ^= 4
    path.write_bytes({"flipped": data, "cut": data[:-9], "empty": b"", "gone": b""}[how])
    if how == "gone":  # killed between renaming and writing
        path.unlink()
    run = RunFolder(started, config, SOURCE)
    assert run.iterations_done() == 6
    damage = run.damage()
    assert damage is None if how == "gone" else damage is not None and damage.startswith(f"{path}: ")
    guide, optimiser = parts(config, pictures)
    assert run.resume(guide, optimiser, torch.Generator()) == 6
    assert all(torch.equal(value, before[f"guide.{key}"]) for key, value in guide.state_dict().items())
    assert not path.exists(), "or the next checkpoint would push out the one that is whole"


def test_two_damaged_checkpoints_are_one_line(started: Path, config: TrainConfig, pictures: Any) -> None:
    later(started, config, pictures)
    for name in ("checkpoint.safetensors", "checkpoint-previous.safetensors"):
        (started / name).write_bytes((started / name).read_bytes()[:-1])
    with pytest.raises(InputError, match=r"checkpoint\.safetensors: .*delete it") as caught:
        resume(started, config, pictures)
    assert "\n" not in str(caught.value)


HOLDER = """
import sys, time
from pathlib import Path
from air3d.datasets.files import RangeLock
with RangeLock(Path(sys.argv[1]) / ".lock") as lock:
    print(lock.acquire(0), flush=True)
    time.sleep(60)
"""


def test_a_run_belongs_to_one_process_and_is_free_when_that_is_killed(started: Path, config: TrainConfig) -> None:
    run = RunFolder(started, config, SOURCE)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(started)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"True\n"
        with pytest.raises(InputError, match="another process is training here") as caught, run.claimed():
            pass
        assert str(caught.value).startswith(str(started)) and "\n" not in str(caught.value)
        holder.kill()
    with run.claimed() as done:
        assert done == 6


def test_a_claim_sweeps_up_and_looks_at_the_configuration_again(started: Path, config: TrainConfig) -> None:
    run = RunFolder(started, config, SOURCE)
    (started / "model").mkdir()
    half = [started / ".checkpoint.safetensors.12.tmp", started / "model" / ".weights.safetensors.12.tmp"]
    for path in half:
        path.touch()
    with run.claimed():
        assert not any(path.exists() for path in half)
    other = json.loads((started / "run.json").read_text()) | {"source": {"config_sha256": "other"}}
    (started / "run.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="source"), run.claimed():
        pass


def test_killed_before_there_was_a_run(tmp_path: Path, config: TrainConfig) -> None:
    (tmp_path / ".run.json.12.tmp").write_text("{")
    with RunFolder(tmp_path, config, SOURCE).claimed() as done:
        assert done == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "run.json"]
