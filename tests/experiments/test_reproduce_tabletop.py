"""The tabletop experiments in miniature: every part runs once, nothing runs twice, every seed is on the page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from air3d.cli.main import main
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PERTURBED, ScenePrior
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scenes.model import Hypotheses, SceneModel
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.store import save_model
from air3d.scenes.supervised import TabletopSupervisedConfig
from air3d.scenes.wake_config import WakeConfig
from air3d.training.config import TabletopTrainConfig
from air3d.training.scenes import new_model
from experiments.clock import Clock
from experiments.kept import Kept
from experiments.page import read_results
from experiments.tabletop import command, learning
from experiments.tabletop.feedback import with_steps
from experiments.tabletop.measure import by_count
from experiments.tabletop.perturbed import perturbation
from experiments.tabletop.plan import PARTS, Plan
from experiments.tabletop.shipped import yaw_shown
from experiments.tabletop.strange import spread
from experiments.tabletop.workbench import Workbench, repeat_prior

GUIDE = StepGuideConfig(
    32, (4, 8, 8), 16, (4, 8, 8), head=16, window=12, glimpse=8, azimuth_components=4, yaw_components=4
)
WAKE = TabletopTrainConfig(
    phase="wake",
    iterations=2,
    batch=4,
    guide=GUIDE,
    wake=WakeConfig(candidates=3, own=2, cameras=1, prior_cameras=4, camera_only=2),
)
TINY = Plan(
    wake=WAKE,
    sleep=TabletopTrainConfig(iterations=2, batch=4, guide=GUIDE),
    supervised=TabletopSupervisedConfig(iterations=2, batch=4, guide=GUIDE),
    seeds=(0, 5),
    feedback_seeds=(0, 7),
    perturbed_seeds=(3,),
    train=10,
    validation=4,
    test=12,
    perturbed_test=4,
    points=2,
    bound_samples=2,
    shown=2,
    refine_renders=(27,),
    timed=2,
    samples=2,
    strengths=(0.0, 1.0),
)


@pytest.fixture(scope="module")
def small() -> Iterator[pytest.MonkeyPatch]:
    """The command's quick plan made tiny, and no thousands of dreams for a mean image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "QUICK", TINY)
        patch.setattr("air3d.training.scenes._MEAN_DREAMS", 8)
        patch.setattr("air3d.training.supervised._MEAN_DREAMS", 8)
        yield patch


@pytest.fixture(scope="module")
def call(small: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command, with untrained models in the place of those that are shipped."""
    folder = tmp_path_factory.mktemp("tabletop")
    six = tabletop_prior(CROCKERY, max_objects=2, perturb=True)
    for name, prior in (("three", tabletop_prior()), ("six", six)):
        save_model(folder / name, _eager(new_model(WAKE, prior)), {})
    models = ["--shipped", str(folder / "three"), "--six", str(folder / "six")]
    return ["reproduce", "tabletop", "--quick", "--out", str(folder / "out"), *models, "--renderer", "raster"]


@pytest.fixture(scope="module")
def out(call: list[str]) -> Path:
    assert main(call) == 0
    return Path(call[4])


def test_every_part_has_results(out: Path) -> None:
    results = read_results(out / "results.jsonl")
    assert tuple(results) == PARTS
    names = {part: [run["name"] for run in runs] for part, runs in results.items()}
    assert names["images-alone"] == ["seed0", "seed5"]
    assert set(names["rivals"]) == {
        f"{scenes}-seed{seed}"
        for scenes in (
            "no-repeat-air",
            *(f"{r}-{o}" for r in ("repeat", "no-repeat") for o in ("arbitrary", "matched")),
        )
        for seed in TINY.seeds
    }
    assert names["top-view"] == ["images-alone-seed-0", "shipped"]
    assert names["scanning"] == ["images-alone-seed-0", "images-alone-seed-5", "shipped", "six-kinds"]
    assert names["six-kinds"] == ["six-kinds"]
    models = ("trained-without-perturbation-seed-3", "trained-with-perturbation-seed-3", "shipped", "six-kinds")
    pictures = ("inference-0", "inference-1", "display-0", "display-1", "strange")
    assert {f"{m}-{p}" for m in models for p in pictures} <= set(names["perturbed"])
    jobs = ("amortised", "yaw", "time", "refine-27")
    assert set(names["shipped"]) == {f"{m}-{j}" for m in ("shipped", "six-kinds") for j in jobs}
    assert set(names["feedback"]) == {
        f"{phase}-{fed}-seed{seed}" for phase in ("wake", "sleep") for fed in ("difference", "marks") for seed in (0, 7)
    }
    for runs in results.values():
        for run in runs:
            assert {"command", "commit", "machine"} <= run["made"].keys()


def test_no_scene_is_learned_from_and_measured_on(out: Path, no_scene_in_two: Callable[..., None]) -> None:
    """Whatever prior the sets are drawn from."""
    names = ("train", "validation", "test")
    no_scene_in_two({name: [p.parent for p in out.rglob(f"data/{name}-*/manifest.json")] for name in names})


def test_what_the_numbers_are_of(out: Path) -> None:
    results = read_results(out / "results.jsonl")
    for run in (*results["images-alone"], *results["rivals"], *results["feedback"]):
        assert run["test"]["num_images"] == TINY.test
        assert sum(row["num_images"] for row in run["test"]["by_count"]) == TINY.test
        assert run["renders"] > 0 and run["seconds"] > 0.0
    learned = [json.loads(path.read_text()) for path in out.rglob("run.json")]
    found = {(run["train"].get("phase", "labels"), run["source"]["images"]) for run in learned}
    assert found == {("wake", TINY.train), ("sleep", 0), ("labels", 0)}
    for run in results["images-alone"]:
        assert [point["iteration"] for point in run["curve"]] == [1, 2]
        assert run["curve"][-1]["renders"] == run["renders"]
    for run in results["rivals"]:
        most = max(row["objects"] for row in run["test"]["by_count"])
        assert most == 3
    for run in results["feedback"]:  # trained on 0 to 2 objects, tested on 3
        assert [row["objects"] for row in run["test"]["by_count"]] == [0, 1, 2, 3]
        assert run["test"]["count_confusion"]["inferred"] == [0, 1, 2, 3]
    by_name = {run["name"]: run for run in results["shipped"]}
    assert by_name["shipped-refine-27"]["test"]["renders_per_image"] <= 27 + 4
    assert by_name["shipped-amortised"]["test"]["calibration"].keys() >= {"count", "kinds", "position_m"}
    assert by_name["shipped-time"]["time"]["images"] == TINY.timed
    assert {run["test"]["num_images"] for run in results["perturbed"] if "test" in run} == {TINY.perturbed_test}


def test_the_page_shows_every_seed(out: Path) -> None:
    text = (out / "README.md").read_text()
    for seed in TINY.seeds:
        assert f"\n| {seed} | " in text
        for scenes in ("Kinds may repeat", "No kind repeats"):
            for method in ("air", "supervised-arbitrary", "supervised-matched"):
                assert f"| {scenes} | {method} | {seed} | " in text
        assert f"images alone, seed {seed}" in text
    for seed in TINY.feedback_seeds:
        for phase in ("wake", "sleep"):
            for fed in ("difference", "marks"):
                assert f"| {phase} | {fed} | {seed} | " in text
    assert "| air | 2 | " in text  # both seeds in the medians
    assert "Not run yet" not in text
    assert "air3d reproduce tabletop" in text and "at commit `" in text


def test_every_figure_is_there_with_words(out: Path) -> None:
    text = (out / "README.md").read_text()
    shown = [line[2:-1].split("](") for line in text.splitlines() if line.startswith("![")]
    names = {name for _, name in shown}
    assert names == {path.name for path in out.glob("*.png")}
    assert {"images-alone.png", "scanning-1.png", "perturbed.png", "strange-32.png", "feedback-wake.png"} <= names
    assert {"top-view-images-alone-seed-0.png", "top-view-shipped.png", "feedback-sleep.png"} <= names
    for alt, name in shown:
        assert len(alt) > 40
        with Image.open(out / name) as picture:
            assert np.asarray(picture.convert("RGB"))[0, 0].tolist() == [255, 255, 255]  # on pages of either colour


def test_what_is_finished_is_not_repeated_and_findings_are_put_in(out: Path, call: list[str]) -> None:
    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("ran again")

    before, page = (out / "results.jsonl").read_bytes(), (out / "README.md").read_text()
    written = "It sees **everything**.\n"
    (out / "findings.md").write_text(written)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.tabletop.learning.train", never)
        patch.setattr("experiments.tabletop.rivals.train_supervised_tabletop", never)
        patch.setattr(SceneModel, "infer", never)
        patch.setattr(SceneModel, "sample", never)
        assert main(call) == 0
    assert (out / "results.jsonl").read_bytes() == before
    assert (out / "findings.md").read_text() == written
    assert (out / "README.md").read_text() == page.replace("## 1. ", f"## What it shows\n\n{written}\n## 1. ", 1)


def test_other_settings_are_refused_in_one_line(out: Path, call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = (out / "README.md").read_bytes()
    assert main([*call, "--parts", "images-alone", "--wake-iterations", "3"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "seed0.json" in error and "iterations 2, not 3" in error
    assert (out / "README.md").read_bytes() == before
    assert main([*call, "--seeds", "1", "1"]) == 2
    assert "--seeds" in capsys.readouterr().err


def test_a_missing_model_is_said_and_the_rest_goes_on(
    small: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = ["--shipped", "no-such", "--six", "no-such-six"]
    parts = ["--parts", "top-view", "six-kinds", "shipped"]
    assert main(["reproduce", "tabletop", "--quick", "--out", str(tmp_path), *nothing, *parts]) == 0
    said = capsys.readouterr().err.splitlines()
    assert "six-kinds: no model 'no-such-six' yet; what needs it is left out" in said
    assert "shipped: no model 'no-such' yet; what needs it is left out" in said
    assert any("no run of images-alone yet" in line for line in said)
    assert (tmp_path / "README.md").read_text().count("Not run yet") == len(PARTS)


def test_an_interrupted_training_goes_on_and_its_clock_too(
    small: pytest.MonkeyPatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("air3d.training.scenes.CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(learning, "CHECKPOINT_EVERY", 2)
    bench = Workbench(Kept(tmp_path, {}, lambda line: None), replace(TINY, points=2), _raster)
    config, prior = replace(WAKE, iterations=6), repeat_prior()
    images, validation = bench.train_set(prior).images, bench.validation_set(prior)

    def learn(name: str) -> learning.Learned:
        return learning.learn(bench, tmp_path / name, config, prior, images, validation)

    whole = learn("whole").record
    tick = Clock.tick

    def killed(self: Clock, record: dict[str, Any]) -> None:
        tick(self, record)
        if len((tmp_path / "parts" / "clock.jsonl").read_text().splitlines()) == 3:  # at 2, 3 and 4
            raise KeyboardInterrupt

    monkeypatch.setattr(Clock, "tick", killed)
    with pytest.raises(KeyboardInterrupt):
        learn("parts")
    monkeypatch.setattr(Clock, "tick", tick)
    before = [json.loads(line) for line in (tmp_path / "parts" / "clock.jsonl").read_text().splitlines()]
    resumed = learn("parts").record
    assert resumed["renders"] == whole["renders"]
    assert [_without_time(p) for p in resumed["curve"]] == [_without_time(p) for p in whole["curve"]]
    assert resumed["curve"][0] == before[1]["point"]  # iteration 3 was measured once
    assert before[2]["iteration"] == 4 and resumed["seconds"] > before[2]["seconds"]  # where it went on


def test_the_strength_of_the_perturbation() -> None:
    assert perturbation(1.0) == PERTURBED
    assert perturbation(0.0) == replace(PERTURBED, scale=0.0, colour=0.0, light_angle_rad=0.0, light_level=0.0)
    strong = perturbation(2.0)
    assert (strong.scale, strong.colour, strong.light_level) == (0.2, 0.2, 0.3)
    assert PERTURBED.light_angle_rad < strong.light_angle_rad == 0.6


def test_numbers_by_count() -> None:
    truth = ScenePrior(tabletop_prior()).sample_batch(np.random.default_rng(0), 40)
    empty = replace(truth, kind=np.full_like(truth.kind, -1))
    rows = by_count(truth, empty)
    assert [row["objects"] for row in rows] == [0, 1, 2, 3]
    assert [row["num_images"] for row in rows] == np.bincount(truth.present.sum(axis=1)).tolist()
    assert [row["count_accuracy"] for row in rows] == [1.0, 0.0, 0.0, 0.0]


def test_more_steps_with_the_same_weights() -> None:
    few = _eager(new_model(WAKE, repeat_prior(max_objects=2)))
    many = with_steps(few, 3)
    images = np.random.default_rng(0).integers(256, size=(3, 32, 32, 3), dtype=np.uint8)
    with _raster(few.render_config) as two, _raster(many.render_config) as three:
        first, second = few.infer(images, two).scenes, many.infer(images, three).scenes
    assert first.present.all() and second.present.all()
    assert (first.slots, second.slots) == (2, 3)
    np.testing.assert_allclose(second.position_m[:, :2], first.position_m, atol=1e-5)
    assert (second.kind[:, :2] == first.kind).all()


def test_a_handle_tells_its_yaw_where_it_is_seen() -> None:
    camera = Orbit(azimuth_rad=0.0, elevation_rad=math.radians(25.0))
    items = (("mug", math.pi / 2), ("mug", math.pi), ("bowl", 0.0))  # handle to the side, behind the mug, none
    scenes = [Scene((SceneObject.upright(kind, 0.0, 0.0, yaw),), camera) for kind, yaw in items]
    batch = SceneBatch.from_scenes(scenes, CROCKERY[:3], 2)
    with _raster(RenderConfig(CROCKERY[:3], max_objects=2)) as renderer:
        assert yaw_shown(renderer, batch).tolist() == [[True, False], [False, False], [False, False]]


def test_the_spread_of_a_posterior() -> None:
    scenes = ScenePrior(tabletop_prior()).sample_batch(np.random.default_rng(1), 8)
    azimuth = np.concatenate([np.full(4, 1.0), np.array([-3, -1, 1, 3]) * math.pi / 4])
    kind = np.array([[0, -1, -1], [0, 1, -1], [0, 1, 2], [0, 0, -1]] * 2)
    scenes = replace(scenes, kind=kind, camera_azimuth_rad=azimuth)
    weight = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, -math.inf, -math.inf, -math.inf]])
    hypotheses = Hypotheses(scenes, weight, weight)
    sure, torn = spread(hypotheses, 0), spread(hypotheses, 1)
    assert sure["azimuth_spread_rad"] == pytest.approx(0.0, abs=1e-6)
    assert torn["azimuth_spread_rad"] > 5.0  # all round the circle: no mean direction is left
    assert sure["count_probability"] == [0.0, 0.25, 0.5, 0.25]
    assert (sure["effective_samples"], torn["effective_samples"]) == (pytest.approx(4.0), pytest.approx(1.0))


def _eager(model: SceneModel) -> SceneModel:
    """Untrained, but sure that there is another object, so that every step is looked at."""
    with torch.no_grad():
        model.guide.presence_head[-1].bias.fill_(2.0)  # type: ignore[operator, union-attr]
    model.guide.eval()
    return model


def _raster(config: RenderConfig, workers: int = 1) -> Any:
    return make_renderer(config, "raster", workers)


def _without_time(point: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in point.items() if "seconds" not in key}
