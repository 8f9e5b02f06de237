"""`air3d evaluate`: measure a trained model on a dataset whose scenes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro

from air3d.cli.arguments import OptionalFile, OptionalNumber
from air3d.cli.json_file import check_json_file, write_json
from air3d.cli.metrics_table import print_metrics
from air3d.cli.progress import ProgressReport, say
from air3d.datasets.config import GenerateConfig
from air3d.datasets.digits.reader import DigitsDataset
from air3d.datasets.labelled import Labelled, check_prior, differences, load_labelled
from air3d.datasets.manifest import Manifest
from air3d.datasets.provenance import data_facts, provenance
from air3d.datasets.reader import SceneDataset
from air3d.digits import evaluate as digits
from air3d.digits.store import TRACK as DIGITS_TRACK
from air3d.digits.store import load_digits_model
from air3d.evaluation.answers import place_of
from air3d.evaluation.evaluate import Evaluation, evaluate
from air3d.evaluation.report import Section, write_report
from air3d.evaluation.unseen import Unseen, unseen_by
from air3d.networks.folder import track_of
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scenes.depth import with_depth
from air3d.scenes.refine import RefineConfig
from air3d.scenes.resample_move import ResampleMove
from air3d.scenes.store import load_model

_SHOWN, _WORST = 12, 4


@dataclass(frozen=True)
class Args:
    """Measure a trained model on a dataset: counts, kinds, errors of place, yaw and camera, average precision, bounds.

    Example: air3d evaluate tabletop --data data/test --report report.html.
    """

    weights: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A model folder, or the name of a shipped model such as tabletop, single-object or multi-mnist."""

    data: Path
    """Dataset with the same kind of scenes, which training has not seen."""

    json: OptionalFile = None
    """File to which the metrics are written as JSON."""

    report: OptionalFile = None
    """File to which a page (HTML) is written: pictures, errors and the worst answers."""

    limit: OptionalNumber = None
    """Use only the first this many images."""

    bound_samples: int = 16
    """K, the renders for each image that estimate the ELBO and the IWAE bound."""

    refine: int = 0
    """Renders for each image that polish the answer, and may add an object that the network missed; 0 for none."""

    settle: bool = False
    """Let every answer fall in the end, by physics, until it lies still; kept where the likelihood does not fall."""

    depth: bool = False
    """Give the model the dataset's depth, too; it must be one that looks at depth."""

    calibration: int = 0
    """Posterior samples of each image for simulation-based calibration: the likelihood's noise is added to the images,
    and scenes are drawn, resampled and moved, as `air3d infer --samples --moves` does; 0 for none."""

    moves: int = 3
    """With --calibration: the moves of each sample."""

    seed: int = 0
    """Seeds those samples and the refinement."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""

    quiet: bool = False
    """Show no progress."""


def run(args: Args) -> int:
    """Evaluate; return 0 on success."""
    for name in ("limit", "bound_samples"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise InputError(f"evaluate: {name} is {getattr(args, name)}; it must be at least 1")
    if not 0 <= args.seed < 2**63:
        raise InputError(f"evaluate: --seed {args.seed}: use 0 to 2^63 - 1")
    check_json_file(args.json)
    if args.report is not None and args.report.is_dir():
        raise InputError(f"{args.report} is a folder; name a file for the page")
    if track_of(args.weights) == DIGITS_TRACK:
        metrics = _measure_digits(args)
        write_json(args.json, metrics)
        digits.print_metrics(metrics)
        return 0
    refinement = RefineConfig(renders=args.refine, seed=args.seed) if args.refine else None
    measured = measure(
        args.weights, args.data, args.renderer, args.bound_samples, args.seed, refinement, args.limit, args.quiet,
        args.settle, args.depth, ResampleMove(args.calibration, args.moves) if args.calibration else None,
    )  # fmt: skip
    manifest, command = measured.manifest, _command(args)
    metrics = {
        "weights": args.weights,
        **measured.metrics,
        "data": {**data_facts(manifest), "renderer": manifest.config.renderer},
        "made": {"command": command, **provenance()},
    }
    write_json(args.json, metrics)
    if args.report is not None:
        facts = {"command": command, "data": _about_data(manifest), "renderer": metrics["renderer"], **provenance()}
        measured.write_page(args.report, f"air3d: {args.weights} on {args.data.name}", [], facts)
    print_metrics(metrics)
    return 0


class Measured(NamedTuple):
    """A model's answers to a dataset, measured.

    Attributes:
        data: the images and their true scenes.
        manifest: describes the dataset.
        result: the answers and their metrics.
        unseen: whether training has seen the scenes.
    """

    data: Labelled
    manifest: Manifest[GenerateConfig]
    result: Evaluation
    unseen: Unseen

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics, and the verdict on what training has seen, as JSON values."""
        return {**self.result.metrics, "unseen": self.unseen._asdict()}

    def write_page(self, path: Path, title: str, log: Sequence[dict[str, Any]], facts: dict[str, str]) -> None:
        """Write a page: the first scenes, the worst, the numbers, and the curves of the log; see `write_report`."""
        shown = list(range(min(_SHOWN, len(self.data.images))))
        worst = [int(i) for i in np.argsort(-self.result.image_mse, kind="stable")[:_WORST]]
        sections = [
            Section("Scenes", f"The first {len(shown)} of the dataset, not selected.", shown),
            Section("The worst", f"The {len(worst)} with the largest pixel error of all.", worst),
        ]
        images, truth = self.data.images, self.data.truth
        write_report(path, title, images, truth, self.result, sections, log, facts, unseen=self.unseen.because)


def measure(
    weights: str,
    folder: Path,
    backend: Backend,
    bound_samples: int,
    seed: int,
    refinement: RefineConfig | None = None,
    limit: int | None = None,
    quiet: bool = False,
    fall: bool = False,
    depth: bool = False,
    simulated: ResampleMove | None = None,
) -> Measured:
    """Let a model of scenes explain a dataset, and measure its answers.

    Args:
        weights: a model folder, or the name of a shipped model.
        limit: uses only the first so many images.
        bound_samples, seed, refinement, fall: see `air3d.evaluation.evaluate`.
        depth: gives the model the dataset's depth, too.
        simulated: samples the posterior for simulation-based calibration.

    Raises:
        InputError: if the model and the dataset do not fit.
    """
    stored, data = load_model(weights), load_labelled(folder, limit, depth)
    whole, manifest = stored.model, SceneDataset(folder).manifest
    another = f"{folder}: its scenes come from another prior than the model's"
    if whole.world.one_object:
        check_prior(another, data.prior, whole.prior)
    size, read = manifest.config.image_size, whole.image_size
    if size != read:
        raise InputError(f"{folder}: images of {size} pixels; the model reads {read}")
    model = place_of(whole, data.prior, str(folder), weights)
    if simulated is not None:
        model.likelihood.check_drawable()
    differs = differences(data.prior, model.prior)
    if differs and not quiet:
        say(f"{another}: {differs}")
    images = data.images if data.depth_m is None else with_depth(data.images, data.depth_m)
    truth = SceneBatch.from_scenes(list(data.truth), model.prior.kinds, data.truth.slots, data.truth.table)
    with (
        make_renderer(model.render_config, backend) as renderer,
        ProgressReport("images", len(data.images), quiet=quiet) as progress,
    ):
        result = evaluate(
            model,
            renderer,
            images,
            truth,
            bound_samples,
            seed,
            refinement,
            data.visible_fraction,
            progress.advance,
            fall,
            simulated,
        )
    if differs:
        result.metrics["other_prior"] = differs
    return Measured(data._replace(truth=truth), manifest, result, unseen_by(stored.provenance, manifest))


def _command(args: Args) -> str:
    """The command, without the options that only say where its output goes."""
    refine = f" --refine {args.refine}" if args.refine else ""
    refine += " --settle" * args.settle + " --depth" * args.depth
    if args.calibration:
        refine += f" --calibration {args.calibration} --moves {args.moves}"
    limit = "" if args.limit is None else f" --limit {args.limit}"
    samples = f" --bound-samples {args.bound_samples}"
    return f"air3d evaluate {args.weights} --data {args.data}{limit}{samples}{refine} --seed {args.seed}"


def _about_data(manifest: Manifest[GenerateConfig]) -> str:
    config = manifest.config
    drawn = f"{config.num} scenes of seed {config.seed}, drawn by {config.renderer}"
    return f"{drawn} (settings {manifest.config_sha256[:12]})"


def _measure_digits(args: Args) -> dict[str, Any]:
    if args.refine or args.settle or args.depth or args.calibration:
        raise InputError("--refine, --settle, --depth and --calibration are for 3D scenes; this model explains digits")
    if args.report is not None:
        raise InputError("--report shows 3D scenes; this model explains digits")
    model, dataset = load_digits_model(args.weights).model, DigitsDataset(args.data)
    if dataset.config.canvas != model.config.canvas:
        raise InputError(
            f"{args.data}: images of {dataset.config.canvas} pixels; the model reads {model.config.canvas}"
        )
    data = dataset.arrays(args.limit)
    with ProgressReport("images", len(data.images), quiet=args.quiet) as progress:
        result = digits.evaluate_digits(
            model, data.images, data.counts, args.bound_samples, args.seed, progress.advance
        )
    return {"weights": args.weights, **result.metrics}
