"""The single-object experiment in miniature: every part runs once, nothing runs twice, every seed is on the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.labelled import load_labelled
from air3d.datasets.provenance import provenance
from air3d.renderers.choice import make_renderer
from air3d.scene3d.errors import InputError
from experiments.kept import fingerprint
from experiments.single_object import rivals
from experiments.single_object.page import FINDINGS, write_page
from experiments.single_object.plan import Plan
from experiments.single_object.rivals import EXAMPLES, example_names, run_experiment

FACTS = {"command": "air3d reproduce single-object", **provenance()}
TINY = Plan(
    iterations=12,
    train=32,
    validation=6,
    test=8,
    seeds=(0, 5),
    estimators=("lr", "rws"),
    refined=("lr",),
    searched=2,
    search_renders=(120,),
    refine_renders=(12,),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    work = tmp_path_factory.mktemp("work")
    return work, run_experiment(work, TINY, make_renderer, FACTS, lambda line: None)


def test_every_part_is_measured_alike(finished: tuple[Path, dict[str, Any]]) -> None:
    _, results = finished
    assert [(r["estimator"]["name"], r["seed"]) for r in results["estimators"]] == TINY.jobs()
    names = {r["name"] for r in results["rivals"]}
    assert names == {
        "air-shipped-single-object",
        "supervised-regression",
        "supervised-density",
        "air-lr-refine-12",
        "search-fd-120",
        "search-cma-120",
    }
    for run in (*results["estimators"], *results["rivals"]):
        test = run["test"]
        assert {
            "kinds_accuracy",
            "position_error_m",
            "mssd_recall",
            "raw_yaw_error_rad",
            "seconds_per_image",
        } <= test.keys()
        limit = {"air-lr-refine-12": 12, "search-fd-120": 120, "search-cma-120": 120}.get(run.get("name", ""), 0)
        assert 0 <= test["renders_per_image"] <= limit
    for run in results["estimators"]:
        assert run["renders"] == 12 * 512
        assert run["seconds"] > 0.0


def test_no_scene_is_learned_from_and_measured_on(
    finished: tuple[Path, dict[str, Any]], no_scene_in_two: Callable[..., None]
) -> None:
    sets = {"train": TINY.train, "validation": TINY.validation, "test": TINY.test}
    no_scene_in_two({name: [finished[0] / f"{name}-{num}"] for name, num in sets.items()})


def test_training_sees_the_training_images_and_the_numbers_are_of_the_others(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    work, results = finished
    for run in (*results["estimators"], *results["rivals"]):
        searched = run.get("name", "").startswith(("search", "air-lr-refine"))
        assert run["test"]["num_images"] == (TINY.searched if searched else TINY.test)
    images = {
        name: fingerprint(load_labelled(work / f"{name}-{num}").images)
        for name, num in (("train", TINY.train), ("validation", TINY.validation), ("test", TINY.test))
    }
    kept = [json.loads(path.read_text())["settings"] for path in work.glob(f"*-{TINY.iterations}/*.json")]
    taught = [settings for settings in kept if "images" in settings and "train" in settings]
    assert len(taught) == len(TINY.jobs()) + 2 * len(TINY.seeds)
    for settings in taught:
        assert settings["images"] == images["train"]
        assert settings.get("validation", images["validation"]) == images["validation"]
        assert settings.get("test", images["test"]) == images["test"]


def test_what_is_finished_is_not_repeated(
    finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, results = finished

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("ran again")

    for name in ("train_supervised", "search", "refine"):
        monkeypatch.setattr(rivals, name, never)
    monkeypatch.setattr("experiments.single_object.estimators.train", never)
    assert run_experiment(work, TINY, make_renderer, FACTS, lambda line: None) == results


@pytest.mark.parametrize(
    "other, what",
    [
        (replace(TINY, test=9), "test"),
        (replace(TINY, train=31), "images"),
        (replace(TINY, searched=3), "images 2, not 3"),
    ],
)
def test_what_other_settings_made_is_not_published(
    finished: tuple[Path, dict[str, Any]], other: Plan, what: str
) -> None:
    with pytest.raises(InputError, match=f"json was made with {what}"):
        run_experiment(finished[0], other, make_renderer, FACTS, lambda line: None)


def test_the_page_shows_every_seed(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    work, results = finished
    results["estimators"][0]["curve"] = [_point(1.0), _point(2.0)]
    for run in results["estimators"][1:]:
        run["curve"] = [_point(0.1)]
    examples = (work / EXAMPLES).read_bytes()
    write_page(tmp_path, results, examples)
    rows = len(example_names(results))
    with Image.open(tmp_path / "examples.png") as picture:
        assert picture.size == (2 * 2 * 64, rows * 2 * 64)
    assert rows == 2 + 6
    text = (tmp_path / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith(("| AIR, lr |", "| AIR, rws |", "| supervised"))]
    for name in ("AIR, lr", "AIR, rws", "supervised-regression", "supervised-density"):
        for seed in TINY.seeds:
            assert any(row.startswith(f"| {name} | {seed} |") for row in rows)
    assert "## What it shows" not in text
    count = len(results["estimators"]) + len(results["rivals"])
    assert f"- `{FACTS['command']}` at commit `{FACTS['commit']}`" in text and f": {count} results\n" in text
    assert (tmp_path / "estimators.png").read_bytes().startswith(b"\x89PNG")
    saved = json.loads((tmp_path / "results.json").read_text())
    assert [run["seed"] for run in saved["estimators"]] == [seed for _, seed in TINY.jobs()]
    assert [run["name"] for run in saved["rivals"]] == [run["name"] for run in results["rivals"]]


def test_equal_time_is_read_from_the_curves(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """The quickest run takes 2 s: of each curve the last point by then counts, of the quickest its very last."""
    work, results = finished
    took = {("lr", 0): 2.0, ("lr", 5): 3.0, ("rws", 0): 9.0, ("rws", 5): 2.5}
    curves = {("lr", 0): (1.0, 2.0), ("lr", 5): (1.5, 3.0), ("rws", 0): (4.5, 9.0), ("rws", 5): (0.5, 1.9, 2.5)}
    runs = []
    for run in results["estimators"]:
        key = run["estimator"]["name"], run["seed"]
        curve = [{**_point(seconds), "iteration": 10 * (i + 1)} for i, seconds in enumerate(curves[key])]
        runs.append({**run, "seconds": took[key], "curve": curve})
    (tmp_path / FINDINGS).write_text("- By hand, and kept.\n")
    write_page(tmp_path, {**results, "estimators": runs}, (work / EXAMPLES).read_bytes())
    text = (tmp_path / "README.md").read_text()
    table = text[text.index("equal time") :]
    assert "The limit, 2 s," in table
    assert "| lr | 2 | 15 [10, 20] |" in table
    assert "| rws | 1 | 20 |" in table, "of one run no point is that early"
    assert "## What it shows\n\n- By hand, and kept.\n" in text
    assert (tmp_path / FINDINGS).read_text() == "- By hand, and kept.\n"


def _point(seconds: float) -> dict[str, Any]:
    yaw = {"cube": 0.1, "sphere": None, "cylinder": None}
    return {
        "iteration": 10,
        "seconds": seconds,
        "renders": 100,
        "kinds_accuracy": 0.5,
        "position_error_m": 0.01,
        "yaw_error_rad": yaw,
        "squared_error": 3.0,
    }


def test_noise_of_every_estimator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "noise.json"
    few = ["--stages", "1", "--draws", "2", "--images", "40", "--json", str(out)]
    assert main(["bench", "estimators", *few]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [r["estimator"] for r in rows] == ["lr", "lr-kind", "lr-nvil", "vimco", "rws", "mixture", "fd"]
    for row in rows:
        assert row["variance"] > 0.0
        assert row["per_1000_renders"] == pytest.approx(row["signal_to_noise"] * (1000 / row["renders"]) ** 0.5)
    assert main(["bench", "estimators", "--stages", "5", "3"]) == 2


def test_the_command_writes_the_page_and_the_same_in_one_file(
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_page: Callable[[str], Any],
) -> None:
    monkeypatch.setattr("experiments.single_object.command.QUICK", TINY)
    shutil.copytree(finished[0], tmp_path / "work-quick")
    assert main(["reproduce", "single-object", "--quick", "--out", str(tmp_path)]) == 0
    html = (tmp_path / "report.html").read_text()
    assert read_page(html).pictures == (tmp_path / "README.md").read_text().count("![") == 2
    assert "<h1>One object: identity, position, rotation</h1>" in html
