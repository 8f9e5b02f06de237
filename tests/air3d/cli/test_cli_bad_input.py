"""Bad input to `infer` and `render`: exit code 2, exactly one line, and nothing left behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.renderers.choice import make_renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scene3d.scene_json import load_scene, scene_to_json
from air3d.scenes.store import load_model

ROOT = Path(__file__).parents[3]

Refused = Callable[..., str]


def infer(weights: object, *pictures: object, out: object) -> list[str]:
    return ["infer", str(weights), *map(str, pictures), "--out", str(out), "--renderer", "analytic"]


@pytest.mark.parametrize("what", ["text", "truncated", "empty file", "empty folder", "missing", "folder named .png"])
def test_infer_what_is_no_picture(what: str, weights: Path, picture: Path, tmp_path: Path, refused: Refused) -> None:
    bad, out = tmp_path / "bad.png", tmp_path / "out"
    if what == "text":
        bad.write_text("hello\n" * 100)
    elif what == "truncated":
        bad.write_bytes(picture.read_bytes()[:1000])
    elif what == "empty file":
        bad.touch()
    elif what == "empty folder":
        bad.mkdir()
    elif what == "folder named .png":
        (bad / "inner.png").mkdir(parents=True)
    # A good picture beside it is not answered either: all or nothing.
    line = refused(*infer(weights, picture, bad, out=out))
    assert str(bad) in line
    assert not out.exists()


def test_infer_a_large_photo(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "holiday.jpg"
    rows, columns = np.mgrid[:1500, :2000]
    Image.fromarray(np.stack([rows % 256, columns % 256, (rows + columns) % 256], -1).astype(np.uint8)).save(photo)
    out = tmp_path / "out"
    assert main(infer(weights, photo, out=out)) == 0
    assert capsys.readouterr().err == ""
    assert len(load_scene(out / "holiday.scene.json").objects) == 1
    assert len(list(out.iterdir())) == 3


def test_infer_a_photo_of_another_camera(weights: Path, tmp_path: Path, refused: Refused) -> None:
    """A photograph of twice the field of view, off-centre, is answered as the same view by the model's own camera."""
    model = load_model(str(weights)).model
    size, known = model.image_size.height, model.world.camera.middle()
    wide = replace(known, fovy_rad=1.2, shift=(0.05, -0.1))
    photo = wide.sized(8 * size, 6 * size)
    with make_renderer(replace(model.render_config, height=6 * size, width=8 * size), "analytic") as renderer:
        taken = renderer.render(
            SceneBatch.from_scenes([Scene(camera=wide, table=model.prior.table)], model.prior.kinds)
        )
    with make_renderer(model.render_config, "analytic") as renderer:
        own = renderer.render(SceneBatch.from_scenes([Scene(camera=known, table=model.prior.table)], model.prior.kinds))
    Image.fromarray(taken[0]).save(tmp_path / "photo.png")
    (fx, _, cx), (_, fy, cy), _ = photo.matrix.tolist()
    command, out = infer(weights, tmp_path / "photo.png", out=tmp_path / "out"), tmp_path / "out"
    numbers = [f"{number:.3f}" for number in (fx, fy, cx, cy)]
    assert main([*command, "--intrinsics", *numbers, "--distortion", *["0"] * 5]) == 0
    with Image.open(out / "photo.comparison.png") as picture:
        seen = np.asarray(picture.resize((3 * size, size), Image.Resampling.BOX))[:, :size].astype(float)
    assert abs(seen - own).mean() < 4.0
    shutil.rmtree(out)
    assert "photo.png: has" in refused(*command, "--intrinsics", "100", "100", "5000", "20")
    assert "fx is -1" in refused(*command, "--intrinsics", "-1", "100", "50", "20")
    assert "add --intrinsics" in refused(*command, "--distortion", "0.1", "0", "0", "0", "0")
    assert not out.exists()


def test_infer_without_a_model(picture: Path, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "out"
    assert "does not exist" in refused(*infer(tmp_path / "missing", picture, out=out))
    assert "does not exist" in refused(*infer("no-such-model", picture, out=out))
    assert "stands in the model's place" in refused(*infer(picture, picture, out=out))
    assert "config.json" in refused(*infer(tmp_path, picture, out=out))
    assert not out.exists()


def test_infer_two_pictures_of_one_name(weights: Path, picture: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(picture, tmp_path / "other")
    assert "'picture'" in refused(*infer(weights, picture, tmp_path / "other", out=tmp_path / "out"))


def test_infer_into_a_file(weights: Path, picture: Path, tmp_path: Path, refused: Refused) -> None:
    before = picture.read_bytes()
    assert f"{picture} is a file" in refused(*infer(weights, picture, out=picture))
    assert str(picture) in refused(*infer(weights, picture, out=picture / "below"))
    assert picture.read_bytes() == before


def test_infer_where_a_name_is_taken_by_a_folder(
    weights: Path, picture: Path, tmp_path: Path, refused: Refused
) -> None:
    out = tmp_path / "out"
    (out / "picture.render.png").mkdir(parents=True)
    refused(*infer(weights, picture, out=out))
    assert not [path for path in out.rglob("*") if path.is_file()]
    assert [path.name for path in out.iterdir()] == ["picture.render.png"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 KiB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(folder)]
    if (
        os.getuid()
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("cannot mount here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_infer_onto_a_full_disk(weights: Path, picture: Path, small_disk: Path, refused: Refused) -> None:
    assert "No space left" in refused(*infer(weights, picture, out=small_disk / "out"))
    assert list((small_disk / "out").iterdir()) == []


def test_render_onto_a_full_disk(tmp_path: Path, small_disk: Path, refused: Refused) -> None:
    (tmp_path / "scene.json").write_text(scene_to_json(Scene((SceneObject.upright("mug", 0.0, 0.0),))))
    arguments = ("--renderer", "analytic", "--size", 2048)
    assert "No space left" in refused("render", tmp_path / "scene.json", small_disk / "a.png", *arguments)
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 1500, 4000])
def test_infer_where_files_may_not_grow(weights: Path, picture: Path, tmp_path: Path, limit: int) -> None:
    """A process that may not write more than `limit` bytes into a file."""
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-B", "-m", "air3d", *infer(weights, picture, out=out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("air3d: error: ")
    assert done.stderr.count("\n") == 1
    assert list(out.iterdir()) == []


def test_infer_into_a_folder_that_may_not_be_written(
    weights: Path, picture: Path, tmp_path: Path, refused: Refused
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    if os.getuid():
        locked.chmod(0o500)
        undo = ["chmod", "700", str(locked)]
    else:  # root may write anywhere but on a read-only file system
        command = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(locked)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("cannot mount here")
        undo = ["umount", str(locked)]
    try:
        for out in (locked, locked / "new"):
            assert str(locked) in refused(*infer(weights, picture, out=out))
        assert list(locked.iterdir()) == []
    finally:
        subprocess.run(undo, check=True)


@pytest.mark.parametrize("change", ["NaN", "Infinity", '"wide"', "null", "1e999", "[]", "-5"])
def test_render_a_scene_with_bad_numbers(change: str, tmp_path: Path, refused: Refused) -> None:
    document = json.loads(scene_to_json(Scene((SceneObject.upright("mug", 0.0, 0.0),))))
    document["objects"][0]["scale"] = "HERE"
    scene = tmp_path / "scene.json"
    scene.write_text(json.dumps(document).replace('"HERE"', change))
    assert str(scene) in refused("render", scene, tmp_path / "out.png", "--renderer", "analytic")
    assert not (tmp_path / "out.png").exists()


def test_render_other_bad_input(tmp_path: Path, picture: Path, refused: Refused) -> None:
    scene, out = tmp_path / "scene.json", tmp_path / "out.png"
    scene.write_text(scene_to_json(Scene((SceneObject.upright("mug", 0.0, 0.0),))))
    assert str(picture) in refused("render", picture, out, "--renderer", "analytic")
    assert "gone.json" in refused("render", tmp_path / "gone.json", out)
    assert "unknown ending '.gif'" in refused("render", scene, tmp_path / "out.gif")
    assert "of 1 to 4096 pixels each" in refused("render", scene, out, "--size", 0, "--renderer", "analytic")
    assert "of 1 to 4096 pixels each" in refused("render", scene, out, "--size", 100_000, "--renderer", "analytic")
    assert str(picture) in refused("render", scene, picture / "out.png", "--renderer", "analytic", "--size", 16)
    assert {path.name for path in tmp_path.iterdir()} == {"scene.json", "picture.png"}
