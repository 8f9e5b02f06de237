"""docs/worlds.md: its scene is imported and drawn from as it says, and its `world.toml` is one."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.own_kinds import short_name
from air3d.scene3d.world_file import CameraEntry, JitterEntry, OrbitEntry, SupportEntry, WorldEntry, read_world

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "worlds.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_scene_of_the_page_becomes_a_world(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (scene,), (toml,), (commands,) = blocks("xml"), blocks("toml"), blocks("sh")
    Path("kitchen.xml").write_text(scene)
    for line in commands.splitlines():
        words = shlex.split(line.replace("--num 200", "--num 4 --workers 1 --quiet").replace("128", "64"))[1:]
        assert main(words) == 0, f"{line}\n{capsys.readouterr().err}"
    prior = SceneDataset("data/kitchen").config.prior
    assert [short_name(kind) for kind in prior.kinds] == ["brick", "can"] and prior.world.startswith("kitchen@")
    assert len(prior.camera.boxes) == 2 and len(prior.supports) == 1
    assert np.asarray(Image.open("kitchen.png")).std() > 10
    Path("counter.toml").write_text(toml)
    assert read_world(Path("counter.toml")).max_objects == 4


def test_the_page_tells_of_every_key():
    for part in (WorldEntry, SupportEntry, CameraEntry, JitterEntry, OrbitEntry):
        for field in fields(part):
            assert re.search(rf"^(\|[^|]*`\[*{field.name}\]*`|.*`\[*{field.name}\]*`)", PAGE, re.MULTILINE), field.name
