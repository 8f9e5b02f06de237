"""`air3d inspect world.toml`: a world in words, and a picture of some of its scenes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from air3d.cli.progress import say
from air3d.datasets.files import atomic_file, reported
from air3d.datasets.png import encode_png
from air3d.renderers.choice import choose_backend, make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.own_kinds import short_name
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.surface import Surface
from air3d.scene3d.world_file import WorldEntry, parse_world, read_world

_MOST_BYTES = 1 << 20
_TILE, _ROWS, _COLUMNS = 192, 3, 4


def is_world(path: Path) -> bool:
    """Tell whether a TOML file says that it describes a world."""
    if path.suffix.lower() != ".toml" or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"air3d-world" in file.read(_MOST_BYTES)


def inspect_world(path: Path, sheet: Path | None, as_json: bool) -> int:
    """Read a world, and print what it says; return 0 on success.

    Raises:
        InputError: for a file that cannot be used.
    """
    entry, prior = parse_world(path), read_world(path, say)
    if sheet is not None:
        picture = _sheet(prior)
        with reported(sheet), atomic_file(sheet) as file:
            file.write(encode_png(picture))
    rows = _rows(entry, prior)
    if as_json:
        print(json.dumps(dict(rows), indent=1))  # noqa: T201
        return 0
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, soft_wrap=True).print(table)
    if sheet is not None:
        print(f"contact sheet: {sheet}", file=sys.stderr)  # noqa: T201
    return 0


def _rows(entry: WorldEntry, prior: PriorConfig) -> list[tuple[str, str]]:
    repeat = "" if prior.repeat else ", each kind at most once"
    cameras = ", ".join(camera.name or "nameless" for camera in entry.cameras)
    return [
        ("world", prior.world or ""),
        ("objects", f"{prior.min_objects} to {prior.max_objects}{repeat}, {prior.pose}"),
        ("kinds", ", ".join(map(short_name, prior.kinds))),
        ("supports", "; ".join(map(_size, prior.supports)) or str(prior.table)),
        ("scenery", prior.table.scenery or "none, a table"),
        ("cameras", cameras or "an orbit"),
        ("lamps", str(1 + len(prior.light.lamps))),
    ]


def _size(surface: Surface) -> str:
    sizes = [f"{200.0 * half:.0f}" for half in surface.size_m]
    shape = f"a disc {sizes[0]} cm across" if len(sizes) == 1 else f"{sizes[0]} x {sizes[1]} cm"
    return f"{shape} at ({', '.join(f'{value:g}' for value in surface.position_m)}) m"


def _sheet(prior: PriorConfig) -> NDArray[np.uint8]:
    """Pictures of some of its scenes, (H, W, 3)."""
    batch = ScenePrior(prior).sample_batch(np.random.default_rng(0), _ROWS * _COLUMNS)
    config = RenderConfig(prior.kinds, prior.table, batch.slots, _TILE, _TILE, "inference", varied=prior.varied)
    with make_renderer(config, choose_backend("inference", reference=True).backend) as renderer:
        tiles = renderer.render(batch)
    rows = tiles.reshape(_ROWS, _COLUMNS, _TILE, _TILE, 3)
    return np.ascontiguousarray(rows.transpose(0, 2, 1, 3, 4)).reshape(_ROWS * _TILE, _COLUMNS * _TILE, 3)
