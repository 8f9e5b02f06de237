"""Backdrops and sensors of whole datasets: masks stay exact, streams apart, bytes the same for any workers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from air3d.datasets.backdrop import FORMULAS, Backdrop, draw_backdrop
from air3d.datasets.config import GenerateConfig
from air3d.datasets.generation import generate_scenes
from air3d.datasets.picture_folder import read_picture_folder
from air3d.datasets.reader import SceneDataset
from air3d.datasets.sensor import Sensor
from air3d.renderers.analytic import AnalyticRenderer
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError

ALL = Sensor(1.0, 1.0, 1.0, 1.0)


def _scenes(config, count=6, pictures=()):
    return list(generate_scenes(config, range(count), AnalyticRenderer(config.render_config), pictures))


@pytest.fixture(scope="module")
def varied(config):
    return replace(config, backdrop=Backdrop(1.0), sensor=ALL)


def test_masks_poses_and_scenes_stay_exact(config, varied):
    for plain, taken in zip(_scenes(config), _scenes(varied), strict=True):
        assert taken.scene == plain.scene and taken.redraws == plain.redraws
        assert np.array_equal(taken.segmentation, plain.segmentation)
        assert np.array_equal(taken.alone, plain.alone)
        assert not np.array_equal(taken.image, plain.image)
        assert not np.array_equal(taken.depth_m, plain.depth_m)
        assert taken.photograph["backdrop"] in FORMULAS and not plain.photograph


def test_a_backdrop_is_behind_everything_and_alters_colour_alone(config):
    for plain, taken in zip(_scenes(config), _scenes(replace(config, backdrop=Backdrop(1.0))), strict=True):
        behind = np.isinf(plain.depth_m)
        assert behind.any() and np.array_equal(taken.depth_m, plain.depth_m)
        assert np.array_equal(taken.image[~behind], plain.image[~behind])
        assert not np.array_equal(taken.image[behind], plain.image[behind])


def test_half_strength_leaves_half_of_the_scenes_as_they_are(config):
    half = _scenes(replace(config, backdrop=Backdrop(0.5)), 200)
    bare = sum(item.photograph["backdrop"] is None for item in half)
    assert 60 < bare < 140  # 100 +- 7


def test_backdrops_do_not_depend_on_the_sensor(config, varied):
    """What a backdrop is and how a picture is taken have streams of their own."""
    backdrop = [item.photograph["backdrop"] for item in _scenes(replace(config, backdrop=Backdrop(1.0)))]
    assert backdrop == [item.photograph["backdrop"] for item in _scenes(varied)]
    alone = [item.photograph for item in _scenes(replace(config, sensor=Sensor(blur=1.0)))]
    together = [item.photograph for item in _scenes(varied)]
    assert [item["blur_sd_px"] for item in alone] == [item["blur_sd_px"] for item in together]


def test_a_scene_is_the_same_alone_and_in_a_batch(varied):
    together = _scenes(varied)
    alone = next(generate_scenes(varied, [4], AnalyticRenderer(varied.render_config)))
    assert np.array_equal(alone.image, together[4].image)
    assert np.array_equal(alone.depth_m, together[4].depth_m)


def test_the_same_bytes_for_any_number_of_workers(varied, generate, digests, tmp_path):
    generate(varied, tmp_path / "one", workers=1)
    generate(varied, tmp_path / "two", workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    sample, made = SceneDataset(tmp_path / "one")[3], _scenes(varied)[3]
    assert np.array_equal(sample["image"], made.image)
    assert sample["annotations"]["photograph"] == json.loads(json.dumps(made.photograph))


def test_configs_without_them_are_written_as_before(config, varied):
    assert {"backdrop", "sensor"}.isdisjoint(config_to_dict(config))
    assert config_from_dict(GenerateConfig, config_to_dict(varied), "test") == varied
    assert varied.picture_strengths == {"backdrop": 1.0, "blur": 1.0, "noise": 1.0, "jpeg": 1.0, "depth_noise": 1.0}
    assert config.picture_strengths == {}


def test_every_kind_of_backdrop_is_drawn_and_fills_the_image():
    drawn = [draw_backdrop(np.random.default_rng(seed), 24, 40) for seed in range(100)]
    assert {name for name, _ in drawn} == set(FORMULAS)
    colours = {name: len(np.unique(rgb.reshape(-1, 3), axis=0)) for name, rgb in drawn}
    assert colours["plain"] == 1 and colours["checker"] <= 2 and colours["stripes"] <= 2
    assert colours["gradient"] > 10 and colours["waves"] > 10
    assert all(rgb.shape == (24, 40, 3) and rgb.dtype == np.uint8 for _, rgb in drawn)


def test_pieces_of_pictures_are_pieces_of_them():
    """Red grows to the right and green downwards, so a piece tells where it comes from and how it is scaled."""
    picture = np.zeros((120, 240, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(240), np.arange(120)[:, None]
    pieces = [draw_backdrop(np.random.default_rng(seed), 30, 40, [picture]) for seed in range(60)]
    pieces = [rgb.astype(float) for name, rgb in pieces if name == "picture"]
    assert 15 < len(pieces) < 45  # half of them
    for rgb in pieces:
        across, down = np.diff(rgb[..., 0], axis=1), np.diff(rgb[..., 1], axis=0)
        assert abs(abs(across.mean()) - down.mean()) < 0.1 and 1.9 < down.mean() < 4.1


def test_a_folder_is_known_by_content_and_reduced(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"a.png": (50, 80), "b.png": (30, 20)}
    pictures = {name: rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for name, shape in shapes.items()}
    for folder, names in (("one", ("a.png", "b.png")), ("two", ("z.png", "b.png")), ("three", ("a.png",))):
        (tmp_path / folder).mkdir()
        for name, source in zip(names, ("a.png", "b.png"), strict=False):
            Image.fromarray(pictures[source]).save(tmp_path / folder / name)
    one, two, three = (read_picture_folder(tmp_path / name, 25) for name in ("one", "two", "three"))
    assert one.sha256 == two.sha256 != three.sha256 and len(one.sha256) == 64
    assert sorted(rgb.shape for rgb in one.pictures) == [(25, 40, 3), (30, 20, 3)]
    assert all(np.array_equal(a, b) for a, b in zip(one.pictures, two.pictures, strict=True))
    assert read_picture_folder(tmp_path / "one", 50).sha256 != one.sha256


def test_folders_that_cannot_be_used_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no such folder"):
        read_picture_folder(tmp_path / "none", 32)
    with pytest.raises(InputError, match="holds no pictures"):
        read_picture_folder(tmp_path, 32)
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"bad\.png"):
        read_picture_folder(tmp_path, 32)
    (tmp_path / "bad.png").unlink()
    Image.new("RGB", (64, 64)).save(tmp_path / "good.png")
    monkeypatch.setattr("air3d.datasets.picture_folder.MAX_BYTES", 64)
    with pytest.raises(InputError, match="use fewer pictures"):
        read_picture_folder(tmp_path, 32)


def test_pictures_reach_the_dataset(config, tmp_path):
    Image.new("RGB", (64, 64), (10, 20, 30)).save(tmp_path / "flat.png")
    folder = read_picture_folder(tmp_path, 64)
    made = _scenes(replace(config, backdrop=Backdrop(1.0, folder.sha256)), 20, folder.pictures)
    cut = [item for item in made if item.photograph["backdrop"] == "picture"]
    assert cut and all((item.image[np.isinf(item.depth_m)] == (10, 20, 30)).all() for item in cut)
