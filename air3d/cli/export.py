"""`air3d export bop`, `coco`, `glb` and `mjcf`: datasets and scenes in the formats of others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from air3d.cli.arguments import OptionalFile
from air3d.cli.json_file import check_json_file, write_json
from air3d.cli.progress import ProgressReport, say
from air3d.datasets.export.bop import BopExport, PixelOrigin
from air3d.datasets.export.coco import CocoExport
from air3d.datasets.export.glb import scene_glb
from air3d.datasets.files import atomic_file, reported
from air3d.datasets.reader import SceneDataset
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.mjcf import scene_mjcf
from air3d.scene3d.scene_json import load_scene, picture_size

# Of the pictures that an exported camera takes.
_ROWS = 480


@dataclass(frozen=True)
class DatasetArgs:
    """Arguments of every export of a dataset."""

    data: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATA")]]
    """Folder of a dataset, as written by `air3d generate tabletop` or `single`."""

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FOLDER")]]
    """Folder to write: a new one, or one with other splits of the same export. The same command again finishes what
    was interrupted."""

    quiet: bool = False
    """Show neither progress nor a summary."""

    json: OptionalFile = None
    """File to which the summary is written as JSON: how many images were exported, how many were there already."""


@dataclass(frozen=True)
class BopArgs(DatasetArgs):
    """Write a dataset in the format of BOP, as bop_toolkit reads it: models, images, masks, poses, targets.

    Example: air3d export bop data/table export/table.
    """

    split: str = "test"
    """Folder of the images: train, val or test, also with an ending such as train_synt."""

    renderer: Backend = "auto"
    """The renderer that draws each object alone, for its mask; auto takes the one that the dataset was made with."""

    pixel_origin: PixelOrigin = "centre"
    """The point that camera matrices count from: the centre of the top-left pixel, as in OpenCV; or its corner, as in
    bop_toolkit's renderers (VSD, calc_gt_*, vis_poses)."""


@dataclass(frozen=True)
class CocoArgs(DatasetArgs):
    """Write a dataset as COCO instances: images, and boxes and masks of what is visible.

    Example: air3d export coco data/table export/coco.
    """

    split: str = "train"
    """Name of the split: train, val or test, also with an ending such as train_synt."""


@dataclass(frozen=True)
class GlbArgs:
    """Write a scene as binary glTF: smooth meshes, colours, textures, the table and the camera; y up, in metres.

    Example: air3d export glb answers/photo.scene.json photo.glb.
    """

    scene: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SCENE.json")]]
    """Scene JSON, as written by `air3d infer`, or a sample's scene.json out of a dataset's shard."""

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE.glb")]]
    """File to write, .glb."""

    overwrite: bool = False
    """Replace the file if it exists."""


@dataclass(frozen=True)
class MjcfArgs:
    """Write a scene as a MuJoCo model: free objects that collide by convex bodies, the table, camera and lamp.

    Meshes and textures go to a folder beside it, FILE_assets.

    Example: air3d export mjcf answers/photo.scene.json photo.xml.
    """

    scene: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SCENE.json")]]
    """Scene JSON, as written by `air3d infer`, or a sample's scene.json out of a dataset's shard."""

    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE.xml")]]
    """File to write, .xml."""

    overwrite: bool = False
    """Replace the file if it exists, and what it names of its folder."""


def run(args: BopArgs | CocoArgs | GlbArgs | MjcfArgs) -> int:
    """Export; return 0 on success.

    Raises:
        InputError: for input or a place that cannot be used.
    """
    if isinstance(args, GlbArgs):
        return _glb(args)
    if isinstance(args, MjcfArgs):
        return _mjcf(args)
    check_json_file(args.json)
    dataset = SceneDataset(args.data)
    dataset.check_sizes()
    if isinstance(args, BopArgs):
        backend = dataset.config.renderer if args.renderer == "auto" else args.renderer
        make = partial(make_renderer, backend=backend, workers=None)
        return _run(BopExport(dataset, args.out, args.split, backend, make, args.pixel_origin), len(dataset), args)
    return _run(CocoExport(dataset, args.out, args.split), len(dataset), args)


def _run(export: BopExport | CocoExport, images: int, args: DatasetArgs) -> int:
    with export:
        kept = export.folder.kept if isinstance(export, BopExport) else 0
        with ProgressReport("images", images, kept, args.quiet) as progress:
            outcome = export.run(progress.advance)
    write_json(args.json, {"folder": str(export.folder.root), "made": outcome.made, "kept": outcome.kept})
    if not args.quiet:
        say(f"{export.folder.root}: {outcome.made} images exported, {outcome.kept} were there already")
    return 0


def _glb(args: GlbArgs) -> int:
    check_out_file(args.out, ".glb", args.overwrite)
    scene, (width, height) = load_scene(args.scene), picture_size(args.scene, _ROWS)
    _write(args.out, scene_glb(scene, width / height))
    say(f"wrote {args.out}")
    return 0


def _mjcf(args: MjcfArgs) -> int:
    check_out_file(args.out, ".xml", args.overwrite)
    folder = args.out.with_name(f"{args.out.stem}_assets")
    if folder.exists() and not args.overwrite:
        raise InputError(f"{folder}: is there already; choose another name, or replace files in it with --overwrite")
    model = scene_mjcf(load_scene(args.scene), folder.name, picture_size(args.scene, _ROWS))
    for path, content in model.files.items():
        _write(args.out.parent / path, content)
    _write(args.out, model.text.encode())
    say(f"wrote {args.out} and {len(model.files)} files in {folder}")
    return 0


def _write(path: Path, content: bytes) -> None:
    with reported(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(content)


def check_out_file(path: Path, suffix: str, overwrite: bool) -> None:
    """Raise InputError for a file of another ending, a folder, or one that exists and is not to be replaced."""
    if path.suffix.lower() != suffix:
        raise InputError(f"{path}: unknown ending '{path.suffix}'; write to {suffix}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: is there already; choose another name, or replace it with --overwrite")
