"""Prints the metrics of `air3d.evaluation.evaluate` on the terminal, in the units people read."""

from __future__ import annotations

from typing import Any

import numpy as np

from air3d.evaluation.calibration import LEVELS, least_coverage
from air3d.evaluation.tables import rate, spoken

_DEGREES = float(np.degrees(1.0))


def print_metrics(metrics: dict[str, Any]) -> None:
    """Print the metrics as a table, in the units people read; the 90th percentile follows each median."""
    from rich.console import Console
    from rich.table import Table

    titles = ("kind", "found, and kind right", "position error (p90)", "yaw error (p90)", "rotation error (p90)")
    table = Table(*titles, title="errors are medians over matched objects, modulo symmetry; yaw is of upright ones")
    every = {
        **metrics,
        "kind_right": sum(row["kind_right"] for row in metrics["per_kind"].values()),
    }
    for name, row in ({"all": every} | metrics["per_kind"]).items():
        table.add_row(
            name,
            rate(row["kind_right"], row["true_objects"]),
            _spread(row["position_error_m"], 100.0, "cm", 2),
            _spread(row["yaw_error_rad"], _DEGREES, "deg", 1),
            _spread(row["rotation_error_rad"], _DEGREES, "deg", 1),
        )
    console = Console()
    console.print(table)
    images, missed, extra = (metrics[key] for key in ("num_images", "missed_objects", "extra_objects"))
    lines = [
        f"count right {rate(metrics['count_right'], images)}   "
        f"all kinds right {rate(metrics['kinds_right'], images)}   "
        f"{missed:,} objects missed, {extra:,} invented"
    ]
    camera, p90 = metrics["camera_error_rad"], metrics["camera_error_p90_rad"]
    if camera["azimuth"] is not None:
        of = {name: {"median": camera[name], "p90": p90[name]} for name in camera}
        distance = {"median": metrics["camera_distance_error_m"], "p90": metrics["camera_distance_error_p90_m"]}
        lines.append(
            f"camera, median (p90): azimuth {_spread(of['azimuth'], _DEGREES, 'deg', 2)}, "
            f"elevation {_spread(of['elevation'], _DEGREES, 'deg', 2)}, distance {_spread(distance, 100.0, 'cm', 2)}   "
            f"AP (BOP): MSSD {_share(metrics['mssd_ap'])}, MSPD {_share(metrics['mspd_ap'])}"
        )
    lines.append(
        f"reconstruction mse {metrics['reconstruction_mse']:.5f}   ELBO {_nats(metrics['elbo'])}   IWAE bound "
        f"{_nats(metrics['iwae_bound'])} nats   {1000 * metrics['seconds_per_image']:.2f} ms an image"
    )
    left_out = f"{metrics['images_without_bound']:,} of {images:,} images"
    lines.append(f"the bounds leave out {left_out}, of which the prior allows no sample")
    lines += calibration_lines(metrics)
    if "unseen" in metrics:
        lines.append(metrics["unseen"]["because"])
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def calibration_lines(metrics: dict[str, Any]) -> list[str]:
    """Lines that say how well the guide's own draws cover the truth, and how many of them weighing leaves."""
    found, each = metrics["calibration"], metrics["bound_samples"]
    covered = _covered(found)
    levels = "/".join(f"{100 * level:.0f}" for level in LEVELS)
    wrong = "/".join(f"{100 * least_coverage(each, level):.0f}" for level in LEVELS)
    worth = metrics["effective_samples"]["median"]
    lines = [
        f"{levels} % regions of q's own {each} draws, equally weighted, cover (if always wrong: {wrong} %): "
        + ", ".join(covered),
        f"importance weights leave {'-' if worth is None else f'{worth:.1f}'} effective of {each} draws (median)",
    ]
    if "simulated_calibration" in metrics:
        found = metrics["simulated_calibration"]
        share = found["effective_samples"]["share_from_20"]
        lines.append(
            f"{levels} % regions of {found['samples']} samples moved {found['moves']} times, with the likelihood's "
            f"noise on the images, cover: {', '.join(_covered(found))}; 20 or more of them effective in "
            f"{'-' if share is None else f'{100 * share:.0f}'} % of the images, "
            f"{1000 * found['seconds_per_image']:.0f} ms an image"
        )
    return lines


def _covered(found: dict[str, Any]) -> list[str]:
    return [
        f"{spoken(key)} {'/'.join('-' if s is None else f'{100 * s:.0f}' for s in row['coverage'].values())} %"
        for key, row in found.items()
        if isinstance(row, dict) and "coverage" in row
    ]


def _spread(found: dict[str, float | None], factor: float, unit: str, digits: int) -> str:
    """A median and the 90th percentile."""
    median, p90 = found["median"], found["p90"]
    if median is None or p90 is None:
        return "-"
    return f"{factor * median:.{digits}f} {unit} ({factor * p90:.{digits}f})"


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
