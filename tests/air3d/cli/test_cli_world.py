"""A world through the command line: imported, edited, drawn from; its dataset carries it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.reader import SceneDataset

DESK = """
<mujoco>
  <worldbody>
    <light type="directional" dir="-1 0 -2" diffuse="0.6 0.6 0.6"/>
    <camera name="front" pos="1 -1 1.5" xyaxes="1 0 0 0 0.6 0.8" fovy="50"/>
    <geom type="box" pos="1 0 0.35" size="0.4 0.4 0.35" rgba="0.2 0.7 0.2 1"/>
    <body name="brick" pos="1 0 0.74"><freejoint/>
      <geom type="box" size="0.06 0.03 0.03" rgba="0.8 0.2 0.2 1"/></body>
    <body name="can" pos="1.2 0 0.74"><freejoint/>
      <geom type="cylinder" size="0.03 0.05" rgba="0.2 0.2 0.8 1"/></body>
  </worldbody>
</mujoco>
"""
GENERATE = "--num 6 --seed 0 --size 48 --workers 1 --renderer raster --quiet --world"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    (folder / "desk.xml").write_text(DESK)
    assert main(["world", "import", str(folder / "desk.xml"), str(folder / "desk.toml"), "--quiet"]) == 0
    return folder


def generate(out: Path, world: Path, *options: str) -> int:
    return main(["generate", "tabletop", str(out), *GENERATE.split(), str(world), *options])


def test_a_world_is_imported_drawn_from_and_carried(desk, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "empty"))  # another machine
    world = tmp_path / "moved" / "desk.toml"
    shutil.copytree(desk, world.parent)
    assert generate(tmp_path / "data", world) == 0
    shutil.rmtree(world.parent)
    shutil.rmtree(tmp_path / "empty", ignore_errors=True)
    dataset = SceneDataset(tmp_path / "data")
    for index in range(6):
        sample = dataset[index]
        assert 1 <= len(sample["scene"].objects) <= 2
        # The front of a green desk fills the lower part of the picture.
        below = sample["image"][34:44, 16:32].reshape(-1, 3).astype(int)
        assert (below[:, 1] > below[:, 0] + 20).mean() > 0.5
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "data"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["world"].startswith("desk@")
    assert main(["inspect", str(tmp_path / "data")]) == 0
    assert "world" in capsys.readouterr().out


def test_options_go_before_the_world(desk, tmp_path):
    options = "--kinds mug --min-objects 3 --max-objects 3 --repeat --pose settled --min-visible 0"
    assert generate(tmp_path / "data", desk / "desk.toml", *options.split()) == 0
    prior = SceneDataset(tmp_path / "data").config.prior
    assert (prior.kinds, prior.min_objects, prior.max_objects, prior.pose) == (("mug",), 3, 3, "settled")
    assert prior.supports and prior.table.scenery is not None


@pytest.mark.parametrize("option", ["--table square", "--camera-roll 3", "--camera-aim 3"])
def test_what_a_world_says_may_not_be_said_twice(desk, tmp_path, capsys, option):
    assert generate(tmp_path / "data", desk / "desk.toml", *option.split()) == 2
    assert option.split()[0] in capsys.readouterr().err


def test_a_wrong_world_is_one_line(desk, tmp_path, capsys):
    text = (desk / "desk.toml").read_text()
    (desk / "wrong.toml").write_text(text.replace("fovy_deg", "fov_deg"))
    assert generate(tmp_path / "data", desk / "wrong.toml") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "wrong.toml: cameras" in line and "unknown field 'fov_deg'" in line
    assert generate(tmp_path / "data", tmp_path / "gone.toml") == 2
    assert "gone.toml" in capsys.readouterr().err


def test_an_import_says_what_it_did_and_writes_over_nothing(desk, tmp_path, capsys):
    summary = tmp_path / "summary.json"
    out = tmp_path / "again.toml"
    assert main(["world", "import", str(desk / "desk.xml"), str(out), "--name", "room", "--json", str(summary)]) == 0
    err = capsys.readouterr().err
    assert "kinds: brick, can" in err and "cameras: front" in err
    assert json.loads(summary.read_text())["taken"][0] == "kinds: brick, can"
    assert 'name = "room"' in out.read_text()
    for words, said in (
        ([str(desk / "desk.xml"), str(out)], "is there already"),
        ([str(desk / "desk.xml"), str(tmp_path / "x.xml")], "must end in .toml"),
        ([str(desk / "desk.xml"), str(tmp_path / "x.toml"), "--name", "A b"], "--name"),
        ([str(tmp_path / "gone.xml"), str(tmp_path / "x.toml")], "there is no such file"),
        ([str(desk / "desk.xml"), str(tmp_path / "x.toml"), "--at", "9", "9", "9"], "no level surface"),
    ):
        assert main(["world", "import", *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x.toml").exists()
    assert np.sum([path.suffix == ".toml" for path in tmp_path.iterdir()]) == 1


def test_a_world_is_inspected(desk, tmp_path, capsys):
    assert main(["inspect", str(desk / "desk.toml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kinds"] == "brick, can" and told["cameras"] == "front" and told["objects"].startswith("1 to 2")
    assert told["world"].startswith("desk@") and " cm at (0, 0, 0) m" in told["supports"]
    assert main(["inspect", str(desk / "desk.toml"), "--sheet", str(tmp_path / "sheet.png")]) == 0
    picture = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    assert picture.shape == (3 * 192, 4 * 192, 3)
    # A green desk in the lower half of every tile.
    tiles = picture.reshape(3, 192, 4, 192, 3).transpose(0, 2, 1, 3, 4)[:, :, 120:170, 80:110]
    assert ((tiles[..., 1] > tiles[..., 0] + 20).mean(axis=(2, 3)) > 0.5).all()
    (desk / "odd.toml").write_text('schema = "air3d-world/7"')
    assert main(["inspect", str(desk / "odd.toml")]) == 2
    assert "odd.toml" in capsys.readouterr().err
