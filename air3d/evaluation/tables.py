"""Writes metrics as HTML tables, in the units people read."""

from __future__ import annotations

from html import escape
from typing import Any, Literal

import numpy as np

from air3d.evaluation.calibration import LEVELS, least_coverage
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.poses import UPRIGHT


def facts_table(metrics: dict[str, Any], truth: SceneBatch) -> str:
    """A table of the numbers that describe all images; the number of objects and the camera only where they vary."""
    rows, images = [], metrics["num_images"]
    if truth.slots > 1:
        rows.append(("number of objects right", rate(metrics["count_right"], images)))
    rows.append(("all kinds right", rate(metrics["kinds_right"], images)))
    if camera_varies(truth):
        median, p90 = metrics["camera_error_rad"], metrics["camera_error_p90_rad"]
        rows += [
            (f"camera {name} error, median (p90)", f"{_degrees(median[name], 2)} ({_degrees(p90[name], 2)})")
            for name in ("azimuth", "elevation")
        ]
        distance = metrics["camera_distance_error_m"], metrics["camera_distance_error_p90_m"]
        rows.append(("camera distance error, median (p90)", "{} ({})".format(*map(_centimetres, distance))))
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
    """A table of the errors of all objects, and kind by kind."""
    titles = (
        "kind",
        "objects",
        "found, and kind right",
        "position error, median (p90)",
        f"{turn_of(truth)} error modulo symmetry, median (p90)",
    )
    head = "<tr>" + "".join(f'<th scope="col">{title}</th>' for title in titles) + "</tr>"
    rows = metrics["per_kind"]
    every = {**metrics, "kind_right": sum(row["kind_right"] for row in rows.values())}
    body = "".join(_kind_row(name, row, turn_of(truth)) for name, row in ({"all": every} | rows).items())
    objects, missed, extra = (metrics[key] for key in ("true_objects", "missed_objects", "extra_objects"))
    notes = [
        "Rates are of all true objects, missed ones among them; errors are of those that an inferred one is matched to."
    ]
    if missed:
        notes.append(f"{missed:,} of {objects:,} true objects have no inferred one beside them.")
    if extra:
        notes.append(f"{extra:,} inferred objects have no true one beside them.")
    return f'<div class="scroll"><table>{head}{body}</table></div><p>{" ".join(notes)}</p>'


def confusion_table(confusion: dict[str, Any]) -> str:
    """A table of `metrics.count_confusion`, shaded by each row's shares."""
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


def calibration_table(metrics: dict[str, Any]) -> str:
    """A table of `evaluate.draw_metrics`: the coverage of the guide's own draws, and of the weighted ones if known."""
    own, weighted = metrics["calibration"], metrics["weighted_calibration"]
    worth, each = metrics["effective_samples"]["median"], metrics["bound_samples"]
    levels = list(own["position_m"]["coverage"])
    titles = [
        f"{100 * float(level):g} % region{draws} covers" for draws in ("", " of weighted draws") for level in levels
    ]
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    rows = "".join(
        f'<tr><th scope="row">{escape(spoken(key))}</th><td>{own[key]["images"]:,}</td>'
        + "".join(
            f"<td>{_percent(found[key]['coverage'][level])}</td>" for found in (own, weighted) for level in levels
        )
        + "</tr>"
        for key in own
        if "coverage" in own[key]
    )
    gaps = ", ".join(
        f"{_percent(row['expected_calibration_error'])} for {escape(spoken(key))}"
        for key, row in own.items()
        if "expected_calibration_error" in row
    )
    reason = next((row["refused"] for row in weighted.values() if "refused" in row), "")
    wrong = " and ".join(_percent(least_coverage(each, level)) for level in LEVELS)
    return (
        f"<p>Regions hold the stated share of q's own {each} draws an image, equally weighted; they should cover the "
        f"truth as often. (A posterior that is always wrong would show {wrong} for the camera.) Importance weights "
        f"leave {'-' if worth is None else f'{worth:.1f}'} effective (median). "
        f"{escape(reason)}</p>"
        f'<div class="scroll"><table><tr><th scope="col">quantity</th><th scope="col">of</th>{head}</tr>{rows}</table>'
        "</div><p>Positions are those of true objects that a draw has, of their kind. "
        f"Expected calibration error of q's own draws: {gaps}.</p>"
    )


def camera_varies(truth: SceneBatch) -> bool:
    """Tell whether there is a camera to be inferred."""
    return len(truth) > 0 and any(
        np.ptp(values) > 0.0
        for values in (truth.camera_azimuth_rad, truth.camera_elevation_rad, truth.camera_distance_m)
    )


def rate(right: int, of: int) -> str:
    """Write a share with the numbers that it is made of."""
    return f"{100 * right / of:.1f} % ({right:,} of {of:,})" if of else "-"


def spoken(key: str) -> str:
    """Write a metric's key as words, without its unit."""
    return key.removesuffix("_rad").removesuffix("_m").replace("_", " ")


def turn_of(truth: SceneBatch) -> Literal["yaw", "rotation"]:
    """Tell by what objects' turns are compared: by the yaw, or where some are tilted, by the angle in space."""
    return "rotation" if (truth.tilt_rad[truth.present] > UPRIGHT).any() else "yaw"


def _kind_row(name: str, row: dict[str, Any], turn: str) -> str:
    position, error = row["position_error_m"], row[f"{turn}_error_rad"]
    symmetry = None if name == "all" else get_kind(name).symmetry
    any_turn = symmetry is not None and (symmetry.spherical if turn == "rotation" else symmetry.continuous_yaw)
    cells = [
        f"{row['true_objects']:,}",
        rate(row["kind_right"], row["true_objects"]),
        f"{_centimetres(position['median'])} ({_centimetres(position['p90'])})",
        f"any {turn} looks the same" if any_turn else f"{_degrees(error['median'], 1)} ({_degrees(error['p90'], 1)})",
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
