"""The models of the 2D track by name: new ones, and those on disk in folders (`air3d.networks.folder`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from air3d.digits.air import Air, AirConfig
from air3d.digits.cae import Cae, CaeConfig
from air3d.digits.dair import Dair
from air3d.digits.draw import Draw, DrawConfig
from air3d.networks.folder import read_model, write_model
from air3d.networks.plain_torch import plain_torch
from air3d.networks.weights import restore
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown

TRACK = "multi-mnist"

ModelName = Literal["air", "dair", "draw", "cae"]
Model = Air | Dair | Draw | Cae
ModelConfig = AirConfig | DrawConfig | CaeConfig

CONFIGS: dict[ModelName, type[AirConfig] | type[DrawConfig] | type[CaeConfig]] = {
    "air": AirConfig,
    "dair": AirConfig,
    "draw": DrawConfig,
    "cae": CaeConfig,
}


def make_model(name: ModelName, config: ModelConfig, seed: int) -> Model:
    """Make an untrained model; torch's global random state is left as it is.

    Args:
        config: the configuration, of the class that `CONFIGS` names.
        seed: seeds the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(config, DrawConfig):
            return Draw(config)
        if isinstance(config, CaeConfig):
            return Cae(config)
        return Dair(config) if name == "dair" else Air(config)


def name_of(model: Model) -> ModelName:
    """The name by which `make_model` knows a model."""
    if isinstance(model, Draw):
        return "draw"
    if isinstance(model, Cae):
        return "cae"
    return "dair" if isinstance(model, Dair) else "air"


class StoredDigits(NamedTuple):
    """A loaded model, in evaluation mode, and the provenance saved with it."""

    model: Model
    provenance: dict[str, Any]


def save_digits_model(folder: Path, model: Model, provenance: dict[str, Any]) -> None:
    """Write a model folder; `provenance`, JSON values, tells how the weights were made."""
    fields = {"model": name_of(model), "network": config_to_dict(model.config)}
    write_model(folder, TRACK, fields, model, provenance)


@plain_torch()
def load_digits_model(name: str | Path) -> StoredDigits:
    """Load a model folder, or a shipped model by its name.

    Raises:
        InputError: if it is missing, damaged, of another track or version.
    """
    written = read_model(name, (TRACK,))
    kind = written.config.get("model")
    if kind not in CONFIGS:
        raise InputError(f"{written.where}: model is {shown(kind)}; this version knows {', '.join(CONFIGS)}")
    config = config_from_dict(CONFIGS[kind], written.config.get("network"), f"{written.where}: network")
    model = make_model(kind, config, seed=0)  # the initial weights are made only to be replaced
    restore(model, written.tensors, written.weights)
    model.eval()
    return StoredDigits(model, written.provenance)
