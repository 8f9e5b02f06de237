"""Writes the page's section on other colours, sizes and light, and on strange pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.markdown import grouped, header, number, row
from experiments.section import Section
from experiments.tabletop import columns as c
from experiments.tabletop.columns import DEGREES, Run, run_table
from experiments.tabletop.figures import accuracy_by_strength, strips
from experiments.tabletop.workbench import Workbench


def perturbed(bench: Workbench, runs: list[Run]) -> Section:
    """Write the section on part 6."""
    page = Section()
    page.text(
        "Strength 1 is what perturbed models are trained with: sizes by 10 %, colours by 0.1, the lamp by 20 degrees, "
        "its levels by 15 %, all uniform. At strength 2 the lamp's angles are cut at 34.4 degrees. *display*: smooth "
        "meshes, shadows, multisampling and a wooden table top, none of them ever trained on."
    )
    runs = sorted(runs, key=_trained_first)
    groups = grouped([run for run in runs if "test" in run], "model")
    rows = [
        ([name, run["detail"], f"{run['strength']:g}"], run)
        for (name,), found in groups.items()
        for run in sorted(found, key=lambda r: (r["detail"] == "display", r["strength"]))
    ]
    columns = (c.COUNT, c.KINDS, c.POSITION, c.YAW, c.AZIMUTH, c.ELEVATION, c.MSSD, c.MSE)
    page.text(*run_table(["model", "pictures", "strength"], rows, columns))
    alt = (
        "Count and kinds right against the strength of the perturbation, a line a model; crosses are smooth, shadowed "
        "pictures. The table above has the numbers."
    )
    page.figure("perturbed.png", accuracy_by_strength({name: found for (name,), found in groups.items()}), alt)
    trained = [run for run in runs if "trained" in run]
    if trained:
        page.text("The two models trained here, alike but for the perturbation of their dreams:")
        lines = [([f"{run['trained']} perturbation", str(run["seed"])], run) for run in trained]
        page.text(*run_table(["trained", "seed"], lines, (c.MINUTES, c.RENDERS, c.PARAMETERS)))
    page.text("### Strange pictures")
    page.text(
        "No photos can be shipped; these pictures were made to be unlike the models' own. *likelihood*: log p(x | z) "
        "of the answer, in nats; *usual*: the share of ordinary test images that the model explains worse. *counts*: "
        "how often each number of objects was drawn from the posterior. *azimuth spread*: circular standard deviation "
        "of the drawn cameras. *effective samples*: after weighing by the likelihood; 1 means that one sample beats "
        "all others, a dash that the prior allows none of them. A guide that is sure of its answer is not one that is "
        "right: only the likelihood sees the picture."
    )
    for run in runs:
        if "strange" in run:
            page.text(f"Model: {run['model']}.")
            page.text(*_strange_table(run["strange"]))
    for side, (names, pictures) in _strips(bench, runs).items():
        models = ", ".join(name for name, _ in pictures[1:])
        alt = (
            f"The strange pictures at {side}x{side} pixels ({', '.join(names)}), and below them the answers, drawn, "
            f"of these models: {models}. The tables above say what they are."
        )
        page.figure(f"strange-{side}.png", strips(pictures, names), alt)
    return page


def _strange_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = header(
        "picture", "answer", "likelihood", "usual", "counts 0, 1, 2, ...", "azimuth spread °", "effective samples"
    )
    for r in rows:
        effective = number(r["effective_samples"], "{:.1f}")
        lines.append(
            row(
                r["picture"],
                ", ".join(r["answer"]) or "an empty table",
                f"{r['log_likelihood']:.0f}",
                f"{100.0 * r['usual_below']:.0f} %",
                ", ".join(f"{p:.2f}" for p in r["count_probability"]),
                f"{DEGREES * r['azimuth_spread_rad']:.1f}",
                f"{effective} of {r['samples']}",
            )
        )
    return lines


def _strips(bench: Workbench, runs: Sequence[Run]) -> dict[int, tuple[list[str], list[tuple[str, NDArray[np.uint8]]]]]:
    """Collect strange pictures and each model's answers by the side of the pictures: names of the columns, rows."""
    found: dict[int, tuple[list[str], list[tuple[str, NDArray[np.uint8]]]]] = {}
    for run in runs:
        if "strange" in run:
            with Image.open(bench.path("perturbed", run["name"], ".png")) as opened:
                both = np.asarray(opened)
            side = both.shape[0] // 2
            columns = [row["picture"] for row in run["strange"]]
            _, rows = found.setdefault(side, (columns, [("picture", both[:side])]))
            rows.append((run["model"], both[side:]))
    return found


def _trained_first(run: Run) -> tuple[bool, bool, str]:
    """Sort the models: those trained for the comparison first, the one without perturbation at the head."""
    name = run.get("model", "")
    return not name.startswith("trained"), not name.startswith("trained without"), name
