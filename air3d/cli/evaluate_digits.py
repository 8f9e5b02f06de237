"""`air3d evaluate` with a model of the 2D track."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from air3d.cli.progress import ProgressReport
from air3d.datasets.digits.reader import DigitsDataset
from air3d.digits_store import load_digits_model
from air3d.evaluation.digits import evaluate_digits
from air3d.scene3d.errors import InputError


def measure(weights: str, data: Path, limit: int | None, bound_samples: int, seed: int, quiet: bool) -> dict[str, Any]:
    """Measure a model on a dataset, or on its first `limit` images.

    Raises:
        InputError: if there is no such model or dataset, or their images differ in size.
    """
    model = load_digits_model(weights).model
    dataset = DigitsDataset(data)
    size = model.config.canvas
    if dataset.config.canvas != size:
        raise InputError(f"{data}: images of {dataset.config.canvas} pixels; the model reads {size}")
    arrays = dataset.arrays(limit)
    with ProgressReport("images", len(arrays.images), quiet=quiet) as progress:
        result = evaluate_digits(model, arrays.images, arrays.counts, bound_samples, seed, progress.advance)
    return {"weights": weights, **result.metrics}


def print_digits_metrics(metrics: dict[str, Any]) -> None:
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
