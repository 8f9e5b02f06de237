"""`air3d inspect`: what is in a dataset, whether it is whole, and a picture of it; own objects, too."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from air3d.cli.arguments import OptionalFile
from air3d.cli.inspect_objects import inspect_objects
from air3d.cli.inspect_world import inspect_world, is_world
from air3d.datasets.contact_sheet import choose_samples, contact_sheet
from air3d.datasets.digits import summary as digits
from air3d.datasets.digits.config import DigitsConfig
from air3d.datasets.digits.reader import DigitsDataset
from air3d.datasets.digits.summary import DigitsSummary
from air3d.datasets.files import atomic_file, reported
from air3d.datasets.image_size import ImageSize
from air3d.datasets.manifest import CONFIG_FILE, MANIFEST_FILE, content_of
from air3d.datasets.png import encode_png
from air3d.datasets.reader import SceneDataset
from air3d.datasets.summary import Summary, summarise
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.files import holds_objects
from air3d.scene3d.own_kinds import family_of, is_variant, short_name


@dataclass(frozen=True)
class Args:
    """Summarise, verify and picture a dataset; or own objects: files of meshes, MJCF, URDF, folders of them, TOML; or a
    world.

    Example: air3d inspect data/table --sheet sheet.png.
    """

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FOLDER")]]
    """Folder of the dataset; or an object's file, a folder of such files, or a TOML file that describes objects, or a
    world."""
    sheet: OptionalFile = None
    """Write a contact sheet to this PNG file: scenes with boxes and axes; own objects from the side and from above;
    scenes of a world."""
    verify: bool = True
    """Compare the sha256 of every shard."""
    json: bool = False
    """Print JSON instead of tables."""


def run(args: Args) -> int:
    """Inspect; return 0 on success.

    Raises:
        InputError: if the folder holds no complete dataset, or a shard is damaged.
    """
    if args.sheet is not None and args.sheet.suffix.lower() != ".png":
        raise InputError(f"--sheet {args.sheet}: the name of a PNG file must end in .png")
    if is_world(args.out):
        return inspect_world(args.out, args.sheet, args.json)
    is_dataset = any((args.out / name).exists() for name in (CONFIG_FILE, MANIFEST_FILE))
    if not is_dataset and (args.out.suffix or args.out.is_dir()) and holds_objects(args.out):
        return inspect_objects(args.out, args.sheet, args.json)
    is_digits = content_of(args.out) == DigitsConfig.CONTENT
    dataset = DigitsDataset(args.out) if is_digits else SceneDataset(args.out)
    if args.verify:
        problems = dataset.verify()
        if problems:
            more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
            raise InputError(
                f"{args.out}: {'; '.join(problems[:4])}{more}; run its 'air3d generate' command again to repair it"
            )
    summary = digits.summarise(dataset) if isinstance(dataset, DigitsDataset) else summarise(dataset)
    if args.sheet is not None:
        chosen = choose_samples(len(dataset))
        if isinstance(dataset, DigitsDataset):
            sheet = digits.digits_sheet([dataset[index] for index in chosen])
        else:
            sheet = contact_sheet([dataset[index] for index in chosen])
        with reported(args.sheet), atomic_file(args.sheet) as file:
            file.write(encode_png(sheet))
    if args.json:
        print(json.dumps(asdict(summary) | {"verified": args.verify}, indent=1))  # noqa: T201
        return 0
    _print(summary, _digits_rows(summary) if isinstance(summary, DigitsSummary) else _scene_rows(summary), args.verify)
    if args.sheet is not None:
        print(f"contact sheet: {args.sheet}", file=sys.stderr)  # noqa: T201
    return 0


def _print(summary: Summary | DigitsSummary, rows: list[tuple[str, str]], verified: bool) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    whole = "all sha256 verified" if verified else "not verified"
    shards = "1 shard" if summary.shards == 1 else f"{summary.shards} shards"
    table.add_row("dataset", f"{summary.folder} ({summary.preset}, seed {summary.seed})")
    table.add_row("samples", f"{summary.samples} in {shards}, {summary.size_bytes / 1e6:.1f} MB, {whole}")
    for row in rows:
        table.add_row(*row)
    for made in summary.made_with:
        table.add_row("made with", ", ".join(f"{name} {value}" for name, value in made.items() if value))
    Console(highlight=False, soft_wrap=True).print(table)


def _scene_rows(summary: Summary) -> list[tuple[str, str]]:
    rows = [
        ("images", f"{ImageSize.of(summary.image_size)}, {summary.renderer}, {summary.detail} meshes"),
        ("objects a scene", _counts(summary.objects)),
        ("kinds", _counts(_families(summary.kinds))),
    ]
    if summary.world is not None:
        rows.append(("world", summary.world))
    for name, (low, high) in summary.camera.items():
        rows.append((f"camera {name.rsplit('_', 1)[0]}", _span(low, high, name.endswith("_rad"))))
    ends = (f"{name} {_ends(*span, '{:.2f}')}" for name, span in summary.intrinsics_px.items())
    rows.append(("camera matrix", f"{', '.join(ends)} pixels"))
    if summary.scale is not None:
        rows.append(("object scale", "{:.3f} to {:.3f}".format(*summary.scale)))
        rows.append(("visible fraction", _levels(summary.visible_fraction, "{:.2f}")))
        rows.append(("visible pixels", _levels(summary.object_pixels, "{:.0f}")))
    rows.append(("redrawn scenes", str(summary.redrawn)))
    if summary.picture_strengths:
        rows.append(
            ("varied", ", ".join(f"{name}={strength:g}" for name, strength in summary.picture_strengths.items()))
        )
    return rows if summary.speckled is None else [*rows, ("old pictures", summary.speckled)]


def _families(kinds: dict[str, int]) -> dict[str, int]:
    """Count the variants of a family together."""
    family = {name: family_of(name) for name in kinds if is_variant(short_name(name))}
    size = Counter(family.values())
    names = {name: f"{family[name]} ({size[family[name]]} variants)" for name in family}
    found: Counter[str] = Counter()
    for name, count in kinds.items():
        found[names.get(name, name)] += count
    return dict(found)


def _digits_rows(summary: DigitsSummary) -> list[tuple[str, str]]:
    size = summary.image_size
    rows = [
        ("images", f"{size}x{size} grey, digits of {summary.source}'s {summary.split} split"),
        ("digits an image", _counts(summary.counts)),
        ("classes", _counts(summary.digits)),
    ]
    if summary.digit_px is not None and summary.ink_px is not None:
        rows.append(("digit size", "{} to {} pixels".format(*summary.digit_px)))
        rows.append(("ink", "{:.1f}x{:.1f} pixels on average".format(*summary.ink_px)))
    return rows


def _counts(counts: dict[str, int]) -> str:
    total = max(sum(counts.values()), 1)
    return ", ".join(f"{name}: {count} ({count / total:.0%})" for name, count in counts.items())


def _span(low: float, high: float, angle: bool) -> str:
    unit, factor, form = ("degrees", 180.0 / math.pi, "{:.1f}") if angle else ("m", 1.0, "{:.3f}")
    return f"{_ends(low * factor, high * factor, form)} {unit}"


def _ends(low: float, high: float, form: str) -> str:
    return form.format(low) if low == high else f"{form.format(low)} to {form.format(high)}"


def _levels(quantiles: dict[str, float], form: str) -> str:
    names = {"0%": "least", "50%": "median", "100%": "greatest"}
    return ", ".join(f"{names.get(level, level)} {form.format(value)}" for level, value in quantiles.items())
