"""Counts that were never seen (Figure 5): AIR, AIR with DAIR's look, DAIR and DRAW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from air3d.digits.dair import LOOK_CHANNELS
from air3d.digits.store import ModelConfig, ModelName
from air3d.evaluation.figure import new_figure
from experiments.figures import COLOURS, png
from experiments.kept import Kept
from experiments.multi_mnist.plan import Part
from experiments.multi_mnist.workbench import Workbench
from experiments.page import Results, Section
from experiments.tables import Column, Run, at, grouped, spread_table

PART: Part = "generalisation"
TITLE = "Counts that were never seen"


def run(bench: Workbench) -> None:
    """Run every model, on 0, 1 and 2 digits, and for longer on 0, 1 and 3."""
    plan = bench.plan
    models: dict[str, tuple[ModelName, ModelConfig]] = {
        "AIR": ("air", plan.air),
        "AIR with DAIR's look": ("air", replace(plan.air, look_channels=LOOK_CHANNELS)),
        "DAIR": ("dair", plan.air),
        "DRAW": ("draw", plan.draw),
    }
    for seen, unseen, longer in (((0, 1, 2), 3, False), ((0, 1, 3), 2, True)):
        iterations = plan.longer if longer else plan.training.iterations
        for seed in plan.longer_seeds if longer else plan.generalisation_seeds:
            for label, (name, network) in models.items():
                how = replace(bench.how(seed), iterations=iterations)
                about = {"model": label, "trained_on": list(seen), "tested_on": unseen, "seed": seed}
                digits, word = "".join(map(str, seen)), label.lower().replace("'", "").replace(" ", "-")
                sets = {"seen": seen, "unseen": (unseen,)}
                bench.trained(PART, f"{digits}-to-{unseen}-{word}-{seed}", name, how, seen, sets, about, network)


def _rise(run: Run) -> float:
    """The growth of the bound on seen counts in the last quarter of a training, nats."""
    curve = run["curve"]
    early = [point for point in curve if point["iteration"] <= 0.75 * curve[-1]["iteration"]]
    return float(curve[-1]["seen"]["elbo"] - early[-1]["seen"]["elbo"])


_COLUMNS = (
    Column("count right", at("test", "unseen", "count_accuracy", factor=100.0), "{:.2f} %"),
    Column("seen counts", at("test", "seen", "count_accuracy", factor=100.0), "{:.2f} %"),
    Column("bound", at("test", "unseen", "elbo"), "{:.1f}"),
    Column("seen counts", at("test", "seen", "elbo"), "{:.1f}"),
    Column("rise", _rise, "{:.1f}"),
)


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page = Section()
    page.text(
        "Median over seeds, range in brackets; a row of 1 seed is one training. *rise*: nats by which the bound on",
        "validation images of seen counts grew in the last quarter of the training.",
    )
    runs = sorted(results[PART], key=lambda run: (run["trained_on"], run["model"], run["seed"]))
    groups: dict[tuple[str, ...], list[Run]] = {
        (seen.strip("[]"), unseen, model, f"{group[0]['settings']['config']['train']['iterations']:,}"): group
        for (seen, unseen, model), group in grouped(runs, "trained_on", "tested_on", "model").items()
    }
    page.text(*spread_table(["trained on", "tested on", "model", "steps"], groups, _COLUMNS))
    glimpses = {run["settings"]["config"]["network"]["steps"] for run in runs if run["model"].startswith("DRAW")}
    page.text(
        "What differs from the paper: its DAIR keeps a recurrent state. Here DAIR's steps see what is left of the",
        "image and remember nothing else; they look through two convolutions, which are this project's. AIR is",
        "recurrent and sees the pixels, as the paper's; *AIR with DAIR's look* sees them through those convolutions."
        + "".join(f" DRAW takes {number} glimpses." for number in sorted(glimpses)),
    )
    page.figure("generalisation.png", lambda: _curves(runs), "Count accuracy and bound over training")
    return page


def _curves(runs: Sequence[Run]) -> bytes:
    """Draw, as PNG, count accuracy and bound on validation images of the unseen count, a line for every run."""
    settings, models = list(grouped(runs, "trained_on", "tested_on").items()), list(grouped(runs, "model"))
    figure = new_figure(4.5 * len(settings), 6.0)
    plots = np.atleast_2d(figure.subplots(2, len(settings), squeeze=False))
    for column, ((seen, unseen), own) in enumerate(settings):
        for run in own:
            for plot, key in zip(plots[:, column], ("count_accuracy", "elbo"), strict=True):
                points = [(p["iteration"], p["unseen"][key]) for p in run["curve"] if p["unseen"][key] is not None]
                if points:
                    colour = COLOURS[models.index((run["model"],))]
                    plot.plot(*zip(*points, strict=True), color=colour, linewidth=1.0, label=run["model"])
        plots[0, column].set_title(f"trained on {seen.strip('[]')} digits, tested on {unseen}")
        plots[1, column].set_xlabel("step")
        bounds = [p["unseen"]["elbo"] for run in own for p in run["curve"] if p["unseen"]["elbo"] is not None]
        plots[1, column].set_ylim(np.quantile(bounds, 0.2), max(bounds) + 20.0)
    plots[0, 0].set_ylabel("count accuracy")
    plots[1, 0].set_ylabel("bound, nats")
    handles, labels = plots[1, 0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    plots[1, 0].legend(unique.values(), unique.keys(), frameon=False)
    return png(figure)
