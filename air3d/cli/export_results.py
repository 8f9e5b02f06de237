"""`air3d export bop-results`: a model's answers to a dataset, as the file that bop_toolkit scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from air3d.answers import answer
from air3d.bop_results import HEADER, result_lines
from air3d.cli.export import check_out_file
from air3d.cli.progress import ProgressReport, say
from air3d.digits_store import TRACK as DIGITS_TRACK
from air3d.labelled import check_prior
from air3d.scenes.refine import RefineConfig
from air3d.store import load_model, track_of
from datasets.export.bop_models import bop_objects
from datasets.files import atomic_file, reported
from datasets.reader import SceneDataset
from renderers.choice import Backend, make_renderer
from scene3d.errors import InputError

_BLOCK = 512  # images in memory


@dataclass(frozen=True)
class Args:
    """Infer the images of a dataset and write the poses as BOP's results file.

    bop_toolkit scores it against what `air3d export bop` wrote of the same dataset; it wants the file's name to be
    METHOD_DATASET-SPLIT.csv, DATASET being the name of that folder.

    Example: air3d export bop-results table-top data/table export/air3d_table-test.csv.
    """

    weights: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A model folder, or the name of a shipped model such as table-top."""

    data: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATA")]]
    """The dataset that was exported (not the export)."""

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE.csv")]]
    """File to write, .csv."""

    refine: int = 0
    """Renders for each image that polish the answer after the network has spoken; 0 for none."""

    renderer: Backend = "auto"
    """What draws; auto takes the fastest that works here, as `air3d doctor` tells."""

    overwrite: bool = False
    """Replace the file if it exists."""

    quiet: bool = False
    """No progress, no summary."""


def run(args: Args) -> int:
    """Infer and write; 0 on success. Raises InputError for input or a place that cannot be used."""
    check_out_file(args.out, ".csv", args.overwrite)
    if args.refine < 0:
        raise InputError(f"--refine {args.refine}: use 0 or more")
    if track_of(args.weights) == DIGITS_TRACK:
        raise InputError(f"'{args.weights}' explains digits; name a model of scenes")
    model, dataset = load_model(args.weights).model, SceneDataset(args.data)
    config, objects = dataset.config, bop_objects(dataset.config.prior.kinds)
    check_prior(f"{args.data}: its scenes come from another prior than the model's", config.prior, model.prior)
    if config.size != model.image_size:
        raise InputError(f"{args.data}: images of {config.size} pixels; the model reads {model.image_size}")
    refinement = RefineConfig(renders=args.refine) if args.refine else None
    with (
        reported(args.out),
        make_renderer(model.render_config, args.renderer) as renderer,
        ProgressReport("images", len(dataset), quiet=args.quiet) as progress,
    ):
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(args.out) as file:
            file.write(HEADER.encode() + b"\n")
            for first in range(0, len(dataset), _BLOCK):
                images = np.stack([dataset[i]["image"] for i in range(first, min(first + _BLOCK, len(dataset)))])
                answers = answer(model, renderer, images, refinement, progress.advance)
                lines = result_lines(answers, first, config.scenes_per_shard, objects)
                file.writelines(line.encode() + b"\n" for line in lines)
    if not args.quiet:
        say(f"wrote {args.out}")
    return 0
