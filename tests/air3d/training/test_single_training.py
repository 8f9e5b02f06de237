"""Training of single-object inference: exact to resume, seeded, and it learns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from air3d.renderers.choice import make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.learner import EstimatorConfig
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.store import load_model
from air3d.training import scenes as training
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.scenes import new_model, rate_factor, train

SOURCE = {"config_sha256": "of a test"}
ITERATIONS = 30

Report = Callable[[dict[str, Any]], None]


@pytest.fixture
def config(small_guide: OneLookConfig, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    return TrainConfig(iterations=ITERATIONS, batch=4, estimator=EstimatorConfig(samples=3), seed=7, guide=small_guide)


def silent(record: dict[str, Any]) -> None:
    pass


def stop_after(iterations: int) -> Report:
    """Raises KeyboardInterrupt after so many calls, as Ctrl-C would."""
    calls = iter(range(iterations, 0, -1))

    def report(record: dict[str, Any]) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt

    return report


def run(folder: Path, config: TrainConfig, pictures: Any, report: Report = silent) -> SceneModel:
    """Train with new objects throughout, as a fresh process would."""
    images = pictures.images
    model = new_model(config, single_prior(), images)
    with make_renderer(model.render_config, "analytic") as renderer:
        train(model, images, renderer, config, RunFolder(folder, config, SOURCE), {}, report)
    return model


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_leaves_what_it_should(tmp_path: Path, config: TrainConfig, pictures: Any) -> None:
    records: list[dict[str, Any]] = []
    model = run(tmp_path / "run", config, pictures, records.append)
    assert sorted(files(tmp_path / "run")) == [
        "checkpoint-previous.safetensors", "checkpoint.safetensors", "log.jsonl", "model/config.json",
        "model/weights.safetensors", "run.json",
    ]  # fmt: skip
    assert len(records) == ITERATIONS
    log = read_log(tmp_path / "run")
    assert [record["iteration"] for record in log] == list(range(2, ITERATIONS + 1, 2))
    assert records[-1] == log[-1]
    assert all(1.0 <= record["effective_samples"] <= 3.0 + 1e-4 for record in log)
    assert all(sum(record["kind_share"].values()) == pytest.approx(1.0) for record in log)
    stored = load_model(str(tmp_path / "run" / "model"))
    assert stored.provenance == {"iterations": ITERATIONS, "seed": 7}
    state = model.guide.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in stored.model.guide.state_dict().items())
    assert float(model.guide.encoder.mean_image.sum()) == pytest.approx(
        float(pictures.images.mean(0).sum() / 255.0), rel=1e-5
    )


@pytest.mark.parametrize("stops", [(20,), (3,), (13, 4, 11), (29,)])
def test_resumed_it_is_the_same_run(tmp_path: Path, config: TrainConfig, pictures: Any, stops: tuple[int, ...]) -> None:
    run(tmp_path / "straight", config, pictures)
    for iterations in stops:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", config, pictures, stop_after(iterations))
        assert not (tmp_path / "resumed" / "model").exists()
    run(tmp_path / "resumed", config, pictures)
    straight, resumed = files(tmp_path / "straight"), files(tmp_path / "resumed")
    assert straight.keys() == resumed.keys()
    for name, data in straight.items():
        assert resumed[name] == data, name


def test_half_a_log_line_is_dropped(tmp_path: Path, config: TrainConfig, pictures: Any) -> None:
    run(tmp_path / "straight", config, pictures)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", config, pictures, stop_after(12))
    with open(tmp_path / "killed" / "log.jsonl", "a") as file:
        file.write('{"iteration": 1')
    run(tmp_path / "killed", config, pictures)
    assert files(tmp_path / "killed") == files(tmp_path / "straight")


def test_repeating_a_finished_run_changes_nothing(tmp_path: Path, config: TrainConfig, pictures: Any) -> None:
    run(tmp_path / "run", config, pictures)
    before = files(tmp_path / "run")
    run(tmp_path / "run", config, pictures, stop_after(1))
    assert files(tmp_path / "run") == before


def test_a_fresh_process_resumes_exactly(tmp_path: Path, config: TrainConfig, pictures: Any) -> None:
    run(tmp_path / "straight", config, pictures)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "resumed", config, pictures, stop_after(20))
    np.save(tmp_path / "images.npy", pictures.images)
    code = f"""
import numpy, torch
from air3d.training import scenes as training
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder
from pathlib import Path
from air3d.renderers.choice import make_renderer
from air3d.scene3d.config_json import config_from_dict
from air3d.scene3d.presets import single_prior
import json
torch.set_num_threads(1)
training.CHECKPOINT_EVERY, training.LOG_EVERY = 5, 2
folder = Path({str(tmp_path / "resumed")!r})
config = config_from_dict(TrainConfig, json.loads((folder / "run.json").read_text())["train"], "run.json")
images = numpy.load({str(tmp_path / "images.npy")!r})
model = training.new_model(config, single_prior(), images)
run = RunFolder(folder, config, {SOURCE!r})
assert run.iterations_done() == 20
with make_renderer(model.render_config, "analytic") as renderer:
    training.train(model, images, renderer, config, run, {{}}, lambda record: None)
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True)
    assert files(tmp_path / "resumed") == files(tmp_path / "straight")


def test_the_seed_decides(tmp_path: Path, config: TrainConfig, pictures: Any) -> None:
    models = {
        name: run(tmp_path / name, replace(config, seed=seed, iterations=3), pictures)
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    }
    torch.rand(5)  # the global generator has no part in it
    first, same, other = (models[name].guide.state_dict() for name in ("one", "same", "other"))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["core.weight_ih"], other["core.weight_ih"])


def test_the_curriculum_begins_with_what_is_nearest_to_the_mean(
    tmp_path: Path, config: TrainConfig, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearest to the mean of the training images, not darkest; all images come by the middle of the run."""
    images = pictures.images.copy()
    images[:6] = 0  # dark, and far from all others
    mean = images.astype(np.float64).mean(0)
    near = np.argsort(np.square(images - mean).sum((1, 2, 3)), kind="stable")
    shown: list[set[bytes]] = []
    original = training.to_pixels

    def spy(batch: Any) -> Any:
        shown.append({image.tobytes() for image in batch})
        return original(batch)

    monkeypatch.setattr(training, "to_pixels", spy)
    run(tmp_path / "run", replace(config, curriculum=0.25, batch=32), pictures._replace(images=images))
    easiest = {images[i].tobytes() for i in near[: len(images) // 4]}
    assert shown[0] == shown[0] & easiest and len(shown[0]) > 5
    assert not easiest & {images[0].tobytes()}, "the dark ones are not the easiest"
    assert images[0].tobytes() in set().union(*shown[ITERATIONS // 2 :])


def test_pictures_of_another_size_are_refused(prior: PriorConfig, pictures: Any) -> None:
    with pytest.raises(InputError, match="the images are 32x32 pixels; the guide reads 64x64"):
        new_model(TrainConfig(), prior, pictures.images)


def test_the_learning_rate_falls_at_the_end() -> None:
    factors = [rate_factor(TrainConfig(iterations=200), i) for i in range(201)]
    assert factors[:140] == [1.0] * 140
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(0.05)
    assert max(abs(np.diff(factors))) < 0.03, "no jump"


@pytest.mark.parametrize(
    "change",
    [
        {"iterations": 0},
        {"batch": 0},
        {"curriculum": 0.0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="train: "):
        TrainConfig(**change)
