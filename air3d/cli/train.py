"""`air3d train single` and `air3d train tabletop`: learn to infer scenes, from images alone or from dreams."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import tyro
from numpy.typing import NDArray

from air3d.cli.arguments import OptionalFolder, OptionalModel, typed_word
from air3d.cli.device import Device, choose_device
from air3d.cli.generate import usable_cores
from air3d.cli.progress import ProgressReport, say, say_resumed
from air3d.datasets.config import first_difference
from air3d.datasets.image_size import ImageSize
from air3d.datasets.labelled import check_memory, check_prior, load_images
from air3d.datasets.manifest import is_dataset
from air3d.datasets.pictures import as_pictures, find_pictures
from air3d.datasets.provenance import data_facts, provenance
from air3d.datasets.reader import SceneDataset
from air3d.networks.folder import WEIGHTS, find_model
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.pool import ScenePool
from air3d.scene3d.pose_models import PoseModelName
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig
from air3d.scene3d.scene import Shape
from air3d.scenes.learner import ESTIMATORS, EstimatorConfig
from air3d.scenes.model import SceneModel
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.store import load_model
from air3d.training.arrangements import arranged, needs_arrangements
from air3d.training.board import Board
from air3d.training.config import (
    Phase,
    TabletopTrainConfig,
    TrainConfig,
    recommended_for,
    recommended_train,
)
from air3d.training.learning_film import LearningFilm
from air3d.training.processes import Processes, processes
from air3d.training.run_folder import RunFolder
from air3d.training.scenes import Place, check_images, new_model, take_over, train


@dataclass(frozen=True, kw_only=True)
class _Args:
    run: Path
    """Folder of the run: configuration, log, checkpoint, film, and the trained model in RUN/model."""

    start: OptionalModel = None
    """Weights to start from: a model folder, a run's folder, or a shipped model. The sleep phase starts from those of
    other kinds, poses and image sizes, with depth or without, too: what fits is taken over."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""

    device: Device = "auto"
    """Device that the network learns on; auto takes CUDA if torch can use it. With warp the pictures stay there."""

    film_every: int = 0
    """Iterations between frames of the film of learning (RUN/learning.gif and .mp4); 0 for none."""

    quiet: bool = False
    """Show no progress."""

    @property
    def plain(self) -> bool:
        """Tell whether --data is a folder of plain pictures."""
        return False

    def dreamt(self) -> tuple[PriorConfig, ...]:
        """The priors that the options describe, if the command offers that."""
        raise InputError("name a dataset with --data")

    def check(self) -> None:
        """Raise InputError for arguments that do not go together."""
        if self.film_every < 0:
            raise InputError(f"--film-every {self.film_every}: use 0 or more")


@dataclass(frozen=True, kw_only=True)
class SingleArgs(_Args):
    """Train inference of single objects from the images of a dataset; their labels are not used.

    Each estimator brings its own parameters and schedule, which --help shows beside its name; typed options win.
    The same command again resumes an interrupted run, exactly. Several processes:
    torchrun --nproc-per-node N -m -- air3d train single ... --train.shares N.

    Example: air3d train single --data data/single --run runs/single.
    """

    data: Path
    """Dataset made by `air3d generate single`."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Parameters of the training."""


@dataclass(frozen=True, kw_only=True)
class TabletopArgs(_Args):
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

    data: OptionalFolder = None
    """Dataset made by `air3d generate tabletop`: its images (wake, tune), its prior (all phases). Or a folder of
    pictures: they are cut and scaled to the size that is read, and the options below say what they may show."""

    kinds: tuple[str, ...] = CROCKERY[:3]
    """Without a dataset: kinds to dream of, air3d's by name; own ones by file or folder, or by name (--objects)."""
    objects: Path | None = None
    """TOML file that describes own kinds which --kinds may name; or the folder of a dataset or model that has some."""
    min_objects: int = 0
    """Without a dataset: fewest objects in a scene."""
    max_objects: int = 3
    """Without a dataset: most objects in a scene."""
    repeat: bool = True
    """Without a dataset: whether a kind may occur more than once in a scene."""
    perturb: bool = False
    """Without a dataset: vary size, colour and light a little."""
    table: tuple[Shape, ...] = ("round",)
    """Without a dataset: shape of the table, as `air3d generate tabletop` has it. Of several, one model learns all."""
    pose: PoseModelName = "upright"
    """Without a dataset: how objects are posed, as `air3d generate tabletop` has it. Of settled ones, physics first
    makes --train.arrangements, which dreams are drawn from."""

    camera_shift: Annotated[tuple[float, float], tyro.conf.arg(metavar="RIGHT DOWN")] = (0.0, 0.0)
    """Without a dataset: the cameras' principal point, as `air3d generate tabletop` has it."""

    train: TabletopTrainConfig = field(default_factory=TabletopTrainConfig)
    """Parameters of the training."""

    film_every: int = 50
    """Iterations between frames of the film of learning (RUN/learning.gif and .mp4); 0 for none."""

    def check(self) -> None:
        """Raise InputError for arguments that do not go together."""
        super().check()
        phase = self.train.phase
        if phase != "sleep" and self.data is None:
            raise InputError(f"phase {phase} learns from images: name a dataset with --data, or dream (sleep)")
        if self.plain and phase == "sleep":
            raise InputError(f"--data {self.data}: phase sleep dreams; from pictures alone learns --train.phase wake")
        dataset = self.data is not None and not self.plain
        if self.objects is not None and dataset:
            raise InputError(
                "--objects says what to dream of without --data; a dataset carries its own kinds: leave it out"
            )
        if dataset and self.table != ("round",):
            raise InputError("--table says what to dream of without --data; leave out one of both")
        if self.plain and len(self.table) > 1:
            raise InputError("--table: pictures are of one table; name its shape alone")
        if not self.table or len(set(self.table)) < len(self.table):
            raise InputError(f"--table {' '.join(self.table)}: name one shape or more, each once")
        if phase == "tune" and self.start is None:
            raise InputError("phase tune improves a trained model: name its weights with --start")

    @property
    def plain(self) -> bool:
        return self.data is not None and self.data.is_dir() and not is_dataset(self.data)

    def dreamt(self) -> tuple[PriorConfig, ...]:
        """The priors that the options describe: they hold without --data, and for plain pictures."""
        kinds = resolve_kinds(self.kinds, self.objects, say)
        return tuple(
            tabletop_prior(
                kinds,
                self.min_objects,
                self.max_objects,
                self.repeat,
                self.perturb,
                table,
                self.pose,
                camera_shift=self.camera_shift,
            )
            for table in self.table
        )


def single_defaults(argv: list[str]) -> SingleArgs:
    """Make the arguments' defaults: the named estimator brings its parameters and schedule; typed options win."""
    name = _typed("--train.estimator.name", ESTIMATORS, argv) or EstimatorConfig().name
    return SingleArgs(run=tyro.MISSING, data=tyro.MISSING, train=recommended_train(name))


def tabletop_defaults(argv: list[str]) -> TabletopArgs:
    """Make the arguments' defaults: the phase brings its own, a model to start from its guide's; typed options win.

    Raises:
        InputError: for a model that cannot be read.
    """
    phase = _typed("--train.phase", get_args(Phase), argv) or TabletopTrainConfig().phase
    train = recommended_for(phase)  # type: ignore[arg-type]  # it is one of them
    start = typed_word("--start", argv)
    if start is not None and isinstance(config := load_model(start).model.guide.config, StepGuideConfig):
        train = replace(train, guide=config)
    return TabletopArgs(run=tyro.MISSING, train=train)


def _typed(option: str, known: Sequence[str] | dict[str, Any], argv: list[str]) -> str | None:
    """The value typed for an option, if it is one of these; any other is left to be refused with the rest."""
    value = typed_word(option, argv)
    return value if value in known else None


def run(args: SingleArgs | TabletopArgs) -> int:
    """Train, with torchrun's other processes if there are any; return 0 on success."""
    with processes() as joined:
        joined.check_shares(args.train.shares)
        return _train(args, joined)


def _train(args: SingleArgs | TabletopArgs, joined: Processes) -> int:
    args.check()
    priors, source = _material(args)
    model = _model(args, priors, source)  # these refuse other scenes and pictures before anything is written
    images = _images(args, source)
    check_images(args.train, images)
    model.guide.to(choose_device(args.device))
    folder = RunFolder(args.run, args.train, source) if joined.first else None
    with (
        folder.claimed() if folder else nullcontext(0) as done,
        ExitStack() as opened,
        Board(args.run if joined.first else None, done) as board,
    ):
        renderer, *further = (
            opened.enter_context(make_renderer(place.render_config, args.renderer)) for place in model.places
        )
        if folder:
            say_resumed(done, folder.damage())
        film = LearningFilm(args.run, args.film_every if joined.first else 0, model, images, renderer, board)
        quiet = args.quiet or not joined.first
        scenes, *others = _arranged(args, priors, folder, quiet)
        with ProgressReport("iterations", args.train.iterations, done, quiet) as progress:

            def report(record: dict[str, Any]) -> None:
                board.record(record)
                warning = f"  {record['warning']}" if "warning" in record else ""
                progress.advance(1, f"loss {record['loss']:.2f}{_error(record)}{warning}" if record else "")

            facts = {**_origin(args, source), **provenance()}
            places = list(map(Place, further, others))
            train(model, images, renderer, args.train, folder, facts, report, film.look, joined, scenes, places)
        if joined.first:
            film.finish()
    if folder:
        say(f"wrote {folder.model_folder}")
    return 0


def _arranged(
    args: SingleArgs | TabletopArgs, priors: tuple[PriorConfig, ...], folder: RunFolder | None, quiet: bool
) -> list[ScenePool | None]:
    """Return the settled scenes that the run dreams from in each world, if it needs any; this shows progress."""
    if not needs_arrangements(args.train, priors[0]):
        return [None] * len(priors)
    each = -(-args.train.arrangements // len(priors))
    with ProgressReport("settled scenes", each * len(priors), 0, quiet) as progress:
        keep = folder.folder if folder else None
        return [arranged(args.train, prior, each, keep, usable_cores(), progress.advance) for prior in priors]


def _error(record: dict[str, Any]) -> str:
    return f"  squared error {record['squared_error']:.1f}" if "squared_error" in record else ""


def _material(args: SingleArgs | TabletopArgs) -> tuple[tuple[PriorConfig, ...], dict[str, Any]]:
    """Return the priors, and the record of what is learned from that the run keeps."""
    if args.data is not None and not args.plain:
        dataset = SceneDataset(args.data)
        if strengths := dataset.config.picture_strengths:
            say(f"{args.data}: its pictures have {', '.join(strengths)}, which models do not know and take for noise")
        return (dataset.config.prior,), {"config_sha256": dataset.manifest.config_sha256}
    priors = args.dreamt()
    text = "".join(json.dumps(config_to_dict(prior), sort_keys=True) for prior in priors)
    return priors, {"prior_sha256": hashlib.sha256(text.encode()).hexdigest()}


def _images(args: SingleArgs | TabletopArgs, source: dict[str, Any]) -> NDArray[np.uint8] | None:
    """Read the images that the run learns from, if any, never their labels; of plain pictures, add to the record."""
    if args.data is None or args.train.phase == "sleep":
        return None
    if not args.plain:
        return load_images(args.data)
    size: ImageSize = args.train.guide.size
    check_memory(args.data, len(find_pictures((args.data,))), size, 3)
    images = as_pictures(args.data, size)
    source["pictures_sha256"] = hashlib.sha256(images.tobytes()).hexdigest()
    return images


def _origin(args: SingleArgs | TabletopArgs, source: dict[str, Any]) -> dict[str, Any]:
    """The record that the model keeps of its data, and of the data behind the weights that training started from."""
    learned_from = "dreams" if args.train.phase == "sleep" else "images and dreams" if args.train.dreams else "images"
    known = {} if args.data is None or args.plain else data_facts(SceneDataset(args.data).manifest)
    start = {} if args.start is None else {"start": load_model(args.start).provenance}
    return {"data": {**source, **known, "learned_from": learned_from}, **start}


def _model(args: SingleArgs | TabletopArgs, priors: tuple[PriorConfig, ...], source: dict[str, Any]) -> SceneModel[Any]:
    prior, *others = priors
    model = new_model(args.train, prior, others=others)
    if args.start is None:
        return model
    started = load_model(args.start).model
    if lost := [world.prior.table.shape for world in started.others if world.prior not in others]:
        say(f"--start {args.start}: the new model does not know its tables that are {' or '.join(lost)}")
    if args.train.phase != "sleep":
        check_prior(f"--start {args.start}: trained on another prior than asked for here", started.prior, prior)
    if found := first_difference(_sizes(started.guide.config, args), _sizes(args.train.guide, args)):
        raise InputError(f"--start {args.start}: its guide has {found[0]} {found[1]}, not {found[2]}; ask for the same")
    source["start_sha256"] = hashlib.sha256((find_model(args.start) / WEIGHTS).read_bytes()).hexdigest()
    new = take_over(model, started)
    if new:
        say(f"--start {args.start}: knows other scenes; {', '.join(new)} begin anew, all else is taken from it")
    return model


def _sizes(guide: Any, args: SingleArgs | TabletopArgs) -> dict[str, Any]:
    """The sizes of a guide that must be the same in one that starts from its weights."""
    sizes = config_to_dict(guide)
    free = ("image_size", "depth") if args.train.phase == "sleep" else ()
    return {name: size for name, size in sizes.items() if name not in free}
