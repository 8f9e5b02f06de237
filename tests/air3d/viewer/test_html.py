"""The page's texts: units, marks, pictures, and nothing that a file's name could break."""

from __future__ import annotations

import base64
import io
import math
import re

import numpy as np
from PIL import Image

from air3d.scene3d.scene import Scene, SceneObject
from air3d.viewer import html
from air3d.viewer.gallery import Entry, Gallery


def table(entry: Entry) -> str:
    return html.objects_table(entry.truth, entry.inferred, entry.errors, entry.presence)


def text(fragment: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", fragment).split())


def test_rows_tell_the_errors_with_their_units(gallery: Gallery) -> None:
    near, kind, count, empty, _ = gallery.entries
    assert text(table(near)) == "object position turn seen mug 1.0 cm 11.5° 100 %"
    assert "bowl, truly plate 0.0 cm" in text(table(kind))
    assert "mug not there 100 %" in text(table(count))
    assert text(table(empty)) == "An empty table."
    missed = html.objects_table(count.inferred, count.truth, None)
    assert "place turn" in text(missed), "without errors, places"


def test_a_missed_object_is_named(gallery: Gallery) -> None:
    from air3d.scene3d.batch import SceneBatch
    from air3d.viewer.scene_errors import scene_errors

    count = gallery.entries[2]
    assert count.truth is not None
    assert count.inferred is not None
    both, one = SceneBatch.from_scenes([count.inferred]), SceneBatch.from_scenes([count.truth])
    (errors,) = scene_errors(both, one)
    assert "mug missed" in text(html.objects_table(count.inferred, count.truth, errors))


def test_the_verdict(gallery: Gallery) -> None:
    near, _, count, _, far = gallery.entries
    assert "1 objects" not in text(html.verdict(near, near.errors, near.rmse))
    assert "count right, 1" in text(html.verdict(near, near.errors, near.rmse))
    assert "2 of 1 objects" in text(html.verdict(count, count.errors, count.rmse))
    assert "pixel error 0.200" in text(html.verdict(count, count.errors, count.rmse))
    assert "90.0° azimuth" in text(html.verdict(far, far.errors, far.rmse))
    bare = Entry("bare", near.image)
    assert "truth not known" in text(html.verdict(bare, None, None))


def test_labels_on_buttons_and_over_objects(gallery: Gallery) -> None:
    assert [html.row_label(entry) for entry in gallery.entries] == [
        "near · mug · 1.0 cm",
        "kind · mug, plate · wrong kind",
        "count · plate · sees 2",
        "empty · empty",
        "far · 2 mugs · 3.0 cm",
    ]
    crowd = Scene(tuple(SceneObject.upright(kind, 0.0, 0.0) for kind in ("teapot", "cylinder", "sphere", "cube")))
    label = html.row_label(Entry("scene 0", np.zeros((1, 1, 3), np.uint8), crowd))
    assert label == "scene 0 · teapot, cylinder, sphere, c…", "no longer than the button"
    near, kind, count, _, _ = gallery.entries
    assert html.object_labels(near.truth, near.inferred, near.errors) == ("mug: 1.0 cm, 11°",)
    assert html.object_labels(kind.truth, kind.inferred, kind.errors)[1] == "bowl, truly plate"
    assert html.object_labels(count.truth, count.inferred, count.errors)[1] == "mug: not there"
    assert html.object_labels(None, near.inferred, None) == ("mug",)
    assert html.object_labels(kind.truth, None, None) == ("mug", "plate")


def test_poses_in_words() -> None:
    """A yaw says nothing of how a tilted object lies."""
    assert html.pose_words(SceneObject.upright("mug", 0.1, -0.02, math.radians(-90.0))) == (
        "(10.0, -2.0) cm",
        "yaw 270°",
    )
    settled = SceneObject("mug", (0.1, 0.0, -0.0002), (math.cos(0.002), 0.0, math.sin(0.002), 0.0))
    assert html.pose_words(settled) == ("(10.0, 0.0) cm", "yaw 0°"), "what physics left a hair off upright"
    lying = SceneObject("mug", (0.1, 0.0, 0.04), (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0))
    assert html.pose_words(lying) == ("(10.0, 0.0, 4.0) cm", "tilted 90°")
    page = text(html.objects_table(Scene((lying,)), None, None))
    assert page == "object place turn mug (10.0, 0.0, 4.0) cm tilted 90°"


def test_variants_are_counted_as_their_family() -> None:
    mugs = Scene((SceneObject.upright("mug~0", 0.1, 0.0), SceneObject.upright("mug~1", -0.1, 0.0)))
    assert html.row_label(Entry("scene 0", np.zeros((1, 1, 3), np.uint8), mugs)) == "scene 0 · 2 mugs"
    assert "mug~0 (" in text(html.objects_table(mugs, None, None)), "without its digest"


def test_pictures_arrive_unchanged_and_are_described() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    page = html.pictures([("input", pixels)])
    (data,) = re.findall(r'alt="input" src="data:image/png;base64,([^"]+)"', page)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), pixels)


def test_the_difference_does_not_wrap() -> None:
    low, high = np.full((1, 1, 3), 10, dtype=np.uint8), np.full((1, 1, 3), 250, dtype=np.uint8)
    assert html.difference(low, high).max() == html.difference(high, low).min() == 240


def test_names_are_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>.png"
    for fragment in (
        html.heading("title", evil),
        html.heading(evil, "name"),
        html.pictures([(evil, np.zeros((1, 1, 3), np.uint8))]),
    ):
        assert "<img src=x" not in fragment


def test_the_summary_counts() -> None:
    assert text(html.summary(1, 0, 1)) == "1 scene with the largest position error of an object"
    assert text(html.summary(20, 1, 3)).startswith("20 scenes, page 2 of 3 ")
    assert text(html.summary(0, 0, 1)) == "No scene passes."
    assert text(html.summary(2, 0, 1, inferred=False)) == "2 scenes"


def test_the_legend_names_only_what_is_there() -> None:
    assert "truth" not in html.legend(False, True)
    assert "inference" not in html.legend(True, False)
