"""`air3d reproduce tabletop`: the paper's tabletop experiments, with tables and figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from air3d.cli.arguments import OptionalNumber
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.errors import InputError
from experiments.page import Entry, Page
from experiments.reproduce import check_parts, kept_in, write_page
from experiments.tabletop import feedback, images_alone, perturbed, rivals, scanning, shipped, six_kinds, top_views
from experiments.tabletop.plan import FULL, PARTS, QUICK, Part, Plan
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


@dataclass(frozen=True)
class TabletopArgs:
    """Reproduce the tabletop experiments: images alone, supervised rivals, scanning policy, transfer, and more.

    Takes hours in full; each part can be run alone. Finished results are kept in OUT/work and not repeated; the page
    is written from all that is there.
    """

    out: Path = Path("results/tabletop")
    """Folder for README.md, report.html (the same in one file), results.jsonl and figures. A findings.md in it, written
    by hand, is put into the page."""

    parts: tuple[Part, ...] = PARTS
    """Parts to run; for the others the page shows the results that are there."""

    quick: bool = False
    """A small version of everything, in under 3 minutes; its numbers prove nothing."""

    seeds: tuple[int, ...] | None = None
    """Seeds with which images-alone and the rivals are trained; default: the plan's."""

    wake_iterations: OptionalNumber = None
    """Iterations of every training from images alone; default: the plan's."""

    sleep_iterations: OptionalNumber = None
    """Iterations of every training on dreams; default: the plan's."""

    supervised_iterations: OptionalNumber = None
    """Iterations of every supervised training; default: the plan's."""

    shipped: str = FULL.shipped
    """The model of three kinds that is measured as shipped: a name or a folder."""

    six: str = FULL.six
    """The model of six kinds: a name or a folder."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""


def run(args: TabletopArgs) -> int:
    """Run what is missing and write the page; return 0 on success."""
    check_parts(PAGE, args.parts)
    kept = kept_in(PAGE, args.out, args.quick)
    run_parts(Workbench(kept, _plan(args), partial(make_renderer, backend=args.renderer)), args.parts)
    return write_page(PAGE, args.out, kept)


def _plan(args: TabletopArgs) -> Plan:
    plan = replace(QUICK if args.quick else FULL, shipped=args.shipped, six=args.six)
    if args.seeds is not None:
        if not args.seeds or min(args.seeds) < 0 or len(set(args.seeds)) < len(args.seeds):
            raise InputError(f"reproduce: --seeds {args.seeds}: name different numbers from 0 up")
        plan = replace(plan, seeds=args.seeds)
    if args.wake_iterations is not None:
        plan = replace(plan, wake=replace(plan.wake, iterations=args.wake_iterations))
    if args.sleep_iterations is not None:
        plan = replace(plan, sleep=replace(plan.sleep, iterations=args.sleep_iterations))
    if args.supervised_iterations is not None:
        plan = replace(plan, supervised=replace(plan.supervised, iterations=args.supervised_iterations))
    return plan
