"""Models on disk: a folder with `config.json` and `weights.safetensors`. Nothing is ever unpickled."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

import air3d
from air3d.datasets.files import atomic_file
from air3d.networks.plain_torch import plain_torch
from air3d.scene3d.assets import asset_path
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.own_kinds import adopt, carry
from air3d.scene3d.prior import PriorConfig
from air3d.scene3d.scene_json import parse_json
from air3d.scenes.guide import Guide
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.step_guide import TableGuideConfig
from air3d.training.unfinished import refuse_unfinished

SCHEMA = "air3d-model/1"
_GUIDES: dict[str, type[OneLookConfig | TableGuideConfig]] = {
    guide.track: guide for guide in (OneLookConfig, TableGuideConfig)
}
SCENE_TRACKS = tuple(_GUIDES)
RUN_MODEL = "model"
_CONFIG, WEIGHTS = "config.json", "weights.safetensors"
MODEL_FILES = (_CONFIG, WEIGHTS)
_MAX_CONFIG_BYTES, _MAX_WEIGHT_BYTES = 1 << 20, 1 << 30


class Stored(NamedTuple):
    """A loaded model and the provenance saved with it."""

    model: SceneModel[Any]
    provenance: dict[str, Any]


def save_model(folder: Path, model: SceneModel[Guide], provenance: dict[str, Any]) -> None:
    """Write a model folder. The config names the weights' sha256, so a torn pair is noticed. Own kinds go with it.

    Args:
        provenance: tells how the weights were made, as JSON values.
    """
    fields = {
        "prior": config_to_dict(model.prior),
        "guide": config_to_dict(model.guide.config),
        "sigma": model.likelihood.sigma,
    }
    folder.mkdir(parents=True, exist_ok=True)
    carry(model.prior.kinds, folder)
    write_model(folder, model.guide.config.track, fields, model.guide, provenance)


def write_model(
    folder: Path, track: str, fields: dict[str, Any], module: nn.Module, provenance: dict[str, Any]
) -> None:
    """Write a model folder of any track; its loader needs `fields` besides the weights of `module`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = save(_contiguous(module))
    config = {
        "schema": SCHEMA,
        "track": track,
        "air3d": air3d.__version__,
        **fields,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "provenance": provenance,
    }
    with atomic_file(folder / WEIGHTS) as file:
        file.write(weights)
    with atomic_file(folder / _CONFIG) as file:
        file.write((json.dumps(config, indent=2) + "\n").encode())


@plain_torch()
def load_model(name: str | Path) -> Stored:
    """Load a model folder, or a shipped model by its name.

    Raises:
        InputError: if it is missing, damaged, foreign or of another version.
    """
    written = read_model(name, SCENE_TRACKS)
    config, where = written.config, written.where
    sigma = config.get("sigma")
    if not isinstance(sigma, float):
        raise InputError(f"{where}: sigma is {shown(sigma)}; it must be a number")
    adopt(Path(where).parent)
    prior = config_from_dict(PriorConfig, config.get("prior"), f"{where}: prior")
    guide = config_from_dict(_GUIDES[config["track"]], config.get("guide"), f"{where}: guide")
    try:
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn only to be replaced
            model = SceneModel[Any].of(prior, guide, sigma)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    restore(model.guide, written.tensors, written.weights)
    model.guide.eval()
    return Stored(model, written.provenance)


class Written(NamedTuple):
    """A model folder as it was read, of any track.

    Attributes:
        config: the parsed `config.json`.
        where: its path, which errors name.
        tensors: the weights.
        weights: their path, which errors name.
    """

    config: dict[str, Any]
    where: str
    tensors: dict[str, Tensor]
    weights: Path

    @property
    def provenance(self) -> dict[str, Any]:
        """The record of how the weights were made."""
        found = self.config.get("provenance")
        return found if isinstance(found, dict) else {}


def read_model(name: str | Path, tracks: tuple[str, ...]) -> Written:
    """Read a model folder, or a shipped model by its name; it has to be of one of these tracks.

    Raises:
        InputError: if it is missing, damaged, of another track or version.
    """
    folder = find_model(name)
    config, path = _config(folder), folder / WEIGHTS
    if config.get("track") not in tracks:
        found = config.get("track")
        raise InputError(
            f"{folder / _CONFIG}: track is {shown(found)}; a model of {' or '.join(tracks)} is needed here"
        )
    weights = _read(path, _MAX_WEIGHT_BYTES)
    if hashlib.sha256(weights).hexdigest() != config.get("weights_sha256"):
        raise InputError(f"{path}: damaged (its sha256 is not the one in {_CONFIG}); train or copy it again")
    return Written(config, str(folder / _CONFIG), load_tensors(weights, path), path)


def track_of(name: str | Path) -> str:
    """Read the track of a model from its configuration.

    Raises:
        InputError: if there is no such model, or it is of another version.
    """
    return str(_config(find_model(name)).get("track"))


def find_model(name: str | Path) -> Path:
    """Find the folder of a model: a path that exists (a run's folder means the model in it), else the shipped model.

    Raises:
        InputError: if there is neither; the message lists the shipped ones.
    """
    if not isinstance(name, (str, Path)):
        raise InputError(f"model {shown(name)}: give the name of a shipped model, or a folder")
    folder, name = Path(name), str(name)
    if os.path.isdir(folder):  # unlike Path.is_dir, False for a name that is too long
        inner = folder / RUN_MODEL
        if (folder / _CONFIG).exists():
            return folder
        if (inner / _CONFIG).exists():
            return inner
    for run in (folder, folder.parent) if folder.name == RUN_MODEL else (folder,):
        refuse_unfinished(run)
    if os.path.isdir(folder):
        return folder
    shipped = shipped_models()
    if _spelt(name) in shipped:
        return asset_path("weights", _spelt(name))
    if os.path.exists(folder):
        raise InputError(f"model '{name}' is a file; name the folder with {_CONFIG} and {WEIGHTS}")
    near = difflib.get_close_matches(name, shipped, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise InputError(
        f"model '{name[:200]}' does not exist: no such folder, and shipped models are "
        f"{', '.join(shipped) or 'none'}{hint}"
    )


def shipped_models() -> list[str]:
    """The names of the models that come with air3d, of every track."""
    return sorted(p.name for p in asset_path("weights").iterdir() if (p / _CONFIG).is_file())


def load_tensors(data: bytes, source: Path) -> dict[str, Tensor]:
    """Parse the bytes of a safetensors file.

    Raises:
        InputError: if they are something else.
    """
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{source}: not a safetensors file ({' '.join(str(error).split())})") from None


def restore(module: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Load parameters and buffers, exactly those that the module has, finite and of the same shapes.

    Raises:
        InputError: if one is missing, unknown, of another shape or not finite; the message names the first.
    """
    own = module.state_dict()
    for key in sorted(own.keys() | tensors.keys()):
        if key not in tensors or key not in own:
            raise InputError(f"{source}: tensor '{key}' is {'missing' if key in own else 'unknown'}")
        found, wanted = _form(tensors[key]), _form(own[key])
        if found != wanted:
            raise InputError(f"{source}: tensor '{key}' is {found}, not {wanted}")
        if not tensors[key].isfinite().all():
            raise InputError(f"{source}: tensor '{key}' holds numbers that are not finite")
    module.load_state_dict(tensors)


def _spelt(name: str) -> str:
    """Spell a model or track as this edition does; the first wrote "table-top"."""
    return name.replace("table-top", "tabletop")


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def _contiguous(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}


def _config(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG
    try:
        text = _read(path, _MAX_CONFIG_BYTES).decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    config = parse_json(text, str(path))
    if not isinstance(config, dict) or config.get("schema") != SCHEMA:
        found = config.get("schema") if isinstance(config, dict) else None
        raise InputError(f"{path}: schema is {shown(found)}; this version reads '{SCHEMA}'")
    if isinstance(track := config.get("track"), str):
        config["track"] = _spelt(track)
    return config


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path}: {path.stat().st_size} bytes is more than the {limit} allowed")
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; a model is a folder with {_CONFIG} and {WEIGHTS}"
        ) from None
