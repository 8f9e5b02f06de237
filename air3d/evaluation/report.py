"""`report.html`: one self-contained page with what was seen, what was inferred, and how well."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.evaluation.evaluate import Evaluation
from air3d.evaluation.top_view import top_view_svg
from air3d.pictures import encode_picture
from datasets.files import atomic_file
from scene3d.batch import SceneBatch
from scene3d.scene import Scene


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
) -> None:
    """Write the page.

    Args:
        images: (B, S, S, 3) uint8 inputs; truth: their scenes; evaluation: of the same images.
        sections: galleries.
        log: records of the training, for the curves; may be empty.
        facts: how the page was made (commands, seeds, versions), shown at the end.
    """
    galleries = "".join(_gallery(section, images, truth, evaluation) for section in sections)
    body = "".join(
        [
            f"<h1>{escape(title)}</h1>",
            f"<p>{_summary(evaluation.metrics)}</p>",
            "<h2>Measured on held-out scenes</h2>",
            _metrics_table(evaluation.metrics),
            galleries,
            f"<h2>Learning</h2>{_curves(log)}" if log else "",
            "<h2>How this page was made</h2>",
            "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items()) + "</dl>",
        ]
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(page.encode())


def _summary(metrics: dict[str, Any]) -> str:
    return (
        f"{metrics['num_images']} scenes that training has not seen. The network looks once at each image and emits "
        "kind, position and yaw; the scene is then rendered with MuJoCo for comparison."
    )


def _metrics_table(metrics: dict[str, Any]) -> str:
    titles = ("kind", "scenes", "kind right", "position error, median (p90)", "yaw error, median, modulo symmetry")
    head = "<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>"
    every = {**metrics, "objects": metrics["num_images"], "kind_accuracy": metrics["kinds_accuracy"]}
    rows = "".join(_metrics_row(name, row) for name, row in ({"all": every} | metrics["per_kind"]).items())
    rest = (
        f"<p>Mean squared pixel error {metrics['reconstruction_mse']:.5f} (pixel values 0 to 1). ELBO "
        f"{metrics['elbo']:.1f} nats and IWAE bound {metrics['iwae_bound']:.1f} nats with {metrics['bound_samples']} "
        f"samples at sigma {metrics['sigma']:g}. {1000 * metrics['seconds_per_image']:.2f} ms an image.</p>"
    )
    return f'<div class="scroll"><table>{head}{rows}</table></div>{rest}'


def _metrics_row(name: str, row: dict[str, Any]) -> str:
    position, yaw = row["position_error_m"], row["yaw_error_rad"]["median"]
    cells = [
        escape(name),
        str(row["objects"]),
        f"{100 * row['kind_accuracy']:.1f} %",
        f"{100 * position['median']:.2f} cm ({100 * position['p90']:.2f} cm)",
        "any yaw looks the same" if yaw is None else f"{np.degrees(yaw):.1f}&deg;",
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _gallery(section: Section, images: NDArray[np.uint8], truth: SceneBatch, evaluation: Evaluation) -> str:
    index = np.array(section.indices, dtype=np.int64)
    if not len(index):
        return ""
    true_scenes, inferred_scenes = truth[index].to_scenes(), evaluation.inferred[index].to_scenes()
    cards = []
    for i, true_scene, inferred in zip(index, true_scenes, inferred_scenes, strict=True):
        image, render = images[i], evaluation.renders[i]
        difference = np.abs(image.astype(np.int16) - render).astype(np.uint8)
        pictures = "".join(
            f'<figure><img src="{data_uri(picture)}" alt="{caption} of scene {i}">'
            f"<figcaption>{caption}</figcaption></figure>"
            for caption, picture in (("input", image), ("inferred", render), ("difference", difference))
        )
        seen = f"scene {i} from above: true {_words(true_scene)}; inferred {_words(inferred)}"
        top = top_view_svg(true_scene, inferred, seen)
        cards.append(
            f'<section class="card"><div class="row">{pictures}'
            f"<figure>{top}<figcaption>from above</figcaption></figure></div>"
            f"<p><b>#{i}</b> true {escape(_words(true_scene))}<br>inferred {escape(_words(inferred))}</p></section>"
        )
    return (
        f"<h2>{escape(section.title)}</h2><p>{escape(section.how_chosen)} Seen from above: the truth is outlined, "
        f'the inference filled; the line is the yaw.</p><div class="cards">{"".join(cards)}</div>'
    )


def _words(scene: Scene) -> str:
    items = [
        f"{o.kind} at ({100 * o.x_m:+.1f}, {100 * o.y_m:+.1f}) cm, yaw {np.degrees(o.yaw_rad):.0f} deg"
        for o in scene.objects
    ]
    return ", ".join(items) or "nothing"


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) uint8 as a PNG data URI."""
    return "data:image/png;base64," + base64.b64encode(encode_picture(pixels)).decode()


def _curves(log: Sequence[dict[str, Any]]) -> str:
    """Squared error, entropy and blur over iterations, as one inline PNG of two panels."""
    from matplotlib.figure import Figure

    x = [record["iteration"] for record in log]
    figure = Figure(figsize=(9, 3), dpi=110, layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2)
    for panel, key, label in (
        (panels[0], "squared_error", "squared error of samples (sum over pixels)"),
        (panels[1], "entropy", "entropy of q(z | x), nats"),
    ):
        panel.plot(x, [record[key] for record in log], linewidth=1)
        panel.set_xlabel("iteration")
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
    panels[0].set_yscale("log")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    alt = f"training curves: squared error from {log[0]['squared_error']:.1f} to {log[-1]['squared_error']:.1f}"
    return f'<img class="wide" src="{uri}" alt="{alt}">'


_STYLE = """
:root{color-scheme:light dark;--fg:#1c1d20;--bg:#fbfaf8;--card:#fff;--line:#d8d5cf;--wood:#c99b63}
@media(prefers-color-scheme:dark){:root{--fg:#e9e7e3;--bg:#17181b;--card:#212327;--line:#3a3d43;--wood:#7a5a35}}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:auto;padding:1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}
.scroll{overflow-x:auto}table{border-collapse:collapse}
td,th{padding:.3rem .8rem;border-bottom:1px solid var(--line);text-align:left}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(32rem,100%),1fr));gap:1rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.8rem}
.row{display:grid;grid-template-columns:repeat(4,1fr);gap:.5rem}
figure{margin:0}figcaption{font-size:.8rem;text-align:center;opacity:.75}
.row img,.top{width:100%;aspect-ratio:1;image-rendering:pixelated;border-radius:.3rem;display:block}
.wide{max-width:100%;border-radius:.4rem}.card p{font-size:.85rem;margin:.5rem 0 0}
.table{fill:var(--wood)}.place{fill:none;stroke:var(--line);stroke-width:.002;stroke-dasharray:.01}
.inferred{stroke:none;fill-opacity:.85}.truth{fill:none;stroke:var(--fg);stroke-width:.004}
.yaw{fill:none;stroke-width:.004}.yaw.inferred{stroke:#fff}.yaw.truth{stroke:var(--fg)}
dt{font-weight:600}dd{margin:0 0 .5rem;font-family:ui-monospace,monospace;font-size:.85rem;overflow-wrap:anywhere}
"""
