"""Named priors: whatever the number of objects, they find places and the table is in view."""

import math
from typing import Any

import numpy as np
import pytest

from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Table


@pytest.mark.parametrize("most", [0, 1, 3])
def test_up_to_three_objects_stand_on_the_default_table(most: int) -> None:
    prior = tabletop_prior(max_objects=most)
    assert prior == PriorConfig(max_objects=most)


@pytest.mark.parametrize("most", [4, 6, 16])
def test_more_objects_find_places_even_the_largest(most: int) -> None:
    prior = tabletop_prior(("pan", "plate"), most, most, perturb=True)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(most), 2 + 60 // most)
    assert scenes.present.all()
    assert np.isfinite(ScenePrior(prior).log_prob(scenes)).all()


@pytest.mark.parametrize("most", range(17))
def test_the_whole_table_is_in_view(most: int) -> None:
    """A ball around the table is inside the field of view of the nearest camera."""
    prior = tabletop_prior(CROCKERY, 0, most)
    assert prior.camera.distance_m[0] * math.sin(prior.camera.fovy_rad[0] / 2.0) >= prior.table.radius_m
    assert prior.table.radius_m - prior.table.place_radius_m == pytest.approx(Table().radius_m - Table().place_radius_m)


@pytest.mark.parametrize("shape,aspect", [("rectangle", 1.5), ("square", 1.0)])
@pytest.mark.parametrize("objects", [3, 6])
def test_a_table_with_corners_has_as_much_room_as_the_round_one(shape: Any, aspect: float, objects: int) -> None:
    plain, made = tabletop_prior(max_objects=objects), tabletop_prior(max_objects=objects, table=shape)
    (x, y), (top_x, top_y) = made.table.place.half_extents_m, made.table.top.half_extents_m
    assert x / y == pytest.approx(aspect) and top_x / top_y == pytest.approx(aspect)
    assert 4.0 * x * y == pytest.approx(math.pi * plain.table.place_radius_m**2)
    assert top_y - y == pytest.approx(plain.table.radius_m - plain.table.place_radius_m)
    near = made.camera.distance_m[0] / plain.camera.distance_m[0]
    assert near == pytest.approx(math.hypot(top_x, top_y) / plain.table.radius_m)
