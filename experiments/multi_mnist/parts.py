"""The parts of the multi-MNIST experiments in their order, run and put on the page."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.multi_mnist import codes, foreign, generalisation, learning
from experiments.multi_mnist.plan import PARTS, Part
from experiments.multi_mnist.workbench import Workbench
from experiments.page import Entry, Page

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
