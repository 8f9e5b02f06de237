"""`air3d demo`: the whole chain on fresh scenes in a few minutes: generate, train, infer, evaluate, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
WEIGHTS = "tabletop"
_BOUND_SAMPLES = 16


@dataclass(frozen=True)
class Args:
    """Generate scenes of a cube, a sphere or a cylinder, learn from their images alone how to infer them (by plain
    likelihood ratios: estimator lr), infer scenes that were held out, and write OUT/report.html and OUT/metrics.json;
    nothing pretrained is used in that. Then infer fresh tabletops of several objects with the shipped weights, and
    write OUT/tabletop.html and OUT/tabletop.json.

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
    """How many tabletops are inferred; 0 for none."""

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
        show_tabletops(args.out, args.tabletop_scenes, args.seed + 2, args.renderer)
    say(f"open {args.out / 'report.html'}; the numbers are in {args.out / 'metrics.json'}")
    if args.tabletop_scenes:
        say(f"and {args.out / 'tabletop.html'}; {args.out / 'tabletop.json'}")
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


def show_tabletops(out: Path, scenes: int, seed: int, renderer: Backend) -> dict[str, Any]:
    """Generate `scenes` fresh scenes, read them, write OUT/tabletop.html and .json; return the metrics."""
    folder = out / "tabletop-test"
    say(f"tabletops: generating {scenes} scenes of mugs, plates and bowls, seen from anywhere")
    generate.run(generate.TabletopArgs(out=folder, num=scenes, seed=seed, renderer=renderer, quiet=True))
    say(f"tabletops: inferring them with the shipped weights '{WEIGHTS}'")
    measured = measure(WEIGHTS, folder, renderer, _BOUND_SAMPLES, seed)
    metrics = {**measured.metrics, "weights": WEIGHTS}
    commands = (
        f"air3d generate tabletop {folder} --num {scenes} --seed {seed}",
        f"air3d evaluate {WEIGHTS} --data {folder}",
    )
    facts = {"commands": "; ".join(commands), "seed": str(seed), "renderer": metrics["renderer"], **provenance()}
    measured.write_page(out / "tabletop.html", "air3d: tabletops understood by rendering them", [], facts)
    write_json(out / "tabletop.json", metrics)
    print_metrics(metrics)
    return metrics
