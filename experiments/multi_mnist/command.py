"""`air3d reproduce multi-mnist`: the paper's 2D experiments again, with tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from air3d.cli.arguments import OptionalFolder
from air3d.cli.device import Device, choose_device
from air3d.cli.progress import say
from experiments.multi_mnist import codes, foreign, generalisation, learning
from experiments.multi_mnist.data import DigitsStock
from experiments.multi_mnist.plan import FULL, PARTS, QUICK, Part
from experiments.multi_mnist.workbench import Workbench
from experiments.page import Entry, Page
from experiments.reproduce import check_parts, kept_in, write_page

_INTRODUCTION = """# Several digits: learning to count, to find and to explain

Images of 50x50 pixels with 0, 1 or 2 handwritten digits (Figures 2 to 5 and 8 of the paper), learnt without labels.
Every seed that was run is shown. Training, validation and test images are made of different digits: the first 50,000 of
MNIST's training digits, the last 10,000 of them, and MNIST's test digits. Curves are of validation images, tables of
test images.
"""

MODULES = (learning, generalisation, foreign, codes)
PAGE = Page(
    _INTRODUCTION,
    "air3d reproduce multi-mnist",
    tuple(Entry(module.PART, module.TITLE, module.section) for module in MODULES),
)


def run_parts(bench: Workbench, parts: Sequence[Part] = PARTS) -> None:
    """Run what is missing of these parts.

    Raises:
        InputError: if something that is there was made with other settings.
    """
    for module in MODULES:
        if module.PART in parts:
            module.run(bench)


@dataclass(frozen=True)
class Args:
    """Reproduce the multi-MNIST experiments: learning, generalisation, foreign data, codes.

    Finished results are kept in OUT/work and not repeated; an interrupted training resumes. The page is written from
    all that is there.
    """

    out: Path = Path("results/multi-mnist")
    """Folder for README.md, report.html (the same in one file), results.jsonl, figures and a video. A findings.md
    in it, written by hand, is put into the page."""

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
    check_parts(PAGE, args.parts)
    kept = kept_in(PAGE, args.out, args.quick)
    stock = DigitsStock(kept.folder / "data", "uci" if args.quick else "mnist", args.mnist_dir, say)
    run_parts(Workbench(kept, QUICK if args.quick else FULL, stock, choose_device(args.device)), args.parts)
    return write_page(PAGE, args.out, kept)
