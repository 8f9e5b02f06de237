"""What is said of a test set: only what a run's record of its own data proves."""

from __future__ import annotations

from typing import Any

import pytest

from air3d.datasets.config import GenerateConfig, config_sha256
from air3d.datasets.manifest import SCHEMA, Manifest, ShardEntry
from air3d.datasets.provenance import data_facts
from air3d.datasets.shards import shard_name
from air3d.evaluation.unseen import unseen_by
from air3d.scene3d.presets import single_prior


def dataset(seed: int, num: int = 8) -> Manifest[GenerateConfig]:
    config = GenerateConfig("single", num, seed, single_prior(), 32, "inference", "analytic", scenes_per_shard=num)
    return Manifest(SCHEMA, config, config_sha256(config), num, (), (ShardEntry(shard_name(0), num, 1, "0" * 64),))


TESTED = dataset(7)
DREAMS: dict[str, Any] = {"data": {"prior_sha256": "aa", "learned_from": "dreams"}}


def images(seed: int, num: int = 8) -> dict[str, Any]:
    return {"data": {**data_facts(dataset(seed, num)), "learned_from": "images"}}


@pytest.mark.parametrize(
    "provenance, proven, words",
    [
        (images(8), True, "drawn with seed 8, these with 7"),
        (images(7), False, "these very images"),
        (images(7, 50), None, "of the same seed, 7"),  # its first eight scenes are these
        (DREAMS, True, "dreamt itself"),
        ({"data": {"prior_sha256": "aa"}}, True, "dreamt itself"),  # as shipped weights say it
        ({"data": {**data_facts(TESTED), "learned_from": "dreams"}}, True, "dreamt itself"),  # its prior alone is used
        ({"data": {"config_sha256": "bb"}}, None, "whose seed is not recorded"),
        ({"data": {"config_sha256": TESTED.config_sha256}}, False, "these very images"),
        ({}, None, "not recorded"),
        ({"data": {}}, None, "not recorded"),
        ({"data": "elsewhere"}, None, "not recorded"),
    ],
)
def test_only_what_is_recorded_is_said(provenance: dict[str, Any], proven: bool | None, words: str) -> None:
    found = unseen_by(provenance, TESTED)
    assert found.proven is proven
    assert words in found.because
    assert ("Training has not seen these scenes" in found.because) == bool(proven)


@pytest.mark.parametrize(
    "start, proven, words",
    [
        ({"start": DREAMS}, True, "It started from other weights. Training has not seen"),
        ({"start": images(9)}, True, "its own were drawn with seed 9"),
        ({"start": images(7)}, False, "these very images"),
        ({"start": {}}, None, "not recorded"),
        ({}, None, "do not say what they were trained on"),
    ],
)
def test_the_weights_that_a_run_started_from_count_too(start: dict[str, Any], proven: bool | None, words: str) -> None:
    own = images(8)
    own["data"]["start_sha256"] = "cc"
    found = unseen_by({**own, **start}, TESTED)
    assert found.proven is proven
    assert words in found.because
    own = images(7)
    own["data"]["start_sha256"] = "cc"
    assert unseen_by({**own, **start}, TESTED).proven is False, "whatever it started from"
