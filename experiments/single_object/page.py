"""Writes the tables and figures of the single-object experiment from its results."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from air3d.datasets.files import atomic_file
from air3d.evaluation.figure import new_figure
from experiments.kept import made_by
from experiments.markdown import header, number, row, spread
from experiments.single_object.rivals import example_names

Run = dict[str, Any]

FINDINGS = "findings.md"

_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#b8860b", "#7b5ea7", "#555555", "#e07b39")


_INTRODUCTION = """# One object: identity, position, rotation

A red cube, a blue sphere or a textured cylinder on a table, 64x64 pixels, a fixed camera: the experiment of Figure 6
(left) of the paper. AIR learns from images alone, from random weights, through MuJoCo's picture as a black box. Every
seed that was run is shown. No training saw the test images.
"""

_HOW_TO_READ = """\
Median over seeds of each number, range in brackets. Yaw errors are medians in degrees, modulo symmetry and raw (the
cube and the cylinder look the same after a turn, so nothing can know the raw yaw). MSSD: share of objects whose
maximum symmetry-aware surface distance is below a tenth of their diameter."""


def write_page(out: Path, results: dict[str, Any], examples: bytes) -> None:
    """Write README.md, results.json, estimators.png and examples.png into `out`.

    A person's conclusions, findings.md of the same folder, are put before the tables.

    Args:
        results: the results of `single_object.run`.
        examples: the picture of `single_object.EXAMPLES`.
    """
    out.mkdir(parents=True, exist_ok=True)
    figure = _curves(results["estimators"])
    text = "\n".join(
        [
            _INTRODUCTION,
            *made_by([*results["estimators"], *results["rivals"]]),
            "",
            *_findings(out / FINDINGS),
            "## AIR and its rivals on the same test scenes",
            "",
            _HOW_TO_READ,
            "",
            *_rival_table(results),
            "",
            "![Inputs and the answers of every method, drawn](examples.png)",
            "",
            f"The first test scenes, not selected. Rows from the top: {', '.join(example_names(results))}.",
            "",
            "Every seed:",
            "",
            *_seed_table(results),
            "",
            "## Gradient estimators, cold start, equal renders",
            "",
            f"Each run draws about 512 pictures in each of its {_iterations(results)} iterations; final weights on the "
            "test set.",
            "",
            *_estimator_table(results["estimators"]),
            "",
            "## Gradient estimators, cold start, equal time",
            "",
            *_equal_time_table(results["estimators"]),
            "",
            "![Learning curves of every estimator and seed](estimators.png)",
            "",
            "Validation scenes; a thin line for every seed, a thick one for the medians over seeds of each point, time",
            "without measuring.",
            "",
        ]
    )
    for name, data in (
        ("README.md", text.encode()),
        ("estimators.png", figure),
        ("examples.png", examples),
        ("results.json", (json.dumps(_without_examples(results), indent=1) + "\n").encode()),
    ):
        with atomic_file(out / name) as file:
            file.write(data)


def _findings(path: Path) -> list[str]:
    return ["## What it shows", "", path.read_text(encoding="utf-8")] if path.exists() else []


def _iterations(results: dict[str, Any]) -> str:
    return " or ".join(sorted({str(run["settings"]["train"]["iterations"]) for run in results["estimators"]}))


def _without_examples(results: dict[str, Any]) -> dict[str, Any]:
    def shorter(run: Run) -> Run:
        return {**run, "test": {key: value for key, value in run["test"].items() if key != "examples"}}

    return {name: [shorter(run) for run in runs] for name, runs in results.items()}


def _groups(runs: Sequence[Run], key: str) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        name = run[key]["name"] if isinstance(run[key], dict) else run[key]
        found.setdefault(name, []).append(run)
    return found


def _everything(results: dict[str, Any]) -> dict[str, list[Run]]:
    """List the runs of AIR by estimator, then those of the rivals."""
    air = {f"AIR, {name}": runs for name, runs in _groups(results["estimators"], "estimator").items()}
    return air | _groups(results["rivals"], "name")


def _rival_table(results: dict[str, Any]) -> list[str]:
    lines = header(
        "method", "seeds", "images", "kinds right", "position cm", "cube yaw", "raw", "cylinder yaw", "raw", "MSSD",
        "mse", "ms an image", "renders an image",
    )  # fmt: skip
    for name, runs in _everything(results).items():
        tests = [run["test"] for run in runs]
        lines.append(
            row(
                name,
                str(len(runs)),
                str(tests[0]["num_images"]),
                spread([100 * t["kinds_accuracy"] for t in tests], "{:.1f} %"),
                spread([100 * t["position_error_m"]["median"] for t in tests], "{:.2f}"),
                spread([_yaw(t, "cube") for t in tests], "{:.1f}"),
                spread([_raw(t, "cube") for t in tests], "{:.0f}"),
                spread([_yaw(t, "cylinder") for t in tests], "{:.1f}"),
                spread([_raw(t, "cylinder") for t in tests], "{:.0f}"),
                spread([100 * t["mssd_recall"] for t in tests], "{:.1f} %"),
                spread([t["reconstruction_mse"] for t in tests], "{:.5f}"),
                spread([1000 * t["seconds_per_image"] for t in tests], "{:.2f}"),
                str(tests[0]["renders_per_image"]),
            )
        )
    return lines


def _seed_table(results: dict[str, Any]) -> list[str]:
    lines = header("method", "seed", "kinds right", "position cm (p90)", "cube yaw", "cylinder yaw", "MSSD")
    for name, runs in _everything(results).items():
        for run in runs:
            t = run["test"]
            place = t["position_error_m"]
            lines.append(
                row(
                    name,
                    str(run["seed"]),
                    f"{100 * t['kinds_accuracy']:.1f} %",
                    f"{100 * place['median']:.2f} ({100 * place['p90']:.2f})",
                    number(_yaw(t, "cube"), "{:.1f}"),
                    number(_yaw(t, "cylinder"), "{:.1f}"),
                    f"{100 * t['mssd_recall']:.1f} %",
                )
            )
    return lines


def _estimator_table(runs: Sequence[Run]) -> list[str]:
    lines = header(
        "estimator", "seeds", "renders", "seconds", "kinds right", "position cm", "cube yaw", "cylinder yaw", "MSSD"
    )
    for name, group in _groups(runs, "estimator").items():
        tests = [run["test"] for run in group]
        lines.append(
            row(
                name,
                str(len(group)),
                f"{group[0]['renders']:,}",
                spread([run["seconds"] for run in group], "{:.0f}"),
                spread([100 * t["kinds_accuracy"] for t in tests], "{:.1f} %"),
                spread([100 * t["position_error_m"]["median"] for t in tests], "{:.2f}"),
                spread([_yaw(t, "cube") for t in tests], "{:.1f}"),
                spread([_yaw(t, "cylinder") for t in tests], "{:.1f}"),
                spread([100 * t["mssd_recall"] for t in tests], "{:.1f} %"),
            )
        )
    return lines


def _equal_time_table(runs: Sequence[Run]) -> list[str]:
    """Write the table of each curve at the time that the quickest run took in all."""
    limit = min(run["seconds"] for run in runs)
    lines = [
        f"Read from the curves at equal seconds; nothing was trained for this table. The limit, {limit:.0f} s, is what",
        "the quickest run of all took; of each run the last point within it counts (a point every 50 iterations, on",
        "the validation scenes, the seconds of measuring left out). Every run was planned for equal renders, so at the",
        "limit a slow one is still within its schedule: blurred, warm, its learning rate not yet lowered.",
        "",
    ]
    lines += header("estimator", "seeds", "iterations", "kinds right", "position cm", "cube yaw", "cylinder yaw")
    for name, group in _groups(runs, "estimator").items():
        points = [p for run in group for p in [p for p in run["curve"] if p["seconds"] <= limit][-1:]]
        yaw = {k: [_degrees(p["yaw_error_rad"].get(k)) for p in points] for k in ("cube", "cylinder")}
        lines.append(
            row(
                name,
                str(len(points)),
                spread([p["iteration"] for p in points], "{:.0f}"),
                spread([100 * p["kinds_accuracy"] for p in points], "{:.1f} %"),
                spread([100 * p["position_error_m"] for p in points], "{:.2f}"),
                spread(yaw["cube"], "{:.1f}"),
                spread(yaw["cylinder"], "{:.1f}"),
            )
        )
    return lines


def _curves(runs: Sequence[Run]) -> bytes:
    figure = new_figure(12, 7, dpi=110, facecolor="white")
    panels = figure.subplots(2, 3)
    columns = (
        ("kinds right, %", lambda p: 100 * p["kinds_accuracy"], ()),
        ("median position error, cm", lambda p: 100 * p["position_error_m"], (0.3, 0.5, 1, 2, 5, 10)),
        ("median cube yaw error, degrees", lambda p: _degrees(p["yaw_error_rad"].get("cube")), (2, 5, 10, 20, 40)),
    )
    for colour, (name, group) in zip(_COLOURS, _groups(runs, "estimator").items(), strict=False):
        for axis, (x, unit) in enumerate((("renders", "renders, thousands"), ("seconds", "seconds"))):
            for column, (label, value, _) in enumerate(columns):
                panel = panels[axis, column]
                panel.set(xlabel=unit, ylabel=label)
                scaled = [[(p[x] / (1000 if x == "renders" else 1), value(p)) for p in run["curve"]] for run in group]
                lines = [np.array(line, dtype=float).reshape(-1, 2) for line in scaled]  # None becomes NaN
                for line in lines:
                    panel.plot(*line.T, color=colour, linewidth=0.7, alpha=0.35)
                middle = np.median(np.stack([line[: min(map(len, lines))] for line in lines]), axis=0)
                panel.plot(*middle.T, color=colour, linewidth=2, label=name)
    for axis in panels:
        for panel, (_, _, ticks) in zip(axis, columns, strict=True):
            panel.grid(alpha=0.3)
            if ticks:
                panel.set_yscale("log")
                panel.set_yticks(ticks, [str(tick) for tick in ticks])
                panel.minorticks_off()
    panels[0, 0].legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _yaw(test: dict[str, Any], kind: str) -> float | None:
    return _degrees(test["per_kind"].get(kind, {}).get("yaw_error_rad", {}).get("median"))


def _raw(test: dict[str, Any], kind: str) -> float | None:
    return _degrees(test["raw_yaw_error_rad"].get(kind))


def _degrees(angle_rad: float | None) -> float | None:
    return None if angle_rad is None else float(np.degrees(angle_rad))
