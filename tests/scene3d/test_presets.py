"""Named priors: whatever the number of objects, they find places and the table is in view."""

import math
from typing import Any

import numpy as np
import pytest

from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Table
from air3d.scene3d.solids import solids


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


@pytest.mark.parametrize("pose", ["upright", "resting", "free", "settled"])
def test_in_a_bin_nothing_stands_in_the_walls_and_all_of_it_is_in_view(pose: Any) -> None:
    prior = tabletop_prior(("pan", "mug"), 3, 3, perturb=True, table="bin", pose=pose)
    half = prior.table.top.half_extents_m[0]
    for seed in range(6):
        scene = ScenePrior(prior).sample(np.random.default_rng(seed))
        for item in scene.objects:
            frame = item.frame()
            points = item.scale * solids(item.kind).points_m() @ frame[:3, :3].T + frame[:3, 3]
            assert abs(points[points[:, 2] < 0.08, :2]).max(initial=0.0) < half + 1e-3
        camera = scene.camera.sized(64, 64)
        corners = np.array([[x, y, 0.08] for x in (-1.05, 1.05) for y in (-1.05, 1.05)]) * (half, half, 1.0)
        assert (abs(camera.project(corners)[0] - 31.5) < 32.0).all()


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
