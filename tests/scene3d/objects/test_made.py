"""What was made is not made again, unless anything that it depends on is another; and the cache never fails."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from air3d.scene3d import own_kinds
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.objects import made, make
from air3d.scene3d.objects.make import make_kind
from air3d.scene3d.own_kinds import own_path


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """The shapes that were made, in a cache of the test's own."""
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "cache"))
    calls, real = [], make.make_shape

    def count(*args):
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(make, "make_shape", count)
    return calls


BOX = trimesh.creation.box([0.05, 0.04, 0.03])


def test_only_what_is_new_is_made(describe, counted, tmp_path, monkeypatch):
    facts = make_kind(describe(BOX))
    assert make_kind(describe(BOX)) == facts and len(counted) == 1
    moved = describe(BOX)
    moved = replace(moved, mesh=moved.mesh.rename(tmp_path / "other.stl"), where="elsewhere")
    again = make_kind(moved)
    assert again.source.endswith("other.stl") and facts.source.endswith("thing.stl")
    assert replace(again, source=facts.source) == facts and len(counted) == 1, "content counts, not names"
    other = [
        make_kind(describe(BOX, colour="#8090a1")),
        make_kind(describe(BOX, scale=1.1)),
        make_kind(describe(BOX, symmetry=2)),
        make_kind(describe(BOX, up="x")),
        make_kind(describe(trimesh.creation.box([0.05, 0.04, 0.0301]))),
    ]
    assert len(counted) == 6 and len({found.kind for found in [facts, *other]}) == 6
    monkeypatch.setattr(made, "_maker", lambda: b"another version")
    assert make_kind(describe(BOX)) == facts and len(counted) == 7


def test_a_cache_that_lost_something_is_filled_again(describe, counted, tmp_path):
    facts = make_kind(describe(BOX))
    (record,) = (tmp_path / "cache" / "made").iterdir()
    kept = json.loads(record.read_text())
    for damage in (b"", b"[]", b"{}", b'{"kind": 3}', json.dumps(kept | {"kind": "mug"}).encode(), b"\xff" * 99):
        record.write_bytes(damage)
        assert make_kind(describe(BOX)) == facts
    assert len(counted) == 7 and json.loads(record.read_text()) == kept
    own_path(facts.kind, "meshes", f"{facts.kind}.inference.obj").unlink()
    own_kinds._read.cache_clear()
    assert make_kind(describe(BOX)) == facts and get_kind(facts.kind) and len(counted) == 8


def test_a_record_that_cannot_be_written_does_not_matter(describe, counted, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "made").write_text("in the way")
    assert make_kind(describe(BOX)) == make_kind(describe(BOX)) and len(counted) == 2


def test_several_at_once(describe, counted):
    description = describe(BOX)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(make_kind, [description] * 8))
    assert len({facts.kind for facts in found}) == 1 and np.isfinite(get_kind(found[0].kind).height_m)
