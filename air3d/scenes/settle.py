"""Lets answers fall: each scene is put into MuJoCo until it lies still, and kept so where that explains its image no
worse.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.physics import settled_scene
from air3d.scene3d.scene import Scene
from air3d.scenes.depth import Images, has_depth
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.painter import drawn, to_pixels
from air3d.scenes.refine import check_images

RENDERS = 2


class Fallen(NamedTuple):
    """Answers to B images, fallen or as they were.

    Attributes:
        scenes: the B scenes.
        fell: (B,) bool, whether the fallen scene was kept: it came to rest, and the likelihood did not fall.
        seconds_per_image: the time it took.
    """

    scenes: SceneBatch
    fell: NDArray[np.bool_]
    seconds_per_image: float


def settle(images: Images, scenes: SceneBatch, renderer: Renderer, likelihood: Likelihood) -> Fallen:
    """Let the scenes of images, with depth or without, fall; `RENDERS` renders of each compare before and after.

    Raises:
        InputError: if the images are not of the renderer's size.
    """
    check_images(images, renderer)
    begin = time.perf_counter()
    at_rest = [_at_rest(scene) for scene in scenes]
    after = [scene if rest is None else rest for scene, rest in zip(scenes, at_rest, strict=True)]
    moved = SceneBatch.from_scenes(after, scenes.kinds, scenes.slots, scenes.table)
    pixels = to_pixels(images)
    pictures = [drawn(renderer, each, has_depth(images))[:, None] for each in (scenes, moved)]
    errors = [likelihood.error(pixels, each)[:, 0] for each in pictures]
    fell = (errors[1] <= errors[0]).numpy() & np.array([rest is not None for rest in at_rest], dtype=bool)
    chosen = {
        name: np.where(fell[:, None, None], getattr(moved, name), getattr(scenes, name))
        for name in ("position_m", "rotation_wxyz")
    }
    return Fallen(replace(scenes, **chosen), fell, (time.perf_counter() - begin) / max(len(images), 1))


def _at_rest(scene: Scene) -> Scene | None:
    try:
        return settled_scene(scene)
    except InputError:
        return None
