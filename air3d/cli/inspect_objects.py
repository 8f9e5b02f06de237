"""`air3d inspect OBJECT`: own objects as they were understood, and a picture of them."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from air3d.cli.progress import say
from air3d.datasets.files import atomic_file, reported
from air3d.datasets.png import encode_png
from air3d.renderers.choice import choose_backend, make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Detail
from air3d.scene3d.objects.files import described
from air3d.scene3d.objects.resolve import make_those_that_can_be
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.own_kinds import short_name
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scene3d.scene import Table as Tabletop

if TYPE_CHECKING:
    from air3d.scene3d.objects.make import Facts

_TILE, _LABEL = 224, 22
_YAWS_RAD = (math.radians(20.0), math.radians(140.0))
_SOLIDS = {
    "file": "{} convex bodies of the file",
    "revolved": "{} convex bodies, in rings about its axis: it is hollow where the mesh is",
    "coacd": "{} convex bodies, found by coacd",
    "hull": "its convex hull",
}
_PAPER, _INK, _DISC, _SHADOW = (24, 24, 28), "#e8e8e8", "#ffe14d", "#5a6a8a"


def inspect_objects(path: Path, sheet: Path | None, as_json: bool) -> int:
    """Make every kind of a file or folder, and print the results; return 0 on success.

    Raises:
        InputError: for a file that cannot be used; of a folder's files, if none can.
    """
    found, refused = make_those_that_can_be(described(path))
    if refused and not path.is_dir():
        raise refused[0]
    for error in refused:
        say(f"left out: {error}")
    if sheet is not None:
        picture = objects_sheet([facts.kind for facts in found])
        with reported(sheet), atomic_file(sheet) as file:
            file.write(encode_png(picture))
    if as_json:
        print(json.dumps([asdict(facts) for facts in found], indent=1))  # noqa: T201
        return 0
    for facts in found:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for row in _rows(facts):
            table.add_row(*row)
        Console(highlight=False, soft_wrap=True).print(table, "")
    if sheet is not None:
        print(f"contact sheet: {sheet}", file=sys.stderr)  # noqa: T201
    return 0


def _rows(facts: Facts) -> list[tuple[str, str]]:
    x, y, z = (100.0 * side for side in facts.size_m)
    triangles, (iou, least) = facts.triangles, facts.silhouette_iou
    rows = [
        ("kind", facts.kind),
        ("source", facts.source),
        ("size", f"{x:.1f} x {y:.1f} x {z:.1f} cm (x, y, height)"),
        (
            "triangles",
            f"{triangles['file']} in the file, {triangles['display']} for display, {triangles['inference']} for "
            f"inference, which is off by at most {1000.0 * facts.deviation_m:.1f} mm",
        ),
        (
            "inference",
            f"outlines overlap the file's by {iou:.3f} (IoU; at least {least:.3f} in 8 views), colours differ by "
            f"{100.0 * facts.colour_difference:.1f} %",
        ),
        ("surface", "closed" if not facts.open_triangles else f"{facts.open_triangles} triangles are not closed"),
        ("collisions", _SOLIDS[facts.solids_from].format(facts.solids)),
        ("footprint", f"{_discs(len(facts.footprint_m))}, {200.0 * facts.radius_m:.1f} cm across"),
        ("symmetry", facts.symmetry),
    ]
    said = "declared" if facts.symmetry_declared else "found"
    if facts.symmetry != "none":
        said = f"{said}; holds to {1000.0 * facts.symmetry_error_m:.1f} mm"
    rows[-1] = ("symmetry", f"{facts.symmetry} ({said})")
    return rows + [("warning", warning) for warning in facts.warnings]


def _discs(count: int) -> str:
    return "1 disc" if count == 1 else f"{count} discs"


def objects_sheet(kinds: list[str]) -> NDArray[np.uint8]:
    """A row for each kind: twice for display, once for inference, and its footprint from above; (H, W, 3) uint8."""
    rows = []
    for name in kinds:
        sides = [*_views(name, _display(), _YAWS_RAD), *_views(name, "inference", _YAWS_RAD[:1])]
        tiles = [*sides, _from_above(name)]
        label = Image.new("RGB", (_TILE * len(tiles), _LABEL), _PAPER)
        ImageDraw.Draw(label).text((6, 3), f"{short_name(name)}: display, display, inference, from above", fill=_INK)
        rows += [np.asarray(label), np.concatenate(tiles, axis=1)]
    return np.concatenate(rows)


def _display() -> Detail:
    """Display detail, where something can draw it."""
    try:
        choose_backend("display")
    except InputError:
        return "inference"
    return "display"


def _views(name: str, detail: Detail, yaws_rad: tuple[float, ...]) -> NDArray[np.uint8]:
    """The object alone, filling the picture, (V, H, W, 3)."""
    kind = get_kind(name)
    table = Tabletop(radius_m=1.6 * kind.radius_m, place_radius_m=kind.radius_m)
    fovy = math.radians(30.0)
    reach = math.hypot(kind.radius_m, kind.height_m / 2.0)
    camera = Orbit(
        elevation_rad=math.radians(25.0),
        distance_m=1.1 * reach / math.sin(fovy / 2.0),
        look_at_m=(0.0, 0.0, kind.height_m / 2.0),
        fovy_rad=fovy,
    )
    scenes = [Scene((SceneObject.upright(name, 0.0, 0.0, yaw),), camera, table) for yaw in yaws_rad]
    with make_renderer(RenderConfig((name,), table, 1, _TILE, _TILE, detail)) as renderer:
        return renderer.render(SceneBatch.from_scenes(scenes))


def _from_above(name: str) -> NDArray[np.uint8]:
    """The mesh's shadow at noon, the discs that cover it, the origin and the direction of yaw 0, x to the right."""
    kind = get_kind(name)
    lines = [line.split() for line in asset_path("meshes", f"{name}.inference.obj").read_text().splitlines()]
    points = np.array([[float(v) for v in words[1:3]] for words in lines if words[0] == "v"])
    scale = 0.45 * _TILE / kind.radius_m
    image = Image.new("RGB", (_TILE, _TILE), _PAPER)
    draw = ImageDraw.Draw(image)

    def pixel(x_m: float, y_m: float) -> tuple[float, float]:
        return _TILE / 2.0 + scale * x_m, _TILE / 2.0 - scale * y_m

    for words in lines:
        if words[0] == "f":
            corners = [points[int(word.split("/")[0]) - 1] for word in words[1:]]
            draw.polygon([pixel(float(x), float(y)) for x, y in corners], fill=_SHADOW)
    for c in kind.footprint:
        (x, y), radius = pixel(c.x_m, c.y_m), scale * c.radius_m
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_DISC)
    draw.line([pixel(0.0, 0.0), pixel(kind.radius_m / 2.0, 0.0)], fill="#ff5050", width=2)
    draw.text((4, _TILE - 16), f"{200.0 * kind.radius_m:.1f} cm across", fill=_INK, font=ImageFont.load_default())
    return np.asarray(image)
