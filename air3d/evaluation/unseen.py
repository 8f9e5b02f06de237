"""Tells, only from what a run recorded of its data, whether a model has seen the scenes that it is measured on."""

from __future__ import annotations

from typing import Any, NamedTuple

from air3d.datasets.config import GenerateConfig
from air3d.datasets.manifest import Manifest

DREAMS = "scenes that it dreamt itself, from the same prior by a random stream that no dataset shares"


class Unseen(NamedTuple):
    """Says whether training has not seen a dataset's scenes.

    Attributes:
        proven: True if the record proves it, False if it proves the contrary, None if it does neither.
        because: the reason, in a sentence.
    """

    proven: bool | None
    because: str


def unseen_by(provenance: dict[str, Any], tested: Manifest[GenerateConfig]) -> Unseen:
    """Judge by a model's provenance (`scenes.store.Stored`), whose key "data" describes what its run learned from.

    Scene i of a dataset depends on its settings, its seed and i alone, and dreams come from streams of their own: other
    seeds are other scenes, whatever the digests of the configurations say.
    """
    data = provenance.get("data")
    found = _own(data if isinstance(data, dict) else {}, tested)
    if not found.proven or not isinstance(data, dict) or "start_sha256" not in data:
        return found
    before = provenance.get("start")
    if not isinstance(before, dict):
        return Unseen(None, "The weights that training started from do not say what they were trained on.")
    earlier = unseen_by(before, tested)
    return (
        Unseen(True, f"{found.because} It started from other weights. {earlier.because}") if earlier.proven else earlier
    )


def _own(data: dict[str, Any], tested: Manifest[GenerateConfig]) -> Unseen:
    """Judge by the run's own data alone."""
    digest, seed = data.get("config_sha256"), data.get("seed")
    if data.get("learned_from") == "dreams" or (digest is None and "prior_sha256" in data):
        return Unseen(True, f"Training has not seen these scenes: it learned from {DREAMS}.")
    if digest is None:
        return Unseen(None, "It is not recorded what the model was trained on: it may have seen these scenes.")
    if digest == tested.config_sha256:
        return Unseen(False, "Training learned from these very images: the numbers tell nothing about new ones.")
    if isinstance(seed, int) and seed != tested.config.seed:
        seeds = f"its own were drawn with seed {seed}, these with {tested.config.seed}"
        return Unseen(True, f"Training has not seen these scenes: {seeds}.")
    known = f"of the same seed, {seed}" if isinstance(seed, int) else "whose seed is not recorded"
    return Unseen(None, f"Training learned from another dataset {known}: it may hold the same scenes.")
