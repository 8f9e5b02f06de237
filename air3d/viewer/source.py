"""Opens the scenes that `air3d view` shows: a dataset, a model's dreams, or one scene; and the model for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.image_size import ImageSize
from air3d.datasets.labelled import load_labelled
from air3d.datasets.manifest import CONFIG_FILE, MANIFEST_FILE
from air3d.evaluation.answers import misfit, place_of
from air3d.networks.folder import WEIGHTS, find_model, shipped_models, track_of
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene
from air3d.scene3d.scene_json import load_scene
from air3d.scenes.guide import Guide
from air3d.scenes.model import SceneModel
from air3d.scenes.store import SCENE_TRACKS, load_model

_RUN_FILE = "run.json"


class Named(NamedTuple):
    """A model and the name that it was asked for by."""

    name: str
    model: SceneModel[Guide]


class Source(NamedTuple):
    """The scenes to show.

    Attributes:
        title: the title of the page.
        names: the names of the B scenes.
        scenes: the true scenes.
        images: (B, H, W, 3) uint8; None where the scenes are yet to be drawn, as the model sees them if there is one.
        named: the model; None where no shipped one fits.
    """

    title: str
    names: tuple[str, ...]
    scenes: tuple[Scene, ...]
    images: NDArray[np.uint8] | None
    named: Named | None


@dataclass(frozen=True)
class Request:
    """The arguments that say what to show.

    Attributes:
        what: a dataset, a run or model folder, the name of a shipped model, or a scene file.
        model: explains a dataset or a scene file; None for the shipped one that fits.
        data: the dataset for a run or model; None for dreams from its prior.
        num: the most scenes.
        seed: seeds the dreams.
    """

    what: str
    model: str | None = None
    data: Path | None = None
    num: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num < 1:
            raise InputError(f"view: --num {self.num}: use 1 or more")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"view: --seed {self.seed}: use 0 to 2^63 - 1")


def open_source(request: Request) -> Source:
    """Open the source of a request.

    Raises:
        InputError: if it is nothing that can be shown, or if its model does not fit it.
    """
    path = Path(request.what)
    folder = path.is_dir()
    shows_data = folder and (path / MANIFEST_FILE).exists()
    if shows_data or path.is_file():
        if request.data is not None:
            raise InputError(f"view: {path} is to be shown itself; --data goes with a run or a model")
        return _dataset(request, path, request.model) if shows_data else _scene_file(request, path)
    if folder and not _holds_model(path):
        if (path / _RUN_FILE).exists():
            raise InputError(f"{path}: the run has no model yet; repeat its 'air3d train' command to finish it")
        if (path / CONFIG_FILE).exists():
            raise InputError(f"{path}: neither a model nor a complete dataset; if it is one, generate it to its end")
        raise InputError(f"{path}: holds no dataset, run or model; name one, or a scene file (.json)")
    if not folder and request.what not in shipped_models():
        raise InputError(
            f"view: '{request.what}' does not exist; name a dataset, a run or model folder, a scene file (.json), "
            f"or a shipped model ({', '.join(shipped_models())})"
        )
    if request.model is not None:
        raise InputError(f"view: '{request.what}' is a model itself; --model goes with a dataset or a scene file")
    if request.data is not None:
        return _dataset(request, request.data, request.what)
    named = _load(request.what)
    return _dreams(request, named)


def _load(name: str) -> Named:
    track = track_of(name)
    if track not in SCENE_TRACKS:
        raise InputError(
            f"view: model '{name}' is of track '{track}'; the viewer shows scenes of {', '.join(SCENE_TRACKS)}"
        )
    return Named(name, load_model(name).model)


def _shipped() -> list[Named]:
    return [_load(name) for name in shipped_models() if track_of(name) in SCENE_TRACKS]


def _holds_model(folder: Path) -> bool:
    return (find_model(str(folder)) / WEIGHTS).exists()


def _dataset(request: Request, folder: Path, model: str | None) -> Source:
    data = load_labelled(folder, request.num)
    size = ImageSize(data.images.shape[2], data.images.shape[1])
    named: Named | None
    if model is None:
        fitting = [named for named in _shipped() if misfit(data.prior, named.model, size) is None]
        # One that was trained on this very prior, else any that knows all its kinds.
        fitting.sort(key=lambda named: config_to_dict(named.model.prior) != config_to_dict(data.prior))
        named = fitting[0] if fitting else None
    else:
        named = _load(model)
    if named is not None:
        named = named._replace(model=place_of(named.model, data.prior, str(folder), named.name, size))
    scenes = tuple(data.truth.to_scenes())
    return Source(folder.resolve().name, _numbered(len(scenes)), scenes, data.images, named)


def _dreams(request: Request, named: Named) -> Source:
    scenes = ScenePrior(named.model.prior).sample_batch(np.random.default_rng(request.seed), request.num).to_scenes()
    name = Path(named.name).resolve().name if Path(named.name).is_dir() else named.name
    return Source(f"dreams of {name}", _numbered(len(scenes)), tuple(scenes), None, named)


def _scene_file(request: Request, path: Path) -> Source:
    if path.suffix.lower() != ".json":
        raise InputError(f"{path}: a file, but no scene (.json); name one, or a dataset, a run or model folder")
    scene = load_scene(path)
    named: Named | None
    if request.model is not None:
        named = _on_table(_load(request.model), scene)
        reason = _scene_misfit(scene, named.model)
        if reason is not None:
            raise InputError(f"{path}: model '{request.model}' does not fit: {reason}")
    else:
        known = (_on_table(named, scene) for named in _shipped())
        named = next((named for named in known if _scene_misfit(scene, named.model) is None), None)
    return Source(path.name, (path.name,), (scene,), None, named)


def _on_table(named: Named, scene: Scene) -> Named:
    """The model in that of its worlds which has the scene's table, if one has."""
    places = (place for place in named.model.places if place.prior.table == scene.table)
    return named._replace(model=next(places, named.model))


def _scene_misfit(scene: Scene, model: SceneModel[Guide]) -> str | None:
    """Say why a model cannot explain a scene, if it cannot: camera and counts must fit its prior, poses need not."""
    prior, camera = model.prior, scene.camera
    known = prior.orbits
    if scene.table != prior.table:
        return "the scene has another table than it knows"
    if strange := sorted({o.kind for o in scene.objects} - set(prior.kinds)):
        return f"it does not know '{strange[0]}'"
    if not prior.min_objects <= len(scene.objects) <= prior.max_objects:
        return f"{len(scene.objects)} objects, it knows {prior.min_objects} to {prior.max_objects}"
    shift = known.shift_right[0], known.shift_down[0]
    if (camera.roll_rad, camera.shift, camera.fx_over_fy) != (0.0, shift, known.fx_over_fy):
        return "the camera is rolled, or has another lens than it knows"
    for name in ("elevation_rad", "distance_m", "fovy_rad"):
        low, high = getattr(known, name)
        if not low - 1e-9 <= getattr(camera, name) <= high + 1e-9:
            return f"the camera's {name} is {getattr(camera, name):.3f}, it knows {low:.3f} to {high:.3f}"
    low, high = known.azimuth_rad
    if (camera.azimuth_rad - low) % (2.0 * np.pi) > high - low + 1e-9:
        return f"the camera's azimuth_rad is {camera.azimuth_rad:.3f}, it knows {low:.3f} to {high:.3f}"
    return None if camera.look_at_m == known.look_at_m else "the camera looks elsewhere than it knows"


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"scene {i}" for i in range(count))
