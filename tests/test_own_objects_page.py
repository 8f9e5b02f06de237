"""docs/own-objects.md: its files and commands, in the order they are written, with their sizes made small."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.objects.description import KEYS
from air3d.scene3d.own_kinds import short_name
from air3d.training import scenes as training

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "own-objects.md").read_text(encoding="utf-8")
SMALL = {"--num": "4", "--train.iterations": "2", "--size": "64"}
ADDED = {
    "generate": ["--workers", "1", "--quiet"],
    "train tabletop": ["--train.batch", "2", "--film-every", "0", "--quiet"],
    "train single": ["--train.iterations", "2", "--train.batch", "2", "--train.estimator.samples", "2", "--quiet"],
    "evaluate": ["--bound-samples", "2", "--quiet"],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def made_small(words: list[str]) -> list[str]:
    small = [SMALL.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    for command, more in ADDED.items():
        if " ".join(words).startswith(command):
            small += more
    return small


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_newcomer_gets_from_the_mesh_to_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mujoco_warp", reason="the page's mesh is among its files")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "_MEAN_DREAMS", 8)
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (toml,), (scene,), (model,) = blocks("toml"), blocks("json"), blocks("xml")
    Path("hammer.xml").write_text(model)
    Path("objects.toml").write_text(toml)
    Path("breakfast.scene.json").write_text(scene)
    done = 0
    for line in "".join(blocks("sh")).splitlines():
        if line.startswith("air3d "):
            words = made_small(shlex.split(line)[1:])
            assert main(words) == 0, f"{line}\n{capfd.readouterr().err}"
            done += 1
        else:
            subprocess.run(["bash", "-c", line], check=True)
        if line.startswith("air3d generate single"):
            # The page says that from here on a folder does as well.
            monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "another-machine"))
    assert done >= 10
    kinds = SceneDataset("data/cow").config.prior.kinds
    assert [short_name(kind) for kind in kinds] == ["mug", "plate", "cow"]
    assert SceneDataset("data/cow-test").config.prior.kinds == kinds
    assert set(json.loads(Path("answers/breakfast.scene.json").read_text())) >= {"objects", "camera"}
    assert [short_name(kind) for kind in SceneDataset("data/hammer").config.prior.kinds] == ["mug", "hammer"]
    for name in ("hammer.png", "cow.png", "cow-scenes.png", "answer.png"):
        assert np.asarray(Image.open(name)).std() > 10, name


def test_the_page_tells_of_every_key() -> None:
    for key in KEYS:
        assert re.search(rf"^\|[^|]*`{key}`", PAGE, re.MULTILINE), key


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", PAGE):
        if "://" not in target:
            assert (ROOT / "docs" / target).exists(), target
