"""Part 7: measures the shipped weights: answers, refined answers, calibration, milliseconds an image on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.datasets.labelled import Labelled
from air3d.evaluation.answers import answer
from air3d.evaluation.evaluate import answer_metrics
from air3d.evaluation.metrics import match
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scenes.model import TabletopModel
from air3d.scenes.single_refine import RefineConfig
from air3d.store import load_as
from experiments.kept import Result
from experiments.tabletop.measure import by_count, measured
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, fingerprint, label_name

PART: Part = "shipped"

_TURN_RAD = np.radians(20.0)
_SEEN_LEVEL, _SEEN_PIXELS = 10, 4


def run(bench: Workbench) -> None:
    """Measure everything that is claimed of the shipped models."""
    for label, name in (("shipped", bench.plan.shipped), ("six kinds", bench.plan.six)):
        if bench.named_model(PART, name) is None:
            continue
        settings = {**fingerprint(label, name), "test": bench.plan.test}
        jobs: dict[str, Callable[[TabletopModel, Labelled], Result]] = {
            "amortised": lambda model, data: {"test": measured(bench, model, data, 0)},
            "yaw": lambda model, data: {"yaw": yaw_where_seen(bench, model, data)},
            "time": lambda model, data: {"time": milliseconds(bench, model, data.images)},
        }
        for renders in bench.plan.refine_renders:
            jobs[f"refine-{renders}"] = lambda model, data, renders=renders: {  # type: ignore[misc]
                "test": _refined(bench, model, data, renders)
            }
        for job, make in jobs.items():
            own = {"coverage": "of q's own draws"} if job == "amortised" else {}
            _once(bench, label, name, job, settings | own, make)


def _once(
    bench: Workbench,
    label: str,
    name: str,
    job: str,
    settings: dict[str, Any],
    make: Callable[[TabletopModel, Labelled], Result],
) -> None:
    def load_and_make() -> Result:
        model = load_as(name, TabletopModel)
        return {"model": label, "job": job, **make(model, bench.test_set(model.prior, model.image_size))}

    bench.once(PART, f"{label_name(label)}-{job}", settings, load_and_make)


def _refined(bench: Workbench, model: TabletopModel, data: Labelled, renders: int) -> dict[str, Any]:
    with bench.renderer(model.render_config) as renderer:
        found = answer(model, renderer, data.images, RefineConfig(renders=renders))
        drawn = renderer.render(found.scenes)
    metrics = answer_metrics(data.images, data.truth, found.scenes, drawn, found.presence, data.visible_fraction)
    return {
        **metrics,
        "by_count": by_count(data.truth, found.scenes),
        "seconds_per_image": found.seconds_per_image,
        "renders_per_image": found.renders_per_image,
    }


def yaw_where_seen(bench: Workbench, model: TabletopModel, data: Labelled) -> dict[str, Any]:
    """Measure yaw errors (median, p90) of each kind whose yaw can be seen: of all objects, and of those that show it.

    An object shows its yaw if turning it by 20 degrees either way changes the true scene's picture in at least 4
    pixels by more than 10 levels.
    """
    with bench.renderer(model.render_config) as renderer:
        inferred = answer(model, renderer, data.images).scenes
        shown = yaw_shown(renderer, data.truth)
    pairs = match(data.truth, inferred)
    seen = shown[pairs.scene, pairs.true_slot]
    result = {}
    for kind in data.truth.kinds:
        if get_kind(kind).symmetry.continuous_yaw:
            continue
        here = np.array([name == kind for name in pairs.kind], dtype=bool) & ~np.isnan(pairs.yaw_error_rad)
        result[kind] = {
            name: {"objects": int(rows.sum()), **_median_and_p90(pairs.yaw_error_rad[rows])}
            for name, rows in (("all", here), ("shown", here & seen), ("hidden", here & ~seen))
        }
    return result


def yaw_shown(renderer: Renderer, truth: SceneBatch) -> NDArray[np.bool_]:
    """(B, N) bool: whether an object's picture tells its yaw; see `yaw_where_seen`."""
    before = renderer.render(truth).astype(np.int16)
    shown = truth.present.copy()
    for slot in range(truth.slots):
        for turn in (-_TURN_RAD, _TURN_RAD):
            yaw = truth.yaw_rad.copy()
            yaw[:, slot] += turn
            after = renderer.render(replace(truth, yaw_rad=yaw)).astype(np.int16)
            changed = (np.abs(after - before).max(axis=-1) > _SEEN_LEVEL).sum(axis=(1, 2))
            shown[:, slot] &= changed >= _SEEN_PIXELS
    return shown


def milliseconds(bench: Workbench, model: TabletopModel, images: NDArray[np.uint8]) -> dict[str, Any]:
    """Measure the time of an answer on one core: image by image, and in batches of 128. The machine must be idle."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with bench.make_renderer(model.render_config, workers=1) as renderer:
            answer(model, renderer, images[:1])
            single = []
            for i in range(min(bench.plan.timed, len(images))):
                begin = time.perf_counter()
                model.infer(images[i : i + 1], renderer)
                single.append(1000.0 * (time.perf_counter() - begin))
            batched = 1000.0 * answer(model, renderer, images).seconds_per_image
    finally:
        torch.set_num_threads(threads)
    return {
        "images": len(single),
        "single": _median_and_p90(np.array(single)),
        "batched": batched,
        "batched_images": len(images),
        "feedback": model.guide.config.feedback,
    }


def _median_and_p90(values: NDArray[np.float64]) -> dict[str, float | None]:
    median, p90 = np.quantile(values, (0.5, 0.9)).tolist() if len(values) else (None, None)
    return {"median": median, "p90": p90}
