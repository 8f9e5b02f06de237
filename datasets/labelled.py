"""Loads a generated dataset as the arrays that training and evaluation use."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.config import first_difference
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.arguments import whole
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.prior import PriorConfig

_MAX_BYTES = 8 << 30


class Labelled(NamedTuple):
    """Images with their true scenes.

    Attributes:
        prior: the distribution that the scenes were drawn from.
        images: (B, H, W, 3) uint8.
        truth: the B scenes; training does not look at it.
        visible_fraction: (B, N) share of each object's pixels that nothing hides; 0 in empty slots.
    """

    prior: PriorConfig
    images: NDArray[np.uint8]
    truth: SceneBatch
    visible_fraction: NDArray[np.float64]


def check_prior(what: str, found: PriorConfig, wanted: PriorConfig) -> None:
    """Raise InputError unless two priors are the same; the message is `what`, then the fields in which they differ."""
    a, b = config_to_dict(found), config_to_dict(wanted)
    differences = [difference for key in a if (difference := first_difference(a[key], b[key], key)) is not None]
    if differences:
        told = ", ".join(f"{name} is {shown(one)}, not {shown(other)}" for name, one, other in differences[:3])
        raise InputError(f"{what}: {told}; generate or train with the same")


def load_labelled(folder: Path, limit: int | None = None) -> Labelled:
    """Read a dataset, or its first `limit` samples, into memory.

    Raises:
        InputError: if it is no dataset, is damaged, or needs over 8 GiB.
    """
    dataset = SceneDataset(folder)
    prior, size = dataset.config.prior, dataset.config.image_size
    count = len(dataset) if limit is None else min(whole("dataset", "limit", limit, 0), len(dataset))
    if count * size.pixels * 3 > _MAX_BYTES:
        raise InputError(f"{folder}: {count} images of {size} do not fit into {_MAX_BYTES >> 30} GiB; use fewer")
    dataset.check_sizes()
    slots = max(prior.max_objects, 1)
    images = np.empty((count, size.height, size.width, 3), dtype=np.uint8)
    scenes, fractions = [], []
    for i in range(count):
        sample = dataset[i]
        images[i] = sample["image"]
        scenes.append(sample["scene"])
        fractions.append([item["visible_fraction"] for item in sample["annotations"]["objects"]])
        if len(fractions[i]) != len(scenes[i].objects):
            raise InputError(
                f"{folder}: sample {i} annotates {len(fractions[i])} of {len(scenes[i].objects)} objects; "
                "generate it again"
            )
    truth = SceneBatch.from_scenes(scenes, prior.kinds, slots)
    visible = np.zeros(truth.kind.shape)
    visible[truth.present] = np.concatenate([np.zeros(0), *fractions])
    return Labelled(prior, images, truth, visible)
