"""Answers that fall: nearer to a truth that lies still, and left alone where the image says that they hang."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.physics import settled_scene
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.settle import settle

VIEW = Orbit(elevation_rad=0.5, distance_m=0.7)
CONFIG = RenderConfig(("bowl", "mug", "plate"), max_objects=2, height=64, width=64)


def lifted(scene: Scene, by_m: float) -> Scene:
    x, y, z = scene.objects[0].position_m
    return replace(scene, objects=(replace(scene.objects[0], position_m=(x, y, z + by_m)), *scene.objects[1:]))


def test_an_answer_comes_to_rest_where_the_truth_lies() -> None:
    lying = SceneObject("mug", (0.05, 0.0, 0.06), (0.5**0.5, 0.5**0.5, 0.0, 0.0))
    truth = settled_scene(Scene((lying, SceneObject("plate", (-0.15, 0.05, 0.0))), VIEW))
    scenes = SceneBatch.from_scenes([lifted(truth, 0.006), lifted(truth, -0.004), truth], CONFIG.kinds)
    with make_renderer(CONFIG, "raster") as renderer:
        images = np.repeat(renderer.render(SceneBatch.from_scenes([truth], CONFIG.kinds)), 3, axis=0)
        found = settle(images, scenes, renderer, Likelihood())
        assert found.fell[:2].all() and found.seconds_per_image > 0.0
        before, after = (np.abs(s.position_m[:, 0, 2] - truth.objects[0].position_m[2]) for s in (scenes, found.scenes))
        assert (after[:2] < 0.5e-3).all() and (before[:2] > 3e-3).all() and after[2] < 0.5e-3
        assert found.scenes[0].camera == truth.camera and np.array_equal(found.scenes.kind, scenes.kind)


def test_what_the_image_shows_in_the_air_or_beyond_the_table_stays_there() -> None:
    hanging = Scene(SceneObject("mug", (0.0, 0.0, 0.10)), VIEW)
    beyond = Scene(SceneObject("bowl", (0.45, 0.0, 0.0)), VIEW)
    scenes = SceneBatch.from_scenes([hanging, beyond, Scene((), VIEW)], CONFIG.kinds)
    with make_renderer(CONFIG, "raster") as renderer:
        images = renderer.render(scenes)
        found = settle(images, scenes, renderer, Likelihood())
        assert found.fell.tolist() == [False, False, True], "an empty table lies still"
        assert found.scenes.to_scenes() == scenes.to_scenes()
        with pytest.raises(InputError, match="the renderer makes uint8"):
            settle(images[:, :32], scenes, renderer, Likelihood())
