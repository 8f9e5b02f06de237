"""`air3d evaluate`: measure a trained model on a dataset whose scenes are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from air3d.cli.arguments import OptionalFile, OptionalNumber
from air3d.cli.evaluate_digits import measure, print_digits_metrics
from air3d.cli.json_file import check_json_file, write_json
from air3d.cli.progress import ProgressReport
from air3d.digits_store import TRACK as DIGITS_TRACK
from air3d.evaluation.evaluate import Evaluation, evaluate
from air3d.evaluation.report import Section, write_report
from air3d.labelled import Labelled, load_labelled
from air3d.provenance import provenance
from air3d.scenes.refine import RefineConfig
from air3d.store import load_model, track_of
from renderers.choice import Backend, make_renderer
from scene3d.errors import InputError

_SHOWN, _WORST = 12, 4


@dataclass(frozen=True)
class Args:
    """Measure a trained model on a dataset: counts, kinds, errors of place, yaw and camera, average precision, bounds.

    Example: air3d evaluate table-top --data data/test --report report.html.
    """

    weights: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A model folder, or the name of a shipped model such as table-top, single-object or multi-mnist."""

    data: Path
    """Dataset with the same kind of scenes, not trained on."""

    json: OptionalFile = None
    """File for the metrics as JSON."""

    report: OptionalFile = None
    """File for a page (HTML) with pictures, errors and the worst answers."""

    limit: OptionalNumber = None
    """Use only the first this many images."""

    bound_samples: int = 16
    """K, renders for each image to estimate the ELBO and the IWAE bound."""

    refine: int = 0
    """Renders for each image that polish the answer's pose after the network has spoken; 0 for none."""

    seed: int = 0
    """Of those samples, and of the refinement."""

    renderer: Backend = "auto"
    """What draws; auto takes the fastest that works here, as `air3d doctor` tells."""

    quiet: bool = False
    """No progress."""


def run(args: Args) -> int:
    """Evaluate; 0 on success."""
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
        print_digits_metrics(metrics)
        return 0
    model = load_model(args.weights).model
    data = load_labelled(args.data, args.limit)
    if data.prior != model.prior:
        raise InputError(f"{args.data}: its scenes come from another prior than the model's; regenerate or retrain")
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
    metrics = {"weights": args.weights, "renderer": renderer.name, **result.metrics}
    write_json(args.json, metrics)
    if args.report is not None:
        _write_page(args, data, result, renderer.name)
    print_metrics(metrics)
    return 0


def _write_page(args: Args, data: Labelled, result: Evaluation, backend: str) -> None:
    assert args.report is not None
    shown = list(range(min(_SHOWN, len(data.images))))
    worst = [int(i) for i in np.argsort(-result.image_mse, kind="stable")[:_WORST]]
    sections = [
        Section("Scenes", f"The first {len(shown)} of the dataset, not selected.", shown),
        Section("The worst", f"The {len(worst)} with the largest pixel error of all.", worst),
    ]
    refine = f" --refine {args.refine}" if args.refine else ""
    facts = {
        "command": f"air3d evaluate {args.weights} --data {args.data} --seed {args.seed}{refine}",
        "renderer": backend,
        **provenance(),
    }
    title = f"air3d: {args.weights} on {args.data.name}"
    write_report(args.report, title, data.images, data.truth, result, sections, [], facts)


def _measure_digits(args: Args) -> dict[str, Any]:
    if args.refine:
        raise InputError("--refine polishes 3D poses through the renderer; this model explains digits")
    if args.report is not None:
        raise InputError("--report shows 3D scenes; this model explains digits")
    return measure(args.weights, args.data, args.limit, args.bound_samples, args.seed, args.quiet)


def print_metrics(metrics: dict[str, Any]) -> None:
    """The metrics as a table, in the units people read."""
    from rich.console import Console
    from rich.table import Table

    table = Table("kinds", "images", "kinds right", "position error", "yaw error", title="modulo symmetry, medians")
    rows = {"all": {**metrics, "objects": metrics["num_images"], "kind_accuracy": metrics["kinds_accuracy"]}}
    for name, row in (rows | metrics["per_kind"]).items():
        position, yaw = row["position_error_m"]["median"], row["yaw_error_rad"]["median"]
        table.add_row(
            name,
            str(row["objects"]),
            "-" if row["kind_accuracy"] is None else f"{100 * row['kind_accuracy']:.1f} %",
            "-" if position is None else f"{100 * position:.2f} cm",
            "-" if yaw is None else f"{np.degrees(yaw):.1f} deg",
        )
    console = Console()
    console.print(table)
    camera = metrics["camera_error_rad"]
    if camera["azimuth"] is not None and metrics["count_accuracy"] is not None:
        console.print(
            f"count right {100 * metrics['count_accuracy']:.1f} %   "
            f"camera: azimuth {np.degrees(camera['azimuth']):.2f}, "
            f"elevation {np.degrees(camera['elevation']):.2f} deg, "
            f"distance {100 * metrics['camera_distance_error_m']:.2f} cm   "
            f"AP (BOP): MSSD {_share(metrics['mssd_ap'])}, MSPD {_share(metrics['mspd_ap'])}",
            highlight=False,
        )
    console.print(
        f"reconstruction mse {metrics['reconstruction_mse']:.5f}   ELBO {_nats(metrics['elbo'])}   IWAE bound "
        f"{_nats(metrics['iwae_bound'])} nats   {1000 * metrics['seconds_per_image']:.2f} ms an image",
        highlight=False,
    )
    left_out = f"{metrics['images_without_bound']} of {metrics['num_images']} images"
    console.print(f"the bounds leave out {left_out}, of which the prior allows no sample", highlight=False)


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
