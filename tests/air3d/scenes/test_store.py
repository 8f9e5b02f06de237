"""Model folders: an exact round trip, and one line for everything that is not a model."""

from __future__ import annotations

import hashlib
import json
import pickle  # noqa: TID251  to show that nothing is unpickled
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from air3d.networks.folder import find_model
from air3d.scene3d.errors import InputError
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.store import load_model, save_model

CONFIG, WEIGHTS = "config.json", "weights.safetensors"


def refused(name: object) -> str:
    """The message with which a folder is refused: one line, and short."""
    with pytest.raises(InputError) as caught:
        load_model(str(name))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def edit_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))


def replace_weights(folder: Path, data: bytes) -> None:
    """Exchange the weights and name their sha256, so that what is in them is looked at."""
    (folder / WEIGHTS).write_bytes(data)
    edit_config(folder, lambda config: config.update(weights_sha256=hashlib.sha256(data).hexdigest()))


def edit_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load((folder / WEIGHTS).read_bytes())
    change(tensors)
    replace_weights(folder, save(tensors))


def test_weights_in_half_precision_are_read_as_whole_ones(tmp_path: Path) -> None:
    model = load_model("tabletop").model
    save_model(tmp_path / "whole", model, {})
    save_model(tmp_path / "half", model, {}, half=True)
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("whole", "half")]
    assert sizes[1] == pytest.approx(0.5 * sizes[0], rel=0.02)
    again = load_model(tmp_path / "half").model.guide.state_dict()
    for name, tensor in model.guide.state_dict().items():
        assert again[name].dtype == tensor.dtype and torch.allclose(again[name], tensor, rtol=1e-3, atol=1e-7), name
    edit_tensors(tmp_path / "half", lambda tensors: tensors.update({"mean_image": tensors["mean_image"].double()}))
    assert "is float64" in refused(tmp_path / "half")


def test_a_run_that_has_not_ended_says_how_far_it_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"train": {"iterations": 500}}))
    assert f"{run}: this run is not finished (it has no checkpoint of its 500 iterations yet)" in refused(run)
    (run / "checkpoint-previous.safetensors").write_bytes(save({"iteration": torch.tensor(100)}))
    (run / "checkpoint.safetensors").write_bytes(b"damaged")
    (run / "model").mkdir()  # killed while the model was written
    (run / "model" / WEIGHTS).write_bytes(b"half")
    for name in (run, run / "model"):
        assert f"{run}: this run is not finished (its checkpoint is of iteration 100 of 500)" in refused(name)
        assert "repeat its 'air3d train' command to go on" in refused(name)
    (run / "checkpoint.safetensors").write_bytes(save({"iteration": torch.tensor(200)}))
    (run / "run.json").write_text(json.dumps({"train": {"model": "air", "train": {"iterations": 400}}}))
    assert "iteration 200 of 400)" in refused(run)
    (run / "run.json").write_text("{")
    assert "iteration 200)" in refused(run)


def test_a_round_trip_infers_the_same(weights: Path, model: SceneModel, pictures: Any) -> None:
    stored = load_model(str(weights))
    assert stored.provenance == {"made_by": "a test"}
    assert stored.model.world == model.world
    assert stored.model.guide.config == model.guide.config
    assert stored.model.likelihood == model.likelihood
    assert not stored.model.guide.training
    before, after = model.guide.state_dict(), stored.model.guide.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    one, other = (each.infer(pictures.images).scenes for each in (model, stored.model))
    assert np.array_equal(one.kind, other.kind)
    assert np.array_equal(one.position_m, other.position_m)
    assert np.array_equal(one.yaw_rad, other.yaw_rad)


def test_saving_again_gives_the_same_bytes_and_leaves_nothing_else(
    weights: Path, model: SceneModel, tmp_path: Path
) -> None:
    save_model(tmp_path / "again", model, {"made_by": "a test"})
    assert sorted(path.name for path in weights.iterdir()) == [CONFIG, WEIGHTS]
    for name in (CONFIG, WEIGHTS):
        assert (weights / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_loading_draws_no_random_numbers_that_others_would_miss(weights: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_model(str(weights))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("keep", [0, 1, 7, 100, -1])
def test_truncated_weights(weights: Path, keep: int) -> None:
    data = (weights / WEIGHTS).read_bytes()
    (weights / WEIGHTS).write_bytes(data[:keep])
    assert f"{weights / WEIGHTS}: damaged" in refused(weights)
    replace_weights(weights, data[:keep])
    assert f"{weights / WEIGHTS}: not a safetensors file" in refused(weights)


def test_one_flipped_bit(weights: Path) -> None:
    data = bytearray((weights / WEIGHTS).read_bytes())
    data[-100] ^= 1
    (weights / WEIGHTS).write_bytes(bytes(data))
    assert f"{weights / WEIGHTS}: damaged" in refused(weights)


def test_the_weights_of_another_model(weights: Path, model: SceneModel, tmp_path: Path) -> None:
    with torch.no_grad():
        next(model.guide.parameters()).add_(1.0)
    save_model(tmp_path / "other", model, {})
    shutil.copy(tmp_path / "other" / WEIGHTS, weights / WEIGHTS)
    assert f"{weights / WEIGHTS}: damaged" in refused(weights)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(weights: Path, value: float) -> None:
    edit_tensors(weights, lambda tensors: tensors["core.bias_ih"].__setitem__(3, value))
    assert f"{weights / WEIGHTS}: tensor 'core.bias_ih' holds numbers that are not finite" in refused(weights)


def test_tensors_that_do_not_fit(weights: Path) -> None:
    whole = (weights / WEIGHTS).read_bytes()
    edit_tensors(weights, lambda tensors: tensors.update({"a.b": torch.zeros(2)}))
    assert f"{weights / WEIGHTS}: tensor 'a.b' is unknown" in refused(weights)
    replace_weights(weights, whole)
    edit_tensors(weights, lambda tensors: tensors.pop("encoder.mean_image"))
    assert f"{weights / WEIGHTS}: tensor 'encoder.mean_image' is missing" in refused(weights)
    replace_weights(weights, whole)
    edit_tensors(weights, lambda tensors: tensors.update({"core.bias_hh": torch.zeros(5)}))
    message = refused(weights)
    assert f"{weights / WEIGHTS}: tensor 'core.bias_hh'" in message and "(5,)" in message
    replace_weights(weights, whole)
    edit_tensors(weights, lambda tensors: tensors.update({"core.bias_hh": tensors["core.bias_hh"].double()}))
    message = refused(weights)
    assert f"{weights / WEIGHTS}: tensor 'core.bias_hh'" in message and "float64" in message


@pytest.mark.parametrize(
    "key, value, problem",
    [
        ("schema", "air3d-model/99", "schema is 'air3d-model/99'"),
        ("schema", [0] * 10_000, "schema is [0, 0, 0"),
        ("track", "multi-mnist", "track is 'multi-mnist'"),
        ("track", {"a": "x" * 10_000}, "track is {'a': 'xxx"),
        ("sigma", "wide", "sigma: must be a number, not 'wide'"),
        ("sigma", "9" * 10_000, "sigma: must be a number, not '999"),
        ("sigma", None, "sigma: must be a number, not None"),
        ("sigma", -1.0, "sigma is -1.0"),
        ("noise", "salt", "noise: salt"),
        ("prior", None, "prior"),
        ("prior", {}, "prior"),
        ("guide", [], "guide"),
        ("weights_sha256", "00", "damaged"),
    ],
)
def test_a_config_of_something_else(weights: Path, key: str, value: object, problem: str) -> None:
    edit_config(weights, lambda config: config.update({key: value}))
    message = refused(weights)
    assert problem in message
    assert str(weights) in message


@pytest.mark.parametrize(
    "path, value",
    [
        (("guide", "hidden"), 10**9),
        (("guide", "encoder", "code"), 10**12),
        (("guide", "encoder", "channels"), [10**9, 10**9]),
        (("guide", "encoder", "channels"), [8] * 40),
        (("guide", "encoder", "image_size"), 10**6),
        (("guide", "encoder", "image_size"), "large"),
        (("guide", "unknown"), 3),
        (("prior", "kinds"), ["cube", "unicorn"]),
        (("prior", "table", "radius_m"), -1.0),
    ],
)
def test_values_that_cannot_be_used_are_named_and_cost_nothing(
    weights: Path, path: tuple[str, ...], value: object
) -> None:
    def change(config: dict[str, Any]) -> None:
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = value

    edit_config(weights, change)
    message = refused(weights)
    assert path[0] in message or path[-1] in message
    assert str(weights) in message


@pytest.mark.parametrize("data", [b"", b"{", b"[1, 2]", b"\xff\xfe\x00", b'{"schema": NaN}', b"[" * 100_000, b"null"])
def test_a_config_that_is_no_json_object(weights: Path, data: bytes) -> None:
    (weights / CONFIG).write_bytes(data)
    assert str(weights / CONFIG) in refused(weights)


def test_a_huge_config_is_not_read(weights: Path) -> None:
    with open(weights / CONFIG, "wb") as file:
        file.truncate(1 << 40)  # a sparse file
    assert f"{weights / CONFIG}: {1 << 40} bytes is more than" in refused(weights)


def test_huge_weights_are_not_read(weights: Path) -> None:
    with open(weights / WEIGHTS, "wb") as file:
        file.truncate(1 << 40)
    assert f"{weights / WEIGHTS}: {1 << 40} bytes is more than" in refused(weights)


class Boom:
    """Its pickle calls `open` to make a file: unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.trace), "w")


def test_nothing_is_unpickled(weights: Path, tmp_path: Path) -> None:
    replace_weights(weights, pickle.dumps(Boom(tmp_path / "trace")))
    assert f"{weights / WEIGHTS}: not a safetensors file" in refused(weights)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_or_strange_file(weights: Path, name: str) -> None:
    (weights / name).unlink()
    assert f"{weights / name}: No such file" in refused(weights)
    (weights / name).mkdir()
    assert f"{weights / name}: Is a directory" in refused(weights)


def test_no_folder_and_no_shipped_model(tmp_path: Path) -> None:
    assert "model 'single-objekt' does not exist" in refused("single-objekt")
    assert "does not exist" in refused("a" * 5000)
    assert "shipped models are" in refused(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    assert "is a file; name the folder" in refused(tmp_path / "file")
    assert str(tmp_path / CONFIG) in refused(tmp_path)


def test_the_noise_is_kept_with_the_model(weights: Path, tmp_path: Path) -> None:
    model = load_model(weights).model
    assert "noise" not in json.loads((weights / CONFIG).read_text()), "files without it mean Gaussian noise"
    save_model(tmp_path / "other", replace(model, likelihood=Likelihood(0.2, "hyperbolic")), {})
    assert load_model(tmp_path / "other").model.likelihood == Likelihood(0.2, "hyperbolic")


@pytest.mark.parametrize(
    "name, track", [("single-object", "single-object"), ("tabletop", "tabletop"), ("tabletop-6", "tabletop")]
)
def test_what_was_written_before_is_written_again(name: str, track: str, tmp_path: Path) -> None:
    """The shipped files were written by earlier versions: they load, and are saved with the same content."""
    stored = load_model(name)
    save_model(tmp_path, stored.model, stored.provenance)
    before, after = (json.loads((folder / CONFIG).read_text()) for folder in (find_model(name), tmp_path))
    assert after["track"] == track
    for key in ("schema", "guide", "sigma", "provenance"):
        assert after[key] == before[key]
    again = load_model(tmp_path).model
    assert again.prior == stored.model.prior
    ours, theirs = stored.model.guide.state_dict(), again.guide.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_spelling_of_the_first_edition_is_understood(tmp_path: Path) -> None:
    assert find_model("table-top") == find_model("tabletop")
    older = tmp_path / "older"
    shutil.copytree(find_model("tabletop-6"), older)
    config = json.loads((older / CONFIG).read_text())
    (older / CONFIG).write_text(json.dumps({**config, "track": "table-top"}))
    assert load_model(older).model.prior == load_model("tabletop-6").model.prior


def test_a_run_stands_for_the_model_in_it(weights: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(weights, run / "model")
    assert find_model(str(run)) == run / "model"
    load_model(str(run))
