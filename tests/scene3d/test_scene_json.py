"""Scenes as JSON: exact, and strict towards everything else."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Light, Scene, SceneObject, Table
from air3d.scene3d.scene_json import (
    MAX_JSON_BYTES,
    MAX_OBJECTS,
    kinds_of,
    load_scene,
    parse_json,
    scene_from_dict,
    scene_from_json,
    scene_to_dict,
    scene_to_json,
)
from tests.quaternions import rotations


def any_orbit(far_m: float = 1.0) -> st.SearchStrategy[Orbit]:
    """Orbits of every kind; their lengths within some metres, or up to the largest."""
    away, share = st.floats(-far_m, far_m), st.floats(-3.0, 3.0)
    right = st.floats(-math.pi / 2, math.pi / 2) | st.sampled_from([-math.pi / 2, 0.0, math.pi / 2])
    return st.builds(
        Orbit,
        azimuth_rad=st.floats(-10.0, 10.0),
        elevation_rad=right,
        distance_m=st.floats(0.05, far_m),
        look_at_m=st.tuples(away, away, away),
        fovy_rad=st.floats(0.1, 2.5),
        roll_rad=st.just(0.0) | st.floats(-4.0, 4.0),
        shift=st.just((0.0, 0.0)) | st.tuples(share, share),
        fx_over_fy=st.just(1.0) | st.floats(0.2, 5.0),
    )


unit = st.floats(0.0, 1.0)
metres, angles = st.floats(-1000.0, 1000.0), st.floats(-100.0, 100.0)
objects = st.builds(
    SceneObject,
    kind=st.sampled_from(sorted(CATALOG)),
    position_m=st.tuples(metres, metres, metres),
    rotation_wxyz=rotations(),
    scale=st.floats(0.01, 10.0),
    colour=st.none() | st.tuples(unit, unit, unit),
)
scenes = st.builds(
    Scene,
    objects=st.lists(objects, max_size=4).map(tuple),
    camera=any_orbit(far_m=1000.0),
    table=st.builds(Table, radius_m=st.floats(0.5, 10.0), place_radius_m=st.floats(0.001, 0.5)),
    light=st.builds(
        Light,
        azimuth_rad=angles,
        elevation_rad=st.floats(0.0, 1.57),
        diffuse=st.floats(0.0, 2.0),
        ambient=st.floats(0.0, 2.0),
    ),
)
huge = st.integers(300, 4000).map(lambda digits: 10**digits)
json_leaves = st.none() | st.booleans() | st.integers() | huge | st.floats() | st.text()
json_values = st.recursive(json_leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def bits(value: Any) -> Any:
    """Every float as its eight bytes, so that -0.0 and the last bit count."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return [bits(item) for item in value] if isinstance(value, (list, tuple)) else value


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside nested dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [p for key, item in items for p in paths(item, (*path, key))]


def replaced(data: Any, path: tuple[Any, ...], value: object) -> Any:
    """A deep copy of `data` with another value at `path`."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = replaced(data[path[0]], path[1:], value)
    return copy


SCENE = Scene(
    (SceneObject.upright("mug", 0.1, -0.0, 5e-324, colour=(0.0, 0.5, 1.0)), SceneObject.upright("cube", 1e-308, 1 / 3))
)
GOOD = scene_to_dict(SCENE)
PATHS = paths(GOOD)


@given(scenes, st.sampled_from([None, 2]))
def test_round_trip_keeps_every_bit(scene: Scene, indent: int | None) -> None:
    back = scene_from_json(scene_to_json(scene, indent))
    assert back == scene
    assert bits(scene_to_dict(back)) == bits(scene_to_dict(scene))


def test_the_text_is_plain_json_with_a_schema() -> None:
    data = json.loads(scene_to_json(SCENE))
    assert data["schema"] == "air3d-scene/2"
    assert set(data) == {"schema", "table", "camera", "light", "objects"}
    assert set(data["objects"][0]) == {"kind", "position_m", "rotation_wxyz", "scale", "colour"}
    numbers = {"fx", "fy", "cx", "cy", "width", "height", "position_m", "rotation_wxyz"}
    assert set(data["camera"]) == numbers | {"orbit"}
    assert [item["kind"] for item in data["objects"]] == ["mug", "cube"]
    assert data["objects"][1]["colour"] is None


def test_a_scene_of_schema_1_is_upright_under_an_orbit() -> None:
    """As every version until now wrote it; checked field by field like the newer form."""
    orbit = {
        "azimuth_rad": -1.2,
        "elevation_rad": 0.62,
        "distance_m": 1.0,
        "look_at_m": [0.0, 0.1, 0.0],
        "fovy_rad": 0.7,
    }
    item = {"kind": "mug", "x_m": 0.1, "y_m": -0.0, "yaw_rad": 4.0, "scale": 1.5, "colour": [0.0, 0.5, 1.0]}
    old = {key: GOOD[key] for key in ("table", "light")} | {
        "schema": "air3d-scene/1", "camera": orbit, "objects": [item]
    }  # fmt: skip
    mug = SceneObject.upright("mug", 0.1, -0.0, 4.0, 1.5, (0.0, 0.5, 1.0))
    expected = Scene((mug,), Orbit(-1.2, 0.62, 1.0, (0.0, 0.1, 0.0), 0.7))
    assert scene_from_dict(old) == scene_from_json(scene_to_json(expected)) == expected
    for path in paths(old):
        if path and isinstance(path[-1], str) and path[0] != "schema":
            with pytest.raises(InputError):
                scene_from_dict(replaced(old, path, "a text"))
    for bad, words in ((item | {"x_m": 1001.0}, "x_m is 1001.0"), (item | {"position_m": [0, 0, 0]}, "unknown field")):
        with pytest.raises(InputError, match=words):
            scene_from_dict(old | {"objects": [bad]})
    with pytest.raises(InputError, match="'position_m' is missing"):
        scene_from_dict(GOOD | {"objects": [item]})


def camera_of(orbit: Orbit, width: int, height: int) -> dict[str, Any]:
    """The camera in a scene file, by SciPy and the definition of an orbit; see docs/datasets.md."""
    a, e, f = orbit.azimuth_rad, orbit.elevation_rad, height / 2.0 / math.tan(orbit.fovy_rad / 2.0)
    backward = np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])
    turn = Rotation.from_euler("zxz", [orbit.roll_rad, math.pi / 2.0 - e, a + math.pi / 2.0])
    eye, (right, down) = np.array(orbit.look_at_m) + orbit.distance_m * backward, orbit.shift
    cx, cy = (width - 1) / 2.0 + height * right, (height - 1) / 2.0 + height * down
    return {
        "fx": f * orbit.fx_over_fy, "fy": f, "cx": cx, "cy": cy, "width": width, "height": height,
        "position_m": eye.tolist(), "rotation_wxyz": np.roll(turn.as_quat(canonical=True), 1).tolist(),
    }  # fmt: skip


@given(any_orbit(), st.integers(8, 900))
def test_a_camera_is_written_as_a_pose_with_a_matrix_and_read_from_it_alone(orbit: Orbit, width: int) -> None:
    size = (width, 48)
    scene, plain = Scene((), orbit), camera_of(orbit, *size)
    written = scene_to_dict(scene, size)["camera"]
    assert set(written) - {"orbit"} == set(plain)
    for name, value in plain.items():
        found = np.array(written[name])
        sign = np.sign(found @ value) if name == "rotation_wxyz" else 1.0
        np.testing.assert_allclose(sign * found, value, rtol=1e-12, atol=1e-12, err_msg=name)
    found = scene_from_dict(scene_to_dict(scene, size) | {"camera": plain}).camera
    one, other = found.sized(*size), orbit.sized(*size)
    np.testing.assert_allclose(one.frame, other.frame, atol=1e-11)
    np.testing.assert_allclose(one.matrix, other.matrix, rtol=1e-12, atol=1e-9)


def test_what_only_some_cameras_have_is_written_for_them_alone() -> None:
    """So the bytes of scenes under upright cameras with centred square pixels are those of every version."""
    old = {"azimuth_rad", "elevation_rad", "distance_m", "look_at_m", "fovy_rad"}
    assert set(GOOD["camera"]["orbit"]) == old
    rolled = scene_to_dict(Scene((), Orbit(roll_rad=0.1, shift=(0.0, 0.2))))["camera"]["orbit"]
    assert set(rolled) == old | {"roll_rad", "shift"}


@pytest.mark.parametrize("changes", [{"fx": 90.0}, {"position_m": [0.0, -0.7, 0.6]}, {"width": 65}], ids=str)
def test_an_orbit_beside_another_camera_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="scene: camera and its orbit are different cameras; leave out 'orbit'"):
        scene_from_dict(GOOD | {"camera": GOOD["camera"] | changes})
    plain = {key: value for key, value in (GOOD["camera"] | changes).items() if key != "orbit"}
    assert scene_from_dict(GOOD | {"camera": plain}).camera != SCENE.camera


@given(json_values)
def test_arbitrary_values_are_refused_by_input_error_alone(value: object) -> None:
    with pytest.raises(InputError):
        scene_from_dict(value)


@settings(max_examples=400)
@given(st.sampled_from(PATHS), json_values)
def test_a_scene_with_one_value_changed_is_read_or_refused(path: tuple[Any, ...], value: object) -> None:
    message = "one line"
    try:
        scene = scene_from_dict(replaced(GOOD, path, value))
    except InputError as error:
        message = str(error)
    else:
        assert scene_from_json(scene_to_json(scene)) == scene
    assert len(message.splitlines()) == 1 and len(message) < 400


@settings(max_examples=200)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda s: s.encode(errors="replace")))
def test_arbitrary_text_is_refused(noise: bytes) -> None:
    with pytest.raises(InputError):
        scene_from_json(noise.decode("latin-1"))


NEEDED = [p for p in PATHS if p and isinstance(p[-1], str) and p != ("camera", "orbit")]


@pytest.mark.parametrize("path", NEEDED, ids=str)
def test_every_field_is_needed(path: tuple[Any, ...]) -> None:
    data = json.loads(json.dumps(GOOD))
    owner = data
    for key in path[:-1]:
        owner = owner[key]
    del owner[path[-1]]
    with pytest.raises(InputError, match="schema is None" if path == ("schema",) else f"'{path[-1]}' is missing"):
        scene_from_dict(data)


@pytest.mark.parametrize("path", [(), ("table",), ("camera",), ("light",), ("objects", 0)], ids=str)
def test_unknown_fields_are_named_and_annotations_are_ignored(path: tuple[Any, ...]) -> None:
    owner = GOOD
    for key in path:
        owner = owner[key]
    with pytest.raises(InputError, match="unknown field 'colour_of_the_sky'"):
        scene_from_dict(replaced(GOOD, path, owner | {"colour_of_the_sky": 1}))
    with pytest.raises(InputError) as caught:
        scene_from_dict(replaced(GOOD, path, owner | {"two\nlines": 1}))
    assert "\n" not in str(caught.value)
    assert scene_from_dict(replaced(GOOD, path, owner | {"_note": [math.nan]})) == SCENE


def _leaf(path: tuple[Any, ...]) -> Any:
    value: Any = GOOD
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("path", [p for p in PATHS if isinstance(_leaf(p), float)], ids=str)
def test_numbers_are_numbers(path: tuple[Any, ...]) -> None:
    marked = json.dumps(replaced(GOOD, path, "<here>"))
    for bad in ("true", '"1"', "null", "[]", "1e999", "-1e999", "NaN", "-Infinity", "9" * 400, "9" * 5000):
        with pytest.raises(InputError):
            scene_from_json(marked.replace('"<here>"', bad))


@pytest.mark.parametrize("path", [p for p in PATHS if p], ids=str)
def test_integers_too_long_to_print(path: tuple[Any, ...]) -> None:
    with pytest.raises(InputError):
        scene_from_dict(replaced(GOOD, path, 10**5000))


@pytest.mark.parametrize("schema", ["air3d-scene/3", "air3d-dataset/1", "", None, 1, [], {"a": 1}])
def test_other_schemas(schema: object) -> None:
    with pytest.raises(InputError, match=r"scene: schema is .*; this version reads 'air3d-scene/2'"):
        scene_from_dict(GOOD | {"schema": schema})


def test_too_many_objects() -> None:
    item = GOOD["objects"][0]
    assert len(scene_from_dict(GOOD | {"objects": [item] * MAX_OBJECTS}).objects) == MAX_OBJECTS
    with pytest.raises(InputError, match=f"at most {MAX_OBJECTS}"):
        scene_from_dict(GOOD | {"objects": [item] * (MAX_OBJECTS + 1)})


@pytest.mark.parametrize("depth", [100, 400, 480, 600, 900, 980, 5000, 100_000])
@pytest.mark.parametrize("field", ["position_m", "kind", "colour"])
def test_deep_nesting(depth: int, field: str) -> None:
    deep = "[" * depth + "]" * depth
    text = json.dumps(replaced(GOOD, ("objects", 0, field), "<here>")).replace('"<here>"', deep)
    with pytest.raises(InputError) as caught:
        scene_from_json(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["", "{", "[1,]", "{'a': 1}", "\ufeff{}", '"\\ud800', "1 2", "nul"])
def test_what_is_not_json_is_placed(text: str) -> None:
    with pytest.raises(InputError, match=r"^thing: not JSON \(.* at line \d+ column \d+\)$"):
        parse_json(text, "thing")


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_json_has_no_such_numbers(token: str) -> None:
    with pytest.raises(InputError, match=f"thing: {token} is not a JSON number"):
        parse_json(f'{{"_note": [{token}]}}', "thing")


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_text(scene_to_json(SCENE), encoding="utf-8")
    assert load_scene(good) == SCENE
    good.write_bytes(b"\xef\xbb\xbf" + good.read_bytes())  # a byte order mark, as some editors put it
    assert load_scene(good) == SCENE
    bad: dict[str, bytes] = {
        "text.json": b"a mug on a table",
        "binary.json": b"\x89PNG\r\n\x1a\n\xff",
        "empty.json": b"",
        "nan.json": scene_to_json(SCENE).replace("0.1", "NaN").encode(),
        "large.json": b" " * (MAX_JSON_BYTES + 1),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    for name in (*bad, "missing.json", "."):
        with pytest.raises(InputError) as caught:
            load_scene(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("version", [1, 2])
def test_a_sample_is_read_as_its_scene(tmp_path: Path, version: int) -> None:
    path = tmp_path / "00000003.scene.json"
    sample = {
        "schema": f"air3d-sample/{version}",
        "index": 3,
        "scene": scene_to_dict(SCENE),
        "objects": [{"kind": "strange"}],
    }
    path.write_text(json.dumps(sample), encoding="utf-8")
    assert load_scene(path) == scene_from_json(path.read_text()) == SCENE
    assert kinds_of(path) == tuple(item.kind for item in SCENE.objects)
    for scene, words in ((None, "expected a JSON object"), (sample, "'air3d-scene/2' and 'air3d-sample/2'")):
        path.write_text(json.dumps(sample | {"scene": scene}), encoding="utf-8")
        with pytest.raises(InputError, match=words):
            load_scene(path)
