"""Evaluation of a single-object model on a dataset with known scenes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.evaluation.metrics import scene_metrics
from air3d.scenes.model import SingleObjectModel
from renderers.protocol import Renderer
from scene3d.batch import SceneBatch

_BATCH = 128


class Evaluation(NamedTuple):
    """Metrics, and what they were computed from.

    Attributes:
        metrics: JSON values; the keys of `scene_metrics` and reconstruction_mse, elbo, iwae_bound,
            seconds_per_image, renders_per_image, bound_samples.
        inferred: the inferred scenes.
        renders: (B, S, S, 3) uint8, the inferred scenes drawn.
        image_mse: (B,) mean squared error of each reconstruction, pixel values in [0, 1].
    """

    metrics: dict[str, Any]
    inferred: SceneBatch
    renders: NDArray[np.uint8]
    image_mse: NDArray[np.float64]


def evaluate(
    model: SingleObjectModel,
    renderer: Renderer,
    images: NDArray[np.uint8],
    truth: SceneBatch,
    bound_samples: int,
    seed: int,
    report: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Infer every image and compare.

    Args:
        images: (B, S, S, 3) uint8; truth: their B scenes.
        bound_samples: K of the ELBO and the IWAE bound; these renders are not counted as inference.
        seed: of the samples for the bounds.
        report: called with the number of images done since its last call.

    `seconds_per_image` is the time of amortised inference of batches of 128, without rendering.
    """
    inferred: list[SceneBatch] = []
    model.infer(images[:1])  # the first call pays for one-time set-up
    seconds = 0.0
    for start in range(0, len(images), _BATCH):
        begin = time.perf_counter()
        inferred.append(model.infer(images[start : start + _BATCH]))
        seconds += time.perf_counter() - begin
        report(len(inferred[-1]))
    scenes = SceneBatch.concatenate(inferred)
    renders = renderer.render(scenes)
    error = (renders.astype(np.float64) - images) / 255.0
    image_mse = np.square(error).mean(axis=(1, 2, 3))
    bounds = model.bounds(images, renderer, bound_samples, torch.Generator().manual_seed(seed))
    metrics = {
        **scene_metrics(truth, scenes),
        "reconstruction_mse": float(image_mse.mean()),
        "elbo": float(bounds.elbo.mean()),
        "iwae_bound": float(bounds.iwae.mean()),
        "bound_samples": bound_samples,
        "sigma": model.sigma,
        "seconds_per_image": seconds / len(images),
        "renders_per_image": 0,
    }
    return Evaluation(metrics, scenes, renders, image_mse)
