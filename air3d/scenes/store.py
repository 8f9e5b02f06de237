"""Models of scenes on disk, in folders as `air3d.networks.folder` describes them; a track is a kind of guide."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from air3d.networks.folder import read_model, write_model
from air3d.networks.plain_torch import plain_torch
from air3d.networks.weights import restore
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.own_kinds import adopt, carry
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.guide import Guide
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.step_guide import StepGuideConfig

_GUIDES: dict[str, type[Any]] = {guide.track: guide for guide in (OneLookConfig, StepGuideConfig)}
SCENE_TRACKS = tuple(_GUIDES)


class Stored(NamedTuple):
    """A loaded model and the provenance saved with it."""

    model: SceneModel[Any]
    provenance: dict[str, Any]


def save_model(folder: Path, model: SceneModel[Guide], provenance: dict[str, Any], half: bool = False) -> None:
    """Write a model folder. The config names the weights' sha256, so a torn pair is noticed. Own kinds go with it.

    Args:
        provenance: tells how the weights were made, as JSON values.
        half: stores the weights in half precision.
    """
    said = {
        "prior": config_to_dict(model.prior),
        **({"others": [config_to_dict(world.prior) for world in model.others]} if model.others else {}),
        "guide": config_to_dict(model.guide.config),
        **config_to_dict(model.likelihood),
    }
    folder.mkdir(parents=True, exist_ok=True)
    carry(model.own_kinds, folder)
    write_model(folder, model.guide.config.track, said, model.guide, provenance, half)


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Call tensors as they are called now: a step guide's yaw head has become the layers of its pose head."""
    stepwise = any(key.startswith("place_head.") for key in tensors)
    old, new = "yaw_head.", "pose_head.layers." if stepwise else "yaw_head."
    return {key.replace(old, new, 1) if key.startswith(old) else key: value for key, value in tensors.items()}


@plain_torch()
def load_model(name: str | Path) -> Stored:
    """Load a model folder, or a shipped model by its name.

    Raises:
        InputError: if it is missing, damaged, foreign or of another version.
    """
    written = read_model(name, SCENE_TRACKS)
    config, where = written.config, written.where
    said = {field.name: config[field.name] for field in fields(Likelihood) if field.name in config}
    likelihood = config_from_dict(Likelihood, said, where)
    adopt(Path(where).parent)
    prior = config_from_dict(PriorConfig, config.get("prior"), f"{where}: prior")
    others = config.get("others", [])
    if not isinstance(others, list):
        raise InputError(f"{where}: others is {shown(others)}; it must be a list of priors")
    further = [config_from_dict(PriorConfig, other, f"{where}: others") for other in others]
    guide = config_from_dict(_GUIDES[config["track"]], config.get("guide"), f"{where}: guide")
    try:
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn only to be replaced
            model = SceneModel[Any].of(prior, guide, likelihood, further)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    restore(model.guide, _renamed(written.tensors), written.weights)
    model.guide.eval()
    return Stored(model, written.provenance)
