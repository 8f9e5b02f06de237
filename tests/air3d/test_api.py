"""`import air3d`: light, typed, and the whole way from scenes to images and back."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import air3d
from air3d.datasets.config import GenerateConfig
from air3d.datasets.generation import generate_scenes
from air3d.datasets.image_size import ImageSize
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError

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
    wide = air3d.render(scenes, size=(16, 24), renderer="analytic")
    assert wide.shape[1:] == (16, 24, 3)
    np.testing.assert_array_equal(air3d.render(scenes, size=ImageSize(24, 16), renderer="analytic"), wide)


def test_natural_arguments_work(tmp_path: Path) -> None:
    """One scene for several, names for models, paths, numbers of every library, pictures of every form."""
    prior = air3d.single_prior()
    (scene,) = scenes = air3d.generate(np.int64(1), seed=np.uint8(3), prior=prior)  # type: ignore[arg-type]
    expected = air3d.render(scenes, renderer="raster")
    for given in (scene, (scene,), iter(scenes), SceneBatch.from_scenes(scenes)):
        np.testing.assert_array_equal(air3d.render(given, np.int64(64), renderer="raster"), expected)  # type: ignore[arg-type]
    assert air3d.render(scene, (24, 40), renderer="raster").shape == (1, 24, 40, 3)
    assert air3d.render(scene, np.array([24, 40]), renderer="raster").shape == (1, 24, 40, 3)  # type: ignore[arg-type]
    np.testing.assert_array_equal(air3d.render(scene, [64, 64], renderer="raster"), expected)  # type: ignore[arg-type]
    one = air3d.tabletop_prior("mug", np.int32(1), np.int64(2))  # type: ignore[arg-type]
    assert one == air3d.tabletop_prior(["mug"], 1, 2) == air3d.tabletop_prior(("mug",), 1, 2)  # type: ignore[arg-type]
    assert hash(one) == hash(air3d.tabletop_prior(("mug",), 1, 2)) and type(one.max_objects) is int
    path = tmp_path / "scene.json"
    path.write_text(air3d.scene_to_json(scene))
    assert air3d.load_scene(str(path)) == air3d.load_scene(path) == scene  # type: ignore[arg-type]

    picture = tmp_path / "picture.png"
    Image.fromarray(expected[0]).save(picture)
    answers = air3d.infer(air3d.load("single-object"), expected, renderer="raster")
    for images in (
        *(
            expected[0],
            expected / 255.0,
            torch.from_numpy(expected),
            [expected[0]],
            str(picture),
            tmp_path / "picture.png",
        ),
        *([picture], iter([Image.open(picture)]), expected.repeat(2, 1).repeat(2, 2)),
    ):
        assert air3d.infer("single-object", images, np.int64(0), renderer="raster") == answers  # type: ignore[arg-type]
    assert air3d.infer(Path("single-object"), tmp_path / "picture.png", renderer="raster") == answers
    assert air3d.infer("single-object", []) == air3d.infer("single-object", np.zeros((0, 64, 64, 3))) == []


def test_what_is_left_out_of_a_picture_is_a_warning(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"film\.gif: the first of 2 frames or pages is read"):
        air3d.infer("single-object", tmp_path / "film.gif", renderer="raster")


UNUSABLE: list[tuple[Callable[[], Any], str]] = [
    *((lambda bad=bad: air3d.generate(bad, seed=0), "num is") for bad in (-1, None, "3", 1.0, ..., [1, 2], True)),
    *((lambda bad=bad: air3d.generate(1, seed=bad), "seed is") for bad in (-1, None, "3", 2**70, np.float32(1))),
    *((lambda bad=bad: air3d.generate(1, 0, bad), "prior is") for bad in ("tabletop", {}, ("mug",))),
    *((lambda bad=bad: air3d.tabletop_prior(bad), "give a list of names") for bad in (None, 3, [None], {"mug"}, ...)),
    *((lambda bad=bad: air3d.tabletop_prior(max_objects=bad), "max_objects is") for bad in (None, "3", 2.0, ...)),
    *((lambda bad=bad: air3d.tabletop_prior(min_objects=bad), "min_objects is") for bad in (None, "3", [1])),
    *((lambda bad=bad: air3d.tabletop_prior(perturb=bad), "perturb is") for bad in (None, 0.1, "no")),
    *((lambda bad=bad: air3d.tabletop_prior(repeat=bad), "repeat is") for bad in (None, 2, "no")),
    *((lambda bad=bad: air3d.single_prior(bad), "give a list of names") for bad in (None, 3, [None])),
    (lambda: air3d.single_prior("mugg"), "did you mean 'mug'?"),
    *((lambda bad=bad: air3d.render(bad), "is no Scene; give a Scene") for bad in (None, 3, "a.json", [None], ...)),
    *(
        (lambda bad=bad: air3d.render(air3d.Scene(), bad), "height is")
        for bad in (0, None, "64", 6.5, (0, 64), "ab")
    ),
    *((lambda bad=bad: air3d.render(air3d.Scene(), detail=bad), "detail is") for bad in (None, "high", 3)),
    *((lambda bad=bad: air3d.render(air3d.Scene(), renderer=bad), "unknown renderer") for bad in (None, "a", [])),
    (lambda: air3d.render(air3d.Scene(), (1, 2, 3)), "size is (1, 2, 3); give the side"),  # type: ignore[arg-type]
    (lambda: air3d.load("tabeltop"), "did you mean 'tabletop'?"),
    *((lambda bad=bad: air3d.load(bad), "give the name of a shipped model") for bad in (None, 3, [1], ...)),
    *((lambda bad=bad: air3d.load_scene(bad), "give a path") for bad in (None, 3, ["a"], ...)),
    *((lambda bad=bad: air3d.scene_to_json(bad), "give a Scene") for bad in (None, 3, [air3d.Scene()], ...)),
    *((lambda bad=bad: air3d.infer(bad, []), "give what air3d.load gives") for bad in (None, 3, [1], ...)),
    *((lambda bad=bad: air3d.infer("single-object", bad), "give a path") for bad in (None, 3, [None], ...)),
    (lambda: air3d.infer("single-object", np.zeros((1, 3, 64, 64))), "put them last"),
    (lambda: air3d.infer("single-object", np.full((1, 64, 64, 3), 200.0)), "floats from 0 to 1"),
    *(
        (lambda bad=bad: air3d.infer("single-object", np.zeros((1, 64, 64, 3)), bad), "renders")
        for bad in (-1, None, 0.5, "3")
    ),
    (lambda: air3d.infer("single-object", np.zeros((1, 64, 64, 3)), renderer="vulkan"), "unknown renderer"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(UNUSABLE)))
def test_unusable_input_is_refused_in_one_line(number: int) -> None:
    call, words = UNUSABLE[number]
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        call()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400
