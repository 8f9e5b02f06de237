"""`air3d generate digits`: write a dataset of images with several handwritten digits, or finish and repair one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import tyro

import air3d
from air3d.cli.arguments import OptionalFolder
from air3d.cli.generate import BuildArgs, build
from air3d.cli.progress import say
from air3d.datasets.build import package_versions
from air3d.datasets.digits.compose import DigitsRecipe
from air3d.datasets.digits.config import PRESETS, DigitsConfig, Preset
from air3d.datasets.digits.sources import Source, Split, is_original_mnist, load_digits


@dataclass(frozen=True, kw_only=True)
class Args(BuildArgs):
    """Write a dataset of handwritten digits scattered over a dark canvas.

    No digit is in two of --split train, validation and test: validation has the last sixth of the training digits.

    Example: air3d generate digits data/digits --num 2000 --source uci.
    """

    seed: Annotated[int, tyro.conf.arg(metavar="S")] = 0
    """Image i depends on the settings, this seed and i alone."""
    counts: tuple[int, ...] = (0, 1, 2)
    """The numbers of digits that an image may have; all are equally likely."""
    canvas: int = 50
    """Height and width of the images, pixels."""
    source: Source = "mnist"
    """mnist, or uci: scikit-learn's small set, no network (needs air3d[digits])."""
    mnist_dir: OptionalFolder = None
    """Folder with MNIST's four original files, plain or .gz; without it they are downloaded once. With --engine ray
    every machine must find them."""
    split: Split = "train"
    """Which part of the source the digits come from."""
    preset: Preset = "paper"
    """paper: 28 pixels, boxes around the ink do not overlap; pyro: shrunk by N(1.3, 0.1), no sum above white."""


def make_config(args: Args, source_sha256: str) -> DigitsConfig:
    """The resolved config of a command.

    Args:
        source_sha256: the fingerprint of the digits.

    Raises:
        InputError: for a value that cannot be used.
    """
    look = PRESETS[args.preset]
    return DigitsConfig(
        preset=args.preset,
        source=args.source,
        split=args.split,
        source_sha256=source_sha256,
        num=args.num,
        seed=args.seed,
        counts=args.counts,
        canvas=args.canvas,
        shrink_mean=look.shrink_mean,
        shrink_std=look.shrink_std,
        rule=look.rule,
        scenes_per_shard=args.shard_size,
    )


def run(args: Args) -> int:
    """Generate a dataset; return 0 on success.

    Raises:
        InputError: for settings, digits or a folder that cannot be used.
    """
    part = args.check()
    make_config(args, "unknown")  # bad settings are reported before anything is read or downloaded
    config = make_config(args, load_digits(args.source, args.split, args.mnist_dir).sha256)
    if args.source == "mnist" and args.mnist_dir is not None and not is_original_mnist(args.split, args.mnist_dir):
        say(f"{args.mnist_dir}: these are not MNIST's original files; the digits are taken as they are")
    packages = ("numpy", "pillow", "scikit-learn") if args.source == "uci" else ("numpy", "pillow")
    made_with = partial(package_versions, air3d.__version__, *packages)
    return build(args, config, DigitsRecipe(config, args.mnist_dir), part, made_with, "images")
