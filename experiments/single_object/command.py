"""`air3d reproduce single-object`: the paper's experiment again, with tables and figures."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from air3d.cli.progress import say
from air3d.datasets.provenance import provenance
from air3d.renderers.choice import Backend, make_renderer
from experiments.html_report import write_html_report
from experiments.single_object.page import write_page
from experiments.single_object.plan import FULL, QUICK
from experiments.single_object.rivals import EXAMPLES, run_experiment


@dataclass(frozen=True)
class SingleObjectArgs:
    """Reproduce the single-object experiment: every gradient estimator, supervised rivals, direct optimisation.

    Takes about 45 minutes on 2 cores; finished parts are kept in OUT/work and not repeated.
    """

    out: Path = Path("results/single-object")
    """Folder for README.md, report.html (the same in one file), results.json and figures."""

    quick: bool = False
    """A small version of everything, in under 3 minutes; its numbers prove nothing."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""


def run(args: SingleObjectArgs) -> int:
    """Run what is missing and write the page; return 0 on success."""
    plan = QUICK if args.quick else FULL
    work = args.out / ("work-quick" if args.quick else "work")
    command = f"air3d {shlex.join(sys.argv[1:])}" if sys.argv[1:2] == ["reproduce"] else "air3d reproduce single-object"
    facts = {"command": command, **provenance()}
    results = run_experiment(work, plan, partial(make_renderer, backend=args.renderer), facts, say)
    write_page(args.out, results, (work / EXAMPLES).read_bytes())
    report = write_html_report(args.out)
    say(f"wrote {args.out / 'README.md'} and {report}")
    return 0
