"""Models on disk, of every track: a folder with `config.json` and `weights.safetensors`. Nothing is ever unpickled."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

import air3d
from air3d.datasets.files import atomic_file
from air3d.networks.unfinished import refuse_unfinished
from air3d.networks.weights import load_tensors, weights_of
from air3d.scene3d.assets import asset_path
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.scene_json import parse_json

SCHEMA = "air3d-model/1"
RUN_MODEL = "model"
_CONFIG, WEIGHTS = "config.json", "weights.safetensors"
MODEL_FILES = (_CONFIG, WEIGHTS)
_MAX_CONFIG_BYTES, _MAX_WEIGHT_BYTES = 1 << 20, 1 << 30


def write_model(
    folder: Path, track: str, fields: dict[str, Any], module: nn.Module, provenance: dict[str, Any], half: bool = False
) -> None:
    """Write a model folder of any track; its loader needs `fields` besides the weights of `module`, which are stored in
    `half` precision if that is asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = weights_of(module, half)
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


def _spelt(name: str) -> str:
    """Spell a model or track as this edition does; the first wrote "table-top"."""
    return name.replace("table-top", "tabletop")


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
