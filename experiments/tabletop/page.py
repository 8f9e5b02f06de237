"""Writes `docs/results/tabletop`: README.md, results.json and figures, from the results that are there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from experiments.page import Entry, write_entries
from experiments.section import Section
from experiments.tabletop import section_perturbed
from experiments.tabletop import sections_learning as learning
from experiments.tabletop import sections_models as models
from experiments.tabletop.columns import Run
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench

_INTRODUCTION = """# The tabletop: counts, identities, positions and the camera

Up to three mugs, plates and bowls on a table, under a camera whose azimuth, elevation and distance are unknown: the
experiments of section 4 of the paper (Figure 6, right, and Figure 7), and more. Every seed that was run is shown.
No training saw the test images; no seed, model or picture is chosen by them or by the ELBO.
Position errors are medians over objects matched to the nearest inferred ones; yaw errors are modulo symmetry.
"""

_SECTIONS: tuple[tuple[Part, str, Callable[[Workbench, list[Run]], Section]], ...] = (
    ("images-alone", "1. From images alone", learning.images_alone),
    ("rivals", "2. AIR and supervised networks, with and without repeated kinds", learning.rivals),
    ("top-view", "3. From above", models.top_views),
    ("scanning", "4. The scanning policy", models.scanning),
    ("six-kinds", "5. Six kinds, up to six items", models.six_kinds),
    ("perturbed", "6. Other colours, sizes, light and pictures", section_perturbed.perturbed),
    ("shipped", "7. The shipped weights", models.shipped),
    ("feedback", "8. Shown what is unexplained, or where objects were named", learning.feedback),
)


def write_page(out: Path, bench: Workbench) -> None:
    """Write the page into `out`; see `experiments.page.write_entries`."""
    entries = [
        Entry(part, title, bench.results(part), partial(make, bench), frozenset({"heat"}))
        for part, title, make in _SECTIONS
    ]
    write_entries(out, _INTRODUCTION, "air3d reproduce tabletop", entries)
