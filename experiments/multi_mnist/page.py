"""Writes the page of the multi-MNIST experiments from the results that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from air3d.datasets.pictures import encode_picture
from experiments.markdown import grouped, header, number, row, spread
from experiments.multi_mnist.experiment import HELD_OUT, POLICIES, MultiMnist, Part
from experiments.multi_mnist.figures import codes_figure, generalisation_figure, learning_figure, policy_picture
from experiments.multi_mnist.trial import seconds_to
from experiments.page import Entry, write_entries
from experiments.section import Section

Run = dict[str, Any]

TASKS = ("sum", "ascending")
CODES = ("air", "air, left to right", "draw", "cae", "cnn on pixels")
_GOOD = 0.98

_INTRODUCTION = """# Several digits: learning to count, to find and to explain

Images of 50x50 pixels with 0, 1 or 2 handwritten digits (Figures 2 to 5 and 8 of the paper), learnt without labels.
Every seed that was run is shown. Training, validation and test images are made of different digits: the first 50,000 of
MNIST's training digits, the last 10,000 of them, and MNIST's test digits. Curves are of validation images, tables of
test images.
"""


def write_page(out: Path, experiment: MultiMnist) -> None:
    """Write the page into `out`; see `experiments.page.write_entries`."""
    sections: tuple[tuple[Part, str, Callable[[list[Run]], Section]], ...] = (
        ("learning", "Learning to count", partial(_learning, experiment)),
        ("generalisation", "Counts that were never seen", generalisation),
        ("foreign", "Foreign data, no adaptation", foreign),
        ("codes", "What the codes are good for", codes),
    )
    entries = [Entry(part, title, experiment.results(part), make) for part, title, make in sections]
    write_entries(out, _INTRODUCTION, "air3d reproduce multi-mnist", entries)


def _learning(experiment: MultiMnist, runs: list[Run]) -> Section:
    page, stages, policies = Section(), experiment.stages(), experiment.results(POLICIES)
    iterations, strip = stages.strip()
    page.text(
        f"Time to {100 * _GOOD:.0f} % is measured on validation images while training; accuracy and bound are of all",
        "test images at the end. Times are those that the processor computed, all threads together, without measuring.",
    )
    page.text(*learning_table(runs))
    page.figure("learning.png", learning_figure(runs), "Count accuracy over training, every seed")
    page.figure("stages.png", encode_picture(strip), "Reconstructions with windows at stages of training")
    page.figures["learning.gif"] = stages.video()
    page.text(
        "Validation images (top) and reconstructions of the first seed after",
        f"{', '.join(f'{n:,}' for n in iterations)} steps; windows of the first, second and third step in red, green",
        "and blue. As a [video](learning.gif).",
    )
    picture = policy_picture([policy["maps"] for policy in policies])
    page.figure("policies.png", encode_picture(picture), "Where each step looks")
    seeds = ", ".join(str(policy["seed"]) for policy in policies)
    page.text(f"Where the windows of the first (red), second (green) and third (blue) step lie; seeds {seeds}.")
    return page


def learning_table(runs: Sequence[Run]) -> list[str]:
    """Write the table of every seed, and of all together."""
    lines = header("estimator", "seed", "count right", f"to {100 * _GOOD:.0f} %", "trained", "bound (nats)", "mse")
    for (estimator,), group in grouped(runs, "estimator").items():
        group = sorted(group, key=lambda run: run["seed"])
        for run in group:
            test, reached = run["test"][HELD_OUT], seconds_to(run["curve"], HELD_OUT, _GOOD)
            lines.append(
                row(
                    estimator,
                    str(run["seed"]),
                    _percent(test["count_accuracy"]),
                    number(reached, "{:.0f} s"),
                    f"{run['cpu_seconds']:.0f} s",
                    f"{test['elbo']:.1f}",
                    f"{test['reconstruction_mse']:.4f}",
                )
            )
        counts = [run["test"][HELD_OUT]["count_accuracy"] for run in group]
        good = sum(count >= _GOOD for count in counts)
        lines.append(row(f"**{estimator}**", "median", f"**{_percent(median(counts))}**", f"{good} of {len(group)}"))
    return lines


def generalisation(runs: list[Run]) -> Section:
    """Write the section on counts that were never seen."""
    page = Section()
    page.text(
        "Median over seeds, range in brackets; a row of 1 seed is one training. *rise*: nats by which the bound on",
        "validation images of seen counts grew in the last quarter of the training.",
    )
    lines = header(
        *("trained on", "tested on", "model", "steps", "seeds"),
        *("count right", "seen counts", "bound", "seen counts", "rise"),
    )
    runs = sorted(runs, key=lambda run: (run["trained_on"], run["model"], run["seed"]))
    for (seen, unseen, model), group in grouped(runs, "trained_on", "tested_on", "model").items():
        steps = group[0]["settings"]["config"]["train"]["iterations"]
        cells = [seen.strip("[]"), unseen, model, f"{steps:,}", str(len(group))]
        for key, factor, form in (("count_accuracy", 100.0, "{:.2f} %"), ("elbo", 1.0, "{:.1f}")):
            for data in ("unseen", "seen"):
                values = [run["test"][data][key] for run in group]
                cells.append(spread([None if value is None else factor * value for value in values], form))
        lines.append(row(*cells, spread([_rise(run["curve"]) for run in group], "{:.1f}")))
    page.text(*lines)
    glimpses = {run["settings"]["config"]["network"]["steps"] for run in runs if run["model"].startswith("DRAW")}
    page.text(
        "What differs from the paper: its DAIR keeps a recurrent state. Here DAIR's steps see what is left of the",
        "image and remember nothing else; they look through two convolutions, which are this project's. AIR is",
        "recurrent and sees the pixels, as the paper's; *AIR with DAIR's look* sees them through those convolutions."
        + "".join(f" DRAW takes {number} glimpses." for number in sorted(glimpses)),
    )
    page.figure("generalisation.png", generalisation_figure(runs), "Count accuracy and bound over training")
    return page


def _rise(curve: list[dict[str, Any]]) -> float:
    """The growth of the bound on seen counts in the last quarter of a training, nats."""
    early = [point for point in curve if point["iteration"] <= 0.75 * curve[-1]["iteration"]]
    return float(curve[-1]["seen"]["elbo"] - early[-1]["seen"]["elbo"])


def foreign(runs: list[Run]) -> Section:
    """Write the section on images of the other preset."""
    page = Section()
    page.text("Median over seeds, range in brackets; a row of 1 seed is one training.")
    lines = header("trained on", "tested on", "seeds", "count right", "bound (nats)", "mse")
    for names, group in grouped(runs, "trained_on", "tested_on").items():
        tests = [run["test"] for run in group]
        lines.append(
            row(
                *names,
                str(len(group)),
                spread([100.0 * test["count_accuracy"] for test in tests], "{:.2f} %"),
                spread([test["elbo"] for test in tests], "{:.1f}"),
                spread([test["reconstruction_mse"] for test in tests], "{:.4f}"),
            )
        )
    page.text(*lines)
    return page


def codes(runs: list[Run]) -> Section:
    """Write the section on what second networks read off the codes."""
    page = Section()
    page.text("One training of each model (one seed), and one of each network that reads its codes.")
    names = [name for name in CODES if any(run["code"] == name for run in runs)]
    lines = header("task", "labels", *names)
    rows = sorted(runs, key=lambda run: (TASKS.index(run["task"]), run["labels"]))
    for (task, labels), group in grouped(rows, "task", "labels").items():
        found = {run["code"]: 100.0 * run["accuracy"] for run in group}
        lines.append(row(task, labels, *(number(found.get(name), "{:.2f} %") for name in names)))
    page.text(*lines)
    page.figure("codes.png", codes_figure(rows, names), "Accuracy against the number of labels")
    return page


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
