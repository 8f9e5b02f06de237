"""`air3d export` as a user types it, and every command and snippet of docs/exports.md."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from air3d.cli.main import main
from air3d.datasets.export.bop_models import bop_objects
from air3d.datasets.reader import SceneDataset
from air3d.evaluation.answers import Answers
from air3d.evaluation.bop_results import HEADER, result_lines
from air3d.evaluation.coco_results import result_rows
from air3d.renderers.choice import make_renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.scene_json import scene_to_json
from air3d.viewer.source import Request, open_source

# pycocotools' own, under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
SMALL = "--size 64 --workers 1 --renderer analytic --quiet"
Refused = Callable[..., str]


def air3d(line: str, **values: object) -> int:
    return main([part.format(**values) for part in line.split()])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten scenes of the tabletop preset."""
    folder = tmp_path_factory.mktemp("data") / "made"
    assert air3d("generate tabletop {out} --num 10 --seed 3 " + SMALL, out=folder) == 0
    return folder


def test_the_pages_commands_and_snippet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)).split("\n")
    calls = [shlex.split(line) for line in lines if line]
    assert len(calls) >= 8
    for words in calls:
        assert words[0] == "air3d"
        if "generate" in words:
            words[words.index("--num") + 1] = "6"
            words += ["--workers", "1", "--renderer", "analytic"]
        if words[2].endswith("-results"):
            words += ["--renderer", "analytic"]
        assert main(words[1:]) == 0, words
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for snippet, words in zip(snippets, (r"^(mug|plate|bowl) \[", r"Average Precision", r"^\[[-. \de+]+"), strict=True):
        done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
        assert re.search(words, done.stdout, re.MULTILINE)
    for word in re.findall(r"^\| `([a-z0-9_/*.]+)`", PAGE, re.MULTILINE):
        where = "export" if "/" in word else "export/table"
        found = list(tmp_path.glob(f"{where}/**/{word}")) or list(tmp_path.glob(f"export/*/{word}"))
        assert found or word.startswith("..."), word


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    made, out = tmp_path / "made", tmp_path / "out"
    generate = "generate tabletop {out} --num 240 --seed 0 --scenes-per-shard 8 " + SMALL
    assert air3d(generate.replace("--size 64", "--size 24"), out=made) == 0
    command = [sys.executable, "-m", "air3d", "export", "bop", str(made), str(out)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        end = time.monotonic() + 60
        while not (out / "test" / "000001").exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert "to go on where it stopped, run the same command again: air3d export bop" in errors
    assert "Traceback" not in errors
    assert not (out / "test_targets_bop24.json").exists()
    there = len([path for path in (out / "test").iterdir() if not path.name.startswith(".")])
    assert 2 <= there < 30 and there == len(list((out / "test").iterdir()))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    kept = 8 * there
    assert f"{240 - kept} images exported, {kept} were there already" in done.stderr
    assert len(json.loads((out / "test_targets_bop24.json").read_text())) == 240


def test_foreign_folders_and_bad_input_are_one_line(data: Path, tmp_path: Path, refused: Refused) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.json").write_text("{}")
    scene = ROOT / "assets" / "examples" / "breakfast.scene.json"
    for name in ("bop", "coco"):
        assert "not empty ('thesis.tex')" in refused("export", name, data, full)
        assert "no such folder" in refused("export", name, tmp_path / "nothing", tmp_path / "out")
        assert "is a file" in refused("export", name, data, tmp_path / "file")
        assert "use train, val or test" in refused("export", name, data, tmp_path / "out", "--split", "all")
        assert "/proc" in refused("export", name, data, "/proc/out")
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]
    assert "write to .glb" in refused("export", "glb", scene, tmp_path / "out.obj")
    assert "bad.json" in refused("export", "glb", tmp_path / "bad.json", tmp_path / "out.glb")
    (tmp_path / "there.glb").write_text("mine")
    assert "--overwrite" in refused("export", "glb", scene, tmp_path / "there.glb")
    assert (tmp_path / "there.glb").read_text() == "mine"
    assert air3d("export glb {scene} {out} --overwrite", scene=scene, out=tmp_path / "there.glb") == 0
    assert (tmp_path / "there.glb").read_bytes()[:4] == b"glTF"
    assert "write to .xml" in refused("export", "mjcf", scene, tmp_path / "out.mjb")
    (tmp_path / "there_assets").mkdir()
    assert "--overwrite" in refused("export", "mjcf", scene, tmp_path / "there.xml")
    assert air3d("export mjcf {scene} {out} --overwrite", scene=scene, out=tmp_path / "there.xml") == 0
    assert mujoco.MjModel.from_xml_path(str(tmp_path / "there.xml")).njnt == 5
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.glb").exists()


def test_a_sample_of_a_shard_is_a_scene(data: Path, tmp_path: Path) -> None:
    """`tar -xf` of a shard, then render, glb and mjcf: the same as of the scene alone."""
    with tarfile.open(data / "shard-000000.tar") as shard:
        shard.extract("00000003.scene.json", tmp_path, filter="data")
    (tmp_path / "alone.json").write_text(scene_to_json(SceneDataset(data)[3]["scene"]))
    for name in ("00000003.scene.json", "alone.json"):
        scene = tmp_path / name
        assert air3d("render {scene} {out} --size 32 --renderer analytic", scene=scene, out=f"{scene}.png") == 0
        assert air3d("export glb {scene} {out}", scene=scene, out=f"{scene}.glb") == 0
        assert air3d("export mjcf {scene} {out}", scene=scene, out=f"{scene}.xml") == 0
        assert mujoco.MjModel.from_xml_path(f"{scene}.xml").njnt == len(SceneDataset(data)[3]["scene"].objects)
    for ending in ("png", "glb"):
        first, second = sorted(tmp_path.glob(f"*.{ending}"))
        assert first.read_bytes() == second.read_bytes()
    assert open_source(Request(str(tmp_path / "00000003.scene.json"))).scenes == (SceneDataset(data)[3]["scene"],)


def test_digits_are_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "config.json").write_text('{"content": "digits"}')
    (tmp_path / "manifest.json").write_text('{"config": {"content": "digits"}}')
    assert "holds 'digits'" in refused("export", "bop", tmp_path, tmp_path / "out")


def test_damage_is_one_line_and_leaves_nothing_half(data: Path, tmp_path: Path, refused: Refused) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in data.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (shard,) = copy.glob("*.tar")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    for name in ("bop", "coco"):
        line = refused("export", name, copy, tmp_path / name, "--quiet")
        assert "run its 'air3d generate' command again to repair it" in line
        assert not list((tmp_path / name).rglob("*.tmp"))
        assert not list((tmp_path / name).rglob("annotations/*.json"))
    assert not list((tmp_path / "bop").rglob("scene_gt.json"))


def test_true_scenes_as_results_are_the_truth(data: Path, tmp_path: Path) -> None:
    """Answers that are the truth give the poses of scene_gt.json: two ways through the same geometry."""
    assert air3d("export bop {data} {out} --quiet", data=data, out=tmp_path / "bop") == 0
    dataset = SceneDataset(data)
    kinds = dataset.config.prior.kinds
    truth = SceneBatch.from_scenes([sample["scene"] for sample in dataset], kinds, 3)
    presence = np.where(truth.present, np.linspace(0.2, 0.9, 3), 0.0)
    lines = list(result_lines(Answers(truth, presence, 0, 0.25), presence, 0, 4, bop_objects(kinds)))
    rows = list(csv.DictReader([HEADER, *lines]))
    assert len(rows) == truth.present.sum() > 5
    gt = json.loads((tmp_path / "bop" / "test" / "000000" / "scene_gt.json").read_text())
    for index in range(10):
        own = [row for row in rows if (int(row["scene_id"]), int(row["im_id"])) == divmod(index, 4)]
        scores = [float(row["score"]) for row in own]
        assert scores == sorted(scores, reverse=True) and {row["time"] for row in own} <= {"0.25"}
        # The surest is the last in the scene.
        for row, item in zip(own[::-1], gt[str(index)], strict=True):
            assert int(row["obj_id"]) == item["obj_id"]
            np.testing.assert_allclose([float(v) for v in row["R"].split()], item["cam_R_m2c"], atol=1e-9)
            np.testing.assert_allclose([float(v) for v in row["t"].split()], item["cam_t_m2c"], atol=1e-6)


def test_results_of_a_shipped_model(data: Path, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "air3d_made-test.csv"
    assert air3d("export bop-results tabletop {data} {out} --renderer analytic --quiet", data=data, out=out) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert out.read_text().splitlines()[0] == "scene_id,im_id,obj_id,score,R,t,time"
    for row in rows:
        rotation = np.array([float(v) for v in row["R"].split()]).reshape(3, 3)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert 300 < float(row["t"].split()[2]) < 1500, "millimetres"
        assert 0 < float(row["score"]) <= 1 and int(row["obj_id"]) in (1, 2, 3) and int(row["im_id"]) < 10
    assert "--overwrite" in refused("export", "bop-results", "tabletop", data, out)
    line = refused("export", "bop-results", "single-object", data, tmp_path / "x.csv")
    known = "it has a round table of radius 0.32 m, it knows a round table of radius 0.25 m"
    assert f"model 'single-object' does not fit: {known}" in line
    assert "write to .csv" in refused("export", "bop-results", "tabletop", data, tmp_path / "x.txt")
    assert not (tmp_path / "x.csv").exists()


SIX = "generate tabletop {out} --kinds mug plate bowl pan teapot glass --max-objects 6 --num 6 --seed 3 --size 128 "


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six scenes of all six kinds, by whether their sizes, colours and light vary."""
    folder = tmp_path_factory.mktemp("six")
    made = {"": folder / "as-catalogued", "--perturb": folder / "perturbed"}
    for option, out in made.items():
        assert air3d(f"{SIX} {option} --workers 1 --renderer raster --quiet", out=out) == 0
    return made


@pytest.mark.parametrize("option", ["", "--perturb"])
def test_the_shipped_model_of_six_kinds_is_scored(
    six: dict[str, Path], tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By both formats: every pose lies near one of `export bop`'s, every mask on one of `export coco`'s."""
    data = six[option]
    assert air3d("export bop {data} {out} --quiet", data=data, out=tmp_path / "bop") == 0
    assert air3d("export bop-results tabletop-6 {data} {out} --quiet", data=data, out=tmp_path / "a.csv") == 0
    truth = json.loads((tmp_path / "bop" / "test" / "000000" / "scene_gt.json").read_text())
    objects = [item for image in truth.values() for item in image]
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    near = 0
    for row in rows:
        shift = np.array([float(value) for value in row["t"].split()])
        same = [item for item in truth[row["im_id"]] if item["obj_id"] == int(row["obj_id"])]
        near += any(np.linalg.norm(shift - item["cam_t_m2c"]) < 30 for item in same)
    assert abs(len(rows) - len(objects)) <= 2 and near >= 0.8 * len(objects) > 8
    assert air3d("export coco {data} {out} --quiet", data=data, out=tmp_path / "coco") == 0
    assert air3d("export coco-results tabletop-6 {data} {out} --quiet", data=data, out=tmp_path / "a.json") == 0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "coco" / "annotations" / "instances_train.json"))
        found = coco.loadRes(str(tmp_path / "a.json"))
        for what in ("bbox", "segm"):
            evaluation = COCOeval(coco, found, what)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[1] > 0.75, "average precision at an overlap of a half"


def test_true_scenes_as_coco_results_are_the_truth(data: Path, tmp_path: Path) -> None:
    """Answers that are the truth give boxes and masks of the dataset's own segmentation, the surest first."""
    dataset = SceneDataset(data)
    config = dataset.config
    truth = SceneBatch.from_scenes([sample["scene"] for sample in dataset], config.prior.kinds, 3)
    presence = np.where(truth.present, np.linspace(0.2, 0.9, 3), 0.0)
    with make_renderer(config.render_config, config.renderer) as renderer:
        numbers = {"plate": 2, "mug": 7}  # no bowls
        rows = list(result_rows(Answers(truth, presence, 0, 0.25), presence, 10, renderer, numbers))
    expected = []
    for index, sample in enumerate(dataset):
        for slot in reversed(range(len(sample["scene"].objects))):
            mask = sample["segmentation"] == slot + 1
            kind = sample["scene"].objects[slot].kind
            if mask.any() and kind in numbers:
                expected.append((10 + index, numbers[kind], presence[index, slot], mask))
    assert len(rows) == len(expected) > 5
    for row, (image, number, score, mask) in zip(rows, expected, strict=True):
        assert (row["image_id"], row["category_id"], row["score"]) == (image, number, score)
        np.testing.assert_array_equal(masks.decode(row["segmentation"]), mask)
        assert row["bbox"] == masks.toBbox(row["segmentation"]).tolist()


def test_what_a_model_does_not_know_is_refused_and_what_a_dataset_has_not_is_told(
    six: dict[str, Path], tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused("export", "coco-results", "tabletop", six[""], tmp_path / "x.json")
    assert "model 'tabletop' does not fit: it has images of 128x128 pixels, it reads 64x64" in line
    foreign = tmp_path / "foreign"
    assert air3d("generate tabletop {out} --kinds cube --num 2 --seed 1 " + SMALL, out=foreign) == 0
    line = refused("export", "bop-results", "tabletop", foreign, tmp_path / "x.csv")
    assert "it has objects of kind cube, it knows mug, plate, bowl" in line
    fewer = tmp_path / "fewer"
    assert air3d("generate tabletop {out} --kinds bowl mug --num 4 --seed 1 " + SMALL, out=fewer) == 0
    line = "export {what} tabletop {data} {out} --renderer analytic"
    assert air3d(line, what="bop-results", data=fewer, out=tmp_path / "y.csv") == 0
    assert air3d(line, what="coco-results", data=fewer, out=tmp_path / "y.json") == 0
    assert capsys.readouterr().err.count("without objects of kinds that the dataset has not: plate") == 2
    for row in csv.DictReader((tmp_path / "y.csv").read_text().splitlines()):
        assert int(row["obj_id"]) in (1, 2)
    assert {row["category_id"] for row in json.loads((tmp_path / "y.json").read_text())} <= {1, 2}
    assert not list(tmp_path.glob("x.*"))
