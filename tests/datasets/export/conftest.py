"""Small datasets of the software rasteriser, exported; and a second, plain rasteriser to check them with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from air3d.datasets.build import Build
from air3d.datasets.config import GenerateConfig
from air3d.datasets.export.bop import BopExport
from air3d.datasets.reader import SceneDataset
from air3d.datasets.recipe import SceneRecipe
from air3d.renderers.choice import make_renderer
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene

Floats = NDArray[np.float64]
RASTER = partial(make_renderer, backend="raster", workers=1)


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory) -> Callable[..., Path]:
    """make_dataset(near, **changes): scenes of all kinds; near: the camera comes so close that objects are cut off.

    odd: it is rolled and shifted, and its pixels are not square.
    """

    def make(near: bool = False, odd: bool = False, **changes: object) -> Path:
        prior = tabletop_prior(kinds=tuple(CATALOG), max_objects=4, min_objects=1 if near else 0)
        if near:
            prior = replace(prior, camera=replace(prior.camera, distance_m=(0.3, 0.5)))
        if odd:
            numbers = {"roll_rad": (0.2, 0.4), "shift_right": (0.2, 0.2), "shift_down": (-0.1, -0.1), "fx_over_fy": 1.2}
            prior = replace(prior, camera=replace(prior.camera, **numbers))
        config = GenerateConfig("tabletop", 20, 1, prior, 64, renderer="raster", min_visible=0.0, scenes_per_shard=8)
        config = replace(config, **changes)
        folder = tmp_path_factory.mktemp("scenes") / "made"
        with Build(config, folder) as build:
            build.run(SceneRecipe(config, RASTER), {"renderer": "raster"}, 1, lambda scenes: None)
        return folder

    return make


@pytest.fixture(scope="session")
def scenes(make_dataset) -> Path:
    """20 scenes in 3 shards, the last one short; read only."""
    return make_dataset()


@pytest.fixture(scope="session")
def near_scenes(make_dataset) -> Path:
    """Scenes with objects that the picture's edge cuts off; read only."""
    return make_dataset(near=True, num=8)


@pytest.fixture(scope="session")
def wide_scenes(make_dataset) -> Path:
    """Near scenes in wide images by rolled, shifted cameras without square pixels; read only."""
    return make_dataset(near=True, num=8, odd=True, size=(96, 64))


@pytest.fixture(scope="session")
def wide_bop(wide_scenes, export_bop, tmp_path_factory) -> Path:
    """The wide scenes as a BOP dataset; read only."""
    return export_bop(wide_scenes, tmp_path_factory.mktemp("bop") / "wide")


@pytest.fixture(scope="session")
def tilted_scenes(make_dataset) -> Path:
    """Scenes of objects turned anyhow and clear of the table, which no prior draws; read only."""
    draw = ScenePrior.sample

    def tilted(prior: ScenePrior, rng: np.random.Generator) -> Scene:
        scene = draw(prior, rng)
        items = (
            replace(
                item,
                position_m=(*item.position_m[:2], rng.uniform(0.25, 0.3)),
                rotation_wxyz=np.roll(Rotation.random(None, rng).as_quat(), 1),
            )
            for item in scene.objects
        )
        return replace(scene, objects=tuple(items))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScenePrior, "sample", tilted)
        return make_dataset()


@pytest.fixture(scope="session")
def export_bop() -> Callable[..., Path]:
    """export_bop(dataset, out, split, progress) runs an export; the folder."""

    def run(dataset: Path, out: Path, split: str = "test", progress=lambda images: None) -> Path:
        with BopExport(SceneDataset(dataset), out, split, "raster", RASTER) as export:
            export.run(progress)
        return out

    return run


@pytest.fixture(scope="session")
def bop(scenes, export_bop, tmp_path_factory) -> Path:
    """The scenes as a BOP dataset; read only."""
    return export_bop(scenes, tmp_path_factory.mktemp("bop") / "table")


@pytest.fixture(scope="session")
def near_bop(near_scenes, export_bop, tmp_path_factory) -> Path:
    """The near scenes as a BOP dataset; read only."""
    return export_bop(near_scenes, tmp_path_factory.mktemp("bop") / "near")


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, str]]:
    """tree(folder): sha256 of every file below it, hidden ones too."""

    def of(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return of


@pytest.fixture(scope="session")
def depth_of() -> Callable[..., Floats]:
    """depth_of(points, faces, K, height, width): depth of a mesh in the camera's frame, inf beside it."""

    def draw(points: Floats, faces: NDArray[np.int64], matrix: Floats, height: int, width: int) -> Floats:
        depth = np.full((height, width), math.inf)
        image = points @ matrix.T
        pixels = image[:, :2] / image[:, 2:]
        for face in faces:
            a, b, c = pixels[face]
            low = np.clip(np.floor(pixels[face].min(axis=0)).astype(int), 0, (width - 1, height - 1))
            high = np.clip(np.ceil(pixels[face].max(axis=0)).astype(int), 0, (width - 1, height - 1))
            x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
            area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
            if area == 0.0:
                continue
            v = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
            w = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
            inside = (v >= 0.0) & (w >= 0.0) & (v + w <= 1.0)
            nearness = (1.0 - v - w) / points[face[0], 2] + v / points[face[1], 2] + w / points[face[2], 2]
            part = depth[low[1] : high[1] + 1, low[0] : high[0] + 1]
            part[inside] = np.minimum(part[inside], 1.0 / nearness[inside])
        return depth

    return draw
