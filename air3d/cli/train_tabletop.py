"""`air3d train tabletop`: learn to infer whole scenes, from dreams or from images alone."""

from __future__ import annotations

import argparse
import hashlib
import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tyro
from numpy.typing import NDArray

from air3d.cli.arguments import OptionalFolder, OptionalModel
from air3d.cli.device import Device, choose_device
from air3d.cli.progress import ProgressReport, say, say_resumed
from air3d.datasets.config import first_difference
from air3d.datasets.labelled import check_prior, load_labelled
from air3d.datasets.provenance import data_facts, provenance
from air3d.datasets.reader import SceneDataset
from air3d.networks.folder import WEIGHTS, find_model
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.model import SceneModel
from air3d.scenes.step_guide import TableGuide, free_world
from air3d.scenes.store import load_model
from air3d.training.board import Board
from air3d.training.learning_film import LearningFilm
from air3d.training.processes import Processes, processes
from air3d.training.run_folder import RunFolder
from air3d.training.tabletop import check_images, new_tabletop_model, train_tabletop
from air3d.training.tabletop_config import Phase, TabletopTrainConfig, recommended_for


@dataclass(frozen=True)
class TabletopArgs:
    """Train inference of tabletop scenes: how many objects, which, where, and the camera.

    --train.phase wake learns from the images of a dataset alone; their labels are not used. --train.phase sleep dreams:
    it draws scenes from the prior, renders them, and learns to tell them from their pictures; it needs no dataset.
    --train.phase tune goes on from --start by the likelihood ratio of whole scenes, on the images of a dataset.
    Scalars and pictures go to RUN/tensorboard if TensorBoard is installed: pip install 'air3d[tensorboard]'. Each phase
    brings its own parameters, which --help shows beside its name; what is typed wins. The same command again resumes an
    interrupted run, exactly. Several processes: torchrun --nproc-per-node N -m -- air3d train tabletop ...
    --train.shares N.

    Example: air3d train tabletop --data data/table --run runs/table --train.phase wake.
    """

    run: Path
    """Folder of the run: configuration, log, checkpoint, film, and the trained model in RUN/model."""

    data: OptionalFolder = None
    """Dataset made by `air3d generate tabletop`: its images (wake, tune), its prior (all phases)."""

    start: OptionalModel = None
    """Weights to start from: a model folder, a run's folder, or a shipped model."""

    kinds: tuple[str, ...] = CROCKERY[:3]
    """Without --data: kinds to dream of, air3d's or own ones (--objects)."""
    objects: Path | None = None
    """TOML file that describes own kinds which --kinds may name; or the folder of a dataset or model that has some."""
    min_objects: int = 0
    """Without --data: fewest objects in a scene."""
    max_objects: int = 3
    """Without --data: most objects in a scene."""
    repeat: bool = True
    """Without --data: whether a kind may occur more than once in a scene."""
    perturb: bool = False
    """Without --data: vary size, colour and light a little."""

    train: TabletopTrainConfig = field(default_factory=TabletopTrainConfig)
    """Parameters of the training."""

    film_every: int = 50
    """Iterations between frames of the film of learning (RUN/learning.gif and .mp4); 0 for none."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""

    device: Device = "auto"
    """Device that the network learns on; auto takes CUDA if torch can use it. With warp the pictures stay there."""

    quiet: bool = False
    """Show no progress."""


def defaults(argv: list[str]) -> TabletopArgs:
    """Make the arguments' defaults: the phase brings its own; typed options win."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--train.phase", dest="phase", nargs="?")
    phase = parser.parse_known_args(argv)[0].phase
    # What is no phase's name is left to be refused with the other arguments.
    train = recommended_for(phase if phase in get_args(Phase) else TabletopTrainConfig().phase)
    return TabletopArgs(tyro.MISSING, train=train)


def run(args: TabletopArgs) -> int:
    """Train, with torchrun's other processes if there are any; return 0 on success."""
    with processes() as joined:
        joined.check_shares(args.train.shares)
        return _train(args, joined)


def _train(args: TabletopArgs, joined: Processes) -> int:
    if args.film_every < 0:
        raise InputError(f"--film-every {args.film_every}: use 0 or more")
    if args.train.phase != "sleep" and args.data is None:
        raise InputError(f"phase {args.train.phase} learns from images: name a dataset with --data, or dream (sleep)")
    if args.objects is not None and args.data is not None:
        raise InputError(
            "--objects says what to dream of without --data; a dataset carries its own kinds: leave it out"
        )
    if args.train.phase == "tune" and args.start is None:
        raise InputError("phase tune improves a trained model: name its weights with --start")
    prior, images, source = _material(args)
    free_world(prior)  # these two refuse other scenes and pictures before anything is written
    check_images(args.train, images)
    model = _model(args, prior, source)
    model.guide.to(choose_device(args.device))
    folder = RunFolder(args.run, args.train, source) if joined.first else None
    with (
        folder.claimed() if folder else nullcontext(0) as done,
        make_renderer(model.render_config, args.renderer) as renderer,
        ProgressReport("iterations", args.train.iterations, done, args.quiet or not joined.first) as progress,
        Board(args.run if joined.first else None, done) as board,
    ):
        if folder:
            say_resumed(done, folder.damage())
        film = LearningFilm(args.run, args.film_every if joined.first else 0, model, images, renderer, board)

        def report(record: dict[str, Any]) -> None:
            board.record(record)
            warning = f"  {record['warning']}" if "warning" in record else ""
            progress.advance(1, f"loss {record['loss']:.2f}{warning}" if record else "")

        facts = {**_origin(args, source), **provenance()}
        train_tabletop(model, images, renderer, args.train, folder, facts, report, film.look, joined)
        if joined.first:
            film.finish()
    if folder:
        say(f"wrote {folder.model_folder}")
    return 0


def _material(args: TabletopArgs) -> tuple[PriorConfig, NDArray[np.uint8] | None, dict[str, Any]]:
    """Return the prior, the images that are learned from, if any, and the record of both that the run keeps."""
    if args.data is None:
        kinds = resolve_kinds(args.kinds, args.objects)
        prior = tabletop_prior(kinds, args.min_objects, args.max_objects, args.repeat, args.perturb)
        text = json.dumps(config_to_dict(prior), sort_keys=True)
        return prior, None, {"prior_sha256": hashlib.sha256(text.encode()).hexdigest()}
    dataset = SceneDataset(args.data)
    source = {"config_sha256": dataset.manifest.config_sha256}
    if args.train.phase == "sleep":
        return dataset.config.prior, None, source
    return dataset.config.prior, load_labelled(args.data).images, source


def _origin(args: TabletopArgs, source: dict[str, Any]) -> dict[str, Any]:
    """The record that the model keeps of its data, and of the data behind the weights that training started from."""
    learned_from = "dreams" if args.train.phase == "sleep" else "images and dreams" if args.train.dreams else "images"
    known = {} if args.data is None else data_facts(SceneDataset(args.data).manifest)
    start = {} if args.start is None else {"start": load_model(args.start).provenance}
    return {"data": {**source, **known, "learned_from": learned_from}, **start}


def _model(args: TabletopArgs, prior: PriorConfig, source: dict[str, Any]) -> SceneModel[TableGuide]:
    if args.start is None:
        return new_tabletop_model(args.train, prior)
    started: SceneModel[TableGuide] = load_model(args.start).model
    check_prior(f"--start {args.start}: trained on another prior than asked for here", started.prior, prior)
    if found := first_difference(config_to_dict(started.guide.config), config_to_dict(args.train.guide)):
        raise InputError(f"--start {args.start}: its guide has {found[0]} {found[1]}, not {found[2]}; ask for the same")
    source["start_sha256"] = hashlib.sha256((find_model(args.start) / WEIGHTS).read_bytes()).hexdigest()
    model = SceneModel.of(prior, args.train.guide, args.train.sigma)
    model.guide.load_state_dict(started.guide.state_dict())
    return model
