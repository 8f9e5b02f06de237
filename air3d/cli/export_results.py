"""`air3d export bop-results` and `coco-results`: a model's answers to a dataset, for bop_toolkit and pycocotools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
import tyro
from numpy.typing import NDArray

from air3d.cli.export import check_out_file
from air3d.cli.progress import ProgressReport, say
from air3d.datasets.export.bop_models import bop_objects
from air3d.datasets.export.coco import numbers
from air3d.datasets.files import atomic_file, reported
from air3d.datasets.reader import SceneDataset
from air3d.digits.store import TRACK as DIGITS_TRACK
from air3d.evaluation.answers import Answers, answer, place_of
from air3d.evaluation.bop_results import HEADER, result_lines
from air3d.evaluation.coco_results import result_rows
from air3d.evaluation.scores import detection_scores
from air3d.networks.folder import track_of
from air3d.renderers.choice import Backend, make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.errors import InputError
from air3d.scenes.guide import Guide
from air3d.scenes.model import SceneModel
from air3d.scenes.refine import RefineConfig
from air3d.scenes.store import load_model

_BLOCK = 512  # images in memory
_Block = tuple[int, Answers, NDArray[np.float64]]


@dataclass(frozen=True)
class ResultArgs:
    """Arguments that both commands take."""

    weights: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A model folder, or the name of a shipped model such as tabletop."""

    data: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATA")]]
    """The dataset that was exported (not the export). The model must know its kinds, table, field of view, and as many
    objects; the rest of its prior may be another."""

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE")]]
    """File to write."""

    refine: int = 0
    """Renders for each image that polish the answer after the network has spoken; 0 for none."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""

    overwrite: bool = False
    """Replace the file if it exists."""

    quiet: bool = False
    """Show neither progress nor a summary."""


@dataclass(frozen=True)
class BopResultsArgs(ResultArgs):
    """Infer the images of a dataset and write the poses as BOP's results file (.csv).

    bop_toolkit scores it against what `air3d export bop` wrote of the same dataset; it wants the file's name to be
    METHOD_DATASET-SPLIT.csv, DATASET being the name of that folder.

    Example: air3d export bop-results tabletop data/table export/air3d_table-test.csv.
    """


@dataclass(frozen=True)
class CocoResultsArgs(ResultArgs):
    """Infer the images of a dataset and write boxes and masks of what is visible as COCO's results (.json).

    pycocotools scores them against what `air3d export coco` wrote of the same dataset.

    Example: air3d export coco-results tabletop data/table export/answers.json.
    """


def run(args: BopResultsArgs | CocoResultsArgs) -> int:
    """Infer and write; return 0 on success. Raises InputError for input or a place that cannot be used."""
    bop = isinstance(args, BopResultsArgs)
    check_out_file(args.out, ".csv" if bop else ".json", args.overwrite)
    if args.refine < 0:
        raise InputError(f"--refine {args.refine}: use 0 or more")
    if track_of(args.weights) == DIGITS_TRACK:
        raise InputError(f"'{args.weights}' explains digits; name a model of scenes")
    dataset = SceneDataset(args.data)
    config = dataset.config
    model = place_of(load_model(args.weights).model, config.prior, str(args.data), args.weights, config.image_size)
    with (
        reported(args.out),
        make_renderer(model.render_config, args.renderer) as renderer,
        ProgressReport("images", len(dataset), quiet=args.quiet) as progress,
    ):
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(args.out) as file:
            blocks = _answers(args, model, dataset, renderer, progress.advance)
            (_write_bop if bop else _write_coco)(file, blocks, dataset, renderer)
    if not args.quiet:
        strange = [kind for kind in model.prior.kinds if kind not in dataset.config.prior.kinds]
        say(
            f"wrote {args.out}"
            + f"; without objects of kinds that the dataset has not: {', '.join(strange)}" * bool(strange)
        )
    return 0


def _answers(
    args: ResultArgs, model: SceneModel[Guide], dataset: SceneDataset, renderer: Renderer, report: Callable[[int], None]
) -> Iterator[_Block]:
    """Yield the answers to block after block of samples, each with the number of its first sample, and scores."""
    refinement = RefineConfig(renders=args.refine) if args.refine else None
    for first in range(0, len(dataset), _BLOCK):
        images = np.stack([dataset[i]["image"] for i in range(first, min(first + _BLOCK, len(dataset)))])
        answers = answer(model, renderer, images, refinement, report)
        frames = renderer.render_frames(answers.scenes)
        score = detection_scores(images, frames.rgb, frames.segmentation, answers.scenes, answers.presence)
        yield first, answers, score


def _write_bop(file: BinaryIO, blocks: Iterator[_Block], dataset: SceneDataset, renderer: Renderer) -> None:
    objects = bop_objects(dataset.config.prior.kinds)
    file.write(HEADER.encode() + b"\n")
    for first, answers, score in blocks:
        lines = result_lines(answers, score, first, dataset.config.scenes_per_shard, objects)
        file.writelines(line.encode() + b"\n" for line in lines)


def _write_coco(file: BinaryIO, blocks: Iterator[_Block], dataset: SceneDataset, renderer: Renderer) -> None:
    categories, before = numbers(dataset.config.prior.kinds), b"[\n"
    for first, answers, score in blocks:
        for row in result_rows(answers, score, first, renderer, categories):
            file.write(before + json.dumps(row).encode())
            before = b",\n"
    file.write((before if before == b"[\n" else b"\n") + b"]\n")
