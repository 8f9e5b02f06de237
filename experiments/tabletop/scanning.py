"""Part 4: measures in which order the guide names objects, by place or by identity. Steps keep their inferred order.

The images are those in which as many objects were inferred as the model has steps, so that every step has its object;
once with the guide's most probable answers, once with a posterior sample each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.scene3d.batch import SceneBatch
from air3d.scenes.model import SceneModel
from air3d.scenes.store import load_model
from experiments.figures import COLOURS, png, white_figure
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tables import Run, header, row
from experiments.tabletop import images_alone
from experiments.tabletop.order import FEWEST_SCENES, first_of_pairs, grid_labels, step_information
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, fingerprint, label_name

PART: Part = "scanning"
TITLE = "4. The scanning policy"
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
        bench.kept.say(f"{PART}: no run of images-alone yet; run --parts {images_alone.PART} first")
    for label, folder in (found | bench.models(PART)).items():
        _one(bench, label, folder)


def _one(bench: Workbench, label: str, folder: str) -> Result:
    def make() -> Result:
        model = load_model(str(folder)).model
        prior = model.prior
        data = bench.test_set(prior, model.image_size.height)
        with bench.renderer(model.render_config) as renderer:
            greedy = model.infer(data.images, renderer).scenes
            generator = torch.Generator().manual_seed(0)
            drawn = model.sample(data.images, renderer, 1, generator).scenes
        answers = {"most probable": greedy, "sampled": drawn}
        return {"model": label, "kinds": list(prior.kinds), **{k: summary(model, v) for k, v in answers.items()}}

    name = label_name(label)
    return bench.kept.once(PART, name, {**fingerprint(label, folder), "test": bench.plan.test}, make)


def summary(model: SceneModel[Any], scenes: SceneBatch) -> dict[str, Any]:
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


def scanned(model: SceneModel[Any], scenes: SceneBatch) -> Scanned:
    """Select the inferred scenes that fill every step."""
    full = scenes[np.flatnonzero(scenes.present.all(axis=1))]
    setting, objects = model.world.from_batch(full)
    pixel = model.guide.view(setting).each().project(objects.place_m)
    return Scanned(
        full.kind,
        np.asarray((pixel + 0.5) / model.image_size.height, dtype=np.float64),
        full.position_m[..., :2] / model.prior.table.place.half_extents_m,
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


ANSWERS = ("most probable", "sampled")


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    page.text(
        "Images in which as many objects were inferred as there are steps; steps stand as they were inferred, in the "
        "guide's most probable answers, and in one posterior sample an image. Cells: mutual information of the step "
        "and the object's place (a grid of 4 x 4 cells) or kind, in bits; in brackets what shuffling the steps within "
        "scenes gives (mean, 95th percentile). Most: log2 of the number of steps, if the property decided the step."
    )
    properties = ("place in the image", "place on the table", "kind")
    measured = [(run, name) for run in runs for name in ANSWERS if "information" in run[name]]
    lines = header("model", "answers", "images", "most", *properties)
    for run, name in measured:
        found = run[name]["information"]
        cells = [f"{v['bits']:.3f} ({v['chance_bits']:.3f}, {v['chance_95_bits']:.3f})" for v in found.values()]
        most = found["kind"]["most_bits"]
        lines.append(row(run["model"], name, str(run[name]["scenes"]), f"{most:.2f}", *cells))
    page.text(*lines)
    page.text(
        "Which of two objects is named first? A score (linear in the property; of places also quadratic) is fitted to "
        "half of the images; right predictions on the other half, in percent, with their standard error; 50 is chance."
    )
    names = list(measured[0][0][measured[0][1]]["first"]) if measured else []
    lines = header("model", "answers", *names)
    for run, name in measured:
        lines.append(row(run["model"], name, *(_accuracy(run[name]["first"][key]) for key in names)))
    page.text(*lines)
    few = [f"{run['model']} ({name})" for run in runs for name in ANSWERS if "information" not in run[name]]
    if few:
        page.text(f"Too few images with an object in every step: {', '.join(few)}.")
    for i, ((steps, _), group) in enumerate(_heat_groups(runs).items()):
        alt = (
            f"Heat maps of object locations in each of {steps} steps, in the image and on the table from above, and "
            f"shares of kinds by step; a row a model: {', '.join(run['model'] for run in group)}. The table above has "
            "their numbers."
        )
        page.figure(f"scanning-{i + 1}.png", partial(heat_maps, group, ANSWERS[0]), alt)
    return page


def _heat_groups(runs: Sequence[Run]) -> dict[tuple[int, tuple[str, ...]], list[Run]]:
    """Group the runs with heat maps by steps and kinds."""
    found: dict[tuple[int, tuple[str, ...]], list[Run]] = {}
    for run in runs:
        if "information" in run[ANSWERS[0]]:
            found.setdefault((run[ANSWERS[0]]["steps"], tuple(run["kinds"])), []).append(run)
    return found


def _accuracy(found: dict[str, Any]) -> str:
    if found["accuracy"] is None:
        return "-"
    return f"{100.0 * found['accuracy']:.1f} ± {100.0 * found['standard_error']:.1f}"


def heat_maps(runs: Sequence[Run], answers: str) -> bytes:
    """Draw a row for each model: where each step's objects are in the image and on the table, and their kinds.

    Args:
        runs: those results of the part `scanning` that have numbers, of models with equally many steps.
        answers: "most probable" or "sampled".
    """
    steps = runs[0][answers]["steps"]
    figure = white_figure(1.6 * (2 * steps + 1.6), 1.75 * len(runs) + 0.3)
    widths = [1.0] * (2 * steps) + [1.6]
    grid = figure.subplots(len(runs), 2 * steps + 1, squeeze=False, gridspec_kw={"width_ratios": widths})
    for line, run in zip(grid, runs, strict=True):
        found = run[answers]
        for frame, (name, origin) in enumerate((("image", "upper"), ("world", "lower"))):
            top = max(np.max(step) for step in found["heat"][name])
            for step, counts in enumerate(found["heat"][name]):
                axes = line[frame * steps + step]
                axes.imshow(np.array(counts), origin=origin, vmin=0, vmax=top, cmap="viridis", interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                place = "image" if name == "image" else "table from above"
                axes.set_title(f"{place}, step {step + 1}", fontsize=7)
        line[0].set_ylabel(run["model"], fontsize=7)
        _kind_bars(line[-1], run["kinds"], np.array(found["kinds_by_step"], dtype=float))
    return png(figure)


def _kind_bars(axes: Any, kinds: Sequence[str], counts: Any) -> None:
    """Draw the shares of the kinds in each step, stacked."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    bottom = np.zeros(len(shares))
    for kind, colour, share in zip(kinds, COLOURS, shares.T, strict=False):
        axes.bar(np.arange(1, len(shares) + 1), share, bottom=bottom, color=colour, label=kind, width=0.8)
        bottom += share
    axes.set_xticks(np.arange(1, len(shares) + 1))
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.set_title("kinds by step", fontsize=7)
    axes.legend(fontsize=5, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
