"""The parts in their order; each can be run alone, and does only what is missing."""

from __future__ import annotations

from collections.abc import Callable

from experiments.tabletop import (
    feedback,
    images_alone,
    perturbed,
    rivals,
    scanning,
    shipped,
    six_kinds,
    top_views,
)
from experiments.tabletop.plan import PARTS, Part
from experiments.tabletop.workbench import Workbench

_RUN: dict[Part, Callable[[Workbench], None]] = {
    module.PART: module.run
    for module in (images_alone, rivals, top_views, scanning, six_kinds, perturbed, shipped, feedback)
}


def run_parts(bench: Workbench, parts: tuple[Part, ...]) -> None:
    """Run what is missing of these parts, in the order of `PARTS` (later ones look at what earlier ones trained)."""
    for part in PARTS:
        if part in parts:
            _RUN[part](bench)
