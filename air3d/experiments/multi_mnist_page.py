"""Tables and figures of the multi-MNIST experiments, from their results."""

from __future__ import annotations

import io
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.experiments.digits_stages import Stages
from air3d.experiments.digits_trial import seconds_to
from air3d.experiments.multi_mnist import HELD_OUT
from air3d.pictures import encode_picture
from datasets.files import atomic_file

Run = dict[str, Any]

_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#b8860b", "#7b5ea7")
_GOOD = 0.98
POLICIES = "policies.png"

_INTRODUCTION = """# Several digits: learning to count, to find and to explain

Images of 50x50 pixels with 0, 1 or 2 handwritten digits (Figures 2 to 5 and 8 of the paper), learnt without labels.
Every seed that was run is shown. Held-out images are made of digits that no training image contains.
"""


def write_page(out: Path, results: dict[str, Any], facts: dict[str, str], work: Path, stages: Stages) -> None:
    """Write README.md, results.json, figures and the video into `out`.

    Args:
        results: of `MultiMnist.run`.
        facts: how they were made: command, commit, machine.
        work: where the experiment keeps its scanning policies.
        stages: of the first seed.
    """
    out.mkdir(parents=True, exist_ok=True)
    iterations, strip = stages.strip()
    policies = sorted(work.glob("policy-*.json"))
    text = "\n".join(
        [
            _INTRODUCTION,
            *(f"- {name}: `{value}`" for name, value in facts.items()),
            "",
            "## Learning to count",
            "",
            f"Time to {100 * _GOOD:.0f} % is measured on the first held-out images while training, without the time "
            "that measuring takes; accuracy and bound are of all held-out images at the end.",
            "",
            *_learning_table(results["learning"]),
            "",
            "![Count accuracy over training, every seed](learning.png)",
            "",
            "![Reconstructions with windows at stages of training](stages.png)",
            "",
            f"Held-out images (top) and reconstructions of the first seed after {_listed(iterations)} steps; windows "
            "of the first, second and third step in red, green and blue. As a [video](learning.gif).",
            "",
            f"![Where each step looks]({POLICIES})",
            "",
            f"Where the windows of the first (red), second (green) and third (blue) step lie; {len(policies)} seeds.",
            "",
            "## Counts that were never seen",
            "",
            *_generalisation_table(results["generalisation"]),
            "",
            "![Count accuracy and bound over training](generalisation.png)",
            "",
            "## Foreign data, no adaptation",
            "",
            *_foreign_table(results["foreign"]),
            "",
            "## What the codes are good for",
            "",
            *_codes_table(results["codes"]),
            "",
            "![Accuracy against the number of labels](codes.png)",
            "",
        ]
    )
    for name, data in (
        ("README.md", text.encode()),
        ("learning.png", _learning_figure(results["learning"])),
        ("stages.png", encode_picture(strip)),
        ("learning.gif", stages.video()),
        (POLICIES, encode_picture(_policy_picture([json.loads(path.read_text()) for path in policies]))),
        ("generalisation.png", _generalisation_figure(results["generalisation"])),
        ("codes.png", _codes_figure(results["codes"])),
        ("results.json", (json.dumps({"facts": facts, **results}, indent=1) + "\n").encode()),
    ):
        with atomic_file(out / name) as file:
            file.write(data)


def _learning_table(runs: list[Run]) -> list[str]:
    lines = _header("estimator", "seed", "count right", f"to {100 * _GOOD:.0f} %", "trained", "bound (nats)", "mse")
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run["config"]["train"]["estimator"], []).append(run)
    for estimator, group in groups.items():
        for run in group:
            test, reached = run["test"][HELD_OUT], seconds_to(run["curve"], HELD_OUT, _GOOD)
            lines.append(
                _row(
                    estimator,
                    str(run["config"]["train"]["seed"]),
                    _percent(test["count_accuracy"]),
                    "-" if reached is None else f"{reached:.0f} s",
                    f"{run['seconds']:.0f} s",
                    f"{test['elbo']:.1f}",
                    f"{test['reconstruction_mse']:.4f}",
                )
            )
        counts = [run["test"][HELD_OUT]["count_accuracy"] for run in group]
        good = sum(count >= _GOOD for count in counts)
        lines.append(_row(f"**{estimator}**", "median", f"**{_percent(median(counts))}**", f"{good} of {len(group)}"))
    return lines


def _generalisation_table(runs: list[Run]) -> list[str]:
    lines = _header("trained on", "tested on", "model", "seeds", "count right", "seen counts", "bound", "seen counts")
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        model, seen, _, unseen, _ = run["name"].split("-")
        groups.setdefault((", ".join(seen), unseen, model), []).append(run)
    for (seen, unseen, model), group in groups.items():
        cells = [seen, unseen, model, str(len(group))]
        for key, form in (("count_accuracy", _percent), ("elbo", lambda value: f"{value:.1f}")):
            for data in ("unseen", "seen"):
                values = [run["test"][data][key] for run in group]
                cells.append("-" if values[0] is None else _spread(values, form))
        lines.append(_row(*cells))
    return lines


def _foreign_table(rows: list[dict[str, Any]]) -> list[str]:
    lines = _header("trained on", "tested on", "count right", "bound (nats)", "mse")
    for row in rows:
        test = row["test"]
        cells = (_percent(test["count_accuracy"]), f"{test['elbo']:.1f}", f"{test['reconstruction_mse']:.4f}")
        lines.append(_row(row["trained_on"], row["tested_on"], *cells))
    return lines


def _codes_table(rows: list[dict[str, Any]]) -> list[str]:
    names = [name for name in rows[0] if name not in ("task", "labels")]
    lines = _header("task", "labels", *names)
    return lines + [_row(row["task"], str(row["labels"]), *(_percent(row[name]) for name in names)) for row in rows]


def _learning_figure(runs: list[Run]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    plots = figure.subplots(1, 2, sharey=True)
    for plot, along, label in ((plots[0], "iteration", "step"), (plots[1], "seconds", "seconds of training")):
        for run in runs:
            estimator = run["config"]["train"]["estimator"]
            plot.plot(
                [point[along] for point in run["curve"]],
                [point[HELD_OUT]["count_accuracy"] for point in run["curve"]],
                color=_COLOURS[0] if estimator == "exact" else _COLOURS[1],
                linewidth=1.0,
                label=estimator,
            )
        plot.axhline(_GOOD, color="#999999", linewidth=0.8, linestyle=":")
        plot.set_xlabel(label)
    plots[0].set_ylabel("held-out count accuracy")
    handles, labels = plots[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    plots[0].legend(unique.values(), unique.keys(), frameon=False)
    return _png(figure)


def _generalisation_figure(runs: list[Run]) -> bytes:
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(tuple(run["name"].split("-")[1:4:2]) for run in runs))
    models = list(dict.fromkeys(run["name"].split("-")[0] for run in runs))
    figure = Figure(figsize=(4.5 * len(settings), 6.0), layout="constrained")
    plots = np.atleast_2d(figure.subplots(2, len(settings), squeeze=False))
    for column, (seen, unseen) in enumerate(settings):
        own = [run for run in runs if tuple(run["name"].split("-")[1:4:2]) == (seen, unseen)]
        for run in own:
            model = run["name"].split("-")[0]
            for row, key in enumerate(("count_accuracy", "elbo")):
                points = [(p["iteration"], p["unseen"][key]) for p in run["curve"] if p["unseen"][key] is not None]
                if points:
                    plots[row, column].plot(
                        *zip(*points, strict=True), color=_COLOURS[models.index(model)], label=model
                    )
        plots[0, column].set_title(f"trained on {', '.join(seen)} digits, tested on {unseen}")
        plots[1, column].set_xlabel("step")
        bounds = [p["unseen"]["elbo"] for run in own for p in run["curve"] if p["unseen"]["elbo"] is not None]
        plots[1, column].set_ylim(np.quantile(bounds, 0.2), max(bounds) + 20.0)
    plots[0, 0].set_ylabel("count accuracy")
    plots[1, 0].set_ylabel("bound, nats")
    handles, labels = plots[1, 0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    plots[1, 0].legend(unique.values(), unique.keys(), frameon=False)
    return _png(figure)


def _codes_figure(rows: list[dict[str, Any]]) -> bytes:
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure = Figure(figsize=(4.5 * len(tasks), 3.6), layout="constrained")
    plots = figure.subplots(1, len(tasks), squeeze=False)[0]
    for plot, task in zip(plots, tasks, strict=True):
        own = [row for row in rows if row["task"] == task]
        for index, name in enumerate(name for name in own[0] if name not in ("task", "labels")):
            x, y = [row["labels"] for row in own], [row[name] for row in own]
            plot.plot(x, y, "o-", color=_COLOURS[index % len(_COLOURS)], markersize=3, label=name)
        plot.set_xscale("log")
        plot.set_xlabel("labelled images")
        plot.set_title(task)
    plots[0].set_ylabel("held-out accuracy")
    plots[0].legend(frameon=False)
    return _png(figure)


def _policy_picture(policies: list[list[list[list[int]]]], factor: int = 6) -> NDArray[np.uint8]:
    """Histograms of window centres, (seeds, steps, K, K), as a row of colour pictures; a step is a colour channel."""
    tiles = []
    for maps in policies:
        grid = np.zeros((len(maps[0]), len(maps[0]), 3))
        for step, counts in enumerate(maps[:3]):
            share = np.array(counts, dtype=np.float64)
            grid[..., step] = np.sqrt(share / max(share.max(), 1.0))
        tile = np.rint(255.0 * grid).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
        tiles += [tile, np.full((len(tile), 6, 3), 255, dtype=np.uint8)]
    return np.concatenate(tiles[:-1], axis=1)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _header(*cells: str) -> list[str]:
    return [_row(*cells), _row(*("---" for _ in cells))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _spread(values: list[float], form: Any) -> str:
    low, high = min(values), max(values)
    return form(median(values)) if low == high else f"{form(median(values))} [{form(low)}, {form(high)}]"


def _listed(numbers: list[int]) -> str:
    return ", ".join(f"{number:,}" for number in numbers)
