"""The config of a dataset: exact JSON, strict reading, differences by name, presets that keep the table in view."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from air3d.datasets.backdrop import Backdrop
from air3d.datasets.config import GenerateConfig, config_sha256, default_scenes_per_shard, first_difference
from air3d.datasets.image_size import ImageSize
from air3d.datasets.sensor import Sensor
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior, tabletop_prior


@pytest.mark.parametrize("prior", [tabletop_prior(perturb=True), single_prior(), tabletop_prior(repeat=False)])
def test_json_round_trip_is_exact(prior):
    config = GenerateConfig("tabletop", 5, 2**62 + 1, prior, min_visible=0.1 + 0.2)
    again = config_from_dict(GenerateConfig, json.loads(json.dumps(config_to_dict(config))), "config")
    assert again == config
    assert config_sha256(again) == config_sha256(config)


def test_every_field_changes_the_fingerprint_and_is_named(config):
    changes = {
        "preset": "single",
        "num": 23,
        "seed": 1,
        "prior": replace(config.prior, gap_m=0.005),
        "size": 33,
        "detail": "display",
        "renderer": "gl",
        "min_visible": 0.2,
        "max_redraws": 3,
        "scenes_per_shard": 9,
        "backdrop": Backdrop(0.5),
        "sensor": Sensor(blur=0.5),
    }
    assert changes.keys() == GenerateConfig.__dataclass_fields__.keys()
    for name, value in changes.items():
        other = replace(config, **{name: value})
        assert config_sha256(other) != config_sha256(config)
        found = first_difference(config_to_dict(config), config_to_dict(other))
        assert found is not None and found[0] == ("prior.gap_m" if name == "prior" else name)
    assert first_difference(config_to_dict(config), config_to_dict(config)) is None
    assert first_difference({"a": True}, {"a": 1}) == ("a", True, 1)


def test_square_sizes_are_one_number_and_others_two(config):
    square, wide = replace(config, size=(32, 32)), replace(config, size=np.array([48, 32]))
    assert square == config and config_to_dict(config)["size"] == 32
    assert config_to_dict(wide)["size"] == [48, 32]
    for made in (square, wide):
        assert config_from_dict(GenerateConfig, config_to_dict(made), "config") == made
    assert wide.image_size == (48, 32) and str(wide.image_size) == "48x32" and wide.image_size.pixels == 1536
    assert (wide.render_config.width, wide.render_config.height) == (48, 32)
    assert config_sha256(wide) != config_sha256(replace(config, size=(32, 48)))
    for bad in ([48], [48, 32, 1], "48x32", 48.0, True, None, [48, 2.5]):
        with pytest.raises(InputError, match="size"):
            config_from_dict(GenerateConfig, config_to_dict(config) | {"size": bad}, "config")


@pytest.mark.parametrize("text, size", [("64", (64, 64)), ("160x120", (160, 120)), ("12X99", (12, 99))])
def test_sizes_are_read(text, size):
    assert ImageSize.parse("--size", text, 8, 2048) == size


@pytest.mark.parametrize(
    "text", ["", "x", "64x", "x64", "7", "64x7", "2049", "64x64x64", "-64", "64 x 64", "6e1", "9" * 5000]
)
def test_sizes_that_are_none(text):
    with pytest.raises(InputError, match=r"^--size .*: write a side, 64, or WIDTHxHEIGHT") as caught:
        ImageSize.parse("--size", text, 8, 2048)
    assert len(str(caught.value)) < 300


def test_unknown_and_missing_fields_are_refused(config):
    plain = config_to_dict(config)
    for bad in (plain | {"nume": 1}, {k: v for k, v in plain.items() if k != "seed"}, [], plain | {"num": "many"}):
        with pytest.raises(InputError, match=r"^config: "):
            config_from_dict(GenerateConfig, bad, "config")


@pytest.mark.parametrize(
    "change",
    [
        {"num": 0},
        {"seed": -1},
        {"size": 4},
        {"size": (64, 4)},
        {"size": (64,)},
        {"size": (64, 3000)},
        {"min_visible": 1.5},
        {"detail": "x"},
        {"renderer": "auto"},
        {"num": True},
    ],
)
def test_bad_values_are_refused(config, change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(config, **change)


def test_shards_cover_all_scenes_once():
    for num in (1, 31, 32, 33, 256, 5000, 100_000):
        config = GenerateConfig("single", num, 0, single_prior(), scenes_per_shard=default_scenes_per_shard(num))
        parts = [config.shard_indices(shard) for shard in range(config.shards)]
        assert [i for part in parts for i in part] == list(range(num))
        assert all(len(part) for part in parts)
    assert default_scenes_per_shard(256) == 32  # eight shards, work for several processes
    assert default_scenes_per_shard(10**6) == 512


def test_presets_keep_the_table_in_view():
    for prior in (tabletop_prior(), single_prior()):
        spread = prior.camera
        angle = np.linspace(0, 2 * math.pi, 200)
        rim = prior.table.radius_m * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        from air3d.scene3d.orbit import Orbit

        for elevation in spread.elevation_rad:
            camera = Orbit(spread.azimuth_rad[0], elevation, spread.distance_m[0], (0, 0, 0), spread.fovy_rad[0])
            pixels, depth = camera.sized(64, 64).project(rim)
            assert depth.min() > 0
            assert pixels.min() > -0.5 - 1e-9 and pixels.max() < 63.5 + 1e-9


def test_single_preset_is_one_object_under_one_camera():
    prior = single_prior()
    assert prior.kinds == ("cube", "sphere", "cylinder")
    assert (prior.min_objects, prior.max_objects) == (1, 1)
    assert prior.camera.distance_m[0] == prior.camera.distance_m[1] < tabletop_prior().camera.distance_m[0]
