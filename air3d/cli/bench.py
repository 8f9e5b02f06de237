"""`air3d bench render`: images per second of every backend, beside a plain loop over `mujoco.Renderer`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from air3d.cli.arguments import OptionalFile
from air3d.cli.json_file import write_json
from air3d.cli.progress import say
from air3d.datasets.files import atomic_file
from air3d.datasets.provenance import provenance
from air3d.renderers.benchmark import Row, measure
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.resolve import resolve_kinds

Measured = Literal["default", "tuned", "gl", "gl_pool", "layers", "raster", "warp"]


@dataclass(frozen=True)
class RenderArgs:
    """Measure the renderers in one run, as ratios to the documented `mujoco.Renderer` loop on the same scenes.

    default: that loop, with MuJoCo's shadows and multisampling. tuned: the same with both off. The rest are air3d's
    backends; those that cannot work on this machine are left out.

    Example: air3d bench render --sizes 64 --objects 3.
    """

    sizes: tuple[int, ...] = (32, 64, 128, 256)
    """Heights and widths of the images, pixels."""

    objects: tuple[int, ...] = (1, 3, 6)
    """How many objects a scene has."""

    backends: tuple[Measured, ...] = ("default", "tuned", "gl", "gl_pool", "layers", "raster", "warp")
    """Backends to measure; the ratios need `default`."""

    kinds: tuple[str, ...] = ()
    """Kinds of the objects: names, files of objects, folders of them. Without any: mug, plate and bowl; for more than
    three objects, mugs."""

    seconds: float = 3.0
    """How long each row is measured; the row shows the median over batches."""

    seed: int = 0
    """Seeds the scenes."""

    json: OptionalFile = None
    """File to which the rows are written as JSON."""

    markdown: OptionalFile = None
    """File to which the rows are written as a Markdown table."""


def run(args: RenderArgs) -> int:
    """Measure; return 0 on success."""
    if not (args.sizes and args.objects and args.backends) or not 0.0 < args.seconds <= 3600.0:
        raise InputError("bench: name sizes, objects and backends, and 0 < --seconds <= 3600")
    rows, kinds = [], resolve_kinds(args.kinds, say=say)
    for row in measure(args.sizes, args.objects, args.backends, args.seconds, args.seed, kinds):
        rows.append(row)
        ratio = "" if row.ratio is None else f", {row.ratio:.1f}x"
        say(f"{row.size}x{row.size}, {row.objects} objects, {row.backend} ({row.workers}): "
            f"{row.images_per_second:.0f} images/s{ratio}")  # fmt: skip
    write_json(args.json, {"kinds": kinds, "rows": [row._asdict() for row in rows], "provenance": provenance()})
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
