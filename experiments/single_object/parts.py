"""The parts of the single-object experiment in their order, run and put on the page."""

from __future__ import annotations

from experiments.page import Entry, Page
from experiments.single_object import estimators, rivals
from experiments.single_object.workbench import Workbench

_INTRODUCTION = """# One object: identity, position, rotation

A red cube, a blue sphere or a textured cylinder on a table, 64x64 pixels, a fixed camera: the experiment of Figure 6
(left) of the paper. AIR learns from images alone, from random weights, through MuJoCo's picture as a black box. Every
seed that was run is shown. No training saw the test images.
"""

PAGE = Page(
    _INTRODUCTION,
    "air3d reproduce single-object",
    tuple(Entry(module.PART, module.TITLE, module.section) for module in (rivals, estimators)),
    frozenset({"examples"}),
)


def run_parts(bench: Workbench) -> None:
    """Run what is missing: AIR first, whose answers are refined."""
    estimators.run(bench)
    rivals.run(bench)
