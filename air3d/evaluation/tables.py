"""Metrics as HTML tables, in the units people read."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from scene3d.batch import SceneBatch
from scene3d.catalog import get_kind


def facts_table(metrics: dict[str, Any], truth: SceneBatch) -> str:
    """What one number tells of all images; the number of objects and the camera only where they vary."""
    rows = []
    if truth.slots > 1:
        rows.append(("number of objects right", _percent(metrics["count_accuracy"])))
    rows.append(("all kinds right", _percent(metrics["kinds_accuracy"])))
    if camera_varies(truth):
        rows += [
            ("camera azimuth error, median", _degrees(metrics["camera_error_rad"]["azimuth"], 2)),
            ("camera elevation error, median", _degrees(metrics["camera_error_rad"]["elevation"], 2)),
            ("camera distance error, median", _centimetres(metrics["camera_distance_error_m"])),
        ]
    rows += [
        ("MSSD average precision (BOP 2024, 6D detection)", _percent(metrics["mssd_ap"])),
        ("MSPD average precision", _percent(metrics["mspd_ap"])),
        ("mean squared pixel error (values 0 to 1)", _number(metrics["reconstruction_mse"])),
        ("ELBO", _nats(metrics["elbo"])),
        (f"IWAE bound, {metrics['bound_samples']} samples", _nats(metrics["iwae_bound"])),
        ("images without an allowed sample, left out of both bounds", f"{metrics['images_without_bound']}"),
        ("sigma of the likelihood", f"{metrics['sigma']:g}"),
        ("time an image", f"{1000 * metrics['seconds_per_image']:.2f} ms"),
        ("renders an image", f"{metrics['renders_per_image']}"),
    ]
    cells = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{value}</td></tr>' for name, value in rows)
    return f'<div class="scroll"><table>{cells}</table></div>'


def kinds_table(metrics: dict[str, Any], truth: SceneBatch) -> str:
    """Errors of all objects, and kind by kind."""
    titles = ("kind", "objects", "kind right", "position error, median (p90)", "yaw error, median, modulo symmetry")
    head = "<tr>" + "".join(f'<th scope="col">{title}</th>' for title in titles) + "</tr>"
    rows = metrics["per_kind"]
    matched = sum(row["objects"] for row in rows.values())
    right = sum(row["objects"] * row["kind_accuracy"] for row in rows.values())
    every = {**metrics, "objects": matched, "kind_accuracy": right / matched if matched else None}
    body = "".join(_kind_row(name, row) for name, row in ({"all": every} | rows).items())
    missed = int(truth.present.sum()) - matched
    note = f"<p>{missed} of {matched + missed} true objects have no inferred one beside them.</p>" if missed else ""
    return f'<div class="scroll"><table>{head}{body}</table></div>{note}'


def confusion_table(confusion: dict[str, Any]) -> str:
    """The matrix of `metrics.count_confusion`, shaded by each row's shares."""
    head = "".join(f'<th scope="col">{count}</th>' for count in confusion["inferred"])
    rows = []
    for count, row in zip(confusion["true"], confusion["images"], strict=True):
        cells = "".join(f'<td style="--share:{n / max(sum(row), 1):.3f}">{n}</td>' for n in row)
        rows.append(f'<tr><th scope="row">{count}</th>{cells}</tr>')
    return (
        '<div class="scroll"><table class="confusion"><caption>Images by their true number of objects (rows) and the '
        f'inferred one (columns).</caption><tr><th scope="col">true \\ inferred</th>{head}</tr>{"".join(rows)}</table>'
        "</div>"
    )


def calibration_table(found: dict[str, Any]) -> str:
    """Of `posterior.posterior_metrics`."""
    scalars = {key: row for key, row in found.items() if "coverage" in row}
    levels = list(next(iter(scalars.values()))["coverage"])
    head = "".join(f'<th scope="col">{100 * float(level):g} % region covers</th>' for level in levels)
    rows = "".join(
        f'<tr><th scope="row">{escape(_spoken(key))}</th>'
        + "".join(f"<td>{_percent(row['coverage'][level])}</td>" for level in levels)
        + "</tr>"
        for key, row in scalars.items()
    )
    gaps = ", ".join(
        f"{_percent(row['expected_calibration_error'])} for {escape(_spoken(key))}"
        for key, row in found.items()
        if "expected_calibration_error" in row
    )
    return (
        "<p>Regions hold the stated share of the posterior; they should cover the truth as often.</p>"
        f'<div class="scroll"><table><tr><th scope="col">quantity</th>{head}</tr>{rows}</table></div>'
        f"<p>Expected calibration error: {gaps}.</p>"
    )


def camera_varies(truth: SceneBatch) -> bool:
    """Whether there is a camera to be inferred."""
    return len(truth) > 0 and any(
        np.ptp(values) > 0.0
        for values in (truth.camera_azimuth_rad, truth.camera_elevation_rad, truth.camera_distance_m)
    )


def _kind_row(name: str, row: dict[str, Any]) -> str:
    position, yaw = row["position_error_m"], row["yaw_error_rad"]["median"]
    cells = [
        str(row["objects"]),
        _percent(row["kind_accuracy"]),
        f"{_centimetres(position['median'])} ({_centimetres(position['p90'])})",
        "any yaw looks the same" if name != "all" and get_kind(name).symmetry.continuous_yaw else _degrees(yaw, 1),
    ]
    return f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def _nats(bound: float | None) -> str:
    return "-" if bound is None else f"{bound:.1f} nats"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _degrees(angle_rad: float | None, digits: int) -> str:
    return "-" if angle_rad is None else f"{np.degrees(angle_rad):.{digits}f}&deg;"


def _centimetres(length_m: float | None) -> str:
    return "-" if length_m is None else f"{100 * length_m:.2f} cm"


def _spoken(key: str) -> str:
    return key.removesuffix("_rad").removesuffix("_m").replace("_", " ")
