"""`import air3d`: light, typed, and the whole way from scenes to images and back."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import air3d
from datasets.config import GenerateConfig
from datasets.generation import generate_scenes
from renderers.choice import make_renderer
from renderers.protocol import RenderConfig
from scene3d.batch import SceneBatch
from scene3d.errors import InputError

ROOT = Path(air3d.__file__).resolve().parent.parent


def test_importing_loads_nothing_and_every_name_is_there() -> None:
    code = (
        "import sys, air3d\n"
        "assert not {'torch', 'mujoco', 'numpy', 'scipy', 'tyro'} & set(sys.modules)\n"
        "assert set(air3d.__all__) <= set(dir(air3d))\n"
        "print([getattr(air3d, name).__name__ for name in air3d.__all__])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == str(air3d.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = air3d.nonsense


def test_generated_scenes_are_those_of_a_dataset() -> None:
    prior = air3d.tabletop_prior(kinds=("mug", "plate"), min_objects=1)
    scenes = air3d.generate(6, seed=5, prior=prior)
    assert air3d.generate(3, seed=5, prior=prior) == scenes[:3], "scene i depends on the seed and i alone"
    config = GenerateConfig(
        preset="tabletop",
        num=6,
        seed=5,
        prior=prior,
        size=16,
        detail="inference",
        renderer="analytic",
        min_visible=0.0,
        scenes_per_shard=6,
    )
    with make_renderer(RenderConfig(prior.kinds, prior.table, 3, 16, 16), "analytic") as renderer:
        made = [one.scene for one in generate_scenes(config, range(6), renderer)]
    assert made == scenes
    assert air3d.generate(0, seed=0) == []


def test_a_scene_comes_back_from_its_image() -> None:
    prior = air3d.single_prior()
    scenes = air3d.generate(4, seed=3, prior=prior)
    images = air3d.render(scenes, renderer="raster")
    assert images.shape == (4, 64, 64, 3) and images.dtype == np.uint8
    answers = air3d.infer(air3d.load("single-object"), images, renderer="raster")
    for true, found in zip(scenes, answers, strict=True):
        (thing,), (seen,) = true.objects, found.objects
        assert thing.kind == seen.kind
        assert np.hypot(thing.x_m - seen.x_m, thing.y_m - seen.y_m) < 0.02, "the shipped weights' p90 is 3 mm"
    # Drawn again, an answer looks like the image it explains, and like no other.
    again = air3d.render(answers, renderer="raster").astype(float)
    error = np.square(again[:, None] - images[None].astype(float)).mean(axis=(2, 3, 4))
    assert (error.argmin(axis=1) == np.arange(4)).all()


def test_rendering_is_the_backends_and_follows_the_size() -> None:
    scenes = air3d.generate(2, seed=1)
    batch = SceneBatch.from_scenes(scenes)
    config = RenderConfig(batch.kinds, batch.table, batch.slots, 24, 24)
    with make_renderer(config, "analytic") as renderer:
        expected = renderer.render(batch)
    np.testing.assert_array_equal(air3d.render(scenes, size=24, renderer="analytic"), expected)


def test_unusable_input_is_refused_in_one_line() -> None:
    model = air3d.load("single-object")
    for call, words in (
        (lambda: air3d.generate(-1, seed=0), "num is -1"),
        (lambda: air3d.generate(1, seed=-1), "seed is -1"),
        (lambda: air3d.load("tabletop"), "did you mean 'table-top'?"),
        (lambda: air3d.infer(model, np.zeros((1, 32, 32, 3), dtype=np.uint8)), "(B, 64, 64, 3)"),
        (lambda: air3d.infer(model, np.zeros((1, 64, 64, 3))), "float64"),
        (lambda: air3d.infer(model, np.zeros((0, 64, 64, 3), dtype=np.uint8)), "at least 1"),
        (lambda: air3d.infer(model, np.zeros((1, 64, 64, 3), dtype=np.uint8), refine=-1), "renders"),
    ):
        with pytest.raises(InputError, match=re.escape(words)) as refused:
            call()
        assert "\n" not in str(refused.value)
