"""The answer of a trained model to images, polished if asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.datasets.image_size import ImageSize
from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import is_own, short_name
from air3d.scene3d.prior import PriorConfig
from air3d.scene3d.stances import hull_corners
from air3d.scenes.depth import Images, has_depth
from air3d.scenes.guide import Guide
from air3d.scenes.latents import World
from air3d.scenes.model import SceneModel
from air3d.scenes.painter import drawn, to_pixels
from air3d.scenes.polish import polish
from air3d.scenes.refine import RefineConfig
from air3d.scenes.settle import RENDERS, settle

_BATCH = 128
_ALIKE_M, _ADDED = 0.002, 0.5
_Guide = TypeVar("_Guide", bound=Guide)


class Answers(NamedTuple):
    """The scenes that were inferred from B images.

    Attributes:
        scenes: the B scenes.
        presence: (B, N), the probability with which each object was seen; a half for one that refinement has added, 0
            for an empty slot.
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
    place = next((place for place in model.places if place.prior.table == prior.table), None)
    if place is None:
        return f"{prior.table}, it knows {' or '.join(str(place.prior.table) for place in model.places)}"
    named = twins(model.prior.kinds, prior.kinds).values()
    if strange := [kind for kind in prior.kinds if kind not in named]:
        return f"objects of kind {', '.join(strange)}, it knows {', '.join(model.prior.kinds)}"
    if prior.max_objects > model.prior.max_objects:
        return f"up to {prior.max_objects} objects, it knows up to {model.prior.max_objects}"
    known = place.world.camera
    if not isinstance(prior.camera, CameraPrior) or not prior.camera.straight:
        return "cameras that are rolled, aimed beside one point or in boxes, it knows none of these"
    if prior.camera.lens != known.lens or prior.camera.look_at_m != known.look_at_m:
        return "a camera of another field of view or target than it knows"
    if model.world.azimuth_known and prior.camera != known:
        return "another camera than the one that it takes for granted"
    return None


def place_of(
    model: SceneModel[_Guide], prior: PriorConfig, what: str, name: str, size: ImageSize | None = None
) -> SceneModel[_Guide]:
    """Return the model in that of its worlds which has the prior's table.

    Args:
        what: names whose prior it is, in errors.
        name: names the model, in errors.
        size: the size of the pictures; None if they are yet to be drawn.

    Raises:
        InputError: if it cannot explain pictures of the prior (`misfit`).
    """
    if reason := misfit(prior, model, size):
        raise InputError(f"{what}: model '{name}' does not fit: it has {reason}")
    place = next(place for place in model.places if place.prior.table == prior.table)
    kinds = tuple(twins(place.prior.kinds, prior.kinds).values())
    if kinds == place.prior.kinds:
        return place
    world = World(replace(place.prior, kinds=kinds))
    return replace(place, world=world, guide=place.guide.within(world), others=())


def twins(known: Sequence[str], named: Sequence[str]) -> dict[str, str]:
    """Call kinds as others call them: own kinds of the same short name whose bodies fill the same boxes, within two
    millimetres. Two people's kinds of one file differ in their full names if they were made in different ways."""

    def box(kind: str) -> NDArray[np.float64]:
        corners = hull_corners(kind)
        return np.stack([corners.min(axis=0), corners.max(axis=0)])

    found = dict[str, str]()
    for kind in known:
        alike = [
            other
            for other in named
            if is_own(kind) and is_own(other) and short_name(kind) == short_name(other) and other not in found.values()
            and np.abs(box(kind) - box(other)).max() < _ALIKE_M
        ]  # fmt: skip
        found[kind] = alike[0] if alike and kind not in named else kind
    return found


@plain_torch()
def likeliest_place(model: SceneModel[_Guide], renderers: Sequence[Renderer], images: Images) -> NDArray[np.int64]:
    """Find for each of B images the world of the model, (B,), in which its answer explains it best.

    Args:
        renderers: one for each of `model.places`.
    """
    found = []
    batches = [slice(start, start + _BATCH) for start in range(0, len(images), _BATCH)]
    for place, renderer in zip(model.places, renderers, strict=True):
        errors = [torch.zeros(0)]
        for part in batches:
            picture = drawn(renderer, place.infer(images[part], renderer).scenes, has_depth(images))
            errors.append(place.likelihood.error(to_pixels(images[part]), picture[:, None])[:, 0])
        found.append(torch.cat(errors))
    return np.asarray(torch.stack(found).argmin(0).numpy())


def by_place(
    model: SceneModel[_Guide],
    images: Images,
    open_renderer: Callable[[RenderConfig], Renderer],
    name: str,
    table: str | None = None,
) -> Iterator[tuple[NDArray[np.int64], SceneModel[_Guide], Renderer]]:
    """Yield images by the world of a model that they are to be explained in: their indices, the model there, and a
    renderer, which is open until the next is asked for.

    Args:
        name: names the model, in errors.
        table: the shape of the table; None takes for each image the world in which the answer explains it best.

    Raises:
        InputError: if the model knows no such table.
    """
    places = [place for place in model.places if table in (None, place.prior.table.shape)]
    if not places:
        shapes = " or ".join(place.prior.table.shape for place in model.places)
        raise InputError(f"table {table}: {name} knows tables that are {shapes}")
    with ExitStack() as opened:
        renderers = [opened.enter_context(open_renderer(place.render_config)) for place in places]
        chosen = np.zeros(len(images), np.int64)
        if len(places) > 1:
            chosen = likeliest_place(replace(places[0], others=tuple(p.world for p in places[1:])), renderers, images)
        for number, (place, renderer) in enumerate(zip(places, renderers, strict=True)):
            if len(rows := np.flatnonzero(chosen == number)):
                yield rows, place, renderer


@plain_torch()
def answer(
    model: SceneModel[Guide],
    renderer: Renderer,
    images: Images,
    refinement: RefineConfig | None = None,
    report: Callable[[int], None] = lambda count: None,
    fall: bool = False,
) -> Answers:
    """Infer images (B, H, W, 3) uint8, or with depth (`air3d.scenes.depth`).

    Args:
        refinement: polishes every answer through the renderer.
        report: is called with the number of images done since its last call.
        fall: lets every answer fall in the end (`air3d.scenes.settle`).
    """
    model.infer(images[:1], renderer)  # the first call pays for one-time set-up
    scenes, presence, seconds = [], [], 0.0
    for start in range(0, max(len(images), 1), _BATCH):
        begin = time.perf_counter()
        found, sure = model.infer(images[start : start + _BATCH], renderer)
        seconds += time.perf_counter() - begin
        scenes.append(found)
        presence.append(sure)
        report(len(found))
    inferred, seconds = SceneBatch.concatenate(scenes), seconds / max(len(images), 1)
    renders = model.guide.renders
    if refinement is not None and len(images):
        begin = time.perf_counter()
        inferred, most = polish(model, renderer, images, inferred, refinement)
        renders, seconds = renders + most, seconds + (time.perf_counter() - begin) / len(images)
    seen = np.concatenate(presence)
    seen = np.where(inferred.present & (seen == 0.0), _ADDED, seen)
    fell = None
    if fall:
        fallen = settle(images, inferred, renderer, model.likelihood)
        inferred, fell, renders = fallen.scenes, fallen.fell, renders + RENDERS
        seconds += fallen.seconds_per_image
    return Answers(inferred, seen, renders, seconds, fell)
