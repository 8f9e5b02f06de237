"""`air3d reproduce single-object`: the paper's experiment again, with tables and figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from air3d.renderers.choice import Backend, make_renderer
from experiments.page import Entry, Page
from experiments.reproduce import kept_in, write_page
from experiments.single_object import estimators, rivals
from experiments.single_object.plan import FULL, QUICK
from experiments.single_object.workbench import Workbench, workbench

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


@dataclass(frozen=True)
class SingleObjectArgs:
    """Reproduce the single-object experiment: every gradient estimator, supervised rivals, direct optimisation.

    Takes about 45 minutes on 2 cores; finished parts are kept in OUT/work and not repeated.
    """

    out: Path = Path("results/single-object")
    """Folder for README.md, report.html (the same in one file), results.jsonl and figures. A findings.md in it, written
    by hand, is put into the page."""

    quick: bool = False
    """A small version of everything, in under 3 minutes; its numbers prove nothing."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""


def run(args: SingleObjectArgs) -> int:
    """Run what is missing and write the page; return 0 on success."""
    kept = kept_in(PAGE, args.out, args.quick)
    run_parts(workbench(kept, QUICK if args.quick else FULL, partial(make_renderer, backend=args.renderer)))
    return write_page(PAGE, args.out, kept)
