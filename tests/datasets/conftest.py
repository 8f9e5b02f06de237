"""A small dataset of the analytic renderer, generated once a session, and what makes others like it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from air3d.datasets.build import Build, Outcome, Part
from air3d.datasets.config import GenerateConfig
from air3d.datasets.recipe import SceneRecipe
from air3d.renderers.choice import make_renderer
from air3d.scene3d.presets import tabletop_prior

ANALYTIC = partial(make_renderer, backend="analytic")
MADE_WITH = {"air3d": "test", "renderer": "analytic"}


@pytest.fixture(scope="session")
def config() -> GenerateConfig:
    """22 scenes in 3 shards, the last one short."""
    prior = tabletop_prior(kinds=("mug", "plate", "teapot"), max_objects=3)
    return GenerateConfig("tabletop", 22, 0, prior, size=32, renderer="analytic", scenes_per_shard=8)


@pytest.fixture(scope="session")
def generate() -> Callable[..., Outcome]:
    """generate(config, folder, part, workers) runs a build with the analytic renderer."""

    def run(config: GenerateConfig, folder: Path, part: str = "0/1", workers: int = 1) -> Outcome:
        with Build(config, folder, Part.parse(part)) as build:
            return build.run(SceneRecipe(config, ANALYTIC), MADE_WITH, workers, lambda scenes: None)

    return run


@pytest.fixture(scope="session")
def dataset(config, generate, tmp_path_factory) -> Path:
    """A complete dataset; read only."""
    folder = tmp_path_factory.mktemp("dataset") / "made"
    generate(config, folder)
    return folder


@pytest.fixture(scope="session")
def digests() -> Callable[[Path], dict[str, str]]:
    """digests(folder): sha256 of every file in it, hidden ones too, except the lock."""

    def of(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.iterdir() if path.name != ".lock")
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return of
