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
from air3d.scenes.learner import ESTIMATORS
from experiments.kept import Kept, fingerprint
from experiments.page import FINDINGS, read_results
from experiments.single_object import rivals
from experiments.single_object.command import PAGE, run_parts
from experiments.single_object.estimators import by_estimator
from experiments.single_object.plan import Plan
from experiments.single_object.rivals import by_method, example_names
from experiments.single_object.workbench import workbench

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
    return work, ran(work)


def ran(work: Path, plan: Plan = TINY) -> dict[str, Any]:
    kept = Kept(work, FACTS, lambda line: None)
    run_parts(workbench(kept, plan, make_renderer))
    return {entry.part: kept.results(entry.part) for entry in PAGE.entries}


def test_every_part_is_measured_alike(finished: tuple[Path, dict[str, Any]]) -> None:
    _, results = finished
    assert {(r["estimator"], r["seed"]) for r in results["estimators"]} == set(TINY.jobs())
    assert len({r["name"] for runs in results.values() for r in runs}) == sum(map(len, results.values()))
    names = {r["method"] for r in results["rivals"]}
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
        limit = {"air-lr-refine-12": 12, "search-fd-120": 120, "search-cma-120": 120}.get(run.get("method", ""), 0)
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
        searched = run.get("method", "").startswith(("search", "air-lr-refine"))
        assert run["test"]["num_images"] == (TINY.searched if searched else TINY.test)
    images = {
        name: fingerprint(load_labelled(work / f"{name}-{num}").images)
        for name, num in (("train", TINY.train), ("validation", TINY.validation), ("test", TINY.test))
    }
    kept = [
        json.loads(path.read_text())["settings"]
        for path in [*work.glob("estimators/*.json"), *work.glob("rivals/*.json")]
    ]
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
    assert ran(work) == results


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
        ran(finished[0], other)


def test_the_page_shows_every_seed(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    work, results = finished
    PAGE.write(tmp_path, Kept(work, FACTS, lambda line: None))
    rows = len(example_names(results))
    with Image.open(tmp_path / "examples.png") as picture:
        assert picture.size == (2 * 2 * 64, rows * 2 * 64)
    assert rows == 2 + 6
    text = (tmp_path / "README.md").read_text()
    for name in ("AIR, lr", "AIR, rws", "supervised-regression", "supervised-density"):
        for seed in TINY.seeds:
            assert f"\n| {name} | {seed} |" in text
    assert "## What it shows" not in text
    for runs in results.values():
        assert f"- `{FACTS['command']}` at commit `{FACTS['commit']}`" in text and f": {len(runs)} results\n" in text
    assert (tmp_path / "estimators.png").read_bytes().startswith(b"\x89PNG")
    saved = read_results(tmp_path / "results.jsonl")
    assert "examples" not in saved["rivals"][0]["test"], "which only the picture needs"
    for run in results["rivals"]:
        run["test"].pop("examples")
    assert saved == results


def test_estimators_and_rivals_stand_in_the_plans_order() -> None:
    names = [
        f"{method}-{n}" for method in ("air-rws-refine", "air-lr-refine", "search-fd", "search-cma") for n in (200, 50)
    ]
    names += ["supervised-density", "air-shipped-single-object", "supervised-regression"]
    rows = by_method([{"method": name, "seed": seed} for name in names for seed in (5, 0)])
    assert [name for (name,) in rows] == [
        "air-shipped-single-object",
        *("supervised-regression", "supervised-density"),
        *("air-lr-refine-50", "air-lr-refine-200", "air-rws-refine-50", "air-rws-refine-200"),
        *("search-fd-50", "search-fd-200", "search-cma-50", "search-cma-200"),
    ]
    assert all([run["seed"] for run in runs] == [0, 5] for runs in rows.values())
    groups = by_estimator([{"estimator": name, "seed": 0} for name in ("vimco", "lr", "another", "rws")])
    assert [name for (name,) in groups] == ["lr", "rws", "vimco", "another"]


def test_equal_time_is_read_from_the_curves(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """The quickest run takes 2 s: of each curve the last point by then counts, of the quickest its very last."""
    work, results = finished
    took = {("lr", 0): 2.0, ("lr", 5): 3.0, ("rws", 0): 9.0, ("rws", 5): 2.5}
    curves = {("lr", 0): (1.0, 2.0), ("lr", 5): (1.5, 3.0), ("rws", 0): (4.5, 9.0), ("rws", 5): (0.5, 1.9, 2.5)}
    runs = []
    for run in results["estimators"]:
        key = run["estimator"], run["seed"]
        curve = [{**_point(seconds), "iteration": 10 * (i + 1)} for i, seconds in enumerate(curves[key])]
        runs.append({**run, "seconds": took[key], "curve": curve})
    (tmp_path / FINDINGS).write_text("- By hand, and kept.\n")
    kept = Kept(work, FACTS, lambda line: None)
    text, _ = PAGE.text({**results, "estimators": runs}, kept, tmp_path / FINDINGS)
    table = text[text.index("equal time") :]
    assert "The limit, 2 s," in table
    assert "| lr | 2 | 15 [10, 20] |" in table
    assert "| rws | 1 | 20 |" in table, "of one run no point is that early"
    assert "## What it shows\n\n- By hand, and kept.\n" in text


def _point(seconds: float) -> dict[str, Any]:
    yaw = {"cube": 0.1, "sphere": None, "cylinder": None}
    return {
        "iteration": 10,
        "seconds": seconds,
        "renders": 100,
        "kinds_accuracy": 0.5,
        "position_error_m": 0.01,
        "yaw_error_rad": yaw,
    }


def test_noise_of_every_estimator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "noise.json"
    few = ["--stages", "1", "--draws", "2", "--images", "40", "--json", str(out)]
    assert main(["bench", "estimators", *few]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [r["estimator"] for r in rows] == list(ESTIMATORS)
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
