"""`air3d inspect`: numbers counted a second way, damage named, a sheet with boxes where the annotations put them."""

from __future__ import annotations

import json
import math
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.config import GenerateConfig
from air3d.datasets.contact_sheet import choose_samples, contact_sheet
from air3d.datasets.generation import generate_scenes
from air3d.datasets.reader import SceneDataset
from air3d.datasets.samples import decode_sample, encode_sample
from air3d.datasets.summary import summarise
from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import PICTURES_VERSION
from air3d.scene3d.presets import tabletop_prior


def documents(folder):
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            yield from (json.load(tar.extractfile(m)) for m in tar if m.name.endswith("scene.json"))


def test_numbers(dataset, capsys):
    assert main(["inspect", str(dataset), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    scenes = [d["scene"] for d in documents(dataset)]
    counts = [len(scene["objects"]) for scene in scenes]
    kinds = [item["kind"] for scene in scenes for item in scene["objects"]]
    assert found["objects"] == {str(n): counts.count(n) for n in range(4)}
    assert found["kinds"] == {kind: kinds.count(kind) for kind in ("mug", "plate", "teapot")}
    for name, span in found["camera"].items():
        values = [scene["camera"]["orbit"].get(name, 0.0) for scene in scenes]
        assert span == [min(values), max(values)]
    for name, span in found["intrinsics_px"].items():
        values = [scene["camera"][name] for scene in scenes]
        assert span == [min(values), max(values)]
    assert found["image_size"] == 32
    fractions = [item["visible_fraction"] for d in documents(dataset) for item in d["objects"]]
    assert found["visible_fraction"]["50%"] == float(np.median(fractions))
    assert found["samples"] == 22 and found["shards"] == 3 and found["verified"] is True
    assert found["size_bytes"] == sum(path.stat().st_size for path in dataset.glob("*.tar"))


def test_tables_name_what_matters(dataset, capsys):
    assert main(["inspect", str(dataset), "--no-verify"]) == 0
    text = capsys.readouterr().out
    for words in ("22 in 3 shards", "not verified", "32x32", "teapot: ", "camera elevation", "40.0 degrees"):
        assert words in text


@pytest.mark.parametrize("made, said", [("1", True), (None, True), ("2", False), ("3", False)])
@pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL context can be made here")
def test_pictures_from_before_sheets_were_drawn_rightly_are_named(tmp_path, capsys, made, said):
    command = [
        "generate",
        "tabletop",
        str(tmp_path / "own"),
        "--num",
        "1",
        "--seed",
        "0",
        "--renderer",
        "gl",
        "--size",
        "16",
    ]
    own = ["--kinds", "shell@c8f3e2c3a1d8", "--min-objects", "1", "--max-objects", "1"]
    assert main([*command, *own]) == 0
    manifest = json.loads((tmp_path / "own/manifest.json").read_text())
    assert [made["pictures"] for made in manifest["made_with"]] == [str(PICTURES_VERSION)]
    manifest["made_with"][0]["pictures"] = made
    if made is None:
        del manifest["made_with"][0]["pictures"]
    (tmp_path / "own/manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "own")]) == 0
    assert ("speckled open surfaces" in capsys.readouterr().out) is said


def test_only_what_was_speckled_is_called_so(dataset):
    old = replace(summarise(SceneDataset(dataset)), made_with=({"air3d": "0.1.0"},), kinds={"shell@c8f3e2c3a1d8": 3})
    for renderer, detail, wrong in (
        ("gl", "inference", True), ("gl_pool", "inference", True), ("layers", "inference", True),
        ("gl", "display", False), ("warp", "inference", True), ("warp", "display", True),
        ("raster", "inference", False),
    ):  # fmt: skip
        assert (replace(old, renderer=renderer, detail=detail).speckled is not None) is wrong, (renderer, detail)
    assert replace(old, renderer="gl", kinds={"mug": 3}).speckled is None, "the catalog is closed"


def test_damage_is_named_in_one_line(dataset, tmp_path, capsys):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    data = bytearray((copy / "shard-000001.tar").read_bytes())
    data[-1] ^= 1  # beyond the last sample, where only the sha256 can tell
    (copy / "shard-000001.tar").write_bytes(data)
    assert main(["inspect", str(copy)]) == 2
    message = capsys.readouterr().err
    assert "shard-000001.tar: damaged" in message and message.count("\n") == 1
    assert main(["inspect", str(copy), "--no-verify"]) == 0


@pytest.mark.parametrize("sheet", ["sheet.jpg", "/proc/sheet.png", "nowhere/sheet.png"])
def test_sheets_that_cannot_be_written(dataset, tmp_path, monkeypatch, capsys, sheet):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", str(dataset), "--sheet", sheet]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_sheet_file(dataset, tmp_path):
    path = tmp_path / "sheet.png"
    assert main(["inspect", str(dataset), "--sheet", str(path)]) == 0
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width > 1000
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_samples_on_the_sheet_are_spread():
    assert choose_samples(3) == [0, 1, 2]
    chosen = choose_samples(1000)
    assert len(chosen) == 24 and (chosen[0], chosen[-1]) == (0, 999)


def test_axes_on_wide_tiles_start_where_the_camera_matrix_says():
    prior = tabletop_prior(("mug",), 1, 1)
    prior = replace(prior, camera=replace(prior.camera, roll_rad=(0.3, 0.3), shift_right=(0.2, 0.2)))
    config = GenerateConfig("tabletop", 1, 0, prior, (48, 32), renderer="analytic")
    with make_renderer(config.render_config, "analytic") as renderer:
        (made,) = generate_scenes(config, [0], renderer)
    sample = decode_sample(encode_sample(made), config.image_size)
    sheet, factor, gap = contact_sheet([sample]), round(256 / 48), 6
    assert sheet.shape == (32 * factor + 2 * gap, 48 * factor + 2 * gap, 3)
    annotations = sample["annotations"]
    pose = np.array(annotations["camera"]["intrinsics"]) @ np.array(annotations["objects"][0]["object_to_camera"])[:3]
    ends = pose @ np.array([[0, 0, 0, 1], [0, 0, 0.06, 1]]).T
    ends = (ends[:2] / ends[2] + 0.5).T * factor - 0.5 + gap
    blue = np.argwhere((sheet == [0x60, 0xA0, 0xFF]).all(axis=-1))[:, ::-1]
    np.testing.assert_allclose(blue.min(axis=0), ends.min(axis=0), atol=2)
    np.testing.assert_allclose(blue.max(axis=0), ends.max(axis=0), atol=2)


def test_boxes_and_axes_are_drawn_where_they_belong(dataset):
    sample = next(s for s in SceneDataset(dataset) if len(s["scene"].objects) == 1)
    sheet = contact_sheet([sample])
    factor, gap = 256 // 32, 6
    x0, y0, x1, y1 = sample["annotations"]["objects"][0]["visible_box"]
    yellow = np.argwhere((sheet == [0xFF, 0xE1, 0x4D]).all(axis=-1)) - gap
    assert yellow.min(axis=0).tolist() == [y0 * factor, x0 * factor]
    assert yellow.max(axis=0).tolist() == [y1 * factor - 1, x1 * factor - 1]
    # The blue axis starts at the origin of the object on the table and goes straight up, 6 cm.
    camera, item = sample["scene"].camera, sample["scene"].objects[0]
    az, el = camera.azimuth_rad, camera.elevation_rad
    focal = 16 / math.tan(camera.fovy_rad / 2)
    right = np.array([-math.sin(az), math.cos(az), 0])
    up = np.array([-math.sin(el) * math.cos(az), -math.sin(el) * math.sin(az), math.cos(el)])
    back = np.cross(right, up)

    def pixel(point):
        depth = camera.distance_m - point @ back
        return np.array([15.5 - focal * (point @ up) / depth, 15.5 + focal * (point @ right) / depth])

    blue = np.argwhere((sheet == [0x60, 0xA0, 0xFF]).all(axis=-1)) - gap
    base, tip = (pixel(np.array([item.x_m, item.y_m, z])) for z in (0.0, 0.06))
    expected = (np.array([tip[0], base[0]]) + 0.5) * factor - 0.5
    assert abs(blue[:, 0].min() - expected[0]) <= 2
    assert abs(blue[:, 0].max() - expected[1]) <= 2
