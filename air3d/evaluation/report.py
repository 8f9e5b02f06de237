"""Writes `report.html`: one self-contained page with the images, the inferred scenes and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.files import atomic_file
from air3d.datasets.pictures import encode_picture
from air3d.evaluation.charts import histogram_svg, learning_curves
from air3d.evaluation.evaluate import Evaluation
from air3d.evaluation.html_page import html_page, png_uri
from air3d.evaluation.metrics import camera_errors, match
from air3d.evaluation.tables import calibration_table, camera_varies, confusion_table, facts_table, kinds_table, turn_of
from air3d.evaluation.top_view import top_view_svg
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.poses import UPRIGHT
from air3d.scene3d.scene import Scene, SceneObject


class Section(NamedTuple):
    """A gallery: a heading, a sentence that says how the scenes were chosen, and their indices."""

    title: str
    how_chosen: str
    indices: Sequence[int]


def write_report(
    path: Path,
    title: str,
    images: NDArray[np.uint8],
    truth: SceneBatch,
    evaluation: Evaluation,
    sections: Sequence[Section],
    log: Sequence[dict[str, Any]],
    facts: dict[str, str],
    draws: SceneBatch | None = None,
    unseen: str = "",
) -> None:
    """Write the page.

    Args:
        images: (B, S, S, 3) uint8 inputs; truth: their scenes; evaluation: the evaluation on the same images.
        sections: the galleries.
        log: the records of the training that the curves are drawn from; may be empty.
        facts: tell how the page was made (commands, seeds, versions); they are shown at the end.
        draws: the posterior samples of the views from above, B * K scenes with those of an image in succession.
        unseen: a sentence that says whether training has seen these scenes (`unseen.unseen_by`).
    """
    metrics = evaluation.metrics
    galleries = "".join(_gallery(section, images, truth, evaluation, draws) for section in sections)
    curves = learning_curves(log)
    body = "".join(
        [
            f"<h1>{escape(title)}</h1>",
            f"<p>{metrics['num_images']:,} scenes. {escape(unseen)} What the network infers from each image is drawn "
            f"again for comparison, by the renderer '{escape(metrics['renderer'])}'.</p>",
            "<h2>Measured</h2>",
            facts_table(metrics, truth),
            kinds_table(metrics, truth),
            f"<h2>Counting</h2>{confusion_table(metrics['count_confusion'])}" if truth.slots > 1 else "",
            _histograms(truth, evaluation.inferred),
            f"<h2>Calibration of the posterior</h2>{calibration_table(metrics)}" if "calibration" in metrics else "",
            galleries,
            f"<h2>Learning</h2>{curves}" if curves else "",
            "<h2>How this page was made</h2>",
            "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items()) + "</dl>",
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(html_page(title, body).encode())


def _histograms(truth: SceneBatch, inferred: SceneBatch) -> str:
    matches, camera = match(truth, inferred), camera_errors(truth, inferred)
    turn = turn_of(truth)
    error = matches.rotation_error_rad if turn == "rotation" else matches.yaw_error_rad
    charts = [
        ("position error", "cm", 100.0 * matches.position_error_m),
        (f"{turn} error modulo symmetry", "degrees", np.degrees(error[~np.isnan(error)])),
    ]
    if camera_varies(truth):
        charts += [
            ("camera azimuth error", "degrees", np.degrees(camera.azimuth_rad)),
            ("camera elevation error", "degrees", np.degrees(camera.elevation_rad)),
            ("camera distance error", "cm", 100.0 * camera.distance_m),
        ]
    drawn = "".join(histogram_svg(values, title, unit) for title, unit, values in charts)
    note = (
        "Objects are matched by position, whatever their kinds, and missed ones have no error; turns are compared "
        "where kinds agree."
    )
    return f'<h2>Errors</h2><p>{note}</p><div class="charts">{drawn}</div>' if drawn else ""


def _gallery(
    section: Section,
    images: NDArray[np.uint8],
    truth: SceneBatch,
    evaluation: Evaluation,
    draws: SceneBatch | None,
) -> str:
    index = np.array(section.indices, dtype=np.int64)
    if not len(index):
        return ""
    true_scenes, inferred_scenes = truth[index].to_scenes(), evaluation.inferred[index].to_scenes()
    each = 0 if draws is None else len(draws) // len(truth)
    free = camera_varies(truth)
    cards = []
    for i, true_scene, inferred in zip(index.tolist(), true_scenes, inferred_scenes, strict=True):
        image, render = images[i], evaluation.renders[i]
        difference = np.abs(image.astype(np.int16) - render).astype(np.uint8)
        pictures = "".join(
            f'<figure><img src="{png_uri(encode_picture(picture))}" alt="{caption} of scene {i}">'
            f"<figcaption>{caption}</figcaption></figure>"
            for caption, picture in (("input", image), ("inferred", render), ("difference", difference))
        )
        true_words, words = _words(true_scene, free), _words(inferred, free)
        drawn = [] if draws is None else draws[i * each : (i + 1) * each].to_scenes()
        top = top_view_svg(true_scene, inferred, f"scene {i} from above: true {true_words}; inferred {words}", drawn)
        cards.append(
            f'<section class="card"><div class="row">{pictures}'
            f"<figure>{top}<figcaption>from above</figcaption></figure></div>"
            f"<p><b>#{i}</b> true {escape(true_words)}<br>inferred {escape(words)}</p></section>"
        )
    samples = f", {each} posterior samples thinly" if each else ""
    return (
        f"<h2>{escape(section.title)}</h2><p>{escape(section.how_chosen)} Seen from above, the truth is filled, the "
        f"inference outlined in red{samples}; so are the cameras. The true one is at the bottom, drawn nearer than it "
        f'is.</p><div class="cards">{"".join(cards)}</div>'
    )


def _turned(item: SceneObject) -> str:
    if item.tilt_rad > UPRIGHT:
        return f", {100 * item.position_m[2]:.1f} cm up, tilted by {np.degrees(item.tilt_rad):.0f}\u00b0"
    round_ = get_kind(item.kind).symmetry.continuous_yaw
    return "" if round_ else f", yaw {np.degrees(item.yaw_rad) % 360.0:.0f}\u00b0"


def _words(scene: Scene, with_camera: bool) -> str:
    items = [f"{o.kind} at ({100 * o.x_m:+.1f}, {100 * o.y_m:+.1f}) cm" + _turned(o) for o in scene.objects]
    camera = scene.camera
    seen = (
        f"; camera azimuth {np.degrees(camera.azimuth_rad) % 360.0:.1f}\u00b0, elevation "
        f"{np.degrees(camera.elevation_rad):.1f}\u00b0, distance {100 * camera.distance_m:.1f} cm"
    )
    return ("; ".join(items) or "an empty table") + (seen if with_camera else "")
