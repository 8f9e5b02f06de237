"""Selects what a tab shows of an entry: its answer, or one of its posterior samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.scene import Scene
from air3d.viewer.explainer import Samples
from air3d.viewer.gallery import Entry
from air3d.viewer.scene_errors import SceneErrors, scene_errors


@dataclass(frozen=True)
class Shown:
    """The content of the right panel and the table: the answer of an entry, or one of its samples.

    Attributes:
        scene, render, errors: those of the answer or the sample; None where there is none.
        presence: the presence of the answer's objects; empty for a sample.
        caption: the caption of its picture.
        note: a sentence about the sample; empty for the answer.
    """

    scene: Scene | None
    render: NDArray[np.uint8] | None
    errors: SceneErrors | None
    presence: tuple[float, ...]
    caption: str
    note: str


def shown(entry: Entry, samples: Samples | None, sample: int) -> Shown:
    """Return the answer of an entry (sample 0), or its sample-th heaviest posterior sample."""
    if samples is None or not 1 <= sample <= len(samples.scenes):
        return Shown(entry.inferred, entry.render, entry.errors, entry.presence, "inferred", "")
    scene, k = samples.scenes[sample - 1], sample - 1
    errors = None
    if entry.truth is not None:
        errors = scene_errors(SceneBatch.from_scenes([entry.truth]), SceneBatch.from_scenes([scene]))[0]
    note = (
        f"Sample {sample} of {len(samples.scenes)}, the heaviest first: weight {100 * samples.weight[k]:.1f} %, "
        f"log p(image | scene) {samples.log_likelihood[k]:.1f} nats; "
        f"{samples.worth}."
    )
    return Shown(scene, samples.renders[k], errors, (), f"sample {sample}", note)
