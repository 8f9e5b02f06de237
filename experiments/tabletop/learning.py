"""Runs one training with its learning curve: an interrupted run goes on, its clock too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.labelled import Labelled
from air3d.scene3d.prior import PriorConfig
from air3d.scenes.model import SceneModel
from air3d.training.config import TabletopTrainConfig
from air3d.training.scenes import CHECKPOINT_EVERY, new_model, train
from experiments.clock import Clock
from experiments.counting import CountingRenderer
from experiments.tabletop.measure import point
from experiments.tabletop.workbench import Workbench


class Learned(NamedTuple):
    """A trained model and the course of its training.

    Attributes:
        record: the course as JSON values: parameters (their number), those of `Clock.record` (renders are all that
            training drew, with those that the guide looks at and those that find hidden dreams).
    """

    model: SceneModel[Any]
    record: dict[str, Any]


def learn(
    bench: Workbench,
    folder: Path,
    config: TabletopTrainConfig,
    prior: PriorConfig,
    images: NDArray[np.uint8] | None,
    validation: Labelled,
) -> Learned:
    """Train from a cold start, or go on with the run in `folder`.

    Args:
        images: the images of the wake phase.
        validation: the set that the curve is measured on; nothing is chosen by it.
    """
    model = new_model(config, prior)
    with bench.renderer(model.render_config) as renderer:

        def measure(iteration: int) -> dict[str, Any]:
            return point(validation.truth, model.infer(validation.images, renderer).scenes)

        counting, every = CountingRenderer(renderer), config.iterations // bench.plan.points
        clock = Clock(folder, config.iterations, every, CHECKPOINT_EVERY, measure, counting)
        run = clock.run(config, {"images": 0 if images is None else len(images)})
        with run.claimed():
            train(model, images, counting, config, run, dict(bench.kept.facts), clock.tick)
    return Learned(model, {"parameters": sum(p.numel() for p in model.guide.parameters()), **clock.record})
