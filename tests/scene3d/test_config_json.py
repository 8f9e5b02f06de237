"""Configs as JSON: exact, complete and strict."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.config_json import ADDED, LATER, config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import Perturbation, PriorConfig
from air3d.scene3d.scene import Light, Table


@dataclass(frozen=True)
class Inner:
    flag: bool = True
    pair: tuple[int, float] = (1, 2.0)


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    count: int = 3
    rate: float = 0.5
    mode: Literal["fast", "slow"] = "fast"
    limit: float | None = None
    inners: tuple[Inner, ...] = (Inner(), Inner(flag=False))
    table: dict[str, float] = field(default_factory=lambda: {"x": 1.0})


def ranges(low: float, high: float) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(lambda r: (min(r), max(r)))


priors = st.builds(
    PriorConfig,
    kinds=st.lists(st.sampled_from(sorted(CATALOG)), min_size=1, unique=True).map(tuple),
    min_objects=st.integers(0, 2),
    max_objects=st.integers(2, 16),
    table=st.builds(Table, radius_m=st.floats(0.3, 5.0), place_radius_m=st.floats(0.01, 0.3)),
    camera=st.builds(
        CameraPrior,
        azimuth_rad=ranges(-3.0, 3.0),
        elevation_rad=ranges(-1.5, 1.5),
        distance_m=ranges(0.1, 9.0),
        fovy_rad=ranges(0.1, 2.0),
    ),
    light=st.builds(Light, diffuse=st.floats(0.0, 2.0)),
    perturb=st.builds(Perturbation, scale=st.floats(0.0, 0.5), colour=st.floats(0.0, 1.0)),
    gap_m=st.floats(0.0, 1.0),
    max_tries=st.integers(1, 10_000_000),
)


@settings(max_examples=50)
@given(priors)
def test_priors_round_trip_through_text(prior: PriorConfig) -> None:
    text = json.dumps(config_to_dict(prior), allow_nan=False)
    assert config_from_dict(PriorConfig, json.loads(text), "prior") == prior


def test_every_kind_of_field_round_trips() -> None:
    for value in (Outer(), Outer(limit=2.5, inners=(), table={}, mode="slow", rate=5e-324)):
        data = config_to_dict(value)
        assert config_from_dict(Outer, json.loads(json.dumps(data)), "outer") == value
    assert config_to_dict(Outer())["inners"] == [{"flag": True, "pair": [1, 2.0]}, {"flag": False, "pair": [1, 2.0]}]
    fixed = CameraPrior.fixed(Orbit())
    assert config_from_dict(CameraPrior, config_to_dict(fixed), "camera") == fixed


def test_whole_numbers_may_stand_for_floats() -> None:
    back = config_from_dict(Outer, config_to_dict(Outer()) | {"rate": 2}, "outer")
    assert back.rate == 2.0 and isinstance(back.rate, float)


WRONG: list[tuple[tuple[Any, ...], object]] = [
    (("count",), "3"),
    (("count",), 3.0),
    (("count",), True),
    (("count",), None),
    (("rate",), "0.5"),
    (("rate",), False),
    (("rate",), 10**400),
    (("rate",), [0.5]),
    (("name",), 3),
    (("name",), None),
    (("mode",), "medium"),
    (("limit",), "none"),
    (("inners",), {"0": {}}),
    (("inners",), "ab"),
    (("inners", 1), 3),
    (("inners", 1, "flag"), "false"),
    (("inners", 1, "flag"), 0),
    (("inners", 0, "pair"), [1]),
    (("inners", 0, "pair"), [1, 2.0, 3.0]),
    (("inners", 0, "pair"), ["1", 2.0]),
    (("inners", 0, "pair"), 1),
    (("table",), [1.0]),
    (("table", "x"), "1"),
]


def edited(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    data = config_to_dict(Outer())
    owner: Any = data
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    return data


@pytest.mark.parametrize("path, value", WRONG, ids=str)
def test_values_of_another_type_are_refused_not_converted(path: tuple[Any, ...], value: object) -> None:
    with pytest.raises(InputError) as caught:
        config_from_dict(Outer, edited(path, value), "file.json")
    message = str(caught.value)
    assert message.startswith("file.json: ") and str(path[0]) in message
    assert "\n" not in message and len(message) < 300


@pytest.mark.parametrize("path", [("count",), ("table",), ("limit",), ("inners", 0, "flag"), ("inners", 1, "pair")])
def test_missing_fields_are_not_replaced_by_defaults(path: tuple[Any, ...]) -> None:
    data = copy.deepcopy(config_to_dict(Outer()))
    owner: Any = data
    for key in path[:-1]:
        owner = owner[key]
    del owner[path[-1]]
    with pytest.raises(InputError, match=rf"^file.json: .*field '{path[-1]}' is missing$"):
        config_from_dict(Outer, data, "file.json")


@pytest.mark.parametrize("path", [("colour",), ("inners", 1, "colour")])
def test_unknown_fields(path: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match=r"^file.json: .*unknown field 'colour'; known fields are"):
        config_from_dict(Outer, edited(path, 1), "file.json")


def test_the_place_and_the_owners_own_message_are_kept() -> None:
    data = config_to_dict(PriorConfig())
    data["camera"]["azimuth_rad"] = [0.0, "1"]
    with pytest.raises(InputError, match=r"^m: camera.azimuth_rad: must be a number, not '1'$"):
        config_from_dict(PriorConfig, data, "m")
    with pytest.raises(InputError, match=r"gap_m is nan; it must be a finite number from 0 to 1$"):
        config_from_dict(PriorConfig, config_to_dict(PriorConfig()) | {"gap_m": math.nan}, "m")
    with pytest.raises(InputError, match=r"unknown kind 'cup'"):
        config_from_dict(PriorConfig, config_to_dict(PriorConfig()) | {"kinds": ["cup"]}, "m")


@pytest.mark.parametrize("data", [None, [], "x", 3, True, [config_to_dict(Outer())]], ids=str)
def test_a_config_is_an_object(data: object) -> None:
    with pytest.raises(InputError, match=r"^file.json: expected a JSON object, found \w+$"):
        config_from_dict(Outer, data, "file.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@settings(max_examples=200)
@given(st.sampled_from(sorted(config_to_dict(PriorConfig()))), json_values)
def test_a_prior_with_one_field_changed_is_read_or_refused(name: str, value: object) -> None:
    message = "one line"
    try:
        config_from_dict(PriorConfig, config_to_dict(PriorConfig()) | {name: value}, "m")
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


@dataclass(frozen=True)
class Grown:
    first: int = 1
    later: tuple[int, ...] = field(default=(), metadata=ADDED)
    last: str = field(default="as ever", metadata=LATER)


def test_a_field_that_was_added_later_has_its_default_in_older_files() -> None:
    assert config_from_dict(Grown, {"first": 2}, "file.json") == Grown(2)
    assert config_to_dict(Grown()) == {"first": 1, "later": []}, "and is not written there where it came last"
    assert config_to_dict(Grown(last="new")) == {"first": 1, "later": [], "last": "new"}
    assert config_from_dict(Grown, {"first": 1, "last": "new"}, "file.json") == Grown(last="new")
    assert config_from_dict(Grown, {"first": 2, "later": [3]}, "file.json") == Grown(2, (3,))
    with pytest.raises(InputError, match="field 'first' is missing"):
        config_from_dict(Grown, {"later": [3]}, "file.json")
