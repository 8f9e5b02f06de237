"""`air3d inspect`: what is in a dataset, whether it is whole, and a picture of it."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from datasets.contact_sheet import choose_samples, contact_sheet
from datasets.files import atomic_file, reported
from datasets.png import encode_png
from datasets.reader import SceneDataset
from datasets.summary import Summary, summarise
from scene3d.errors import InputError


@dataclass(frozen=True)
class Args:
    """Summarise, verify and picture a dataset."""

    out: tyro.conf.Positional[Path]
    """Folder of the dataset."""
    sheet: Path | None = None
    """Write a contact sheet with boxes and axes to this PNG file."""
    verify: bool = True
    """Compare the sha256 of every shard."""
    json: bool = False
    """Print JSON instead of tables."""


def run(args: Args) -> int:
    """Inspect; see the module.

    Raises:
        InputError: if the folder holds no complete dataset, or a shard is damaged.
    """
    if args.sheet is not None and args.sheet.suffix.lower() != ".png":
        raise InputError(f"--sheet {args.sheet}: the name of a PNG file must end in .png")
    dataset = SceneDataset(args.out)
    if args.verify:
        problems = dataset.verify()
        if problems:
            more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
            raise InputError(
                f"{args.out}: {'; '.join(problems[:4])}{more}; run its 'air3d generate' command again to repair it"
            )
    summary = summarise(dataset)
    if args.sheet is not None:
        sheet = contact_sheet([dataset[index] for index in choose_samples(len(dataset))])
        with reported(args.sheet), atomic_file(args.sheet) as file:
            file.write(encode_png(sheet))
    if args.json:
        print(json.dumps(asdict(summary) | {"verified": args.verify}, indent=1))  # noqa: T201
        return 0
    _print(summary, args.verify)
    if args.sheet is not None:
        print(f"contact sheet: {args.sheet}", file=sys.stderr)  # noqa: T201
    return 0


def _print(summary: Summary, verified: bool) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    whole = "all sha256 verified" if verified else "not verified"
    shards = "1 shard" if summary.shards == 1 else f"{summary.shards} shards"
    table.add_row("dataset", f"{summary.folder} ({summary.preset}, seed {summary.seed})")
    table.add_row("samples", f"{summary.samples} in {shards}, {summary.size_bytes / 1e6:.1f} MB, {whole}")
    table.add_row("images", f"{summary.image_size}x{summary.image_size}, {summary.renderer}, {summary.detail} meshes")
    table.add_row("objects a scene", _counts(summary.objects))
    table.add_row("kinds", _counts(summary.kinds))
    for name, (low, high) in summary.camera.items():
        table.add_row(f"camera {name.rsplit('_', 1)[0]}", _span(low, high, name.endswith("_rad")))
    if summary.scale is not None:
        table.add_row("object scale", "{:.3f} to {:.3f}".format(*summary.scale))
        table.add_row("visible fraction", _levels(summary.visible_fraction, "{:.2f}"))
        table.add_row("visible pixels", _levels(summary.object_pixels, "{:.0f}"))
    table.add_row("redrawn scenes", str(summary.redrawn))
    for made in summary.made_with:
        table.add_row("made with", ", ".join(f"{name} {value}" for name, value in made.items() if value))
    Console(highlight=False, soft_wrap=True).print(table)


def _counts(counts: dict[str, int]) -> str:
    total = max(sum(counts.values()), 1)
    return ", ".join(f"{name}: {count} ({count / total:.0%})" for name, count in counts.items())


def _span(low: float, high: float, angle: bool) -> str:
    unit, factor, form = ("degrees", 180.0 / math.pi, "{:.1f}") if angle else ("m", 1.0, "{:.3f}")
    ends = [form.format(value * factor) for value in (low, high)]
    return f"{ends[0]} {unit}" if low == high else f"{ends[0]} to {ends[1]} {unit}"


def _levels(quantiles: dict[str, float], form: str) -> str:
    names = {"0%": "least", "50%": "median", "100%": "greatest"}
    return ", ".join(f"{names.get(level, level)} {form.format(value)}" for level, value in quantiles.items())
