"""`air3d bench render`: images per second of every backend, beside a plain loop over `mujoco.Renderer`.
`air3d bench estimators`: variance and signal-to-noise of every gradient estimator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from air3d.cli.arguments import OptionalFile
from air3d.cli.json_file import write_json
from air3d.cli.progress import say
from air3d.datasets.files import atomic_file
from air3d.provenance import provenance
from air3d.renderers.benchmark import Row, measure
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior

Measured = Literal["default", "tuned", "gl", "gl_pool", "layers", "raster", "warp"]


@dataclass(frozen=True)
class RenderArgs:
    """Measure the renderers in one run, as ratios to the documented `mujoco.Renderer` loop on the same scenes.

    default: that loop, with MuJoCo's shadows and multisampling. tuned: the same with both off. The rest are air3d's
    backends; those that cannot work on this machine are left out.

    Example: air3d bench render --sizes 64 --objects 3.
    """

    sizes: tuple[int, ...] = (32, 64, 128, 256)
    """Heights and widths, pixels."""

    objects: tuple[int, ...] = (1, 3, 6)
    """Objects in a scene."""

    backends: tuple[Measured, ...] = ("default", "tuned", "gl", "gl_pool", "layers", "raster", "warp")
    """What to measure; the ratios need `default`."""

    seconds: float = 3.0
    """Time for each row; the median over batches counts."""

    seed: int = 0
    """Of the scenes."""

    json: OptionalFile = None
    """File for the rows as JSON."""

    markdown: OptionalFile = None
    """File for the rows as a Markdown table."""


@dataclass(frozen=True)
class EstimatorArgs:
    """Measure how noisy each gradient estimator is on the single-object problem.

    A guide is trained with `lr` and stopped at each stage; every estimator's gradient for the same images is then
    drawn again and again. lr, lr-kind, lr-nvil and fd estimate the gradient of the ELBO, vimco of the 16-sample bound,
    rws and mixture of an inclusive KL: compare their noise, not their variances, across these.
    """

    stages: tuple[int, ...] = (50, 200, 500)
    """Iterations of training, rising."""

    draws: int = 40
    """Gradients of each estimator."""

    images: int = 2000
    """Images that the guide is trained on."""

    seed: int = 0
    """Of everything."""

    renderer: Backend = "auto"
    """What draws; auto takes the fastest that works here, as `air3d doctor` tells."""

    json: OptionalFile = None
    """File for the rows as JSON."""


def run(args: RenderArgs | EstimatorArgs) -> int:
    """Measure; 0 on success."""
    return _run_estimators(args) if isinstance(args, EstimatorArgs) else _run_render(args)


def _run_estimators(args: EstimatorArgs) -> int:
    if args.draws < 2 or args.images < 1 or not args.stages or list(args.stages) != sorted(set(args.stages)):
        raise InputError("bench: use at least 2 draws, 1 image, and rising stages")
    if args.stages[0] < 1:
        raise InputError(f"bench: stages start at {args.stages[0]}; use at least 1 iteration")
    from air3d.experiments.estimator_noise import measure_noise

    rows = []
    make = partial(make_renderer, backend=args.renderer)
    for row in measure_noise(single_prior(), make, args.stages, args.draws, args.images, args.seed):
        rows.append(row)
        say(f"after {row.stage} iterations, {row.estimator}: signal-to-noise {row.signal_to_noise:.3f}")
    write_json(args.json, {"rows": [row._asdict() for row in rows], "provenance": provenance()})
    table = Table("stage", "estimator", "renders", "ms", "variance", "S/N of one", "S/N per 1,000 renders", "S/N per s")
    for row in rows:
        numbers = (f"{row.milliseconds:.0f}", f"{row.variance:.3g}", f"{row.signal_to_noise:.3f}")
        spent = (f"{row.per_1000_renders:.3f}", f"{row.per_second:.3f}")
        table.add_row(str(row.stage), row.estimator, str(row.renders), *numbers, *spent)
    Console().print(table)
    return 0


def _run_render(args: RenderArgs) -> int:
    if not (args.sizes and args.objects and args.backends) or not 0.0 < args.seconds <= 3600.0:
        raise InputError("bench: name sizes, objects and backends, and 0 < --seconds <= 3600")
    rows = []
    for row in measure(args.sizes, args.objects, args.backends, args.seconds, args.seed):
        rows.append(row)
        ratio = "" if row.ratio is None else f", {row.ratio:.1f}x"
        say(f"{row.size}x{row.size}, {row.objects} objects, {row.backend} ({row.workers}): "
            f"{row.images_per_second:.0f} images/s{ratio}")  # fmt: skip
    write_json(args.json, {"rows": [row._asdict() for row in rows], "provenance": provenance()})
    if args.markdown is not None:
        _write(args.markdown, markdown(rows))
    Console().print(_table(rows))
    return 0


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| size | objects | backend | workers | images/s | ratio |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in rows)]) + "\n"


def _table(rows: list[Row]) -> Table:
    table = Table("size", "objects", "backend", "workers", "images/s", "ratio")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
    return (str(row.size), str(row.objects), row.backend, str(row.workers), f"{row.images_per_second:,.0f}", ratio)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(text.encode())
