"""A generated dataset as the arrays that training and evaluation use."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.reader import SceneDataset
from scene3d.batch import SceneBatch
from scene3d.errors import InputError
from scene3d.prior import PriorConfig

_MAX_BYTES = 8 << 30


class Labelled(NamedTuple):
    """Images with their true scenes.

    Attributes:
        prior: what the scenes were drawn from.
        images: (B, S, S, 3) uint8.
        truth: the B scenes; training does not look at it.
    """

    prior: PriorConfig
    images: NDArray[np.uint8]
    truth: SceneBatch


def load_labelled(folder: Path, limit: int | None = None) -> Labelled:
    """Read a dataset, or its first `limit` samples, into memory.

    Raises:
        InputError: if it is no dataset, is damaged, or needs over 8 GiB.
    """
    dataset = SceneDataset(folder)
    prior, size = dataset.config.prior, dataset.config.size
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count * size * size * 3 > _MAX_BYTES:
        raise InputError(f"{folder}: {count} images of {size}x{size} do not fit into {_MAX_BYTES >> 30} GiB; use fewer")
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    scenes = []
    for i in range(count):
        sample = dataset[i]
        images[i] = sample["image"]
        scenes.append(sample["scene"])
    return Labelled(prior, images, SceneBatch.from_scenes(scenes, prior.kinds, max(prior.max_objects, 1)))
