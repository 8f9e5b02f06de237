"""Posterior samples as ArviZ reads them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

import air3d
from air3d.cli.main import main
from air3d.evaluation.netcdf import netcdf, posterior_tree
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene_json import scene_from_dict

arviz = pytest.importorskip("arviz")

SCENES = ScenePrior(tabletop_prior()).sample_batch(np.random.default_rng(0), 40)
LIKELIHOOD, PICTURE = np.linspace(-5.0, 0.0, 40), np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def test_arviz_reads_what_the_samples_are(tmp_path: Path) -> None:
    weight = np.full(40, 1.0 / 40)
    (tmp_path / "a.nc").write_bytes(netcdf(posterior_tree(SCENES, LIKELIHOOD, PICTURE, weight)))
    found = arviz.from_netcdf(tmp_path / "a.nc")
    posterior, stats = found.posterior, found.sample_stats
    assert dict(posterior.sizes) == {
        "chain": 1, "draw": 40, "slot": 3, "axis": 3, "quaternion": 4, "channel": 3,
    }  # fmt: skip
    for name in ("kind", "position_m", "rotation_wxyz", "camera_distance_m", "light_diffuse"):
        assert np.array_equal(posterior[name].values[0], getattr(SCENES, name)), name
    assert np.array_equal(posterior["count"].values[0], SCENES.present.sum(1))
    names = dict(zip(posterior["kind"].flag_values.tolist(), posterior["kind"].flag_meanings.split(), strict=True))
    assert names == {-1: "empty", 0: "mug", 1: "plate", 2: "bowl"}
    assert np.array_equal(stats["log_likelihood"].values[0], LIKELIHOOD) and (stats["weight"] == 1.0 / 40).all()
    assert np.array_equal(found.observed_data["image"].values, PICTURE)
    height = posterior["position_m"].sel(axis="z").values
    assert np.array_equal(height[0], SCENES.position_m[..., 2])
    summary = arviz.summary(found, var_names=["camera_distance_m"], kind="stats")
    assert summary["mean"].iloc[0] == pytest.approx(SCENES.camera_distance_m.mean(), abs=1e-3)


def test_the_file_is_the_same_every_time() -> None:
    one, two = (netcdf(posterior_tree(SCENES, LIKELIHOOD, PICTURE)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("moves", [0, 1])
def test_infer_writes_the_samples_that_its_json_has(tmp_path: Path, moves: int) -> None:
    (picture,) = air3d.render(SCENES[0], size=64, renderer="raster")
    iio.imwrite(tmp_path / "p.png", picture)
    line = ["infer", "tabletop", str(tmp_path / "p.png"), "--out", str(tmp_path / "o"), "--samples", "6", "--netcdf"]
    assert main([*line, "--moves", str(moves)]) == 0
    found = arviz.from_netcdf(tmp_path / "o" / "p.samples.nc")
    rows = json.loads((tmp_path / "o" / "p.samples.json").read_text())["samples"]
    told = {round(float(scene_from_dict(row["scene"]).camera.azimuth_rad), 6) for row in rows}
    assert told == set(np.round(found.posterior["camera_azimuth_rad"].values[0], 6).tolist())
    assert ("weight" in found.sample_stats) == (moves == 0)
    if not moves:
        assert sorted(row["weight"] for row in rows) == pytest.approx(sorted(found.sample_stats["weight"].values[0]))


def test_python_gives_the_same_tree() -> None:
    (picture,) = air3d.render(SCENES[0], size=64, renderer="raster")
    with air3d.posterior("tabletop", picture, samples=5, moves=1, renderer="raster") as belief:
        tree = belief.to_xarray()
        found = tree["posterior"]["camera_elevation_rad"].values[0].tolist()
        assert found == [scene.camera.elevation_rad for scene in belief.samples]
        assert np.array_equal(tree["observed_data"]["image"].values, picture)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "h5py" else found(name))
    with pytest.raises(InputError, match=r"need the package 'h5py': pip install 'air3d\[arviz\]'"):
        posterior_tree(SCENES, LIKELIHOOD, PICTURE)


def test_netcdf_needs_samples(refused: Any, tmp_path: Path) -> None:
    assert "--netcdf writes samples" in refused("infer", "tabletop", tmp_path / "p.png", "--out", tmp_path, "--netcdf")
