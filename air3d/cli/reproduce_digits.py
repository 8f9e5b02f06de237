"""`air3d reproduce multi-mnist`: the paper's 2D experiments again, with tables and figures."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from air3d.cli.arguments import OptionalFolder
from air3d.cli.device import Device, choose_device
from air3d.cli.progress import say
from air3d.experiments.digits_data import DigitsStock
from air3d.experiments.html_report import write_html_report
from air3d.experiments.multi_mnist import FULL, QUICK, MultiMnist
from air3d.experiments.multi_mnist_page import write_page
from air3d.provenance import provenance


@dataclass(frozen=True)
class Args:
    """Reproduce the multi-MNIST experiments: learning, generalisation, foreign data, codes.

    Finished parts are kept in OUT/work and not repeated; an interrupted training resumes.
    """

    out: Path = Path("results/multi-mnist")
    """Folder for README.md, report.html (the same in one file), results.json, figures and a video."""

    quick: bool = False
    """A small version of everything, in under 3 minutes, from scikit-learn's digits (needs air3d[digits], no network);
    its numbers prove nothing."""

    mnist_dir: OptionalFolder = None
    """Folder with MNIST's four original files, plain or .gz; without it they are downloaded once."""

    device: Device = "auto"
    """What computes."""


def run(args: Args) -> int:
    """Run what is missing and write the page; 0 on success."""
    work = args.out / ("work-quick" if args.quick else "work")
    stock = DigitsStock(work / "data", "uci" if args.quick else "mnist", args.mnist_dir, say)
    plan = QUICK if args.quick else FULL
    experiment = MultiMnist(work, plan, stock, choose_device(args.device), say)
    results = experiment.run()
    command = f"air3d {shlex.join(sys.argv[1:])}" if sys.argv[1:2] == ["reproduce"] else "air3d reproduce multi-mnist"
    iterations = (
        f"{plan.training.iterations}; where counts 0, 1, 3 or codes are learned {plan.longer_air} of AIR and "
        f"{plan.longer} of the others"
    )
    facts = {"command": command, "iterations of each training": iterations, **provenance()}
    write_page(args.out, results, facts, work, experiment.stages())
    report = write_html_report(args.out)
    say(f"wrote {args.out / 'README.md'} and {report}")
    return 0
