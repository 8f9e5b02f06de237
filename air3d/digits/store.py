"""The models of the 2D track by name: new ones, and those on disk in folders (`air3d.networks.folder`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from air3d.digits.air import Air, AirModel
from air3d.digits.cae import Cae, CaeConfig
from air3d.digits.dair import Dair
from air3d.digits.draw import Draw, DrawConfig
from air3d.digits.latents import AirConfig
from air3d.networks.folder import read_model, write_model
from air3d.networks.plain_torch import plain_torch
from air3d.networks.weights import restore
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown

TRACK = "multi-mnist"

ModelName = Literal["air", "dair", "draw", "cae"]
Model = AirModel | Draw | Cae
ModelConfig = AirConfig | DrawConfig | CaeConfig

# By name: the model, and the class of its configuration.
MODELS: dict[ModelName, tuple[Callable[[Any], Model], type[ModelConfig]]] = {
    "air": (Air, AirConfig),
    "dair": (Dair, AirConfig),
    "draw": (Draw, DrawConfig),
    "cae": (Cae, CaeConfig),
}


def make_model(name: ModelName, config: ModelConfig, seed: int) -> Model:
    """Make an untrained model; torch's global random state is left as it is.

    Args:
        config: the configuration, of the class that `MODELS` names.
        seed: seeds the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name][0](config)


class StoredDigits(NamedTuple):
    """A loaded model, in evaluation mode, and the provenance saved with it."""

    model: Model
    provenance: dict[str, Any]


def save_digits_model(folder: Path, model: Model, provenance: dict[str, Any]) -> None:
    """Write a model folder; `provenance`, JSON values, tells how the weights were made."""
    fields = {"model": model.name, "network": config_to_dict(model.config)}
    write_model(folder, TRACK, fields, model, provenance)


@plain_torch()
def load_digits_model(name: str | Path) -> StoredDigits:
    """Load a model folder, or a shipped model by its name.

    Raises:
        InputError: if it is missing, damaged, of another track or version.
    """
    written = read_model(name, (TRACK,))
    kind = written.config.get("model")
    if kind not in MODELS:
        raise InputError(f"{written.where}: model is {shown(kind)}; this version knows {', '.join(MODELS)}")
    config = config_from_dict(MODELS[kind][1], written.config.get("network"), f"{written.where}: network")
    model = make_model(kind, config, seed=0)  # the initial weights are made only to be replaced
    restore(model, written.tensors, written.weights)
    model.eval()
    return StoredDigits(model, written.provenance)
