"""`air3d infer`: pictures in, scenes and rendered answers out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from air3d.cli.arguments import OptionalFolder
from air3d.cli.progress import say
from air3d.datasets.depth_picture import read_depth, seen_by, sized
from air3d.datasets.files import atomic_file
from air3d.datasets.image_size import ImageSize
from air3d.datasets.lens import Distortion, Lens
from air3d.datasets.pictures import as_picture, encode_picture, enlarge, find_pictures
from air3d.digits.pictures import explain, read_digits_picture
from air3d.digits.store import TRACK as DIGITS_TRACK
from air3d.digits.store import load_digits_model
from air3d.evaluation.answers import answer, by_place
from air3d.evaluation.netcdf import need_arviz, netcdf, posterior_tree
from air3d.networks.folder import track_of
from air3d.renderers.choice import Backend, make_renderer
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import carry
from air3d.scene3d.picture_file import READABLE, read_rgb
from air3d.scene3d.scene import Scene, SceneObject, Shape
from air3d.scene3d.scene_json import scene_to_dict, scene_to_json
from air3d.scenes.depth import Images, colours, with_depth
from air3d.scenes.model import Hypotheses, SceneModel
from air3d.scenes.refine import RefineConfig
from air3d.scenes.resample_move import ResampleMove, Samples
from air3d.scenes.store import load_model

# A scene with one object missed stays below this root mean square; what is not such a scene at all does not.
_STRANGE = 0.15
# A warning names so many pictures.
_Size = TypeVar("_Size")
_NAMED = 3
# Half a degree; what physics has laid to rest is never quite upright.
_TILTED = 0.009


@dataclass(frozen=True)
class Args:
    """Explain pictures: find for each the scene that looks most like it when rendered.

    For each picture NAME.*, writes NAME.scene.json, NAME.render.png (that scene drawn as the model sees it) and
    NAME.comparison.png (input, answer, difference); with --samples also NAME.samples.json (posterior samples with their
    weights, the heaviest first, and how many equally weighted ones they are worth). A model of digits writes
    NAME.digits.json (count and windows) instead of a scene, and compares with windows drawn: red, green, blue.

    Example: air3d infer tabletop photo.png --out answers.
    """

    weights: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A model folder, or the name of a shipped model such as tabletop, single-object or multi-mnist."""

    images: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="IMAGE...")]]
    """Pictures, or folders of pictures. They are cut to a square and scaled to the model's input; with --intrinsics,
    exactly."""

    out: Path
    """Folder that the answers are written into."""

    refine: int = 0
    """Renders for each picture that polish the answer, and may add an object that the network missed; 0 for none."""

    settle: bool = False
    """Let every answer fall in the end, by physics, until it lies still; kept where the likelihood does not fall."""

    samples: int = 0
    """Posterior samples of whole scenes for each picture, with importance weights; 0 for none."""

    moves: int = 0
    """With --samples: resample them by weight, then move each by so many steps of Metropolis and Hastings, a render
    each. They count equally then. 0: the network's own draws, with their weights."""

    netcdf: bool = False
    """With --samples: write them as NAME.samples.nc, too, which ArviZ and xarray read."""

    seed: int = 0
    """Seeds the samples."""

    intrinsics: Annotated[tuple[float, float, float, float] | None, tyro.conf.arg(metavar="FX FY CX CY")] = None
    """Camera matrix of the pictures, pixels: they are converted to what the model's own camera, of its field of view,
    would have seen from the same place. Without it they are taken for pictures by that camera."""

    distortion: Annotated[Distortion, tyro.conf.arg(metavar="K1 K2 P1 P2 K3")] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """With --intrinsics: the lens's distortion, as OpenCV's calibrateCamera gives it; by default none."""

    depth: OptionalFolder = None
    """Folder of depth pictures for a model that looks at depth: for each picture NAME.* a NAME.png of its size, 16-bit
    grey, 0 where nothing was measured."""

    depth_unit: Annotated[float, tyro.conf.arg(metavar="METRES")] = 0.001
    """Metres for each step of a depth picture's values."""

    table: Shape | None = None
    """Shape of the table, for a model that knows several; by default that on which its answer is most like the picture,
    for each picture."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""

    json: bool = False
    """Print the answers as JSON."""


def run(args: Args) -> int:
    """Infer; return 0 on success."""
    if Path(args.weights).is_file() or Path(args.weights).suffix.lower() in READABLE:
        raise InputError(f"infer: '{args.weights}' stands in the model's place; name a model first, as tabletop")
    if not args.images:
        raise InputError("infer: name at least one picture or folder")
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"{args.out} is a file; name a folder")
    if args.samples < 0:
        raise InputError(f"infer: --samples {args.samples}: use 0 or more")
    if args.moves < 0 or (args.moves and args.samples < 2):
        raise InputError(f"infer: --moves {args.moves}: use 0 or more, with --samples 2 or more")
    if args.netcdf and not args.samples:
        raise InputError("infer: --netcdf writes samples; ask for some with --samples")
    if args.netcdf:
        need_arviz()
    if not 0.0 < args.depth_unit < 1000.0:
        raise InputError(f"infer: --depth-unit {args.depth_unit}: use a positive number, metres")
    if not 0 <= args.seed < 2**63:
        raise InputError(f"infer: --seed {args.seed}: use 0 to 2^63 - 1")
    lens = _lens(args)
    paths = find_pictures(args.images)
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise InputError(f"infer: two pictures are called '{twice}'; their answers would overwrite each other")
    # Everything is read and inferred before anything is written: bad input leaves no partial answer.
    if track_of(args.weights) == DIGITS_TRACK:
        given = (args.refine, args.settle, args.samples, lens, args.depth, args.table)
        if any(given):
            raise InputError(
                "infer: --refine, --settle, --samples, --intrinsics, --depth and --table are for 3D scenes; "
                "this model explains digits"
            )
        digits = load_digits_model(args.weights).model
        images = _read(paths, digits.config.canvas, read_digits_picture)
        answers, rows, lines = explain(digits, paths, images, args.out)
    else:
        answers, rows, lines = _explain_scenes(args, paths, lens)
        _warn(rows)
    _write_all(args.out, answers)
    print(json.dumps(rows, indent=2) if args.json else "\n".join(lines))  # noqa: T201
    return 0


def _read(
    paths: list[Path], size: _Size, read: Callable[[Path, _Size, list[str]], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Read pictures, and say what is to be noted about them."""
    notes: list[str] = []
    images = np.stack([read(path, size, notes) for path in paths])
    for note in notes:
        say(note)
    return images


def _lens(args: Args) -> Lens | None:
    """The lens that took the pictures, if it is told."""
    if args.intrinsics is None:
        if any(args.distortion):
            raise InputError("infer: --distortion needs the camera matrix, too: add --intrinsics")
        return None
    return Lens(*args.intrinsics, distortion=args.distortion)


class _Explained(NamedTuple):
    """The answer to one picture.

    Attributes:
        scene, render: the scene, and its picture (H, W, 3).
        facts: the further entries of the picture's row.
        worth: the same in words.
        files: the files of its samples, by what their names end with.
    """

    scene: Scene
    render: NDArray[np.uint8]
    facts: dict[str, Any]
    worth: str
    files: dict[str, bytes]


def _explain_scenes(
    args: Args, paths: list[Path], lens: Lens | None
) -> tuple[dict[str, bytes], list[dict[str, Any]], list[str]]:
    """Infer scenes; return the files by name, and a JSON row and a line of text for each picture."""
    model = load_model(args.weights).model
    images = _pictures(args, model, paths, lens)
    explained = dict[int, _Explained]()

    def open_renderer(config: RenderConfig) -> Renderer:
        return make_renderer(config, args.renderer)

    for rows, place, renderer in by_place(model, images, open_renderer, args.weights, args.table):
        explained |= zip(rows.tolist(), _explain(args, place, renderer, images[rows]), strict=True)
    carry(model.own_kinds, args.out)
    files: dict[str, bytes] = {}
    rows_json: list[dict[str, Any]] = []
    lines: list[str] = []
    for index, (path, image) in enumerate(zip(paths, colours(images), strict=True)):
        scene, render, facts, worth, own = explained[index]
        difference = np.abs(image.astype(np.int16) - render).astype(np.uint8)
        comparison = enlarge(np.concatenate([image, render, difference], axis=1), 4)
        files[f"{path.stem}.scene.json"] = (scene_to_json(scene, size=image.shape[1::-1]) + "\n").encode()
        files[f"{path.stem}.render.png"] = encode_picture(render)
        files[f"{path.stem}.comparison.png"] = encode_picture(comparison)
        files |= {f"{path.stem}.{end}": data for end, data in own.items()}
        rmse = float(np.sqrt(np.mean((image / 255.0 - render / 255.0) ** 2)))
        objects = ", ".join(map(_said, scene.objects))
        strange = "; this does not look like the scenes that the model knows" if rmse > _STRANGE else ""
        error = f"pixel error {rmse:.3f} (root mean square, 0 to 1){strange}"
        table = f" on {scene.table}" if model.others else ""
        lines.append(f"{path.name}: {objects or 'an empty table'}{table}; {error}{worth}")
        row = {"image": str(path), "scene": str(args.out / f"{path.stem}.scene.json"), "rmse": rmse}
        rows_json.append(row | ({"table": scene.table.shape} if model.others else {}) | facts)
    return files, rows_json, lines


def _pictures(args: Args, model: SceneModel[Any], paths: list[Path], lens: Lens | None) -> Images:
    """Read the pictures as the model's camera would have taken them, with their depth if it is given."""
    camera, size = model.world.camera.middle().sized(*model.image_size), model.image_size
    depths = list[NDArray[np.float32]]()

    def read(path: Path, size: ImageSize, notes: list[str]) -> NDArray[np.uint8]:
        if lens is None and args.depth is None:
            return as_picture(path, size, notes=notes)
        whole = read_rgb(path, notes=notes)
        if args.depth is not None:
            depth = read_depth(args.depth / f"{path.stem}.png", args.depth_unit, whole)
            depths.append(sized(depth, size) if lens is None else seen_by(depth, lens, camera))
        return as_picture(whole, size) if lens is None else lens.view(whole, camera, str(path))

    images = _read(paths, size, read)
    return with_depth(images, np.stack(depths)) if depths else images


def _explain(args: Args, model: SceneModel[Any], renderer: Renderer, images: Images) -> Iterator[_Explained]:
    """Explain pictures in one world of a model."""
    refinement = RefineConfig(renders=args.refine) if args.refine else None
    answers = answer(model, renderer, images, refinement, fall=args.settle)
    renders = renderer.render(answers.scenes)
    hypotheses, moved = None, None
    generator = torch.Generator().manual_seed(args.seed)
    if args.moves:
        moved = model.posterior(images, renderer, ResampleMove(args.samples, args.moves), generator)
    elif args.samples:
        hypotheses = model.sample(images, renderer, args.samples, generator)
    for index, (scene, render) in enumerate(zip(answers.scenes, renders, strict=True)):
        facts, worth, files = dict[str, Any](), "", dict[str, bytes]()
        if answers.fell is not None:
            facts["fell"] = bool(answers.fell[index])
            worth = "; lies still" if answers.fell[index] else "; does not come to rest as it is"
        if hypotheses is not None:
            about = _about_samples(hypotheses, index)
            files["samples.json"] = _samples_json(hypotheses, index, about)
            if args.netcdf:
                files["samples.nc"] = _netcdf(hypotheses, index, images[index], hypotheses.weight[index])
            facts |= about
            worth += f"; samples: {about['effective_samples']:.1f} effective of {args.samples}"
        if moved is not None:
            said = _about_moved(moved, index)
            files["samples.json"] = _moved_json(moved, index, said)
            if args.netcdf:
                files["samples.nc"] = _netcdf(moved, index, images[index])
            facts |= said
            worth += f"; samples: moved {args.moves} times, {100 * said['accepted']:.0f} % of the moves accepted"
        yield _Explained(scene, render, facts, worth, files)


def _netcdf(
    samples: Samples | Hypotheses, index: int, image: Images, weight: NDArray[np.float64] | None = None
) -> bytes:
    """The NetCDF file of one picture's samples."""
    likelihood = samples.log_likelihood[index].double().numpy()
    scenes = samples.scenes[slice(index * len(likelihood), (index + 1) * len(likelihood))]
    return netcdf(posterior_tree(scenes, likelihood, colours(image), weight))


def _said(item: SceneObject) -> str:
    """An object in a few words."""
    place = f"{item.kind} at ({100 * item.x_m:.1f}, {100 * item.y_m:.1f}) cm"
    if item.tilt_rad < _TILTED:
        return f"{place}, yaw {np.degrees(item.yaw_rad):.0f} deg"
    return f"{place}, {100 * item.position_m[2]:.1f} cm up, tilted by {np.degrees(item.tilt_rad):.0f} deg"


def _about_samples(hypotheses: Hypotheses, index: int) -> dict[str, Any]:
    """Say what the samples of one picture are worth: how many the prior allows, their effective number, any doubt."""
    return {
        "allowed_samples": int(hypotheses.allowed[index]),
        "effective_samples": float(hypotheses.effective_samples[index]),
        "doubt": hypotheses.doubt(index),
    }


def _warn(rows: list[dict[str, Any]]) -> None:
    """Print a line for each doubt about samples, with the pictures that it concerns."""
    doubts: dict[str, list[str]] = {}
    for row in rows:
        if row.get("doubt"):
            doubts.setdefault(row["doubt"], []).append(Path(row["image"]).name)
    for doubt, names in doubts.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        say(f"warning: {', '.join(names[:_NAMED])}{more}: {doubt}")


def _samples_json(hypotheses: Hypotheses, index: int, about: dict[str, Any]) -> bytes:
    """The samples of one picture, the heaviest first."""
    weight, samples = hypotheses.weight[index], hypotheses.log_weight.shape[1]
    scenes = hypotheses.scenes[slice(index * samples, (index + 1) * samples)].to_scenes()
    return _rows_json(np.argsort(-weight, kind="stable"), weight, hypotheses.log_likelihood[index], scenes, about)


def _about_moved(moved: Samples, index: int) -> dict[str, Any]:
    """Say what the network's draws were worth before they were resampled, and how many moves were accepted."""
    return {"effective_samples": float(moved.effective_samples[index]), "accepted": float(moved.accepted[index])}


def _moved_json(moved: Samples, index: int, about: dict[str, Any]) -> bytes:
    """The moved samples of one picture, which count equally, the likeliest first."""
    likelihood = moved.log_likelihood[index]
    count = len(likelihood)
    scenes = moved.scenes[slice(index * count, (index + 1) * count)].to_scenes()
    order = np.argsort(-likelihood.numpy(), kind="stable")
    return _rows_json(order, np.full(count, 1.0 / count), likelihood, scenes, about)


def _rows_json(
    order: NDArray[np.int64],
    weight: NDArray[np.float64],
    log_likelihood: torch.Tensor,
    scenes: list[Scene],
    about: dict[str, Any],
) -> bytes:
    """The file of one picture's samples, in this order."""
    rows = [
        {
            "weight": float(weight[k]),
            "log_likelihood": float(log_likelihood[k]),
            "scene": scene_to_dict(scenes[k]),
        }
        for k in order
    ]
    return (json.dumps({"schema": "air3d-samples/1", **about, "samples": rows}, indent=1) + "\n").encode()


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files or none: they are written to a hidden folder inside, and moved out of it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        if (folder / name).is_dir():
            raise InputError(f"{folder / name} is a folder; an answer is to be written there")
    with TemporaryDirectory(prefix=".infer-", dir=folder) as staging:
        for name, data in files.items():
            with atomic_file(Path(staging) / name) as file:
                file.write(data)
        for name in files:
            os.replace(Path(staging) / name, folder / name)
