"""`air3d generate digits`: write a dataset of images with several handwritten digits, or finish and repair one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

import air3d
from air3d.cli.arguments import OptionalFile, OptionalFolder, OptionalNumber
from air3d.cli.generate import EngineName, check_workers, choose_engine, run_build, usable_cores
from air3d.cli.progress import say
from air3d.datasets.build import Build, Part, package_versions
from air3d.datasets.config import default_scenes_per_shard
from air3d.datasets.digits.compose import DigitsRecipe
from air3d.datasets.digits.config import PRESETS, DigitsConfig, Preset
from air3d.datasets.digits.sources import Source, Split, is_original_mnist, load_digits


@dataclass(frozen=True)
class Args:
    """Write a dataset of handwritten digits scattered over a dark canvas.

    No digit is in two of --split train, validation and test: validation has the last sixth of the training digits.

    Example: air3d generate digits data/digits --num 2000 --source uci.
    """

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FOLDER")]]
    """Folder of the dataset. Running the same command again finishes or repairs it."""
    num: Annotated[int, tyro.conf.arg(metavar="N")]
    """Number of images."""
    counts: tuple[int, ...] = (0, 1, 2)
    """The numbers of digits that an image may have; all are equally likely."""
    canvas: int = 50
    """Height and width of the images, pixels."""
    source: Source = "mnist"
    """mnist, or uci: scikit-learn's small set, no network (needs air3d[digits])."""
    mnist_dir: OptionalFolder = None
    """Folder with MNIST's four original files, plain or .gz; without it they are downloaded once."""
    split: Split = "train"
    """Which part of the source the digits come from."""
    preset: Preset = "paper"
    """paper: 28 pixels, boxes around the ink do not overlap; pyro: shrunk by N(1.3, 0.1), no sum above white."""
    seed: Annotated[int, tyro.conf.arg(metavar="S")] = 0
    """Image i depends on the settings, this seed and i alone."""
    scenes_per_shard: OptionalNumber = None
    """How many images a shard holds; default: 32 to 512, depending on --num."""
    workers: int = usable_cores()
    """Processes that draw the images; the result does not depend on it."""
    engine: EngineName = "local"
    """local: --workers processes of this machine; ray: all cores of a Ray cluster, which must all find the digits."""
    ray_address: str | None = None
    """HOST:PORT of the cluster's head; default: RAY_ADDRESS, else a cluster of this machine for this command alone."""
    shard: str = "0/1"
    """i/n with i from 0 to n-1: make only every n-th shard, from the i-th on."""
    quiet: bool = False
    """Show neither progress nor a summary."""
    json: OptionalFile = None
    """File to which the summary is written as JSON: how many were made and how many found, in how many seconds."""


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
        scenes_per_shard=default_scenes_per_shard(args.num) if args.scenes_per_shard is None else args.scenes_per_shard,
    )


def run(args: Args) -> int:
    """Generate a dataset; return 0 on success.

    Raises:
        InputError: for settings, digits or a folder that cannot be used.
    """
    part = Part.parse(args.shard)
    check_workers(args.workers)
    make_config(args, "unknown")  # bad settings are reported before anything is read or downloaded
    config = make_config(args, load_digits(args.source, args.split, args.mnist_dir).sha256)
    if args.source == "mnist" and args.mnist_dir is not None and not is_original_mnist(args.split, args.mnist_dir):
        say(f"{args.mnist_dir}: these are not MNIST's original files; the digits are taken as they are")
    packages = ("numpy", "pillow", "scikit-learn") if args.source == "uci" else ("numpy", "pillow")
    made_with = partial(package_versions, air3d.__version__, *packages)
    engine, recipe = choose_engine(args.engine, args.ray_address, made_with), DigitsRecipe(config, args.mnist_dir)
    with Build(config, args.out, part) as build:
        return run_build(build, recipe, made_with(), args.workers, "images", args.quiet, args.json, engine)
