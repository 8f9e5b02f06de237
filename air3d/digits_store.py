"""Models of the 2D track on disk; the form of the folder is that of `air3d.store`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from air3d.digits.models import CONFIGS, Model, make_model, name_of
from air3d.networks.plain_torch import plain_torch
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.store import read_model, restore, write_model

TRACK = "multi-mnist"


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
