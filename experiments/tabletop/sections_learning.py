"""Writes the page's sections on models trained for the experiments: images alone, rivals, feedback."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from experiments.markdown import grouped, header, number, row, spread
from experiments.section import Section
from experiments.tabletop import columns as c
from experiments.tabletop.columns import Run, count_table, run_table, spread_table
from experiments.tabletop.figures import learning_curves
from experiments.tabletop.workbench import Workbench

_BAR_COUNT, _BAR_KINDS = 0.95, 0.90
_EVERY = (*c.SCENE[:3], c.POSITION_P90, *c.SCENE[3:], c.DISTANCE, c.MSSD, c.MSPD, c.MSE)


def images_alone(bench: Workbench, runs: list[Run]) -> Section:
    """Write the section on part 1."""
    page = Section()
    train = runs[0]["settings"]["train"]
    page.text(
        f"Cold start; {runs[0]['settings']['images']} images, no labels, no dreams; the wake phase, "
        f"{train['iterations']} iterations of {train['batch']} images. Errors on {runs[0]['settings']['test']} test "
        "images. The gradients are self-normalised importance weights, those of reweighted wake-sleep's wake phase, "
        "not likelihood ratios. Known besides the images: the meshes and colours of the kinds, the table, the lamp, "
        "the ranges of the camera, and the prior, that of the count included."
    )
    rows = [([str(run["seed"])], run) for run in _by_seed(runs)]
    page.text(*run_table(["seed"], rows, (*_EVERY, c.ELBO, c.IWAE, c.WITHOUT_BOUND, c.MINUTES, c.RENDERS)))
    tests = [run["test"] for run in runs]
    reached = sum(t["count_accuracy"] >= _BAR_COUNT and t["kinds_accuracy"] >= _BAR_KINDS for t in tests)
    page.text(f"Count at least 95 % and kinds at least 90 %: {reached} of {len(runs)} seeds.")
    page.text("By the number of objects, median and range over seeds:")
    page.text(*count_table([], {(): runs}))
    alt = (
        "Learning curves of every seed on the validation images: count, kinds, position and camera against minutes and "
        f"renders. At the end the count is right in {_last(runs, 'count_accuracy')}, all kinds in "
        f"{_last(runs, 'kinds_accuracy')} (median and range over seeds)."
    )
    page.figure("images-alone.png", learning_curves({"AIR": _by_seed(runs)}), alt)
    page.text("Validation images; a line a seed. Times leave measuring out; renders are all that training drew.")
    return page


def rivals(bench: Workbench, runs: list[Run]) -> Section:
    """Write the section on part 2."""
    page = Section()
    page.text(
        "AIR learns from images alone, a fixed set of them. The supervised networks are plain ones: the convolutional"
        " encoder of single objects and fully connected layers that answer all slots at once, with neither the cells "
        "nor the windows of AIR's guide, and fewer weights. They learn from true labels of fresh scenes: *arbitrary* "
        "takes the labels in the order in which they happen to stand, as in the paper; *matched* assigns them to its "
        "own answers by the Hungarian method. *guide, by labels* is the rival with AIR's own guide: the same network "
        "taught by the labels of fresh scenes, which is the sleep phase (one seed, from part 6; other test images of "
        "the same prior). Median over seeds, range in brackets."
    )
    columns = (*c.SCENE, c.MSSD, c.MSE, c.PARAMETERS, c.MINUTES, c.RENDERS, c.MILLISECONDS)
    every = []
    for repeat, words in ((True, "Kinds may repeat"), (False, "No kind repeats")):
        chosen = [run for run in runs if run["settings"]["repeat"] is repeat]
        if repeat:
            chosen = bench.results("images-alone") + chosen + _guide_by_labels(bench.results("perturbed"))
        groups = grouped(_by_seed(chosen), "method")
        page.text(f"### {words}")
        if not groups:
            page.text("Not run yet.")
            continue
        page.text(*spread_table(["method"], groups, columns))
        page.text(*_gaps(groups))
        every += [([words, *name, str(run["seed"])], run) for name, found in groups.items() for run in found]
    page.text("### Every seed")
    page.text(*run_table(["scenes", "method", "seed"], every, (*c.SCENE, c.MSSD, c.MSE, c.MINUTES)))
    return page


def feedback(bench: Workbench, runs: list[Run]) -> Section:
    """Write the section on part 8."""
    page = Section()
    page.text(
        "After each object the guide looks again: at the difference between the image and what has been explained, "
        "rendered (`difference`, one render a step), or at marks where objects were named (`marks`, none). Trained on "
        "scenes of 0 to 2 objects, the same number of iterations in a phase, tested on 0 to 3. Median over seeds, "
        "range in brackets; all test images:"
    )
    groups = grouped(_by_seed(runs), "phase", "feedback")
    columns = (*c.SCENE, c.MSE, c.MINUTES, c.RENDERS, c.MILLISECONDS)
    page.text(*spread_table(["phase", "feedback"], groups, columns))
    page.text("By the number of objects; 3 is beyond what was trained:")
    page.text(*count_table(["phase", "feedback"], groups))
    page.text(*_equal_time(groups))
    page.text("Every seed:")
    rows = [([*name, str(run["seed"])], run) for name, found in groups.items() for run in found]
    beyond = c.Column("count right, 3 objects", lambda run: _of_three(run, "count_accuracy"), "{:.1f} %")
    kinds = c.Column("all kinds right, 3 objects", lambda run: _of_three(run, "kinds_accuracy"), "{:.1f} %")
    page.text(*run_table(["phase", "feedback", "seed"], rows, (*c.SCENE, beyond, kinds, c.MINUTES, c.RENDERS)))
    for phase in dict.fromkeys(run["phase"] for run in runs):
        chosen = {name[1]: found for name, found in groups.items() if name[0] == phase}
        alt = (
            f"Learning curves of the {phase} phase with either feedback, on validation images of 0 to 2 objects: "
            "count, kinds, position and camera against minutes and renders."
        )
        page.figure(f"feedback-{phase}.png", learning_curves(chosen), alt)
    return page


def _by_seed(runs: Sequence[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: int(run["seed"]))


def _last(runs: Sequence[Run], key: str) -> str:
    return spread([100.0 * run["curve"][-1][key] for run in runs], "{:.1f} %")


def _of_three(run: Run, key: str) -> float | None:
    return next((100.0 * r[key] for r in run["test"]["by_count"] if r["objects"] == 3), None)


def _guide_by_labels(perturbed: Sequence[Run]) -> list[Run]:
    """Take part 6's models, trained asleep without perturbation, as rivals: AIR's guide, labels instead of images."""
    tests = {run["name"]: run["test"] for run in perturbed if "test" in run}
    return [
        {**run, "method": "guide, by labels", "test": tests[name]}
        for run in perturbed
        if run.get("trained") == "without"
        and (name := f"trained-without-perturbation-seed-{run['seed']}-inference-0") in tests
    ]


def _gaps(groups: dict[tuple[str, ...], list[Run]]) -> list[str]:
    """Write AIR's lead over each rival in points of count and kinds, between medians."""
    if ("air",) not in groups:
        return []
    lines = []
    for (name,), runs in groups.items():
        if name != "air":
            leads = [
                100.0 * (median(r["test"][key] for r in groups[("air",)]) - median(r["test"][key] for r in runs))
                for key in ("count_accuracy", "kinds_accuracy")
            ]
            lines.append(
                f"- AIR's lead over {name}: {leads[0]:+.1f} points of count, {leads[1]:+.1f} of kinds (medians)"
            )
    return lines


def _equal_time(groups: dict[tuple[str, ...], list[Run]]) -> list[str]:
    """Write the table of each curve at the time that the quickest run of its phase took."""
    lines = [
        "At equal time, validation images of 0 to 2 objects (the last point of each curve within the time that the "
        "phase's quickest run took; schedules are those of the whole run):",
        "",
        *header("phase", "feedback", "seeds", "minutes", "count right", "all kinds right", "position mm"),
    ]
    for (phase, name), runs in groups.items():
        limit = min(run["seconds"] for (other, _), found in groups.items() for run in found if other == phase)
        points = [p for run in runs for p in [p for p in run["curve"] if p["seconds"] <= 1.02 * limit][-1:]]
        lines.append(
            row(
                phase,
                name,
                str(len(points)),
                number(limit / 60.0, "{:.1f}"),
                spread([100.0 * p["count_accuracy"] for p in points], "{:.1f} %"),
                spread([100.0 * p["kinds_accuracy"] for p in points], "{:.1f} %"),
                spread([c.at("position_error_m", factor=1000.0)(p) for p in points], "{:.1f}"),
            )
        )
    return lines
