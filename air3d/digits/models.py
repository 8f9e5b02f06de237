"""The models of the 2D track by name."""

from __future__ import annotations

from typing import Literal

import torch

from air3d.digits.air import Air, AirConfig
from air3d.digits.cae import Cae, CaeConfig
from air3d.digits.dair import Dair
from air3d.digits.draw import Draw, DrawConfig

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
