"""Scenes with answers that are wrong in known ways; `air3d view` in a process of its own."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject
from air3d.viewer.gallery import Entry, Gallery
from air3d.viewer.scene_errors import scene_errors

ROOT = Path(__file__).resolve().parents[3]
GREY = np.full((8, 8, 3), 100, dtype=np.uint8)


def scene(*objects: SceneObject, azimuth_rad: float = 0.0) -> Scene:
    return Scene(objects, Orbit(azimuth_rad=azimuth_rad))


def entry(name: str, truth: Scene | None, inferred: Scene | None, offset: int = 0) -> Entry:
    """An entry whose rendering is brighter than its picture by `offset` everywhere."""
    errors = None
    if truth is not None and inferred is not None:
        errors = scene_errors(SceneBatch.from_scenes([truth]), SceneBatch.from_scenes([inferred]))[0]
    render = None if inferred is None else (GREY + offset).astype(np.uint8)
    presence = () if inferred is None else (1.0,) * len(inferred.objects)
    return Entry(name, GREY, truth, inferred, presence, render, errors)


@pytest.fixture
def gallery() -> Gallery:
    """Five scenes: one off by 1 cm, a wrong kind, a miscount, an empty one, one off by 3 cm with a turned camera."""
    mug, plate = SceneObject.upright("mug", 0.1, 0.0), SceneObject.upright("plate", -0.1, 0.0)
    return Gallery(
        (
            entry("near", scene(mug), scene(SceneObject.upright("mug", 0.11, 0.0, yaw_rad=0.2)), offset=1),
            entry("kind", scene(mug, plate), scene(mug, SceneObject.upright("bowl", -0.1, 0.0)), offset=2),
            entry("count", scene(plate), scene(plate, mug), offset=51),
            entry("empty", scene(), scene(), offset=0),
            entry("far", scene(mug, mug_at(-0.1)), scene(mug, mug_at(-0.07), azimuth_rad=math.pi / 2), offset=3),
        )
    )


def mug_at(x_m: float) -> SceneObject:
    return SceneObject.upright("mug", x_m, 0.1)


@pytest.fixture(scope="session")
def start_viewer() -> Callable[..., subprocess.Popen[str]]:
    """`air3d view` with these arguments, in a process of its own."""

    def start(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "air3d", "view", *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell may have told this process to ignore Ctrl-C, which its children would inherit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return start
