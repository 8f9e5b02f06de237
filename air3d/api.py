"""The functions of `import air3d`: draw scenes, render them, load a model, infer scenes back from images.

They choose the renderer, as the command line does; everything below them is handed one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.depth_picture import sized
from air3d.datasets.generation import scene_rng
from air3d.datasets.image_size import ImageSize
from air3d.datasets.pictures import as_pictures
from air3d.evaluation.answers import answer, by_place
from air3d.evaluation.scene_posterior import ScenePosterior
from air3d.renderers.choice import Backend, check_backend, choose_backend, make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.arguments import check_is, natural, whole
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import Detail
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene
from air3d.scenes.depth import Images, with_depth
from air3d.scenes.guide import Guide
from air3d.scenes.model import SceneModel
from air3d.scenes.refine import RefineConfig
from air3d.scenes.resample_move import ResampleMove
from air3d.scenes.store import load_model

_MOST_SEED = 2**63 - 1


def generate(num: int, seed: int, prior: PriorConfig | None = None) -> list[Scene]:
    """Draw scenes from a prior. Scene i depends on (prior, seed, i) alone.

    `air3d generate ... --min-visible 0` draws the same: no scene is refused because one object hides another.

    Args:
        num: how many scenes; at least 0.
        seed: seeds the scenes; 0 or more.
        prior: a `tabletop_prior(...)` or `single_prior(...)`; None means `tabletop_prior()`: 0 to 3 mugs, plates and
            bowls under a free camera.

    Raises:
        InputError: for unusable numbers, something that is no prior, or objects that cannot be placed.
    """
    num, seed = whole("generate", "num", num, 0), whole("generate", "seed", seed, 0, _MOST_SEED)
    prior = tabletop_prior() if prior is None else prior
    check_is("generate", "prior", prior, PriorConfig)
    drawn = ScenePrior(prior)
    return [drawn.sample(scene_rng(seed, index)) for index in range(num)]


def render(
    scenes: Scene | Iterable[Scene],
    size: int | tuple[int, int] = 64,
    detail: Detail = "inference",
    renderer: Backend = "auto",
) -> NDArray[np.uint8]:
    """Draw B scenes: (B, height, width, 3) uint8, sRGB, row 0 at the top.

    Args:
        scenes: the scenes, all on the same table; one scene counts as a list of it; no scene gives no picture.
        size: the side of square pictures, or (height, width), pixels; or an `ImageSize`, as models have it.
        detail: "inference" (what models look at) or "display" (smooth, textured, with shadows).
        renderer: a backend by name; "auto" takes the best one of this machine.

    Raises:
        InputError: for something that is no scene, scenes on different tables, or if nothing here can draw them.
    """
    batch, sides = SceneBatch.from_scenes(scenes), natural(size)
    if isinstance(size, ImageSize):
        sides = size.height, size.width
    height, width = sides if isinstance(sides, tuple) and len(sides) == 2 else (sides, sides)
    if isinstance(height, tuple):
        raise InputError(f"render: size is {shown(size)}; give the side of square pictures, or (height, width)")
    config = RenderConfig(batch.kinds, batch.table, batch.slots, height, width, detail, batch.varied, batch.pictures)
    check_backend(renderer)
    backend = choose_backend(detail, reference=detail == "display").backend if renderer == "auto" else renderer
    with make_renderer(config, backend) as drawing:
        return drawing.render(batch)


def load(name: str | Path) -> SceneModel[Any]:
    """Load a trained model: one that comes with air3d ("tabletop", "single-object"), a model's folder, or a run's.

    Raises:
        InputError: if there is none; the message names those that exist.
    """
    return load_model(name).model


def infer(
    model: SceneModel[Guide] | str | Path,
    images: object,
    refine: int = 0,
    renderer: Backend = "auto",
    depth_m: object = None,
    table: str | None = None,
) -> list[Scene]:
    """Explain B images: find for each the scene that looks most like it when rendered.

    Args:
        model: a model that `load` gave, or an argument of `load`.
        images: an array or tensor (B, H, W, 3) of uint8 or of floats from 0 to 1, a single picture (H, W, 3), or any
            iterable of pictures: arrays, pictures of Pillow's, paths; or the path of a picture or a folder of them.
            As in `air3d infer`, they are cut to the shape of `model.image_size` and scaled to it.
        refine: the number of renders for each image that polish the network's answer, and may add what it missed; 0
            for none.
        renderer: a backend by name.
        depth_m: (B, H, W), or (H, W) of a single picture, or any iterable of (H, W): the depth of each picture along
            the optical axis, metres, pixel by pixel; 0, NaN or infinity where nothing was measured. For models that
            look at depth.
        table: the shape of the table, for a model of several; by default, for each picture, that on which its answer
            explains it best.

    Returns:
        B scenes.

    Raises:
        InputError: for something that is no model or no picture, `refine` below 0, depth that does not fit, or a table
            that the model does not know.

    Warns:
        UserWarning: where something in a picture file was left out, such as further frames.
    """
    model = _loaded("infer", model)
    refine = whole("infer", "refine (renders)", refine, 0)
    check_backend(renderer)
    pixels = _pictures("infer", images, depth_m, model)
    if not len(pixels):
        return []
    refinement = RefineConfig(renders=refine) if refine else None
    scenes = dict[int, Scene]()
    for rows, place, drawing in by_place(model, pixels, partial(make_renderer, backend=renderer), "the model", table):
        scenes |= zip(rows.tolist(), answer(place, drawing, pixels[rows], refinement).scenes, strict=True)
    return [scenes[row] for row in range(len(pixels))]


def posterior(
    model: SceneModel[Guide] | str | Path,
    image: object,
    samples: int = 128,
    moves: int = 3,
    seed: int = 0,
    renderer: Backend = "auto",
    depth_m: object = None,
    table: str | None = None,
) -> ScenePosterior:
    """Sample the posterior over scenes given one picture.

    It holds a renderer until it is closed: `with air3d.posterior("tabletop", "photo.png") as belief: ...`.

    Args:
        model: a model that `load` gave, or an argument of `load`.
        image: one picture, in any form that `infer` takes.
        samples: the number of scenes that the network draws, and that stand for the posterior.
        moves: the steps by renders that each takes after they were resampled by weight; see `ResampleMove`.
        seed: seeds the samples.
        renderer: a backend by name.
        depth_m, table: see `infer`.

    Raises:
        InputError: for something that is no model, not one picture, numbers out of range, depth that does not fit, or a
            table that the model does not know.

    Warns:
        UserWarning: where something in a picture file was left out, such as further frames.
    """
    model, config = _loaded("posterior", model), ResampleMove(samples, moves)
    seed = whole("posterior", "seed", seed, 0)
    check_backend(renderer)
    pixels = _pictures("posterior", image, depth_m, model)
    if len(pixels) != 1:
        raise InputError(f"posterior: {len(pixels)} pictures given; give one")
    if model.others or table is not None:
        found = by_place(model, pixels, partial(make_renderer, backend=renderer), "the model", table)
        ((_, model, _),) = found
    drawing = make_renderer(model.render_config, renderer)
    try:
        return ScenePosterior(model, pixels[0], drawing, config, seed)
    except BaseException:
        drawing.close()
        raise


def _loaded(owner: str, model: object) -> SceneModel[Any]:
    if isinstance(model, (str, Path)):
        model = load(model)
    if not isinstance(model, SceneModel):
        raise InputError(f"{owner}: model is {shown(model)}; give what air3d.load gives, or a model's name")
    return model


def _pictures(owner: str, images: object, depth_m: object, model: SceneModel[Any]) -> Images:
    notes: list[str] = []
    pixels = as_pictures(images, model.image_size, notes)
    for note in notes:
        warnings.warn(note, stacklevel=3)
    if depth_m is None or not len(pixels):
        return pixels
    try:
        each = [np.asarray(one, dtype=np.float32) for one in depth_m]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise InputError(f"{owner}: depth_m is {shown(depth_m)}; give metres, an array (H, W) a picture") from None
    if each and each[0].ndim == 1:  # a single (H, W), row by row
        each = [np.stack(each)] if len({len(row) for row in each}) == 1 else each
    if len(each) != len(pixels) or any(one.ndim != 2 or not one.size for one in each):
        raise InputError(
            f"{owner}: depth_m has shapes {shown([one.shape for one in each])} for {len(pixels)} pictures; give an "
            "array (H, W) for each"
        )
    return with_depth(pixels, np.stack([sized(one, model.image_size) for one in each]))
