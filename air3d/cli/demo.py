"""`air3d demo`: the whole chain on fresh scenes in a few minutes: generate, train, infer, evaluate, report."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from air3d.cli import generate, train
from air3d.cli.evaluate import measure
from air3d.cli.json_file import write_json
from air3d.cli.metrics_table import print_metrics
from air3d.cli.progress import say
from air3d.datasets.provenance import provenance
from air3d.networks.folder import RUN_MODEL
from air3d.renderers.choice import Backend, choose_backend
from air3d.scene3d.errors import InputError
from air3d.scenes.learner import EstimatorConfig, EstimatorName
from air3d.training.config import TrainConfig
from air3d.training.run_folder import read_log

# The demo claims plain likelihood ratios, the ones without anything learned or sampled beside them.
_ESTIMATOR: EstimatorName = "lr"
_BOUND_SAMPLES = 16


@dataclass(frozen=True)
class Args:
    """Generate scenes of a cube, a sphere or a cylinder, learn from their images alone how to infer them (by plain
    likelihood ratios: estimator lr), infer scenes that were held out, and write OUT/report.html and OUT/metrics.json;
    nothing pretrained is used in that. Then infer fresh tabletops of several objects with shipped weights, upright ones
    and ones that physics has settled, and write OUT/tabletop.html and OUT/settled.html, and their JSON files.

    Interrupted, the same command goes on where it stopped.
    """

    out: Path = Path("demo")
    """Folder that everything is written into."""

    train_scenes: int = 4000
    """Images to learn from."""

    test_scenes: int = 256
    """Held-out images."""

    iterations: int = 1000
    """Training steps of 32 images and 512 renders."""

    tabletop_scenes: int = 200
    """How many upright tabletops are inferred, and settled ones, a third as many; 0 for none."""

    seed: int = 0
    """Seeds everything; the held-out scenes come from the seed after it."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""


def run(args: Args) -> int:
    """Run the chain; return 0 on success."""
    if args.tabletop_scenes < 0:
        raise InputError(f"demo: --tabletop-scenes {args.tabletop_scenes}: use 0 or more")
    if min(args.train_scenes, args.test_scenes, args.iterations) < 1:
        raise InputError("demo: --train-scenes, --test-scenes and --iterations must be at least 1")
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"{args.out} is a file; name a folder")
    begin = time.perf_counter()
    choice = choose_backend()
    if args.renderer == "auto":
        say(f"renderer {choice.backend}: {choice.reason}")
    folders = {name: args.out / name for name in ("train", "test", "run")}
    commands = []
    for number, (name, scenes, seed) in enumerate(
        (("train", args.train_scenes, args.seed), ("test", args.test_scenes, args.seed + 1)), start=1
    ):
        say(f"[{number}/4] generating {scenes} scenes to {'learn from' if name == 'train' else 'test on'}")
        made = generate.SingleArgs(out=folders[name], num=scenes, seed=seed, renderer=args.renderer, quiet=True)
        commands.append(f"air3d generate single {folders[name]} --num {scenes} --seed {seed}")
        generate.run(made)
    say(f"[3/4] learning from {args.train_scenes} images, without labels, from random weights, by {_ESTIMATOR}")
    config = TrainConfig(iterations=args.iterations, seed=args.seed, estimator=EstimatorConfig(_ESTIMATOR))
    train.run(train.SingleArgs(data=folders["train"], run=folders["run"], train=config, renderer=args.renderer))
    commands.append(
        f"air3d train single --data {folders['train']} --run {folders['run']} "
        f"--train.estimator.name {_ESTIMATOR} --train.iterations {args.iterations} --train.seed {args.seed}"
    )
    say("[4/4] inferring the held-out scenes")
    metrics = _evaluate(args, folders, commands, begin)
    print_metrics(metrics)
    if args.tabletop_scenes:
        for show in SHOWS:
            show_tabletops(show, args.out, show.share(args.tabletop_scenes), args.seed + 2, args.renderer)
    say(f"open {args.out / 'report.html'}; the numbers are in {args.out / 'metrics.json'}")
    if args.tabletop_scenes:
        for show in SHOWS:
            say(f"and {args.out / show.name}.html; {args.out / show.name}.json")
    return 0


def _evaluate(args: Args, folders: dict[str, Path], commands: list[str], begin: float) -> dict[str, Any]:
    model = folders["run"] / RUN_MODEL
    measured = measure(str(model), folders["test"], args.renderer, _BOUND_SAMPLES, args.seed)
    metrics = {**measured.metrics, "estimator": _ESTIMATOR, "seconds_total": time.perf_counter() - begin}
    commands.append(f"air3d evaluate {model} --data {folders['test']}")
    facts = {
        "commands": "; ".join([f"air3d demo --out {args.out} (which ran the following)", *commands]),
        "estimator": f"{_ESTIMATOR}: likelihood ratios with leave-one-out baselines",
        "seed": str(args.seed),
        "renderer": metrics["renderer"],
        "seconds": f"{metrics['seconds_total']:.0f}",
        **provenance(),
    }
    title, log = "air3d: scenes understood by rendering them", read_log(folders["run"])
    measured.write_page(args.out / "report.html", title, log, facts)
    write_json(args.out / "metrics.json", metrics)
    return metrics


class Show(NamedTuple):
    """Tabletops that shipped weights explain.

    Attributes:
        name: names the page and the folder of scenes.
        weights: the name of the model.
        shown: says in words what is on the tables.
        one_in: is by how much fewer scenes there are than asked for.
    """

    name: str
    weights: str
    shown: str
    one_in: int = 1

    def share(self, scenes: int) -> int:
        """How many there are of `scenes` that are asked for."""
        return -(-scenes // self.one_in)


SHOWS = (
    Show("tabletop", "tabletop", "mugs, plates and bowls, seen from anywhere"),
    Show("settled", "tabletop-settled", "crockery that has come to rest, lying, leaning and stacked", 3),
)


def show_tabletops(show: Show, out: Path, scenes: int, seed: int, renderer: Backend) -> dict[str, Any]:
    """Generate `scenes` fresh scenes, read them, write OUT/NAME.html and .json; return the metrics."""
    folder = out / f"{show.name}-test"
    say(f"{show.name}: generating {scenes} scenes of {show.shown}")
    command = f"generate tabletop {folder} --like {show.weights} --num {scenes} --seed {seed}"
    like = generate.tabletop_defaults(command.split())
    made = replace(like, out=folder, num=scenes, seed=seed, like=show.weights, renderer=renderer, quiet=True)
    generate.run(made)
    say(f"{show.name}: inferring them with the shipped weights '{show.weights}'")
    measured = measure(show.weights, folder, renderer, _BOUND_SAMPLES, seed)
    metrics = {**measured.metrics, "weights": show.weights}
    commands = (f"air3d {command}", f"air3d evaluate {show.weights} --data {folder}")
    facts = {"commands": "; ".join(commands), "seed": str(seed), "renderer": metrics["renderer"], **provenance()}
    title = f"air3d: {show.shown}, understood by rendering them"
    measured.write_page(out / f"{show.name}.html", title, [], facts)
    write_json(out / f"{show.name}.json", metrics)
    print_metrics(metrics)
    return metrics
