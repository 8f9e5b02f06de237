"""An own kind through the command line: from a mesh and a TOML file to inferred scenes.

After every step the TOML file, the mesh and the cache are gone: what is written carries all that it needs.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.config import GenerateConfig, config_sha256
from air3d.datasets.reader import SceneDataset
from air3d.datasets.recipe import SceneRecipe
from air3d.renderers.choice import make_renderer
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.own_kinds import packed
from air3d.scene3d.presets import single_prior
from air3d.scene3d.scene import SceneObject
from air3d.scenes.store import load_model
from air3d.training import scenes as training

OWN = Path(__file__).resolve().parent.parent.parent / "own"
PYRAMID = "pyramid@b16745256486"
GENERATE = (
    "generate tabletop {out} --num 6 --seed {seed} --size 16 --workers 1 --renderer raster --quiet --min-visible 0 "
    "--kinds mug pyramid --max-objects 2 --objects {objects}"
)
TRAIN = (
    "train tabletop --run {run} --kinds mug pyramid --max-objects 2 --objects {objects} --train.iterations 2 "
    "--film-every 0 --renderer raster --device cpu --quiet --train.batch 3 --train.warm-up 1 "
    "--train.guide.image-size 16 --train.guide.camera-widths 4 6 8 --train.guide.camera-code 16 "
    "--train.guide.widths 6 8 10 --train.guide.head 12 --train.guide.window 10 --train.guide.glimpse 8"
)
SINGLE = "generate single {out} --num 4 --seed 0 --size 32 --workers 1 --renderer raster --quiet --kinds pyramid cube"
TRAIN_SINGLE = (
    "train single --data {data} --run {run} --renderer raster --quiet --train.iterations 2 --train.batch 4 "
    "--train.estimator.samples 2 --train.guide.encoder.image-size 32 --train.guide.encoder.channels 8 16 "
    "--train.guide.encoder.code 32 --train.guide.hidden 32 --train.guide.window 12"
)


def air3d(line: str, **values: object) -> int:
    return main([part.format(**values) for part in line.split()])


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_MEAN_DREAMS", 8)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of tabletops, one of single objects, and a run of each; all that they were made from is gone."""
    folder = tmp_path_factory.mktemp("own")
    objects = folder / "pyramid.toml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIR3D_OBJECTS", str(folder / "cache"))
        for name in ("pyramid.toml", "pyramid.obj"):
            shutil.copy(OWN / name, folder)
        assert air3d(GENERATE, out=folder / "data", seed=0, objects=objects) == 0
        assert air3d(GENERATE, out=folder / "again", seed=0, objects=objects) == 0
        assert air3d(SINGLE + " --objects {objects}", out=folder / "single", objects=objects) == 0
        assert air3d(TRAIN, run=folder / "run", objects=objects) == 0
        for name in ("pyramid.toml", "pyramid.obj"):
            (folder / name).unlink()
        shutil.rmtree(folder / "cache")
        assert air3d(TRAIN_SINGLE, data=folder / "single", run=folder / "run-single") == 0
    return folder


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "fresh"))


def test_the_same_command_gives_the_same_bytes_and_finds_them(made: Path) -> None:
    assert bytes_of(made / "data") == bytes_of(made / "again")
    before = {p: p.stat().st_mtime_ns for p in (made / "data").rglob("*.*") if p.name != "manifest.json"}
    assert air3d(GENERATE, out=made / "data", seed=0, objects=OWN / "pyramid.toml") == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_dataset_is_read_where_nothing_else_is(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = SceneDataset(made / "data")
    assert dataset.config.prior.kinds == ("mug", PYRAMID)
    shown = {item.kind for sample in dataset for item in sample["scene"].objects}
    assert shown == {"mug", PYRAMID}
    assert {p.name for p in (made / "data" / "objects").rglob("*.*")} == {
        f"{PYRAMID}.json",
        f"{PYRAMID}.inference.obj",
        f"{PYRAMID}.display.obj",
    }
    assert air3d("inspect {data} --json", data=made / "data") == 0
    assert set(json.loads(capsys.readouterr().out)["kinds"]) == {"mug", PYRAMID}


def test_a_recipe_takes_its_kinds_to_a_machine_that_does_not_know_them(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = SceneDataset(made / "data")
    factory = partial(make_renderer, backend="raster", workers=1)
    sent = ForkingPickler.dumps(SceneRecipe(dataset.config, factory, packed(dataset.config.shown_kinds)))
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "far-away"))
    recipe = ForkingPickler.loads(sent)
    with recipe.open() as samples:
        (sample,) = samples(range(2, 3))
    with tarfile.open(dataset.shard_paths[0]) as tar:
        member = tar.extractfile("00000002.image.png")
        assert member is not None and member.read() == sample["image.png"]


def test_a_damaged_object_is_named_and_generating_again_repairs_it(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    mesh = tmp_path / "data" / "objects" / "meshes" / f"{PYRAMID}.inference.obj"
    mesh.write_bytes(mesh.read_bytes() + b"\n")
    assert air3d("inspect {data}", data=tmp_path / "data") == 2
    assert f"{PYRAMID}.inference.obj: damaged" in capsys.readouterr().err
    assert air3d(GENERATE, out=tmp_path / "data", seed=0, objects=OWN / "pyramid.toml") == 0
    assert bytes_of(tmp_path / "data") == bytes_of(made / "data")


def test_weights_infer_evaluate_and_render_where_nothing_else_is(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_model(str(made / "run")).model
    assert model.prior.kinds == ("mug", PYRAMID)
    assert (
        air3d(
            "evaluate {run} --data {data} --bound-samples 2 --quiet --renderer raster",
            run=made / "run",
            data=made / "data",
        )
        == 0
    )
    assert (
        air3d(
            "evaluate {run} --data {data} --bound-samples 2 --quiet --renderer raster",
            run=made / "run-single",
            data=made / "single",
        )
        == 0
    )
    Image.fromarray(SceneDataset(made / "data")[0]["image"]).save(tmp_path / "one.png")
    assert (
        air3d(
            "infer {run} {picture} --out {out} --renderer raster",
            run=made / "run",
            picture=tmp_path / "one.png",
            out=tmp_path / "out",
        )
        == 0
    )
    assert (tmp_path / "out" / "objects" / "kinds" / f"{PYRAMID}.json").exists()
    scene = config_to_dict(SceneObject.upright(PYRAMID, 0.0, 0.0))
    document = json.loads((tmp_path / "out" / "one.scene.json").read_text())
    (tmp_path / "out" / "two.scene.json").write_text(json.dumps(document | {"objects": [scene]}))
    shutil.rmtree(tmp_path / "fresh")
    render = "render {scene} {picture} --size 48 --detail inference --renderer raster"
    assert air3d(render, scene=tmp_path / "out" / "two.scene.json", picture=tmp_path / "two.png") == 0
    blue = np.asarray(Image.open(tmp_path / "two.png")).astype(int)
    assert (blue[..., 2] > blue[..., 0] + 20).sum() > 20, "it is in the picture, in its colour"
    capsys.readouterr()


def test_it_is_exported(made: Path, tmp_path: Path) -> None:
    assert air3d("export bop {data} {out}/bop", data=made / "data", out=tmp_path) == 0
    models = json.loads(next((tmp_path / "bop").rglob("models_info.json")).read_text())
    assert models["2"]["size_x"] == pytest.approx(100.0, abs=0.1), "millimetres"
    # A file of schema 1, as written by hand.
    item = {"kind": PYRAMID, "x_m": 0.0, "y_m": 0.0, "yaw_rad": 0.0, "scale": 1.0, "colour": None}
    document = json.loads((OWN.parent.parent / "assets" / "examples" / "cylinder.scene.json").read_text())
    (tmp_path / "s.scene.json").write_text(json.dumps(document | {"objects": [item]}))
    assert air3d("export glb {scene} {out}", scene=tmp_path / "s.scene.json", out=tmp_path / "s.glb") == 0
    low, high = trimesh.load_scene(tmp_path / "s.glb").bounds
    assert high.max() > 0.09 and low.min() < -0.2, "the table and what stands on it"


def test_a_scene_may_use_the_short_name(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((OWN.parent.parent / "assets" / "examples" / "cylinder.scene.json").read_text())
    document["objects"][0]["kind"] = "pyramid"
    (tmp_path / "s.scene.json").write_text(json.dumps(document))
    render = "render {scene} {out} --size 16 --detail inference --renderer raster"
    scene = tmp_path / "s.scene.json"
    pictures = []
    for objects in (OWN / "pyramid.toml", made / "data", made / "run" / "model"):
        assert air3d(render + " --objects {objects}", scene=scene, out=tmp_path / "s.png", objects=objects) == 0
        pictures.append((tmp_path / "s.png").read_bytes())
    assert pictures[0] == pictures[1] == pictures[2]
    assert air3d(render, scene=scene, out=tmp_path / "t.png") == 2
    assert "unknown kind 'pyramid'" in capsys.readouterr().err


def test_a_dataset_without_own_kinds_is_what_it_was(tmp_path: Path) -> None:
    """It carries nothing, and its fingerprint is the one from before there were own kinds."""
    line = "generate single {out} --num 2 --seed 5 --size 16 --workers 1 --renderer analytic --min-visible 0 --quiet"
    assert air3d(line, out=tmp_path / "old") == 0
    assert not (tmp_path / "old" / "objects").exists() and not (tmp_path / "fresh").exists()
    config = GenerateConfig("single", num=10, seed=5, prior=single_prior(), renderer="gl", scenes_per_shard=32)
    assert config_sha256(config) == "4a5eeeaf37c31e78eb7527ab0b16c7eff662a871e8253190d1ec5cea115e9eb5"


def test_inspect_says_what_was_made_of_a_mesh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert air3d("inspect {toml} --json --sheet {sheet}", toml=OWN / "pyramid.toml", sheet=tmp_path / "sheet.png") == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["kind"] == PYRAMID
    assert facts["size_m"] == pytest.approx([0.1, 0.1 * np.sqrt(3) / 2, 0.095], abs=1e-5)
    assert facts["triangles"] == {"file": 13, "display": 14, "inference": 14}, "the sheet has two sides"
    assert facts["open_triangles"] == 1 and facts["symmetry"] == "none" and facts["deviation_m"] < 1e-6
    assert np.asarray(Image.open(tmp_path / "sheet.png")).std() > 10
    assert air3d("inspect {toml}", toml=OWN / "pyramid.toml") == 0
    assert "1 triangles are not closed" in capsys.readouterr().out


Refused = Callable[[str], str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    def check(line: str) -> str:
        assert air3d(line, tmp=tmp_path, own=OWN) == 2
        error = capsys.readouterr().err.strip()
        assert error.count("\n") == 0
        return error

    return check


@pytest.mark.parametrize(
    "line, message",
    [
        ("generate tabletop {tmp}/d --num 1 --seed 0 --kinds mugg", "unknown kind 'mugg': did you mean 'mug'"),
        ("generate single {tmp}/d --num 1 --seed 0 --kinds spere", "did you mean 'sphere'"),
        (
            "generate single {tmp}/d --num 1 --seed 0 --kinds piramid --objects {own}/pyramid.toml",
            "did you mean 'pyramid'",
        ),
        ("generate single {tmp}/d --num 1 --seed 0 --objects {own}/pyramid.toml", "none of its kinds (pyramid)"),
        ("generate single {tmp}/d --num 1 --seed 0 --objects {own}/none.toml --kinds pyramid", "No such file"),
        ("train tabletop --run {tmp}/r --kinds plat", "did you mean 'plate'"),
        ("train tabletop --run {tmp}/r --data {own} --objects {own}/pyramid.toml", "from pictures alone learns"),
        ("inspect {own}/none.toml", "No such file"),
        (f"generate single {{tmp}}/d --num 1 --seed 0 --kinds {PYRAMID}", "is not on this machine"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(refused: Refused, tmp_path: Path, line: str, message: str) -> None:
    assert message in refused(line)
    assert not (tmp_path / "d").exists() and not (tmp_path / "r").exists()


def test_a_declared_symmetry_that_does_not_hold(refused: Refused, tmp_path: Path) -> None:
    shutil.copy(OWN / "pyramid.obj", tmp_path)
    text = (OWN / "pyramid.toml").read_text()
    (tmp_path / "p.toml").write_text(text + "symmetry = 2\n")
    error = refused("inspect {tmp}/p.toml")
    # The far corner of the sheet, turned by half a turn, is nearest to the sheet's own upright edge, 25 mm away.
    assert "symmetry is 2-fold, but a turn by 180 degrees moves its surface by up to 25.0 mm" in error
    assert 'declare symmetry = "none"' in error


def test_a_symmetry_that_was_not_declared_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in (OWN / "pyramid.obj").read_text().splitlines() if line != "f 9 10 11"]
    (tmp_path / "pyramid.obj").write_text("\n".join(lines))
    shutil.copy(OWN / "pyramid.toml", tmp_path)
    assert air3d("inspect {toml} --json", toml=tmp_path / "pyramid.toml") == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["symmetry"] == "6-fold" and not facts["symmetry_declared"] and facts["warnings"] == []


def test_an_empty_table_is_rendered(tmp_path: Path) -> None:
    document = json.loads((OWN.parent.parent / "assets" / "examples" / "cylinder.scene.json").read_text())
    (tmp_path / "empty.scene.json").write_text(json.dumps(document | {"objects": []}))
    render = "render {scene} {out} --size 24 --detail inference --renderer raster"
    assert air3d(render, scene=tmp_path / "empty.scene.json", out=tmp_path / "empty.png") == 0
    assert np.asarray(Image.open(tmp_path / "empty.png")).max() > 60


def test_a_dataset_carries_its_own_kinds(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.json").write_text("{}")
    line = f"train tabletop --run {tmp_path}/run --data {tmp_path}/data --objects {OWN}/pyramid.toml"
    assert "leave it out" in refused(line)
    assert not (tmp_path / "run").exists()
