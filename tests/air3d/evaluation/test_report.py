"""The report of several objects under a free camera, and the charts and tables in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from air3d.evaluation.charts import curve_svg, histogram_svg, learning_curves
from air3d.evaluation.evaluate import Evaluation, answer_metrics, draw_metrics
from air3d.evaluation.report import Section, write_report
from air3d.evaluation.tables import confusion_table
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.poses import on_table, turned, yawed
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.model import Hypotheses
from experiments import page as experiments_page

COUNT, DRAWS = 24, 3
OTHERS = {
    "elbo": -9.0, "iwae_bound": -8.0, "bound_samples": DRAWS, "images_without_bound": 7, "sigma": 0.1,
    "seconds_per_image": 0.004, "renders_per_image": 0, "renderer": "analytic",
}  # fmt: skip
ReadPage = Callable[[str], Any]


def evaluated(prior: PriorConfig) -> tuple[Any, SceneBatch, Evaluation, SceneBatch]:
    """Images, truth, an answer that misses the first object of every third scene, and posterior draws."""
    rng = np.random.default_rng(0)
    truth = ScenePrior(prior).sample_batch(rng, COUNT)

    def near(batch: SceneBatch) -> SceneBatch:
        place = batch.position_m[..., :2] + rng.normal(scale=0.004, size=(*batch.kind.shape, 2))
        return replace(batch, position_m=on_table(place), rotation_wxyz=yawed(batch.yaw_rad + 0.1))

    kind = truth.kind.copy()
    if truth.slots > 1:
        kind[::3, 0] = -1
    inferred = near(replace(truth, kind=kind, camera_azimuth_rad=truth.camera_azimuth_rad * 1.01))
    draws = near(truth[np.repeat(np.arange(COUNT), DRAWS)])
    with make_renderer(RenderConfig(truth.kinds, truth.table, truth.slots, 32, 32), "analytic") as renderer:
        images, renders = renderer.render(truth), renderer.render(inferred)
    metrics = answer_metrics(images, truth, inferred, renders) | OTHERS
    log_weight = torch.from_numpy(4.0 * rng.normal(size=(COUNT, DRAWS)))
    metrics |= draw_metrics(truth, Hypotheses(draws, log_weight, log_weight))
    mse = np.square((renders / 255.0) - images / 255.0).mean(axis=(1, 2, 3))
    return images, truth, Evaluation(metrics, inferred, renders, mse), draws


def test_the_report_of_several_objects(tmp_path: Path, read_page: ReadPage) -> None:
    images, truth, evaluation, draws = evaluated(tabletop_prior())
    sections = [Section("Some <scenes>", "The first & best.", [0, 1, 5]), Section("None", "", [])]
    log = [{"iteration": i, "squared_error": 10.0 / (i + 1), "entropy": 1.0} for i in range(5)]
    file = tmp_path / "new" / "report.html"
    write_report(file, "Title", images, truth, evaluation, sections, log, {"seed": "0"}, draws)
    text = file.read_text(encoding="utf-8")
    page = read_page(text)
    assert page.pictures == 3 * 3, "input, inferred and difference of each scene"
    charts = [label for label in page.labels if label.startswith("Histogram of ")]
    assert [label.split(":")[0].removeprefix("Histogram of ") for label in charts] == [
        "position error",
        "yaw error modulo symmetry",
        "camera azimuth error",
        "camera elevation error",
        "camera distance error",
    ]
    assert page.drawings == 3 + 5 + 2, "views from above, histograms, curves"
    assert "Some &lt;scenes&gt;" in text and "The first &amp; best." in text and "<h2>None" not in text
    missed, objects = int(truth.present[::3, 0].sum()), int(truth.present.sum())
    right = COUNT - missed  # of the counts: a scene loses one object at most
    assert f"number of objects right</th><td>{100 * right / COUNT:.1f} % ({right} of {COUNT})" in text
    azimuth = np.degrees(np.abs(0.01 * truth.camera_azimuth_rad))
    median, p90 = np.quantile(azimuth, [0.5, 0.9])
    assert f"camera azimuth error, median (p90)</th><td>{median:.2f}&deg; ({p90:.2f}&deg;)" in text
    assert f"{missed} of {objects} true objects have no inferred one" in text
    assert f"{objects - missed} of {objects})" in text, "what is missed is not right"
    mug = int((truth.kind == truth.kinds.index("mug")).sum())
    mug_missed = int((truth.kind[::3, 0] == truth.kinds.index("mug")).sum())
    assert f"<td>{mug}</td><td>{100 * (mug - mug_missed) / mug:.1f} % ({mug - mug_missed} of {mug})" in text
    assert "prefers-color-scheme:dark" in text and "viewport" in text
    assert text.count("stroke-opacity") == DRAWS * (3 + truth.present[[0, 1, 5]].sum()), "of cameras and objects"
    assert "90 % region covers" in text and "for kinds." in text
    assert "q's own 3 draws" in text and "3 weighted draws are worth" in text
    position = evaluation.metrics["calibration"]["position_m"]["coverage"]
    row = f"<td>{objects}</td>" + "".join(f"<td>{100 * position[level]:.1f} %</td>" for level in ("0.5", "0.8", "0.9"))
    assert f"position</th>{row}<td>-</td><td>-</td><td>-</td>" in text, "the weighted draws' is refused"
    assert "by the renderer 'analytic'" in text and "MuJoCo" not in text
    assert "training" not in text.lower(), "nothing is said of what training has seen, unless it is known"


def test_the_report_of_one_object_under_a_known_camera(tmp_path: Path, read_page: ReadPage) -> None:
    images, truth, evaluation, _ = evaluated(single_prior())
    sentence = "Training has not seen <these>."
    fixed = evaluation._replace(inferred=replace(evaluation.inferred, camera_azimuth_rad=truth.camera_azimuth_rad))
    write_report(
        tmp_path / "r.html", "Title", images, truth, fixed, [Section("All", "", range(2))], [], {}, unseen=sentence
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = read_page(text)
    assert (page.pictures, page.drawings) == (6, 2 + 2)
    assert "24 scenes. Training has not seen &lt;these&gt;. What" in text
    for absent in ("camera azimuth", "true \\ inferred", "number of objects", "Learning", "nan"):
        assert absent not in re.sub(r"<style>.*?</style>|data:[^\"]*", "", text, flags=re.DOTALL), absent
    assert "Calibration of the posterior" in text and "position</th>" in text


def test_nothing_inferred_is_a_page_too(tmp_path: Path, read_page: ReadPage) -> None:
    images, truth, evaluation, _ = evaluated(tabletop_prior())
    none = replace(evaluation.inferred, kind=np.full_like(truth.kind, -1))
    metrics = answer_metrics(images, truth, none, images) | OTHERS | {"elbo": None, "images_without_bound": 7}
    sections = [Section("All", "", range(2))]
    write_report(
        tmp_path / "r.html", "T", images, truth, evaluation._replace(metrics=metrics, inferred=none), sections, [], {}
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    read_page(text)
    assert "ELBO</th><td>-</td>" in text and "-8.0 nats" in text
    assert "images without an allowed sample, left out of both bounds</th><td>7</td>" in text


def test_histogram_bars_are_counts() -> None:
    values = np.array([0.1] * 6 + [1.0] * 3 + [1.9] * 90 + [2.0])  # the 98th percentile is 1.9
    figure = ElementTree.fromstring(histogram_svg(values, "error", "cm").replace("<br>", " "))
    bars = sorted((float(b.get("x") or 0), float(b.get("height") or 0)) for b in figure.iter("rect"))
    heights = [height for _, height in bars]
    assert [round(h / heights[-1], 3) for h in heights] == [round(6 / 90, 3), round(3 / 90, 3), 1.0]
    assert heights[-1] == 94.0, "the tallest fills the space above the labels"
    assert [int(x // 15) for x, _ in bars] == [1, 10, 19], "bins of 0.095 cm"
    words = "100 values, median 1.9 cm, 90 % below 1.9 cm; 1 above 1.9 cm not drawn"
    assert words in "".join(figure.itertext())
    (drawing,) = figure.iter("svg")
    assert drawing.get("aria-label") == f"Histogram of error: {words}"
    zeros = ElementTree.fromstring(histogram_svg(np.zeros(5), "error", "cm").replace("<br>", " "))
    assert len(list(zeros.iter("rect"))) == 1


def test_the_confusion_table_has_every_number_in_its_place() -> None:
    text = confusion_table({"true": [0, 1], "inferred": [0, 1, 2], "images": [[5, 0, 1], [2, 30, 0]]})
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    assert re.findall(r'scope="col">(\d)<', rows[0]) == ["0", "1", "2"]
    assert [re.findall(r">(\d+)</t[dh]>", row) for row in rows[1:]] == [["0", "5", "0", "1"], ["1", "2", "30", "0"]]
    assert re.findall(r"--share:([\d.]+)", rows[2]) == ["0.062", "0.938", "0.000"]


@pytest.mark.parametrize("log,panels", [([], 0), ([{"iteration": 0}], 0), ([{"iteration": 0, "entropy": 1.0}], 1)])
def test_curves_of_what_was_logged(log: list[dict[str, Any]], panels: int) -> None:
    assert learning_curves(log).count("<svg") == panels


def test_a_curve_runs_from_its_first_to_its_last_value() -> None:
    figure = ElementTree.fromstring(
        curve_svg([10, 20, 40], [100.0, 1.0, 10.0], "error", "cm", True).replace("<br>", " ")
    )
    (line,) = figure.iter("polyline")
    (x0, top), (x1, bottom), (x2, middle) = (map(float, p.split(",")) for p in (line.get("points") or "").split())
    assert (x0, x1, x2) == (0.0, 100.0, 300.0), "in proportion to the iterations"
    assert top < middle < bottom and abs(middle - (top + bottom) / 2.0) < 0.1, "10 lies half-way on a log scale"
    words = "".join(figure.itertext())
    assert "from 100 to 10 cm, logarithmic" in words and "iteration 40" in words
    assert "nan" not in curve_svg([1], [5.0], "error", "cm", False), "one value, no span"


def test_an_experiments_page_in_one_file(tmp_path: Path, read_page: ReadPage) -> None:
    Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8)).save(tmp_path / "figure.png")
    table = "| a | b |\n| --- | --- |\n| 1 | 2 < 3 |\n"
    text = f"# Of *one* thing\n\n- seed: `0`\n\n{table}\n![What is to be seen](figure.png)\n\n<b>no</b>\n"
    (tmp_path / "README.md").write_text(text)
    html = experiments_page.write_report(tmp_path).read_text()
    page = read_page(html)
    assert page.pictures == 1 and 'alt="What is to be seen"' in html
    assert "<title>Of one thing</title>" in html and "&lt;b&gt;no" in html and "2 &lt; 3</td>" in html
    assert "prefers-color-scheme:dark" in html and 'name="viewport"' in html
    assert html.count('<div class="scroll"><table>') == 1


def test_of_tilted_objects_the_angle_in_space_is_told(tmp_path: Path, read_page: ReadPage) -> None:
    """Half of the answers are turned by 30 degrees about the vertical, which of lying mugs is no yaw."""
    prior = tabletop_prior(("mug", "plate"), 1, 1, pose="resting")
    images, truth, evaluation, _ = evaluated(prior)
    turn = np.where(np.arange(COUNT) % 2, np.pi / 6.0, 0.0)[:, None]
    position, rotation = turned(truth.position_m, truth.rotation_wxyz, turn)
    inferred = replace(truth, position_m=position, rotation_wxyz=rotation)
    metrics = evaluation.metrics | answer_metrics(images, truth, inferred, evaluation.renders)
    file = tmp_path / "report.html"
    shown = evaluation._replace(metrics=metrics, inferred=inferred)
    write_report(file, "T", images, truth, shown, [Section("S", "", list(range(COUNT)))], [], {})
    text = file.read_text(encoding="utf-8")
    assert "rotation error modulo symmetry, median (p90)" in text and "yaw error" not in text
    assert "cm up, tilted by" in text
    mugs = metrics["per_kind"]["mug"]["rotation_error_rad"]
    assert mugs["p90"] == pytest.approx(np.pi / 6.0) and f"({np.degrees(mugs['p90']):.1f}" in text
    assert "any rotation looks the same" not in text, "a plate has an axis"
