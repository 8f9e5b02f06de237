"""The multi-MNIST experiments in miniature: every part runs once, nothing twice; curves, labels and pages are right."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.digits.reader import DigitsArrays, DigitsDataset
from air3d.datasets.digits.sources import load_digits
from air3d.datasets.provenance import provenance
from air3d.digits.cae import CaeConfig
from air3d.digits.draw import DrawConfig
from air3d.digits.latents import AirConfig
from air3d.digits.store import make_model
from air3d.digits.train import DigitsRunConfig, DigitsTrainConfig
from air3d.scene3d.errors import InputError
from experiments.kept import Kept
from experiments.multi_mnist import codes as digits_codes
from experiments.multi_mnist import learning, stages
from experiments.multi_mnist import trial as digits_trial
from experiments.multi_mnist.codes import CODES, ascending, codes, codes_study, left_to_right, sums
from experiments.multi_mnist.command import PAGE, run_parts
from experiments.multi_mnist.data import DigitsStock
from experiments.multi_mnist.learning import seconds_to, window_centres
from experiments.multi_mnist.plan import PARTS, SEEDS, Labels, Plan
from experiments.multi_mnist.trial import Trial
from experiments.multi_mnist.workbench import Workbench
from experiments.page import read_results

CPU = torch.device("cpu")
AIR = AirConfig(window=8, shrink=5, hidden=16, head=8, codec=8, what=4)
TINY = Plan(
    train=24,
    validation=12,
    test=10,
    training=DigitsTrainConfig(iterations=4, batch=4),
    longer=4,
    longer_air=4,
    seeds=(0, 5),
    nvil_seeds=1,
    generalisation_seeds=(0, 3),
    foreign_seeds=(0,),
    measure_every=2,
    labels=Labels(sizes=(8, 20, 400), iterations=3, epochs=1, batch=4, hidden=8),
    air=AIR,
    codes_air=replace(AIR, glimpse_channels=(3,)),
    draw=DrawConfig(steps=2, hidden=8),
    cae=CaeConfig(channels=(4, 4), code=5),
)


FACTS = {"command": "a test", **provenance()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    work = tmp_path_factory.mktemp("work")
    stock = DigitsStock(work / "data", "uci", None, lambda line: None)
    bench = Workbench(kept_in(work), TINY, stock, CPU)
    run_parts(bench)
    return bench


def kept_in(work: Path) -> Kept:
    return Kept(work, FACTS, lambda line: None)


def test_every_training_is_there(finished):
    learning = finished.kept.results("learning")
    assert [run["name"] for run in learning] == ["air-exact-0", "air-exact-5", "air-nvil-0"]
    for run in learning:
        assert [point["iteration"] for point in run["curve"]] == [0, 2, 4]
        assert run["test"]["held out"]["num_images"] == 10 and run["validation"]["held out"]["num_images"] == 12
        assert run["seconds"] == run["curve"][-1]["seconds"] > run["curve"][1]["seconds"] > 0
        assert run["cpu_seconds"] == run["curve"][-1]["cpu_seconds"] > 0
    models = ("air", "air-with-dairs-look", "dair", "draw")
    generalisation = {run["name"]: run for run in finished.kept.results("generalisation")}
    assert set(generalisation) == {f"012-to-3-{model}-{seed}" for model in models for seed in (0, 3)} | {
        f"013-to-2-{model}-0" for model in models
    }
    unseen = generalisation["012-to-3-air-0"]["test"]["unseen"]
    assert sum(unseen["confusion"][3]) == 10, "only images of three digits"
    looks = [
        generalisation[f"013-to-2-{model}-0"]["settings"]["config"]["network"]["look_channels"] for model in models[:3]
    ]
    assert looks == [[], [16, 32], []]
    foreign = [(row["trained_on"], row["tested_on"]) for row in finished.kept.results("foreign")]
    assert foreign == [(a, b) for a in ("paper", "pyro") for b in ("paper", "pyro")]
    codes = {(row["task"], row["labels"], row["code"]) for row in finished.kept.results("codes")}
    assert codes == {(t, size, code) for t in ("sum", "ascending") for size in (8, 20) for code in CODES}


def test_nothing_runs_twice(finished, monkeypatch):
    def everything():
        return [finished.kept.results(part) for part in (*PARTS, "policies", "trainings")]

    before = everything()
    for module, name in ((digits_trial, "train"), (digits_codes, "_fit"), (learning, "window_centres")):
        monkeypatch.setattr(module, name, None)
    run_parts(finished)
    assert everything() == before


@pytest.mark.parametrize(
    "part, changes, what",
    [
        ("learning", {"train": 25}, "train"),
        ("learning", {"validation": 13}, "validation"),
        ("learning", {"test": 11}, "test"),
        ("learning", {"training": replace(TINY.training, iterations=5)}, "config.train.iterations 4, not 5"),
        ("generalisation", {"air": replace(AIR, what=5)}, "config.network.what 4, not 5"),
        ("generalisation", {"longer": 5}, "config.train.iterations 4, not 5"),
        ("foreign", {"explore": 0.4}, "config.train.explore"),
        ("codes", {"labels": replace(TINY.labels, hidden=9)}, "hidden 8, not 9"),
        ("codes", {"test": 11}, "test"),
    ],
)
def test_what_other_settings_made_is_not_published(finished, part, changes, what):
    other = replace(finished, plan=replace(TINY, **changes))
    with pytest.raises(InputError, match=rf"json was made with {what}"):
        run_parts(other, [part])


def test_codes_of_other_weights_are_not_published(finished, tmp_path):
    shutil.copytree(finished.kept.folder, tmp_path / "work")
    name = tmp_path / "work" / "codes" / "sum-8-air.json"
    kept = json.loads(name.read_text())
    name.write_text(json.dumps({**kept, "settings": {**kept["settings"], "weights": "0" * 16}}))
    with pytest.raises(InputError, match=r"sum-8-air\.json was made with weights '0000000000000000', not"):
        run_parts(replace(finished, kept=kept_in(tmp_path / "work")), ["codes"])


@pytest.mark.parametrize("preset", ["paper", "pyro"])
def test_train_validation_and_test_images_have_nothing_in_common(finished, preset):
    """Neither a digit nor the stream that draws numbers and places, which tells of a seed used twice."""
    used, drawn = set(), []
    for split in ("train", "validation", "test"):
        source = load_digits("uci", split, None)
        name = f"uci-{preset}-{split}-012-{getattr(TINY, split)}-seed{SEEDS[split]}"
        samples = list(DigitsDataset(finished.kept.folder / "data" / name))
        digits = {source.images[item.source_index].tobytes() for sample in samples for item in sample.digits}
        assert digits and not digits & used
        used |= digits
        drawn.append([len(sample.digits) for sample in samples][:10])
    assert len({tuple(counts) for counts in drawn}) == 3
    assert len(set(SEEDS.values())) == 3 == len(SEEDS)


def test_the_page_shows_every_seed(finished, tmp_path):
    (tmp_path / "findings.md").write_text("- By hand, and kept.\n")
    PAGE.write(tmp_path, finished.kept)
    text = (tmp_path / "README.md").read_text()
    assert "## What it shows\n\n- By hand, and kept.\n" in text
    rows = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith(("| exact", "| nvil"))]
    assert rows == [["| exact", "0"], ["| exact", "5"], ["| nvil", "0"]]
    learning = finished.kept.results("learning")
    found = learning[0]["test"]["held out"]["count_accuracy"]
    assert f"| exact | 0 | {100 * found:.2f} % |" in text
    assert "| 0, 1, 2 | 3 | AIR with DAIR's look | 4 | 2 |" in text and "| 0, 1, 3 | 2 | DRAW | 4 | 1 | - | - |" in text
    assert "DRAW takes 2 glimpses" in text
    for part in PARTS:
        count = len(finished.kept.results(part))
        assert f"- `a test` at commit `{FACTS['commit']}`" in text and f": {count} results\n" in text
    for name in ("learning.png", "stages.png", "policies.png", "generalisation.png", "codes.png"):
        assert f"({name})" in text
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
    with Image.open(tmp_path / "learning.gif") as video:
        # Frames that look alike become one that is shown longer.
        shown = [video.info["duration"] for frame in range(video.n_frames) if not video.seek(frame)]
        assert sum(shown) == 3 * 200
    assert read_results(tmp_path / "results.jsonl") == {part: finished.kept.results(part) for part in PARTS}


def test_parts_that_were_not_run_are_named(finished, tmp_path):
    shutil.copytree(finished.kept.folder / "foreign", tmp_path / "work" / "foreign")
    PAGE.write(tmp_path, kept_in(tmp_path / "work"))
    text = (tmp_path / "README.md").read_text()
    for part in ("learning", "generalisation", "codes"):
        assert f"Not run yet: `air3d reproduce multi-mnist --parts {part}`." in text
    assert text.count("Not run yet") == 3 and set(read_results(tmp_path / "results.jsonl")) == {"foreign"}


def test_pictures_of_an_earlier_training_are_not_mixed_in(tmp_path, bytes_images, small):
    model = make_model("air", small, seed=0)
    for iteration in (0, 500, 1000, 0, 2):
        stages.look(tmp_path, bytes_images, iteration, model)
    assert list(stages.frames(tmp_path)) == [0, 2]
    assert stages.strip(tmp_path).shape[0] == 3 * stages.frames(tmp_path)[0].shape[0] + 2 * 4, "below the images"


def test_stages_are_denser_at_first():
    assert stages.chosen([0, 2, 4]) == [0, 4]
    assert stages.chosen(list(range(0, 2001, 250))) == [0, 250, 750, 1250, 2000]


def trial(bytes_images, name="t") -> Trial:
    counts = np.arange(40) % 3
    data = DigitsArrays(bytes_images, counts, np.zeros((40, 2), np.int64), np.zeros((40, 2, 4), np.int64))
    network = replace(AIR, canvas=12, shrink=1)
    how = DigitsTrainConfig(iterations=6, batch=4)
    own = {"own": data}
    return Trial(name, DigitsRunConfig("air", network, how), data, own, own, measure_every=2, curve_images=30)


def test_an_interrupted_trial_goes_on(bytes_images, tmp_path, monkeypatch):
    monkeypatch.setattr("air3d.digits.train.CHECKPOINT_EVERY", 3)
    whole = trial(bytes_images).run(kept_in(tmp_path / "whole"), "p", CPU)

    def stop(iteration, model):
        if iteration == 4:  # after the checkpoint at 3, and after the point at 4 was written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial(bytes_images).run(kept_in(tmp_path / "parts"), "p", CPU, stop)
    lines = (tmp_path / "parts" / "p" / "runs" / "t" / "clock.jsonl").read_text().splitlines()
    known = [json.loads(line)["point"] for line in lines if "point" in json.loads(line)]
    parts = trial(bytes_images).run(kept_in(tmp_path / "parts"), "p", CPU)
    assert [point["iteration"] for point in parts["curve"]] == [0, 2, 4, 6]
    for a, b in zip(whole["curve"], parts["curve"], strict=True):
        assert a["own"] == b["own"]
    assert parts["curve"][1] == known[1] and parts["curve"][2]["seconds"] > known[1]["seconds"]
    whole["test"]["own"].pop("seconds_per_image")
    parts["test"]["own"].pop("seconds_per_image")
    assert whole["test"] == parts["test"]


def test_an_interrupted_trial_does_not_go_on_with_other_images(bytes_images, tmp_path):
    def stop(iteration, model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial(bytes_images).run(kept_in(tmp_path), "p", CPU, stop)
    with pytest.raises(InputError, match=r"holds a run with source\.images"):
        trial(255 - bytes_images).run(kept_in(tmp_path), "p", CPU)


def test_time_to_an_accuracy():
    curve = [
        {"cpu_seconds": s, "x": {"count_accuracy": a}} for s, a in ((0.0, 0.3), (5.0, 0.97), (10.0, 0.98), (15.0, 0.9))
    ]
    assert seconds_to(curve, "x", 0.98) == 10.0
    assert seconds_to(curve, "x", 0.99) is None


def test_labels_of_the_tasks():
    # Boxes from left to right: 7 then 3; 2 then 2; 0 then 9, stored right one first.
    digits = np.array([[7, 3], [2, 2], [9, 0]])
    left = np.array([[1, 30], [3, 9], [25, 5]])
    boxes = np.stack([left, left * 0, left + 8, left * 0 + 9], -1)
    data = DigitsArrays(np.zeros((3, 50, 50), np.uint8), np.full(3, 2), digits, boxes)
    assert sums(data).tolist() == [10, 4, 9]
    assert ascending(data).tolist() == [0, 0, 1]


def test_codes_of_steps_that_are_not_in_use_are_zero(bytes_images, small):
    model = make_model("air", small, seed=0)
    with torch.no_grad():
        model.head.out.weight.zero_()
        model.head.out.bias.copy_(torch.tensor([9.0, 0, 0, 0, 0, 0, 0]))
    used = codes(model, bytes_images)
    assert used.shape == (len(bytes_images), 3, 1 + 3 + 4)
    assert (used[..., 0] == 1).all()
    assert torch.allclose(used[..., 1], torch.tensor(0.4).log())
    assert used[..., 4:].std() > 0
    with torch.no_grad():
        model.head.out.bias[0] = -9.0
    assert not codes(model, bytes_images).any()
    assert window_centres(model, bytes_images)[0].shape == (0, 2)


def test_objects_are_read_from_left_to_right_and_empty_steps_last():
    """Steps (in use, log scale, x, what)."""
    codes = torch.tensor([
        [[1, 0, 0.3, 7], [1, 0, -0.5, 8], [1, 0, 0.1, 9]],
        [[1, 0, 0.3, 7], [1, 0, 0.2, 8], [0, 0, 0, 0]],
        [[1, 0, -0.4, 7], [0, 0, 0, 0], [0, 0, 0, 0]],
    ], dtype=torch.float32)  # fmt: skip
    assert left_to_right(codes)[..., 3].tolist() == [[8, 9, 7], [8, 7, 0], [7, 0, 0]]
    assert torch.equal(left_to_right(codes).sort(1)[0], codes.sort(1)[0])


def test_what_is_missing_of_a_study_is_made(tmp_path, bytes_images):
    digits = np.stack([np.arange(40) % 3, np.arange(40) % 2], -1)
    boxes = np.tile(np.array([[0, 0, 3, 3], [6, 0, 9, 3]]), (40, 1, 1))
    data = DigitsArrays(bytes_images, np.full(40, 2), digits, boxes)
    plan = Labels(sizes=(40,), iterations=2, batch=4, hidden=8)
    said: list[str] = []
    models = {"cae": make_model("cae", CaeConfig(canvas=12, channels=(4,), code=4), seed=0)}

    def accuracies() -> dict[str, float]:
        kept = Kept(tmp_path, FACTS, said.append)
        codes_study(models, data, data, plan, CPU, kept)
        return {run["name"]: run["accuracy"] for run in kept.results("codes")}

    first = accuracies()
    assert set(first) == {f"{task}-40-{name}" for task in ("sum", "ascending") for name in ("cae", "cnn-on-pixels")}
    (tmp_path / "codes" / "sum-40-cae.json").unlink()
    assert (accuracies(), len(said)) == (first, 2 * 5)


def test_a_second_network_finds_what_is_plain_to_see(tmp_path):
    """Where both digits can be read off a few pixels, labels must teach it, from pixels and from codes."""
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 2, size=(600, 2))
    images = np.zeros((600, 16, 16), np.uint8)
    images[:, 2:7, 2:7], images[:, 9:14, 9:14] = (255 * digits[:, i, None, None] for i in (0, 1))
    left = np.broadcast_to([2, 9], (600, 2))
    data = DigitsArrays(images, np.full(600, 2), digits, np.stack([left, left, left + 5, left + 5], -1))
    plan = Labels(sizes=(600,), iterations=150, batch=32)
    cae = make_model("cae", CaeConfig(canvas=16, channels=(8,), code=64), seed=0)
    codes_study({"cae": cae}, data, data, plan, CPU, kept_in(tmp_path))
    assert [run["accuracy"] for run in kept_in(tmp_path).results("codes")] == [1.0] * 4


@pytest.mark.slow
def test_reproduce_quick(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["reproduce", "multi-mnist", "--quick", "--out", str(out), "--device", "cpu"]) == 0
    assert (out / "README.md").read_text().count("| exact |") == 2
    assert Path(out / "learning.gif").stat().st_size > 1000
