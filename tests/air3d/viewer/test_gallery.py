"""What is listed, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene, SceneObject
from air3d.viewer.gallery import ORDERS, Entry, Filter, Gallery, pixel_rmse


def names(gallery: Gallery, chosen: Filter | None = None, order: str = "number") -> list[str]:
    return [gallery.entries[i].name for i in gallery.select(chosen or Filter(), order)]  # type: ignore[arg-type]


def test_the_worst_scene_comes_first(gallery: Gallery) -> None:
    assert names(gallery, order="scene") == ["count", "kind", "far", "near", "empty"]


@pytest.mark.parametrize(
    "order,first",
    [("position", "far"), ("rotation", "near"), ("camera", "far"), ("pixels", "count"), ("number", "near")],
)
def test_each_order_has_its_own_first(gallery: Gallery, order: str, first: str) -> None:
    assert names(gallery, order=order)[0] == first


@pytest.mark.parametrize("order", list(ORDERS))
def test_no_order_loses_a_scene(gallery: Gallery, order: str) -> None:
    assert sorted(names(gallery, order=order)) == sorted(entry.name for entry in gallery.entries)


def test_what_has_no_error_comes_last(gallery: Gallery) -> None:
    mixed = Gallery((Entry("unknown", gallery.entries[0].image), *gallery.entries))
    for order in ORDERS:
        if order != "number":
            assert names(mixed, order=order)[-1] == "unknown"


def test_filters_by_the_true_count_and_kind(gallery: Gallery) -> None:
    assert names(gallery, Filter(count=1)) == ["near", "count"]
    assert names(gallery, Filter(kind="plate")) == ["kind", "count"]
    assert names(gallery, Filter(count=2, kind="plate")) == ["kind"]
    assert names(gallery, Filter(count=0)) == ["empty"]
    assert names(gallery, Filter(kind="bowl")) == [], "a bowl was only inferred"


def test_without_a_truth_the_answer_is_filtered(gallery: Gallery) -> None:
    image = gallery.entries[0].image
    alone = Gallery(
        (Entry("mine", image, inferred=Scene((SceneObject.upright("bowl", 0.0, 0.0),))), Entry("bare", image))
    )
    assert names(alone, Filter(kind="bowl")) == ["mine"]
    assert names(alone) == ["mine", "bare"]


def test_the_offered_counts_and_kinds_are_those_that_occur(gallery: Gallery) -> None:
    assert gallery.counts == (0, 1, 2)
    assert gallery.kinds == ("mug", "plate")


def test_variants_are_listed_as_their_family(gallery: Gallery) -> None:
    image = gallery.entries[0].image
    kinds = ("mug~0", "mug", "bowl~1")
    many = Gallery(tuple(Entry(kind, image, Scene((SceneObject.upright(kind, 0.0, 0.0),))) for kind in kinds))
    assert many.kinds == ("mug", "bowl")
    assert names(many, Filter(kind="mug")) == ["mug~0", "mug"]
    assert names(many, Filter(kind="bowl")) == ["bowl~1"]


def test_the_pixel_error_is_a_root_mean_square() -> None:
    image, render = np.zeros((2, 2, 3), dtype=np.uint8), np.zeros((2, 2, 3), dtype=np.uint8)
    render[0, 0] = 255  # a quarter of the pixels is off by 1
    assert pixel_rmse(image, render) == pytest.approx(0.5)
    assert pixel_rmse(render, image) == pytest.approx(0.5), "no wrapping of bytes"


def test_bad_values_are_refused(gallery: Gallery) -> None:
    with pytest.raises(InputError, match="count is -1"):
        Filter(count=-1)
    with pytest.raises(InputError, match="order is 'best'"):
        gallery.select(Filter(), "best")  # type: ignore[arg-type]
