"""Part 7: measures the shipped weights: answers, refined answers, calibration, milliseconds an image on one core."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.datasets.labelled import Labelled
from air3d.evaluation.answers import answer
from air3d.evaluation.evaluate import answer_metrics
from air3d.evaluation.metrics import match
from air3d.evaluation.tables import spoken
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.poses import yawed
from air3d.scenes.model import SceneModel
from air3d.scenes.refine import RefineConfig
from air3d.scenes.store import load_model
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tables import DEGREES, Run, at, grouped, header, number, row, run_table
from experiments.tabletop import columns as c
from experiments.tabletop.columns import count_table
from experiments.tabletop.measure import by_count, measured
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, fingerprint, label_name

PART: Part = "shipped"
TITLE = "7. The shipped weights"

_TURN_RAD = np.radians(20.0)
_SEEN_LEVEL, _SEEN_PIXELS = 10, 4


def run(bench: Workbench) -> None:
    """Measure everything that is claimed of the shipped models."""
    for label, name in bench.models(PART).items():
        settings = {**fingerprint(label, name), "test": bench.plan.test}
        jobs: dict[str, Callable[[SceneModel[Any], Labelled], Result]] = {
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
    make: Callable[[SceneModel[Any], Labelled], Result],
) -> None:
    def load_and_make() -> Result:
        model = load_model(name).model
        return {"model": label, "job": job, **make(model, bench.test_set(model.prior, model.image_size.height))}

    bench.kept.once(PART, f"{label_name(label)}-{job}", settings, load_and_make)


def _refined(bench: Workbench, model: SceneModel[Any], data: Labelled, renders: int) -> dict[str, Any]:
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


def yaw_where_seen(bench: Workbench, model: SceneModel[Any], data: Labelled) -> dict[str, Any]:
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
            after = renderer.render(replace(truth, rotation_wxyz=yawed(yaw))).astype(np.int16)
            changed = (np.abs(after - before).max(axis=-1) > _SEEN_LEVEL).sum(axis=(1, 2))
            shown[:, slot] &= changed >= _SEEN_PIXELS
    return shown


def milliseconds(bench: Workbench, model: SceneModel[Any], images: NDArray[np.uint8]) -> dict[str, Any]:
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


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    tests = [([run["model"], run["job"]], run) for run in sorted(runs, key=_budget) if "test" in run]
    page.text(*run_table(["model", "answer"], tests, (*c.OF_A_MODEL, c.ELBO, c.IWAE, c.WITHOUT_BOUND, c.RENDERS_EACH)))
    page.text("By the number of objects, amortised:")
    amortised = [run for run in runs if run["job"] == "amortised"]
    page.text(*count_table(["model"], grouped(amortised, "model")))
    page.text(
        "Yaw errors of kinds whose yaw can be seen, in degrees: median, p90 (objects). An object shows its yaw if "
        "turning it by 20 degrees either way changes at least 4 pixels by more than 10 of 255 levels."
    )
    page.text(*_yaw_table(runs))
    page.text("On one core, an idle machine assumed; milliseconds an image:")
    lines = header("model", "feedback", "one by one, median", "p90", "in batches of 128")
    for run in runs:
        if "time" in run:
            t = run["time"]
            one = (f"{t['single']['median']:.2f}", f"{t['single']['p90']:.2f}")
            lines.append(row(run["model"], t["feedback"], *one, f"{t['batched']:.2f}"))
    page.text(*lines)
    page.text("### Calibration of the posterior")
    page.text(
        "Regions hold the stated share of q's own draws, which count equally; they should cover the truth as often. "
        "*of*: images, or true objects of which some draw has one of the kind. ECE: mean gap between confidence and "
        "accuracy."
    )
    own = [run for run in amortised if "weighted_calibration" in run["test"]]  # before, weighted draws were counted
    page.text(*_calibration_table(own))
    page.text(*(_weights_left(run) for run in own))
    return page


def _budget(run: Run) -> tuple[str, int]:
    return run["model"], int(run["job"].rpartition("-")[2]) if run["job"].startswith("refine") else 0


def _yaw_table(runs: Sequence[Run]) -> list[str]:
    lines = header("model", "kind", "all", "yaw shown", "yaw hidden")
    for run in runs:
        for kind, found in run.get("yaw", {}).items():
            cells = []
            for v in (found[name] for name in ("all", "shown", "hidden")):
                angles = (number(at(key, factor=DEGREES)(v), "{:.1f}") for key in ("median", "p90"))
                cells.append(f"{', '.join(angles)} ({v['objects']})")
            lines.append(row(run["model"], kind, *cells))
    return lines


def _weights_left(run: Run) -> str:
    """Say how many of a model's draws importance weights leave, and why their coverage is not shown."""
    test = run["test"]
    weighted, each = test["weighted_calibration"], test["bound_samples"]
    worth = number(test["effective_samples"]["median"], "{:.1f}")
    reasons = dict.fromkeys(row["refused"] for row in weighted.values() if "refused" in row)
    return f"- {run['model']}: importance weights leave {worth} effective of {each} draws (median). {' '.join(reasons)}"


def _calibration_table(runs: Sequence[Run]) -> list[str]:
    lines = header("model", "quantity", "of", "50 % region", "90 % region", "ECE")
    for run in runs:
        for name, found in run["test"]["calibration"].items():
            coverage = found.get("coverage", {})
            cells = (number(_percent(coverage.get(level)), "{:.1f} %") for level in ("0.5", "0.9"))
            gap = number(_percent(found.get("expected_calibration_error")), "{:.1f} %")
            of = f"{found['images'] if coverage else run['test']['num_images']:,}"
            lines.append(row(run["model"], spoken(name), of, *cells, gap))
    return lines


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share
