"""The functions of `import air3d`: draw scenes, render them, load a model, infer scenes back from images.

They choose the renderer, as the command line does; everything below them is handed one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from air3d.answers import answer
from air3d.scenes.model import SingleObjectModel
from air3d.scenes.refine import RefineConfig
from air3d.store import load_model
from air3d.tabletop.model import TableTopModel
from datasets.generation import scene_rng
from renderers.choice import Backend, choose_backend, make_renderer
from renderers.protocol import RenderConfig
from scene3d.batch import SceneBatch
from scene3d.compiler import Detail
from scene3d.errors import InputError
from scene3d.presets import tabletop_prior
from scene3d.prior import PriorConfig, ScenePrior
from scene3d.scene import Scene


def generate(num: int, seed: int, prior: PriorConfig | None = None) -> list[Scene]:
    """Draw scenes from a prior. Scene i depends on (prior, seed, i) alone.

    They are those of `air3d generate ... --min-visible 0`: no scene is refused because one object hides another.

    Args:
        num: how many; at least 0.
        seed: 0 or more.
        prior: `tabletop_prior(...)` or `single_prior(...)`; None means `tabletop_prior()`: 0 to 3 mugs, plates and
            bowls under a free camera.

    Raises:
        InputError: for a number below 0, or objects that cannot be placed.
    """
    for name, value in (("num", num), ("seed", seed)):
        if value < 0:
            raise InputError(f"generate: {name} is {value}; use 0 or more")
    drawn = ScenePrior(tabletop_prior() if prior is None else prior)
    return [drawn.sample(scene_rng(seed, index)) for index in range(num)]


def render(
    scenes: Sequence[Scene], size: int = 64, detail: Detail = "inference", renderer: Backend = "auto"
) -> NDArray[np.uint8]:
    """Draw B scenes: (B, size, size, 3) uint8, sRGB, row 0 at the top.

    Args:
        scenes: all on the same table.
        size: pixels.
        detail: "inference" (what models look at) or "display" (smooth, textured, with shadows).
        renderer: a backend by name; "auto" takes the best one of this machine.

    Raises:
        InputError: for scenes on different tables, or if nothing here can draw them.
    """
    batch = SceneBatch.from_scenes(scenes)
    config = RenderConfig(batch.kinds, batch.table, batch.slots, size, size, detail)
    backend = choose_backend(detail, reference=detail == "display").backend if renderer == "auto" else renderer
    with make_renderer(config, backend) as drawing:
        return drawing.render(batch)


def load(name: str) -> SingleObjectModel | TableTopModel:
    """Load a trained model: one that comes with air3d ("table-top", "single-object"), a model's folder, or a run's.

    Raises:
        InputError: if there is none; the message names those that exist.
    """
    return load_model(name).model


def infer(
    model: SingleObjectModel | TableTopModel, images: NDArray[np.uint8], refine: int = 0, renderer: Backend = "auto"
) -> list[Scene]:
    """Explain B images: the scene that, rendered, looks most like each.

    Args:
        model: of `load`.
        images: (B, S, S, 3) uint8 with S = `model.image_size`.
        refine: renders for each image that polish the network's answer; 0 for none.
        renderer: a backend by name.

    Raises:
        InputError: for images of another form, or `refine` below 0.
    """
    side = model.image_size
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (side, side, 3) or not len(images):
        raise InputError(
            f"infer: images are {images.dtype} of shape {images.shape}; this model reads uint8 of shape "
            f"(B, {side}, {side}, 3), B at least 1"
        )
    refinement = RefineConfig(renders=refine) if refine else None
    with make_renderer(model.render_config, renderer) as drawing:
        return answer(model, drawing, images, refinement).scenes.to_scenes()
