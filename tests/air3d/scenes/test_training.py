"""Training of tabletops: every phase resumes exactly, is seeded, and refuses what it cannot learn from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.learner import EstimatorConfig
from air3d.scenes.model import SceneModel
from air3d.scenes.refine import RefineConfig
from air3d.scenes.store import load_model
from air3d.scenes.wake_config import WakeConfig
from air3d.training import learning_film
from air3d.training import scenes as training
from air3d.training.board import Board
from air3d.training.config import TabletopTrainConfig, recommended_for
from air3d.training.learning_film import LearningFilm
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.scenes import new_model, rate_factor, train

SOURCE = {"prior_sha256": "of a test"}
SIZE, ITERATIONS = 16, 6

Report = Callable[[dict[str, Any]], None]
MakeConfig = Callable[..., TabletopTrainConfig]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "_MEAN_DREAMS", 8)


@pytest.fixture
def make_config(make_guide: Any) -> MakeConfig:
    def make(phase: Any, **changes: Any) -> TabletopTrainConfig:
        values: dict[str, Any] = {
            "iterations": ITERATIONS, "batch": 3, "warm_up": 2, "seed": 7, "guide": make_guide(SIZE),
            "dreams": 0 if phase == "sleep" else 2,
            "estimator": EstimatorConfig("rws" if phase == "wake" else "lr", samples=2),
            "wake": WakeConfig(candidates=3, own=2, cameras=2, prior_cameras=3, camera_only=1),
        }  # fmt: skip
        return TabletopTrainConfig(phase=phase, **values | changes)

    return make


@pytest.fixture(scope="module")
def seen(two: PriorConfig, make_model: Any) -> NDArray[np.uint8]:
    scenes = ScenePrior(two).sample_batch(np.random.default_rng(0), 10)
    with make_renderer(make_model(two, size=SIZE).render_config, "analytic") as renderer:
        return renderer.render(scenes)


REMEMBERING = WakeConfig(3, 2, 2, 3, 1, cold=0.5, remembered=4, visits=2, polish=RefineConfig(renders=20, candidates=2))


def silent(record: dict[str, Any]) -> None:
    pass


def stop_after(iterations: int) -> Report:
    """Raises KeyboardInterrupt after so many calls, as Ctrl-C would."""
    calls = iter(range(iterations, 0, -1))

    def report(record: dict[str, Any]) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt

    return report


def run(
    folder: Path,
    config: TabletopTrainConfig,
    prior: PriorConfig,
    seen: NDArray[np.uint8] | None,
    report: Report = silent,
) -> SceneModel:
    """Train with new objects throughout, as a fresh process would; torch's own generator has no part in it."""
    torch.rand(3)
    model = new_model(config, prior)
    images = None if config.phase == "sleep" else seen
    with make_renderer(model.render_config, "analytic") as renderer:
        train(model, images, renderer, config, RunFolder(folder, config, SOURCE), {}, report)
    return model


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "phase, feedback, estimator",
    [
        ("sleep", "difference", "lr"),
        ("wake", "marks", "rws"),
        ("wake", "difference", "lr-nvil"),
        ("wake, remembering", "difference", "lr"),
        ("tune", "difference", "lr"),
        ("tune", "marks", "lr-nvil"),
    ],
)
def test_resumed_it_is_the_same_run(
    tmp_path: Path, make_config: MakeConfig, make_guide: Any, two: PriorConfig, seen: Any, phase: Any, feedback: Any,
    estimator: str,
) -> None:  # fmt: skip
    """To the byte: weights, optimiser, generator, log, a learned baseline; wherever it was stopped, twice."""
    chosen = EstimatorConfig(estimator, samples=2)
    late = {"wake": REMEMBERING, "shares": 1} if phase == "wake, remembering" else {}
    guide = make_guide(SIZE, feedback=feedback)
    config = make_config(phase.split(",")[0], guide=guide, estimator=chosen, **late)
    run(tmp_path / "straight", config, two, seen)
    for iterations in (3, 3):  # after 3, of which 2 are kept; after 3 more
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", config, two, seen, stop_after(iterations))
        assert not (tmp_path / "resumed" / "model").exists()
    run(tmp_path / "resumed", config, two, seen)
    straight, resumed = files(tmp_path / "straight"), files(tmp_path / "resumed")
    assert sorted(straight) == [
        "checkpoint-previous.safetensors", "checkpoint.safetensors", "log.jsonl", "model/config.json",
        "model/weights.safetensors", "run.json",
    ]  # fmt: skip
    assert straight.keys() == resumed.keys()
    for name, data in straight.items():
        assert resumed[name] == data, name
    # Once more: there is nothing left to do.
    run(tmp_path / "straight", config, two, seen, stop_after(1))
    assert files(tmp_path / "straight") == straight


@pytest.mark.parametrize("phase", ["sleep", "wake", "tune"])
def test_a_run_leaves_what_it_should(
    tmp_path: Path, make_config: MakeConfig, two: PriorConfig, seen: Any, phase: Any
) -> None:
    config, records = make_config(phase, iterations=2), []
    model = run(tmp_path / "run", config, two, seen, records.append)
    log = read_log(tmp_path / "run")
    assert [record["iteration"] for record in log] == [1, 2] and records == log
    names = {
        "sleep": {"sleep_where", "sleep_presence", "sleep_viewpoint"},
        "wake": {"camera", "kind_share", "objects", "presence", "explained_1", "renders", "sleep_where"},
        "tune": {"reward", "squared_error", "objects", "reward_spread", "renders", "kind_share", "sleep_where"},
    }
    assert names[phase] <= log[0].keys()
    assert all(np.isfinite(value) for record in log for value in record.values() if isinstance(value, float))
    stored = load_model(str(tmp_path / "run"))
    assert isinstance(stored.model, SceneModel) and stored.model.likelihood == config.likelihood
    assert stored.provenance == {"iterations": 2, "seed": 7}
    state = model.guide.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in stored.model.guide.state_dict().items())
    if phase != "sleep":
        expected = seen.mean(0).transpose(2, 0, 1) / 255.0
        assert model.guide.mean_image.numpy() == pytest.approx(expected, abs=1e-5)
    assert 0.05 < float(model.guide.mean_image.mean()) < 0.8


@pytest.mark.parametrize("phase", ["sleep", "wake"])
def test_the_seed_decides(tmp_path: Path, make_config: MakeConfig, two: PriorConfig, seen: Any, phase: Any) -> None:
    first, again, other = (
        run(tmp_path / name, make_config(phase, iterations=1, seed=seed), two, seen).guide.state_dict()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["place_head.weight"], other["place_head.weight"])


def test_a_run_asleep_is_the_control_of_one_that_adds_dreams(
    tmp_path: Path, make_config: MakeConfig, two: PriorConfig, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same weights it dreams the same scenes, with the same slips at first; only the images are left out."""
    dreamt: dict[str, list[NDArray[np.float64]]] = {"tune": [], "sleep": []}
    records: dict[str, list[dict[str, Any]]] = {"tune": [], "sleep": []}
    original = training.dream
    for phase, sizes in (("tune", {"batch": 3, "dreams": 2}), ("sleep", {"batch": 2})):

        def spy(*arguments: Any, phase: str = phase) -> Any:
            pictures, latents = original(*arguments)
            dreamt[phase].append(pictures.double().numpy())
            return pictures, latents

        monkeypatch.setattr(training, "dream", spy)
        config = make_config(phase, iterations=3, **sizes)
        model = new_model(config, two)
        model.guide.mean_image.fill_(0.25)  # as weights to start from have one
        images = seen if phase == "tune" else None
        with make_renderer(model.render_config, "analytic") as renderer:
            train(
                model, images, renderer, config, RunFolder(tmp_path / phase, config, SOURCE), {}, records[phase].append
            )
    assert len(dreamt["tune"]) == len(dreamt["sleep"]) == 3
    for one, other in zip(dreamt["tune"], dreamt["sleep"], strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(dreamt["tune"][0], dreamt["tune"][1])
    first, control = records["tune"][0], records["sleep"][0]
    asleep = {name for name in first if name.startswith("sleep_")}
    assert asleep and all(first[name] == control[name] for name in asleep)
    assert control["loss"] == pytest.approx(control["sleep_total"]) and "reward" not in control
    assert abs(first["loss"] - first["sleep_total"]) > 1e-3, "the images have their part in it"


@pytest.mark.parametrize("phase", ["wake", "tune"])
def test_without_dreams_only_the_images_teach(
    tmp_path: Path, make_config: MakeConfig, two: PriorConfig, seen: Any, monkeypatch: pytest.MonkeyPatch, phase: Any
) -> None:
    def never(*arguments: Any) -> Any:
        raise AssertionError("nothing is dreamt")

    monkeypatch.setattr(training, "dream", never)
    records: list[dict[str, Any]] = []
    run(tmp_path / "run", make_config(phase, iterations=2, dreams=0), two, seen, records.append)
    assert not any(name.startswith("sleep_") for record in records for name in record)
    assert all(abs(record["loss"]) > 1e-6 for record in records)


def test_a_mean_image_that_comes_with_the_weights_is_kept(
    tmp_path: Path, make_config: MakeConfig, two: PriorConfig, seen: Any
) -> None:
    config = make_config("tune", iterations=1)
    model = new_model(config, two)
    mean = torch.full((3, SIZE, SIZE), 0.25)
    model.guide.mean_image.copy_(mean)
    with make_renderer(model.render_config, "analytic") as renderer:
        train(model, seen, renderer, config, RunFolder(tmp_path / "run", config, SOURCE), {}, silent)
    assert torch.equal(model.guide.mean_image, mean)


def test_what_cannot_be_learned_from_is_refused(
    tmp_path: Path, make_config: MakeConfig, two: PriorConfig, seen: NDArray[np.uint8]
) -> None:
    def attempt(phase: Any, images: NDArray[np.uint8] | None) -> None:
        config = make_config(phase)
        model = new_model(config, two)
        folder = RunFolder(tmp_path / str(len(list(tmp_path.iterdir()))), config, SOURCE)
        train(model, images, None, config, folder, {}, silent)  # type: ignore[arg-type]

    for phase in ("wake", "tune"):
        with pytest.raises(InputError, match=f"phase {phase} learns from images"):
            attempt(phase, None)
        with pytest.raises(InputError, match=f"phase {phase} learns from images"):
            attempt(phase, seen[:0])
        with pytest.raises(InputError, match="the images are 16x12 pixels; the guide reads 16x16"):
            attempt(phase, seen[:, :12])


def test_the_learning_rate_rises_holds_and_falls(make_config: MakeConfig) -> None:
    config = make_config("sleep", iterations=1000, warm_up=100, hold=0.5)
    factor = np.array([rate_factor(config, i) for i in range(1000)])
    assert factor[:100] == pytest.approx(np.arange(1, 101) / 100.0)
    assert factor[100:501] == pytest.approx(np.ones(401))
    assert (np.diff(factor[500:]) < 0.0).all() and np.abs(np.diff(factor[100:])).max() < 0.005, "no jump"
    assert factor[750] == pytest.approx(0.02 + 0.98 / 2.0, abs=1e-3)
    assert factor[-1] == pytest.approx(0.02, abs=1e-4)
    flat = replace(config, warm_up=0, hold=1.0)
    assert {rate_factor(flat, i) for i in (0, 500, 999)} == {1.0}


def test_recommended_parameters_are_of_their_phase() -> None:
    for phase in ("sleep", "wake", "tune"):
        assert recommended_for(phase).phase == phase
    assert recommended_for("sleep") == TabletopTrainConfig()
    assert recommended_for("tune").dreams > 0, "or it forgets objects"


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"phase": "dream"}, "use 'sleep', 'wake' or 'tune'"),
        ({"iterations": 0}, "iterations 0"),
        ({"batch": 0}, "batch 0"),
        ({"warm_up": -1}, "warm_up -1"),
        ({"dreams": -1}, "dreams -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"hold": 1.5}, "hold is 1.5"),
        ({"min_visible": -0.1}, "min_visible is -0.1"),
        ({"seed": -1}, "seed is -1"),
        ({"estimator": EstimatorConfig("fd")}, "estimator fd is for one object under a known camera"),
        ({"estimator": EstimatorConfig("rws", sleep_share=0.5)}, "sleep_share"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=r"train: |estimator") as caught:
        TabletopTrainConfig(**change)
    assert problem in str(caught.value) and "\n" not in str(caught.value)


class Shown(Board):
    """Remembers pictures instead of writing events."""

    def __init__(self) -> None:
        self.pictures: list[tuple[int, tuple[int, ...]]] = []

    def picture(self, name: str, pixels: NDArray[np.uint8], iteration: int) -> None:
        self.pictures.append((iteration, pixels.shape))


@pytest.fixture
def renderer(two: PriorConfig, make_model: Any) -> Any:
    with make_renderer(make_model(two, size=SIZE).render_config, "analytic") as made:
        yield made


def test_a_film_shows_images_above_answers(
    tmp_path: Path, two: PriorConfig, make_model: Any, seen: NDArray[np.uint8], renderer: Renderer
) -> None:
    model, board = make_model(two, size=SIZE), Shown()
    film = LearningFilm(tmp_path, 3, model, seen[:5], renderer, board)
    for iteration in range(1, 8):
        film.look(iteration, model)
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == ["0000001.png", "0000003.png", "0000006.png"]
    assert board.pictures == [(i, (2 * SIZE, 5 * SIZE, 3)) for i in (1, 3, 6)]
    frame = iio.imread(tmp_path / "frames" / "0000003.png")
    assert frame.shape == (4 * SIZE, 10 * SIZE, 3)
    assert np.array_equal(frame[: 2 * SIZE : 2, ::2], np.concatenate(list(seen[:5]), axis=1))
    answers = renderer.render(model.infer(seen[:5], renderer).scenes)
    assert np.array_equal(frame[2 * SIZE :: 2, ::2], np.concatenate(list(answers), axis=1))
    film.finish()
    # The model has learned nothing in between: three equal frames are stored as one that stays three times as long.
    assert len(iio.imread(tmp_path / "learning.gif", index=None)) == 1
    assert iio.immeta(tmp_path / "learning.gif")["duration"] == 3 * 150
    film = iio.imread(tmp_path / "learning.mp4", plugin="pyav")
    assert film.shape == (3, *frame.shape) and np.abs(film.astype(int) - frame).mean() < 6
    assert iio.immeta(tmp_path / "learning.mp4", plugin="pyav")["fps"] == pytest.approx(1000 / 150, abs=0.01)


def test_a_long_film_keeps_its_end(
    tmp_path: Path, two: PriorConfig, make_model: Any, seen: NDArray[np.uint8], renderer: Renderer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(learning_film, "_MOST_FRAMES", 3)
    model = make_model(two, size=SIZE)
    film = LearningFilm(tmp_path, 1, model, None, renderer, Shown())
    film.look(1, model)
    first = (tmp_path / "frames" / "0000001.png").read_bytes()
    for i in range(2, 9):  # frames of other brightness, so that none is merged with the one before
        shade = np.full((4 * SIZE, 16 * SIZE, 3), 30 * i, np.uint8)
        iio.imwrite(tmp_path / "frames" / f"{i:07d}.png", shade)
    film.finish()
    frames = iio.imread(tmp_path / "learning.gif", index=None)
    assert len(frames) == 4 and abs(int(frames[-1].mean()) - 240) < 3
    assert (tmp_path / "frames" / "0000001.png").read_bytes() == first


def test_no_film(tmp_path: Path, two: PriorConfig, make_model: Any, renderer: Renderer) -> None:
    model = make_model(two, size=SIZE)
    film = LearningFilm(tmp_path, 0, model, None, renderer, Shown())
    film.look(1, model)
    film.finish()
    assert list(tmp_path.iterdir()) == []


def test_the_board_writes_each_record_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Board(tmp_path, 4) as board:
        for iteration in (2, 4, 5, 5, 6):
            board.record({"iteration": iteration, "loss": 10.0 * iteration, "warning": "collapse"})
        board.record({})
        board.picture("answers", np.zeros((4, 6, 3), np.uint8), 6)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(5, 50.0), (6, 60.0)]
    assert events.Tags()["scalars"] == ["loss"] and events.Tags()["images"] == ["answers"]
    assert json.dumps(events.Tags()["images"])
