"""`air3d demo`: the whole chain on fresh scenes in a few minutes: generate, train, infer, evaluate, report."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from air3d.cli import generate, train
from air3d.cli.demo_tabletop import show_tabletops
from air3d.cli.evaluate import print_metrics
from air3d.cli.progress import ProgressReport, say
from air3d.datasets.files import atomic_file
from air3d.datasets.labelled import load_labelled
from air3d.datasets.provenance import provenance
from air3d.datasets.reader import SceneDataset
from air3d.evaluation.evaluate import evaluate
from air3d.evaluation.report import Section, write_report
from air3d.evaluation.unseen import unseen_by
from air3d.renderers.choice import Backend, choose_backend, make_renderer
from air3d.scene3d.errors import InputError
from air3d.scenes.learner import EstimatorConfig, EstimatorName
from air3d.scenes.store import load_model
from air3d.training.config import TrainConfig
from air3d.training.run_folder import read_log

# The demo claims plain likelihood ratios, the ones without anything learned or sampled beside them.
_ESTIMATOR: EstimatorName = "lr"
_SHOWN, _WORST, _BOUND_SAMPLES = 12, 4, 16


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
    stored = load_model(str(folders["run"] / "model"))
    model, unseen = stored.model, unseen_by(stored.provenance, SceneDataset(folders["test"]).manifest)
    data = load_labelled(folders["test"])
    with (
        make_renderer(model.render_config, args.renderer) as renderer,
        ProgressReport("images", len(data.images)) as progress,
    ):
        result = evaluate(
            model,
            renderer,
            data.images,
            data.truth,
            _BOUND_SAMPLES,
            args.seed,
            visible_fraction=data.visible_fraction,
            report=progress.advance,
        )
    commands.append(f"air3d evaluate {folders['run'] / 'model'} --data {folders['test']}")
    metrics = {
        **result.metrics,
        "estimator": _ESTIMATOR,
        "unseen": unseen._asdict(),
        "seconds_total": time.perf_counter() - begin,
    }
    shown = list(range(min(_SHOWN, len(data.images))))
    worst = [int(i) for i in np.argsort(-result.image_mse, kind="stable")[:_WORST]]
    write_report(
        args.out / "report.html",
        "air3d: scenes understood by rendering them",
        data.images,
        data.truth,
        result,
        [
            Section("Held-out scenes", f"The first {len(shown)} of the test set, not selected.", shown),
            Section("The worst", f"The {len(worst)} with the largest pixel error of all.", worst),
        ],
        read_log(folders["run"]),
        {
            "commands": "; ".join([f"air3d demo --out {args.out} (which ran the following)", *commands]),
            "estimator": f"{_ESTIMATOR}: likelihood ratios with leave-one-out baselines",
            "seed": str(args.seed),
            "renderer": metrics["renderer"],
            "seconds": f"{metrics['seconds_total']:.0f}",
            **provenance(),
        },
        unseen=unseen.because,
    )
    with atomic_file(args.out / "metrics.json") as file:
        file.write((json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode())
    return metrics
