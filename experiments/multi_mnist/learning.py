"""Learning to count (Figures 2 and 3): `exact` against `nvil`, every seed to its end, and where each step looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.pictures import encode_picture
from air3d.digits.infer import infer
from air3d.digits.learner import CountEstimator
from air3d.digits.store import Model
from air3d.evaluation.figure import new_figure
from experiments.figures import COLOURS, png
from experiments.kept import Kept, Result, fingerprint
from experiments.multi_mnist import stages
from experiments.multi_mnist.plan import HELD_OUT, Part
from experiments.multi_mnist.workbench import Workbench, weights_fingerprint
from experiments.page import Results, Section
from experiments.tables import Run, by_seed, grouped, header, number, row

PART: Part = "learning"
TITLE = "Learning to count"
POLICIES, STAGES = "policies", "stages"

_POLICY_SEEDS = 3
_GOOD = 0.98


def run(bench: Workbench) -> None:
    """Run every estimator and seed; a few seeds' models are asked where they look."""
    some = {"exact": bench.plan.seeds, "nvil": bench.plan.seeds[: bench.plan.nvil_seeds]}
    for estimator in get_args(CountEstimator):
        for seed in some[estimator]:
            air(bench, estimator, seed)
    for seed in bench.plan.seeds[:_POLICY_SEEDS]:
        _policy(bench, seed)


def air(bench: Workbench, estimator: CountEstimator, seed: int) -> Model:
    """Train an AIR of this experiment; the first is pictured while it learns."""
    how = replace(bench.plan.training, seed=seed, estimator=estimator)
    watch = None
    if (estimator, seed) == ("exact", bench.plan.seeds[0]):
        watch = partial(stages.look, bench.kept.folder / STAGES, bench.images("validation", (0, 1, 2)).images)
    about, sets = {"estimator": estimator, "seed": seed}, {HELD_OUT: (0, 1, 2)}
    return bench.trained(PART, f"air-{estimator}-{seed}", "air", how, (0, 1, 2), sets, about, watch=watch)


def _policy(bench: Workbench, seed: int) -> None:
    model, images = air(bench, "exact", seed), bench.images("test", (0, 1, 2)).images

    def make() -> Result:
        maps = [
            np.histogram2d(c[:, 1], c[:, 0], bins=25, range=[[-1, 1], [-1, 1]])[0].astype(int)
            for c in window_centres(model, images)
        ]
        return {"seed": seed, "maps": [grid.tolist() for grid in maps]}

    settings = {"weights": weights_fingerprint(model), "images": fingerprint(images)}
    bench.kept.once(POLICIES, f"air-exact-{seed}", settings, make)


def window_centres(model: Model, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The scanning policy: for each step, the centres (M, 2) of the windows in use (x, y in half image sides)."""
    found = infer(model, images)
    if found.counts is None or found.z_where is None:
        return []
    return [found.z_where[found.counts > step, step, 1:] for step in range(found.z_where.shape[1])]


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    first, *_ = exact = by_seed([run for run in runs if run["estimator"] == "exact"])
    page.text(
        f"Time to {100 * _GOOD:.0f} % is measured on validation images while training; accuracy and bound are of all",
        "test images at the end. Times are those that the processor computed, all threads together, without measuring.",
    )
    page.text(*_table(runs))
    page.figure("learning.png", lambda: _curves(runs), "Count accuracy over training, every seed")
    folder = kept.folder / STAGES
    alt = "Reconstructions with windows at stages of training"
    page.figure("stages.png", lambda: encode_picture(stages.strip(folder)), alt)
    page.figures["learning.gif"] = lambda: stages.video(folder)
    shown = stages.chosen([point["iteration"] for point in first["curve"]])
    page.text(
        "Validation images (top) and reconstructions of the first seed after",
        f"{', '.join(f'{n:,}' for n in shown)} steps; windows of the first, second and third step in red, green",
        "and blue. As a [video](learning.gif).",
    )
    page.figure("policies.png", lambda: encode_picture(_policies(kept.results(POLICIES))), "Where each step looks")
    seeds = ", ".join(str(run["seed"]) for run in exact[:_POLICY_SEEDS])
    page.text(f"Where the windows of the first (red), second (green) and third (blue) step lie; seeds {seeds}.")
    return page


def _table(runs: Sequence[Run]) -> list[str]:
    """Write the table of every seed, and of all together."""
    lines = header("estimator", "seed", "count right", f"to {100 * _GOOD:.0f} %", "trained", "bound (nats)", "mse")
    for (estimator,), group in grouped(runs, "estimator").items():
        for run in by_seed(group):
            test, reached = run["test"][HELD_OUT], seconds_to(run["curve"], HELD_OUT, _GOOD)
            lines.append(
                row(
                    estimator,
                    str(run["seed"]),
                    f"{100 * test['count_accuracy']:.2f} %",
                    number(reached, "{:.0f} s"),
                    f"{run['cpu_seconds']:.0f} s",
                    f"{test['elbo']:.1f}",
                    f"{test['reconstruction_mse']:.4f}",
                )
            )
        counts = [run["test"][HELD_OUT]["count_accuracy"] for run in group]
        good = sum(count >= _GOOD for count in counts)
        lines.append(row(f"**{estimator}**", "median", f"**{100 * median(counts):.2f} %**", f"{good} of {len(group)}"))
    return lines


def seconds_to(curve: list[dict[str, Any]], name: str, accuracy: float) -> float | None:
    """The processor time of training until a curve first reaches a count accuracy on a set; None if it never does."""
    for point in curve:
        if point[name]["count_accuracy"] >= accuracy:
            return float(point["cpu_seconds"])
    return None


def _curves(runs: Sequence[Run]) -> bytes:
    """Draw, as PNG, the curve of every run, by steps and by processor time."""
    figure = new_figure(9, 3.6)
    plots = figure.subplots(1, 2, sharey=True)
    axes = (("iteration", "step"), ("cpu_seconds", "processor seconds of training"))
    for plot, (along, label) in zip(plots, axes, strict=True):
        for run in runs:
            estimator = run["estimator"]
            plot.plot(
                [point[along] for point in run["curve"]],
                [point[HELD_OUT]["count_accuracy"] for point in run["curve"]],
                color=COLOURS[0] if estimator == "exact" else COLOURS[1],
                linewidth=1.0,
                label=estimator,
            )
        plot.axhline(_GOOD, color="#999999", linewidth=0.8, linestyle=":")
        plot.set_xlabel(label)
    plots[0].set_ylabel("validation count accuracy")
    handles, labels = plots[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    plots[0].legend(unique.values(), unique.keys(), frameon=False)
    return png(figure)


def _policies(policies: Sequence[Run], factor: int = 6) -> NDArray[np.uint8]:
    """Draw histograms of window centres, (seeds, steps, K, K), as a row of pictures; a step is a colour channel."""
    tiles = []
    for maps in (policy["maps"] for policy in policies):
        grid = np.zeros((len(maps[0]), len(maps[0]), 3))
        for step, counts in enumerate(maps[:3]):
            share = np.array(counts, dtype=np.float64)
            grid[..., step] = np.sqrt(share / max(share.max(), 1.0))
        tile = np.rint(255.0 * grid).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
        tiles += [tile, np.full((len(tile), 6, 3), 255, dtype=np.uint8)]
    return np.concatenate(tiles[:-1], axis=1)
