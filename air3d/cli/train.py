"""`air3d train single`: learn to infer single objects from images alone."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
import tyro

from air3d.cli.progress import ProgressReport, say, say_resumed
from air3d.datasets.labelled import load_labelled
from air3d.datasets.provenance import data_facts, provenance
from air3d.datasets.reader import SceneDataset
from air3d.renderers.choice import Backend, make_renderer
from air3d.scenes.learner import EstimatorConfig, EstimatorName
from air3d.scenes.one_look import single_world
from air3d.scenes.recommended import recommended
from air3d.training.config import TrainConfig
from air3d.training.processes import Processes, processes
from air3d.training.run_folder import RunFolder
from air3d.training.single import new_model, train


@dataclass(frozen=True)
class SingleArgs:
    """Train inference of single objects from the images of a dataset; their labels are not used.

    Each estimator brings its own parameters and schedule, which --help shows beside its name; typed options win.
    The same command again resumes an interrupted run, exactly. Several processes:
    torchrun --nproc-per-node N -m -- air3d train single ... --train.shares N.

    Example: air3d train single --data data/single --run runs/single.
    """

    data: Path
    """Dataset made by `air3d generate single`."""

    run: Path
    """Folder of the run: configuration, log, checkpoint, and the trained model in RUN/model."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Parameters of the training."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""

    quiet: bool = False
    """Show no progress."""


def defaults(argv: list[str]) -> SingleArgs:
    """Make the arguments' defaults: the named estimator brings its parameters and schedule; typed options win."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--train.estimator.name", dest="name", nargs="?")
    name = parser.parse_known_args(argv)[0].name
    # What is no estimator's name is left to be refused with the other arguments.
    estimator, schedule = recommended(name if name in get_args(EstimatorName) else EstimatorConfig().name)
    return SingleArgs(tyro.MISSING, tyro.MISSING, TrainConfig(estimator=estimator, schedule=schedule))


def run(args: SingleArgs) -> int:
    """Train, with torchrun's other processes if there are any; return 0 on success."""
    with processes() as joined:
        joined.check_shares(args.train.shares)
        return _train(args, joined)


def _train(args: SingleArgs, joined: Processes) -> int:
    dataset = SceneDataset(args.data)
    single_world(dataset.config.prior)  # refuses other datasets before anything is written or read
    data = load_labelled(args.data)
    images = torch.from_numpy(data.images)
    model = new_model(args.train, data.prior, images)
    source = {"config_sha256": dataset.manifest.config_sha256}
    folder = RunFolder(args.run, args.train, source) if joined.first else None
    with (
        folder.claimed() if folder else nullcontext(0) as done,
        make_renderer(model.render_config, args.renderer) as renderer,
        ProgressReport("iterations", args.train.iterations, done, args.quiet or not joined.first) as progress,
    ):
        if folder:
            say_resumed(done, folder.damage())

        def report(record: dict[str, Any]) -> None:
            note = ""
            if record:
                note = f"squared error {record['squared_error']:.1f}  entropy {record['entropy']:.1f} nats"
                note += f"  {record['warning']}" if "warning" in record else ""
            progress.advance(1, note)

        facts = {"data": {**data_facts(dataset.manifest), "learned_from": "images"}, **provenance()}
        train(model, images, renderer, args.train, folder, facts, report, joined)
    if folder:
        say(f"wrote {folder.model_folder}")
    return 0
