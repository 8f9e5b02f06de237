"""The padded form of many scenes holds what the scenes hold, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Cloth, Lamp, Light, Scene, SceneObject, Table
from air3d.scene3d.textures import TEXTURES
from tests.quaternions import rotations

KINDS = tuple(CATALOG)
unit = st.floats(0.0, 1.0)
# Less blue than any catalog colour, because unpacking writes those as None.
colours = st.tuples(unit, unit, st.floats(0.0, 0.01))
objects = st.builds(
    SceneObject,
    kind=st.sampled_from(KINDS),
    position_m=st.tuples(*[st.floats(-1, 1)] * 3),
    rotation_wxyz=rotations(),
    scale=st.floats(0.5, 2),
    colour=st.none() | colours,
    texture=st.none() | st.sampled_from(TEXTURES),
)
scenes = st.builds(
    Scene,
    objects=st.lists(objects, max_size=3).map(tuple),
    camera=st.builds(Orbit, azimuth_rad=st.floats(-3, 3), look_at_m=st.tuples(unit, unit, unit)),
    light=st.builds(
        Light,
        diffuse=unit,
        ambient=unit,
        lamps=st.lists(st.builds(Lamp, unit, unit, st.floats(0.1, 2)), max_size=3).map(tuple),
    ),
    table=st.just(Table(0.4, 0.3)),
    cloth=st.none() | st.builds(Cloth, colours, st.sampled_from(TEXTURES)),
)

ONE = Scene(
    (
        SceneObject.upright("mug", 0.1, 0.2, 0.3, 1.5),
        SceneObject("cube", (-0.1, -0.2, 0.3), (0.5, 0.5, -0.5, 0.5), 0.5, (0.1, 0.2, 0.3), "dots-5"),
    ),
    camera=Orbit(0.1, 0.2, 0.3, (0.4, 0.5, 0.6), 0.7),
    light=Light(0.8, 0.9, 1.0, 1.1, (Lamp(0.2, 0.3, 0.4),)),
    cloth=Cloth((0.3, 0.2, 0.1), "plain"),
)
TWO = Scene((SceneObject.upright("plate", 0.0, 0.1),))


@settings(max_examples=60)
@given(st.lists(scenes, min_size=1, max_size=4), st.integers(0, 3))
def test_round_trip(many: list[Scene], extra: int) -> None:
    assert SceneBatch.from_scenes(many).to_scenes() == many
    slots = max(len(scene.objects) for scene in many) + extra
    batch = SceneBatch.from_scenes(many, KINDS, slots)
    assert (len(batch), batch.slots, batch.kinds) == (len(many), slots, KINDS)
    assert batch.to_scenes() == many
    assert batch.present.sum(axis=1).tolist() == [len(scene.objects) for scene in many]


def test_every_value_stands_in_its_place() -> None:
    batch = SceneBatch.from_scenes([ONE, TWO], ("plate", "cube", "mug"), 3)
    c, s = math.cos(0.15), math.sin(0.15)
    assert batch.kind.tolist() == [[2, 1, ABSENT], [0, ABSENT, ABSENT]] and batch.kind.dtype == np.int64
    assert batch.position_m[0, :2].tolist() == [[0.1, 0.2, 0.0], [-0.1, -0.2, 0.3]]
    assert batch.rotation_wxyz[0].tolist() == [[c, 0.0, 0.0, s], [0.5, 0.5, -0.5, 0.5], [1.0, 0.0, 0.0, 0.0]]
    assert batch.yaw_rad[0] == pytest.approx([0.3, math.pi / 2, 0.0], abs=1e-15)
    assert batch.tilt_rad[0] == pytest.approx([0.0, math.pi / 2, 0.0], abs=1e-15)
    assert batch.scale[0, :2].tolist() == [1.5, 0.5]
    assert batch.scale[1, 1:].tolist() == [1.0, 1.0]
    assert batch.colour[0, :2].tolist() == [list(CATALOG["mug"].colour), [0.1, 0.2, 0.3]]
    camera = [batch.camera_azimuth_rad, batch.camera_elevation_rad, batch.camera_distance_m, batch.camera_fovy_rad]
    assert [float(a[0]) for a in camera] == [0.1, 0.2, 0.3, 0.7]
    assert batch.camera_look_at_m[0].tolist() == [0.4, 0.5, 0.6]
    light = [batch.light_azimuth_rad, batch.light_elevation_rad, batch.light_diffuse, batch.light_ambient]
    assert [float(a[0]) for a in light] == [0.8, 0.9, 1.0, 1.1]
    assert batch.lamps.tolist() == [[[0.2, 0.3, 0.4], [0.0] * 3, [0.0] * 3], [[0.0] * 3] * 3]
    assert batch.texture.tolist() == [[ABSENT, TEXTURES.index("dots-5"), ABSENT], [ABSENT] * 3]
    assert batch.cloth_texture.tolist() == [0, ABSENT] and batch.cloth_colour[0].tolist() == [0.3, 0.2, 0.1]
    assert batch.varied and not batch[1:].varied
    assert float(batch.camera_distance_m[1]) == TWO.camera.distance_m
    assert batch.present.tolist() == [[True, True, False], [True, False, False]]


def test_defaults_are_the_kinds_that_occur_and_at_least_one_slot() -> None:
    batch = SceneBatch.from_scenes([ONE, TWO])
    assert batch.kinds == ("cube", "mug", "plate") and batch.slots == 2
    empty = SceneBatch.from_scenes([Scene()])
    assert empty.kinds == () and empty.slots == 1 and not empty.present.any()
    assert empty.to_scenes() == [Scene()]


def test_catalog_colours_unpack_as_none() -> None:
    painted = Scene((SceneObject.upright("mug", 0.0, 0.0, colour=CATALOG["mug"].colour),))
    assert SceneBatch.from_scenes([painted]).to_scenes()[0].objects[0].colour is None


def test_holes_between_objects_are_skipped() -> None:
    batch = SceneBatch.from_scenes([ONE], KINDS, 2)
    gap = replace(batch, kind=np.array([[ABSENT, KINDS.index("cube")]]))
    assert gap.to_scenes()[0].objects == (ONE.objects[1],)


def test_indexing_selects_scenes() -> None:
    many = [replace(ONE, camera=Orbit(azimuth_rad=0.1 * i)) for i in range(6)]
    batch = SceneBatch.from_scenes(many)
    assert batch[1:4].to_scenes() == many[1:4]
    assert batch[::-1].to_scenes() == many[::-1]
    assert batch[np.array([5, 0, 0])].to_scenes() == [many[5], many[0], many[0]]
    assert batch[np.arange(6) % 2 == 0].to_scenes() == many[::2]
    assert len(batch[:0]) == 0 and batch[:0].slots == 2 and batch[:0].to_scenes() == []


def test_more_slots_change_nothing_but_the_padding() -> None:
    batch = SceneBatch.from_scenes([ONE, TWO])
    wider = batch.with_slots(5)
    assert wider.slots == 5 and wider.to_scenes() == [ONE, TWO]
    assert not wider.present[:, 2:].any() and (wider.scale[:, 2:] == 1.0).all()
    assert batch.with_slots(2) is batch
    with pytest.raises(InputError, match="2 slots do not fit into 1"):
        batch.with_slots(1)


def test_joining() -> None:
    a, b = SceneBatch.from_scenes([ONE], KINDS, 2), SceneBatch.from_scenes([TWO, ONE], KINDS, 2)
    assert SceneBatch.concatenate([a, b]).to_scenes() == [ONE, TWO, ONE]
    for other in (b.with_slots(3), SceneBatch.from_scenes([TWO], KINDS[::-1], 2), replace(b, table=Table(0.5))):
        with pytest.raises(InputError, match="cannot be joined"):
            SceneBatch.concatenate([a, other])
    with pytest.raises(InputError, match="no batches given"):
        SceneBatch.concatenate([])


def test_no_scene_at_all() -> None:
    for none in (SceneBatch.from_scenes([]), SceneBatch.from_scenes([TWO])[:0]):
        assert len(none) == 0 and none.slots == 1 and none.to_scenes() == []
        assert none.with_slots(3).slots == 3
        assert len(SceneBatch.concatenate([none, none])) == 0
    small = SceneBatch.from_scenes([], KINDS, 2, Table(0.5))
    assert (small.kinds, small.slots, small.table) == (KINDS, 2, Table(0.5))
    assert small.position_m.shape == (0, 2, 3) and small.camera_look_at_m.shape == (0, 3)


def test_a_batch_is_a_sequence_of_scenes() -> None:
    batch = SceneBatch.from_scenes(iter([ONE, TWO]), KINDS, 2)
    assert list(batch) == [ONE, TWO] == [batch[0], batch[np.int64(-1)]]
    assert SceneBatch.from_scenes(ONE).to_scenes() == [ONE]
    assert SceneBatch.from_scenes(batch, KINDS, 2).to_scenes() == [ONE, TWO]
    assert batch[[1, 0]].to_scenes() == [TWO, ONE] and batch[[]].to_scenes() == []  # type: ignore[call-overload]
    with pytest.raises(IndexError):
        batch[2]


def test_what_cannot_be_packed() -> None:
    for what in (None, 3, [ONE, None], "scene", {"a": ONE}):
        with pytest.raises(InputError, match="is no Scene; give a Scene, or several"):
            SceneBatch.from_scenes(what)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="different tables"):
        SceneBatch.from_scenes([ONE, replace(ONE, table=Table(0.5))])
    with pytest.raises(InputError, match="kind 'cube' is not among mug, plate"):
        SceneBatch.from_scenes([ONE], ("mug", "plate"))
    with pytest.raises(InputError, match="holds 2 objects, more than the 1 slots"):
        SceneBatch.from_scenes([TWO, ONE], slots=1)


WRONG_SHAPES: dict[str, tuple[int, ...]] = {
    "kind": (2,),
    "position_m": (2, 3, 2),
    "rotation_wxyz": (2, 3, 3),
    "scale": (3, 2),
    "colour": (2, 3),
    "camera_azimuth_rad": (2, 1),
    "camera_elevation_rad": (),
    "camera_distance_m": (3,),
    "camera_look_at_m": (2,),
    "camera_fovy_rad": (2, 3),
    "camera_roll_rad": (2, 1),
    "camera_shift": (2, 3),
    "camera_fx_over_fy": (1,),
    "light_azimuth_rad": (1,),
    "light_elevation_rad": (2, 2),
    "light_diffuse": (0,),
    "light_ambient": (2, 3),
}


@pytest.mark.parametrize("name", WRONG_SHAPES)
def test_wrong_shapes_are_named(name: str) -> None:
    batch = SceneBatch.from_scenes([ONE, TWO], slots=3)
    changed: dict[str, Any] = {name: np.zeros(WRONG_SHAPES[name], dtype=getattr(batch, name).dtype)}
    with pytest.raises(InputError, match=f"scene batch: {name} has shape"):
        replace(batch, **changed)


@pytest.mark.parametrize("bad", [(0.0,) * 4, (1.0, 0.002, 0.0, 0.0), (np.nan,) * 4, (0.9, 0.0, 0.0, 0.0)])
def test_rotations_are_unit_quaternions_where_there_are_objects(bad: tuple[float, ...]) -> None:
    batch = SceneBatch.from_scenes([ONE, TWO], slots=3)
    rotation = batch.rotation_wxyz.copy()
    rotation[0, 2] = bad
    assert replace(batch, rotation_wxyz=rotation).to_scenes() == [ONE, TWO]
    rotation[0, 1] = bad
    with pytest.raises(InputError, match="scene batch: rotation_wxyz holds something else than unit quaternions"):
        replace(batch, rotation_wxyz=rotation)


@pytest.mark.parametrize("index", [-2, 3, 2**40])
def test_kind_indices_beyond_the_kinds(index: int) -> None:
    batch = SceneBatch.from_scenes([ONE, TWO])
    with pytest.raises(InputError, match="kind indices must be -1 or below 3"):
        replace(batch, kind=np.where(batch.kind == 0, index, batch.kind))


def test_singles_are_scenes_of_one_object_each() -> None:
    batch = SceneBatch.from_scenes([ONE, replace(TWO, table=ONE.table)], KINDS, 3)
    found = batch.singles(np.array([1, 0, 0]), np.array([0, 1, 2]))
    mug, cube = ONE.objects
    assert found.slots == 1
    assert found.to_scenes() == [batch[1], replace(ONE, objects=(cube,)), replace(ONE, objects=())]
    rows, slots = np.nonzero(batch.present)
    assert [scene.objects for scene in batch.singles(rows, slots)] == [(mug,), (cube,), TWO.objects]
    assert len(batch.singles(rows[:0], slots[:0])) == 0
