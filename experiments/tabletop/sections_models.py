"""Writes the page's sections on trained models: top views, scanning policy, six kinds, shipped weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from air3d.evaluation.tables import spoken
from experiments.markdown import grouped, header, number, row
from experiments.section import Section
from experiments.tabletop import columns as c
from experiments.tabletop.columns import DEGREES, Run, count_table, run_table
from experiments.tabletop.figures import heat_maps
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench

ANSWERS = ("most probable", "sampled")
_ANGLES = (c.YAW, c.YAW_P90, c.AZIMUTH, c.ELEVATION, c.DISTANCE)
_EVERY = (c.COUNT_OF, c.KINDS_OF, c.POSITION, c.POSITION_P90, *_ANGLES, c.MSSD, c.MSPD, c.MSE)


def top_views(bench: Workbench, runs: list[Run]) -> Section:
    """Write the section on part 3."""
    page = Section()
    page.text(
        "The first test images, not selected. Filled: the true objects, in their colours, and the true camera; red: "
        "what was inferred, camera included. The table is turned so that the true camera is below."
    )
    for run in runs:
        wrong = [
            i + 1
            for i, pair in enumerate(run["scenes"])
            if sorted(o["kind"] for o in pair["truth"]["objects"])
            != sorted(o["kind"] for o in pair["inferred"]["objects"])
        ]
        verdict = f"kinds wrong in column {', '.join(map(str, wrong))}" if wrong else "all kinds right"
        alt = (
            f"{len(run['scenes'])} test images, the answers of the model ({run['model']}) drawn, and true and inferred "
            f"scenes from above; {verdict}."
        )
        page.text(f"Model: {run['model']}.")
        _kept(bench, page, "top-view", run["name"], alt)
    return page


def scanning(bench: Workbench, runs: list[Run]) -> Section:
    """Write the section on part 4."""
    page = Section()
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
        page.figure(f"scanning-{i + 1}.png", heat_maps(group, ANSWERS[0]), alt)
    return page


def six_kinds(bench: Workbench, runs: list[Run]) -> Section:
    """Write the section on part 5."""
    page = Section()
    for run in runs:
        page.text(f"Kinds: {', '.join(run['kinds'])}; up to {run['most']} items; {run['size']}x{run['size']} pixels.")
    page.text(
        *run_table(
            ["model"], [([run["model"]], run) for run in runs], (*_EVERY, c.ELBO, c.WITHOUT_BOUND, c.MILLISECONDS)
        )
    )
    page.text("By the number of items:", "", *count_table(["model"], grouped(runs, "model")))
    return page


def shipped(bench: Workbench, runs: list[Run]) -> Section:
    """Write the section on part 7."""
    page = Section()
    tests = [([run["model"], run["job"]], run) for run in sorted(runs, key=_budget) if "test" in run]
    page.text(*run_table(["model", "answer"], tests, (*_EVERY, c.ELBO, c.IWAE, c.WITHOUT_BOUND, c.RENDERS_EACH)))
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


def _kept(bench: Workbench, page: Section, part: Part, name: str, alt: str) -> None:
    """Put a picture that was drawn with the results into the page."""
    page.figure(f"{part}-{name}.png", bench.path(part, name, ".png").read_bytes(), alt)


def _heat_groups(runs: Sequence[Run]) -> dict[tuple[int, tuple[str, ...]], list[Run]]:
    """Group the runs with heat maps by steps and kinds."""
    found: dict[tuple[int, tuple[str, ...]], list[Run]] = {}
    for run in runs:
        if "heat" in run[ANSWERS[0]]:
            found.setdefault((run[ANSWERS[0]]["steps"], tuple(run["kinds"])), []).append(run)
    return found


def _accuracy(found: dict[str, Any]) -> str:
    if found["accuracy"] is None:
        return "-"
    return f"{100.0 * found['accuracy']:.1f} ± {100.0 * found['standard_error']:.1f}"


def _budget(run: Run) -> tuple[str, int]:
    return run["model"], int(run["job"].rpartition("-")[2]) if run["job"].startswith("refine") else 0


def _yaw_table(runs: Sequence[Run]) -> list[str]:
    lines = header("model", "kind", "all", "yaw shown", "yaw hidden")
    for run in runs:
        for kind, found in run.get("yaw", {}).items():
            cells = []
            for v in (found[name] for name in ("all", "shown", "hidden")):
                angles = (number(c.at(key, factor=DEGREES)(v), "{:.1f}") for key in ("median", "p90"))
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
