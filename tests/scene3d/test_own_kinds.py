"""Kinds by content: the same content has the same name everywhere, another one another, and damage is noticed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from air3d.scene3d import cache_folder, own_kinds
from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Circle, Kind
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.own_kinds import adopt, carry, compact, install, is_own, own_kind, short_name
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scene3d.scene_json import load_scene, scene_to_json
from air3d.scene3d.symmetry import Symmetry

OWN_FOLDER = Path(__file__).resolve().parent.parent / "own"
OBJ = (
    b"v 0.0 0.0 0.0\nv 0.1 0.0 0.0\nv 0.0 0.1 0.0\nv 0.0 0.0 0.1\nvn 0.0 0.0 1.0\nf 1//1 2//1 3//1\nf 1//1 3//1 4//1\n"
)
KIND = Kind("thing", (0.1, 0.2, 0.3), 0.1, (Circle(0.03, 0.04, 0.05),), Symmetry(yaw_order=2))
PARTS = {"inference.obj": OBJ, "display.obj": OBJ + b"f 2//1 3//1 4//1\n"}
PYRAMID = "pyramid@b16745256486"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_name_is_the_content(cache):
    name = install(KIND, PARTS)
    description = (cache / "kinds" / f"{name}.json").read_bytes()
    assert name == f"thing@{hashlib.sha256(description).hexdigest()[:12]}" and is_own(name)
    for part, content in PARTS.items():
        assert json.loads(description)["sha256"][part] == hashlib.sha256(content).hexdigest()
    assert install(KIND, PARTS) == name
    others = [
        (Kind("thing", (0.1, 0.2, 0.4), 0.1, KIND.footprint, KIND.symmetry), PARTS),
        (Kind("thing", KIND.colour, 0.1, KIND.footprint, Symmetry()), PARTS),
        (Kind("thing", KIND.colour, 0.1, (Circle(0.03, 0.04, 0.051),), KIND.symmetry), PARTS),
        (KIND, PARTS | {"inference.obj": PARTS["display.obj"]}),
    ]
    names = {name} | {install(kind, parts) for kind, parts in others}
    assert len(names) == 5 and {short_name(each) for each in names} == {"thing"}


def test_it_is_found_like_a_kind_of_the_catalog():
    name = install(KIND, PARTS)
    kind = get_kind(name)
    assert (kind.name, kind.colour, kind.height_m) == (name, KIND.colour, KIND.height_m)
    assert (kind.footprint, kind.symmetry, kind.texture) == (KIND.footprint, KIND.symmetry, None)
    assert kind.radius_m == pytest.approx(0.1)
    assert asset_path("meshes", f"{name}.display.obj").read_bytes() == PARTS["display.obj"]
    scene = Scene((SceneObject.upright(name, 0.0, 0.1), SceneObject.upright("mug", 0.1, 0.0)))
    assert SceneBatch.from_scenes([scene]).to_scenes() == [scene]


def test_made_compact_it_has_the_inference_level_alone(cache):
    picture, coarse = (asset_path("textures", f"{name}.png").read_bytes() for name in ("table", "cylinder"))
    name = install(KIND, PARTS | {"texture.png": picture, "inference.png": coarse})
    small = compact(name)
    assert small != name and short_name(small) == "thing" and compact(small) == small
    for detail in ("inference", "display"):
        assert asset_path("meshes", f"{small}.{detail}.obj").read_bytes() == PARTS["inference.obj"]
    kind = get_kind(small)
    assert asset_path("textures", kind.texture).read_bytes() == coarse and kind.inference_texture is None
    assert (kind.colour, kind.height_m, kind.footprint) == (KIND.colour, KIND.height_m, KIND.footprint)
    assert kind.symmetry == KIND.symmetry


def test_it_travels_in_a_folder(tmp_path, cache, monkeypatch):
    name = install(KIND, PARTS)
    carry(("mug", name), tmp_path / "data")
    carry(("mug", "plate"), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.*")}
    carry(("mug", name), tmp_path / "data")
    assert {path: path.stat().st_mtime_ns for path in written} == written, "what is whole is left alone"
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match=f"kind '{name}' is not on this machine.*--objects"):
        own_kind(name)
    assert adopt(tmp_path / "data") == (name,)
    assert own_kind(name).footprint == KIND.footprint
    (tmp_path / "data" / "objects" / "meshes" / f"{name}.display.obj").write_bytes(b"v 0.0 0.0 0.0\n")
    carry((name,), tmp_path / "data")
    assert (tmp_path / "data" / "objects" / "meshes" / f"{name}.display.obj").read_bytes() == PARTS["display.obj"]


def damaged(folder, name, file, content):
    copy = folder / f"copy{len(list(folder.iterdir()))}"
    shutil.copytree(folder / "data", copy)
    if content is None:
        (copy / "objects" / file.format(name)).unlink()
    else:
        (copy / "objects" / file.format(name)).write_bytes(content)
    return copy


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("kinds/{}.json", b"{}", "damaged"),
        ("meshes/{}.display.obj", OBJ, "damaged"),
        ("meshes/{}.inference.obj", None, "missing"),
    ],
)
def test_damage_is_noticed(tmp_path, monkeypatch, file, content, message):
    name = install(KIND, PARTS)
    carry((name,), tmp_path / "data")
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match=rf"{message}.*copy it again") as caught:
        adopt(damaged(tmp_path, name, file, content))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "mesh, message",
    [
        (OBJ + b"mtllib /etc/passwd\n", "unexpected line"),
        (OBJ + b"f 1//1 2//1 9//1\n", "a corner that is not there"),
        (OBJ.replace(b"v 0.1", b"v nan"), "unexpected line"),
        (b"", "a corner that is not there"),
    ],
)
def test_a_mesh_that_nobody_checked_is_refused(tmp_path, monkeypatch, mesh, message):
    """A stranger's dataset may hold anything under a right digest."""
    name = install(KIND, PARTS | {"inference.obj": mesh})
    with pytest.raises(InputError, match=message):
        own_kind(name)
    picture = install(KIND, PARTS | {"texture.png": b"GIF89a"})
    with pytest.raises(InputError, match="not a PNG"):
        own_kind(picture)


@pytest.fixture
def unwritable(tmp_path, monkeypatch):
    """A cache below a file, where root cannot write either; its places for temporary files are set by the test."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(cache_folder, "_TEMPORARY", ())
    monkeypatch.setattr(own_kinds, "_read_in_place", {})
    return tmp_path


def test_a_cache_that_cannot_be_written_gives_way_to_a_temporary_one(unwritable, monkeypatch):
    monkeypatch.setattr(cache_folder, "_TEMPORARY", (str(unwritable),))
    name = install(KIND, PARTS)
    assert own_kind(name).footprint == KIND.footprint
    assert asset_path("meshes", f"{name}.inference.obj").is_relative_to(unwritable / f"air3d-{os.geteuid()}")


def test_nowhere_to_write_what_is_carried_is_read_in_place(unwritable):
    with pytest.raises(InputError, match=f"kind '{PYRAMID}' is not on this machine"):
        own_kind(PYRAMID)
    assert adopt(OWN_FOLDER) == (PYRAMID,)
    assert own_kind(PYRAMID).name == PYRAMID
    assert asset_path("meshes", f"{PYRAMID}.display.obj") == OWN_FOLDER / "objects/meshes" / f"{PYRAMID}.display.obj"
    carry((PYRAMID,), unwritable / "copy")
    assert adopt(unwritable / "copy") == (PYRAMID,)
    with pytest.raises(InputError, match=r"file/cache'.*AIR3D_OBJECTS") as caught:
        install(KIND, PARTS)
    assert "\n" not in str(caught.value)


def test_a_full_disk_does_not_keep_from_reading(cache, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(own_kinds, "_read_in_place", {})
    monkeypatch.setattr(own_kinds.os, "fsync", full)
    assert adopt(OWN_FOLDER) == (PYRAMID,)
    assert own_kind(PYRAMID).name == PYRAMID
    assert not list(cache.rglob("*.tmp"))


def test_damage_in_the_cache_does_not_hide_what_is_whole(cache, monkeypatch):
    adopt(OWN_FOLDER)
    mesh = cache / "meshes" / f"{PYRAMID}.display.obj"
    mesh.write_bytes(b"")
    own_kinds._read.cache_clear()
    with pytest.raises(InputError, match=r"display\.obj: missing"):
        own_kind(PYRAMID)
    monkeypatch.setattr(own_kinds, "_read_in_place", {OWN_FOLDER / "objects": None})
    assert own_kind(PYRAMID).name == PYRAMID
    assert asset_path("meshes", f"{PYRAMID}.display.obj").read_bytes()


def test_making_it_again_gives_the_same_bytes(cache):
    """The kind in the repository was made from the mesh beside it; its name holds the digest of all."""
    assert resolve_kinds(("mug", "pyramid"), OWN_FOLDER / "pyramid.toml") == ("mug", PYRAMID)
    for file in (OWN_FOLDER / "objects").rglob("*.*"):
        assert (cache / file.relative_to(OWN_FOLDER / "objects")).read_bytes() == file.read_bytes()


def test_names_on_the_command_line(tmp_path):
    toml = OWN_FOLDER / "pyramid.toml"
    assert resolve_kinds(("mug", "bowl"), None) == ("mug", "bowl")
    assert resolve_kinds(("pyramid",), OWN_FOLDER) == (PYRAMID,), "a folder that carries it"
    assert resolve_kinds(("pyramid", PYRAMID.replace("pyramid", "other")), toml)[1].startswith("other@")
    with pytest.raises(InputError, match=r"none of its kinds \(pyramid\) is among --kinds mug plate"):
        resolve_kinds(("mug", "plate"), toml)
    with pytest.raises(InputError, match="unknown kind 'pyramide': did you mean 'pyramid'"):
        resolve_kinds(("mug", "pyramide"), toml)
    with pytest.raises(InputError, match=r"unknown kind 'plato': did you mean 'plate'.*pyramid"):
        resolve_kinds(("plato", "pyramid"), toml)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no objects"):
        resolve_kinds(("pyramid",), tmp_path / "nothing")


def test_a_scene_file_finds_what_lies_beside_it(tmp_path):
    adopt(OWN_FOLDER)
    scene = Scene((SceneObject.upright(PYRAMID, 0.0, 0.1, 0.3),))
    shutil.copytree(OWN_FOLDER / "objects", tmp_path / "answers" / "objects")
    (tmp_path / "answers" / "one.scene.json").write_text(scene_to_json(scene))
    shutil.rmtree(tmp_path / "cache")
    assert load_scene(tmp_path / "answers" / "one.scene.json") == scene
    text = scene_to_json(scene).replace(PYRAMID, "pyramid")
    (tmp_path / "short.scene.json").write_text(text)
    assert load_scene(tmp_path / "short.scene.json", {"pyramid": PYRAMID}) == scene
    with pytest.raises(InputError, match=r"short.scene.json: .*unknown kind 'pyramid'"):
        load_scene(tmp_path / "short.scene.json")
