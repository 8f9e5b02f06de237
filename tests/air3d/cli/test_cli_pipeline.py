"""Every command of the chain from nothing to answers, on tiny settings, through the entry of the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.scene_json import load_scene
from air3d.scenes.store import load_model

GENERATE = "generate single {out} --num {num} --seed {seed} --size 32 --workers 1 --renderer analytic --quiet"
TRAIN = (
    "train single --data {data} --run {run} --renderer analytic --quiet --train.iterations 4 --train.batch 4 "
    "--train.estimator.samples 2 --train.guide.encoder.image-size 32 --train.guide.encoder.channels 8 16 "
    "--train.guide.encoder.code 32 --train.guide.hidden 32 --train.guide.window 12"
)


def air3d(line: str, **values: object) -> int:
    return main([part.format(**values) for part in line.split()])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, another of the next seed, and a trained run."""
    folder = tmp_path_factory.mktemp("chain")
    assert air3d(GENERATE, out=folder / "train", num=12, seed=0) == 0
    assert air3d(GENERATE, out=folder / "test", num=6, seed=1) == 0
    assert air3d(TRAIN, data=folder / "train", run=folder / "run") == 0
    image = SceneDataset(folder / "test")[0]["image"]
    (folder / "pictures").mkdir()
    Image.fromarray(image).save(folder / "pictures" / "one.png")
    Image.fromarray(image[:, ::-1]).save(folder / "pictures" / "two.jpg")
    return folder


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_train_writes_a_run_and_repeating_it_is_fine(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made / "run"
    before = {path: path.stat().st_mtime_ns for path in (run / "run.json", run / "log.jsonl")}
    assert {p.name for p in run.iterdir()} == {".lock", "run.json", "log.jsonl", "checkpoint.safetensors", "model"}
    assert json.loads((run / "run.json").read_text())["train"]["iterations"] == 4
    assert air3d(TRAIN, data=made / "train", run=run) == 0
    assert "resuming after 4 iterations" in capsys.readouterr().err
    assert (run / "run.json").stat().st_mtime_ns == before[run / "run.json"]


def test_evaluate_prints_and_writes_the_metrics(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "evaluate {run} --data {data} --json {json} --bound-samples 3 --renderer analytic --quiet"
    file = tmp_path / "new" / "metrics.json"
    assert air3d(line, run=made / "run" / "model", data=made / "test", json=file) == 0
    found = json.loads(file.read_text())
    fixed = {"num_images", "kinds_accuracy", "position_error_m", "yaw_error_rad", "seconds_per_image"}
    others = {"renders_per_image", "count_accuracy", "per_kind", "reconstruction_mse", "elbo", "iwae_bound", "sigma"}
    several = {"camera_error_rad", "camera_distance_error_m", "mssd_ap", "mspd_ap", "count_confusion"}
    assert fixed | others | several <= found.keys()
    assert found["camera_error_rad"] == {"azimuth": 0.0, "elevation": 0.0}, "the camera is known"
    assert 0.0 <= found["mssd_ap"] <= 1.0
    assert found["num_images"] == 6
    assert found["position_error_m"].keys() == {"median", "p90"}
    assert found["yaw_error_rad"].keys() == {"median", "p90"}
    assert 0.0 <= found["position_error_m"]["median"] <= found["position_error_m"]["p90"] < 0.3
    assert found["elbo"] <= found["iwae_bound"]
    assert found["renders_per_image"] == 0
    assert found["seconds_per_image"] > 0.0
    assert (found["renderer"], found["bound_samples"]) == ("analytic", 3)
    assert found["calibration"].keys() == {"count", "kinds", "position_m", "rotation_rad"}
    assert 1.0 <= found["effective_samples"]["median"] <= 3.0
    assert "kinds right" in capsys.readouterr().out


def test_evaluate_again_gives_the_same_and_limit_takes_the_first(made: Path, tmp_path: Path) -> None:
    line = "evaluate {run} --data {data} --json {json} --bound-samples 3 --renderer analytic --quiet --limit {limit}"
    for name, limit in (("a", 4), ("b", 4), ("c", 100)):
        assert air3d(line, run=made / "run", data=made / "test", json=tmp_path / name, limit=limit) == 0
    a, b, c = (json.loads((tmp_path / name).read_text()) for name in "abc")
    del a["seconds_per_image"], b["seconds_per_image"]
    assert a == b
    assert (a["num_images"], c["num_images"]) == (4, 6)


def test_infer_writes_scenes_that_render_draws(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "answers"
    line = "infer {run} {pictures} --out {out} --renderer analytic"
    assert air3d(line, run=made / "run", pictures=made / "pictures", out=out) == 0
    printed = capsys.readouterr().out
    assert "one.png: " in printed and "two.jpg: " in printed
    names = {f"{stem}.{ending}" for stem in ("one", "two") for ending in ("scene.json", "render.png", "comparison.png")}
    assert {path.name for path in out.iterdir()} == names
    scene = load_scene(out / "one.scene.json")
    assert len(scene.objects) == 1
    assert pixels(out / "one.render.png").shape == (32, 32, 3)
    assert pixels(out / "one.comparison.png").shape == (32 * 4, 3 * 32 * 4, 3)
    picture = tmp_path / "again.png"
    line = "render {scene} {out} --size 32 --renderer analytic --detail inference"
    assert air3d(line, scene=out / "one.scene.json", out=picture) == 0
    assert np.array_equal(pixels(picture), pixels(out / "one.render.png"))


def test_a_training_goes_on_from_weights_and_films_what_it_sees(made: Path, tmp_path: Path) -> None:
    line = f"{TRAIN} --start {{start}} --film-every 1"
    assert air3d(line, data=made / "train", run=tmp_path / "run", start=made / "run") == 0
    source = json.loads((tmp_path / "run" / "run.json").read_text())["source"]
    assert source.keys() == {"config_sha256", "start_sha256"}
    assert (tmp_path / "run" / "learning.gif").exists() and list((tmp_path / "run" / "frames").iterdir())
    before, after = (load_model(str(folder)) for folder in (made / "run", tmp_path / "run"))
    assert after.provenance["start"] == before.provenance and after.provenance["data"]["learned_from"] == "images"
    moved = before.model.guide.kind_head[0].weight - after.model.guide.kind_head[0].weight
    assert 0.0 < float(moved.detach().abs().max()) < 0.05, "from there, not from fresh weights"


def test_posterior_samples_of_one_object(made: Path, tmp_path: Path) -> None:
    line = "infer {run} {picture} --out {out} --renderer analytic --samples 4"
    assert air3d(line, run=made / "run", picture=made / "pictures" / "one.png", out=tmp_path / "out") == 0
    document = json.loads((tmp_path / "out" / "one.samples.json").read_text())
    assert document["allowed_samples"] == 4, "one object on the table is always allowed"
    assert all(len(row["scene"]["objects"]) == 1 for row in document["samples"])
    assert sum(row["weight"] for row in document["samples"]) == pytest.approx(1.0)


def test_infer_as_json(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "infer {run} {picture} --out {out} --renderer analytic --json"
    assert air3d(line, run=made / "run", picture=made / "pictures" / "one.png", out=tmp_path / "out") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["image"].endswith("one.png")
    assert load_scene(Path(row["scene"])).objects
    assert 0.0 <= row["rmse"] <= 1.0


def test_demo_writes_a_report_that_needs_nothing_else(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    read_page: Callable[[str], Any],
    no_scene_in_two: Callable[..., None],
) -> None:
    out = tmp_path / "demo"
    line = "demo --out {out} --train-scenes 6 --test-scenes 5 --iterations 1 --renderer analytic"
    assert air3d(line, out=out) == 0
    assert "kinds right" in capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["num_images"] == 5
    no_scene_in_two({"train": [out / "train"], "test": [out / "test"]})
    assert {"kinds_accuracy", "position_error_m", "yaw_error_rad", "seconds_per_image", "seconds_total"} <= set(metrics)
    text = (out / "report.html").read_text(encoding="utf-8")
    # What is claimed is plain likelihood ratios; so that is what has to have run, and what the report has to say.
    used = json.loads((out / "run" / "run.json").read_text())["train"]
    assert used["estimator"]["name"] == metrics["estimator"] == "lr"
    assert (used["schedule"]["spread_start"], used["schedule"]["spread_end"]) == (0.5, 6.0)
    assert "<dt>estimator</dt><dd>lr: likelihood ratios" in text
    assert "--train.estimator.name lr" in text
    page = read_page(text)
    assert page.pictures >= 3 * 5 + 1, "input, render and difference of each scene, and the curves"
    assert page.drawings >= 5, "each scene from above"
    assert "nan" not in re.sub(r'(src|alt|d)="[^"]*"', "", text).lower().split()
    # Again: it resumes and measures the same.
    assert air3d(line, out=out) == 0
    again = json.loads((out / "metrics.json").read_text())
    assert again["position_error_m"] == metrics["position_error_m"]
