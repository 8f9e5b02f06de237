"""Makes the datasets of an experiment when they are not there yet."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import air3d
from air3d.datasets.build import Build, Part, versions
from air3d.datasets.config import GenerateConfig, default_scenes_per_shard
from air3d.datasets.labelled import Labelled, load_labelled
from air3d.datasets.recipe import SceneRecipe
from air3d.renderers.choice import choose_backend, make_renderer
from air3d.scene3d.kind import Detail
from air3d.scene3d.prior import PriorConfig


def labelled(
    folder: Path, preset: str, prior: PriorConfig, num: int, seed: int, size: int = 64, detail: Detail = "inference"
) -> Labelled:
    """Load `num` scenes drawn with `seed` by the defaults of `air3d generate`; made once and kept in `folder`."""
    backend = choose_backend(detail, reference=True).backend
    config = GenerateConfig(
        preset=preset,
        num=num,
        seed=seed,
        prior=prior,
        size=size,
        detail=detail,
        renderer=backend,
        scenes_per_shard=default_scenes_per_shard(num),
    )
    with Build(config, folder, Part.parse("0/1")) as build:
        made_with = versions(air3d.__version__, backend)
        recipe = SceneRecipe(config, partial(make_renderer, backend=backend, workers=1))
        build.run(recipe, made_with, 1, lambda scenes: None)
    return load_labelled(folder)
