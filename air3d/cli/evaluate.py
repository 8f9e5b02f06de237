"""`air3d evaluate`: measure a trained model on a dataset whose scenes are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from air3d.cli.arguments import OptionalFile, OptionalNumber
from air3d.cli.json_file import check_json_file, write_json
from air3d.cli.progress import ProgressReport
from air3d.datasets.config import GenerateConfig
from air3d.datasets.digits.reader import DigitsDataset
from air3d.datasets.labelled import Labelled, check_prior, load_labelled
from air3d.datasets.manifest import Manifest
from air3d.datasets.provenance import data_facts, provenance
from air3d.datasets.reader import SceneDataset
from air3d.digits import evaluate as digits
from air3d.digits.store import TRACK as DIGITS_TRACK
from air3d.digits.store import load_digits_model
from air3d.evaluation.calibration import LEVELS, least_coverage
from air3d.evaluation.evaluate import Evaluation, evaluate
from air3d.evaluation.report import Section, write_report
from air3d.evaluation.tables import rate, spoken
from air3d.evaluation.unseen import unseen_by
from air3d.networks.folder import track_of
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.errors import InputError
from air3d.scenes.single_refine import RefineConfig
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
    """Renders for each image that polish the answer's pose after the network has spoken; 0 for none."""

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
    stored, manifest = load_model(args.weights), SceneDataset(args.data).manifest
    model, data = stored.model, load_labelled(args.data, args.limit)
    check_prior(f"{args.data}: its scenes come from another prior than the model's", data.prior, model.prior)
    if data.images.shape[1] != model.image_size:
        raise InputError(f"{args.data}: images of {data.images.shape[1]} pixels; the model reads {model.image_size}")
    refinement = RefineConfig(renders=args.refine, seed=args.seed) if args.refine else None
    with (
        make_renderer(model.render_config, args.renderer) as renderer,
        ProgressReport("images", len(data.images), quiet=args.quiet) as progress,
    ):
        result = evaluate(
            model,
            renderer,
            data.images,
            data.truth,
            args.bound_samples,
            args.seed,
            refinement,
            data.visible_fraction,
            progress.advance,
        )
    unseen = unseen_by(stored.provenance, manifest)
    command = _command(args)
    metrics = {
        "weights": args.weights,
        **result.metrics,
        "data": {**data_facts(manifest), "renderer": manifest.config.renderer},
        "unseen": unseen._asdict(),
        "made": {"command": command, **provenance()},
    }
    write_json(args.json, metrics)
    if args.report is not None:
        facts = {"command": command, "data": _about_data(manifest), "renderer": renderer.name, **provenance()}
        _write_page(args.report, f"air3d: {args.weights} on {args.data.name}", data, result, facts, unseen.because)
    print_metrics(metrics)
    return 0


def _command(args: Args) -> str:
    """The command, without the options that only say where its output goes."""
    refine = f" --refine {args.refine}" if args.refine else ""
    limit = "" if args.limit is None else f" --limit {args.limit}"
    samples = f" --bound-samples {args.bound_samples}"
    return f"air3d evaluate {args.weights} --data {args.data}{limit}{samples}{refine} --seed {args.seed}"


def _about_data(manifest: Manifest[GenerateConfig]) -> str:
    config = manifest.config
    drawn = f"{config.num} scenes of seed {config.seed}, drawn by {config.renderer}"
    return f"{drawn} (settings {manifest.config_sha256[:12]})"


def _write_page(path: Path, title: str, data: Labelled, result: Evaluation, facts: dict[str, str], unseen: str) -> None:
    shown = list(range(min(_SHOWN, len(data.images))))
    worst = [int(i) for i in np.argsort(-result.image_mse, kind="stable")[:_WORST]]
    sections = [
        Section("Scenes", f"The first {len(shown)} of the dataset, not selected.", shown),
        Section("The worst", f"The {len(worst)} with the largest pixel error of all.", worst),
    ]
    write_report(path, title, data.images, data.truth, result, sections, [], facts, unseen=unseen)


def _measure_digits(args: Args) -> dict[str, Any]:
    if args.refine:
        raise InputError("--refine polishes 3D poses through the renderer; this model explains digits")
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


def print_metrics(metrics: dict[str, Any]) -> None:
    """Print the metrics as a table, in the units people read; the 90th percentile follows each median."""
    from rich.console import Console
    from rich.table import Table

    titles = ("kind", "found, and kind right", "position error (p90)", "yaw error (p90)")
    table = Table(*titles, title="errors are medians over matched objects, yaw modulo symmetry")
    every = {
        **metrics,
        "kind_right": sum(row["kind_right"] for row in metrics["per_kind"].values()),
    }
    for name, row in ({"all": every} | metrics["per_kind"]).items():
        table.add_row(
            name,
            rate(row["kind_right"], row["true_objects"]),
            _spread(row["position_error_m"], 100.0, "cm", 2),
            _spread(row["yaw_error_rad"], _DEGREES, "deg", 1),
        )
    console = Console()
    console.print(table)
    images, missed, extra = (metrics[key] for key in ("num_images", "missed_objects", "extra_objects"))
    lines = [
        f"count right {rate(metrics['count_right'], images)}   "
        f"all kinds right {rate(metrics['kinds_right'], images)}   "
        f"{missed:,} objects missed, {extra:,} invented"
    ]
    camera, p90 = metrics["camera_error_rad"], metrics["camera_error_p90_rad"]
    if camera["azimuth"] is not None:
        of = {name: {"median": camera[name], "p90": p90[name]} for name in camera}
        distance = {"median": metrics["camera_distance_error_m"], "p90": metrics["camera_distance_error_p90_m"]}
        lines.append(
            f"camera, median (p90): azimuth {_spread(of['azimuth'], _DEGREES, 'deg', 2)}, "
            f"elevation {_spread(of['elevation'], _DEGREES, 'deg', 2)}, distance {_spread(distance, 100.0, 'cm', 2)}   "
            f"AP (BOP): MSSD {_share(metrics['mssd_ap'])}, MSPD {_share(metrics['mspd_ap'])}"
        )
    lines.append(
        f"reconstruction mse {metrics['reconstruction_mse']:.5f}   ELBO {_nats(metrics['elbo'])}   IWAE bound "
        f"{_nats(metrics['iwae_bound'])} nats   {1000 * metrics['seconds_per_image']:.2f} ms an image"
    )
    left_out = f"{metrics['images_without_bound']:,} of {images:,} images"
    lines.append(f"the bounds leave out {left_out}, of which the prior allows no sample")
    if "calibration" in metrics:
        lines += calibration_lines(metrics)
    if "unseen" in metrics:
        lines.append(metrics["unseen"]["because"])
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def calibration_lines(metrics: dict[str, Any]) -> list[str]:
    """Lines that say how well the guide's own draws cover the truth, and how many of them weighing leaves."""
    found, each = metrics["calibration"], metrics["bound_samples"]
    regions = {key: row["coverage"] for key, row in found.items() if "coverage" in row}
    covered = [
        f"{spoken(key)} {'/'.join('-' if share is None else f'{100 * share:.0f}' for share in row.values())} %"
        for key, row in regions.items()
    ]
    levels = "/".join(f"{100 * level:.0f}" for level in LEVELS)
    wrong = "/".join(f"{100 * least_coverage(each, level):.0f}" for level in LEVELS)
    worth = metrics["effective_samples"]["median"]
    return [
        f"{levels} % regions of q's own {each} draws, equally weighted, cover (if always wrong: {wrong} %): "
        + ", ".join(covered),
        f"importance weights leave {'-' if worth is None else f'{worth:.1f}'} effective of {each} draws (median)",
    ]


_DEGREES = float(np.degrees(1.0))


def _spread(found: dict[str, float | None], factor: float, unit: str, digits: int) -> str:
    """A median and the 90th percentile."""
    median, p90 = found["median"], found["p90"]
    if median is None or p90 is None:
        return "-"
    return f"{factor * median:.{digits}f} {unit} ({factor * p90:.{digits}f})"


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
