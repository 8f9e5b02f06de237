"""The parts in their order, run and put on the page; each can be run alone, and does only what is missing."""

from __future__ import annotations

from experiments.page import Entry, Page
from experiments.tabletop import feedback, images_alone, perturbed, rivals, scanning, shipped, six_kinds, top_views
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench

_INTRODUCTION = """# The tabletop: counts, identities, positions and the camera

Up to three mugs, plates and bowls on a table, under a camera whose azimuth, elevation and distance are unknown: the
experiments of section 4 of the paper (Figure 6, right, and Figure 7), and more. Every seed that was run is shown.
No training saw the test images; no seed, model or picture is chosen by them or by the ELBO.
Position errors are medians over objects matched to the nearest inferred ones; yaw errors are modulo symmetry.
"""

MODULES = (images_alone, rivals, top_views, scanning, six_kinds, perturbed, shipped, feedback)

PAGE = Page(
    _INTRODUCTION,
    "air3d reproduce tabletop",
    tuple(Entry(module.PART, module.TITLE, module.section) for module in MODULES),
    frozenset({"heat"}),
)


def run_parts(bench: Workbench, parts: tuple[Part, ...]) -> None:
    """Run what is missing of these parts, in the order of `MODULES` (later ones look at what earlier ones trained)."""
    for module in MODULES:
        if module.PART in parts:
            module.run(bench)
