"""Part 4: measures in which order the guide names objects, by place or by identity. Steps keep their inferred order.

The images are those in which as many objects were inferred as the model has steps, so that every step has its object;
once with the guide's most probable answers, once with a posterior sample each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.scene3d.batch import SceneBatch
from air3d.scenes.model import TabletopModel
from air3d.store import find_model, load_as
from experiments.kept import Result
from experiments.tabletop import images_alone
from experiments.tabletop.order import FEWEST_SCENES, first_of_pairs, grid_labels, step_information
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, fingerprint, label_name

PART: Part = "scanning"
Floats = NDArray[np.float64]

_CELLS, _HEAT_CELLS = 4, 24


class Scanned(NamedTuple):
    """The objects of M scenes in the order of the N steps that named them.

    Attributes:
        kind: (M, N).
        image: (M, N, 2), column and row of their places, in units of the image's size.
        world: (M, N, 2) x and y, in units of the placement disc's radius.
    """

    kind: NDArray[np.int64]
    image: Floats
    world: Floats


def run(bench: Workbench) -> None:
    """Run every seed that learned from images alone, and the shipped models."""
    found = images_alone.models(bench)
    if not found:
        bench.say(f"{PART}: no run of images-alone yet; run --parts {images_alone.PART} first")
    for label, name in (("shipped", bench.plan.shipped), ("six kinds", bench.plan.six)):
        if bench.named_model(PART, name) is not None:
            found[label] = find_model(name)
    for label, folder in found.items():
        _one(bench, label, folder)


def _one(bench: Workbench, label: str, folder: Path) -> Result:
    def make() -> Result:
        model = load_as(str(folder), TabletopModel)
        prior = model.prior
        data = bench.test_set(prior, model.image_size)
        with bench.renderer(model.render_config) as renderer:
            greedy = model.infer(data.images, renderer).scenes
            generator = torch.Generator().manual_seed(0)
            drawn = model.sample(data.images, renderer, 1, generator).scenes
        answers = {"most probable": greedy, "sampled": drawn}
        return {"model": label, "kinds": list(prior.kinds), **{k: summary(model, v) for k, v in answers.items()}}

    name = label_name(label)
    return bench.once(PART, name, {**fingerprint(label, folder), "test": bench.plan.test}, make)


def summary(model: TabletopModel, scenes: SceneBatch) -> dict[str, Any]:
    """Compute numbers and heat maps of inferred scenes, whose slots are the steps, as JSON; no numbers from too few."""
    seen = scanned(model, scenes)
    result: dict[str, Any] = {"scenes": len(seen.kind), "steps": scenes.slots}
    if len(seen.kind) < FEWEST_SCENES or scenes.slots < 2:
        return result
    rng = np.random.default_rng(0)
    one_hot = np.eye(len(model.prior.kinds))[seen.kind]
    same = seen.kind[:, :, None] == seen.kind[:, None, :]
    both = np.concatenate([_quadratic(seen.image), one_hot], axis=-1)
    return {
        **result,
        "information": {
            "place in the image": step_information(grid_labels(seen.image, _CELLS), rng),
            "place on the table": step_information(grid_labels(seen.world, _CELLS), rng),
            "kind": step_information(seen.kind, rng),
        },
        "first": {
            "place in the image": first_of_pairs(_quadratic(seen.image)),
            "place on the table": first_of_pairs(_quadratic(seen.world)),
            "kind": first_of_pairs(one_hot),
            "kind, pairs of different kinds": first_of_pairs(one_hot, ~same),
            "place in the image, pairs of the same kind": first_of_pairs(_quadratic(seen.image), same),
            "place in the image and kind": first_of_pairs(both),
        },
        "heat": {
            "image": _heat(seen.image, 0.0, 1.0),
            "world": _heat(seen.world, -1.0, 1.0),
        },
        "kinds_by_step": [np.bincount(column, minlength=len(model.prior.kinds)).tolist() for column in seen.kind.T],
    }


def scanned(model: TabletopModel, scenes: SceneBatch) -> Scanned:
    """Select the inferred scenes that fill every step."""
    full = scenes[np.flatnonzero(scenes.present.all(axis=1))]
    setting, objects = model.world.from_batch(full)
    pixel = model.guide.view(setting).each().project(objects.position_m)
    return Scanned(
        full.kind,
        np.asarray((pixel + 0.5) / model.image_size, dtype=np.float64),
        full.position_m / model.prior.table.place.half_extents_m,
    )


def _quadratic(place: Floats) -> Floats:
    """Turn places (M, N, 2) into linear and quadratic terms about their mean (M, N, 5)."""
    u, v = np.moveaxis(place - place.mean(axis=(0, 1)), -1, 0)
    return np.stack([u, v, u * u, v * v, u * v], axis=-1)


def _heat(place: Floats, low: float, high: float) -> list[list[list[int]]]:
    """Count a histogram for each step; its rows are the second coordinate, its columns the first."""
    maps = []
    for step in range(place.shape[1]):
        x, y = place[:, step].T
        counts = np.histogram2d(y, x, bins=_HEAT_CELLS, range=((low, high), (low, high)))[0]
        maps.append(counts.astype(int).tolist())
    return maps
