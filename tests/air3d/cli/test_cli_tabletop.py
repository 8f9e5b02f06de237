"""Tabletops through the command line, on tiny settings: the whole chain, and one line for what cannot be."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.labelled import load_labelled
from air3d.datasets.reader import SceneDataset
from air3d.evaluation.posterior import posterior_metrics
from air3d.renderers.choice import make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene_json import load_scene, scene_from_dict
from air3d.scenes.model import Hypotheses, SceneModel
from air3d.scenes.store import load_model
from air3d.training import scenes as training

Refused = Callable[..., str]

KINDS = "--kinds mug bowl --max-objects 2"
GENERATE = (
    "generate tabletop {out} --num {num} --seed {seed} --size {size} --workers 1 --renderer analytic --quiet " + KINDS
)
SIZES = (
    "--train.guide.image-size 16 --train.guide.camera-widths 4 6 8 --train.guide.camera-code 16 "
    "--train.guide.widths 6 8 10 --train.guide.head 12 --train.guide.window 10 --train.guide.glimpse 8"
)
COMMON = f"--renderer analytic --device cpu --quiet --train.batch 3 --train.warm-up 1 {SIZES}"
SLEEP = f"train tabletop --run {{run}} --train.iterations 4 --film-every 2 {KINDS} {COMMON}"
WAKE = (
    "train tabletop --run {run} --data {data} --train.phase wake --train.iterations 2 --film-every 0 "
    "--train.wake.candidates 3 --train.wake.own 2 --train.wake.cameras 2 --train.wake.prior-cameras 3 "
    f"--train.wake.camera-only 1 {COMMON}"
)
TUNE = (
    "train tabletop --run {run} --data {data} --start {start} --train.phase tune --train.iterations 2 "
    f"--train.estimator.samples 2 --train.dreams 2 --film-every 0 {COMMON}"
)


def words(line: str, **values: object) -> list[str]:
    return [part.format(**values) for part in line.split()]


def air3d(line: str, **values: object) -> int:
    return main(words(line, **values))


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_MEAN_DREAMS", 8)
        patch.setattr(training, "LOG_EVERY", 1)
        patch.setattr(training, "CHECKPOINT_EVERY", 2)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two datasets, runs of all phases, and pictures."""
    folder = tmp_path_factory.mktemp("chain")
    assert air3d(GENERATE, out=folder / "train", num=8, seed=0, size=16) == 0
    assert air3d(GENERATE, out=folder / "test", num=4, seed=1, size=16) == 0
    assert air3d(SLEEP, run=folder / "sleep") == 0
    assert air3d(WAKE, run=folder / "wake", data=folder / "train") == 0
    assert air3d(TUNE, run=folder / "tune", data=folder / "train", start=folder / "sleep") == 0
    (folder / "pictures").mkdir()
    for i, name in enumerate(("one.png", "two.png")):
        Image.fromarray(SceneDataset(folder / "test")[i]["image"]).save(folder / "pictures" / name)
    return folder


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_the_wake_phase_reads_no_label(made: Path, tmp_path: Path) -> None:
    """Labels, depth and masks are overwritten with nonsense; or there are none, but plain pictures."""
    learned = (made / "wake" / "model" / "weights.safetensors").read_bytes()
    nonsense = tmp_path / "nonsense"
    shutil.copytree(made / "train", nonsense)
    for tar in nonsense.glob("*.tar"):
        data = bytearray(tar.read_bytes())
        with tarfile.open(tar) as archive:
            for member in archive:
                if not member.name.endswith(".image.png"):
                    start = member.offset_data
                    data[start : start + member.size] = bytes(255 - byte for byte in data[start : start + member.size])
        tar.write_bytes(data)
    with pytest.raises(InputError):
        SceneDataset(nonsense)[0]
    assert air3d(WAKE, run=tmp_path / "blind", data=nonsense) == 0
    assert (tmp_path / "blind" / "model" / "weights.safetensors").read_bytes() == learned
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, sample in enumerate(SceneDataset(made / "train")):
        Image.fromarray(sample["image"]).save(pictures / f"{i:03}.png")
    assert air3d(f"{WAKE} {KINDS}", run=tmp_path / "plain", data=pictures) == 0
    assert (tmp_path / "plain" / "model" / "weights.safetensors").read_bytes() == learned
    source = json.loads((tmp_path / "plain" / "run.json").read_text())["source"]
    assert source.keys() == {"prior_sha256", "pictures_sha256"}


def test_plain_pictures_need_a_phase_that_learns_from_them(made: Path, tmp_path: Path, refused: Refused) -> None:
    line = f"train tabletop --run {tmp_path / 'new'} --data {made / 'pictures'} --film-every 0 {COMMON}"
    assert "phase sleep dreams" in refused(*words(line))
    assert "pictures are of one table" in refused(*words(f"{line} --train.phase wake --table round square"))
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(*words(WAKE, run=tmp_path / "new", data=tmp_path / "empty"))
    assert not (tmp_path / "new").exists()


def test_every_phase_leaves_a_run_and_a_model(made: Path) -> None:
    usual = {".lock", "run.json", "log.jsonl", "checkpoint.safetensors", "model", "tensorboard"}
    sometimes = {"checkpoint-previous.safetensors", "frames", "learning.gif", "learning.mp4"}
    for phase, iterations in (("sleep", 4), ("wake", 2), ("tune", 2)):
        run = made / phase
        assert usual - {"tensorboard"} <= {p.name for p in run.iterdir()} <= usual | sometimes
        assert (sometimes <= {p.name for p in run.iterdir()}) == (phase == "sleep")
        settings = json.loads((run / "run.json").read_text())
        assert settings["train"]["phase"] == phase
        assert [record["iteration"] for record in log(run)] == list(range(1, iterations + 1))
        model = load_model(str(run)).model
        assert model.image_size == (16, 16) and model.prior.kinds == ("mug", "bowl") and model.prior.max_objects == 2
    assert sorted(p.name for p in (made / "sleep" / "frames").iterdir()) == [f"{i:07d}.png" for i in (1, 2, 4)]
    assert iio.imread(made / "sleep" / "learning.gif", index=None).shape[1:] == (4 * 16, 16 * 16, 3)
    assert json.loads((made / "tune" / "run.json").read_text())["source"].keys() == {"config_sha256", "start_sha256"}


def test_tuning_starts_from_the_weights(made: Path) -> None:
    """Its learning rate is small, and the mean image is that of the weights."""
    before, after, fresh = (load_model(str(made / run)).model.guide for run in ("sleep", "tune", "wake"))
    assert (before.mean_image == after.mean_image).all() and not (before.mean_image == fresh.mean_image).all()
    assert 0.0 < float((before.place_head.weight - after.place_head.weight).detach().abs().max()) < 1e-3


def test_the_controls_of_tuning(made: Path, tmp_path: Path) -> None:
    """Images without dreams, and dreams without images, from the same weights; the latter dreams what tuning does."""
    line = f"train tabletop --run {{run}} --data {{data}} --start {{start}} --train.iterations 2 {COMMON}"
    rates = "--train.learning-rate 1e-4 --train.warm-up 1 --train.hold 0.5"
    tune, asleep = f"--train.phase tune --train.estimator.samples 2 {rates}", f"--train.phase sleep {rates}"
    for name, arm in (("both", f"{tune} --train.dreams 3"), ("images", f"{tune} --train.dreams 0"), ("dreams", asleep)):
        assert air3d(f"{line} {arm}", run=tmp_path / name, data=made / "train", start=made / "sleep") == 0
    first = {name: log(tmp_path / name)[0] for name in ("both", "images", "dreams")}
    assert first["both"]["sleep_total"] == first["dreams"]["sleep_total"] == pytest.approx(first["dreams"]["loss"])
    assert "reward" in first["images"] and "reward" not in first["dreams"]
    assert not any(name.startswith("sleep_") for name in first["images"])
    before = load_model(str(made / "sleep")).model.guide
    for name in first:
        after = load_model(str(tmp_path / name)).model.guide
        moved = (before.place_head.weight - after.place_head.weight).detach().abs().max()
        assert 0.0 < float(moved) < 1e-3 and (before.mean_image == after.mean_image).all()
    runs = {name: json.loads((tmp_path / name / "run.json").read_text()) for name in first}
    assert runs["both"]["source"] == runs["dreams"]["source"], "the same data, the same weights to start from"
    same = {"iterations", "learning_rate", "warm_up", "hold", "seed", "guide", "slips", "disturb", "min_visible"}
    assert all(runs["both"]["train"][name] == runs["dreams"]["train"][name] for name in same)


def test_each_phase_brings_its_own_parameters_and_what_is_typed_wins(made: Path) -> None:
    train = {run: json.loads((made / run / "run.json").read_text())["train"] for run in ("sleep", "wake", "tune")}
    assert (train["sleep"]["hold"], train["wake"]["hold"], train["tune"]["hold"]) == (0.0, 0.6, 0.5)
    assert train["tune"]["learning_rate"] == 4e-5
    assert {part["batch"] for part in train.values()} == {3}


def test_the_same_command_goes_on_from_where_it_was_stopped(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, seen = training.sleep_loss, []

    def interrupted(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "sleep_loss", interrupted)
        assert air3d(SLEEP, run=tmp_path / "run") == 130
    message = capsys.readouterr().err
    assert "run the same command again" in message
    assert not (tmp_path / "run" / "model").exists()
    assert air3d(SLEEP, run=tmp_path / "run") == 0
    assert "resuming after 2 iterations" in capsys.readouterr().err
    for name in ("checkpoint.safetensors", "log.jsonl", "model/weights.safetensors", "learning.gif", "run.json"):
        assert (tmp_path / "run" / name).read_bytes() == (made / "sleep" / name).read_bytes(), name


def test_evaluate(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "evaluate {run} --data {data} --json {json} --bound-samples 3 --renderer analytic --quiet"
    assert air3d(line, run=made / "sleep", data=made / "test", json=tmp_path / "metrics.json") == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    fixed = {"num_images", "count_accuracy", "kinds_accuracy", "position_error_m", "yaw_error_rad"}
    fixed |= {"camera_error_rad", "camera_distance_error_m", "mssd_ap", "mspd_ap", "reconstruction_mse", "elbo"}
    fixed |= {"iwae_bound", "seconds_per_image", "renders_per_image", "count_confusion", "calibration"}
    assert fixed <= found.keys()
    assert found["num_images"] == 4 and 0.0 <= found["count_accuracy"] <= 1.0
    assert found["renders_per_image"] == 1 + 2, "the second look for the camera, and each step's"
    assert found["images_without_bound"] < 4, "the prior allows samples of an untrained guide"
    assert found["elbo"] <= found["iwae_bound"]
    assert 0.0 <= found["camera_error_rad"]["azimuth"] <= np.pi
    said = capsys.readouterr().out
    assert "count right" in said and f"({found['count_right']} of 4)" in said
    assert (
        "regions of q's own 3 draws, equally weighted, cover (if always wrong: 0/60/80 %):" in said
        and "effective of 3 draws" in said
    )
    model, data = load_model(str(made / "sleep")).model, load_labelled(made / "test")
    with make_renderer(model.render_config, "analytic") as renderer:
        drawn = model.sample(data.images, renderer, 3, torch.Generator().manual_seed(0))
    assert found["calibration"] == posterior_metrics(data.truth, drawn.scenes), "of equally weighted draws"
    worth = drawn.effective_samples[drawn.allowed > 0]
    assert found["effective_samples"]["median"] == pytest.approx(np.median(worth))
    assert found["weighted_calibration"]["position_m"]["coverage"] == dict.fromkeys(("0.5", "0.8", "0.9"))
    assert found["unseen"]["proven"] is True and "dreamt itself" in found["unseen"]["because"]
    assert air3d(line + " --refine 30", run=made / "sleep", data=made / "test", json=tmp_path / "refined.json") == 0
    refined = json.loads((tmp_path / "refined.json").read_text())
    assert refined["reconstruction_mse"] <= found["reconstruction_mse"]
    assert found["renders_per_image"] < refined["renders_per_image"] <= found["renders_per_image"] + 30
    assert refined["elbo"] == found["elbo"], "the bounds stay those of the network"


def test_infer_writes_scenes_that_render_draws(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "infer {run} {pictures} --out {out} --renderer analytic"
    assert air3d(line, run=made / "wake", pictures=made / "pictures", out=tmp_path / "out") == 0
    assert "one.png: " in capsys.readouterr().out
    endings = ("scene.json", "render.png", "comparison.png")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f"{s}.{e}" for s in ("one", "two") for e in endings}
    assert len(load_scene(tmp_path / "out" / "one.scene.json").objects) <= 2
    line = "render {scene} {out} --size 16 --renderer analytic --detail inference"
    assert air3d(line, scene=tmp_path / "out" / "one.scene.json", out=tmp_path / "again.png") == 0
    assert np.array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "out" / "one.render.png"))


def test_samples_are_scenes_with_weights(made: Path, tmp_path: Path) -> None:
    line = "infer {run} {pictures} --out {out} --renderer analytic --samples 5 --seed {seed}"
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert air3d(line, run=made / "sleep", pictures=made / "pictures", out=tmp_path / name, seed=seed) == 0
    files = {name: (tmp_path / name / "one.samples.json").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]
    document = json.loads(files["a"])
    assert document["schema"] == "air3d-samples/1" and len(document["samples"]) == 5
    weights = [row["weight"] for row in document["samples"]]
    assert weights == sorted(weights, reverse=True) and sum(weights) == pytest.approx(1.0)
    prior = load_model(str(made / "sleep")).model.prior
    for row in document["samples"]:
        scene = scene_from_dict(row["scene"])
        assert len(scene.objects) <= 2 and {item.kind for item in scene.objects} <= {"mug", "bowl"}
        assert np.isfinite(row["log_likelihood"])
        low, high = prior.camera.elevation_rad
        assert low <= scene.camera.elevation_rad <= high
        assert scene.light == prior.light, "what does not vary is exact"


def test_what_samples_are_worth_is_said(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sample beats all others; in the second round the prior allows none."""
    line = "infer {run} {pictures} --out {out} --renderer analytic --samples 6 --json"
    original = SceneModel._weigh

    def weighed(log_weight: list[float]) -> Any:
        def weigh(self: SceneModel, *arguments: Any) -> Hypotheses:
            found = original(self, *arguments)
            return found._replace(log_weight=torch.tensor(log_weight).double().expand(found.log_weight.shape))

        return weigh

    words = (
        ([0.0, 900.0, -1.0, 3.0, 0.0, 0.0], 1.0, 6, "one sample outweighs the other 5 together; they tell no spread"),
        ([-np.inf] * 6, 0.0, 0, "the prior allows none of the 6 samples; their weights are equal and mean nothing"),
        ([0.0] * 3 + [-np.inf] * 3, 3.0, 3, None),
    )
    for k, (log_weight, worth, allowed, doubt) in enumerate(words):
        monkeypatch.setattr(SceneModel, "_weigh", weighed(log_weight))
        assert air3d(line, run=made / "sleep", pictures=made / "pictures", out=tmp_path / str(k)) == 0
        out, err = capsys.readouterr()
        rows = strict(out)
        assert [(row["effective_samples"], row["allowed_samples"], row["doubt"]) for row in rows] == [
            (pytest.approx(worth), allowed, doubt)
        ] * 2
        warned = [text for text in err.splitlines() if text.startswith("warning:")]
        assert warned == ([] if doubt is None else [f"warning: one.png, two.png: {doubt}"]), "one line"
        document = strict((tmp_path / str(k) / "one.samples.json").read_text())
        assert (document["effective_samples"], document["doubt"]) == (pytest.approx(worth), doubt)
        weights = [row["weight"] for row in document["samples"]]
        assert np.isfinite(weights).all() and sum(weights) == pytest.approx(1.0)
    assert air3d(line.removesuffix(" --json"), run=made / "sleep", pictures=made / "pictures", out=tmp_path / "t") == 0
    assert capsys.readouterr().out.count("; samples: 3.0 effective of 6") == 2


def strict(text: str) -> Any:
    """JSON as the standard has it, without NaN and infinities."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


@pytest.mark.parametrize(
    "run, data, proven, words",
    [
        ("wake", "train", False, "Training learned from these very images"),
        ("wake", "test", True, "its own were drawn with seed"),
        ("sleep", "train", True, "dreamt itself"),
        ("tune", "test", True, "It started from other weights."),
    ],
)
def test_a_report_says_whether_training_has_seen_the_scenes(
    made: Path, tmp_path: Path, run: str, data: str, proven: bool, words: str
) -> None:
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    line = "evaluate {run} --data {data} --json {json} --report {page} --bound-samples 2 --renderer analytic --quiet"
    assert air3d(line, run=made / run, data=made / data, json=numbers, page=page) == 0
    found, text = strict(numbers.read_text()), page.read_text()
    assert found["unseen"]["proven"] is proven and words in found["unseen"]["because"]
    assert words in text and ("Training has not seen these scenes" in text) == proven
    assert "the renderer 'analytic'" in text and "drawn again with MuJoCo" not in text
    assert found["made"]["command"].startswith("air3d evaluate ") and "--bound-samples 2" in found["made"]["command"]
    assert found["made"]["commit"] and found["data"]["config_sha256"][:12] in text


def test_samples_and_seeds_that_cannot_be_used_are_refused(made: Path, tmp_path: Path, refused: Refused) -> None:
    picture, out = made / "pictures" / "one.png", tmp_path / "out"
    for extra in (("--samples", -1), ("--samples", 2, "--seed", 2**70), ("--samples", 2, "--seed", -(2**70))):
        refused("infer", made / "sleep", picture, "--out", out, "--renderer", "analytic", *extra)
    line = ("evaluate", made / "sleep", "--data", made / "test", "--renderer", "analytic", "--quiet")
    assert "--seed" in refused(*line, "--seed", 2**70)
    assert not out.exists()


def test_training_that_cannot_be_is_refused_and_leaves_nothing(made: Path, tmp_path: Path, refused: Refused) -> None:
    def train(line: str, *extra: object, **values: object) -> str:
        return refused(*words(line, run=tmp_path / "new", **values), *extra)

    data = made / "train"
    assert "name a dataset with --data" in refused(
        "train", "tabletop", "--run", tmp_path / "new", "--train.phase", "wake"
    )
    assert "--start" in refused("train", "tabletop", "--run", tmp_path / "new", "--train.phase", "tune", "--data", data)
    assert "--film-every -1" in train(SLEEP.replace("--film-every 2", "--film-every -1"))
    assert "16x16" in train(WAKE.replace("image-size 16", "image-size 24"), data=data)
    assert "image_size 22" in train(SLEEP.replace("image-size 16", "image-size 22"))
    assert "does not exist" in train(TUNE, data=data, start=tmp_path / "none")
    assert "its guide has" in train(TUNE.replace("head 12", "head 13"), data=data, start=made / "sleep")
    assert "another prior" in train(TUNE, data=data, start="single-object")
    assert "gone" in train(WAKE, data=tmp_path / "gone")
    assert "learning_rate is 2.0" in train(SLEEP, "--train.learning-rate", 2.0)
    assert "seed is -1" in train(SLEEP, "--train.seed", -1)
    assert "seed is" in train(SLEEP, "--train.seed", 2**70)
    assert "unknown kind 'mugg'" in train(SLEEP.replace("mug", "mugg"))
    assert "own < candidates" in train(WAKE.replace("wake.own 2", "wake.own 3"), data=data)
    assert not (tmp_path / "new").exists()


def test_a_dataset_under_a_fixed_camera_is_refused(tmp_path: Path, refused: Refused) -> None:
    line = "generate single {out} --num 2 --seed 0 --size 16 --workers 1 --renderer analytic --quiet"
    assert air3d(line, out=tmp_path / "single") == 0
    message = refused(*words(WAKE, run=tmp_path / "new", data=tmp_path / "single"))
    assert "azimuth" in message
    assert not (tmp_path / "new").exists()


def test_another_run_in_the_folder_is_refused_by_name(made: Path, tmp_path: Path, refused: Refused) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "sleep", run)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert "batch 3, not 4" in refused(*words(SLEEP.replace("batch 3", "batch 4"), run=run))
    assert "head 12, not 14" in refused(*words(SLEEP.replace("head 12", "head 14"), run=run))
    assert "prior_sha256" in refused(*words(SLEEP.replace("--max-objects 2", "--max-objects 1"), run=run))
    assert "holds a run with" in refused(*words(WAKE, run=run, data=made / "train"))
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_evaluation_on_other_scenes(
    made: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the model can name is measured, and it is said how the scenes differ; anything else is refused."""
    few, many, other = (
        GENERATE.replace("--max-objects 2", "--max-objects 1"),
        GENERATE.replace("--max-objects 2", "--max-objects 3"),
        GENERATE.replace("mug bowl", "mug cube"),
    )
    for name, made_by in (("few", few), ("many", many), ("other", other)):
        assert air3d(made_by, out=tmp_path / name, num=2, seed=0, size=16) == 0
    line = ("evaluate", made / "sleep", "--renderer", "analytic", "--quiet")
    loud = (*line[:-1], "--data", tmp_path / "few", "--json", tmp_path / "few.json")
    assert main([str(word) for word in loud]) == 0
    assert "another prior than the model's: max_objects is 1, not 2" in capsys.readouterr().err
    assert json.loads((tmp_path / "few.json").read_text())["other_prior"] == "max_objects is 1, not 2"
    assert "up to 3 objects, it knows up to 2" in refused(*line, "--data", tmp_path / "many")
    assert "objects of kind cube, it knows" in refused(*line, "--data", tmp_path / "other")
    assert air3d(GENERATE, out=tmp_path / "large", num=2, seed=0, size=24) == 0
    assert "images of 24x24 pixels; the model reads 16x16" in refused(*line, "--data", tmp_path / "large")


def test_settled_scenes_are_dreamt_answered_and_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From arrangements that physics has settled; the answer is in full poses, and refined in them."""
    line = SLEEP.replace("train tabletop", "train tabletop --pose settled --table square --train.arrangements 3")
    line = line.replace("--train.guide.image-size 16", "--train.guide.image-size 24 16")
    assert air3d(line, run=tmp_path / "run") == 0
    assert (tmp_path / "run" / "arrangements-square.npz").exists()
    data = GENERATE.replace("generate tabletop", "generate tabletop --pose settled --table square")
    assert air3d(data, out=tmp_path / "data", num=4, seed=2, size="24x16") == 0
    model, measured = str(tmp_path / "run" / "model"), tmp_path / "metrics.json"
    evaluate = f"evaluate {model} --data {tmp_path / 'data'} --refine 40 --settle --json {measured}"
    assert main(evaluate.split()) == 0
    metrics = json.loads(measured.read_text())
    assert metrics["num_images"] == 4 and 0 <= metrics["fell"] <= 4 and "--settle" in metrics["made"]["command"]
    Image.fromarray(SceneDataset(tmp_path / "data")[0]["image"]).save(tmp_path / "one.png")
    assert (
        main(
            [
                "infer",
                model,
                str(tmp_path / "one.png"),
                "--out",
                str(tmp_path / "answers"),
                "--samples",
                "3",
                "--settle",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "; lies still" in said or "; does not come to rest as it is" in said
    wake = WAKE.replace("image-size 16", "image-size 24 16")
    late = "--train.wake.cold 0.5 --train.wake.turns 2 --train.wake.visits 2 --train.wake.remembered 3"
    assert air3d(f"{wake} {late}", run=tmp_path / "wake", data=tmp_path / "data") == 0
    assert "remembered" in log(tmp_path / "wake")[-1] and "camera" in log(tmp_path / "wake")[0]


def test_moved_samples_count_equally(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = str(made / "pictures" / "one.png")
    line = ["infer", str(made / "sleep"), picture, "--out", str(tmp_path), "--json", "--samples", "5"]
    assert main([*line, "--moves", "2"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert 0.0 <= row["accepted"] <= 1.0 and 0.0 <= row["effective_samples"] <= 5.0
    written = json.loads((tmp_path / "one.samples.json").read_text())
    assert [sample["weight"] for sample in written["samples"]] == [0.2] * 5
    likelihood = [sample["log_likelihood"] for sample in written["samples"]]
    assert likelihood == sorted(likelihood, reverse=True)
    for bad in (["--moves", "-1"], ["--moves", "2", "--samples", "1"]):
        assert main([*line, *bad]) == 2
        assert "--moves" in capsys.readouterr().err
