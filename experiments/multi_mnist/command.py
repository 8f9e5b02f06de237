"""`air3d reproduce multi-mnist`: the paper's 2D experiments again, with tables and figures."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from air3d.cli.arguments import OptionalFolder
from air3d.cli.device import Device, choose_device
from air3d.cli.progress import say
from air3d.datasets.provenance import provenance
from air3d.scene3d.errors import InputError
from experiments.html_report import write_html_report
from experiments.multi_mnist.data import DigitsStock
from experiments.multi_mnist.experiment import FULL, PARTS, QUICK, MultiMnist, Part
from experiments.multi_mnist.page import write_page


@dataclass(frozen=True)
class Args:
    """Reproduce the multi-MNIST experiments: learning, generalisation, foreign data, codes.

    Finished results are kept in OUT/work and not repeated; an interrupted training resumes. The page is written from
    all that is there.
    """

    out: Path = Path("results/multi-mnist")
    """Folder for README.md, report.html (the same in one file), results.json, figures and a video. A findings.md in it,
    written by hand, is put into the page."""

    parts: tuple[Part, ...] = PARTS
    """Parts to run; for the others the page shows the results that are there."""

    quick: bool = False
    """A small version of everything, in under 3 minutes, from scikit-learn's digits (needs air3d[digits], no network);
    its numbers prove nothing."""

    mnist_dir: OptionalFolder = None
    """Folder with MNIST's four original files, plain or .gz; without it they are downloaded once."""

    device: Device = "auto"
    """The device that computes."""


def run(args: Args) -> int:
    """Run what is missing and write the page; return 0 on success."""
    if not args.parts:
        raise InputError(f"reproduce: --parts names none; choose from {', '.join(PARTS)}")
    work = args.out / ("work-quick" if args.quick else "work")
    stock = DigitsStock(work / "data", "uci" if args.quick else "mnist", args.mnist_dir, say)
    command = f"air3d {shlex.join(sys.argv[1:])}" if sys.argv[1:2] == ["reproduce"] else "air3d reproduce multi-mnist"
    facts = {"command": command, **provenance()}
    plan = QUICK if args.quick else FULL
    experiment = MultiMnist(work, plan, stock, choose_device(args.device), facts, say)
    experiment.run(args.parts)
    write_page(args.out, experiment)
    report = write_html_report(args.out)
    say(f"wrote {args.out / 'README.md'} and {report}")
    return 0
