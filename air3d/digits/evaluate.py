"""Evaluates a model of the 2D track on images whose number of digits is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.digits.infer import Inferred, concatenate, elbo, infer
from air3d.digits.store import Model

_BATCH = 256


class DigitsEvaluation(NamedTuple):
    """Metrics as JSON values, and the answers they were computed from; see `evaluate_digits`."""

    metrics: dict[str, Any]
    inferred: Inferred


def evaluate_digits(
    model: Model,
    images: NDArray[np.uint8],
    counts: NDArray[np.int64],
    bound_samples: int,
    seed: int,
    report: Callable[[int], None] = lambda count: None,
) -> DigitsEvaluation:
    """Infer every image and compare.

    Args:
        images: (B, S, S) uint8; counts: (B,) their true numbers of digits.
        bound_samples: how many times the bound draws the continuous latents.
        seed: seeds those draws.
        report: is called with the number of images done since its last call.

    The metrics; None where there is no image:

    - num_images, bound_samples;
    - count_accuracy: the share of images with the right number of objects; None for models without objects;
    - confusion: the numbers of images by true (rows) and inferred count (columns), from 0; None as well;
    - elbo: the mean bound in nats; None for the autoencoder;
    - reconstruction_mse: the error of the mode's image, pixel values in [0, 1];
    - seconds_per_image: the time to infer the mode in batches of 256.
    """
    infer(model, images[:1])  # the first call pays for one-time set-up
    parts: list[Inferred] = []
    seconds = 0.0
    for start in range(0, max(len(images), 1), _BATCH):
        begin = time.perf_counter()
        parts.append(infer(model, images[start : start + _BATCH]))
        seconds += time.perf_counter() - begin
        report(len(parts[-1].reconstructions))
    inferred = concatenate(parts)
    error = np.square(inferred.reconstructions.astype(np.float64) - images / 255.0).mean(axis=(1, 2))
    bound = elbo(model, images, bound_samples, seed)
    found = inferred.counts
    metrics = {
        "num_images": len(images),
        "count_accuracy": None if found is None else _mean(found == counts),
        "confusion": None if found is None else confusion(counts, found).tolist(),
        "elbo": None if bound is None else _mean(bound),
        "bound_samples": bound_samples,
        "reconstruction_mse": _mean(error),
        "seconds_per_image": seconds / max(len(images), 1),
    }
    return DigitsEvaluation(metrics, inferred)


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def confusion(true: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of images by true (rows) and inferred (columns) count, both from 0: (C, C) int64."""
    size = int(max(true.max(initial=0), found.max(initial=0))) + 1
    table = np.zeros((size, size), dtype=np.int64)
    np.add.at(table, (true, found), 1)
    return table


def print_metrics(metrics: dict[str, Any]) -> None:
    """Print the metrics as a table, in the units people read."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if metrics["confusion"] is not None:
        rows = metrics["confusion"]
        table = Table("digits", *(f"{n} found" for n in range(len(rows))), "right")
        for true, row in enumerate(rows):
            if sum(row):
                table.add_row(str(true), *map(str, row), f"{100 * row[true] / sum(row):.1f} %")
        console.print(table)
        console.print(f"count right in {100 * metrics['count_accuracy']:.2f} % of {metrics['num_images']} images")
    bound = "" if metrics["elbo"] is None else f"   ELBO {metrics['elbo']:.1f} nats"
    console.print(
        f"reconstruction mse {metrics['reconstruction_mse']:.5f}{bound}   {1000 * metrics['seconds_per_image']:.2f} ms "
        "an image"
    )
