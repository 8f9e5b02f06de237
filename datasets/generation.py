"""Makes a scene with its pixels from (config, index): draws it, renders it, and redraws it if an object is hidden.

Scene i is drawn from its own stream, `numpy.random.Generator(PCG64(SeedSequence(seed, spawn_key=(i,))))`, which is
numpy's i-th child of SeedSequence(seed). A scene that is redrawn goes on with the same stream. Backdrop and sensor have
streams below it (`air3d.datasets.photograph`). Nothing else is random, so a scene depends on (config, seed, i) alone,
whatever batch, process or machine draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.annotation import visible_fractions
from air3d.datasets.config import GenerateConfig
from air3d.datasets.photograph import photograph
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene

_BATCH = 64
_BATCH_PIXELS = 1 << 20  # bounds memory for large images


@dataclass(frozen=True)
class GeneratedScene:
    """A scene and everything that was rendered of it; image and depth as the sensor gives them.

    Attributes:
        index: the number of the scene in its dataset.
        scene: the scene; its object n has the number n + 1 in `segmentation`.
        image: (H, W, 3) uint8.
        depth_m: (H, W) float32, metres along the optical axis, +inf where nothing is seen.
        segmentation: (H, W) uint8.
        alone: (N, H, W) bool, the pixels of every object drawn alone on the table.
        redraws: how many scenes of this stream were refused before.
        photograph: the backdrop and the sensor that were drawn (`Photograph.about`).
    """

    index: int
    scene: Scene
    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    segmentation: NDArray[np.uint8]
    alone: NDArray[np.bool_]
    redraws: int
    photograph: Mapping[str, Any] = field(default_factory=dict)


def scene_rng(seed: int, index: int) -> np.random.Generator:
    """The random stream of one scene."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))


def batch_size(pixels: int) -> int:
    """How many images of so many pixels are rendered together; affects speed and memory, never the result."""
    return max(1, min(_BATCH, _BATCH_PIXELS // pixels))


def generate_scenes(
    config: GenerateConfig,
    indices: Sequence[int],
    renderer: Renderer,
    pictures: Sequence[NDArray[np.uint8]] = (),
) -> Iterator[GeneratedScene]:
    """Generate the scenes numbered `indices`, in order, rendered in batches.

    Args:
        pictures: those that `config.backdrop.pictures` is the fingerprint of, if it is one.

    Raises:
        InputError: if objects cannot be placed, or a scene cannot be drawn with all objects visible enough.
    """
    step = batch_size(config.image_size.pixels)
    for start in range(0, len(indices), step):
        yield from _generate_batch(config, indices[start : start + step], renderer, pictures)


def _generate_batch(
    config: GenerateConfig, indices: Sequence[int], renderer: Renderer, pictures: Sequence[NDArray[np.uint8]]
) -> list[GeneratedScene]:
    prior = ScenePrior(config.prior)
    streams = [scene_rng(config.seed, index) for index in indices]
    done: list[GeneratedScene | None] = [None] * len(indices)
    pending = list(range(len(indices)))
    for redraws in range(config.max_redraws + 1):
        scenes = [prior.sample(streams[k]) for k in pending]
        batch = SceneBatch.from_scenes(scenes, config.prior.kinds, config.slots)
        frames = renderer.render_frames(batch)
        alone, owner = render_alone(renderer, batch, frames.segmentation)
        hidden = _hides_an_object(frames.segmentation, alone, batch, config.min_visible)
        refused = []
        for row, k in enumerate(pending):
            if hidden[row]:
                refused.append(k)
                continue
            taken = photograph(config, indices[k], frames.rgb[row], frames.depth_m[row], pictures)
            done[k] = GeneratedScene(
                index=indices[k],
                scene=scenes[row],
                image=taken.rgb,
                depth_m=taken.depth_m,
                segmentation=frames.segmentation[row],
                alone=alone[owner == row],
                redraws=redraws,
                photograph=taken.about,
            )
        pending = refused
        if not pending:
            return [scene for scene in done if scene is not None]
    raise InputError(
        f"scene {indices[pending[0]]}: {config.max_redraws + 1} draws in a row show some object less than "
        f"--min-visible {config.min_visible:g}; lower it, or use fewer objects or larger images"
    )


def render_alone(
    renderer: Renderer, batch: SceneBatch, segmentation: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Draw each of the M objects of a batch alone on the table; return their masks.

    Args:
        batch: the B scenes.
        segmentation: (B, H, W), of the full scenes; the mask of a scene's only object is copied from it.

    Returns:
        (M, H, W) bool, scene after scene, and (M,) the scene of each.
    """
    rows, slots = np.nonzero(batch.present)
    lone = batch.present.sum(axis=1)[rows] == 1
    masks = np.empty((len(rows), *segmentation.shape[1:]), dtype=bool)
    masks[lone] = segmentation[rows[lone]] == (slots[lone] + 1)[:, None, None]
    crowd = np.flatnonzero(~lone)
    step = len(batch)
    for start in range(0, len(crowd), step):
        part = crowd[start : start + step]
        masks[part] = renderer.render_segmentation(batch.singles(rows[part], slots[part])) == 1
    return masks, rows


def _hides_an_object(
    segmentation: NDArray[np.uint8], alone: NDArray[np.bool_], batch: SceneBatch, min_visible: float
) -> NDArray[np.bool_]:
    """(B,) bool: whether some object of the scene is less visible than `min_visible`."""
    rows, slots = np.nonzero(batch.present)
    visible = (segmentation[rows] == (slots + 1)[:, None, None]).sum(axis=(1, 2))
    too_little = visible_fractions(visible, alone.sum(axis=(1, 2))) < min_visible
    hidden = np.zeros(len(batch), dtype=bool)
    hidden[rows[too_little]] = True
    return hidden
