"""`air3d reproduce tabletop`: the paper's tabletop experiments, with tables and figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from air3d.cli.arguments import OptionalNumber
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.errors import InputError
from experiments.reproduce import check_parts, kept_in, write_page
from experiments.tabletop.parts import PAGE, run_parts
from experiments.tabletop.plan import FULL, PARTS, QUICK, Part, Plan
from experiments.tabletop.workbench import Workbench


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
