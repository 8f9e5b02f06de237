"""`air3d render`: draws a scene file as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from air3d.datasets.image_size import ImageSize
from air3d.datasets.pictures import check_writable, write_picture
from air3d.renderers.choice import Backend, make_renderer
from air3d.renderers.protocol import MAX_SIDE, RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.kind import Detail
from air3d.scene3d.objects.resolve import own_names
from air3d.scene3d.scene_json import kinds_of, load_scene, picture_size

_ROWS = 512


@dataclass(frozen=True)
class Args:
    """Render a scene file.

    Example: air3d render answers/photo.scene.json photo.png --size 512.
    """

    scene: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SCENE.json")]]
    """Scene JSON, as written by `air3d infer`, or a sample's scene.json out of a dataset's shard."""

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="PICTURE")]]
    """Picture to write, .png or .jpg."""

    objects: Path | None = None
    """TOML file that describes own kinds which the scene names; or the folder of a dataset or model that has them. A
    scene written by `air3d infer` needs none: they lie beside it."""

    size: Annotated[str | None, tyro.conf.arg(metavar="SIDE|WIDTHxHEIGHT")] = None
    """Size of the picture, pixels: the side of a square one, or as 640x480; default: 512 rows, and as many columns as
    the shape of the scene's own images asks for."""

    detail: Detail = "display"
    """display: smooth meshes, textures and shadows; inference: the plain drawing that images are compared with."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""


def run(args: Args) -> int:
    """Render; return 0 on success."""
    check_writable(args.out)
    asked = None if args.size is None else ImageSize.parse("--size", args.size, 1, MAX_SIDE)
    scene = load_scene(args.scene, _own_names(args))
    width, height = asked or picture_size(args.scene, _ROWS)
    # A renderer shows one kind at least, also on an empty table.
    batch = SceneBatch.from_scenes([scene], None if scene.objects else CROCKERY[:1])
    config = RenderConfig(
        batch.kinds, scene.table, batch.slots, height, width, args.detail, batch.varied, batch.pictures
    )
    with make_renderer(config, args.renderer) as renderer:
        write_picture(args.out, renderer.render(batch)[0])
    print(f"wrote {args.out}")  # noqa: T201
    return 0


def _own_names(args: Args) -> dict[str, str]:
    return {} if args.objects is None else own_names(args.objects, kinds_of(args.scene))
