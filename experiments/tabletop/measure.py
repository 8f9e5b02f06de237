"""Measures a trained model on a test set, in all and by the number of objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from air3d.datasets.labelled import Labelled
from air3d.evaluation.evaluate import evaluate
from air3d.evaluation.metrics import scene_metrics
from air3d.scene3d.batch import SceneBatch
from air3d.scenes.model import SceneModel
from experiments.tabletop.workbench import Workbench


def measured(bench: Workbench, model: SceneModel[Any], data: Labelled, seed: int) -> dict[str, Any]:
    """Compute the metrics of `air3d evaluate`, and `by_count`."""
    with bench.renderer(model.render_config) as renderer:
        found = evaluate(
            model,
            renderer,
            data.images,
            data.truth,
            bench.plan.bound_samples,
            seed,
            visible_fraction=data.visible_fraction,
        )
    return {**found.metrics, "by_count": by_count(data.truth, found.inferred)}


def by_count(truth: SceneBatch, inferred: SceneBatch) -> list[dict[str, Any]]:
    """Compute the metrics of images with 0, 1, 2, ... objects, for the numbers of objects that occur."""
    count = truth.present.sum(axis=1)
    return [{"objects": n, **scene_metrics(truth[count == n], inferred[count == n])} for n in np.unique(count).tolist()]


def point(truth: SceneBatch, inferred: SceneBatch) -> dict[str, Any]:
    """Select the numbers that a learning curve shows."""
    metrics = scene_metrics(truth, inferred)
    return {
        "count_accuracy": metrics["count_accuracy"],
        "kinds_accuracy": metrics["kinds_accuracy"],
        "position_error_m": metrics["position_error_m"]["median"],
        "camera_error_rad": metrics["camera_error_rad"],
    }
