"""What can be named to the viewer, and what it says of everything else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from air3d.cli.main import main
from air3d.cli.view import Args, bare_entries
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Cloth, Lamp, Light, Scene, SceneObject, Table
from air3d.scene3d.scene_json import scene_to_json
from air3d.viewer.source import Request, open_source


def generate(folder: Path, num: int, size: int) -> None:
    line = f"--num {num} --size {size} --seed 0 --detail inference --workers 1 --renderer raster --quiet"
    assert main(["generate", "tabletop", str(folder), *line.split()]) == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scenes of the prior that the shipped tabletop model was trained on."""
    folder = tmp_path_factory.mktemp("viewer") / "data"
    generate(folder, num=5, size=64)
    return folder


def write(path: Path, scene: Scene) -> str:
    path.write_text(scene_to_json(scene))
    return str(path)


def refused(request: Request) -> str:
    with pytest.raises(InputError) as caught:
        open_source(request)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_dataset_is_explained_by_the_shipped_model_that_fits(data: Path) -> None:
    source = open_source(Request(str(data), num=3))
    assert source.named is not None
    assert source.named.name == "tabletop"
    assert source.names == ("scene 0", "scene 1", "scene 2")
    assert source.images is not None
    assert source.images.shape == (3, 64, 64, 3)
    assert len(source.scenes) == 3


def test_a_model_with_a_dataset(data: Path) -> None:
    source = open_source(Request("tabletop", data=data))
    assert (len(source.scenes), source.title) == (5, "data")


def test_a_model_dreams_of_its_prior() -> None:
    source = open_source(Request("tabletop", num=4, seed=9))
    assert source.images is None
    assert source.named is not None
    prior = source.named.model.prior
    assert list(source.scenes) == ScenePrior(prior).sample_batch(np.random.default_rng(9), 4).to_scenes()


def test_a_model_folder_and_a_run_folder(weights: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert "this run is not finished" in refused(Request(str(run)))
    (run / "model").symlink_to(weights)
    for folder in (weights, run):
        source = open_source(Request(str(folder), num=2))
        assert source.title == f"dreams of {folder.name}"
        assert len(source.scenes) == 2


def test_a_scene_file(tmp_path: Path) -> None:
    known = write(tmp_path / "known.json", Scene((SceneObject.upright("mug", 0.0, 0.0),)))
    source = open_source(Request(known))
    assert source.named is not None
    assert source.named.name == "tabletop"
    assert len(source.scenes) == 1
    strange = write(tmp_path / "strange.json", Scene((SceneObject.upright("teapot", 0.0, 0.0),)))
    assert open_source(Request(strange)).named is None
    assert "it does not know 'teapot'" in refused(Request(strange, model="tabletop"))
    crowd = write(tmp_path / "crowd.json", Scene(tuple(SceneObject.upright("mug", 0.1 * i, 0.0) for i in range(-2, 2))))
    assert "4 objects, it knows 0 to 3" in refused(Request(crowd, model="tabletop"))
    wide = write(tmp_path / "wide.json", Scene(table=Table(radius_m=0.5)))
    assert "another table" in refused(Request(wide, model="tabletop"))


def test_scenes_without_a_model_are_drawn_in_their_own_shape(tmp_path: Path) -> None:
    """A rolled camera, a cloth, a lamp, a patterned mug on its side, for images half as wide again as high."""
    half = math.sqrt(0.5)
    mug = SceneObject("mug", (0.0, 0.0, 0.05), (half, half, 0.0, 0.0), texture="checker-2")
    light = Light(lamps=(Lamp(0.0, 1.0, 0.3),))
    scene = Scene((mug,), Orbit(roll_rad=0.2), light=light, cloth=Cloth((0.0, 0.0, 1.0)))
    path = tmp_path / "mine.json"
    path.write_text(scene_to_json(scene, size=(90, 60)))
    (entry,) = bare_entries(open_source(Request(str(path))), Args(str(path), renderer="raster"))
    assert entry.inferred is None
    assert entry.truth == scene
    height, width = entry.image.shape[:2]
    assert width == 1.5 * height
    blue = (entry.image[..., 2] > 2 * entry.image[..., 0].clip(8)).mean()
    assert blue > 0.2, "the cloth"


def test_a_model_that_does_not_fit_the_data_is_refused(data: Path) -> None:
    assert "does not fit" in refused(Request(str(data), model="single-object"))


def test_a_dataset_that_no_shipped_model_fits(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    generate(folder, num=1, size=32)
    source = open_source(Request(str(folder)))
    assert source.named is None, "it is shown without an inference"
    assert source.images is not None
    assert source.images.shape == (1, 32, 32, 3)


def test_what_cannot_be_shown(data: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no dataset, run or model" in refused(Request(str(empty)))
    assert "does not exist" in refused(Request(str(tmp_path / "nowhere")))
    assert "tabletop" in refused(Request("table-tap"))
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"")
    assert "no scene (.json)" in refused(Request(str(picture)))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert "not JSON" in refused(Request(str(broken)))
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "config.json").write_text(json.dumps({"content": "scenes"}))
    assert "neither a model nor a complete dataset" in refused(Request(str(unfinished)))
    assert "--data goes with" in refused(Request(str(data), data=data))
    assert "--model goes with" in refused(Request("tabletop", model="tabletop"))
    assert "does not exist" in refused(Request(str(data), model="nobody"))
    assert tabletop_prior().kinds == ("mug", "plate", "bowl")


@pytest.mark.parametrize("values", [{"num": 0}, {"seed": -1}, {"seed": 2**63}])
def test_numbers_out_of_range(values: dict[str, int]) -> None:
    with pytest.raises(InputError, match="view: --"):
        Request("tabletop", **values)
