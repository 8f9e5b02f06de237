"""Models of several tables, of images with depth, of kinds by their pictures: trained, asked and measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

import air3d
from air3d.cli.main import main
from air3d.datasets.labelled import load_labelled
from air3d.datasets.reader import SceneDataset
from air3d.renderers.choice import make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene
from air3d.scene3d.scene_json import load_scene, scene_to_json
from air3d.scenes.store import load_model
from air3d.training import scenes as training
from air3d.viewer.source import Request, open_source

Refused = Callable[..., str]

SIZES = (
    "--train.guide.image-size 24 20 --train.guide.camera-widths 4 6 8 --train.guide.camera-code 16 "
    "--train.guide.widths 6 8 10 --train.guide.head 12 --train.guide.window 10 --train.guide.glimpse 8 "
    "--train.guide.window-widths 4 6 8 --train.guide.kind-code 5 --train.guide.depth"
)
TRAIN = (
    "train tabletop --run {run} --kinds mug bowl --max-objects 2 --table square round --camera-shift 0.05 -0.02 "
    f"--film-every 0 --quiet --device cpu --train.iterations 5 --train.batch 3 --train.warm-up 1 {SIZES}"
)


def run(line: str, **values: object) -> int:
    return main([part.format(**values) for part in line.split()])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two tables, a dataset on each, and their pictures with depth."""
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_MEAN_DREAMS", 8)
        assert run(TRAIN, run=folder / "run") == 0
    for table in ("square", "round"):
        line = "generate tabletop {out} --like {model} --num 3 --seed 7 --workers 1 --quiet --table " + table
        assert run(line, out=folder / table, model=folder / "run") == 0
        (folder / f"{table}-pictures").mkdir()
        (folder / f"{table}-depth").mkdir()
        for i, sample in enumerate(SceneDataset(folder / table)):
            iio.imwrite(folder / f"{table}-pictures" / f"{table}{i}.png", sample["image"])
            depth = np.where(np.isfinite(sample["depth_m"]), 5000.0 * sample["depth_m"], 0.0).round().astype(np.uint16)
            iio.imwrite(folder / f"{table}-depth" / f"{table}{i}.png", depth)
    return folder


def test_scenes_like_a_models_are_of_its_prior(made: Path, refused: Refused, tmp_path: Path) -> None:
    known = [place.prior for place in load_model(made / "run").model.places]
    for prior, table in zip(known, ("square", "round"), strict=True):
        config = SceneDataset(made / table).config
        assert config.prior == prior and prior.table.shape == table and str(config.image_size) == "24x20"
    assert known[0].orbits.shift_right == (0.05, 0.05) and known[0].orbits.shift_down == (-0.02, -0.02)
    like = ("generate", "tabletop", tmp_path / "no", "--num", 2, "--seed", 0, "--like", made / "run")
    assert "knows tables that are square or round" in refused(*like, "--table", "bin")
    assert "--camera-shift" in refused(*like, "--camera-shift", "0.1", "0")
    assert "does not exist" in refused(*like[:-1], tmp_path / "gone")
    assert main([str(word) for word in (*like, "--max-objects", 1, "--vary", "size", "--quiet")]) == 0
    typed = SceneDataset(tmp_path / "no").config.prior
    assert (typed.max_objects, typed.kinds, typed.table) == (1, known[0].kinds, known[0].table)
    assert typed.perturb.scale > 0.0 == known[0].perturb.scale


def test_a_picture_is_answered_on_the_likelier_table(made: Path, tmp_path: Path, refused: Refused) -> None:
    answers: dict[str | None, dict[str, tuple[Scene, float]]] = {}
    for table in (None, "square", "round"):
        out = tmp_path / str(table)
        line = f"infer {{model}} {{a}} {{b}} --out {{out}} --json --table {table}"
        line = line.removesuffix(" --table None")
        assert run(line, model=made / "run", a=made / "square-pictures", b=made / "round-pictures", out=out) == 0
        answers[table] = {}
        for path in sorted(out.glob("*.scene.json")):
            stem = path.name.removesuffix(".scene.json")
            image = iio.imread(made / f"{stem[:-1]}-pictures" / f"{stem}.png")
            render = iio.imread(out / f"{stem}.render.png")
            error = float(np.square(image / 255.0 - render / 255.0).sum())
            answers[table][stem] = load_scene(path), error
    assert len(answers[None]) == 6
    for stem, (scene, error) in answers[None].items():
        given = [answers[table][stem] for table in ("square", "round")]
        assert error == pytest.approx(min(other for _, other in given), rel=1e-9)
        assert scene in [other for other, _ in given]
        assert scene.table.shape == min(given, key=lambda pair: pair[1])[0].table.shape
    line = ("infer", made / "run", made / "square-pictures", "--out", tmp_path / "x", "--table", "bin")
    assert "knows tables that are square or round" in refused(*line)
    assert not (tmp_path / "x").exists()


def test_python_answers_as_the_command_does(made: Path, tmp_path: Path) -> None:
    pictures = sorted((made / "round-pictures").iterdir())
    found = air3d.infer(str(made / "run"), pictures)
    assert run("infer {model} {a} --out {out}", model=made / "run", a=made / "round-pictures", out=tmp_path) == 0
    assert found == [load_scene(tmp_path / f"{path.stem}.scene.json") for path in pictures]
    with air3d.posterior(str(made / "run"), pictures[0], samples=4, moves=1) as belief:
        assert belief.samples[0].table == found[0].table


def test_python_takes_depth_and_a_table(made: Path, tmp_path: Path) -> None:
    dataset = SceneDataset(made / "square")
    images, depth = [dataset[i]["image"] for i in range(3)], [dataset[i]["depth_m"] for i in range(3)]
    model = air3d.load(made / "run")
    line = "infer {model} {a} --table square --out {out} --depth {depth} --depth-unit 0.0002"
    out = tmp_path / "out"
    assert run(line, model=made / "run", a=made / "square-pictures", out=out, depth=made / "square-depth") == 0
    told = [load_scene(path).camera.azimuth_rad for path in sorted(out.glob("*.scene.json"))]
    found = air3d.infer(model, images, depth_m=depth, table="square")
    # Kept in steps of 0.2 mm there.
    assert [scene.camera.azimuth_rad for scene in found] == pytest.approx(told, abs=1e-3)
    assert air3d.infer(model, np.stack(images), depth_m=np.stack(depth), table="square") == found
    assert air3d.infer(model, images[0], depth_m=depth[0], table="square") == found[:1]
    assert found != air3d.infer(model, images, table="square")
    with air3d.posterior(model, images[0], 4, 1, depth_m=depth[0], table="round") as belief:
        assert belief.samples[0].table.shape == "round"
    assert air3d.infer(model, [], depth_m=[]) == []
    for wrong, said in (
        (depth[:2], "for 3 pictures"),
        (5, "depth_m is 5"),
        (["a"] * 3, "depth_m is"),
        ([1.0] * 3, "has shapes"),
    ):
        with pytest.raises(InputError, match=said):
            air3d.infer(model, images, depth_m=wrong)
    with pytest.raises(InputError, match="knows tables that are square or round"):
        air3d.infer(model, images, table="bin")
    with pytest.raises(InputError, match="knows tables that are round"):
        air3d.posterior("tabletop", images[0], table="bin")
    with pytest.raises(InputError, match="reads colours alone"):
        air3d.infer("tabletop", images, depth_m=depth)


def test_results_and_the_viewer_use_the_datasets_table(made: Path, tmp_path: Path) -> None:
    model, data = load_model(made / "run").model, load_labelled(made / "round")
    with make_renderer(model.places[1].render_config) as renderer:
        found = model.places[1].infer(data.images, renderer).scenes
    source = open_source(Request(str(made / "round"), str(made / "run")))
    assert source.named is not None and source.named.model.prior.table.shape == "round"
    source = open_source(Request(str(made / "run")))
    assert source.scenes[0].table.shape == "square", "dreams are of the first"
    (tmp_path / "one.json").write_text(scene_to_json(data.truth[0], size=(24, 20)))
    source = open_source(Request(str(tmp_path / "one.json"), str(made / "run")))
    assert source.named is not None and source.named.model.prior.table.shape == "round"
    line = "export bop-results {model} {data} {out} --quiet"
    assert run(line, model=made / "run", data=made / "round", out=tmp_path / "a_b-test.csv") == 0
    rows = (tmp_path / "a_b-test.csv").read_text().splitlines()[1:]
    assert len(rows) == int(found.present.sum())


def test_a_model_is_measured_on_each_of_its_tables(made: Path, tmp_path: Path) -> None:
    for table in ("square", "round"):
        for more in ("", " --depth"):
            line = "evaluate {model} --data {data} --json {file} --quiet --refine 20 --bound-samples 2" + more
            line += " --calibration 4 --moves 1" if table == "round" else ""
            assert run(line, model=made / "run", data=made / table, file=tmp_path / "m.json") == 0
            metrics: dict[str, Any] = json.loads((tmp_path / "m.json").read_text())
            told = " --depth" in metrics["made"]["command"]
            assert metrics.get("depth", False) == told == bool(more)
            found = metrics.get("simulated_calibration")
            assert (found is not None) == (table == "round")
            if found is not None:
                assert (found["samples"], found["moves"]) == (4, 1) and found["seconds_per_image"] > 0.0
                assert found["effective_samples"]["share_from_20"] == 0.0 and found["camera_distance_m"]["images"] == 3
                assert "--calibration 4 --moves 1" in metrics["made"]["command"]


def test_depth_pictures_go_with_their_pictures(made: Path, tmp_path: Path, refused: Refused) -> None:
    """As the same depth handed over in Python; a matrix that is the model's own camera changes nothing."""
    model = load_model(made / "run").model
    (fx, _, cx), (_, fy, cy), _ = model.world.camera.middle().sized(24, 20).matrix.tolist()
    lens = f" --intrinsics {fx} {fy} {cx} {cy}"
    line = (
        "infer {model} {a} --table square --out {out} --depth {depth} --depth-unit 0.0002 --refine 10 "
        "--settle --samples 3"
    )
    found = []
    for number, more in enumerate(("", lens)):
        out, depth = tmp_path / str(number), made / "square-depth"
        assert run(line + more, model=made / "run", a=made / "square-pictures", out=out, depth=depth) == 0
        found.append([load_scene(path) for path in sorted(out.glob("*.scene.json"))])
    assert found[0] == found[1]
    blind = tmp_path / "blind"
    assert run(line.split(" --depth")[0], model=made / "run", a=made / "square-pictures", out=blind) == 0
    assert found[0] != [load_scene(path) for path in sorted(blind.glob("*.scene.json"))]
    wrong = ("infer", made / "run", made / "square-pictures", "--out", tmp_path / "no", "--depth")
    assert "no such file; a depth picture is called as its picture is" in refused(*wrong, made / "round-depth")
    assert "depth comes as 16-bit grey" in refused(*wrong, made / "square-pictures")
    assert "--depth-unit" in refused(*wrong, made / "square-depth", "--depth-unit", 0)
    small = tmp_path / "small"
    small.mkdir()
    for path in (made / "square-depth").iterdir():
        iio.imwrite(small / path.name, iio.imread(path)[:10])
    assert "has 24x10 pixels, its picture 24x20" in refused(*wrong, small)
    assert "reads colours alone" in refused("infer", "tabletop", *wrong[2:], made / "square-depth")
    assert not (tmp_path / "no").exists()


def test_two_worlds_must_be_alike(tmp_path: Path, refused: Refused) -> None:
    words = TRAIN.replace("--table square round", "--table round round").format(run=tmp_path / "run").split()
    assert "name one shape or more, each once" in refused(*words)
    assert not (tmp_path / "run").exists()


def test_further_kinds_start_from_what_is_known(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guide's sizes come with the model; what begins anew is said."""
    monkeypatch.setattr(training, "_MEAN_DREAMS", 8)
    line = (
        "train tabletop --run {run} --start {start} --kinds mug plate cube --pose free --max-objects 1 "
        "--camera-shift 0.05 -0.02 --film-every 0 --quiet --device cpu --train.iterations 1 --train.batch 2"
    )
    assert run(line, run=tmp_path / "run", start=made / "run") == 0
    assert "knows other scenes; kind_codes, pose_head begin anew, all else is taken from it" in capsys.readouterr().err
    new, old = (load_model(folder).model for folder in (tmp_path / "run", made / "run"))
    assert new.guide.config == old.guide.config and new.prior.kinds == ("mug", "plate", "cube")
