"""Makes the picture that is kept of scene i from the one that is rendered: a backdrop behind it, then the sensor.

Each part of it has a stream of its own, `SeedSequence(seed, spawn_key=(i, k))` with k in the order of `STREAMS`, so
that none shifts another, and none the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.backdrop import draw_backdrop
from air3d.datasets.config import GenerateConfig
from air3d.datasets.sensor import draw_exposure, expose, measured_depth

STREAMS = ("backdrop", "blur", "noise", "jpeg", "depth_noise")


@dataclass(frozen=True)
class Photograph:
    """The picture that is kept.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth_m: (H, W) float32, metres, +inf where nothing is seen.
        about: the draws by name, None for what is off: `backdrop`, and the fields of `Exposure`; empty if backdrop and
            sensor are off for the whole dataset.
    """

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    about: dict[str, Any]


def photograph(
    config: GenerateConfig,
    index: int,
    rgb: NDArray[np.uint8],
    depth_m: NDArray[np.float32],
    pictures: Sequence[NDArray[np.uint8]] = (),
) -> Photograph:
    """Take the picture of scene `index`.

    Args:
        rgb, depth_m: the rendered picture, as in `Photograph`.
        pictures: those that backdrops are cut from; see `draw_backdrop`.
    """
    if not config.picture_strengths:
        return Photograph(rgb, depth_m, {})
    rngs = {
        name: np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=(index, k))))
        for k, name in enumerate(STREAMS)
    }
    name = None
    if rngs["backdrop"].random() < config.backdrop.strength:
        name, behind = draw_backdrop(rngs["backdrop"], depth_m.shape[0], depth_m.shape[1], pictures)
        rgb = np.where(np.isfinite(depth_m)[..., None], rgb, behind)
    exposure = draw_exposure(config.sensor, rngs)
    return Photograph(
        expose(rgb, exposure, rngs["noise"]),
        measured_depth(depth_m, exposure, rngs["depth_noise"]),
        {"backdrop": name, **asdict(exposure)},
    )
