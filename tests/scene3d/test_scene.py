"""Scenes refuse what they cannot mean, in one line that names the field and the value."""

from __future__ import annotations

import cmath
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Light, Scene, SceneObject, Table
from air3d.scene3d.scene_json import scene_from_json, scene_to_json

BAD_NUMBERS: dict[str, object] = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "bool": True,
    "text": "1",
    "none": None,
    "complex": 1j,
    "tuple": (1.0,),
    "int beyond float": 10**400,
    "int beyond print": 10**5000,
}
# Class, arguments that make a valid one, and for each field the ends of its range.
PARTS: list[tuple[type, dict[str, Any], dict[str, tuple[float, float]]]] = [
    (Table, {}, {"radius_m": (0.2, 10.0), "place_radius_m": (0.001, 0.32)}),
    (
        Orbit,
        {},
        {
            "azimuth_rad": (-100.0, 100.0),
            "elevation_rad": (-math.pi / 2, math.pi / 2),
            "distance_m": (0.05, 1000.0),
            "fovy_rad": (math.radians(0.1), math.radians(170.0)),
            "roll_rad": (-100.0, 100.0),
            "fx_over_fy": (0.01, 100.0),
        },
    ),
    (
        Light,
        {},
        {
            "azimuth_rad": (-100.0, 100.0),
            "elevation_rad": (0.0, math.pi / 2),
            "diffuse": (0.0, 2.0),
            "ambient": (0.0, 2.0),
        },
    ),
    (
        SceneObject.upright,
        {"kind": "mug", "x_m": 0.0, "y_m": 0.0},
        {"x_m": (-1000.0, 1000.0), "y_m": (-1000.0, 1000.0), "yaw_rad": (-100.0, 100.0), "scale": (0.01, 10.0)},
    ),
]
FIELDS = [(cls, base, name, span) for cls, base, ranges in PARTS for name, span in ranges.items()]
IDS = [f"{cls.__qualname__}.{name}" for cls, _, name, _ in FIELDS]


@pytest.mark.parametrize("cls, base, name, span", FIELDS, ids=IDS)
def test_ranges_are_closed_and_nothing_beyond_is_accepted(
    cls: Any, base: dict[str, Any], name: str, span: tuple[float, float]
) -> None:
    low, high = span
    for value in span:
        made = getattr(cls(**base | {name: value}), name)
        # An object has a rotation, which knows no full turns.
        assert made == value if name != "yaw_rad" else cmath.exp(1j * made) == pytest.approx(cmath.exp(1j * value))
    for value in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf)):
        if cls is Table and name == "radius_m" and value < low:
            continue  # its lower end is the other field's upper one
        with pytest.raises(InputError, match=name):
            cls(**base | {name: value})


@pytest.mark.parametrize("cls, base, name, span", FIELDS, ids=IDS)
@pytest.mark.parametrize("bad", BAD_NUMBERS)
def test_what_is_no_finite_number_is_refused(
    cls: Any, base: dict[str, Any], name: str, span: tuple[float, float], bad: str
) -> None:
    value = BAD_NUMBERS[bad]
    with pytest.raises(InputError) as caught:
        cls(**base | {name: value})
    message = str(caught.value)
    assert name in message and shown(value) in message
    assert "\n" not in message and len(message) < 300


@pytest.mark.parametrize("value", [(0.0, 0.0), (0.0, 0.0, math.nan), (0.0, 0.0, "0"), [0.0, 0.0], 0.0, None])
def test_look_at_holds_three_numbers(value: Any) -> None:
    with pytest.raises(InputError, match="camera: look_at_m"):
        Orbit(look_at_m=value)


@pytest.mark.parametrize("value", [(0.0, 0.0), (0.0, 0.0, 1.1), (-0.1, 0.0, 0.0), "red", (True, 0.0, 0.0)])
def test_colour_holds_three_channels(value: Any) -> None:
    with pytest.raises(InputError, match="object 'mug': colour"):
        SceneObject.upright("mug", 0.0, 0.0, colour=value)


def test_objects_lie_on_the_table() -> None:
    with pytest.raises(InputError, match=r"table: place_radius_m is 0.5; it must be a finite number from 0.001 to 0.4"):
        Table(radius_m=0.4, place_radius_m=0.5)


def test_unknown_kind_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match="unknown kind 'mugg': did you mean 'mug'\\? known kinds are mug, plate"):
        SceneObject.upright("mugg", 0.0, 0.0)
    with pytest.raises(InputError, match="object: kind must be a name, not 3"):
        SceneObject.upright(3, 0.0, 0.0)  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        SceneObject.upright("two\nlines" * 10_000, 0.0, 0.0)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_everything_is_frozen() -> None:
    for part in (Scene(), Scene().camera, Scene().table, Scene().light, SceneObject.upright("mug", 0.0, 0.0)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, dataclasses.fields(part)[0].name, None)


def test_colour_defaults_to_the_catalogs() -> None:
    assert SceneObject.upright("plate", 0.0, 0.0).rgb == CATALOG["plate"].colour
    assert SceneObject.upright("plate", 0.0, 0.0, colour=(0.0, 0.5, 1.0)).rgb == (0.0, 0.5, 1.0)


def test_the_default_camera_sees_the_whole_table() -> None:
    # A sphere of radius r seen from distance d fills the angle 2 asin(r / d).
    camera, table = Orbit(), Table()
    assert 2.0 * math.asin(table.radius_m / camera.distance_m) <= camera.fovy_rad


def test_shown_fits_on_a_line() -> None:
    wide = {chr(i) * 90: "\U00018d09" * 90 for i in range(1000)}
    for value in (
        wide,
        "x" * 10**6,
        [[[[[[[[[[0]]]]]]]]]],
        {"a\nb": 1},
        10**5000,
        -(10**5000),
        "a\nb\u2028c",
        object(),
    ):
        assert len(shown(value)) < 200 and len(shown(value).splitlines()) == 1


def test_shown_keeps_ordinary_values_whole() -> None:
    for value in (0.1 + 0.2, -5, "mug", None, (-3.141592653589793, 3.141592653589793)):
        assert shown(value) == repr(value)


def test_numbers_and_vectors_of_every_library() -> None:
    """They are kept as Python's own: scenes stay equal, hashable and exact in JSON."""
    plain = SceneObject.upright("mug", 0.5, -0.25, 2.0, 1.5, (0.0, 0.5, 1.0))
    for number in (np.float32, np.float64, np.array, torch.tensor, lambda v: np.array([v])[0]):
        vector = number([0.0, 0.5, 1.0]) if number in (np.array, torch.tensor) else [number(v) for v in (0.0, 0.5, 1.0)]
        found = SceneObject.upright("mug", number(0.5), number(-0.25), number(2.0), number(1.5), vector)
        assert found == plain and hash(found) == hash(plain)
        assert type(found.x_m) is float and type(found.colour) is tuple
        scene = Scene([found], Orbit(look_at_m=vector, distance_m=number(1.0)))  # type: ignore[arg-type]
        assert scene_from_json(scene_to_json(scene)) == scene
        assert scene.camera.look_at_m == (0.0, 0.5, 1.0)
    assert SceneObject.upright("mug", np.int64(0), np.uint8(0)).x_m == 0  # type: ignore[arg-type]
    for bad in (np.bool_(True), np.float32("nan"), np.array([0.1]), torch.tensor(float("inf")), ..., "0.1", 1j):
        with pytest.raises(InputError, match="x_m"):
            SceneObject.upright("mug", bad, 0.0)  # type: ignore[arg-type]


def test_a_scene_of_one_object_or_of_any_iterable() -> None:
    item = SceneObject.upright("mug", 0.0, 0.0)
    for objects in (item, [item], (item,), iter([item]), (one for one in [item])):
        assert Scene(objects).objects == (item,)  # type: ignore[arg-type]
    assert Scene(()).objects == Scene([]).objects == ()  # type: ignore[arg-type]
    for bad in (None, "mug", 3, {"mug": item}, ...):
        with pytest.raises(InputError, match="scene: objects is "):
            Scene(bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one of the objects is 'mug'; give a SceneObject"):
        Scene(["mug"])  # type: ignore[arg-type, list-item]
    for name, kind in (("camera", "Orbit"), ("table", "Table"), ("light", "Light")):
        with pytest.raises(InputError, match=f"scene: {name} is None; give a {kind}"):
            Scene(**{name: None})  # type: ignore[arg-type]
