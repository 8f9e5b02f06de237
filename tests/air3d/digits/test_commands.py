"""The 2D track from the command line: generate, train, evaluate, infer; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.digits.reader import DigitsDataset
from air3d.digits.infer import infer
from air3d.digits.store import load_digits_model, make_model, save_digits_model

SMALL = ("--air.hidden", "16", "--air.head", "8", "--air.codec", "8", "--air.what", "4", "--air.window", "8")
TINY = ("--train.iterations", "3", "--train.batch", "4", "--device", "cpu", "--quiet")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "data"
    command = ["generate", "digits", str(folder), "--num", "12", "--source", "uci", "--workers", "1", "--quiet"]
    assert main(command) == 0
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "air"
    assert main(["train", "digits", str(data), "--out", str(folder), *SMALL, *TINY]) == 0
    return folder


@pytest.fixture
def weights(bytes_images, tmp_path, small) -> Path:
    """A model of 12x12 that always says what its biases are."""
    model = make_model("air", small, seed=0)
    save_digits_model(tmp_path / "weights", model, {})
    return tmp_path / "weights"


def test_evaluate_counts_what_infer_says(data, run, tmp_path, capsys):
    out = tmp_path / "metrics" / "m.json"
    assert main(["evaluate", str(run), "--data", str(data), "--json", str(out), "--bound-samples", "2", "--quiet"]) == 0
    metrics = json.loads(out.read_text())
    arrays = DigitsDataset(data).arrays()
    found = infer(load_digits_model(str(run)).model, arrays.images)
    assert metrics["num_images"] == 12
    assert metrics["count_accuracy"] == pytest.approx(np.mean(found.counts == arrays.counts))
    table = np.array(metrics["confusion"])
    assert table.sum() == 12
    for true in range(3):
        for guess in range(table.shape[1]):
            assert table[true, guess] == np.sum((arrays.counts == true) & (found.counts == guess))
    error = np.mean((found.reconstructions.astype(np.float64) - arrays.images / 255.0) ** 2)
    assert metrics["reconstruction_mse"] == pytest.approx(error)
    assert metrics["elbo"] < 0.5 * 2500 * np.log(1 / (0.09 * 2 * np.pi)) and metrics["seconds_per_image"] > 0
    assert "count right in" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["dair", "draw", "cae"])
def test_the_other_models(data, model, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "m.json"
    sizes = ("--draw.steps", "2", "--draw.hidden", "8", "--cae.channels", "4", "4", "--cae.code", "5", *SMALL)
    assert main(["train", "digits", str(data), "--out", str(run), "--model", model, *sizes, *TINY]) == 0
    assert main(["evaluate", str(run), "--data", str(data), "--json", str(out), "--limit", "5", "--quiet"]) == 0
    metrics = json.loads(out.read_text())
    assert metrics["num_images"] == 5
    assert (metrics["count_accuracy"] is None) == (model != "dair")
    assert (metrics["elbo"] is None) == (model == "cae")
    picture = tmp_path / "x.png"
    Image.fromarray(DigitsDataset(data)[0].image).save(picture)
    assert main(["infer", str(run), str(picture), "--out", str(tmp_path / "answers")]) == 0
    names = {"x.render.png", "x.comparison.png"} | ({"x.digits.json"} if model == "dair" else set())
    assert {path.name for path in (tmp_path / "answers").iterdir()} == names


def test_training_again_resumes(data, run, capsys):
    assert main(["train", "digits", str(data), "--out", str(run), *SMALL, *TINY]) == 0
    assert "resuming after 3 iterations" in capsys.readouterr().err
    assert main(["train", "digits", str(data), "--out", str(run), *SMALL, *TINY, "--train.seed", "1"]) == 2
    assert "train.seed 0, not 1" in capsys.readouterr().err


def test_infer_draws_windows_counts_and_reconstructions(run, data, tmp_path, capsys):
    arrays = DigitsDataset(data).arrays(3)
    for i, image in enumerate(arrays.images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    out = tmp_path / "answers"
    assert main(["infer", str(run), *(str(tmp_path / f"{i}.png") for i in range(3)), "--out", str(out), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    found = infer(load_digits_model(str(run)).model, arrays.images)
    for i, row in enumerate(rows):
        answer = json.loads((out / f"{i}.digits.json").read_text())
        count = int(found.counts[i])
        assert row["count"] == answer["count"] == len(answer["windows"]) == count
        for (x0, y0, x1, y1), where in zip(answer["windows"], found.z_where[i], strict=False):
            assert (x0 + x1) / 2 == pytest.approx(25 * (1 + where[1]), abs=0.02)
            assert (y0 + y1) / 2 == pytest.approx(25 * (1 + where[2]), abs=0.02)
            assert x1 - x0 == pytest.approx(50 * np.exp(where[0]), abs=0.02) == y1 - y0
        with Image.open(out / f"{i}.render.png") as drawn:
            pixels = np.asarray(drawn)[..., 0] / 255.0
        assert np.abs(pixels - np.clip(found.reconstructions[i], 0, 1)).max() <= 0.5 / 255 + 1e-6
        with Image.open(out / f"{i}.comparison.png") as drawn:
            assert drawn.size == (200 * (2 + count) + 4 * (1 + count), 200)


def test_infer_says_what_is_of_another_kind(weights, tmp_path, refused):
    rng = np.random.default_rng(0)
    pictures = {
        "wide": (np.zeros((12, 20), np.uint8), "20x12 pixels; this model explains square images, 12x12"),
        "colour": (rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), "is in colour"),
        "paper": (np.full((12, 12), 230, np.uint8), "is bright; this model explains bright digits on dark"),
    }
    for name, (pixels, words) in pictures.items():
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        assert words in refused("infer", weights, path, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(tmp_path / "dark.png")
    assert "--refine" in refused("infer", weights, tmp_path / "dark.png", "--out", tmp_path / "out", "--refine", "5")


def test_infer_says_what_it_explains_poorly(weights, tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 200, (12, 12), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "dark.png")  # of another size, but of the kind
    answers = ["infer", str(weights), str(tmp_path / "noise.png"), str(tmp_path / "dark.png"), "--out", str(tmp_path)]
    assert main(answers) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "noise.png" in lines[0] and "poorly explained" in lines[0]
    assert "poorly explained" not in lines[1]


def test_bad_input_is_one_line(weights, data, run, tmp_path, refused):
    assert "the model reads 12" in refused("evaluate", weights, "--data", data)
    assert "--refine" in refused("evaluate", run, "--data", data, "--refine", "3")
    assert "no such folder" in refused("train", "digits", tmp_path / "nowhere", "--out", tmp_path / "r")
    assert "the model reads 40x40" in refused("train", "digits", data, "--out", tmp_path / "r", "--air.canvas", "40")
    assert "batch 0" in refused("train", "digits", data, "--out", tmp_path / "r", "--train.batch", "0")
    assert "holds 'digits', not scenes" in refused("train", "single", "--data", data, "--run", tmp_path / "r")
    assert "holds 'digits', not scenes" in refused("evaluate", "single-object", "--data", data)
    assert not (tmp_path / "r").exists()


def test_cuda_that_is_not_there_is_said(data, tmp_path, refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "--device cpu" in refused("train", "digits", data, "--out", tmp_path / "r", "--device", "cuda")
