"""Loads a generated dataset as the arrays that training and evaluation use."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.config import first_difference
from air3d.datasets.image_size import ImageSize
from air3d.datasets.png import decode_png
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
        depth_m: (B, H, W) float32, +inf where it was not measured; None if it was not asked for.
    """

    prior: PriorConfig
    images: NDArray[np.uint8]
    truth: SceneBatch
    visible_fraction: NDArray[np.float64]
    depth_m: NDArray[np.float32] | None = None


def check_prior(what: str, found: PriorConfig, wanted: PriorConfig) -> None:
    """Raise InputError unless two priors are the same; the message is `what`, then the fields in which they differ."""
    if told := differences(found, wanted):
        raise InputError(f"{what}: {told}; generate or train with the same")


def differences(found: PriorConfig, wanted: PriorConfig) -> str:
    """Name the first fields in which two priors differ, with their values; nothing if they are the same."""
    a, b = config_to_dict(found), config_to_dict(wanted)
    keys = sorted(a.keys() | b.keys())
    parts = [part for key in keys if (part := first_difference(a.get(key), b.get(key), key)) is not None]
    return ", ".join(f"{name} is {shown(one)}, not {shown(other)}" for name, one, other in parts[:3])


def load_images(folder: Path) -> NDArray[np.uint8]:
    """Read the pictures (B, H, W, 3) of a dataset, and nothing else of it.

    Raises:
        InputError: if it is no dataset, is damaged, or needs over 8 GiB.
    """
    dataset, names = SceneDataset(folder), ("image.png",)
    size, count = dataset.config.image_size, len(dataset)
    check_memory(folder, count, size, 3)
    dataset.check_sizes()
    images = np.empty((count, size.height, size.width, 3), dtype=np.uint8)
    for i in range(count):
        members = dataset.read(i, names)
        with dataset.naming(i):
            dataset.check(i, members, names)
            images[i] = decode_png(members[names[0]], "RGB", size.height, size.width)
    return images


def check_memory(folder: Path, count: int, size: ImageSize, each: int) -> None:
    """Raise InputError if so many pictures, of `each` bytes a pixel, do not fit into memory."""
    if count * size.pixels * each > _MAX_BYTES:
        raise InputError(f"{folder}: {count} images of {size} do not fit into {_MAX_BYTES >> 30} GiB; use fewer")


def load_labelled(folder: Path, limit: int | None = None, depth: bool = False) -> Labelled:
    """Read a dataset, or its first `limit` samples, into memory, with depth if that is asked for.

    Raises:
        InputError: if it is no dataset, is damaged, or needs over 8 GiB.
    """
    dataset = SceneDataset(folder)
    prior, size = dataset.config.prior, dataset.config.image_size
    count = len(dataset) if limit is None else min(whole("dataset", "limit", limit, 0), len(dataset))
    # With depth, both joined as floats beside them.
    check_memory(folder, count, size, 23 if depth else 3)
    dataset.check_sizes()
    slots = max(prior.max_objects, 1)
    images = np.empty((count, size.height, size.width, 3), dtype=np.uint8)
    depth_m = np.empty(images.shape[:3], dtype=np.float32) if depth else None
    scenes, fractions = [], []
    for i in range(count):
        sample = dataset[i]
        images[i] = sample["image"]
        if depth_m is not None:
            depth_m[i] = sample["depth_m"]
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
    return Labelled(prior, images, truth, visible, depth_m)
