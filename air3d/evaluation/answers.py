"""The answer of a trained model to images, polished if asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.image_size import ImageSize
from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.guide import Guide
from air3d.scenes.model import SceneModel
from air3d.scenes.refine import RefineConfig, refine
from air3d.scenes.settle import RENDERS, settle

_BATCH = 128


class Answers(NamedTuple):
    """The scenes that were inferred from B images.

    Attributes:
        scenes: the B scenes.
        presence: (B, N), the probability with which each object was seen; 0 for an empty slot.
        renders_per_image: the most renders that an image took: those that the guide looks at, and those after it.
        seconds_per_image: the time of inference in batches of 128, and of what comes after it; 0 without images.
        fell: (B,) bool, the answers that physics has laid to rest, if that was asked for.
    """

    scenes: SceneBatch
    presence: NDArray[np.float64]
    renders_per_image: int
    seconds_per_image: float
    fell: NDArray[np.bool_] | None = None


def misfit(prior: PriorConfig, model: SceneModel[Guide], size: ImageSize | None = None) -> str | None:
    """Say in a few words why a model cannot explain pictures of a prior; None if it can.

    Args:
        size: the size of the pictures; None if they are yet to be drawn.
    """
    if size is not None and size != model.image_size:
        return f"images of {size} pixels, it reads {model.image_size}"
    if prior.table != model.prior.table:
        return f"{prior.table}, it knows {model.prior.table}"
    known = model.world.camera
    if not isinstance(prior.camera, CameraPrior) or not prior.camera.straight:
        return "cameras that are rolled, aimed beside one point or in boxes, it knows none of these"
    if prior.camera.lens != known.lens or prior.camera.look_at_m != known.look_at_m:
        return "a camera of another field of view or target than it knows"
    if model.world.azimuth_known and prior.camera != known:
        return "another camera than the one that it takes for granted"
    return None


@plain_torch()
def answer(
    model: SceneModel[Guide],
    renderer: Renderer,
    images: NDArray[np.uint8],
    refinement: RefineConfig | None = None,
    report: Callable[[int], None] = lambda count: None,
    fall: bool = False,
) -> Answers:
    """Infer images (B, S, S, 3) uint8.

    Args:
        refinement: polishes every answer through the renderer.
        report: is called with the number of images done since its last call.
        fall: lets every answer fall in the end (`air3d.scenes.settle`).
    """
    model.infer(images[:1], renderer)  # the first call pays for one-time set-up
    scenes, presence, seconds = [], [], 0.0
    for start in range(0, max(len(images), 1), _BATCH):
        begin = time.perf_counter()
        found, seen = model.infer(images[start : start + _BATCH], renderer)
        seconds += time.perf_counter() - begin
        scenes.append(found)
        presence.append(seen)
        report(len(found))
    inferred, seconds = SceneBatch.concatenate(scenes), seconds / max(len(images), 1)
    renders = model.guide.renders
    if refinement is not None and len(images):
        polished = refine(images, inferred, model.world, renderer, refinement, model.likelihood)
        inferred, renders = polished.scenes, renders + polished.renders_per_image
        seconds += polished.seconds_per_image
    fell = None
    if fall:
        fallen = settle(images, inferred, renderer, model.likelihood)
        inferred, fell, renders = fallen.scenes, fallen.fell, renders + RENDERS
        seconds += fallen.seconds_per_image
    return Answers(inferred, np.concatenate(presence), renders, seconds, fell)
