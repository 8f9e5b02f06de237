"""`docs/results/table-top`: README.md, results.json and figures, written from the results that are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from air3d.experiments.kept import made_by
from air3d.experiments.table_top import section_perturbed
from air3d.experiments.table_top import sections_learning as learning
from air3d.experiments.table_top import sections_models as models
from air3d.experiments.table_top.columns import Run
from air3d.experiments.table_top.plan import Part
from air3d.experiments.table_top.section import Section
from air3d.experiments.table_top.workbench import Workbench
from datasets.files import atomic_file

FINDINGS = "findings.md"

_INTRODUCTION = """# The table-top: counts, identities, positions and the camera

Up to three mugs, plates and bowls on a table, under a camera whose azimuth, elevation and distance are unknown: the
experiments of section 4 of the paper (Figure 6, right, and Figure 7), and more. Every seed that was run is shown.
Test images are never seen or tuned on; no seed, model or picture is chosen by them or by the ELBO.
Position errors are medians over objects matched to the nearest inferred ones; yaw errors are modulo symmetry.
"""


class _Entry(NamedTuple):
    part: Part
    title: str
    make: Callable[[Workbench, list[Run]], Section]


_ENTRIES = (
    _Entry("images-alone", "1. From images alone", learning.images_alone),
    _Entry("rivals", "2. AIR and supervised networks, with and without repeated kinds", learning.rivals),
    _Entry("top-view", "3. From above", models.top_views),
    _Entry("scanning", "4. The scanning policy", models.scanning),
    _Entry("six-kinds", "5. Six kinds, up to six items", models.six_kinds),
    _Entry("perturbed", "6. Other colours, sizes, light and pictures", section_perturbed.perturbed),
    _Entry("shipped", "7. The shipped weights", models.shipped),
    _Entry("feedback", "8. Shown what is unexplained, or where objects were named", learning.feedback),
)


def write_page(out: Path, bench: Workbench) -> None:
    """Write the page into `out`; of FINDINGS there, if it exists, only the text is taken."""
    out.mkdir(parents=True, exist_ok=True)
    lines, files, everything = [_INTRODUCTION], dict[str, bytes](), dict[str, list[Run]]()
    findings = out / FINDINGS
    if findings.exists():
        lines += ["## What it shows", "", findings.read_text(encoding="utf-8").strip(), ""]
    for entry in _ENTRIES:
        runs = bench.results(entry.part)
        lines += [f"## {entry.title}", ""]
        if not runs:
            lines += [f"Not run yet: `air3d reproduce table-top --parts {entry.part}`.", ""]
            continue
        section = entry.make(bench, runs)
        lines += [*section.lines, *made_by(runs), ""]
        files |= section.figures
        everything[entry.part] = [_without_bulk(run) for run in runs]
    files["README.md"] = ("\n".join(lines).rstrip() + "\n").encode()
    files["results.json"] = (json.dumps(everything, indent=1, allow_nan=False) + "\n").encode()
    for name, data in files.items():
        with atomic_file(out / name) as file:
            file.write(data)


def _without_bulk(run: Run) -> Run:
    """A result without what only the figures need."""

    def shorter(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shorter(part) for key, part in value.items() if key != "heat"}
        return value

    return dict(shorter(run))
